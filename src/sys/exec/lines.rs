// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits a program's output into lines.

use std::io::{self, BufRead, Read};

/// Maximum length of a line (bytes). Longer lines are split.
const LINE_MAX: u64 = 64 * 1024;

/// Number of last lines that are kept for the error of a failed program.
const TAIL_LINES: usize = 20;

/// The last non-empty lines of a program's output, at most [`TAIL_LINES`].
#[derive(Default)]
pub(super) struct Tail(pub(super) Vec<String>);

impl Tail {
    pub(super) fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.0.len() == TAIL_LINES {
            self.0.remove(0);
        }
        self.0.push(line.to_owned());
    }
}

/// Passes each line to `line`, with the number of bytes that were read for it. Lines are split at [`LINE_MAX`], tabs
/// become spaces, and line ends and other control characters are removed.
pub(super) fn each_line(
    mut input: impl BufRead,
    line: &mut dyn FnMut(String, usize),
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut some = input.by_ref().take(LINE_MAX);
        if some.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let text: String = String::from_utf8_lossy(&bytes)
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .filter(|c| !c.is_control())
            .collect();
        line(text, bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_lose_their_control_characters() {
        let mut lines = Vec::new();
        let long = [b'x'; LINE_MAX as usize + 1];
        let input = [b"\x1b[31mred\tfox\r\n".as_slice(), &long].concat();
        each_line(&input[..], &mut |line, _| lines.push(line.len())).unwrap();
        assert_eq!(lines, ["[31mred fox".len(), LINE_MAX as usize, 1]);
    }
}
