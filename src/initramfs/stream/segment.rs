// SPDX-License-Identifier: MIT OR Apache-2.0
//! A segment as a value, with its probable purpose.
//!
//! Nothing is read here. Invariant: the purpose is derived from the compression and from the names and types of the
//! entries, not from their data.

use std::io::{self, BufRead};

use super::compression::Compression;
use super::entry::{Entry, EntryType, Visitor};
use super::error::Position;
use crate::kernel::packing::Xz;

/// The probable purpose of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SegmentKind {
    /// Uncompressed. Besides directories and `early_cpio` it has only files that the kernel reads before it unpacks the
    /// image: microcode (`kernel/x86/microcode`) or ACPI tables (`kernel/firmware/acpi`).
    Early,
    /// Besides directories it has only the devices `dev/random` and `dev/urandom`, as rpm-ostree and ostree-kernel
    /// append them.
    RandomTail,
    /// Anything else.
    Main,
}

/// A segment of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The offset in the file, after the padding before the segment.
    pub offset: u64,
    /// Bytes in the file, without the padding after the segment.
    pub length: u64,
    /// The compression.
    pub compression: Compression,
    /// The properties of an xz segment; `None` for other compressions.
    pub xz: Option<Xz>,
    /// Bytes after decompression; for an uncompressed archive the same as `length`.
    pub decoded: u64,
    /// The number of entries, not counting trailers.
    pub entries: u64,
    /// The number of archives; 1 for an uncompressed segment.
    pub archives: u32,
    /// The probable purpose.
    pub kind: SegmentKind,
}

/// A visitor that counts the entries of a segment by purpose, and passes them to another visitor.
pub(in crate::initramfs) struct Observer<'v> {
    visitor: &'v mut dyn Visitor,
    entries: u64,
    early: u64,
    random: u64,
    directories: u64,
}

impl<'v> Observer<'v> {
    pub(in crate::initramfs) fn new(visitor: &'v mut dyn Visitor) -> Self {
        Self {
            visitor,
            entries: 0,
            early: 0,
            random: 0,
            directories: 0,
        }
    }

    /// Returns the finished segment, which started at `at`.
    pub(in crate::initramfs) fn segment(
        &self,
        at: Position,
        length: u64,
        decoded: u64,
        archives: u32,
    ) -> Segment {
        let others = self.entries - self.directories;
        let kind = if others > 0 && others == self.early && at.compression == Compression::None {
            SegmentKind::Early
        } else if others > 0 && others == self.random {
            SegmentKind::RandomTail
        } else {
            SegmentKind::Main
        };
        Segment {
            offset: at.offset,
            length,
            compression: at.compression,
            xz: None,
            decoded,
            entries: self.entries,
            archives,
            kind,
        }
    }
}

impl Visitor for Observer<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        self.entries += 1;
        let path = entry.path.as_slice();
        match entry.kind() {
            EntryType::Directory => self.directories += 1,
            EntryType::CharDevice if path == b"dev/random" || path == b"dev/urandom" => {
                self.random += 1
            }
            EntryType::File
                if path == b"early_cpio"
                    || path.starts_with(b"kernel/x86/microcode/")
                    || path.starts_with(b"kernel/firmware/acpi/") =>
            {
                self.early += 1;
            }
            _ => {}
        }
        self.visitor.entry(entry, body)
    }
}
