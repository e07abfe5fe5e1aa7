// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's release string: the output of `uname -r`, and the name of the kernel's directory in `/usr/lib/modules`.
//!
//! The string is read from an RPM header or from the name of a directory. It is never computed from a package's
//! version, release and architecture, because strings such as `6.12.117+deb12-cloud-amd64` and
//! `6.9.4-200.fc40.x86_64+rt` do not have the form `VERSION-RELEASE.ARCH`.

use std::fmt;

/// A kernel's release string, as `uname -r` prints it. It is valid as one component of a path.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String")]
pub struct Kver(String);

/// The maximum length of a release string in the kernel (bytes): `__NEW_UTS_LEN`.
const MAX: usize = 64;

/// The error that a string is not a kernel release. Contains the first 64 characters of the string.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a kernel release string (expected 1 to {MAX} printable ASCII characters without '/' and space, not starting with '-' or '.')"
)]
pub struct NotAKver(String);

impl Kver {
    /// Returns `text` as a release string if it is valid.
    ///
    /// # Errors
    /// When `text` is empty, is longer than 64 bytes, starts with a dash or a dot, or contains a slash, a space, a
    /// control character or a character that is not ASCII.
    pub fn new(text: &str) -> Result<Self, NotAKver> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        let safe = !text.starts_with(['-', '.']);
        if text.is_empty() || text.len() > MAX || !printable || !safe {
            return Err(NotAKver(text.chars().take(MAX).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the release string, as `uname -r` prints it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the kernel's directory `usr/lib/modules/KVER`, relative to the root.
    pub fn dir(&self) -> String {
        format!("{}/{}", super::MODULES, self.0)
    }
}

impl fmt::Display for Kver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Kver {
    type Error = NotAKver;
    fn try_from(text: String) -> Result<Self, NotAKver> {
        Self::new(&text)
    }
}

impl std::str::FromStr for Kver {
    type Err = NotAKver;
    fn from_str(text: &str) -> Result<Self, NotAKver> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_kvers() {
        for good in [
            "6.12.117+deb12-cloud-amd64",
            "6.9.4-200.fc40.x86_64+rt",
            "5.14.0-427.el9.aarch64+64k-debug",
        ] {
            assert!(Kver::new(good).is_ok(), "{good}");
        }
        let long = "6".repeat(65);
        for bad in [
            "", ".", "..", "-f", "a/b", "../x", "a b", "a\nb", "é", &long,
        ] {
            assert!(Kver::new(bad).is_err(), "{bad:?}");
        }
    }
}
