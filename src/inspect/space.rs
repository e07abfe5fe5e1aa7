// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sums up the space in an initramfs: by kind of file, by directory, by file.
//!
//! Invariant: the content of a file with several names counts once, under the first name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::json::Name;
use crate::bytes::{basename, contains};
use crate::initramfs::{Content, EntryType, Inventory};

/// Maximum number of directories, and of files, that are listed.
const NAMED: usize = 10;

/// The files of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Share {
    /// `kernel modules`, `firmware`, `libraries`, …
    pub kind: &'static str,
    /// The number of files.
    pub files: usize,
    /// The bytes of these files.
    pub bytes: u64,
}

/// A directory or file with its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sized {
    /// The path.
    #[serde(flatten)]
    pub name: Name,
    /// The path with its original bytes.
    #[serde(skip)]
    pub raw: Vec<u8>,
    /// Bytes of the file, or of all files below the directory.
    pub bytes: u64,
}

/// The space in an initramfs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Space {
    /// Bytes of all files.
    pub bytes: u64,
    /// The number of files; hard links count once.
    pub files: usize,
    /// The kinds of files, the largest first.
    pub kinds: Vec<Share>,
    /// The largest directories (at most 10), except those that consist mostly of one subdirectory, and those with less
    /// than a hundredth of all bytes.
    pub directories: Vec<Sized>,
    /// The largest files (at most 10).
    pub largest: Vec<Sized>,
}

impl Space {
    /// Sums up the files of an initramfs.
    pub fn of(inventory: &Inventory) -> Self {
        let modules: BTreeSet<_> = inventory.kernel_modules().into_iter().collect();
        let inner: BTreeSet<_> = inventory
            .inner_images()
            .into_iter()
            .map(|image| image.path)
            .collect();
        let mut seen = BTreeSet::new();
        let mut kinds: BTreeMap<&'static str, Share> = BTreeMap::new();
        let mut directories: BTreeMap<&[u8], u64> = BTreeMap::new();
        let mut largest = Vec::new();
        let mut space = Self::default();
        for (path, node) in inventory.nodes() {
            let Some(content) = inventory.content(node) else {
                continue;
            };
            if node.kind != EntryType::File || !seen.insert(content.entry) {
                continue;
            }
            let bytes = u64::from(content.size);
            space.bytes += bytes;
            space.files += 1;
            let kind = if modules.contains(path) {
                "kernel modules"
            } else if inner.contains(path) {
                "inner images"
            } else {
                kind(path, content)
            };
            let share = kinds.entry(kind).or_insert(Share {
                kind,
                files: 0,
                bytes: 0,
            });
            share.files += 1;
            share.bytes += bytes;
            for directory in above(path) {
                *directories.entry(directory).or_default() += bytes;
            }
            largest.push((path, bytes));
        }
        space.kinds = kinds.into_values().collect();
        space
            .kinds
            .sort_by_key(|share| std::cmp::Reverse(share.bytes));
        space.directories = largest_directories(&directories, space.bytes);
        space.largest = named(largest, 0);
        space
    }
}

/// Returns the directories above a path, without the root.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}

/// Returns the kind of a file, by its path and its first bytes.
fn kind(path: &[u8], content: &Content) -> &'static str {
    let below = |places: &[&[u8]]| places.iter().any(|place| path.starts_with(place));
    let name = basename(path);
    let is_library = name.ends_with(b".so") || contains(name, b".so.");
    if below(&[b"usr/lib/firmware/".as_slice(), b"lib/firmware/"]) {
        "firmware"
    } else if below(&[
        b"kernel/x86/microcode/".as_slice(),
        b"kernel/firmware/acpi/",
    ]) {
        "microcode, ACPI tables"
    } else if content.is_elf() {
        if is_library { "libraries" } else { "programs" }
    } else if content.interpreter().is_some() {
        "scripts"
    } else {
        "other files"
    }
}

/// Returns the largest directories. A directory is left out if one subdirectory has at least nine tenths of its bytes,
/// or if it has less than a hundredth of `whole`, the bytes of all files.
fn largest_directories(directories: &BTreeMap<&[u8], u64>, whole: u64) -> Vec<Sized> {
    let mut largest_below: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (&path, &bytes) in directories {
        if let Some(parent) = above(path).last() {
            let largest = largest_below.entry(parent).or_default();
            *largest = bytes.max(*largest);
        }
    }
    let says_more = |&(path, bytes): &(&[u8], u64)| {
        let below = largest_below.get(path).copied().unwrap_or(0);
        below.saturating_mul(10) < bytes.saturating_mul(9)
    };
    let sizes = directories.iter().map(|(&path, &bytes)| (path, bytes));
    named(sizes.filter(says_more).collect(), whole / 100)
}

/// Returns the largest items, the largest first, at most [`NAMED`]. Items with fewer than `least` bytes, and empty
/// ones, are left out.
fn named(mut sizes: Vec<(&[u8], u64)>, least: u64) -> Vec<Sized> {
    sizes.retain(|&(_, bytes)| bytes >= least.max(1));
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    sizes.truncate(NAMED);
    let sized = |(path, bytes): (&[u8], u64)| Sized {
        name: Name::new(path),
        raw: path.to_vec(),
        bytes,
    };
    sizes.into_iter().map(sized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::{archive, dir, file, hard};
    use crate::inspect::testing::inventory;

    #[test]
    fn kinds_directories_and_files_are_added_up() {
        let elf = |size: usize| [b"\x7fELF".as_slice(), &vec![0; size - 4]].concat();
        let items = [
            dir("usr"),
            dir("usr/bin"),
            dir("usr/lib"),
            dir("usr/lib/modules"),
            dir("usr/lib/modules/6.1"),
            dir("usr/lib/firmware"),
            file("usr/bin/tool", &elf(100)),
            file("usr/bin/hook", b"#!/bin/sh"),
            file("usr/lib/libc.so.6", &elf(200)),
            file("usr/lib/modules/6.1/a.ko", &elf(400)),
            file("usr/lib/modules/6.1/modules.dep", b"a.ko:"),
            file("usr/lib/firmware/f.bin", &[1; 50]),
            hard("usr/lib/one", 9, &[2; 60]),
            hard("usr/lib/two", 9, b""),
        ];
        let space = Space::of(&inventory(&archive(&items)));
        assert_eq!(space.files, 7);
        assert_eq!(space.bytes, 824);
        let kinds: Vec<_> = space
            .kinds
            .iter()
            .map(|share| (share.kind, share.files, share.bytes))
            .collect();
        let expected = [
            ("kernel modules", 1, 400),
            ("libraries", 1, 200),
            ("programs", 1, 100),
            ("other files", 2, 65),
            ("firmware", 1, 50),
            ("scripts", 1, 9),
        ];
        assert_eq!(kinds, expected);
        let names = |sized: &[Sized]| -> Vec<_> {
            let pair = |it: &Sized| (it.name.path.clone(), it.bytes);
            sized.iter().map(pair).collect()
        };
        let directories = names(&space.directories);
        let expected = [
            ("usr", 824),
            ("usr/lib", 715),
            ("usr/lib/modules/6.1", 405),
            ("usr/bin", 109),
            ("usr/lib/firmware", 50),
        ];
        let expected = expected.map(|(path, bytes)| (path.to_owned(), bytes));
        assert_eq!(directories, expected);
        assert_eq!(space.largest[0].name.path, "usr/lib/modules/6.1/a.ko");
    }
}
