// SPDX-License-Identifier: MIT OR Apache-2.0
//! The units that a boot may start: those that `default.target` and the targets of the initramfs lead to, and those
//! that a generator, a udev rule, a hook or `/init` names.
//!
//! The result has too many units rather than too few: every unit that a reached unit names counts, except in the lines
//! of [`ORDERING`].

use std::collections::HashSet;

use super::names::{TYPES, UNIT_DIRS, template};
use crate::bytes::basename;
use crate::initramfs::{EntryType, Inventory};

/// The units with which systemd begins (`initrd.target` in an initramfs, else `default.target`), and those of the
/// switch to the real root.
const ROOTS: [&[u8]; 4] = [
    b"default.target",
    b"initrd.target",
    b"initrd-switch-root.target",
    b"initrd-switch-root.service",
];

/// Beginnings of lines in which the name of a unit starts nothing: settings and comments.
const ORDERING: [&[u8]; 7] = [
    b"After=",
    b"Before=",
    b"Conflicts=",
    b"PartOf=",
    b"Description=",
    b"Documentation=",
    b"#",
];

/// Returns the names of the units that a boot can start; not all of them exist. `others` are texts or programs that can
/// start units by name.
pub(super) fn units<'a>(
    inventory: &'a Inventory,
    others: impl Iterator<Item = &'a [u8]>,
) -> HashSet<Vec<u8>> {
    let mut todo: Vec<Vec<u8>> = ROOTS.iter().map(|root| root.to_vec()).collect();
    todo.extend(others.flat_map(names));
    let mut reached = HashSet::new();
    while let Some(unit) = todo.pop() {
        if !reached.insert(unit.clone()) {
            continue;
        }
        // If the unit's file is a link, the name of the target is another name of the unit.
        if let Some((path, text)) = text(inventory, &unit) {
            todo.push(basename(path).to_vec());
            todo.extend(started(text));
        }
        todo.extend(template(&unit));
        let dot = unit.iter().rposition(|&byte| byte == b'.');
        if let Some((stem, b".socket" | b".path" | b".timer")) = dot.map(|dot| unit.split_at(dot)) {
            todo.push([stem, b".service"].concat());
        }
        for own in paths(&unit) {
            let beside = |end: &[u8]| inventory.children(&[&own, end].concat());
            for end in [b".wants".as_slice(), b".requires", b".upholds"] {
                todo.extend(beside(end).into_iter().map(|(name, _)| name.to_vec()));
            }
            for (_, node) in beside(b".d") {
                let content = inventory
                    .content(node)
                    .filter(|_| node.kind == EntryType::File);
                let text = content.and_then(|content| content.data.as_deref());
                todo.extend(started(text.unwrap_or_default()));
            }
        }
    }
    reached
}

/// Returns the words in a unit's text that can be names of units, except in the lines of [`ORDERING`].
fn started(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !ORDERING.iter().any(|start| line.starts_with(start)));
    lines.flat_map(names)
}

/// Returns the words that can be names of units.
fn names(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+@-:\\".contains(byte);
    let words = text.split(move |byte| !is_part(byte));
    let words = words.filter(|word| TYPES.iter().any(|kind| word.ends_with(kind)));
    words.map(<[u8]>::to_vec)
}

/// Returns the path and the text of each file of a unit: in each directory, its drop-ins and then its unit file. Files
/// whose text was not kept are left out.
pub(super) fn texts<'a>(inventory: &'a Inventory, unit: &[u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let mut files = Vec::new();
    for own in paths(unit) {
        let drop_ins = [&own, b".d".as_slice()].concat();
        let children = inventory.children(&drop_ins).into_iter();
        files.extend(children.map(|(name, _)| [&drop_ins, b"/".as_slice(), name].concat()));
        files.push(own);
    }
    let text = |path: Vec<u8>| {
        let (path, node) = inventory.resolve(&path).ok()?;
        Some((path, inventory.content(node)?.data.as_deref()?))
    };
    files.into_iter().filter_map(text).collect()
}

/// Returns the paths at which systemd searches for a unit.
fn paths(unit: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    UNIT_DIRS
        .iter()
        .map(move |dir| [dir.as_bytes(), b"/", unit].concat())
}

/// Returns the path and the text of a unit's file; `None` if there is no file, or if it masks the unit. The text is
/// empty if it was not kept.
fn text<'a>(inventory: &'a Inventory, unit: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = paths(unit).find(|path| inventory.resolve_link(path).is_ok())?;
    let (path, node) = inventory.resolve(&place).ok()?;
    let content = inventory.content(node).filter(|it| it.size > 0)?;
    Some((path, content.data.as_deref().unwrap_or_default()))
}

/// Returns whether a file of the unit or of its template exists, also an empty one, which masks the unit.
pub fn has_unit(inventory: &Inventory, unit: &[u8]) -> bool {
    let is_in = |name: &[u8]| paths(name).any(|path| inventory.resolve(&path).is_ok());
    is_in(unit) || template(unit).is_some_and(|name| is_in(&name))
}
