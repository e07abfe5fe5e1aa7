// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evaluates `Condition…=` and `Assert…=` settings of units (`src/shared/condition.c`, v257), as far as the files of an
//! image determine their result.

use std::cell::Cell;
use std::cmp::Ordering;

use super::names::expand;
use super::udev::matches_glob;
use crate::bytes::{basename, contains};
use crate::initramfs::{Content, EntryType, Facts, Inventory, Node};

/// Top-level directories that are mount points, or whose content is created at run time.
const VOLATILE: [&[u8]; 8] = [
    b"dev", b"proc", b"run", b"sys", b"sysroot", b"tmp", b"var", b"mnt",
];

/// A file whose path contains one of these texts can create other files at boot. A script with `#!` can do so, too,
/// whatever its path.
const MAKERS: [&[u8]; 4] = [
    b"/dracut/",
    b"/system-generators/",
    b"/udev/rules.d/",
    b"/tmpfiles.d/",
];

/// systemd's names of architectures, by the machine number of ELF (`e_machine`).
const ARCHITECTURES: [(u16, &[u8]); 6] = [
    (3, b"x86"),
    (21, b"ppc64-le"),
    (22, b"s390x"),
    (62, b"x86-64"),
    (183, b"arm64"),
    (243, b"riscv64"),
];

/// The maximum number of searches for a file name in the texts of one image.
const SEARCHES_MAX: u32 = 64;

/// One `Condition…=` or `Assert…=` setting of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The name of the condition without `Condition` or `Assert`, for example `PathExists`.
    kind: Vec<u8>,
    /// The value without `|` and `!`, with expanded specifiers; `None` if a specifier is known only at run time.
    parameter: Option<Vec<u8>>,
    negated: bool,
    /// Whether the value starts with `|`. At least one of the unit's conditions with `|` must hold.
    triggers: bool,
    /// The assignment, `KEY=VALUE`.
    pub(super) text: String,
    /// The path of the file with the assignment.
    pub(super) path: Vec<u8>,
}

/// The effect of an assignment on the conditions of a unit, or on its assertions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An empty value: all earlier conditions are removed.
    Reset,
    /// A further condition.
    One(Condition),
}

impl Condition {
    /// Parses an assignment; `None` if its key does not begin with `start` (`Condition` or `Assert`). `unit` is the
    /// name of the unit, and `path` the path of the file.
    pub(super) fn parse(
        key: &[u8],
        start: &[u8],
        value: &[u8],
        unit: &[u8],
        path: &[u8],
    ) -> Option<Parsed> {
        let kind = key.strip_prefix(start)?;
        if value.is_empty() {
            return Some(Parsed::Reset);
        }
        let value_of = |value: &[u8]| value.trim_ascii().to_vec();
        let (triggers, rest) = match value.strip_prefix(b"|") {
            Some(rest) => (true, value_of(rest)),
            None => (false, value_of(value)),
        };
        let (negated, rest) = match rest.strip_prefix(b"!") {
            Some(rest) => (true, value_of(rest)),
            None => (false, rest),
        };
        let shown = [key, b"=", value].concat();
        Some(Parsed::One(Self {
            kind: kind.to_vec(),
            parameter: expand(&rest, unit),
            negated,
            triggers,
            text: String::from_utf8_lossy(&shown).into_owned(),
            path: path.to_vec(),
        }))
    }
}

fn first_part(path: &[u8]) -> &[u8] {
    let mut parts = path.split(|&byte| byte == b'/').filter(|it| !it.is_empty());
    parts.next().unwrap_or_default()
}

fn is_volatile(path: &[u8]) -> bool {
    VOLATILE.contains(&first_part(path))
}

