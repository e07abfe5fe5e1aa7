// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conditions that the readers must fulfil for all bytes. Each function takes hostile input. It panics if a reader
//! panics or exceeds its memory limit. As far as a condition applies to the reader, it also panics in these cases: the
//! reader contradicts itself, or returns data that the input does not contain; the result is another one when the bytes
//! are read one at a time; an error has no valid position.
//!
//! `fuzz_targets/` runs these functions under libFuzzer, `tests/replay.rs` on the seeds and on modified seeds.

mod boot;
mod elf;
mod image;
mod layers;
mod memory;
mod model;
mod modules;
mod newc;
mod package;
mod rpmdb;
mod trickle;
mod vmlinuz;

pub use boot::{boot, keyfile};
pub use elf::elf;
pub use image::{initramfs, is_read, segment, segment_image};
pub use layers::{documents, layer, toc};
pub use modules::{lists, module};
pub use package::package;
pub use rpmdb::rpmdb;
pub use vmlinuz::vmlinuz;

/// A function that takes hostile input.
pub type Target = fn(&[u8]);

/// Every target, with the name of the directory of its seeds.
pub const TARGETS: [(&str, Target); 13] = [
    ("initramfs", initramfs),
    ("segment", segment),
    ("elf", elf),
    ("boot", boot),
    ("keyfile", keyfile),
    ("module", module),
    ("lists", lists),
    ("vmlinuz", vmlinuz),
    ("package", package),
    ("rpmdb", rpmdb),
    ("layer", layer),
    ("toc", toc),
    ("documents", documents),
];
