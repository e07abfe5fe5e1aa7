// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses an initramfs as the Linux kernel does.
//!
//! The rules are those of `init/initramfs.c` (`unpack_to_rootfs`). Where this module is stricter, the item's
//! documentation says so: a truncated archive or one without a trailer is a damaged image, even though the kernel
//! accepts it silently.
//!
//! The top level of the file may contain, in any number and order:
//! - NUL bytes between segments, before the first and after the last;
//! - newc archives (`070701`, or `070702` with checksums), whose offset in the file must be a multiple of four;
//! - compressed segments at any offset, detected by their magic numbers. Their content must consist of NULs and newc
//!   archives at offsets that are multiples of four.
//!
//! [`read`] (`image.rs`) reads a stream of bytes (`source.rs`), which another thread reads ahead. `compress.rs`,
//! `lz4.rs` and `lzop.rs` decode a segment on a third thread, whose output `pipe.rs` transfers. `cpio.rs` parses it and
//! calls the [`Visitor`]. [`Inventory`] is the visitor for the checks: it builds a tree of names (`tree.rs`) as the
//! kernel unpacks into its root file system, and answers queries (`lookup.rs`). [`Bodies`] (`bodies.rs`, `elf.rs`,
//! `lists.rs`, `facts.rs`) learns facts from whole files during streaming.
//!
//! This module must not access processes, the environment, a file system or a log. Invariant: no input causes a panic,
//! or uses more memory than the allowed window, a few megabytes of buffers and the small files that an inventory keeps.

mod bodies;
mod comparison;
mod compress;
mod compression;
mod cpio;
mod cursor;
mod elf;
mod entry;
mod error;
mod facts;
mod image;
mod inventory;
mod limits;
mod lists;
mod lookup;
mod lz4;
mod lzop;
mod node;
mod observed;
mod origin;
mod pipe;
mod random;
mod segment;
mod source;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use bodies::{Bodies, sources_of};
pub use comparison::{Comparison, ModuleFacts, OnDisk, OpenFile, Told};
pub use compression::Compression;
pub use elf::{Elf, ElfError, Machine, Opened, Required, Symbols, hash as symbol_hash};
pub use entry::{Device, Entry, EntryType, NameProblem, Visitor};
pub use error::{Foreign, Position, ReadError};
pub use facts::Facts;
pub use image::{read, read_into};
pub use inventory::{Inventory, Keep, With};
pub use limits::Limits;
pub use lists::List;
pub use lookup::{InnerImage, RootImage};
pub use node::{Content, Node};
pub use origin::{Difference, Origin, TreeFile};
pub use random::{random_segment, random_tail};
pub use segment::{Segment, SegmentKind};
pub use tree::{Dropped, Reason};
pub use walk::ResolveError;
