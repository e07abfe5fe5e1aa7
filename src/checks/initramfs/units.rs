// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks systemd's units: the jobs from `initrd.target` to the switch to the real root, and `etc/fstab`, for which
//! systemd creates units.
//!
//! A fault is fatal in a unit that is required to reach the root, otherwise it is a warning. A job is the start of one
//! unit; a goal is a command that every boot must run.

mod fstab;

use std::collections::BTreeSet;

use crate::boot::{Boot, Booted, Cycle, Dependency, Fault, Goal};
use crate::checks::{Answer, Finding, Remedy, Severity, Subject, listed, show};
use crate::initramfs::Inventory;

const REMEDY: Remedy = Remedy::RebuildOr(
    "remove the named unit, drop-in or link from the tree, or from install_items in /etc/dracut.conf.d",
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
    let mut is_unexplained = false;
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
                // One drop-in can apply to many units, and is reported once.
                if !before
                    .any(|it: &Finding| (&it.path, &it.found) == (&finding.path, &finding.found))
                {
                    findings.push(finding);
                }
            }
        }
        if !is_explained && !boot.is_partial {
            findings.push(never(boot, goal));
        }
        is_unexplained |= !is_explained;
    }
    if is_unexplained && boot.is_partial && findings.is_empty() {
        let why = "a unit is too large, or there are too many units";
        return Err(Answer::CouldNotRun(why.into()));
    }
    let places: BTreeSet<_> = findings.iter().map(|it| it.path.clone()).collect();
    findings.extend(cycles(booted));
    findings.extend(conflicts(booted));
    findings.extend(devices(booted));
    findings.extend(fstab::devices(inventory));
    let mut warnings = warnings(booted, &said);
    warnings.retain(|it| !places.contains(&it.path));
    findings.extend(listed(warnings));
    Ok(findings)
}

/// Returns whether another check reports the fault: `initramfs-init` reports programs that cannot run, and
/// `initramfs-ostree` reports a missing release file.
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

/// Returns the place of a unit for a finding: its file, or its name if it has no file.
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
        Fault::Setting(line, path, why) => (place(path), format!("{line}, {why}")),
        Fault::Program(_, why) => (place_of(boot, job), why.to_string()),
    };
    let expected = format!("{}; the boot needs it for {}", reason(boot, job), goal.what);
    Finding::new(path, found, expected, REMEDY)
}

/// Describes the reason why a job is started.
fn reason(boot: &Boot, job: usize) -> String {
    let name = show(&boot.jobs[job].unit.name);
    match boot.jobs[job].from {
        None => format!("{name}, which systemd starts first"),
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

/// Returns the finding about a goal that no started unit reaches: systemd refuses a unit, or the goal's unit does not
/// exist, does not run the goal's program or is not started.
fn never(boot: &Boot, goal: &Goal) -> Finding {
    let expected = format!("a boot that reaches {}", goal.what);
    // The dependencies of a refused unit are not known, so the refusal is assumed to be the cause.
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
                _ => "a unit that does not run this program",
            };
            (place_of(boot, at), found.to_owned())
        }
        (None, None) => (
            place(goal.unit.as_bytes()),
            "a unit that initrd.target starts neither directly nor indirectly".to_owned(),
        ),
    };
    Finding::new(path, found, expected, REMEDY)
}

fn refused(why: &str) -> String {
    format!("a unit that systemd refuses: {why}")
}

/// Returns findings about ordering cycles. systemd breaks a cycle by removing a job that is only wanted, and does not
/// document which one. A cycle is fatal if systemd may remove a job that the boot needs, or if no job can be removed
/// and the boot needs a job of the cycle.
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
        let found = format!("an ordering cycle of units: {}", names.join(", "));
        let expected = "After= and Before= without a cycle";
        let finding = Finding::new(place_of(boot, first), found, expected, REMEDY);
        if is_fatal {
            finding
        } else {
            finding.only(Severity::Warning)
        }
    };
    listed(boot.cycles().iter().map(finding).collect())
}

/// Returns findings about required units that conflict with each other.
fn conflicts(booted: &Booted) -> Vec<Finding> {
    let boot = &booted.boot;
    let is_needed =
        |(a, b): &(usize, usize)| booted.needed.contains(a) && booted.needed.contains(b);
    let finding = |(at, other): (usize, usize)| {
        let found = format!("Conflicts={}", show(&boot.jobs[other].unit.name));
        let expected = format!(
            "{}, and the unit that it conflicts with is required, too",
            reason(boot, at)
        );
        Finding::new(place_of(boot, at), found, expected, REMEDY)
    };
    let found = boot.conflicts().into_iter().filter(is_needed);
    listed(found.map(finding).collect())
}

/// Returns findings about units of devices that the boot requires. For devices in `/dev/disk/by-*` and `/dev/mapper`
/// the findings are warnings, since every machine may have a device with such a name.
fn devices(booted: &Booted) -> Vec<Finding> {
    const NAMED: [&[u8]; 2] = [b"dev-disk-by", b"dev-mapper-"];
    let boot = &booted.boot;
    let mut findings = Vec::new();
    for &at in &booted.needed {
        let name = &boot.jobs[at].unit.name;
        if !name.ends_with(b".device") {
            continue;
        }
        let found = "a device that the boot waits for and that only some machines have";
        let finding = Finding::new(place(name), found, reason(boot, at), REMEDY);
        findings.push(if NAMED.iter().any(|start| name.starts_with(start)) {
            finding.only(Severity::Warning)
        } else {
            finding
        });
    }
    listed(findings)
}

/// Returns warnings about units that systemd refuses, about required units that it does not find, and about lines that
/// it ignores. The jobs in `said` have a fatal finding and are skipped.
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
        let expected = format!("a valid unit: {}", reason(boot, at));
        findings.push(Finding::new(path, found, expected, REMEDY).only(Severity::Warning));
    }
    findings
}

#[cfg(test)]
mod tests;
