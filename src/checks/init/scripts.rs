// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scripts whose interpreter is not there, empty programs, and links that start units that are not
//! there.
//!
//! A file matters if something names it: a unit that a boot can start, a udev rule, a dracut hook,
//! `/init`. systemd runs generators unnamed; a boot may do without.

use std::collections::HashSet;

use super::super::{Finding, Remedy, Severity, show};
use super::reached;
use super::units::UNITS;
use crate::boot::{CannotRun, Rules, program, run};
use crate::initramfs::{Facts, Inventory, Kind, Node};

/// Units that `initramfs-ostree` looks at.
const OTHERS: [&[u8]; 2] = [b"ostree-prepare-root.service", b"bootc-root-setup.service"];

/// Scripts that cannot run, and empty files in the place of programs.
pub(super) fn that_cannot_run(
    inventory: &Inventory,
    facts: &Facts,
    remedy: &Remedy,
) -> Vec<Finding> {
    let broken: Vec<_> = inventory
        .nodes()
        .filter_map(|(path, node)| Some((path, broken(inventory, facts, path, node)?)))
        .collect();
    if broken.is_empty() {
        return Vec::new();
    }
    let rules = Rules::new(inventory);
    let named = named(inventory, &rules);
    let finding = |(path, broken): (&[u8], Broken)| {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let is_named = named.contains(name) || path == b"init";
        // Nothing names those.
        let is_generator = within(path, b"systemd/system-generators/");
        let (found, expected) = match broken {
            // What nothing runs may be empty.
            Broken::Empty if !is_named && !is_generator => return None,
            Broken::Empty => ("an empty file".to_owned(), "a program or a script"),
            Broken::Without(why) => (why, "an interpreter that is inside"),
        };
        let place = format!("{} in the initramfs", show(path));
        let finding = Finding::new(place, found, expected, remedy.clone());
        Some(match (is_named, is_generator) {
            (true, _) => finding,
            (false, true) => finding.only(Severity::Warning),
            (false, false) => finding.only(Severity::Note),
        })
    };
    broken.into_iter().filter_map(finding).collect()
}

/// Why an executable file cannot run.
enum Broken {
    /// It has no bytes.
    Empty,
    /// It is a script whose interpreter cannot run; why.
    Without(String),
}

/// What is wrong with an executable file. What is not executable is sourced, or is no program.
fn broken(inventory: &Inventory, facts: &Facts, path: &[u8], node: &Node) -> Option<Broken> {
    let content = inventory.content(node)?;
    if node.mode & 0o111 == 0 {
        return None;
    }
    if content.size == 0 {
        return Some(Broken::Empty);
    }
    let line = content.interpreter()?;
    if let Err(why) = run(inventory, facts, &[b"/", path].concat()) {
        return Some(Broken::Without(why.to_string()));
    }
    let name = of_env(line)?;
    let why = run(inventory, facts, name).err()?;
    let said = format!("a script for {}, ", show(name));
    Some(Broken::Without(match why {
        CannotRun::Missing => said + "which is not inside",
        why => format!("{said}which is {why}"),
    }))
}

/// Returns the program that `env` in a `#!` line starts.
fn of_env(line: &[u8]) -> Option<&[u8]> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    if !words.next()?.ends_with(b"/env") {
        return None;
    }
    // Options of env, and variables that it sets, come first.
    words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
}

/// Returns the fault of the program that a script `/init` executes last, in place of itself.
pub(super) fn last_act_of_init(
    inventory: &Inventory,
    facts: &Facts,
    remedy: &Remedy,
) -> Option<Finding> {
    let (path, node) = inventory.resolve(b"init").ok()?;
    let content = inventory.content(node).filter(|it| !it.is_elf())?;
    let lines = content.data.as_deref()?.split(|&byte| byte == b'\n');
    let mut lines = lines.map(<[u8]>::trim_ascii);
    let last = lines.rfind(|line| !line.is_empty() && !line.starts_with(b"#"))?;
    let mut words = last
        .split(u8::is_ascii_whitespace)
        .filter(|it| !it.is_empty());
    let is_exec = words.next() == Some(b"exec");
    let program = words.next().filter(|it| is_exec && it.starts_with(b"/"))?;
    if program.iter().any(|byte| b"$`\"'\\*?{".contains(byte)) {
        return None;
    }
    let why = run(inventory, facts, program).err()?;
    let place = format!("{} in the initramfs", show(program).trim_start_matches('/'));
    let expected = format!("a program, since {} ends in it", show(path));
    Some(Finding::new(
        place,
        why.to_string(),
        expected,
        remedy.clone(),
    ))
}

