// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds programs that cannot run, of systemd itself and of the units that it starts.
//!
//! A program that cannot run is fatal if systemd itself runs it, or a unit that is required to reach the root. It is a
//! warning in another unit that starts without a condition. The programs of the remaining units are not reported: real
//! images that boot lack some of them.

use std::collections::BTreeSet;

use crate::boot::{BY_SYSTEMD, Booted, CannotRun, EXECUTOR, Fault, run};
use crate::checks::{Finding, Remedy, Severity, show};
use crate::initramfs::{Facts, Inventory};

/// The first version of systemd that has [`EXECUTOR`]. Versions of dracut that are older than systemd 255 do not
/// install the program.
const EXECUTOR_SINCE: u32 = 255;

const REMEDY: Remedy = Remedy::Rebuild;

/// Returns findings about programs of systemd and of its units that cannot run. A command whose failure systemd ignores
/// (prefix `-`) counts only if it is the command of a goal.
pub(super) fn that_cannot_start(
    inventory: &Inventory,
    facts: &Facts,
    booted: &Booted,
) -> Vec<Finding> {
    let mut findings = missing(inventory, facts);
    let mut said = BTreeSet::new();
    let jobs = booted.boot.jobs.iter().enumerate();
    // The fatal findings are made first, since later findings about the same program are skipped.
    let (needed, others): (Vec<_>, Vec<_>) = jobs.partition(|(at, _)| booted.needed.contains(at));
    for (at, job) in needed.into_iter().chain(others) {
        let is_needed = booted.needed.contains(&at);
        let counts = is_needed || (booted.boot.is_reached(at) && !job.unit.is_conditional());
        let Some(Fault::Program(number, why)) = job.fault.as_ref().filter(|_| counts) else {
            continue;
        };
        let Some(command) = job.unit.commands.get(*number) else {
            continue;
        };
        // `scripts` reports empty files and scripts without an interpreter, `libraries` reports dynamic linkers that
        // cannot run.
        let is_other = why.is_of_another_file() || *why == CannotRun::Empty;
        let program = command.program.as_deref().unwrap_or_default();
        let is_optional = command.may_fail && !(is_needed && Booted::is_goal(command));
        if is_other || is_optional || !said.insert(program) {
            continue;
        }
        let place = format!("{} in the initramfs", show(program).trim_start_matches('/'));
        let unit = match job.unit.path.as_slice() {
            b"" => &job.unit.name,
            path => path,
        };
        let expected = format!("present in the initramfs: {} runs it", show(unit));
        let finding = Finding::new(place, why.to_string(), expected, REMEDY);
        findings.push(if is_needed {
            finding
        } else {
            finding.only(Severity::Warning)
        });
    }
    findings
}

/// Returns findings about programs that systemd itself runs and that cannot run.
fn missing(inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
    let finding = |path: &str, found: &str, expected: &str| {
        let place = format!("{path} in the initramfs");
        Finding::new(place, found, expected, REMEDY)
    };
    let has_executor = version(inventory).is_some_and(|version| version >= EXECUTOR_SINCE);
    let programs = BY_SYSTEMD
        .into_iter()
        .chain(has_executor.then_some(EXECUTOR));
    let programs = programs
        .filter_map(|path| Some((path, run(inventory, facts, path).err()?)))
        .filter(|(_, why)| !why.is_of_another_file())
        .map(|(path, why)| finding(&show(path), &why.to_string(), "a program that systemd runs"));
    programs.collect()
}

/// Returns systemd's version, from the name of its private library; `None` if there is none.
fn version(inventory: &Inventory) -> Option<u32> {
    const LIBRARY: &[u8] = b"/libsystemd-shared-";
    inventory.nodes().find_map(|(path, _)| {
        let at = path.windows(LIBRARY.len()).position(|it| it == LIBRARY)?;
        let rest = &path[at + LIBRARY.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    })
}
