// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a name of the unpacked image stands for.

use super::entry::{Device, Entry, Kind};

/// Directories that every kernel has in its root before it unpacks an image
/// (`usr/default_cpio_list`).
pub(super) const BUILT_IN: [&[u8]; 2] = [b"dev", b"root"];

/// A name in the unpacked image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of modification, seconds since 1970.
    pub mtime: u32,
    /// Inode number in the archive.
    pub ino: u32,
    /// Number of links as the archive says, not as counted.
    pub nlink: u32,
    /// What a device node stands for; 0, 0 otherwise.
    pub rdev: Device,
    /// Where a symbolic link points, as it was written; empty otherwise.
    pub target: Vec<u8>,
    /// Number of the segment of the last entry that made or changed this name.
    pub segment: u32,
    /// Number of that entry in the whole file.
    pub entry: u64,
    /// The content, for files; names of one file share it.
    pub(super) content: Option<usize>,
}

impl Node {
    pub(super) fn new(entry: &Entry, target: Vec<u8>) -> Self {
        Self {
            kind: entry.kind(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            ino: entry.ino,
            nlink: entry.nlink,
            rdev: if matches!(entry.kind(), Kind::CharDevice | Kind::BlockDevice) {
                entry.rdev
            } else {
                Device { major: 0, minor: 0 }
            },
            target,
            segment: entry.segment,
            entry: entry.index,
            content: None,
        }
    }
}

/// The content of a file, as far as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the file.
    pub size: u32,
    /// The first bytes of it, at most [`Content::HEAD`], or [`Content::HEAD_EROFS`].
    pub head: Vec<u8>,
    /// All of it, for the few small files that are kept.
    pub data: Option<Vec<u8>>,
    /// SHA-256 of all of it, where the inventory was asked for digests.
    pub sha256: Option<[u8; 32]>,
    /// Number in the whole file of the entry that carried the data.
    pub entry: u64,
}

impl Content {
    /// Bytes kept of every file: as many as the kernel looks at to tell what a program is.
    pub const HEAD: usize = 256;
    /// Bytes kept of dracut's erofs image: its superblock lies 1024 bytes behind its start.
    pub const HEAD_EROFS: usize = 1152;

    /// Whether this starts as an ELF file does.
    pub fn is_elf(&self) -> bool {
        self.head.starts_with(b"\x7fELF")
    }

    /// What stands between `#!` and the end of the first line, without space around it: the
    /// interpreter, and perhaps one argument. `None` when this is no script.
    pub fn interpreter(&self) -> Option<&[u8]> {
        let line = self.head.strip_prefix(b"#!")?;
        let end = line
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(line.len());
        Some(line[..end].trim_ascii())
    }
}
