// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers for the tests of `inspect`.

use crate::initramfs::{Inventory, Keep, Limits, Segment, read};

pub(super) fn read_image(bytes: &[u8]) -> (Inventory, Vec<Segment>) {
    let limits = Limits::default();
    let keep = Keep {
        digests: true,
        ..Keep::default()
    };
    let mut inventory = Inventory::keeping(&limits, keep);
    let segments = read(bytes, &limits, &mut inventory).unwrap();
    (inventory, segments)
}

pub(super) fn inventory(bytes: &[u8]) -> Inventory {
    read_image(bytes).0
}
