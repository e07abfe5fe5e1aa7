// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hostile images: each is read in bounded time and memory. A test that does not end shows a loop, or work that grows
//! with the square of the input.

use std::fmt::Write as _;

use super::{Load, RootSetup, Rules, Trace};
use crate::initramfs::testing::{TestEntry, dir, inventory, item, link};
use crate::initramfs::{Facts, Inventory};

const UNITS: &str = "usr/lib/systemd/system";
const RULES: &str = "usr/lib/udev/rules.d";

/// Returns the entries of an image whose `/init` is systemd.
fn with_systemd() -> Vec<TestEntry> {
    let dirs = ["usr", "usr/lib", "usr/lib/systemd", UNITS];
    let mut items: Vec<TestEntry> = dirs.into_iter().map(dir).collect();
    items.push(link("init", "usr/lib/systemd/systemd"));
    items.push(item("usr/lib/systemd/systemd", 0o100_755, b"#!/bin/sh\n"));
    items
}

/// Returns an image whose `/init` is systemd and that has these units.
fn image(units: &[(String, String)]) -> Inventory {
    let mut items = with_systemd();
    for (name, text) in units {
        let path = format!("{UNITS}/{name}");
        items.push(item(&path, 0o100_644, text.as_bytes()));
    }
    inventory(&items)
}

fn trace(inventory: &Inventory, look: impl FnOnce(&Trace)) {
    let facts = Facts::default();
    look(&Trace::new(inventory, &facts, Some(RootSetup::Ostree)));
}

/// Returns a target that wants these units and starts after them.
fn target(name: &str, others: impl Iterator<Item = String>) -> (String, String) {
    let mut text = "[Unit]\n".to_owned();
    for other in others {
        writeln!(text, "Wants={other}\nAfter={other}").unwrap();
    }
    (name.to_owned(), text)
}

#[test]
fn a_million_dependencies() {
    let name = |number: usize| format!("u{number}.target");
    let mut units: Vec<_> = (0..700)
        .map(|it| target(&name(it), (0..700).map(name)))
        .collect();
    units.push(target("initrd.target", (0..700).map(name)));
    trace(&image(&units), |trace| {
        let boot = &trace.booted.as_ref().unwrap().boot;
        assert!(boot.is_partial);
        assert!(boot.jobs.iter().any(|job| job.unit.load == Load::Unread));
    });
}

#[test]
fn a_chain_of_ten_thousand_units_that_ends_at_its_start() {
    const LENGTH: usize = 12_000;
    let name = |number: usize| match number % LENGTH {
        0 => "initrd.target".to_owned(),
        number => format!("u{number}.target"),
    };
    let units: Vec<_> = (0..LENGTH)
        .map(|it| target(&name(it), std::iter::once(name(it + 1))))
        .collect();
    trace(&image(&units), |trace| {
        assert!(trace.booted.as_ref().unwrap().boot.is_partial);
    });
}

#[test]
fn names_of_64_kib_and_aliases_that_lead_to_themselves() {
    let long = "n".repeat(64 << 10);
    let text = format!("[Unit]\nRequires={long}.service a.service\nAfter={long}.target\n");
    let mut items = with_systemd();
    items.extend([
        item(
            &format!("{UNITS}/initrd.target"),
            0o100_644,
            text.as_bytes(),
        ),
        link(&format!("{UNITS}/a.service"), "b.service"),
        link(&format!("{UNITS}/b.service"), "a.service"),
        dir(&format!("{UNITS}/initrd.target.d")),
        link(
            &format!("{UNITS}/initrd.target.d/x.conf"),
            "../initrd.target.d",
        ),
        link(&format!("{UNITS}/initrd.target.wants"), "initrd.target.d"),
    ]);
    trace(&inventory(&items), |trace| {
        let boot = &trace.booted.as_ref().unwrap().boot;
        let names = boot.jobs.iter().map(|job| job.unit.name.len());
        assert!(names.max().unwrap() < 256);
        assert!(!boot.is_reached(boot.job(b"initrd.target").unwrap()));
    });
}

#[test]
fn rules_that_jump_to_labels_far_away_or_nowhere() {
    let mut text = String::new();
    for number in 0..60_000 {
        writeln!(text, "GOTO=\"nowhere\"\nLABEL=\"l{number}\", GOTO=\"end\"").unwrap();
    }
    text += "LABEL=\"end\"\n";
    let mut items: Vec<TestEntry> = ["usr", "usr/lib", "usr/lib/udev", RULES]
        .into_iter()
        .map(dir)
        .collect();
    for (number, part) in text.as_bytes().chunks(200_000).enumerate() {
        items.push(item(&format!("{RULES}/{number:02}.rules"), 0o100_644, part));
    }
    let inventory = inventory(&items);
    let rules = Rules::new(&inventory);
    assert!(rules.rejected.len() > 50_000);
    let event = super::Event {
        action: "add",
        subsystem: None,
        kernel: None,
        kind: None,
    };
    let mut visited = 0;
    rules.walk(&event, &mut |_, _, _| visited += 1);
    assert!(visited > 50_000);
}
