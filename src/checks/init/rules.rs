// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks udev's rules: the events of a boot must reach the rules that load drivers, name disks and notify systemd of
//! disks.

use super::super::{Finding, Remedy, Severity, listed, show};
use crate::boot::{Event, Rule, Rules};
use crate::bytes::contains;

const REMEDY: Remedy = Remedy::RebuildOr(
    "remove the file or link in /etc/udev/rules.d that replaces udev's own, and check that dracut installs the complete one",
);

/// A partition of a disk.
const DISK: Event = Event {
    subsystem: Some("block"),
    kernel: Some("sda1"),
    kind: Some("partition"),
};

/// A device on a bus, whose driver must be loaded.
const BUS: Event = Event {
    subsystem: Some("pci"),
    kernel: None,
    kind: None,
};

/// A rule that every boot requires.
struct RequiredRule {
    event: Event,
    is_rule: fn(&Rule) -> bool,
    /// systemd's file with the rule.
    file: &'static str,
    what: &'static str,
}

const GOALS: [RequiredRule; 5] = [
    RequiredRule {
        event: BUS,
        is_rule: loads_drivers,
        file: "80-drivers.rules",
        what: "RUN{builtin}+=\"kmod load\", which loads drivers",
    },
    RequiredRule {
        event: DISK,
        is_rule: probes,
        file: "60-persistent-storage.rules",
        what: "IMPORT{builtin}=\"blkid\", which reads UUIDs and labels",
    },
    RequiredRule {
        event: DISK,
        is_rule: |rule| links(rule, b"disk/by-uuid/"),
        file: "60-persistent-storage.rules",
        what: "SYMLINK+=\"disk/by-uuid/…\", which root=UUID=… requires",
    },
    RequiredRule {
        event: DISK,
        is_rule: |rule| links(rule, b"disk/by-label/"),
        file: "60-persistent-storage.rules",
        what: "SYMLINK+=\"disk/by-label/…\", which root=LABEL=… requires",
    },
    RequiredRule {
        event: DISK,
        is_rule: |rule| has(rule, b"TAG", |value| value == b"systemd"),
        file: "99-systemd.rules",
        what: "TAG+=\"systemd\" for block devices, which makes disks visible to systemd",
    },
];

fn has(rule: &Rule, key: &[u8], fits: fn(&[u8]) -> bool) -> bool {
    let mut tokens = rule.tokens.iter();
    tokens.any(|it| it.sets(key) && fits(&it.value))
}

fn loads_drivers(rule: &Rule) -> bool {
    let loads = |value: &[u8]| {
        let value = value.trim_ascii();
        value == b"kmod load" || contains(value, b"MODALIAS")
    };
    has(rule, b"RUN", loads) || has(rule, b"IMPORT", loads)
}

fn probes(rule: &Rule) -> bool {
    has(rule, b"IMPORT", |value| contains(value, b"blkid"))
}

fn links(rule: &Rule, dir: &[u8]) -> bool {
    let mut tokens = rule.tokens.iter().filter(|it| it.sets(b"SYMLINK"));
    tokens.any(|it| {
        it.value
            .split(u8::is_ascii_whitespace)
            .any(|link| link.starts_with(dir))
    })
}

/// Returns findings about required rules that no event reaches, and about lines that udev ignores.
pub(super) fn rules(rules: &Rules) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for goal in GOALS.iter().filter(|_| !rules.is_partial) {
        if rules.reach(&goal.event, &goal.is_rule).is_some() {
            continue;
        }
        let place = format!("usr/lib/udev/rules.d/{} in the initramfs", goal.file);
        // One missing or masked file is one finding.
        if findings.iter().any(|it| it.path == place) {
            continue;
        }
        let expected = format!("{}, in this or another rules file", goal.what);
        let found = "no such rule that the events of a boot reach";
        findings.push(Finding::new(place, found, expected, REMEDY));
    }
    let rejected = rules.rejected.iter().map(|it| {
        let place = format!("{} in the initramfs", show(&it.path));
        let found = format!("line {}, which udev ignores: {}", it.line, it.why);
        let finding = Finding::new(place, found, "a rule", REMEDY);
        finding.only(Severity::Warning)
    });
    findings.extend(listed(rejected.collect()));
    findings
}