/// Returns whether the kernel's release fits all words of `ConditionKernelVersion=`, each a pattern or a comparison.
/// `None` if an operator has no value, or if the leading numbers that both versions have do not decide an order (`<`,
/// `==` and so on). systemd's rules for the rest of a version changed between releases (`condition_test_version`, v252
/// to v257).
fn fits_kver(kver: &[u8], words: &[u8]) -> Option<bool> {
    const OPERATORS: [&[u8]; 10] = [
        b"!$=", b"$=", b"<>", b"<=", b">=", b"==", b"!=", b"<", b">", b"=",
    ];
    let words: Vec<_> = words
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let mut words = words.into_iter();
    let mut all = true;
    while let Some(word) = words.next() {
        let operator = OPERATORS.into_iter().find(|it| word.starts_with(it));
        let operator = operator.unwrap_or_default();
        let value = match &word[operator.len()..] {
            // A space may follow the operator.
            b"" => words.next()?,
            value => value,
        };
        let order = || order_of_numbers(kver, value);
        all &= match operator {
            b"" | b"$=" => matches_glob(value, kver),
            b"!$=" => !matches_glob(value, kver),
            b"=" => kver == value,
            b"!=" => kver != value,
            b"==" => order()?.is_eq(),
            b"<>" => order()?.is_ne(),
            b"<" => order()?.is_lt(),
            b"<=" => order()?.is_le(),
            b">" => order()?.is_gt(),
            _ => order()?.is_ge(),
        };
    }
    Some(all)
}

/// Compares the dotted numbers at the start of two versions. `None` if the versions differ, but not in the numbers that
/// both have, or if a number cannot be parsed.
fn order_of_numbers(a: &[u8], b: &[u8]) -> Option<Ordering> {
    if a == b {
        return Some(Ordering::Equal);
    }
    let numbers = |text: &[u8]| -> Option<Vec<u64>> {
        let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let end = text.iter().position(|it| !is_number(it));
        let text = std::str::from_utf8(&text[..end.unwrap_or(text.len())]).ok()?;
        let parts = text.trim_end_matches('.').split('.');
        parts.map(|part| part.parse().ok()).collect()
    };
    let (a, b) = (numbers(a)?, numbers(b)?);
    let order = a.iter().zip(&b).map(|(a, b)| a.cmp(b));
    order.into_iter().find(|it| it.is_ne())
}

