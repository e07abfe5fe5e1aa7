// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks os-release: ostree reads a deployment's title from this file, and refuses to deploy a tree without a title.

use std::collections::BTreeMap;

use super::{Answer, Finding, Subject};

/// The os-release file that ostree reads (`ostree-sysroot-deploy.c`): `usr/lib/os-release`, or `etc/os-release` if the
/// former does not exist.
#[derive(Debug, Clone)]
pub struct OsRelease {
    path: &'static str,
    /// The fields of the file, or the reason why it cannot be read.
    fields: Result<BTreeMap<String, String>, String>,
}

impl OsRelease {
    /// Parses the text of the file at `path`, or keeps the reason why it cannot be read.
    pub fn new(path: &'static str, text: Result<String, String>) -> Self {
        let fields = text.map(|text| text.lines().filter_map(field).collect());
        Self { path, fields }
    }

    /// Returns a field's value without its quotes; `None` if the file has no such field or cannot be read.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let fields = self.fields.as_ref().ok()?;
        fields.get(name).map(String::as_str)
    }
}

/// Parses `NAME=value`; `None` for comments, for lines without `=` and for values that [`unquoted`] cannot parse.
/// ostree skips these lines, too.
fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    if name.starts_with('#') {
        return None;
    }
    Some((name.to_owned(), unquoted(value)?))
}

/// Removes quotes and backslashes; `None` if a quote is not closed, or if an escaping backslash ends the value. Unlike
/// in a shell, a backslash in double quotes escapes any character.
fn unquoted(value: &str) -> Option<String> {
    let mut plain = String::new();
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '\\') => plain.push(chars.next()?),
            (Some('"'), '\\') => match chars.next()? {
                escaped @ ('$' | '`' | '"' | '\\') => plain.push(escaped),
                '\n' => {}
                other => plain.extend(['\\', other]),
            },
            _ => plain.push(c),
        }
    }
    quote.is_none().then_some(plain)
}

pub fn os_release(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let release = &subject.tree()?.os_release;
    let found = match &release.fields {
        Ok(_) if release.get("PRETTY_NAME").or(release.get("ID")).is_some() => return Ok(vec![]),
        Ok(_) => "neither PRETTY_NAME nor ID",
        Err(why) => why,
    };
    let expected = "a PRETTY_NAME or an ID; otherwise ostree refuses to deploy the image";
    let remedy = "reinstall the package that owns it (fedora-release-common, centos-release), or copy the base's file back";
    Ok(vec![Finding::new(release.path, found, expected, remedy)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    const CHECK: &str = "os-release";

    #[test]
    fn quotes_as_in_a_shell() {
        for (line, expected) in [
            ("ID=fedora", Some(("ID", "fedora"))),
            (
                "PRETTY_NAME=\"A \\\"B\\\" C\"",
                Some(("PRETTY_NAME", "A \"B\" C")),
            ),
            ("NAME='it is'", Some(("NAME", "it is"))),
            ("PRETTY_NAME=\"open", None),
            ("#ID=x", None),
            ("ID", None),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(field(line), expected, "{line}");
        }
    }

    #[test]
    fn os_release_needs_a_name() {
        let mut bench = Bench::good();
        assert_eq!(bench.findings(CHECK), [""; 0]);
        bench.change = |tree| {
            tree.os_release = OsRelease::new("usr/lib/os-release", Ok("PRETTY_NAME=x".into()));
        };
        assert_eq!(bench.findings(CHECK), [""; 0]);
        for change in [
            (|tree| tree.os_release = OsRelease::new("etc/os-release", Err("no such file".into())))
                as fn(&mut crate::checks::TreeFacts),
            |tree| tree.os_release = OsRelease::new("etc/os-release", Ok("NAME=x\n".into())),
            |tree| tree.os_release = OsRelease::new("etc/os-release", Ok("ID=\"x\n".into())),
            |tree| tree.os_release = OsRelease::new("etc/os-release", Ok(String::new())),
        ] {
            bench.change = change;
            assert_eq!(bench.findings(CHECK).len(), 1);
        }
    }
}
