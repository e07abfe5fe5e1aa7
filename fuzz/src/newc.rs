// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes cpio archives, for targets whose reader needs a whole initramfs.

use std::io::Write;

/// Returns a newc archive of entries, each with its name, mode and data.
pub fn archive<'a>(entries: impl IntoIterator<Item = (&'a [u8], u32, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    let trailer: (&[u8], u32, &[u8]) = (b"TRAILER!!!", 0, b"");
    for (name, mode, data) in entries.into_iter().chain([trailer]) {
        out.extend_from_slice(b"070701");
        let (mode, size, length) = (mode as usize, data.len(), name.len() + 1);
        for field in [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0] {
            write!(out, "{field:08x}").expect("memory takes it");
        }
        for part in [&[name, b"\0"].concat(), data] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
    }
    out
}
