// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small images of every kind as seeds for the fuzzer.

use super::super::testing::*;
use super::super::*;
use crate::kernel::testing::{INFO, module, seeds};

/// Returns the entries of a small image like those of dracut: directories, files, a symbolic link, hard links and a
/// device. `module` is the content of the kernel module.
fn items(module: &[u8]) -> Vec<TestEntry> {
    vec![
        dir("usr"),
        dir("usr/lib"),
        link("lib", "usr/lib"),
        file("init", b"#!/bin/sh\n"),
        dir("usr/lib/dracut"),
        file("usr/lib/dracut/modules.txt", b"base\nostree\n"),
        file("usr/lib/dracut/dracut-106", b""),
        dir("usr/lib/modules"),
        dir("usr/lib/modules/6.1"),
        file("usr/lib/modules/6.1/a.ko", module),
        hard("one", 7, b""),
        hard("two", 7, b"data"),
        TestEntry {
            rdev: (5, 1),
            ..item("dev/console", 0o020_600, b"")
        },
        file("lib/../up", b"x"),
    ]
}

#[test]
fn seeds_are_current() {
    // The tree of the fuzz targets has this module at every path that ends in `.ko`.
    let module = &module(true, false, INFO);
    let main = archive(&items(module));
    let mut early = archive(&[file("early_cpio", b"1")]);
    early.resize(early.len() + 64, 0);
    let whole = |packed: Vec<u8>| {
        let image = [early.clone(), packed].concat();
        let tail = random_tail(image.len() as u64);
        [image, tail].concat()
    };
    let mut other = module.clone();
    other.truncate(other.len() - 8);
    let bodies = [
        dir("lib"),
        dir("lib/modules"),
        file("lib/modules/b.ko", &other),
        file("lib/modules/c.ko.xz", b"\xfd7zXZ\0"),
        file("prog", b"\x7fELF\x02\x01\x01\0"),
    ];
    let small = archive(&[file("a", b"data"), link("b", "a")]);
    let summed = [open_archive(&items(b""), "070702"), archive(&[])].concat();
    let mut images = vec![
        ("small", small.clone()),
        ("raw", main.clone()),
        ("summed", summed),
        ("bodies", archive(&bodies)),
        ("early-main-random", whole(main.clone())),
    ];
    let mut segments = Vec::new();
    // The fuzz target `segment` has the magic numbers of the first six compressions.
    for (which, &compression) in (0..).zip(&PACKED[..6]) {
        images.push((compression.name(), whole(pack(compression, &main))));
        // In a seed, a byte that selects the compression replaces the magic number, which has this length.
        let magic = [4, 3, 7, 3, 4, 3][usize::from(which)];
        let packed = pack(compression, &small);
        let segment = [&[which], &packed[magic..]].concat();
        segments.push((compression.name(), segment));
    }
    seeds("initramfs", &images);
    seeds("segment", &segments);
}