/// An evaluator of conditions with the files of one image.
pub(super) struct Conditions<'a> {
    inventory: &'a Inventory,
    /// The ELF machine of `/init`, if it is an ELF file.
    machine: Option<u16>,
    /// The kernel's release, if the image has the modules of exactly one kernel.
    kver: Option<&'a [u8]>,
    /// The number of remaining searches in text files. At zero, a condition that needs a search is undecided.
    searches: Cell<u32>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(inventory: &'a Inventory, facts: &Facts) -> Self {
        let init = inventory.resolve(b"init").ok();
        let elf = init.and_then(|(_, node)| facts.elf(inventory, node)?.as_ref().ok());
        let searches = Cell::new(SEARCHES_MAX);
        let kver = match inventory.kernel_versions()[..] {
            [kver] => Some(kver),
            _ => None,
        };
        Self {
            inventory,
            kver,
            machine: elf.map(|elf| elf.machine.number),
            searches,
        }
    }

    /// Returns the condition that prevents the start of a unit: the first false one without `|`. If there is none and
    /// all conditions with `|` are false, returns the first one with `|`. `None` if nothing prevents the start. A
    /// condition that the image does not determine does not count as false.
    pub(super) fn false_one<'c>(&self, conditions: &'c [Condition]) -> Option<&'c Condition> {
        let is_false = |it: &&Condition| self.holds(it) == Some(false);
        let mut plain = conditions.iter().filter(|it| !it.triggers);
        if let Some(found) = plain.find(is_false) {
            return Some(found);
        }
        let mut triggers = conditions.iter().filter(|it| it.triggers);
        let all_false = triggers.clone().all(|it| is_false(&it));
        triggers.next().filter(|_| all_false)
    }

    /// Returns whether the condition holds; `None` if the image does not determine it.
    fn holds(&self, condition: &Condition) -> Option<bool> {
        let path = condition.parameter.as_deref()?;
        if condition.kind == b"Architecture" {
            let own = ARCHITECTURES.iter().find(|it| Some(it.0) == self.machine)?;
            // A 32-bit systemd (machine 3) can run on a 64-bit kernel, so the kernel's architecture is not known.
            let is_true = own.1 == path || path == b"native";
            return (self.machine != Some(3)).then_some(is_true != condition.negated);
        }
        if condition.kind == b"KernelVersion" {
            return Some(fits_kver(self.kver?, path)? != condition.negated);
        }
        if !path.starts_with(b"/") {
            return None;
        }
        let inventory = self.inventory;
        let node = inventory.resolve(path).ok().map(|(_, node)| node);
        let node_is = |fits: &dyn Fn(&Node) -> bool| node.is_some_and(fits);
        let is_true = match condition.kind.as_slice() {
            b"PathExists" => node.is_some(),
            b"PathIsDirectory" => node_is(&|node| node.kind == EntryType::Directory),
            b"PathIsSymbolicLink" => {
                let link = inventory.resolve_link(path);
                link.is_ok_and(|(_, node)| node.kind == EntryType::Symlink)
            }
            b"FileNotEmpty" => {
                node_is(&|node| inventory.content(node).is_some_and(|it| it.size > 0))
            }
            b"FileIsExecutable" => {
                node_is(&|node| node.kind == EntryType::File && node.mode & 0o111 != 0)
            }
            b"DirectoryNotEmpty" => !inventory.children(path).is_empty(),
            _ => return None,
        };
        let changes = if is_true {
            // It is assumed that the boot removes files from volatile directories only.
            is_volatile(path)
        } else {
            self.may_appear(path)
        };
        (!changes).then_some(is_true != condition.negated)
    }

    /// Returns whether a file that does not exist may be created before the unit starts. This is assumed for files in
    /// volatile directories, for paths that contain `dracut`, and after [`SEARCHES_MAX`] searches. It is also assumed
    /// if the file's name occurs in a script or in a file that [`MAKERS`] fits.
    pub(super) fn may_appear(&self, path: &[u8]) -> bool {
        if is_volatile(path) || contains(path, b"dracut") {
            return true;
        }
        let Some(left) = self.searches.get().checked_sub(1) else {
            return true;
        };
        self.searches.set(left);
        let name = basename(path);
        self.inventory.nodes().any(|(place, node)| {
            let content = self.inventory.content(node);
            let is_text = |it: &&Content| it.head.starts_with(b"#!");
            let makes = MAKERS.iter().any(|dir| contains(place, dir));
            let content = content.filter(|it| makes || is_text(it));
            let data = content.and_then(|content| content.data.as_deref());
            data.is_some_and(|data| contains(data, name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::fits_kver;

    #[test]
    fn releases_of_the_kernel() {
        let kver = b"6.9.7-200.fc40.x86_64";
        for (words, expected) in [
            ("6.9.*", Some(true)),
            ("5.*", Some(false)),
            ("$=6.?.7-*", Some(true)),
            ("!$=6.*", Some(false)),
            ("=6.9.7-200.fc40.x86_64", Some(true)),
            ("!= 6.9.7", Some(true)),
            (">=6.0", Some(true)),
            ("< 6.0", Some(false)),
            (">6.8 <6.10", Some(true)),
            (">6.8 <6.9.6", Some(false)),
            ("<>6.1", Some(true)),
            ("==6.9.7-200.fc40.x86_64", Some(true)),
            // Undecided: the numbers that both versions have are equal, or the value is missing.
            (">=6.9.7", None),
            ("<6.9", None),
            ("<", None),
        ] {
            assert_eq!(fits_kver(kver, words.as_bytes()), expected, "{words}");
        }
    }
}
