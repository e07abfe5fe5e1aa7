// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a segment is, as a value, and a guess of what it is there for.
//!
//! It must not read. Its invariant: a guess is made from names only.

use std::io::{self, BufRead};

use super::compression::Compression;
use super::entry::{Entry, Kind, Visitor};
use super::error::Place;
use crate::kernel::packing::Xz;

/// What a segment seems to be there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentKind {
    /// Uncompressed, with nothing but what the kernel looks for before it unpacks anything:
    /// microcode (`kernel/x86/microcode`) or ACPI tables (`kernel/firmware/acpi`).
    Early,
    /// The segment that rpm-ostree appends: nothing but `dev/random` and `dev/urandom`.
    RandomTail,
    /// Anything else.
    Main,
}

/// One segment of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts: bytes from the start of the file, padding before it not counted.
    pub offset: u64,
    /// Bytes in the file, padding after it not counted.
    pub length: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// What its headers say, if it is compressed with xz.
    pub xz: Option<Xz>,
    /// Bytes that it unpacks to; for a raw archive the same as `length`.
    pub decoded: u64,
    /// Entries in it, trailers not counted.
    pub entries: u64,
    /// Archives in it; 1 for a raw segment.
    pub archives: u32,
    /// What it seems to be there for.
    pub kind: SegmentKind,
}

/// Passes entries on, and remembers what a segment's names say about it.
pub(super) struct Observer<'v> {
    visitor: &'v mut dyn Visitor,
    entries: u64,
    early: u64,
    random: u64,
    directories: u64,
}

impl<'v> Observer<'v> {
    pub(super) fn new(visitor: &'v mut dyn Visitor) -> Self {
        Self {
            visitor,
            entries: 0,
            early: 0,
            random: 0,
            directories: 0,
        }
    }

    /// The segment that ended, which started at `at`.
    pub(super) fn segment(&self, at: Place, length: u64, decoded: u64, archives: u32) -> Segment {
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
            Kind::Directory => self.directories += 1,
            Kind::CharDevice if path == b"dev/random" || path == b"dev/urandom" => self.random += 1,
            Kind::File
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