/// The last parts of all paths and words in the files that may name a script: of units, in those
/// that a boot can start.
fn named<'a>(inventory: &'a Inventory, rules: &'a Rules) -> HashSet<&'a [u8]> {
    let is_part =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+@-".contains(byte) || *byte >= 0x80;
    let mut units = Vec::new();
    let mut others: Vec<_> = rules.values().collect();
    let mut starters = others.clone();
    for (path, node) in inventory.nodes() {
        let content = inventory.content(node);
        let Some(data) = content.and_then(|content| content.data.as_deref()) else {
            continue;
        };
        let is_other =
            within(path, b"dracut/hooks/") || within(path, b"/dracut-") || path == b"init";
        if is_other {
            others.push(data);
        }
        if is_other || within(path, b"systemd/system-generators/") {
            starters.push(data);
        }
        units.extend(unit_of(path).map(|unit| (unit, data)));
    }
    let reached = reached::units(inventory, starters.into_iter());
    let mut names = HashSet::new();
    for data in others {
        names.extend(data.split(|byte| !is_part(byte)));
    }
    for (unit, data) in units {
        if reached.contains(unit) {
            let lines = data.split(|&byte| byte == b'\n');
            let lines = lines.filter(|line| line.starts_with(b"Exec"));
            names.extend(lines.flat_map(|line| line.split(|byte| !is_part(byte))));
        }
    }
    names
}

/// The files that a boot may start, by their paths without links: those that a text names which a boot
/// reads, those of systemd and udev, and the interpreters of scripts among them.
pub(in super::super) fn used(inventory: &Inventory) -> HashSet<&[u8]> {
    const OWN: [&[u8]; 3] = [b"lib/systemd/", b"lib/udev/", b"lib/ostree/"];
    // The kernel starts the first and the last.
    const NAMES: [&[u8]; 3] = [b"init", b"mount", b"modprobe"];
    let rules = Rules::new(inventory);
    let named = named(inventory, &rules);
    let mut used = HashSet::new();
    for (path, _) in inventory.nodes() {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let is_own = OWN.iter().any(|dir| within(path, dir));
        if (is_own || NAMES.contains(&name) || named.contains(name))
            && let Ok((path, node)) = inventory.resolve(path)
            && node.kind == Kind::File
        {
            used.insert(path);
        }
    }
    let mut todo: Vec<_> = used.iter().copied().collect();
    while let Some(path) = todo.pop() {
        let content = inventory
            .node(path)
            .and_then(|node| inventory.content(node));
        let line = content.and_then(|content| content.interpreter());
        let words = line.unwrap_or_default().split(u8::is_ascii_whitespace);
        let found = words.take(2).filter_map(|word| program(inventory, word));
        todo.extend(
            found
                .map(|(path, _)| path)
                .filter(|path| used.insert(*path)),
        );
    }
    used
}

/// The unit that a file, or a drop-in of it, is for.
fn unit_of(path: &[u8]) -> Option<&[u8]> {
    const DIR: &[u8] = b"systemd/system/";
    let at = path.windows(DIR.len()).position(|it| it == DIR)?;
    let mut parts = path[at + DIR.len()..].split(|&byte| byte == b'/');
    let first = parts.next()?;
    Some(first.strip_suffix(b".d").unwrap_or(first))
}

fn within(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|it| it == part)
}

/// Links in `*.wants` whose unit is nowhere; those in `*.requires` are with the units.
pub(super) fn wants(inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, node) in inventory.nodes() {
        let mut parts = path.rsplit(|&byte| byte == b'/');
        let (Some(unit), Some(dir)) = (parts.next(), parts.next()) else {
            continue;
        };
        let is_link = node.kind == Kind::Symlink && within(path, b"systemd/system/");
        let wanted = dir.ends_with(b".wants");
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
    inventory.resolve(link).is_ok()
        || is_in(unit)
        || reached::template(unit).is_some_and(|name| is_in(&name))
}
