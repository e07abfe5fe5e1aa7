// SPDX-License-Identifier: MIT OR Apache-2.0
//! Escapes text for terminals and for JSON, and colours it.

use std::fmt::Write;

/// Escapes text for a terminal: control characters except `\n`, and marks that change the writing direction, become
/// escape sequences as in JSON, for example `\u001b`. Messages contain text from packages and programs, which must not
/// control the terminal.
pub fn plain(text: &str) -> String {
    let is_harmful = |char: char| {
        (char.is_control() && char != '\n')
            || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if is_harmful(char) {
            plain += &format!("\\u{:04x}", u32::from(char))
        } else {
            plain.push(char)
        }
    }
    plain
}

/// Escapes text as [`plain`] does, and `\n`, too: a name with a line break could imitate a line of this program's
/// output.
pub fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\u000a")
}

/// Escapes all characters of a JSON text that are not ASCII, and DEL, which the JSON writer does not escape.
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

/// The ANSI escape sequence for bold red: errors, fatal findings, bad outcomes.
pub const RED: &str = "\x1b[1;31m";
/// The ANSI escape sequence for bold yellow: warnings, unknown outcomes.
pub const YELLOW: &str = "\x1b[1;33m";
/// The ANSI escape sequence for bold green: good outcomes.
pub const GREEN: &str = "\x1b[1;32m";
/// Returns `words` between the ANSI escape sequence `colour` and the sequence that ends all colours.
pub fn painted(words: &str, colour: &str) -> String {
    format!("{colour}{words}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (text, expected) in [
            ("kernel 6.9 gr\u{fc}n\n", "kernel 6.9 gr\u{fc}n\n"),
            ("\x1b[2J\x1b]0;x\x07", "\\u001b[2J\\u001b]0;x\\u0007"),
            ("a\rb\tc", "a\\u000db\\u0009c"),
            ("\u{9b}1m \u{202e}", "\\u009b1m \\u202e"),
        ] {
            assert_eq!(plain(text), expected);
        }
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
