// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root file system after unpacking, as names and nodes.
//!
//! The rules are those of `do_name` and `do_symlink` in `init/initramfs.c` and of the VFS: names are resolved through
//! existing links; an existing entry of another type is removed unless it is a non-empty directory; an entry whose
//! directory does not exist is silently dropped. This file does not read data. Invariant: every key of the nodes is a
//! path that leads through no link, and the directory of this path is also a key, or the root, or one of `BUILT_IN`.

pub(super) mod inventory;
pub(super) mod lookup;
pub(super) mod node;
pub(super) mod walk;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use self::node::{BUILT_IN, Content, Node};
use self::walk::{ResolveError, walk};
use crate::initramfs::stream::entry::{Device, Entry, EntryType, NameProblem, PATH_MAX};

/// The reason why the kernel ignores an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The entry's directory does not exist, or is not a directory.
    NoParent,
    /// The path of the entry's directory contains a link and leads to nothing, for example because the link dangles. Or
    /// it contains too many links, for example a loop.
    ParentLink,
    /// The name with its NUL is longer than `PATH_MAX`.
    NameTooLong,
    /// The name is empty.
    NameEmpty,
    /// The target of a symbolic link is longer than `PATH_MAX`.
    TargetTooLong,
    /// The entry has data, and is neither a file nor a symbolic link.
    Data,
    /// A non-empty directory has the same name, or the last component of the name is `..`.
    Occupied,
    /// The entry is a hard link to a file that was dropped, removed or replaced by an entry of another type.
    LinkSource,
    /// The type is unknown.
    Type,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoParent => "its directory does not exist",
            Self::ParentLink => "a link in its path dangles",
            Self::NameTooLong => "the name is too long",
            Self::NameEmpty => "the name is empty",
            Self::TargetTooLong => "the target of the link is too long",
            Self::Data => "data of an entry that must not have any",
            Self::Occupied => "a non-empty directory has the same name",
            Self::LinkSource => "the linked file does not exist",
            Self::Type => "unknown type",
        })
    }
}

/// An entry that the kernel silently ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The entry's path.
    pub path: Vec<u8>,
    /// The reason why the entry is ignored.
    pub reason: Reason,
    /// The number of the entry's segment in the file, from 0.
    pub segment: u32,
}

/// The key that all hard links of one file have: archive, device, inode, type.
type LinkKey = (u32, Device, u32, EntryType);

