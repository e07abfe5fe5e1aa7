// SPDX-License-Identifier: MIT OR Apache-2.0
//! An entry of an archive as a value, and who is shown it.
//!
//! It must not read. Its invariant: a name is bytes, and what is unusual about it is said.

use std::fmt;
use std::io::{self, BufRead};

/// Longest path that the kernel unpacks, its NUL included (`PATH_MAX`).
pub(super) const PATH_MAX: u64 = 4096;

/// What an entry is, from the type bits of its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
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
    /// Type bits that mean nothing; the kernel makes nothing of such an entry.
    Unknown,
}

/// What is unusual about the name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem {
    /// It starts with `/`. The kernel unpacks it into the same place; other programs may not.
    Absolute,
    /// It has a `..` component. The kernel resolves it inside its root.
    Traversal,
    /// It has no bytes. The kernel makes nothing of it.
    Empty,
    /// It is longer than `PATH_MAX` (4096 bytes with its NUL): the kernel skips the entry.
    /// [`Entry::path`] holds what the first 4096 bytes say.
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
    /// The path, without leading `/` and `./`, without empty and `.` components; empty for the
    /// root itself. `..` stays.
    pub path: Vec<u8>,
    /// What is unusual about the name as it was written.
    pub problems: Vec<NameProblem>,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number; with [`dev`](Self::dev) it tells which entries of one archive are one file.
    pub ino: u32,
    /// Number of links, 2 or more for a file that has several names.
    pub nlink: u32,
    /// Time of modification, seconds since 1970.
    pub mtime: u32,
    /// Bytes of data in the archive. For a file with several names any of them may carry it.
    pub size: u32,
    /// The device that the file was on when it was archived.
    pub dev: Device,
    /// The device that a device node stands for.
    pub rdev: Device,
    /// The sum of the data, for `070702` archives; it is verified by the reader.
    pub checksum: Option<u32>,
    /// Number of the segment in the file, from 0.
    pub segment: u32,
    /// Number of the archive in the whole file, from 0; hard links do not reach across archives.
    pub archive: u32,
    /// Number of the entry in the whole file, from 0.
    pub index: u64,
}

impl Entry {
    /// What the entry is.
    pub fn kind(&self) -> Kind {
        match self.mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink,
            0o020_000 => Kind::CharDevice,
            0o060_000 => Kind::BlockDevice,
            0o010_000 => Kind::Fifo,
            0o140_000 => Kind::Socket,
            _ => Kind::Unknown,
        }
    }
}

/// Is shown every entry of an image, in order.
pub trait Visitor {
    /// Looks at `entry`. `body` gives its data (for a symbolic link: the target) and ends with it;
    /// what is not read is skipped. [`BufRead::fill_buf`] shows the data without a copy.
    ///
    /// # Errors
    ///
    /// Any error ends the reading, which then fails with [`ReadError::Visitor`](super::ReadError::Visitor). An error of
    /// `body` should be passed on; the reader knows its own.
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()>;
}
