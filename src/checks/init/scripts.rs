// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scripts whose interpreter is not there, and links that start units that are not there.
//!
//! A script matters where something names it: a unit, a udev rule, a dracut hook, `/init`.

use std::collections::HashSet;

use super::super::{Finding, Severity, show};
use crate::initramfs::{Inventory, Kind, Node};

/// Where units are.
const UNITS: [&[u8]; 4] = [
    b"usr/lib/systemd/system",
    b"etc/systemd/system",
    b"lib/systemd/system",
    b"run/systemd/system",
];

/// Units that `initramfs-ostree` looks at.
const OTHERS: [&[u8]; 2] = [b"ostree-prepare-root.service", b"bootc-root-setup.service"];

/// Scripts that cannot run.
pub(super) fn interpreters(inventory: &Inventory, remedy: &str) -> Vec<Finding> {
    let broken: Vec<_> = inventory
        .nodes()
        .filter_map(|(path, node)| Some((path, missing(inventory, node)?)))
        .collect();
    if broken.is_empty() {
        return Vec::new();
    }
    let named = named(inventory);
    let finding = |(path, interpreter): (&[u8], &[u8])| {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let is_named = named.contains(name) || path == b"init";
        let place = format!("{} in the initramfs", show(path));
        let found = format!("a script for {}, which is not inside", show(interpreter));
        let expected = "an interpreter that is inside";
        let finding = Finding::new(place, found, expected, remedy);
        if is_named {
            finding
        } else {
            finding.only(Severity::Note)
        }
    };
    broken.into_iter().map(finding).collect()
}

/// The interpreter of a script, if that is not there.
fn missing<'a>(inventory: &'a Inventory, node: &Node) -> Option<&'a [u8]> {
    let content = inventory.content(node)?;
    let line = content.interpreter()?;
    let interpreter = line.split(u8::is_ascii_whitespace).next()?;
    let leads = inventory.resolve(interpreter);
    let is_file = leads.is_ok_and(|(_, node)| node.kind == Kind::File);
    // What is not executable is sourced, not run.
    (node.mode & 0o111 != 0 && !is_file && !interpreter.is_empty()).then_some(interpreter)
}

/// The last parts of all paths and words in the files that may name a script.
fn named(inventory: &Inventory) -> HashSet<&[u8]> {
    let is_part =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+@-".contains(byte) || *byte >= 0x80;
    let mut names = HashSet::new();
    for (path, node) in inventory.nodes() {
        let content = inventory.content(node);
        let Some(data) = content.and_then(|content| content.data.as_deref()) else {
            continue;
        };
        let is_unit = within(path, b"systemd/system/");
        let names_scripts = is_unit
            || within(path, b"udev/rules.d/")
            || within(path, b"dracut/hooks/")
            || path == b"init";
        if !names_scripts {
            continue;
        }
        for line in data.split(|&byte| byte == b'\n') {
            if !is_unit || line.starts_with(b"Exec") {
                names.extend(line.split(|byte| !is_part(byte)));
            }
        }
    }
    names
}

fn within(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|it| it == part)
}

/// Links in `*.wants` and `*.requires` whose unit is nowhere.
pub(super) fn wants(inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, node) in inventory.nodes() {
        let mut parts = path.rsplit(|&byte| byte == b'/');
        let (Some(unit), Some(dir)) = (parts.next(), parts.next()) else {
            continue;
        };
        let is_link = node.kind == Kind::Symlink && within(path, b"systemd/system/");
        let wanted = dir.ends_with(b".wants") || dir.ends_with(b".requires");
        if !is_link || !wanted || OTHERS.contains(&unit) || is_unit(inventory, path, unit) {
            continue;
        }
        let place = format!("{} in the initramfs", show(path));
        let found = format!("a link to {}, which is not inside", show(&node.target));
        let remedy = "install the unit with install_items in /etc/dracut.conf.d, or remove the link's dracut module";
        let finding = Finding::new(place, found, "a unit that is inside", remedy);
        findings.push(finding.only(Severity::Warning));
    }
    findings
}

/// Whether the link leads to a unit, or one of its name (or its template) is there.
fn is_unit(inventory: &Inventory, link: &[u8], unit: &[u8]) -> bool {
    let is_in = |name: &[u8]| {
        let mut dirs = UNITS.iter();
        dirs.any(|dir| inventory.resolve(&[*dir, b"/", name].concat()).is_ok())
    };
    let template = || {
        let at = unit.iter().position(|&byte| byte == b'@')?;
        let dot = unit.iter().rposition(|&byte| byte == b'.')?;
        (at < dot).then(|| [&unit[..=at], &unit[dot..]].concat())
    };
    inventory.resolve(link).is_ok() || is_in(unit) || template().is_some_and(|name| is_in(&name))
}
