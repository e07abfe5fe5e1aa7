// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands of a service, as systemd v257 parses them (`config_parse_exec`, `extract_first_word`), and the units
//! that commands start with `systemctl`.

use super::names::{expand, is_unit};
use crate::bytes::basename;

/// The settings with the commands that systemd runs to start a service.
pub(super) const SETTINGS: [&str; 4] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
];

/// A command that a service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitCommand {
    /// The name of the setting, for example `ExecStart`.
    pub key: &'static str,
    /// The name or absolute path of the program; `None` if it contains `$`, or a specifier that is known only at run
    /// time.
    pub program: Option<Vec<u8>>,
    /// The words after the program, without quotes. Variables and specifiers in them are not expanded. The word that
    /// sets `argv[0]` (prefix `@`) is left out.
    pub arguments: Vec<Vec<u8>>,
    /// Whether systemd ignores a failure, because of the prefix `-`.
    pub may_fail: bool,
    /// Whether the prefix `+` exempts the command from the sandbox of the service.
    pub(super) is_unconfined: bool,
    /// The file that contains the command.
    pub path: Vec<u8>,
}

/// Parses the value of the setting `key` (`Exec…`) of the unit `unit`, in the file at `path`.
///
/// # Errors
/// The reason why systemd refuses a service with this value.
pub(super) fn commands(
    key: &'static str,
    value: &[u8],
    unit: &[u8],
    path: &[u8],
) -> Result<Vec<UnitCommand>, String> {
    let (words, is_whole) = words(value);
    let mut found = Vec::new();
    let mut commands = words
        .split(|word| word.text == b";" && !word.is_quoted)
        .peekable();
    while let Some(words) = commands.next() {
        let Some((first, arguments)) = words.split_first() else {
            continue;
        };
        let start = first.text.iter().position(|byte| !b"@-:+!|".contains(byte));
        let (prefix, program) = first.text.split_at(start.unwrap_or(first.text.len()));
        let may_fail = prefix.contains(&b'-');
        let is_last = commands.peek().is_none();
        if is_last && !is_whole {
            // systemd refuses a service with an open quote or a final backslash. With the prefix `-` it ignores only
            // this command.
            if may_fail {
                break;
            }
            return Err(format!(
                "{key} has an unbalanced quote, or ends with a backslash"
            ));
        }
        let is_static = !program.contains(&b'$');
        let program = is_static.then(|| expand(program, unit)).flatten();
        let is_bad = |name: &Vec<u8>| {
            name.is_empty()
                || name.ends_with(b"/")
                || (name.contains(&b'/') && !name.starts_with(b"/"))
        };
        if program.as_ref().is_some_and(is_bad) {
            if may_fail {
                continue;
            }
            let shown = String::from_utf8_lossy(&first.text);
            return Err(format!(
                "{key}={shown} is neither the name nor the absolute path of a program"
            ));
        }
        // With the prefix `@`, the word after the program is its argv[0].
        let skip = usize::from(prefix.contains(&b'@'));
        found.push(UnitCommand {
            key,
            program,
            arguments: arguments
                .iter()
                .skip(skip)
                .map(|it| it.text.clone())
                .collect(),
            may_fail,
            is_unconfined: prefix.contains(&b'+'),
            path: path.to_vec(),
        });
    }
    Ok(found)
}

/// A word of a command line, without quotes.
struct Word {
    text: Vec<u8>,
    /// Whether a part of the word is in quotes or escaped.
    is_quoted: bool,
}

/// Splits a command line into words. Removes quotes and replaces `\s`, `\t` and `\n`. Before any other letter or digit
/// a backslash is kept; before other bytes it is removed. The second value is `false` if a quote is not closed or the
/// line ends with a backslash; in the latter case the last word is dropped.
fn words(line: &[u8]) -> (Vec<Word>, bool) {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        if quote.is_none() && byte.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert(Word {
            text: Vec::new(),
            is_quoted: false,
        });
        match byte {
            b'\\' => {
                word.is_quoted = true;
                match bytes.next() {
                    Some(b's') => word.text.push(b' '),
                    Some(b't') => word.text.push(b'\t'),
                    Some(b'n') => word.text.push(b'\n'),
                    Some(next) if next.is_ascii_alphanumeric() => word.text.extend([byte, next]),
                    Some(next) => word.text.push(next),
                    None => {
                        words.push(Word {
                            text: std::mem::take(&mut word.text),
                            is_quoted: true,
                        });
                        return (words, false);
                    }
                }
            }
            b'"' | b'\'' if quote.is_none() => {
                word.is_quoted = true;
                quote = Some(byte);
            }
            _ if quote == Some(byte) => quote = None,
            _ => word.text.push(byte),
        }
    }
    words.extend(word);
    (words, quote.is_none())
}

/// Returns the units that a call of `systemctl start`, `restart` or `isolate` starts, each with `true` for `isolate`. A
/// name without the suffix of a type is that of a service. Names that are not valid are left out. Empty for any other
/// command.
pub(super) fn started_by(command: &UnitCommand) -> Vec<(bool, Vec<u8>)> {
    let mut words = systemctl(command);
    let starts = ["start", "isolate", "restart"].map(str::as_bytes);
    let Some(verb) = words.next().filter(|verb| starts.contains(verb)) else {
        return Vec::new();
    };
    let name = |word: &[u8]| {
        if is_unit(word) {
            word.to_vec()
        } else {
            [word, b".service"].concat()
        }
    };
    let names = words.map(name).filter(|it| is_unit(it));
    names.map(|name| (verb == b"isolate", name)).collect()
}

/// Returns the words of a call of systemctl that are not options; none for another program.
fn systemctl(command: &UnitCommand) -> impl Iterator<Item = &[u8]> {
    let program = command.program.as_deref().unwrap_or_default();
    let is_systemctl = basename(program) == b"systemctl";
    let words = command.arguments.iter().map(Vec::as_slice);
    words.filter(move |word| is_systemctl && !word.starts_with(b"-"))
}

impl UnitCommand {
    /// Returns whether the command is `systemctl switch-root`.
    pub fn switches_root(&self) -> bool {
        systemctl(self).next() == Some(b"switch-root")
    }

    /// Returns whether the command runs a program with this file name, in any directory.
    pub fn is_program(&self, name: &[u8]) -> bool {
        let program = self.program.as_deref().unwrap_or_default();
        basename(program) == name
    }

    /// Returns whether the command runs a program whose path ends with `end`.
    pub fn has_path(&self, end: &[u8]) -> bool {
        let program = self.program.as_deref();
        program.is_some_and(|program| program.ends_with(end))
    }

    /// Returns whether the command has this argument.
    pub fn has_argument(&self, argument: &[u8]) -> bool {
        self.arguments.iter().any(|it| it == argument)
    }
}
