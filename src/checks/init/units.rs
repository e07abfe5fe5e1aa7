// SPDX-License-Identifier: MIT OR Apache-2.0
//! Units that systemd cannot start, for they are not there or what they run is not, and other files
//! without which it brings no root up.
//!
//! Some of them no boot does without. Others fail in real images that boot: the programs of those
//! are warnings where a link starts the unit, and nothing where none does.

use std::collections::BTreeSet;

use super::super::{Finding, Remedy, Severity, show};
use super::scripts::program;
use crate::initramfs::{Inventory, Kind};

/// Where units are; the first one of a name counts.
pub(super) const UNITS: [&[u8]; 4] = [
    b"etc/systemd/system",
    b"run/systemd/system",
    b"usr/lib/systemd/system",
    b"lib/systemd/system",
];

/// systemd as dracut installs it.
const SYSTEMD: &[u8] = b"usr/lib/systemd/systemd";

/// Units without which no root device appears, or systemd stays in the initramfs.
const NEEDED: [&[u8]; 8] = [
    b"systemd-udevd.service",
    b"systemd-udev-trigger.service",
    b"initrd.target",
    b"initrd-root-fs.target",
    b"initrd-parse-etc.service",
    b"initrd-cleanup.service",
    b"initrd-switch-root.target",
    b"initrd-switch-root.service",
];

/// Programs that systemd runs by itself: for the mount of the root, and to make that mount from
/// `root=` of the kernel's command line.
const PROGRAMS: [&[u8]; 2] = [
    b"usr/bin/mount",
    b"usr/lib/systemd/system-generators/systemd-fstab-generator",
];

/// What starts every service since systemd 255. dracut that is older does not know it.
const EXECUTOR: (u32, &[u8]) = (255, b"usr/lib/systemd/systemd-executor");

/// Rules that load drivers, name disks by their UUID, and tell systemd of them.
const RULES: [&str; 3] = [
    "60-persistent-storage.rules",
    "80-drivers.rules",
    "99-systemd.rules",
];

/// Where rules are.
const RULES_D: [&str; 4] = [
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
];

const REMEDY: Remedy = Remedy::Rebuild;

/// Units that cannot do their work. Nothing is said where `/init` is not systemd.
pub(super) fn that_cannot_start(inventory: &Inventory) -> Vec<Finding> {
    let init = inventory.resolve(b"init").ok();
    if init.is_none_or(|(path, _)| path != SYSTEMD) {
        return Vec::new();
    }
    let mut findings = missing(inventory);
    for unit in NEEDED {
        match text(inventory, unit) {
            Err(found) => {
                let place = format!("{} in the initramfs", show(unit));
                let expected = "a unit, or no root comes up";
                findings.push(Finding::new(place, found, expected, REMEDY));
            }
            Ok((path, text)) => findings.extend(without_program(inventory, path, text)),
        }
    }
    for unit in wanted(inventory) {
        if NEEDED.contains(&unit) {
            continue;
        }
        if let Ok((path, text)) = text(inventory, unit)
            && !is_conditional(text)
        {
            let missing = without_program(inventory, path, text);
            findings.extend(missing.map(|it| it.only(Severity::Warning)));
        }
    }
    findings
}

/// Programs and rules that are not there.
fn missing(inventory: &Inventory) -> Vec<Finding> {
    let finding = |path: &str, expected: &str| {
        let place = format!("{path} in the initramfs");
        Finding::new(place, "no such file", expected, REMEDY)
    };
    let (since, executor) = EXECUTOR;
    let has_executor = version(inventory).is_some_and(|version| version >= since);
    let programs = PROGRAMS.into_iter().chain(has_executor.then_some(executor));
    let programs = programs
        .filter(|path| program(inventory, path).is_none())
        .map(|path| finding(&show(path), "a program that systemd runs"));
    let is_there = |rules: &str| {
        let mut dirs = RULES_D.iter();
        dirs.any(|dir| {
            let leads = inventory.resolve(format!("{dir}/{rules}").as_bytes());
            let content = leads.ok().and_then(|(_, node)| inventory.content(node));
            content.is_some_and(|content| content.size > 0)
        })
    };
    let rules = RULES.into_iter().filter(|rules| !is_there(rules));
    let rules = rules.map(|rules| {
        let path = format!("usr/lib/udev/rules.d/{rules}");
        finding(&path, "udev's rules, or no root device appears")
    });
    programs.chain(rules).collect()
}

