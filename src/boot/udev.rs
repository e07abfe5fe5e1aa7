// SPDX-License-Identifier: MIT OR Apache-2.0
//! udev's rules, by the order and grammar of udev (`src/udev/udev-rules.c`, v257): of two files with one name
//! the first directory's counts, files are sorted by name, and an invalid line is ignored as a whole.
//!
//! `run/` is not searched: systemd mounts a tmpfs there.

use std::collections::BTreeMap;

use super::show;
use crate::initramfs::{EntryType, Inventory, ResolveError};

/// The directories of rules, the first one first.
const DIRS: [&[u8]; 4] = [
    b"etc/udev/rules.d",
    b"usr/local/lib/udev/rules.d",
    b"usr/lib/udev/rules.d",
    b"lib/udev/rules.d",
];

/// The maximum number of tokens of all files. Real images have about 3,000.
const TOKENS_MAX: usize = 200_000;

/// The longest line (`UDEV_LINE_SIZE`).
const LINE_MAX: usize = 16 << 10;

/// Keys, and whether they have an attribute in braces: never, always, or both.
const KEYS: [(&[u8], Option<bool>); 28] = [
    (b"ACTION", Some(false)),
    (b"DEVPATH", Some(false)),
    (b"KERNEL", Some(false)),
    (b"SYMLINK", Some(false)),
    (b"NAME", Some(false)),
    (b"ENV", Some(true)),
    (b"CONST", Some(true)),
    (b"TAG", Some(false)),
    (b"SUBSYSTEM", Some(false)),
    (b"DRIVER", Some(false)),
    (b"ATTR", Some(true)),
    (b"SYSCTL", Some(true)),
    (b"KERNELS", Some(false)),
    (b"SUBSYSTEMS", Some(false)),
    (b"DRIVERS", Some(false)),
    (b"ATTRS", Some(true)),
    (b"TAGS", Some(false)),
    (b"TEST", None),
    (b"PROGRAM", Some(false)),
    (b"IMPORT", Some(true)),
    (b"RESULT", Some(false)),
    (b"OPTIONS", Some(false)),
    (b"OWNER", Some(false)),
    (b"GROUP", Some(false)),
    (b"MODE", Some(false)),
    (b"SECLABEL", Some(true)),
    (b"RUN", None),
    (b"GOTO", Some(false)),
];

/// One `KEY{attribute}OPERATOR"value"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The key.
    pub key: Vec<u8>,
    /// The attribute in braces.
    pub attribute: Option<Vec<u8>>,
    /// `==`, `!=`, `=`, `+=`, `-=`, `:=`.
    pub operator: &'static [u8],
    /// The value, without its quotes.
    pub value: Vec<u8>,
}

impl Token {
    /// Returns whether the token assigns or adds to `key`.
    pub fn sets(&self, key: &[u8]) -> bool {
        self.key == key && !self.is_match()
    }

    fn is_match(&self) -> bool {
        matches!(self.operator, b"==" | b"!=")
    }

    /// Returns whether the device of an event matches; `None` if this is unknown.
    fn fits(&self, event: &Event) -> Option<bool> {
        let actual = match (self.key.as_slice(), self.attribute.as_deref()) {
            (b"ACTION", _) => Some("add"),
            (b"SUBSYSTEM", _) => event.subsystem,
            (b"KERNEL", _) => event.kernel,
            (b"ENV", Some(b"DEVTYPE")) => event.kind,
            // Only the rules of device-mapper set these, for their own devices.
            (b"ENV", Some(name)) if name.starts_with(b"DM_") => event.kernel.map(|_| ""),
            _ => None,
        }?;
        let mut patterns = self.value.split(|&byte| byte == b'|');
        let is_one = patterns.any(|pattern| matches_glob(pattern, actual.as_bytes()));
        Some(is_one == (self.operator == b"=="))
    }
}

/// A new device, with its known properties.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// `SUBSYSTEM`.
    pub subsystem: Option<&'static str>,
    /// `KERNEL`.
    pub kernel: Option<&'static str>,
    /// `ENV{DEVTYPE}`.
    pub kind: Option<&'static str>,
}

/// Matches a pattern of `fnmatch`: `*`, `?`, `[a-z]`.
fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The position after the last star.
    let mut star = None;
    while n < name.len() {
        let one = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => set(&pattern[p..], name[n]),
            Some(byte) if *byte == name[n] => Some(1),
            _ => None,
        };
        match (one, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Returns the length of the set at the start of a pattern if the set contains `byte`.
fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().position(|&it| it == b']')?;
    let inner = &pattern[1..end];
    let (negated, inner) = match inner.strip_prefix(b"!").or(inner.strip_prefix(b"^")) {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    let is_in = inner.contains(&byte)
        || inner
            .windows(3)
            .any(|it| it[1] == b'-' && (it[0]..=it[2]).contains(&byte));
    (is_in != negated).then_some(end + 1)
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its tokens.
    pub tokens: Vec<Token>,
}

impl Rule {
    /// Returns whether the device may match.
    fn may_fit(&self, event: &Event) -> bool {
        let mut matches = self.tokens.iter().filter(|it| it.is_match());
        matches.all(|it| it.fits(event) != Some(false))
    }

    /// Returns whether the device matches with all values of its unknown properties.
    fn always_fits(&self, event: &Event) -> bool {
        let decides =
            |it: &&Token| it.is_match() || matches!(it.key.as_slice(), b"PROGRAM" | b"IMPORT");
        let mut conditions = self.tokens.iter().filter(decides);
        conditions.all(|it| it.fits(event) == Some(true))
    }

    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        let token = self.tokens.iter().find(|it| it.key == key);
        token.map(|it| it.value.as_slice())
    }
}

