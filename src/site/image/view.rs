// SPDX-License-Identifier: MIT OR Apache-2.0
//! The merged layers as a root: resolves paths and opens files.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use nix::errno::Errno;

use super::load::LayerSource;
use super::store::ByteStore;
use crate::oci::{self, Inode, LayerTree, NodeId};
use crate::sys::root::{Cause, FileType, Layers, Meta};

/// Upper bound of links in one resolution, as in the kernel.
const LINKS_MAX: usize = 40;

/// The merged layers.
pub(super) struct LayerView {
    source: LayerSource,
    tree: LayerTree,
    store: Mutex<ByteStore>,
}

impl fmt::Debug for LayerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerView").finish_non_exhaustive()
    }
}

impl LayerView {
    /// Reads the layers of an image.
    pub(super) fn read(source: LayerSource) -> Result<Self> {
        let (tree, store) = source.read()?;
        Ok(Self {
            source,
            tree,
            store: Mutex::new(store),
        })
    }

    fn store(&self) -> MutexGuard<'_, ByteStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves a path as the kernel does inside a root. `follow` is about the last component.
    fn resolve(&self, path: &Path, follow: bool) -> Result<NodeId, Errno> {
        let parts = |path: &[u8]| -> VecDeque<Vec<u8>> {
            let parts = path.split(|&byte| byte == b'/');
            parts.map(<[u8]>::to_vec).collect()
        };
        let mut todo = parts(path.as_os_str().as_bytes());
        let mut dirs = Vec::new();
        let mut here = LayerTree::ROOT;
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if self.inode(here).kind != oci::NodeKind::Dir {
                return Err(Errno::ENOTDIR);
            }
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    here = dirs.pop().unwrap_or(LayerTree::ROOT);
                    continue;
                }
                _ => {}
            }
            let node = self.tree.child(here, &name).ok_or(Errno::ENOENT)?;
            let inode = self.inode(node);
            if inode.kind == oci::NodeKind::Symlink && (follow || !todo.is_empty()) {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::ELOOP);
                }
                if inode.target.starts_with(b"/") {
                    dirs.clear();
                    here = LayerTree::ROOT;
                }
                let mut rest = parts(&inode.target);
                rest.append(&mut todo);
                todo = rest;
            } else {
                dirs.push(here);
                here = node;
            }
        }
        Ok(here)
    }

    /// Returns the inode of a visible name.
    fn inode(&self, node: NodeId) -> &Inode {
        self.tree.inode(self.tree.inode_of(node).unwrap_or(0))
    }

    /// Returns the number of the regular file at a path.
    fn file(&self, path: &Path) -> Result<u32, Cause> {
        let node = self.resolve(path, true)?;
        let number = self.tree.inode_of(node).ok_or(Errno::ENOENT)?;
        let found = kind(self.tree.inode(number).kind);
        let wanted = FileType::File;
        if found == wanted {
            Ok(number)
        } else {
            Err(Cause::WrongKind { found, wanted })
        }
    }

    /// Loads the bytes of files that are not kept.
    fn load_files(&self, files: &[u32]) -> Result<(), Cause> {
        let mut store = self.store();
        let mut wanted: BTreeMap<u16, BTreeMap<u32, u32>> = BTreeMap::new();
        for &file in files.iter().filter(|file| !store.is_whole(**file)) {
            let inode = self.tree.inode(file);
            let of_layer = wanted.entry(inode.layer).or_default();
            of_layer.insert(inode.entry, file);
        }
        let loaded = self.source.again(wanted, &self.tree, &mut store);
        loaded.map_err(|error| Cause::Io(io::Error::other(format!("{error:#}"))))
    }
}

fn kind(kind: oci::NodeKind) -> FileType {
    match kind {
        oci::NodeKind::File | oci::NodeKind::HardLink => FileType::File,
        oci::NodeKind::Dir => FileType::Dir,
        oci::NodeKind::Symlink => FileType::Symlink,
        oci::NodeKind::CharDevice => FileType::CharDevice,
        oci::NodeKind::BlockDevice => FileType::BlockDevice,
        oci::NodeKind::Fifo => FileType::Fifo,
    }
}

impl Layers for LayerView {
    fn stat(&self, path: &Path, follow: bool) -> Result<Meta, Errno> {
        let node = self.resolve(path, follow)?;
        let number = self.tree.inode_of(node).ok_or(Errno::ENOENT)?;
        let inode = self.tree.inode(number);
        Ok(Meta {
            kind: kind(inode.kind),
            mode: inode.mode,
            size: inode.size,
            dev: 0,
            ino: number.into(),
            uid: inode.uid,
            gid: inode.gid,
            nlink: inode.names.into(),
            mtime: inode.mtime,
            rdev: 0,
        })
    }

    fn read_link(&self, path: &Path) -> Result<OsString, Errno> {
        let inode = self.inode(self.resolve(path, false)?);
        match inode.kind {
            oci::NodeKind::Symlink => Ok(OsStr::from_bytes(&inode.target).to_owned()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<(OsString, FileType)>, Errno> {
        let dir = self.resolve(path, true)?;
        if self.inode(dir).kind != oci::NodeKind::Dir {
            return Err(Errno::ENOTDIR);
        }
        let names = self.tree.children(dir).map(|(name, node)| {
            let name = OsStr::from_bytes(name).to_owned();
            (name, kind(self.inode(node).kind))
        });
        Ok(names.collect())
    }

    fn open(&self, path: &Path) -> Result<File, Cause> {
        let file = self.file(path)?;
        if !self.store().is_whole(file) {
            tracing::debug!("the bytes of /{} are not kept", path.display());
            self.load_files(&[file])?;
        }
        let kept = self.store().get(file);
        let opened = kept.map(|bytes| bytes.open()).transpose()?.flatten();
        opened.ok_or_else(|| Cause::Io(io::Error::other("its bytes could not be loaded")))
    }

    fn head(&self, path: &Path, count: usize) -> Result<Vec<u8>, Cause> {
        let file = self.file(path)?;
        let is_enough = count <= oci::HEAD;
        let kept = self.store().get(file).filter(|_| is_enough);
        if let Some(bytes) = kept {
            let head = bytes.head()?;
            return Ok(head[..head.len().min(count)].to_vec());
        }
        let mut head = vec![0; count];
        let mut file = self.open(path)?;
        let mut filled = 0;
        while filled < count {
            match io::Read::read(&mut file, &mut head[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        head.truncate(filled);
        Ok(head)
    }

    fn sha256(&self, path: &Path) -> Option<[u8; 32]> {
        let file = self.file(path).ok()?;
        self.tree.inode(file).sha256.as_deref().copied()
    }

    fn load(&self, paths: &[PathBuf]) -> Result<(), Cause> {
        let files: Vec<_> = paths
            .iter()
            .filter_map(|path| self.file(path).ok())
            .collect();
        self.load_files(&files)
    }
}