/// systemd's version, by the name of its own library.
fn version(inventory: &Inventory) -> Option<u32> {
    const LIBRARY: &[u8] = b"/libsystemd-shared-";
    inventory.nodes().find_map(|(path, _)| {
        let at = path.windows(LIBRARY.len()).position(|it| it == LIBRARY)?;
        let rest = &path[at + LIBRARY.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    })
}

/// The path of a unit and what it says, or what is there in its place.
pub(super) fn text<'a>(
    inventory: &'a Inventory,
    unit: &[u8],
) -> Result<(&'a [u8], &'a [u8]), &'static str> {
    let mut dirs = UNITS.iter();
    let place = dirs.find_map(|dir| {
        let path = [*dir, b"/", unit].concat();
        inventory.resolve_link(&path).is_ok().then_some(path)
    });
    let place = place.ok_or("no such unit")?;
    let Ok((path, node)) = inventory.resolve(&place) else {
        return Err("a link that leads nowhere");
    };
    match inventory.content(node) {
        Some(content) if node.kind == Kind::File && content.size > 0 => {
            Ok((path, content.data.as_deref().unwrap_or_default()))
        }
        // A link to /dev/null, an empty file.
        _ => Err("a masked unit"),
    }
}

/// The units that a link in `*.wants` or `*.requires` starts.
fn wanted(inventory: &Inventory) -> BTreeSet<&[u8]> {
    let wanted = inventory.nodes().filter_map(|(path, node)| {
        let mut parts = path.rsplit(|&byte| byte == b'/');
        let (unit, dir) = (parts.next()?, parts.next()?);
        let starts = dir.ends_with(b".wants") || dir.ends_with(b".requires");
        (node.kind == Kind::Symlink && starts).then_some(unit)
    });
    wanted.collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii)
}

/// Whether it may be that it is not started at all. That this is an initramfs is no such condition.
fn is_conditional(text: &[u8]) -> bool {
    const INITRD: &[u8] = b"PathExists=/etc/initrd-release";
    lines(text).any(|line| {
        let starts = line.starts_with(b"Condition") || line.starts_with(b"Assert");
        starts && !line.ends_with(INITRD)
    })
}

/// What the unit at `path` must run before it counts as started, and that is not there.
fn without_program<'a>(
    inventory: &'a Inventory,
    path: &'a [u8],
    text: &'a [u8],
) -> impl Iterator<Item = Finding> + 'a {
    let missing = lines(text).filter_map(|line| {
        let value = line
            .strip_prefix(b"ExecStart=")
            .or_else(|| line.strip_prefix(b"ExecStartPre="))?;
        let start = value.iter().position(|byte| !b"@-:+!|".contains(byte))?;
        // A failure is no failure behind a dash; what has a `%` or a `$` is known to systemd alone.
        let (prefix, command) = value.split_at(start);
        let name = command.split(u8::is_ascii_whitespace).next()?;
        let is_known = !name.iter().any(|byte| b"%$\"'\\".contains(byte));
        let may_fail = prefix.contains(&b'-');
        (is_known && !may_fail && program(inventory, name).is_none()).then_some(name)
    });
    missing.map(move |name| {
        let place = format!("{} in the initramfs", show(name).trim_start_matches('/'));
        let expected = format!("inside, since {} runs it", show(path));
        Finding::new(place, "no such program", expected, REMEDY)
    })
}