/// A line that udev ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The file.
    pub path: Vec<u8>,
    /// The line's number.
    pub line: usize,
    /// The reason.
    pub why: String,
}

/// All rules, in the order in which udev applies them.
#[derive(Debug, Default)]
pub struct Rules {
    /// By file.
    files: Vec<Vec<Rule>>,
    /// The paths of these files, before links are resolved.
    paths: Vec<Vec<u8>>,
    /// Lines that udev ignores.
    pub rejected: Vec<Rejected>,
    /// Whether a text was not kept or a limit was exceeded: then no rule is reported as missing.
    pub is_partial: bool,
}

impl Rules {
    /// Reads the rules of an initramfs.
    pub fn new(inventory: &Inventory) -> Self {
        let mut paths: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for dir in DIRS {
            for (name, _) in inventory.children(dir) {
                if name.ends_with(b".rules") {
                    let path = [dir, b"/", name].concat();
                    // udev ignores a dangling link, except a link to /dev/null.
                    if leads_somewhere(inventory, &path) {
                        paths.entry(name).or_insert(path);
                    }
                }
            }
        }
        let mut rules = Self::default();
        let mut left = TOKENS_MAX;
        for path in paths.into_values() {
            let node = inventory.resolve(&path).ok().map(|(_, node)| node);
            let node = node.filter(|node| node.kind == EntryType::File);
            let Some(content) = node.and_then(|node| inventory.content(node)) else {
                continue;
            };
            match content.data.as_deref() {
                Some(data) => rules.read(&path, data, &mut left),
                None => rules.is_partial |= content.size > 0,
            }
        }
        rules
    }

    fn read(&mut self, path: &[u8], text: &[u8], left: &mut usize) {
        let mut file = Vec::new();
        let mut labels = Vec::new();
        let mut gotos = Vec::new();
        for (number, line) in lines(text) {
            let reject = |why: String| Rejected {
                path: path.to_vec(),
                line: number,
                why,
            };
            match tokens(&line) {
                Ok(tokens) => {
                    let rule = Rule { tokens };
                    let Some(rest) = left.checked_sub(rule.tokens.len()) else {
                        self.is_partial = true;
                        break;
                    };
                    *left = rest;
                    labels.extend(rule.value(b"LABEL").map(<[u8]>::to_vec));
                    if let Some(label) = rule.value(b"GOTO") {
                        gotos.push((number, label.to_vec()));
                    }
                    file.push(rule);
                }
                Err(why) => self.rejected.push(reject(why)),
            }
        }
        for (line, label) in gotos {
            if !labels.contains(&label) {
                let why = format!("GOTO=\"{}\" has no LABEL in its file", show(&label));
                let path = path.to_vec();
                self.rejected.push(Rejected { path, line, why });
            }
        }
        self.files.push(file);
        self.paths.push(path.to_vec());
    }

    /// Returns the number of the first rule that an event reaches and `is_goal` accepts.
    pub fn reach(&self, event: &Event, is_goal: &dyn Fn(&Rule) -> bool) -> Option<(usize, usize)> {
        for (file, rules) in self.files.iter().enumerate() {
            let mut at = 0;
            while let Some(rule) = rules.get(at) {
                if rule.may_fit(event) && is_goal(rule) {
                    return Some((file, at));
                }
                let label = rule.value(b"GOTO");
                let label = label.filter(|_| rule.always_fits(event));
                let target = label.and_then(|label| {
                    let mut rest = rules.iter().skip(at + 1);
                    rest.position(|it| it.value(b"LABEL") == Some(label))
                });
                // The rule with the label is read itself.
                at += 1 + target.unwrap_or(0);
            }
        }
        None
    }

    /// Returns each file with the values of its tokens, which can name programs and units.
    pub fn values(&self) -> impl Iterator<Item = (&[u8], Vec<&[u8]>)> {
        let files = self.paths.iter().zip(&self.files);
        files.map(|(path, rules)| {
            let tokens = rules.iter().flat_map(|rule| &rule.tokens);
            (
                path.as_slice(),
                tokens.map(|it| it.value.as_slice()).collect(),
            )
        })
    }
}

/// Returns whether a link points to a file, or to `/dev/null`, which masks.
fn leads_somewhere(inventory: &Inventory, path: &[u8]) -> bool {
    match inventory.resolve(path) {
        Ok(_) => true,
        Err(ResolveError::NotFound { missing, .. }) => missing == b"dev/null",
        Err(_) => false,
    }
}

