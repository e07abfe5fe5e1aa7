// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the signatures of modules with the certificates that the user trusts (`--module-cert`) and those inside
//! `vmlinuz`.

use super::{Answer, Finding, Remedy, Severity, Subject, listed, show};

/// The results of verifying the signatures of all modules on disk. A module without a signature is accepted.
#[derive(Debug, Clone, Default)]
pub struct ModuleSigners {
    /// Modules whose signature is invalid or by an unknown signer, relative to the kernel's directory, each with the
    /// reason.
    pub refused: Vec<(Vec<u8>, String)>,
    /// Modules that could not be read, relative to the kernel's directory, each with the reason.
    pub unread: Vec<(Vec<u8>, String)>,
    /// The number of modules whose signer has none of the given certificates, and the name of the first such signer.
    /// Set only if the certificates in `vmlinuz` could not be read: one of them may be the signer's.
    pub unknown: Option<(usize, String)>,
    /// The reason why no certificates were read from `vmlinuz`; `None` if they were read.
    pub why: Option<String>,
}

pub fn modules(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let signers = subject.tree()?.signers.modules.as_ref();
    let signers = signers.ok_or_else(|| {
        Answer::NotApplicable("no certificate was given (verify --module-cert FILE)".to_owned())
    })?;
    let path = |module: &[u8]| format!("{}/{}", subject.kver.dir(), show(module));
    let refused = signers.refused.iter().map(|(module, why)| {
        Finding::new(
            path(module),
            why.clone(),
            "a signature by the kernel's own key or by a certificate of --module-cert",
            "sign it in the build (ostree-kernel rebuild --sign-modules-key FILE --sign-modules-cert FILE), or give the certificate of its signer",
        )
    });
    let mut findings = listed(refused.collect());
    let unread = signers.unread.iter().map(|(module, why)| {
        let expected = "a module that can be decompressed";
        Finding::new(path(module), why.clone(), expected, Remedy::Reinstall).only(Severity::Warning)
    });
    findings.extend(listed(unread.collect()));
    match (&signers.unknown, &signers.why) {
        (Some((count, signer)), Some(why)) if findings.is_empty() => {
            Err(Answer::NotApplicable(format!(
                "{count} modules are signed by {signer}, and the certificates inside vmlinuz are not known: {why}"
            )))
        }
        _ => Ok(findings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    #[test]
    fn a_module_of_another_signer_is_fatal() {
        const CHECK: &str = "module-signers";
        let none = Bench::changed(|tree| tree.signers.modules = Some(ModuleSigners::default()));
        assert_eq!(none.answer(CHECK), Answer::Good);
        let refused = Bench::changed(|tree| {
            let all = (0..30).map(|n| {
                (
                    format!("extra/{n}.ko").into_bytes(),
                    "signed by x".to_owned(),
                )
            });
            tree.signers.modules = Some(ModuleSigners {
                refused: all.collect(),
                unread: vec![(b"a.ko.xz".to_vec(), "cut".to_owned())],
                ..ModuleSigners::default()
            });
        });
        let found = refused.findings(CHECK);
        assert_eq!(found.len(), 12, "{found:#?}");
        assert!(found[0].starts_with("fatal ") && found[11].starts_with("warning "));
        let unknown = Bench::changed(|tree| {
            tree.signers.modules = Some(ModuleSigners {
                unknown: Some((3, "Debian".to_owned())),
                why: Some("lzo".to_owned()),
                ..ModuleSigners::default()
            });
        });
        let Answer::NotApplicable(why) = unknown.answer(CHECK) else {
            panic!("it applies");
        };
        assert!(
            why.contains("3 modules are signed by Debian") && why.ends_with("lzo"),
            "{why}"
        );
    }
}