/// The unpacked paths with their nodes, and the contents of files.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<Vec<u8>, Node>,
    pub(super) contents: Vec<Content>,
    links: HashMap<LinkKey, Vec<u8>>,
    archive: u32,
    /// The last directory that was looked up, and the path to which it was resolved.
    parent: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tree {
    /// Returns the path at which `entry` will be unpacked, or the reason why it is ignored.
    pub(super) fn locate(&mut self, entry: &Entry, link_depth: u32) -> Result<Vec<u8>, Reason> {
        if entry.problems.contains(&NameProblem::TooLong) {
            return Err(Reason::NameTooLong);
        }
        if entry.problems.contains(&NameProblem::Empty) {
            return Err(Reason::NameEmpty);
        }
        match entry.kind() {
            EntryType::Unknown => return Err(Reason::Type),
            EntryType::Symlink if u64::from(entry.size) > PATH_MAX => {
                return Err(Reason::TargetTooLong);
            }
            EntryType::File | EntryType::Symlink => {}
            _ if entry.size > 0 => return Err(Reason::Data),
            _ => {}
        }
        let split = entry.path.iter().rposition(|&byte| byte == b'/');
        let (directory, name) = match split {
            Some(slash) => (&entry.path[..slash], &entry.path[slash + 1..]),
            None => (&entry.path[..0], entry.path.as_slice()),
        };
        if name == b".." {
            return Err(Reason::Occupied);
        }
        let mut path = match &self.parent {
            Some((written, found)) if written == directory => found.clone(),
            _ => {
                let found = self.directory(directory, link_depth)?;
                self.parent = Some((directory.to_vec(), found.clone()));
                found
            }
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(path)
    }

    fn directory(&self, path: &[u8], link_depth: u32) -> Result<Vec<u8>, Reason> {
        let found = walk(&self.nodes, path, true, link_depth).map_err(|error| match error {
            ResolveError::NotFound {
                through_link: true, ..
            }
            | ResolveError::Limit { .. } => Reason::ParentLink,
            _ => Reason::NoParent,
        })?;
        let built_in = found.is_empty() || BUILT_IN.contains(&found.as_slice());
        match self.nodes.get(&found) {
            Some(node) if node.kind == EntryType::Directory => Ok(found),
            None if built_in => Ok(found),
            _ => Err(Reason::NoParent),
        }
    }

    /// Creates or replaces the node at `path`. `content` is the data of a file, `target` the target of a symbolic link.
    /// Fails with the reason if the entry is ignored.
    pub(super) fn make(
        &mut self,
        path: Vec<u8>,
        entry: &Entry,
        content: Content,
        target: Vec<u8>,
    ) -> Result<(), Reason> {
        let kind = entry.kind();
        if kind != EntryType::File && kind != EntryType::Directory {
            self.parent = None;
        }
        let linked = match kind {
            EntryType::Directory | EntryType::Symlink => None,
            _ => self.link_source(&path, entry),
        };
        // Hard links and symbolic links replace an existing node of any type, other entries only one of another type.
        let replaces = linked.is_some() || kind == EntryType::Symlink;
        let old = self.nodes.get(&path).map(|node| node.kind);
        if old.is_some_and(|old| replaces || old != kind) {
            self.remove(&path)?;
        }
        let mut node = Node::new(entry, target);
        if let Some(first) = linked {
            let source = self.nodes.get_mut(&first).ok_or(Reason::LinkSource)?;
            if source.kind != kind {
                return Err(Reason::LinkSource);
            }
            // A hard link gets the content or device number of the first name, and the owner and mode of its own entry.
            node.content = source.content;
            node.rdev = source.rdev;
            if let (Some(slot), true) = (source.content, entry.size > 0) {
                self.contents[slot] = content;
            }
        } else if let Some(there) = self.nodes.get(&path) {
            // A node of the same type exists. The content of a file is replaced for all names of the file; a device
            // node keeps its number.
            node.content = there.content;
            node.rdev = there.rdev;
            if let Some(slot) = there.content {
                self.contents[slot] = content;
            }
        } else if kind == EntryType::File {
            node.content = Some(self.contents.len());
            self.contents.push(content);
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Returns the first name of the file that `entry` is a hard link to; `None` if `entry` is not a hard link to an
    /// earlier one. Registers `path` as the first name if `entry` is the first of several links.
    fn link_source(&mut self, path: &[u8], entry: &Entry) -> Option<Vec<u8>> {
        if entry.archive != self.archive {
            self.links.clear();
            self.archive = entry.archive;
        }
        if entry.nlink < 2 {
            return None;
        }
        let key = (entry.archive, entry.dev, entry.ino, entry.kind());
        if let Some(first) = self.links.get(&key) {
            return Some(first.clone());
        }
        self.links.insert(key, path.to_vec());
        None
    }

    /// Registers the path of a dropped entry as the first name of its file, unless the file has a first name. Thus
    /// later hard links to the file are dropped, too.
    pub(super) fn lose(&mut self, entry: &Entry) {
        if !matches!(
            entry.kind(),
            EntryType::Directory | EntryType::Symlink | EntryType::Unknown
        ) {
            self.link_source(&entry.path, entry);
        }
    }

    fn remove(&mut self, path: &[u8]) -> Result<(), Reason> {
        let mut below = path.to_vec();
        below.push(b'/');
        let first = self.nodes.range(below.clone()..).next();
        if first.is_some_and(|(name, _)| name.starts_with(&below)) {
            return Err(Reason::Occupied);
        }
        self.parent = None;
        self.nodes.remove(path);
        Ok(())
    }
}
