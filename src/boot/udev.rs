// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses udev's rules as udev does (`src/udev/udev-rules.c`, v257): files are sorted by name, a file hides those with
//! the same name in later directories, and an invalid line is ignored as a whole.
//!
//! `run/` is not searched: systemd mounts a tmpfs there.

mod event;
mod keys;

use std::collections::{BTreeMap, HashMap};

pub use event::Event;
pub(super) use event::matches_glob;

use super::show;
use crate::initramfs::{EntryType, Inventory, ResolveError};

/// The directories of rules, the one with the highest precedence first.
const DIRS: [&[u8]; 4] = [
    b"etc/udev/rules.d",
    b"usr/local/lib/udev/rules.d",
    b"usr/lib/udev/rules.d",
    b"lib/udev/rules.d",
];

/// The maximum number of tokens in all files together. Real images have about 3,000.
const TOKENS_MAX: usize = 200_000;

/// The maximum length of a line with its continuation lines (bytes, `UDEV_LINE_SIZE`).
const LINE_MAX: usize = 16 << 10;

/// One condition or assignment of a rule: `KEY{attribute}OPERATOR"value"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The key.
    pub key: Vec<u8>,
    /// The attribute in braces.
    pub attribute: Option<Vec<u8>>,
    /// `==`, `!=`, `=`, `+=`, `-=`, `:=`.
    pub operator: &'static [u8],
    /// The value, without its quotes. The escapes of a value `e"…"` are kept as they are written.
    pub value: Vec<u8>,
    /// Whether the case of letters does not matter (`i"…"`).
    pub(super) ignores_case: bool,
}

impl Token {
    /// Returns whether the token assigns `key` or adds a value to it.
    pub fn sets(&self, key: &[u8]) -> bool {
        self.key == key && !self.is_match() && self.operator != b"-="
    }

    /// Returns whether the token replaces all values of `key`.
    pub fn replaces(&self, key: &[u8]) -> bool {
        self.key == key && matches!(self.operator, b"=" | b":=")
    }

    fn is_match(&self) -> bool {
        matches!(self.operator, b"==" | b"!=")
    }
}

/// A rule: a line, joined with its continuation lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its conditions and assignments, in order.
    pub tokens: Vec<Token>,
}

impl Rule {
    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        let token = self.tokens.iter().find(|it| it.key == key);
        token.map(|it| it.value.as_slice())
    }

    /// Returns the label of the line; if the line has several, the last one.
    fn label(&self) -> Option<&[u8]> {
        let token = self.tokens.iter().rfind(|it| it.key == b"LABEL");
        token.map(|it| it.value.as_slice())
    }
}

/// A line that udev ignores, as a whole or only its `GOTO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The path of the file, before links are resolved.
    pub path: Vec<u8>,
    /// The number of the line, from 1; of joined lines, the first.
    pub line: usize,
    /// The reason.
    pub why: String,
}

/// All rules, in the order in which udev applies them.
#[derive(Debug, Default)]
pub struct Rules {
    /// The rules of each file.
    files: Vec<Vec<Rule>>,
    /// The paths of these files, before links are resolved.
    paths: Vec<Vec<u8>>,
    /// Lines that udev ignores, as a whole or only their `GOTO`.
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
        let mut file: Vec<Rule> = Vec::new();
        // The rules whose GOTO label is not found yet, by label: the number of the line, and the number of the rule.
        let mut waiting: HashMap<Vec<u8>, Vec<(usize, usize)>> = HashMap::new();
        for (number, line) in lines(text) {
            let tokens = match tokens(&line) {
                Ok(tokens) => tokens,
                Err(why) => {
                    let (path, line) = (path.to_vec(), number);
                    self.rejected.push(Rejected { path, line, why });
                    continue;
                }
            };
            let rule = Rule { tokens };
            let Some(rest) = left.checked_sub(rule.tokens.len()) else {
                self.is_partial = true;
                break;
            };
            *left = rest;
            if let Some(label) = rule.label() {
                waiting.remove(label);
            }
            if let Some(label) = rule.value(b"GOTO") {
                let rules = waiting.entry(label.to_vec()).or_default();
                rules.push((number, file.len()));
            }
            file.push(rule);
        }
        // udev removes a GOTO without a label, and uses the rest of the line.
        let mut lost: Vec<_> = waiting
            .into_iter()
            .flat_map(|(label, rules)| rules.into_iter().map(move |rule| (rule, label.clone())))
            .collect();
        lost.sort_unstable();
        for ((line, at), label) in lost {
            file[at].tokens.retain(|it| it.key != b"GOTO");
            let why = format!(
                "GOTO=\"{}\" has no LABEL after it in its file",
                show(&label)
            );
            let path = path.to_vec();
            self.rejected.push(Rejected { path, line, why });
        }
        self.files.push(file);
        self.paths.push(path.to_vec());
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

/// Returns whether a path leads to something that exists, or to `/dev/null`, which masks files with the same name.
fn leads_somewhere(inventory: &Inventory, path: &[u8]) -> bool {
    match inventory.resolve(path) {
        Ok(_) => true,
        Err(ResolveError::NotFound { missing, .. }) => missing == b"dev/null",
        Err(_) => false,
    }
}

/// Returns the lines that are neither empty nor comments, each with its number. A line that ends with a backslash is
/// joined with the next line; at the end of the file it is dropped.
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

/// Parses a line. The error is the reason why udev ignores the line.
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
        keys::check(&token)?;
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
    let prefix = rest.iter().take_while(|it| b"ei".contains(it)).count();
    let (prefix, rest) = rest.split_at(prefix);
    let [is_escaped, ignores_case] = b"ei".map(|it| prefix.contains(&it));
    if prefix.len() != usize::from(is_escaped) + usize::from(ignores_case) {
        return None;
    }
    let (value, rest) = value(rest.strip_prefix(b"\"")?, is_escaped)?;
    let token = Token {
        key: key.to_vec(),
        attribute,
        operator,
        value,
        ignores_case,
    };
    Some((token, rest))
}

/// Splits a value from the text after its closing quote; `None` if there is no such quote, or an escape of `e"…"` is
/// invalid. These escapes are kept as they are written. In any other value, `\"` becomes `"`.
fn value(text: &[u8], is_escaped: bool) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        let byte = *text.get(at)?;
        let next = text.get(at + 1).copied();
        match byte {
            b'"' => return Some((value, &text[at + 1..])),
            b'\\' if is_escaped => {
                // The escapes that `cunescape` accepts.
                let escape = next.filter(|it| b"abfnrtv\\\"'sxuU01234567".contains(it))?;
                value.extend([byte, escape]);
                at += 2;
            }
            b'\\' if next == Some(b'"') => {
                value.push(b'"');
                at += 2;
            }
            _ => {
                value.push(byte);
                at += 1;
            }
        }
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
            (
                "IMPORT{builtni}=\"blkid\"",
                "IMPORT has an unknown attribute builtni",
            ),
            (
                "RUN{builtni}+=\"kmod load\"",
                "RUN has an unknown attribute builtni",
            ),
            ("KERNEL+=\"sda\"", "KERNEL cannot be used with +="),
            ("GOTO+=\"x\"", "GOTO cannot be used with +="),
            ("ENV{A}-=\"x\"", "ENV cannot be used with -="),
        ] {
            let found = parse(line);
            assert!(found[0].contains(why), "{line}: {found:?}");
        }
        assert_eq!(
            parse("SYMLINK+=e\"a b\", LABEL=\"x\""),
            ["SYMLINK+=a b LABEL=x"]
        );
    }
}
