// SPDX-License-Identifier: MIT OR Apache-2.0
//! Units that systemd cannot start, for they are not there or what they run is not, and other files
//! without which it brings no root up.
//!
//! Some of them no boot does without. Others fail in real images that boot: the programs of those
//! are warnings where a link starts the unit, and nothing where none does.

use std::collections::BTreeSet;

use super::super::units::Booted;
use super::super::{Finding, Remedy, Severity, Subject, show};
use crate::boot::{CannotRun, Fault, run};
use crate::initramfs::{Facts, Inventory, Kind};

/// Where units are; the first one of a name counts.
pub(super) const UNITS: [&[u8]; 4] = [
    b"etc/systemd/system",
    b"run/systemd/system",
    b"usr/lib/systemd/system",
    b"lib/systemd/system",
];

/// Programs that systemd runs by itself: for the mount of the root, and to make that mount from
/// `root=` of the kernel's command line.
const PROGRAMS: [&[u8]; 2] = [
    b"usr/bin/mount",
    b"usr/lib/systemd/system-generators/systemd-fstab-generator",
];

/// What starts every service since systemd 255. dracut that is older does not know it.
const EXECUTOR: (u32, &[u8]) = (255, b"usr/lib/systemd/systemd-executor");

const REMEDY: Remedy = Remedy::Rebuild;

/// Programs that a boot needs and that cannot run. Nothing is said where `/init` is not systemd.
pub(super) fn that_cannot_start(
    subject: &Subject,
    inventory: &Inventory,
    facts: &Facts,
) -> Vec<Finding> {
    let Some(booted) = Booted::of(subject, inventory, facts) else {
        return Vec::new();
    };
    let mut findings = missing(inventory, facts);
    let mut said = BTreeSet::new();
    let jobs = booted.boot.jobs.iter().enumerate();
    // Fatal findings come first: a later one of the same path is left out.
    let (needed, others): (Vec<_>, Vec<_>) = jobs.partition(|(at, _)| booted.needed.contains(at));
    for (at, job) in needed.into_iter().chain(others) {
        let is_needed = booted.needed.contains(&at);
        let counts = is_needed || (booted.boot.comes_to(at) && !job.unit.is_conditional());
        let Some(Fault::Program(number, why)) = job.fault.as_ref().filter(|_| counts) else {
            continue;
        };
        let Some(command) = job.unit.commands.get(*number) else {
            continue;
        };
        // A script without its interpreter is found with the scripts, a linker with the libraries.
        let is_other = matches!(why, CannotRun::Interpreter { .. } | CannotRun::Empty);
        let program = command.program.as_deref().unwrap_or_default();
        if is_other || (command.may_fail && !is_needed) || !said.insert(program) {
            continue;
        }
        let place = format!("{} in the initramfs", show(program).trim_start_matches('/'));
        let expected = format!("inside, since {} runs it", show(&job.unit.path));
        let finding = Finding::new(place, why.to_string(), expected, REMEDY);
        findings.push(match is_needed {
            true => finding,
            false => finding.only(Severity::Warning),
        });
    }
    findings
}

/// Programs that systemd runs by itself and that cannot run.
fn missing(inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
    let finding = |path: &str, found: &str, expected: &str| {
        let place = format!("{path} in the initramfs");
        Finding::new(place, found, expected, REMEDY)
    };
    let (since, executor) = EXECUTOR;
    let has_executor = version(inventory).is_some_and(|version| version >= since);
    let programs = PROGRAMS.into_iter().chain(has_executor.then_some(executor));
    let programs = programs
        .filter_map(|path| Some((path, run(inventory, facts, path).err()?)))
        .filter(|(_, why)| !matches!(why, CannotRun::Interpreter { .. }))
        .map(|(path, why)| finding(&show(path), &why.to_string(), "a program that systemd runs"));
    programs.collect()
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
