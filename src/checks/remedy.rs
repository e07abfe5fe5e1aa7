// SPDX-License-Identifier: MIT OR Apache-2.0
//! The remedy for a finding. Its sentence depends on the command: a finding of `rebuild` must not advise the user to
//! run `rebuild`.

/// The command that ran the checks, with the work that it did before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// `verify` of a tree, an image or an initramfs. It changed nothing.
    Verified,
    /// `verify` or `gate` of a deployment on the machine that boots it. It changed nothing.
    Deployed,
    /// `rebuild`: depmod and dracut ran.
    Rebuilt,
    /// `replace`: the packages were installed, then depmod and dracut ran.
    Replaced,
}

/// The way to correct a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Rebuild the initramfs.
    Rebuild,
    /// Rebuild the initramfs; if that does not help, do this.
    RebuildOr(&'static str),
    /// Do this, then rebuild the initramfs.
    ThenRebuild(&'static str),
    /// Reinstall the kernel's packages, since a file of the kernel is damaged or differs from its package.
    Reinstall,
    /// Use another build of the kernel, since its package is wrong.
    OtherBuild,
    /// Another remedy, whose text does not depend on the command.
    Text(String),
}

impl Remedy {
    /// Returns the sentence for a run in this situation.
    pub fn after(&self, situation: Situation) -> String {
        let is_built = matches!(situation, Situation::Rebuilt | Situation::Replaced);
        let again = match situation {
            Situation::Verified => "run ostree-kernel rebuild",
            Situation::Deployed => "rebuild the image with ostree-kernel rebuild and update again",
            Situation::Rebuilt | Situation::Replaced => "run the same command again",
        };
        match self {
            Self::Rebuild if is_built => {
                "dracut has just built this initramfs: run again with -v, and look for the cause in dracut's messages and in /etc/dracut.conf.d".to_owned()
            }
            Self::Rebuild => again.to_owned(),
            Self::RebuildOr(other) if is_built => (*other).to_owned(),
            Self::RebuildOr(other) => format!("{again}; if that does not help, {other}"),
            Self::ThenRebuild(first) => format!("{first}, then {again}"),
            Self::OtherBuild => OTHER_BUILD.to_owned(),
            Self::Reinstall if situation == Situation::Replaced => OTHER_BUILD.to_owned(),
            Self::Reinstall if situation == Situation::Deployed => {
                "reinstall the kernel's packages where the image is built, and update again".to_owned()
            }
            Self::Reinstall => "reinstall the kernel's packages".to_owned(),
            Self::Text(text) => text.clone(),
        }
    }
}

const OTHER_BUILD: &str = "use another build of the kernel: the fault is in its package";

impl From<&str> for Remedy {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Remedy {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Situation; 3] = [Situation::Verified, Situation::Rebuilt, Situation::Replaced];

    #[test]
    fn a_remedy_is_not_what_was_just_done() {
        let every = [
            Remedy::Rebuild,
            Remedy::RebuildOr("add the file"),
            Remedy::ThenRebuild("add the file"),
            Remedy::Reinstall,
            Remedy::OtherBuild,
        ];
        for remedy in every {
            for situation in [Situation::Rebuilt, Situation::Replaced] {
                let text = remedy.after(situation);
                assert!(!text.contains("ostree-kernel rebuild"), "{text}");
            }
            let text = remedy.after(Situation::Replaced);
            assert!(!text.contains("reinstall"), "{text}");
        }
    }

    #[test]
    fn a_remedy_names_what_is_still_to_do() {
        let texts = |remedy: Remedy| ALL.map(|it| remedy.after(it));
        assert_eq!(
            texts(Remedy::RebuildOr("add the file")),
            [
                "run ostree-kernel rebuild; if that does not help, add the file",
                "add the file",
                "add the file"
            ]
        );
        assert_eq!(
            texts(Remedy::ThenRebuild("add the file")),
            [
                "add the file, then run ostree-kernel rebuild",
                "add the file, then run the same command again",
                "add the file, then run the same command again"
            ]
        );
        assert_eq!(
            texts(Remedy::Reinstall)[1],
            "reinstall the kernel's packages"
        );
        assert_eq!(texts(Remedy::OtherBuild), [OTHER_BUILD; 3]);
        assert_eq!(texts("chmod".into()), ["chmod"; 3]);
    }
}
