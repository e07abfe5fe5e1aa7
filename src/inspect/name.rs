// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats a name from an initramfs for a terminal.
//!
//! Invariant: the output is printable UTF-8 on one line, and an ordinary name is unchanged.

use std::fmt::{self, Write};

/// A name, formatted for a terminal. Printable UTF-8 is unchanged, including backslashes (units have `\x2d` in their
/// names). A name with other bytes, or one that begins with `$'`, is quoted for a shell: `$'esc\x1b[31m'`. An empty
/// name is `''`.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok("") => f.write_str("''"),
            Ok(text) if text.chars().all(is_printable) && !text.starts_with("$'") => {
                f.write_str(text)
            }
            _ => quoted(self.0, f),
        }
    }
}

fn quoted(name: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("$'")?;
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '\\' | '\'' => write!(f, "\\{char}")?,
                _ if is_printable(char) => f.write_char(char)?,
                _ => hex(char.encode_utf8(&mut [0; 4]).as_bytes(), f)?,
            }
        }
        hex(chunk.invalid(), f)?;
    }
    f.write_char('\'')
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Returns whether the character is shown as it is. Not shown are those that [`char::escape_debug`] escapes, other than
/// backslash and quotes: for example control characters, combining characters, and marks that change the writing
/// direction.
pub(super) fn is_printable(char: char) -> bool {
    matches!(char, '\\' | '\'' | '"') || char.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_as_they_are_and_others_are_quoted() {
        let cases: [(&[u8], &str); 12] = [
            (b"", "''"),
            (b"usr/bin/sh", "usr/bin/sh"),
            (b"system-a\\x2db.slice", "system-a\\x2db.slice"),
            (b"it's \"quoted\"", "it's \"quoted\""),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"esc\x1b[31m", "$'esc\\x1b[31m'"),
            (b"a\nb\tc\\d'e", "$'a\\nb\\tc\\\\d\\'e'"),
            (b"lat\xe9", "$'lat\\xe9'"),
            (b"\x7f", "$'\\x7f'"),
            ("\u{9b}1m".as_bytes(), "$'\\xc2\\x9b1m'"),
            ("a\u{202e}b".as_bytes(), "$'a\\xe2\\x80\\xaeb'"),
            (b"$'x'", "$'$\\'x\\''"),
        ];
        for (name, expected) in cases {
            assert_eq!(Shown(name).to_string(), expected);
        }
    }

    #[test]
    fn output_has_no_control_characters() {
        for first in 0..=255_u8 {
            let shown = Shown(&[first, b'x']).to_string();
            assert!(!shown.chars().any(char::is_control), "{first:#x}");
        }
    }
}
