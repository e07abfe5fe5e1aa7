// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows an event through udev's rules: finds the rules that may match and the rules that certainly match, and
//! records the properties that are certainly set.

use std::collections::HashMap;

use super::{Rule, Rules, Token};

/// An event of a device. `None` stands for a value that is not known.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// `ACTION`.
    pub action: &'static str,
    /// `SUBSYSTEM`.
    pub subsystem: Option<&'static str>,
    /// `KERNEL`.
    pub kernel: Option<&'static str>,
    /// `ENV{DEVTYPE}`.
    pub kind: Option<&'static str>,
}

/// The properties that rules have certainly set, to values without substitutions.
type Properties<'r> = HashMap<&'r [u8], &'r [u8]>;

/// Prefix of the properties that udev's built-in programs set.
const BUILTIN: &[u8] = b"ID_";

impl Token {
    /// Returns whether the device of an event matches the token; `None` if this is unknown.
    fn fits(&self, event: &Event, properties: &Properties) -> Option<bool> {
        let name = self.attribute.as_deref().unwrap_or_default();
        let actual = match (self.key.as_slice(), name) {
            (b"ACTION", _) => Some(event.action.as_bytes()),
            (b"SUBSYSTEM", _) => event.subsystem.map(str::as_bytes),
            (b"KERNEL", _) => event.kernel.map(str::as_bytes),
            (b"ENV", b"DEVTYPE") => event.kind.map(str::as_bytes),
            (b"ENV", name) if properties.contains_key(name) => properties.get(name).copied(),
            // Only device-mapper's rules set these properties, and only for device-mapper's devices. An event whose
            // `KERNEL` is known is for another device.
            (b"ENV", name) if name.starts_with(b"DM_") => event.kernel.map(|_| b"".as_slice()),
            _ => None,
        }?;
        let mut patterns = self.value.split(|&byte| byte == b'|');
        let is_one = if self.ignores_case {
            let actual = actual.to_ascii_lowercase();
            patterns.any(|pattern| matches_glob(&pattern.to_ascii_lowercase(), &actual))
        } else {
            patterns.any(|pattern| matches_glob(pattern, actual))
        };
        Some(is_one == (self.operator == b"=="))
    }

    /// Returns whether the token can prevent the rule from matching.
    fn decides(&self) -> bool {
        self.is_match() || matches!(self.key.as_slice(), b"PROGRAM" | b"IMPORT")
    }
}

impl Rule {
    /// Returns whether the device of an event may match the rule.
    fn may_fit(&self, event: &Event, properties: &Properties) -> bool {
        let mut matches = self.tokens.iter().filter(|it| it.is_match());
        matches.all(|it| it.fits(event, properties) != Some(false))
    }

    /// Returns whether the device of an event certainly matches the rule: each condition is known to hold.
    fn always_fits(&self, event: &Event, properties: &Properties) -> bool {
        let mut conditions = self.tokens.iter().filter(|it| it.decides());
        conditions.all(|it| it.fits(event, properties) == Some(true))
    }

    /// Updates the properties after a rule that the device may match. A property that the rule sets is known if the
    /// device certainly matches (`always`) and the rule replaces the value by one without substitutions; else it
    /// becomes unknown. Properties that an `IMPORT` may set become unknown, too.
    fn update<'r>(&'r self, always: bool, properties: &mut Properties<'r>) {
        for token in &self.tokens {
            let name = token.attribute.as_deref().unwrap_or_default();
            match token.key.as_slice() {
                b"IMPORT" if name == b"builtin" => {
                    properties.retain(|name, _| !name.starts_with(BUILTIN));
                }
                b"IMPORT" => properties.clear(),
                b"ENV" if !token.is_match() => {
                    let is_plain = !token.value.iter().any(|byte| b"$%".contains(byte));
                    if always && is_plain && token.operator != b"+=" {
                        properties.insert(name, &token.value);
                    } else {
                        properties.remove(name);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Rules {
    /// Calls `visit` for each rule that an event reaches and whose conditions may hold, in order. The arguments are the
    /// rule, the path of its file, and whether its conditions certainly hold.
    pub fn walk<'r>(&'r self, event: &Event, visit: &mut dyn FnMut(&'r Rule, &'r [u8], bool)) {
        let mut properties = Properties::new();
        for (rules, path) in self.files.iter().zip(&self.paths) {
            let mut at = 0;
            while let Some(rule) = rules.get(at) {
                at += 1;
                if !rule.may_fit(event, &properties) {
                    continue;
                }
                let always = rule.always_fits(event, &properties);
                visit(rule, path, always);
                rule.update(always, &mut properties);
                let label = rule.value(b"GOTO").filter(|_| always);
                let target = label.and_then(|label| {
                    let mut rest = rules.iter().skip(at);
                    rest.position(|it| it.label() == Some(label))
                });
                // The rule with the label is evaluated, too.
                at += target.unwrap_or(0);
            }
        }
    }
}

/// Returns whether `name` matches a pattern of `fnmatch` with `*`, `?` and sets such as `[a-z]`. Escapes with a
/// backslash and classes such as `[:alpha:]` are not supported.
pub fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The position in `pattern` after the last star, and the position in `name` at which the text after the star is
    // tried.
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

/// Returns the length of the set at the start of a pattern; `None` if the set does not match `byte`, or has no end.
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

#[cfg(test)]
mod tests {
    use super::*;

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
