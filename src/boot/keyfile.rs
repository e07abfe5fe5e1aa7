// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key files as GLib reads them (`glib/gkeyfile.c`, 2.84): groups in brackets, `key=value` lines, comments, empty
//! lines. Any other line makes the whole file unusable.

use std::collections::BTreeMap;

/// The maximum number of lines in one file.
const LINES_MAX: usize = 10_000;

/// Groups, keys and values; a later line replaces an earlier one with the same group and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFile(BTreeMap<(String, String), String>);

/// The reason why a key file is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// A `key=value` line before the first group; the line's number.
    #[error("line {0} is before the first [group]")]
    NoGroup(usize),
    /// A line with an invalid syntax; its number.
    #[error("line {0} is neither a [group], nor key=value, nor a comment")]
    Line(usize),
    /// The file is not UTF-8, or contains a NUL. ostree rejects it before GLib reads it (`glnx_fd_readall_utf8`).
    #[error("it is not UTF-8 text")]
    Encoding,
    /// More than [`LINES_MAX`] lines, a limit of this parser.
    #[error("it has more than {LINES_MAX} lines")]
    TooMany,
}

impl KeyFile {
    /// Adds the keys of a file.
    ///
    /// # Errors
    /// When the file is not UTF-8 text, has too many lines, or has a line that GLib rejects. The keys before that line are
    /// kept.
    pub fn add(&mut self, text: &[u8]) -> Result<(), KeyFileError> {
        let text = std::str::from_utf8(text).map_err(|_| KeyFileError::Encoding)?;
        if text.contains('\0') {
            return Err(KeyFileError::Encoding);
        }
        let mut group = None;
        for (number, line) in text.split('\n').enumerate() {
            let number = number + 1;
            if number > LINES_MAX {
                return Err(KeyFileError::TooMany);
            }
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest.strip_suffix(']').unwrap_or_default();
                if name.is_empty() || name.contains(['[', ']']) {
                    return Err(KeyFileError::Line(number));
                }
                group = Some(name.to_owned());
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(KeyFileError::Line(number))?;
            let key = key.trim_end();
            // A key can have a locale: `Name[de]`.
            let is_localised = |locale: &str| {
                let locale = locale.strip_suffix(']');
                let fits = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
                locale.is_some_and(|locale| locale.chars().all(fits))
            };
            let (name, is_right) = match key.split_once('[') {
                Some((name, locale)) => (name, is_localised(locale)),
                None => (key, !key.contains(']')),
            };
            if name.is_empty() || name.ends_with(' ') || !is_right {
                return Err(KeyFileError::Line(number));
            }
            let group = group.clone().ok_or(KeyFileError::NoGroup(number))?;
            let value = value.trim_start().to_owned();
            self.0.insert((group, key.to_owned()), value);
        }
        Ok(())
    }

    /// Returns the value of a key; `None` if no added file has it.
    pub fn get(&self, group: &str, key: &str) -> Option<&str> {
        let value = self.0.get(&(group.to_owned(), key.to_owned()));
        value.map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_key_file() {
        let mut file = KeyFile::default();
        file.add(b"# x\n[a]\n k = v \nb[x=1\n").unwrap_err();
        let mut file = KeyFile::default();
        file.add(b"# x\n[a]\r\n k = v \n\n[b]\nk=\n").unwrap();
        file.add(b"[b]\nk=w\n").unwrap();
        assert_eq!(file.get("a", "k"), Some("v"));
        assert_eq!(file.get("b", "k"), Some("w"));
        assert_eq!(file.get("b", "x"), None);
        let mut file = KeyFile::default();
        let text = b"[a]\nName[de_DE.UTF-8@x]=1\nk[de]=w\nk[]=x\n";
        file.add(text).unwrap();
        assert_eq!(file.get("a", "k[de]"), Some("w"));
        for (text, expected) in [
            (b"k=v\n".as_slice(), KeyFileError::NoGroup(1)),
            (b"[a]\nk\n", KeyFileError::Line(2)),
            (b"[a\n", KeyFileError::Line(1)),
            (b"[a]\n=v\n", KeyFileError::Line(2)),
            (b"[]\n", KeyFileError::Line(1)),
            (b"[a]\n[x=1\n", KeyFileError::Line(2)),
            (b"[a]\nk[=1\n", KeyFileError::Line(2)),
            (b"[a]\nk [de]=1\n", KeyFileError::Line(2)),
            (b"[a]\nk=\xff\n", KeyFileError::Encoding),
            (b"# \xff\n[a]\nk=v\n", KeyFileError::Encoding),
            (b"[a]\nk=v\0\n", KeyFileError::Encoding),
            (b"[a]\nk[d e]=1\n", KeyFileError::Line(2)),
            (b"[a]\nk]=1\n", KeyFileError::Line(2)),
        ] {
            assert_eq!(KeyFile::default().add(text), Err(expected));
        }
    }
}
