// SPDX-License-Identifier: MIT OR Apache-2.0
//! SHA-256 digests that the user requires: `SOURCE#sha256=HEX`, and files that `sha256sum` wrote.

use std::collections::BTreeMap;

use super::Refusal;

/// The separator between a source and its digest.
pub const MARK: &str = "#sha256=";

/// Splits `#sha256=HEX` off a source. Returns the source and, if there is one, the digest in lower case.
///
/// # Errors
/// When the digest is malformed, or a URL has another fragment: the user may take it for a digest, but it would not be
/// verified.
pub fn split(source: &str) -> Result<(&str, Option<String>), Refusal> {
    let refuse = |why: &str| {
        Err(Refusal::BadFile {
            file: source.to_owned(),
            why: format!(
                "{why}; expected {MARK} and the 64 hexadecimal digits that sha256sum prints"
            ),
        })
    };
    match source.rsplit_once(MARK) {
        Some((source, hex)) => match digest(hex) {
            Some(digest) => Ok((source, Some(digest))),
            None => refuse(&format!("\"{hex}\" is not a SHA-256")),
        },
        None if source.contains("://") && source.contains('#') => refuse("unknown text after #"),
        None => Ok((source, None)),
    }
}

/// Parses a SHA-256 in hexadecimal, and returns it in lower case; `None` if it is malformed.
fn digest(hex: &str) -> Option<String> {
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| hex.to_ascii_lowercase())
}

/// The digests in a file that `sha256sum` wrote, by file name.
#[derive(Debug)]
pub struct Sums {
    file: String,
    digests: BTreeMap<String, String>,
}

impl Sums {
    /// Parses the lines: `HEX  NAME`, `HEX *NAME`, `SHA256 (NAME) = HEX`. Empty lines and lines that begin with `#` are
    /// skipped. Directories in a name are ignored, since a downloaded package is usually in another directory. `file`
    /// is the name of the file, for messages.
    ///
    /// # Errors
    /// When a line has another form, or a name has two different digests.
    pub fn parse(file: &str, text: &str) -> Result<Self, Refusal> {
        let mut digests = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |why: String| Refusal::BadFile {
                file: file.to_owned(),
                why: format!("line {}: {why}", number + 1),
            };
            let (digest, name) = sum(line).ok_or_else(|| {
                refuse("not a line of sha256sum; expected 64 hexadecimal digits, two spaces and a file name".to_owned())
            })?;
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            if let Some(other) = digests.get(&name).filter(|other| **other != digest) {
                return Err(refuse(format!(
                    "{name} has the digest {digest} here and {other} before; expected one digest for a name"
                )));
            }
            digests.insert(name, digest);
        }
        Ok(Self {
            file: file.to_owned(),
            digests,
        })
    }

    /// Returns the digest of the file name `name`. `source` is the source as the user gave it, for messages.
    ///
    /// # Errors
    /// When no line has the name.
    pub fn of(&self, source: &str, name: &str) -> Result<&str, Refusal> {
        let digest = self.digests.get(name).map(String::as_str);
        digest.ok_or_else(|| Refusal::BadFile {
            file: source.to_owned(),
            why: format!(
                "{} has no line for {name}; expected one for each source. Add it, or leave the source out",
                self.file
            ),
        })
    }
}

/// Parses the digest and the name of one line; `None` if it is malformed.
fn sum(line: &str) -> Option<(String, String)> {
    if let Some((name, hex)) = line
        .strip_prefix("SHA256 (")
        .and_then(|rest| rest.rsplit_once(") = "))
    {
        return Some((digest(hex)?, name.to_owned()));
    }
    // sha256sum escapes a name with a line break or a backslash, and marks the line with a backslash.
    let (line, is_escaped) = match line.strip_prefix('\\') {
        Some(line) => (line, true),
        None => (line, false),
    };
    let (hex, name) = line.split_once(' ')?;
    let name = name.strip_prefix([' ', '*']).filter(|it| !it.is_empty())?;
    let name = if is_escaped {
        unescape(name)
    } else {
        name.to_owned()
    };
    Some((digest(hex)?, name))
}

fn unescape(name: &str) -> String {
    let mut plain = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                other => plain.extend(other),
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_source_has_a_pin_or_none() {
        let lower = HEX.to_ascii_lowercase();
        let pinned = format!("https://host/a.rpm#sha256={HEX}");
        assert_eq!(
            split(&pinned),
            Ok(("https://host/a.rpm", Some(lower.clone())))
        );
        let pinned = format!("/rpms/a#1.rpm#sha256={HEX}");
        assert_eq!(split(&pinned), Ok(("/rpms/a#1.rpm", Some(lower))));
        assert_eq!(split("/rpms/a#1.rpm"), Ok(("/rpms/a#1.rpm", None)));
        for bad in [
            "https://host/a.rpm#sha256=",
            "/a.rpm#sha256=12",
            "https://host/a.rpm#sha512=12",
            "file:///a.rpm#",
        ] {
            assert!(split(bad).is_err(), "{bad}");
        }
        let long = format!("/a.rpm#sha256={HEX}0");
        assert!(split(&long).is_err());
    }

    #[test]
    fn sums_are_read_as_sha256sum_writes_them() {
        let other = "0".repeat(64);
        let text = format!(
            "# what was tested\n{HEX}  text.rpm\n\n{HEX} *binary.rpm\n{other}  ./a/dir.rpm\n\
             SHA256 (tag (1).rpm) = {HEX}\n\\{HEX}  a\\\\b\\nc\n{HEX}  text.rpm\n"
        );
        let sums = Sums::parse("SUMS", &text).unwrap();
        let lower = HEX.to_ascii_lowercase();
        for name in ["text.rpm", "binary.rpm", "tag (1).rpm", "a\\b\nc"] {
            assert_eq!(sums.of("x", name), Ok(lower.as_str()), "{name}");
        }
        assert_eq!(sums.of("x", "dir.rpm"), Ok(other.as_str()));
        let refusal = sums.of("/rpms/b.rpm", "b.rpm").unwrap_err().to_string();
        assert!(refusal.starts_with("/rpms/b.rpm: SUMS has no line for b.rpm"));
    }

    #[test]
    fn a_file_that_is_none_of_sha256sum_is_refused_by_its_line() {
        let twice = format!("{HEX}  a\n{}  b/a\n", "0".repeat(64));
        let short = format!("{}  a\n", &HEX[1..]);
        let nameless = format!("{HEX}  \n");
        for (text, line) in [
            ("<html>", "line 1"),
            (twice.as_str(), "line 2"),
            (short.as_str(), "line 1"),
            (nameless.as_str(), "line 1"),
        ] {
            let refusal = Sums::parse("SUMS", text).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("SUMS: {line}: ")), "{refusal}");
        }
    }
}
