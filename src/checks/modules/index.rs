// SPDX-License-Identifier: MIT OR Apache-2.0
//! The indexes that kmod reads in place of depmod's texts: without them modprobe knows no
//! dependency, and udev no driver for a device.

use super::super::{Finding, Subject};
use super::REBUILD;
use crate::initramfs::Inventory;

/// How every index begins (kmod `libkmod-index.h`).
const MAGIC: &[u8] = b"\xb0\x07\xf4\x57";

/// Who loads modules through kmod's library: kmod itself, and udevd beside systemd. busybox reads
/// the texts.
const READERS: [&[u8]; 5] = [
    b"usr/bin/kmod",
    b"usr/sbin/kmod",
    b"bin/kmod",
    b"sbin/kmod",
    b"usr/lib/systemd/systemd",
];

/// Indexes inside that are not there, or are none.
pub(super) fn broken(subject: &Subject, inventory: &Inventory) -> Vec<Finding> {
    let mut readers = READERS.iter();
    if !readers.any(|path| inventory.resolve(path).is_ok()) {
        return Vec::new();
    }
    let broken = |(name, expected): (&str, &str)| {
        let path = format!("{}/{name}", subject.kver.dir());
        let found = match inventory.resolve(path.as_bytes()) {
            Err(_) => "no such file",
            Ok((_, node)) => {
                let content = inventory.content(node);
                if content.is_some_and(|content| content.head.starts_with(MAGIC)) {
                    return None;
                }
                "no index of depmod's"
            }
        };
        let path = format!("{path} in the initramfs");
        Some(Finding::new(path, found, expected, REBUILD))
    };
    let indexes = [
        (
            "modules.dep.bin",
            "depmod's index, or modprobe finds nothing",
        ),
        (
            "modules.alias.bin",
            "depmod's index, or udev finds no driver",
        ),
    ];
    indexes.into_iter().filter_map(broken).collect()
}
