// SPDX-License-Identifier: MIT OR Apache-2.0
//! The platform of an image.

use std::fmt;
use std::str::FromStr;

/// An operating system, an architecture and possibly its variant, with Go's names: `linux/amd64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The architecture.
    pub architecture: String,
    /// The variant of the architecture.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns the Linux platform for `arch`, one of Rust's names of architectures (`std::env::consts::ARCH`).
    pub fn of_machine(arch: &str) -> Self {
        let (architecture, variant) = match arch {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7".to_owned())),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "powerpc64" => ("ppc64", None),
            other => (other, None),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant,
        }
    }

    /// Returns whether an image for platform `other` satisfies a request for `self`. A request without a variant
    /// matches any variant; `v8` is the default variant of arm64.
    pub fn accepts(&self, other: &Self) -> bool {
        let variant = |it: &Self| match (it.architecture.as_str(), &it.variant) {
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.clone(),
        };
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || variant(self) == variant(other))
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => return Err("expected OS/ARCH or OS/ARCH/VARIANT, for example linux/arm64".into()),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err("a part is empty; expected, for example, linux/arm64".into());
        }
        // Users also type the architecture names of uname and rpm.
        let architecture = match *architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Ok(Self {
            os: (*os).to_owned(),
            architecture: architecture.to_owned(),
            variant,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}
