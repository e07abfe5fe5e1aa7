// SPDX-License-Identifier: MIT OR Apache-2.0
//! Units: what systemd starts from `initrd.target` to the switch to the real root.
//!
//! A fault is fatal if a unit without which the root is not reached has it, else a warning.

mod fstab;

use std::collections::BTreeSet;

use super::{Answer, Finding, Remedy, Severity, Subject, listed, show};
use crate::boot::{Boot, Booted, Cycle, Dependency, Fault, Goal};
use crate::initramfs::Inventory;

const REMEDY: Remedy = Remedy::RebuildOr(
    "remove the unit, the drop-in or the link that is named from the tree or from install_items in /etc/dracut.conf.d",
);

pub fn units(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let Some(booted) = &subject.trace()?.booted else {
        let why = "/init is not systemd";
        return Err(Answer::NotApplicable(why.into()));
    };
    let boot = &booted.boot;
    let mut findings = Vec::new();
    let mut said = BTreeSet::new();
    for (goal, jobs) in &booted.unmet {
        let mut is_explained = false;
        for &at in jobs.iter().flatten() {
            let Some(fault) = &boot.jobs[at].fault else {
                continue;
            };
            is_explained = true;
            if !is_of_others(fault, inventory) && said.insert(at) {
                let finding = fatal(boot, at, fault, goal);
                let mut before = findings.iter();
                // One drop-in may hold for many units.
                if !before
                    .any(|it: &Finding| (&it.path, &it.found) == (&finding.path, &finding.found))
                {
                    findings.push(finding);
                }
            }
        }
        if !is_explained && boot.is_partial {
            let why = "a unit is too large, or the units are more than is followed";
            return Err(Answer::CouldNotLook(why.into()));
        }
        if !is_explained {
            findings.push(never(boot, goal));
        }
    }
    let places: BTreeSet<_> = findings.iter().map(|it| it.path.clone()).collect();
    findings.extend(cycles(booted));
    findings.extend(devices(booted));
    findings.extend(fstab::devices(inventory));
    let mut warnings = warnings(booted, &said);
    warnings.retain(|it| !places.contains(&it.path));
    findings.extend(listed(warnings));
    Ok(findings)
}

/// Programs that cannot run are found by `initramfs-init`, a missing release file by `initramfs-ostree`.
fn is_of_others(fault: &Fault, inventory: &Inventory) -> bool {
    match fault {
        Fault::Program(..) => true,
        Fault::Condition(line, _) | Fault::Assert(line, _) => {
            line.ends_with("/initrd-release") && inventory.resolve(b"etc/initrd-release").is_err()
        }
        _ => false,
    }
}

fn place(path: &[u8]) -> String {
    format!("{} in the initramfs", show(path))
}

/// The place of a unit: its file, or where it would be.
fn place_of(boot: &Boot, job: usize) -> String {
    let unit = &boot.jobs[job].unit;
    match unit.path.as_slice() {
        b"" => place(&unit.name),
        path => place(path),
    }
}

fn fatal(boot: &Boot, job: usize, fault: &Fault, goal: &Goal) -> Finding {
    let (path, found) = match fault {
        Fault::Masked(path) => (place(path), "a masked unit".to_owned()),
        Fault::NotFound => (place_of(boot, job), "no such unit".to_owned()),
        Fault::Bad(why) => (place_of(boot, job), refused(why)),
        Fault::Condition(line, path) | Fault::Assert(line, path) => {
            (place(path), format!("{line}, which is false"))
        }
        Fault::Program(_, why) => (place_of(boot, job), why.to_string()),
    };
    let expected = format!(
        "{}, without which the boot does not come to {}",
        reason(boot, job),
        goal.what
    );
    Finding::new(path, found, expected, REMEDY)
}

/// Says what leads to a job.
fn reason(boot: &Boot, job: usize) -> String {
    let name = show(&boot.jobs[job].unit.name);
    match boot.jobs[job].from {
        None => format!("{name}, with which systemd begins"),
        Some((from, kind)) => {
            let verb = match kind {
                Dependency::Requires => "requires",
                Dependency::Starts => "starts",
                _ => "wants",
            };
            format!("{name}, which {} {verb}", show(&boot.jobs[from].unit.name))
        }
    }
}

