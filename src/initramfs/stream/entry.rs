// SPDX-License-Identifier: MIT OR Apache-2.0
//! An entry of an archive, and the trait of its visitors.
//!
//! Nothing is read here. Invariant: a name is a byte string, and unusual properties of it are recorded.

use std::fmt;
use std::io::{self, BufRead};

/// The kernel's upper bound of a path with its NUL (bytes; `PATH_MAX`).
pub(in crate::initramfs) const PATH_MAX: u64 = 4096;

/// The type of an entry, from its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EntryType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its target is the entry's data.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Unknown type bits; the kernel ignores the entry.
    Unknown,
}

/// An unusual property of an entry's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem {
    /// It starts with `/`. The kernel unpacks it to the same path; other programs may not.
    Absolute,
    /// It has a `..` component. The kernel resolves it inside its root.
    Traversal,
    /// It is empty. The kernel ignores the entry.
    Empty,
    /// It is longer than `PATH_MAX` (4096 bytes with its NUL), and the kernel skips the entry. [`Entry::path`] is made
    /// from the first 4096 bytes.
    TooLong,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "the name starts with a slash",
            Self::Traversal => "the name has a .. component",
            Self::Empty => "there is no name",
            Self::TooLong => "the name is too long",
        })
    }
}

/// A device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// One entry of an archive, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path without empty and `.` components, so it is relative; empty for the root itself and for an empty name.
    /// `..` components are kept.
    pub path: Vec<u8>,
    /// Unusual properties of the original name.
    pub problems: Vec<NameProblem>,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The inode number. Entries of an archive with the same number, type and [`dev`](Self::dev) are hard links of one
    /// file if [`nlink`](Self::nlink) is at least 2. Directories and symbolic links have no hard links.
    pub ino: u32,
    /// The number of links, as in `st_nlink`: 2 or more for a file with several names.
    pub nlink: u32,
    /// The modification time in seconds since 1970.
    pub mtime: u32,
    /// The number of data bytes in the archive. For a file with several names, the data can be at any of them.
    pub size: u32,
    /// The device of the file when it was archived.
    pub dev: Device,
    /// The device number of a device node.
    pub rdev: Device,
    /// The checksum of the data (the sum of the bytes), in `070702` archives. The reader verifies it for regular files.
    pub checksum: Option<u32>,
    /// The number of the segment in the file, from 0.
    pub segment: u32,
    /// The number of the archive in the whole file, from 0. Hard links do not cross archives.
    pub archive: u32,
    /// The number of the entry in the whole file, from 0; trailers are not counted.
    pub index: u64,
    /// The offset in the file of the bytes from which the entry was decoded; an estimate in compressed segments.
    pub offset: u64,
}

impl Entry {
    /// Returns the type of the entry.
    pub fn kind(&self) -> EntryType {
        match self.mode & 0o170_000 {
            0o100_000 => EntryType::File,
            0o040_000 => EntryType::Directory,
            0o120_000 => EntryType::Symlink,
            0o020_000 => EntryType::CharDevice,
            0o060_000 => EntryType::BlockDevice,
            0o010_000 => EntryType::Fifo,
            0o140_000 => EntryType::Socket,
            _ => EntryType::Unknown,
        }
    }
}

/// A receiver of the entries of an image, in order.
pub trait Visitor {
    /// Receives an entry. `body` reads its data (for a symbolic link: the target); unread data are skipped.
    /// [`BufRead::fill_buf`] returns the data without a copy.
    ///
    /// # Errors
    ///
    /// Any error ends the reading, which fails with [`ReadError::Visitor`](crate::initramfs::ReadError::Visitor). A
    /// visitor should return any error of `body`; the reading then fails with the reader's own error instead.
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()>;
}
