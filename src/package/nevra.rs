// SPDX-License-Identifier: MIT OR Apache-2.0
//! The full name of a package.

use std::fmt;

/// Name, epoch, version, release and architecture of a package, as `NAME-EPOCH:VERSION-RELEASE.ARCH`. The epoch is left
/// out if it is 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
pub struct Nevra {
    /// The name, such as `kernel-core`.
    pub name: String,
    /// The epoch; 0 if the package has none.
    pub epoch: u32,
    /// The version, such as `6.9.4`.
    pub version: String,
    /// The release, such as `200.fc40`.
    pub release: String,
    /// The architecture, such as `x86_64` or `noarch`.
    pub arch: String,
}

impl Nevra {
    /// Returns whether the NEVRA can be printed and passed as an argument without quoting. This is true for every
    /// package of rpmbuild, which allows only such characters.
    pub(super) fn is_plain(&self) -> bool {
        let parts = [&self.name, &self.version, &self.release, &self.arch];
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-~^".contains(c);
        let is_word = |part: &&String| !part.is_empty() && part.chars().all(plain);
        parts.iter().all(is_word) && !self.name.starts_with(['-', '.'])
    }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            epoch,
            version,
            release,
            arch,
        } = self;
        match epoch {
            0 => f.pad(&format!("{name}-{version}-{release}.{arch}")),
            _ => f.pad(&format!("{name}-{epoch}:{version}-{release}.{arch}")),
        }
    }
}

impl From<Nevra> for String {
    fn from(nevra: Nevra) -> Self {
        nevra.to_string()
    }
}

impl TryFrom<String> for Nevra {
    type Error = String;

    /// Parses the output of [`fmt::Display`]. The parts can be told apart, because version and release contain no dash,
    /// and the architecture contains no dot.
    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (rest, arch) = text.rsplit_once('.')?;
            let (rest, release) = rest.rsplit_once('-')?;
            let (name, version) = rest.rsplit_once('-')?;
            let (epoch, version) = version.split_once(':').unwrap_or(("0", version));
            Some(Self {
                name: name.to_owned(),
                epoch: epoch.parse().ok()?,
                version: version.to_owned(),
                release: release.to_owned(),
                arch: arch.to_owned(),
            })
        };
        parse().ok_or_else(|| format!("{text:?} is not NAME-[EPOCH:]VERSION-RELEASE.ARCH"))
    }
}

#[cfg(test)]
mod tests {
    use super::Nevra;

    #[test]
    fn parsing_and_formatting_are_inverse() {
        for text in [
            "kernel-core-6.9.4-200.fc40.x86_64",
            "kernel-core-1:6.9.4-200.fc40.x86_64",
            "kmod-zfs-6.9.4-200.fc40.x86_64+rt-2.2.4-1.noarch",
        ] {
            let nevra = Nevra::try_from(text.to_owned()).unwrap();
            assert_eq!(nevra.to_string(), text);
        }
        for bad in ["", "kernel", "kernel-6.9.4.x86_64", "a-x:1-1.noarch"] {
            assert!(Nevra::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
