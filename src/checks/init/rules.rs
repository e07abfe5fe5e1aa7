// SPDX-License-Identifier: MIT OR Apache-2.0
//! udev's rules: whether the events of a boot come to those that load drivers, name disks and tell systemd
//! of them.

use super::super::{Finding, Remedy, Severity, listed, show};
use crate::boot::{Event, Rule, Rules};

const REMEDY: Remedy = Remedy::RebuildOr(
    "remove the file or link in /etc/udev/rules.d that replaces udev's own, and see that dracut installs the whole one",
);

/// A partition of a disk.
const DISK: Event = Event {
    subsystem: Some("block"),
    kernel: Some("sda1"),
    kind: Some("partition"),
};

/// A device of a bus, for which a driver is to be loaded.
const BUS: Event = Event {
    subsystem: Some("pci"),
    kernel: None,
    kind: None,
};

/// A rule that no boot does without.
struct Goal {
    event: Event,
    is_rule: fn(&Rule) -> bool,
    /// The file of systemd that has it.
    file: &'static str,
    what: &'static str,
}

const GOALS: [Goal; 5] = [
    Goal {
        event: BUS,
        is_rule: loads_drivers,
        file: "80-drivers.rules",
        what: "RUN{builtin}+=\"kmod load\", by which drivers are loaded",
    },
    Goal {
        event: DISK,
        is_rule: probes,
        file: "60-persistent-storage.rules",
        what: "IMPORT{builtin}=\"blkid\", by which UUIDs and labels are read",
    },
    Goal {
        event: DISK,
        is_rule: |rule| links(rule, b"disk/by-uuid/"),
        file: "60-persistent-storage.rules",
        what: "SYMLINK+=\"disk/by-uuid/…\", by which root=UUID=… is found",
    },
    Goal {
        event: DISK,
        is_rule: |rule| links(rule, b"disk/by-label/"),
        file: "60-persistent-storage.rules",
        what: "SYMLINK+=\"disk/by-label/…\", by which root=LABEL=… is found",
    },
    Goal {
        event: DISK,
        is_rule: |rule| has(rule, b"TAG", |value| value == b"systemd"),
        file: "99-systemd.rules",
        what: "TAG+=\"systemd\" for block devices, by which systemd sees disks",
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

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|it| it == word)
}

/// Rules that no boot does without and that no event comes to, and lines that udev ignores.
pub(super) fn rules(rules: &Rules) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for goal in GOALS.iter().filter(|_| !rules.is_partial) {
        if rules.reach(&goal.event, &goal.is_rule).is_some() {
            continue;
        }
        let place = format!("usr/lib/udev/rules.d/{} in the initramfs", goal.file);
        // One file that is gone or masked is one finding.
        if findings.iter().any(|it| it.path == place) {
            continue;
        }
        let expected = format!("{}, there or in another file of rules", goal.what);
        let found = "no rule that the events of a boot come to";
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
