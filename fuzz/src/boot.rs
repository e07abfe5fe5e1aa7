// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot through an initramfs whose units, udev rules, links, programs and libraries are hostile; and key files.

use std::collections::{BTreeMap, BTreeSet};

use ostree_kernel::boot::{KeyFile, RootSetup, Trace};
use ostree_kernel::initramfs::{Bodies, Inventory, Limits, read};

use crate::memory::within;
use crate::newc::archive;

/// The start of the line before each file. The file's path follows and, for a link, `->` and the target.
const FILE: &[u8] = b"==> ";

/// Links that make the image an initramfs with systemd, unless the input has files with these names.
const SYSTEMD: [(&[u8], &[u8]); 2] = [(b"init", b"usr/lib/systemd/systemd"), (b"lib", b"usr/lib")];

/// The maximum number of files of an input, so that a fuzzer does not spend its time on long lists.
const FILES_MAX: usize = 256;

/// Returns the upper bound of the memory for an input, in bytes: a fixed part for empty tables, and a part proportional
/// to the input, for the units, rules and graph that are parsed from it. One name can occur in many edges; their number
/// is limited, so the bound holds.
fn memory(bytes: &[u8]) -> usize {
    (8 << 20) + 512 * bytes.len()
}

/// Follows a boot through the files of an input: each starts with a line `==> PATH`, or is a link `==> PATH -> TARGET`.
pub fn boot(bytes: &[u8]) {
    let image = image(bytes);
    let limits = Limits {
        entries: 4096,
        name_bytes: 1 << 18,
        decoded_bytes: 1 << 22,
        ..Limits::default()
    };
    let mut bodies = Bodies::new(None);
    let mut inventory = Inventory::new(&limits);
    if read(image.as_slice(), &limits, &mut inventory.with(&mut bodies)).is_err() {
        return;
    }
    let facts = bodies.take_facts();
    let setup = Some(RootSetup::Ostree);
    let trace = within(memory(&image), || Trace::new(&inventory, &facts, setup));
    let steps = trace.graph.steps();
    let paths: BTreeSet<_> = steps.iter().map(|step| step.path).collect();
    assert_eq!(paths.len(), steps.len(), "each file is in the graph once");
    for (at, step) in steps.iter().enumerate() {
        assert!(inventory.node(step.path).is_some(), "a file of the image");
        assert!(step.from.is_none_or(|from| from < at), "a path from PID 1");
        assert!(!trace.graph.way_to(step.path).is_empty());
    }
    let Some(booted) = trace.booted else {
        return;
    };
    for job in &booted.needed {
        assert!(booted.boot.is_reached(*job) || !booted.unmet.is_empty());
    }
}

/// Returns an initramfs with the files of an input and the directories above them.
fn image(bytes: &[u8]) -> Vec<u8> {
    let mut files: BTreeMap<&[u8], (u32, &[u8])> = SYSTEMD
        .into_iter()
        .map(|(path, target)| (path, (0o120_777, target)))
        .collect();
    files.insert(b"usr/lib/systemd/systemd", (0o100_755, b"#!/bin/sh\n"));
    for part in parts(bytes).into_iter().take(FILES_MAX) {
        let (head, data) = match part.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, b"".as_slice()),
        };
        let arrow = head.windows(4).position(|it| it == b" -> ");
        let (path, entry) = match arrow {
            Some(at) => (&head[..at], (0o120_777, &head[at + 4..])),
            None => (head, (0o100_755, data)),
        };
        files.insert(path, entry);
    }
    let mut dirs = BTreeSet::new();
    for path in files.keys() {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        dirs.extend(slashes.map(|(at, _)| &path[..at]));
    }
    let dirs = dirs.into_iter().filter(|it| !it.is_empty());
    let dirs = dirs.map(|path| (path, 0o040_755, b"".as_slice()));
    archive(
        dirs.chain(
            files
                .iter()
                .map(|(path, (mode, data))| (*path, *mode, *data)),
        ),
    )
}

/// Splits an input at the lines that start with [`FILE`].
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in 0..bytes.len() {
        let is_line = at == 0 || bytes[at - 1] == b'\n';
        if is_line && bytes[at..].starts_with(FILE) {
            if at > start {
                parts.push(&bytes[start..at]);
            }
            start = at + FILE.len();
        }
    }
    parts.push(&bytes[start..]);
    parts
}

/// Reads a key file, and asserts that its values are parts of the text.
pub fn keyfile(bytes: &[u8]) {
    let mut file = KeyFile::default();
    let read = within(64 * bytes.len() + 4096, || file.add(bytes));
    if read.is_err() {
        return;
    }
    let text = std::str::from_utf8(bytes).expect("a key file is UTF-8");
    let keys = text.split('\n').filter_map(|line| line.split_once('='));
    let groups = text
        .split('\n')
        .filter_map(|line| line.trim().strip_prefix('['));
    for group in groups.filter_map(|it| it.strip_suffix(']')).take(16) {
        for (key, _) in keys.clone().take(16) {
            if let Some(value) = file.get(group, key.trim()) {
                assert!(text.contains(value), "a value of the file");
            }
        }
    }
}
