// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file, directory, link or device of the unpacked image.

use crate::initramfs::stream::entry::{Device, Entry, EntryType};

/// Directories that every kernel creates before it unpacks an image (`usr/default_cpio_list`).
pub(in crate::initramfs) const BUILT_IN: [&[u8]; 2] = [b"dev", b"root"];

/// The attributes of a name in the unpacked image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub kind: EntryType,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The modification time in seconds since 1970.
    pub mtime: u32,
    /// The inode number in the archive.
    pub ino: u32,
    /// The number of links in the entry's header.
    pub nlink: u32,
    /// The number of a device node; otherwise 0, 0.
    pub rdev: Device,
    /// The target of a symbolic link, unresolved; otherwise empty.
    pub target: Vec<u8>,
    /// The segment (counted from 0) of the last entry that created or changed this name.
    pub segment: u32,
    /// [`Entry::index`] of the last entry that created or changed this name.
    pub entry: u64,
    /// The index of a file's content in the tree's contents; hard links have the same index.
    pub(in crate::initramfs) content: Option<usize>,
}

impl Node {
    pub(in crate::initramfs) fn new(entry: &Entry, target: Vec<u8>) -> Self {
        Self {
            kind: entry.kind(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            ino: entry.ino,
            nlink: entry.nlink,
            rdev: if matches!(entry.kind(), EntryType::CharDevice | EntryType::BlockDevice) {
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
    /// The size of the file in bytes.
    pub size: u32,
    /// The first bytes, at most [`Content::HEAD`] or [`Content::HEAD_EROFS`].
    pub head: Vec<u8>,
    /// All bytes, if the file is kept.
    pub data: Option<Vec<u8>>,
    /// SHA-256 of all bytes, if the inventory computes digests.
    pub sha256: Option<[u8; 32]>,
    /// [`Entry::index`] of the entry that has the data.
    pub entry: u64,
}

impl Content {
    /// Upper bound of the bytes that are kept from the start of a file: as many as the kernel reads to detect the
    /// format of a program (`BINPRM_BUF_SIZE`).
    pub const HEAD: usize = 256;
    /// Upper bound of the bytes that are kept from the start of dracut's erofs image; the superblock is at offset 1024.
    pub const HEAD_EROFS: usize = 1152;

    /// Returns whether this is an ELF file, by its magic number.
    pub fn is_elf(&self) -> bool {
        self.head.starts_with(b"\x7fELF")
    }

    /// Returns the rest of the first line after `#!`, without surrounding space: the interpreter, and possibly one
    /// argument. `None` if this is not a script.
    pub fn interpreter(&self) -> Option<&[u8]> {
        let line = self.head.strip_prefix(b"#!")?;
        let end = line
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(line.len());
        Some(line[..end].trim_ascii())
    }
}
