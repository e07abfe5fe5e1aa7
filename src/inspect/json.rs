// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names in JSON, and JSON that a terminal can show.

use std::fmt::Write;

use serde::Serialize;

/// A path in an image. Where it is not UTF-8, `path` has stand-ins (U+FFFD) and `path_hex` has the
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Name {
    /// The path.
    pub path: String,
    /// The bytes of a path that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
}

impl Name {
    /// The name of these bytes.
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

/// The same JSON in ASCII: everything else is escaped, as are the control characters that the JSON
/// writer lets through.
pub fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() && char != '\x7f' {
            text.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
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

    #[test]
    fn ascii_json_means_the_same() {
        let value = serde_json::json!({"n": "a\u{1b}\u{7f}\u{9b}\u{202e}\u{fc}\u{1f600}"});
        let text = ascii(&format!("{value:#}\n"));
        assert!(text.bytes().all(|b| b == b'\n' || (32..127).contains(&b)));
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back, value);
    }
}
