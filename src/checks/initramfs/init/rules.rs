// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks udev's rules: the events of a boot must reach the rules that load drivers, name disks and notify systemd of
//! disks.

use crate::boot::{Event, Rule, Rules, Token};
use crate::bytes::{basename, contains};
use crate::checks::{Finding, Remedy, Severity, listed, show};

const REMEDY: Remedy = Remedy::RebuildOr(
    "remove the file or link in /etc/udev/rules.d that replaces udev's own, and check that dracut installs the complete one",
);

/// The event for a new partition of a disk.
const DISK: Event = Event {
    action: "add",
    subsystem: Some("block"),
    kernel: Some("sda1"),
    kind: Some("partition"),
};

/// The event for the root's partition after a program such as fsck wrote to it. udev watches disks and triggers this
/// event itself. A tag or link that the rules set only for a new disk is then removed, and systemd unmounts the file
/// system.
const WRITTEN: Event = Event {
    action: "change",
    ..DISK
};

/// The event for a new device on a bus, whose driver must be loaded.
const BUS: Event = Event {
    action: "add",
    subsystem: Some("pci"),
    kernel: None,
    kind: None,
};

/// A rule that every boot requires.
struct RequiredRule {
    events: &'static [Event],
    is_rule: fn(&Rule) -> bool,
    /// systemd's file with the rule.
    file: &'static str,
    what: &'static str,
}

const GOALS: [RequiredRule; 5] = [
    RequiredRule {
        events: &[BUS],
        is_rule: loads_drivers,
        file: "80-drivers.rules",
        what: "RUN{builtin}+=\"kmod load\", which loads drivers",
    },
    RequiredRule {
        events: &[DISK, WRITTEN],
        is_rule: probes,
        file: "60-persistent-storage.rules",
        what: "IMPORT{builtin}=\"blkid\", which reads UUIDs and labels",
    },
    RequiredRule {
        events: &[DISK, WRITTEN],
        is_rule: |rule| links(rule, b"disk/by-uuid/"),
        file: "60-persistent-storage.rules",
        what: "SYMLINK+=\"disk/by-uuid/…\", which root=UUID=… requires",
    },
    RequiredRule {
        events: &[DISK, WRITTEN],
        is_rule: |rule| links(rule, b"disk/by-label/"),
        file: "60-persistent-storage.rules",
        what: "SYMLINK+=\"disk/by-label/…\", which root=LABEL=… requires",
    },
    RequiredRule {
        events: &[DISK, WRITTEN],
        is_rule: |rule| has(rule, b"TAG", |value| value == b"systemd"),
        file: "99-systemd.rules",
        what: "TAG+=\"systemd\" for block devices, which makes disks visible to systemd",
    },
];

fn has(rule: &Rule, key: &[u8], fits: fn(&[u8]) -> bool) -> bool {
    let mut tokens = rule.tokens.iter();
    tokens.any(|it| it.sets(key) && fits(&it.value))
}

/// Returns whether a rule calls the program `name` in a token with `key`, as a builtin of udev or as an external
/// program with a path. `has_argument` decides whether the arguments are the right ones.
fn calls(rule: &Rule, key: &[u8], name: &[u8], has_argument: fn(&[u8]) -> bool) -> bool {
    let mut tokens = rule.tokens.iter().filter(|it| it.key == key);
    tokens.any(|it| {
        let command = it.value.trim_ascii();
        let end = command.iter().position(u8::is_ascii_whitespace);
        let (first, rest) = command.split_at(end.unwrap_or(command.len()));
        let program = basename(first);
        // If a program in IMPORT has the name of a builtin, udev uses the builtin.
        let is_own = it.attribute.as_deref() == Some(b"builtin") || key == b"IMPORT";
        let is_called = (is_own && first == name) || (program == name && first != name);
        is_called && has_argument(rest.trim_ascii())
    })
}

fn loads_drivers(rule: &Rule) -> bool {
    [b"RUN".as_slice(), b"IMPORT"].into_iter().any(|key| {
        calls(rule, key, b"kmod", |it| {
            it == b"load" || contains(it, b"MODALIAS")
        }) || calls(rule, key, b"modprobe", |it| contains(it, b"MODALIAS"))
    })
}

fn probes(rule: &Rule) -> bool {
    calls(rule, b"IMPORT", b"blkid", |_| true)
}

