// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses an initramfs as the Linux kernel does.
//!
//! The rules are those of `init/initramfs.c` (`unpack_to_rootfs`). This module is stricter about images that are
//! probably incomplete: an uncompressed archive that is truncated, an archive without a trailer, and a file without a
//! segment are errors, although the kernel accepts them silently. [`Limits`] bounds sizes and numbers, too.
//!
//! The top level of the file may contain, in any number and order:
//! - NUL bytes between segments, before the first and after the last;
//! - newc archives (`070701`, or `070702` with checksums), whose offset in the file must be a multiple of four;
//! - compressed segments at any offset, detected by their magic numbers. Their content must consist of NULs and newc
//!   archives, whose offsets in the content must be multiples of four.
//!
//! `stream`: [`read`] reads the file as a stream (`source.rs`); one thread reads ahead in a large file. `compress.rs`,
//! `lz4.rs` and `lzop.rs` decode a compressed segment, a large one on a further thread. `pipe.rs` transfers the content
//! to `cpio.rs`, which parses it and calls the [`Visitor`]. `random.rs` creates the segment to append to a new image,
//! and `sample.rs` estimates the size that the file would have with `zstd -19`.
//!
//! `tree`: [`Inventory`] is the visitor for the checks. It builds the tree of names that the kernel would create in its
//! root file system by unpacking, and answers queries (`lookup.rs`).
//!
//! `bodies`: [`Bodies`] reads facts from whole files during streaming (`elf.rs`, `lists.rs`, `origin.rs`).
//!
//! This module must not access processes, the environment, a file system or a log. Invariant: no input causes a panic.
//! Memory use is bounded by [`Limits`], by the sizes of the buffers, and by the budgets of [`Keep`] and [`Bodies`].

mod bodies;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use bodies::comparison::{Comparison, ModuleFacts, OnDisk, OpenFile, Told};
pub use bodies::elf::{Elf, ElfError, Machine, Opened, Required, Symbols, hash as symbol_hash};
pub use bodies::facts::Facts;
pub use bodies::lists::List;
pub use bodies::origin::{Difference, Origin, TreeFile};
pub use bodies::{Bodies, sources_of};
pub use stream::compression::Compression;
pub use stream::entry::{Device, Entry, EntryType, NameProblem, Visitor};
pub use stream::error::{Foreign, Position, ReadError};
pub use stream::limits::Limits;
pub use stream::random::{random_segment, random_tail};
pub use stream::sample::Sample;
pub use stream::segment::{Segment, SegmentKind};
pub use stream::{read, read_into};
pub use tree::inventory::{Inventory, Keep, With};
pub use tree::lookup::{InnerImage, RootImage};
pub use tree::node::{Content, Node};
pub use tree::walk::ResolveError;
pub use tree::{Dropped, Reason};
