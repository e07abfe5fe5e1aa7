// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of a unit file, as systemd's `config_parse` reads them (`src/shared/conf-parser.c`, v257).
//!
//! systemd ignores an assignment before the first section, a line without `=` and a line that is not UTF-8, and logs a
//! warning. A header without its `]`, or a line that is too long, makes the whole file unusable.

use std::borrow::Cow;

/// The maximum length of a line with its continuation lines (bytes, `LONG_LINE_MAX`).
const LINE_MAX: usize = 1 << 20;

/// The maximum number of assignments in one file. systemd's own units have at most about 60.
const ASSIGNMENTS_MAX: usize = 20_000;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment<'a> {
    pub(super) section: Vec<u8>,
    pub(super) key: Cow<'a, [u8]>,
    pub(super) value: Cow<'a, [u8]>,
}

/// The content of a unit file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UnitFile<'a> {
    pub(super) assignments: Vec<Assignment<'a>>,
    /// The number of the first line that systemd ignores, and the reason. The number is 0 for a continuation line at
    /// the end of the file.
    pub(super) ignored: Option<(usize, &'static str)>,
}

/// The reason why a unit file is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFile {
    /// A header has no `]`; the number of its line, or 0 as in [`UnitFile::ignored`].
    #[error("line {0} starts a section and has no `]`")]
    Header(usize),
    /// A line, with its continuation lines, is longer than [`LINE_MAX`].
    #[error("line {0} is longer than 1 MiB")]
    Long(usize),
    /// More than [`ASSIGNMENTS_MAX`] assignments, a limit of this parser.
    #[error("it has more than {ASSIGNMENTS_MAX} assignments")]
    TooMany,
}

/// Parses a unit file.
///
/// # Errors
/// When systemd rejects the file, or the file has more than [`ASSIGNMENTS_MAX`] assignments.
pub(super) fn parse(text: &[u8]) -> Result<UnitFile<'_>, BadFile> {
    let mut file = UnitFile::default();
    let mut section: Option<Vec<u8>> = None;
    let mut joined: Option<Vec<u8>> = None;
    let mut last = 0;
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let number = number + 1;
        last = number;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start = line.trim_ascii_start();
        if matches!(start.first(), Some(b'#' | b';')) {
            continue;
        }
        let continues = line.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
        let length = joined.as_ref().map_or(0, Vec::len) + line.len();
        if length > LINE_MAX {
            return Err(BadFile::Long(number));
        }
        if continues {
            let joined = joined.get_or_insert_default();
            joined.extend_from_slice(&line[..line.len() - 1]);
            joined.push(b' ');
            continue;
        }
        let line = match joined.take() {
            None => Cow::Borrowed(line),
            Some(mut joined) => {
                joined.extend_from_slice(line);
                Cow::Owned(joined)
            }
        };
        read_line(line, number, &mut section, &mut file)?;
    }
    // The file ends in a continuation line.
    if let Some(joined) = joined {
        read_line(Cow::Owned(joined), last, &mut section, &mut file)?;
    }
    Ok(file)
}

fn read_line<'a>(
    line: Cow<'a, [u8]>,
    number: usize,
    section: &mut Option<Vec<u8>>,
    file: &mut UnitFile<'a>,
) -> Result<(), BadFile> {
    let stripped = line.trim_ascii();
    if stripped.is_empty() {
        return Ok(());
    }
    if let Some(header) = stripped.strip_prefix(b"[") {
        let name = header.strip_suffix(b"]").ok_or(BadFile::Header(number))?;
        *section = Some(name.to_vec());
        return Ok(());
    }
    let mut ignore = |why| {
        file.ignored.get_or_insert((number, why));
        Ok(())
    };
    let Some(section) = section.as_ref() else {
        return ignore("is outside of a section");
    };
    let Some(at) = stripped.iter().position(|&byte| byte == b'=') else {
        return ignore("has no `=`");
    };
    if std::str::from_utf8(stripped).is_err() {
        return ignore("is not UTF-8");
    }
    if file.assignments.len() == ASSIGNMENTS_MAX {
        return Err(BadFile::TooMany);
    }
    let (key, value) = match line {
        Cow::Borrowed(line) => {
            let (key, value) = line.trim_ascii().split_at(at);
            (
                Cow::Borrowed(key.trim_ascii()),
                Cow::Borrowed(value[1..].trim_ascii()),
            )
        }
        Cow::Owned(line) => {
            let (key, value) = line.trim_ascii().split_at(at);
            (
                Cow::Owned(key.trim_ascii().to_vec()),
                Cow::Owned(value[1..].trim_ascii().to_vec()),
            )
        }
    };
    file.assignments.push(Assignment {
        section: section.clone(),
        key,
        value,
    });
    Ok(())
}

/// Parses a boolean value (`parse_boolean`); `None` if systemd does not accept it.
pub(super) fn is_true(value: &[u8]) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    match value.as_slice() {
        b"1" | b"yes" | b"y" | b"true" | b"t" | b"on" => Some(true),
        b"0" | b"no" | b"n" | b"false" | b"f" | b"off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let file = parse(text.as_bytes()).unwrap();
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        file.assignments
            .iter()
            .map(|it| {
                format!(
                    "{}.{}={}",
                    show(&it.section),
                    show(&it.key),
                    show(&it.value)
                )
            })
            .collect()
    }

    #[test]
    fn lines_of_a_unit() {
        let text = "Early=1\n# [x\n[Unit]\n A = b \n;c=d\nnothing\nB=x \\\n# comment\n  y\\\\\n[Service]\r\nC=\n";
        assert_eq!(read(text), ["Unit.A=b", "Unit.B=x    y\\\\", "Service.C="]);
        let file = parse(text.as_bytes()).unwrap();
        assert_eq!(file.ignored, Some((1, "is outside of a section")));
        assert_eq!(read("[Unit]\nA=b\\"), ["Unit.A=b"]);
    }

    #[test]
    fn files_that_are_rejected() {
        assert_eq!(parse(b"[Unit]\nA=b\n[Serv"), Err(BadFile::Header(3)));
        let long = [b"[Unit]\n".to_vec(), vec![b'x'; LINE_MAX + 1]].concat();
        assert_eq!(parse(&long), Err(BadFile::Long(2)));
        let many = ["[Unit]\n", &"A=b\n".repeat(ASSIGNMENTS_MAX + 1)].concat();
        assert_eq!(parse(many.as_bytes()), Err(BadFile::TooMany));
        assert_eq!(parse(b"\xff=\xff\n[U]\n\xff=1").unwrap().assignments, []);
    }
}