/// Returns the lines that are not comments, each with its number; a backslash at the end joins lines.
fn lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut joined: Option<(usize, Vec<u8>)> = None;
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_start();
        if line.starts_with(b"#") {
            continue;
        }
        let (number, mut whole) = joined.take().unwrap_or((number + 1, Vec::new()));
        match line.strip_suffix(b"\\") {
            Some(part) => {
                whole.extend_from_slice(part);
                joined = Some((number, whole));
            }
            None => {
                whole.extend_from_slice(line);
                if !whole.trim_ascii().is_empty() {
                    lines.push((number, whole));
                }
            }
        }
    }
    lines
}

/// Parses a line.
fn tokens(line: &[u8]) -> Result<Vec<Token>, String> {
    if line.len() > LINE_MAX {
        return Err("it is longer than 16 KiB".into());
    }
    let mut tokens = Vec::new();
    let mut rest = line;
    loop {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        rest = &rest[rest.iter().take_while(|it| is_between(it)).count()..];
        if rest.is_empty() {
            return Ok(tokens);
        }
        let (token, after) = token(rest).ok_or_else(|| {
            let shown = show(&rest[..rest.len().min(40)]);
            format!("expected KEY=\"value\" at `{shown}`")
        })?;
        check(&token)?;
        tokens.push(token);
        rest = after;
    }
}

fn token(text: &[u8]) -> Option<(Token, &[u8])> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"+-=!:{".contains(byte);
    let end = text.iter().position(is_end).filter(|&end| end > 0)?;
    let (key, mut rest) = text.split_at(end);
    let mut attribute = None;
    if let Some(inner) = rest.strip_prefix(b"{") {
        let end = inner.iter().position(|&byte| byte == b'}')?;
        attribute = Some(inner[..end].to_vec());
        rest = &inner[end + 1..];
    }
    rest = rest.trim_ascii_start();
    let operators: [&[u8]; 6] = [b"==", b"!=", b"+=", b"-=", b":=", b"="];
    let operator = operators.into_iter().find(|it| rest.starts_with(it))?;
    rest = rest[operator.len()..].trim_ascii_start();
    let prefix = rest
        .iter()
        .take(2)
        .take_while(|it| b"ei".contains(it))
        .count();
    let inner = rest[prefix..].strip_prefix(b"\"")?;
    let mut value = Vec::new();
    let mut bytes = inner.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                let key = key.to_vec();
                let token = Token {
                    key,
                    attribute,
                    operator,
                    value,
                };
                return Some((token, &inner[at + 1..]));
            }
            b'\\' if inner.get(at + 1) == Some(&b'"') => {
                value.push(b'"');
                bytes.next();
            }
            byte => value.push(byte),
        }
    }
    None
}

fn check(token: &Token) -> Result<(), String> {
    let shown = show(&token.key);
    if token.key == b"LABEL" {
        return Ok(());
    }
    let known = KEYS.iter().find(|it| it.0 == token.key);
    let (_, braces) = known.ok_or_else(|| format!("unknown key {shown}"))?;
    match (braces, &token.attribute) {
        (Some(true), None) => Err(format!("{shown} has no attribute")),
        (Some(false), Some(_)) => Err(format!("{shown} has an attribute")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_rules() {
        let parse = |text: &str| -> Vec<String> {
            let lines = lines(text.as_bytes());
            let parsed = lines.iter().map(|(number, line)| match tokens(line) {
                Ok(tokens) => {
                    let show = |it: &Token| {
                        format!("{}{}{}", show(&it.key), show(it.operator), show(&it.value))
                    };
                    tokens.iter().map(show).collect::<Vec<_>>().join(" ")
                }
                Err(why) => format!("{number}: {why}"),
            });
            parsed.collect()
        };
        let text = "# KERNEL==\"x\"\n\nACTION==\"add\", \\\n  # more\n ENV{A}!=\"b\\\"c\" RUN{builtin} += \"kmod load\"\n";
        assert_eq!(parse(text), ["ACTION==add ENV!=b\"c RUN+=kmod load"]);
        for (line, why) in [
            ("ACTION==\"ad", "expected KEY="),
            ("ACTION", "expected KEY="),
            ("ACTION=add", "expected KEY="),
            ("ENV{A=\"b\"", "expected KEY="),
            ("ACTOIN==\"add\"", "unknown key ACTOIN"),
            ("ENV==\"add\"", "ENV has no attribute"),
            ("KERNEL{x}==\"add\"", "KERNEL has an attribute"),
        ] {
            let found = parse(line);
            assert!(found[0].contains(why), "{line}: {found:?}");
        }
        assert_eq!(
            parse("SYMLINK+=e\"a b\", LABEL=\"x\""),
            ["SYMLINK+=a b LABEL=x"]
        );
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("sd*", "sda1", true),
            ("sd?", "sda1", false),
            ("sd[a-c][!2]", "sda1", true),
            ("*a*1", "sda1", true),
            ("*b*", "sda1", false),
            ("[", "[", false),
            ("", "", true),
            ("a**", "a", true),
        ] {
            let found = matches_glob(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }
}