/// A way in which a rule undoes the effect of a required rule.
struct Undo {
    /// `Some(true)` if the rule undoes the effect, `Some(false)` if it restores it, `None` if it does neither.
    undoes: fn(&Rule) -> Option<bool>,
    found: &'static str,
    expected: &'static str,
}

const UNDO: [Undo; 3] = [
    Undo {
        undoes: |rule| {
            let name = |it: &&Token| it.attribute.as_deref() == Some(b"SYSTEMD_READY");
            let mut tokens = rule.tokens.iter().filter(|it| it.sets(b"ENV"));
            Some(tokens.rfind(name)?.value == b"0")
        },
        found: "a rule with ENV{SYSTEMD_READY}=\"0\" for each disk",
        expected: "disks that systemd considers ready",
    },
    Undo {
        undoes: |rule| {
            let token = rule.tokens.iter().rfind(|it| it.key == b"TAG")?;
            if token.value == b"systemd" && token.sets(b"TAG") {
                return Some(false);
            }
            let is_removed = token.operator == b"-=" && token.value == b"systemd";
            (is_removed || token.replaces(b"TAG")).then_some(true)
        },
        found: "a rule that removes the tag systemd from each disk",
        expected: "TAG+=\"systemd\", which makes disks visible to systemd",
    },
    Undo {
        undoes: |rule| {
            let mut tokens = rule.tokens.iter();
            if links(rule, b"disk/by-uuid/") {
                return Some(false);
            }
            tokens.any(|it| it.replaces(b"SYMLINK")).then_some(true)
        },
        found: "a rule that removes the links of each disk",
        expected: "SYMLINK+=, which keeps the links in /dev/disk/by-uuid",
    },
];

fn links(rule: &Rule, dir: &[u8]) -> bool {
    let mut tokens = rule.tokens.iter().filter(|it| it.sets(b"SYMLINK"));
    tokens.any(|it| {
        it.value
            .split(u8::is_ascii_whitespace)
            .any(|link| link.starts_with(dir))
    })
}

/// Returns findings about required rules that one of their events does not reach, about rules that undo the effect of
/// required rules, and warnings about lines that udev ignores. If not all rules were read, no rule is reported as
/// missing.
pub(super) fn rules(rules: &Rules) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for goal in GOALS.iter().filter(|_| !rules.is_partial) {
        let is_reached = |event: &&Event| {
            let mut is_reached = false;
            rules.walk(event, &mut |rule, _, _| {
                is_reached |= (goal.is_rule)(rule);
            });
            is_reached
        };
        let Some(event) = goal.events.iter().find(|event| !is_reached(event)) else {
            continue;
        };
        let place = format!("usr/lib/udev/rules.d/{} in the initramfs", goal.file);
        // One missing or masked file is one finding.
        if findings.iter().any(|it| it.path == place) {
            continue;
        }
        let expected = format!("{}, in this or another rules file", goal.what);
        let found = format!(
            "no such rule, or events with ACTION={} do not reach it",
            event.action
        );
        findings.push(Finding::new(place, found, expected, REMEDY));
    }
    findings.extend(undone(rules));
    let rejected = rules.rejected.iter().map(|it| {
        let place = format!("{} in the initramfs", show(&it.path));
        let found = format!("line {}, which udev ignores: {}", it.line, it.why);
        let finding = Finding::new(place, found, "a rule", REMEDY);
        finding.only(Severity::Warning)
    });
    findings.extend(listed(rejected.collect()));
    findings
}

/// Returns findings about rules that apply to each disk and undo the effect of a required rule.
fn undone(rules: &Rules) -> Vec<Finding> {
    let mut all: [Option<&[u8]>; UNDO.len()] = [None; UNDO.len()];
    for event in [DISK, WRITTEN] {
        let mut by = [None; UNDO.len()];
        rules.walk(&event, &mut |rule, path, always| {
            for (undo, by) in UNDO.iter().zip(&mut by) {
                match (undo.undoes)(rule) {
                    Some(true) if always => *by = Some(path),
                    Some(false) => *by = None,
                    _ => {}
                }
            }
        });
        for (all, by) in all.iter_mut().zip(by) {
            *all = all.or(by);
        }
    }
    let found = UNDO.iter().zip(all);
    let finding = |(undo, path): (&Undo, Option<&[u8]>)| {
        let place = format!("{} in the initramfs", show(path?));
        Some(Finding::new(place, undo.found, undo.expected, REMEDY))
    };
    found.filter_map(finding).collect()
}
