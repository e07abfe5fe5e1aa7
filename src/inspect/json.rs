// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of files in JSON.

use serde::Serialize;

/// A path in an initramfs or in the tree, or the target of a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Name {
    /// The path, without a leading `/` unless it is the target of a link. U+FFFD stands for bytes that are not UTF-8.
    pub path: String,
    /// The bytes of a path that is not UTF-8, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
}

impl Name {
    /// Converts the bytes of a path.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(path) => Self {
                path: path.to_owned(),
                path_hex: None,
            },
            Err(_) => Self {
                path: String::from_utf8_lossy(bytes).into_owned(),
                path_hex: Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_bytes() {
        assert_eq!(Name::new(b"a").path_hex, None);
        let name = Name::new(b"lat\xe9");
        assert_eq!(name.path, "lat\u{fffd}");
        assert_eq!(name.path_hex.as_deref(), Some("6c6174e9"));
    }
}