/// Nothing leads to a goal: its unit is refused, or a text is cut, or a link is gone.
fn never(boot: &Boot, goal: &Goal) -> Finding {
    let expected = format!("a boot that comes to {}", goal.what);
    // Of a unit that is refused for its text nothing is known.
    let bad = boot
        .jobs
        .iter()
        .enumerate()
        .find_map(|(at, job)| match &job.fault {
            Some(Fault::Bad(why)) => Some((at, why)),
            _ => None,
        });
    let (path, found) = match (boot.job(goal.unit.as_bytes()), bad) {
        (_, Some((at, why))) => (place_of(boot, at), refused(why)),
        (Some(at), None) => {
            let found = match &boot.jobs[at].fault {
                Some(Fault::NotFound) => "no such unit",
                _ => "a unit that does not run it",
            };
            (place_of(boot, at), found.to_owned())
        }
        (None, None) => (
            place(goal.unit.as_bytes()),
            "a unit that nothing from initrd.target on starts".to_owned(),
        ),
    };
    Finding::new(path, found, expected, REMEDY)
}

fn refused(why: &str) -> String {
    format!("a unit that systemd refuses: {why}")
}

/// Jobs that wait for each other. systemd removes one that is only wanted, and does not say which.
fn cycles(booted: &Booted) -> Vec<Finding> {
    let boot = &booted.boot;
    let finding = |cycle: &Cycle| {
        let names = cycle.jobs.iter().map(|&at| show(&boot.jobs[at].unit.name));
        let names: Vec<_> = names.take(4).collect();
        let is_fatal = match cycle.removable.as_slice() {
            [] => cycle.jobs.iter().any(|it| booted.needed.contains(it)),
            removable => removable.iter().any(|it| booted.needed.contains(it)),
        };
        let first = cycle.jobs.first().copied().unwrap_or_default();
        let found = format!("units that wait for each other: {}", names.join(", "));
        let expected = "an order in After= and Before= without a circle";
        let finding = Finding::new(place_of(boot, first), found, expected, REMEDY);
        match is_fatal {
            true => finding,
            false => finding.only(Severity::Warning),
        }
    };
    listed(boot.cycles().iter().map(finding).collect())
}

/// Devices that a needed unit requires. Those that udev's rules name by a disk's or mapping's own name may
/// be there.
fn devices(booted: &Booted) -> Vec<Finding> {
    const NAMED: [&[u8]; 2] = [b"dev-disk-by", b"dev-mapper-"];
    let boot = &booted.boot;
    let mut findings = Vec::new();
    for &at in &booted.needed {
        let name = &boot.jobs[at].unit.name;
        if !name.ends_with(b".device") {
            continue;
        }
        let found = "a device that the boot waits for, and that other machines do not have";
        let finding = Finding::new(place(name), found, reason(boot, at), REMEDY);
        findings.push(match NAMED.iter().any(|start| name.starts_with(start)) {
            true => finding.only(Severity::Warning),
            false => finding,
        });
    }
    listed(findings)
}

/// Units that systemd refuses or does not find, and lines that it ignores, where the root is reached all
/// the same.
fn warnings(booted: &Booted, said: &BTreeSet<usize>) -> Vec<Finding> {
    let boot = &booted.boot;
    let mut findings = Vec::new();
    for (at, job) in boot
        .jobs
        .iter()
        .enumerate()
        .filter(|(at, _)| !said.contains(at))
    {
        let is_required = job
            .from
            .is_some_and(|(_, kind)| kind == Dependency::Requires);
        let (path, found) = match (&job.fault, &job.unit.ignored) {
            (Some(Fault::Bad(why)), _) => (place_of(boot, at), refused(why)),
            (Some(Fault::NotFound), _) if is_required => {
                (place(&job.unit.name), "no such unit".to_owned())
            }
            (_, Some((path, line, why))) => (
                place(path),
                format!("line {line} {why}, and systemd ignores it"),
            ),
            _ => continue,
        };
        let expected = format!("a whole unit: {}", reason(boot, at));
        findings.push(Finding::new(path, found, expected, REMEDY).only(Severity::Warning));
    }
    findings
}

#[cfg(test)]
mod tests;
