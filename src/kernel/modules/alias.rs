// SPDX-License-Identifier: MIT OR Apache-2.0
//! `modules.alias`: the aliases by which devices and programs request modules.
//!
//! Patterns are those of fnmatch: `*`, `?`, `[a-f0-9]`, `[!x]`. Matching takes at most time proportional to the length
//! of the pattern times the length of the text.

use std::collections::BTreeMap;

use super::{ModuleName, ParseError, keyword, lines, words};

/// `modules.alias`: normalised patterns with their modules, by the literal prefix of each pattern. A pattern can match
/// an alias only if the alias begins with the pattern's literal prefix, which is so for a few of some ten thousand
/// patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases(BTreeMap<Vec<u8>, Vec<(Vec<u8>, ModuleName)>>);

impl Aliases {
    /// Parses `alias PATTERN MODULE` lines. Comments and empty lines are skipped. Fails on any other line, and on a
    /// pattern with an unclosed bracket.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut aliases = Self::default();
        for line in lines("modules.alias", bytes) {
            let line = line?;
            let wrong = || line.error("alias PATTERN MODULE");
            // A pattern can contain spaces, as DMI strings do; a module's name cannot.
            let rest = keyword(b"alias", line.text).ok_or_else(wrong)?;
            let name = words(rest).last().ok_or_else(wrong)?;
            let pattern = rest[..rest.len() - name.len()].trim_ascii_end();
            let name = ModuleName::new(name).ok_or_else(wrong)?;
            if pattern.is_empty() {
                return Err(wrong());
            }
            let closed = || line.error("a pattern with its brackets closed");
            aliases.add(normalise(pattern).ok_or_else(closed)?, name);
        }
        Ok(aliases)
    }

    /// Parses the `MODULE.alias=PATTERN` fields of `modules.builtin.modinfo`, whose fields are separated by NULs. Other
    /// fields, and patterns with an unclosed bracket, are ignored.
    pub fn parse_builtin(bytes: &[u8]) -> Self {
        let fields = bytes.split(|&byte| byte == 0).filter_map(|field| {
            let dot = field.iter().position(|&byte| byte == b'.')?;
            let pattern = field[dot..].strip_prefix(b".alias=")?;
            Some((normalise(pattern)?, ModuleName::new(&field[..dot])?))
        });
        let mut aliases = Self::default();
        for (pattern, name) in fields {
            aliases.add(pattern, name);
        }
        aliases
    }

    fn add(&mut self, pattern: Vec<u8>, name: ModuleName) {
        let special = pattern.iter().position(|byte| b"*?[\\".contains(byte));
        let head = pattern[..special.unwrap_or(pattern.len())].to_vec();
        self.0.entry(head).or_default().push((pattern, name));
    }

    /// Returns the modules with a pattern that matches `alias`; a module with several such patterns is repeated.
    /// Returns no module if `alias` has an unclosed bracket.
    pub fn resolve(&self, alias: &[u8]) -> Vec<&ModuleName> {
        let Some(alias) = normalise(alias) else {
            return Vec::new();
        };
        (0..=alias.len())
            .filter_map(|head| self.0.get(&alias[..head]))
            .flatten()
            .filter(|(pattern, _)| matches(pattern, &alias))
            .map(|(_, name)| name)
            .collect()
    }

    /// Returns every normalised pattern with its module.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &ModuleName)> {
        let aliases = self.0.values().flatten();
        aliases.map(|(pattern, name)| (pattern.as_slice(), name))
    }
}

/// Replaces `-` by `_`, except in brackets, where `-` denotes a range. Returns `None` if a bracket is not closed:
/// depmod does not write such a pattern, and kmod finds no module for such an alias.
fn normalise(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = text.to_vec();
    let mut at = 0;
    while at < out.len() {
        match out[at] {
            b'[' => at += set(&out[at..])?.1,
            byte => {
                out[at] = if byte == b'-' { b'_' } else { byte };
                at += 1;
            }
        }
    }
    Some(out)
}

/// Returns whether `pattern` matches the whole `text`. After a mismatch, the last `*` takes one byte more; other
/// lengths for earlier `*` need not be tried.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            Some(&byte) => one(&pattern[p..], byte),
            None if p == pattern.len() => return true,
            None => return false,
        };
        match (step, star) {
            (Some(length), _) => (p, t) = (p + length, t + 1),
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            (None, None) => return false,
        }
    }
}

/// Returns the length of the pattern's first element if the element matches `byte`, else `None`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match set(pattern) {
            Some((set, length)) => in_set(set, byte).then_some(length),
            None => (byte == b'[').then_some(1),
        },
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

/// Returns the text between the brackets at the start of `pattern`, and the length of the text with both brackets. A
/// `]` that comes first, or right after `!` or `^`, belongs to the text. Returns `None` if `pattern` does not start
/// with a bracket, or the bracket is not closed.
fn set(pattern: &[u8]) -> Option<(&[u8], usize)> {
    let inner = pattern.strip_prefix(b"[")?;
    let first = match inner.first()? {
        b'!' | b'^' => 1,
        _ => 0,
    };
    let end = inner
        .iter()
        .skip(first + 1)
        .position(|&byte| byte == b']')?
        + first
        + 1;
    Some((&inner[..end], end + 2))
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, mut set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    loop {
        set = match set {
            [low, b'-', high, rest @ ..] => {
                found |= (*low..=*high).contains(&byte);
                rest
            }
            [single, rest @ ..] => {
                found |= *single == byte;
                rest
            }
            [] => return found != negated,
        };
    }
}
