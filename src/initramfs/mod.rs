// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads an initramfs as the Linux kernel does: bytes in, values out.
//!
//! The kernel's rules are those of `init/initramfs.c` (`unpack_to_rootfs`); where this room is
//! stricter, the item says so. The strictness is on purpose: what the kernel forgives in silence
//! (a raw archive that is cut off, an archive without a trailer) is a damaged image all the same.
//!
//! What is accepted at the top level of the file, in any number and any order:
//! - NUL bytes, any number of them, anywhere between segments (also before the first and after the
//!   last);
//! - a raw newc archive (`070701`, or `070702` with its checksum), which must start at a multiple
//!   of four bytes from the start of the file;
//! - a compressed segment at any offset, told by its magic. Its content is, again, NULs and newc
//!   archives (at multiples of four bytes from the start of the content), and nothing else.
//!
//! The map: [`read`] (`image.rs`) drives a stream of bytes (`source.rs`),
//! which is read ahead on a thread of its own; `compress.rs`, `lz4.rs` and
//! `lzop.rs` decode a segment on a thread of their own, `pipe.rs` hands the content over; `cpio.rs` parses it
//! and calls the [`Visitor`]. [`Inventory`] is the visitor that the checks use; it unpacks into a
//! tree of names (`tree.rs`) as the kernel would into its root file system, and answers questions
//! about it (`lookup.rs`). [`Bodies`] (`bodies.rs`, `elf.rs`, `lists.rs`, `facts.rs`) looks at whole files while they stream by.
//!
//! This room must not name a process, the environment, a file system or a log. Its invariant:
//! no input makes it panic, or makes it hold more than the window that the limits allow, a few
//! megabytes of buffers and the small files that an inventory keeps.

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

pub use bodies::Bodies;
pub use comparison::{Comparison, ModuleFacts, OnDisk, OpenFile, Told};
pub use compression::Compression;
pub use elf::{Elf, ElfError, Machine, Opened, Required, Symbols, hash as symbol_hash};
pub use entry::{Device, Entry, Kind, NameProblem, Visitor};
pub use error::{Foreign, Place, ReadError};
pub use facts::Facts;
pub use image::{read, read_into};
pub use inventory::{Inventory, Keep, With};
pub use limits::Limits;
pub use lists::List;
pub use lookup::{InnerImage, RootImage};
pub use node::{Content, Node};
pub use origin::{Difference, Origin, Source};
pub use random::{random_segment, random_tail};
pub use segment::{Segment, SegmentKind};
pub use tree::{Dropped, Reason};
pub use walk::ResolveError;
