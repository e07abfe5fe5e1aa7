// SPDX-License-Identifier: MIT OR Apache-2.0
//! The merged layers as a root: resolves paths and opens files.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use nix::errno::Errno;

use super::load::LayerSource;
use super::store::ByteStore;
use crate::kernel::packing::Packing;
use crate::oci::{self, Inode, KeptPart, LayerTree, NodeId, TocFile};
use crate::sys::root::{Cause, FileType, Layers, Meta};

/// Upper bound of links in one resolution, as in the kernel (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// Upper bound of a file that is read together with the requested file (bytes).
const SMALL: u64 = 128 << 10;

/// Upper bound of the gap between two neighbouring files that are read together (bytes).
const NEAR: u64 = 16 << 10;

/// Upper bound of the distance between the requested file and the far end of a file that is read together with it
/// (bytes).
const AHEAD: u64 = 1 << 20;

/// Upper bound of the modules that are read to detect the compression of all modules with the same suffix in a layer.
const SAMPLES: usize = 12;

/// The first bytes of one module, by the layer and the suffix of the modules for which they stand. `None` if the
/// compression of these modules differs.
type Samples = HashMap<(u16, Vec<u8>), Option<Arc<[u8]>>>;

/// The merged layers of an image, from which files are read on demand.
pub(super) struct LayerView {
    source: LayerSource,
    tree: LayerTree,
    /// The places, by inode, of the files in layers of which only the table of contents was read.
    located: HashMap<u32, TocFile>,
    /// The files of `located` with at most [`SMALL`] bytes, by layer, in the order of their places.
    small_files: BTreeMap<u16, Vec<(Range<u64>, u32)>>,
    store: Mutex<ByteStore>,
    /// The results of [`Self::sample`].
    samples: Mutex<Samples>,
}

impl fmt::Debug for LayerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerView").finish_non_exhaustive()
    }
}

impl LayerView {
    /// Reads the layers of an image.
    pub(super) fn read(source: LayerSource) -> Result<Self> {
        let loaded = source.read()?;
        let mut small_files: BTreeMap<u16, Vec<(Range<u64>, u32)>> = BTreeMap::new();
        for (file, place) in &loaded.located {
            let inode = loaded.tree.inode(*file);
            let span = place.bytes.clone();
            if inode.meta.size <= SMALL && !span.is_empty() {
                small_files
                    .entry(inode.layer)
                    .or_default()
                    .push((span, *file));
            }
        }
        for files in small_files.values_mut() {
            files.sort_by_key(|(span, _)| span.start);
        }
        Ok(Self {
            small_files,
            source,
            tree: loaded.tree,
            located: loaded.located,
            store: Mutex::new(loaded.store),
            samples: Mutex::default(),
        })
    }

    fn store(&self) -> MutexGuard<'_, ByteStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves a path as the kernel does inside a root. With `follow`, a link in the last component is followed, too.
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

    /// Returns the inode of a name, which must be visible.
    fn inode(&self, node: NodeId) -> &Inode {
        self.tree.inode(self.tree.inode_of(node).unwrap_or(0))
    }

    /// Returns the inode number of the regular file at a path. Links are followed.
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

    /// Loads all bytes of `files` into the store, except for files that the store already has whole.
    fn load_files(&self, files: &[u32]) -> Result<(), Cause> {
        let mut store = self.store();
        let mut located: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        let mut streamed: BTreeMap<u16, BTreeMap<u32, u32>> = BTreeMap::new();
        for &file in files.iter().filter(|file| !store.is_whole(**file)) {
            let inode = self.tree.inode(file);
            if self.located.contains_key(&file) {
                located.entry(inode.layer).or_default().push(file);
            } else {
                let of_layer = streamed.entry(inode.layer).or_default();
                of_layer.insert(inode.entry, file);
            }
        }
        let failed = |error| Cause::Io(io::Error::other(format!("{error:#}")));
        for (layer, files) in located {
            let places = files.iter().filter_map(|file| {
                let place = self.located.get(file)?;
                Some((*file, place))
            });
            let fetched = self
                .source
                .fetch(layer, places.collect(), &self.tree, &mut store);
            if !fetched.map_err(failed)? {
                let entries = files
                    .iter()
                    .map(|file| (self.tree.inode(*file).entry, *file));
                streamed.entry(layer).or_default().extend(entries);
            }
        }
        let loaded = self.source.again(streamed, &self.tree, &mut store);
        loaded.map_err(failed)
    }

    /// Returns `file` and the small files whose data are stored next to its data. They will probably be read, too,
    /// since files of a directory are stored together. One request fetches them all.
    fn beside(&self, file: u32) -> Vec<u32> {
        let mut files = vec![file];
        let Some(place) = self.located.get(&file) else {
            return files;
        };
        let layer = self.tree.inode(file).layer;
        let span = place.bytes.clone();
        let empty = Vec::new();
        let others = self.small_files.get(&layer).unwrap_or(&empty);
        let at = others.partition_point(|(other, _)| other.start < span.start);
        let mut end = span.end;
        for (next, other) in others[at..].iter().filter(|(_, other)| *other != file) {
            if next.start > end + NEAR || next.end > span.end + AHEAD {
                break;
            }
            end = end.max(next.end);
            files.push(*other);
        }
        let mut start = span.start;
        for (next, other) in others[..at].iter().rev() {
            if next.end + NEAR < start || next.start + AHEAD < span.start {
                break;
            }
            start = next.start;
            files.push(*other);
        }
        files
    }

    /// Returns first bytes that stand for those of a module of which only the place is known. They are the first bytes
    /// of another module with the same suffix in the same layer. `None` for other files, and if the compression of the
    /// sampled modules differs. A kernel's build compresses all its modules in one way, and reading the start of each
    /// would take thousands of requests.
    fn sample(&self, path: &Path, file: u32) -> Result<Option<Arc<[u8]>>, Cause> {
        if !self.located.contains_key(&file) {
            return Ok(None);
        }
        let key = |file: u32, name: &[u8]| {
            let suffix = name.rsplit(|&byte| byte == b'.').next();
            (
                self.tree.inode(file).layer,
                suffix.unwrap_or_default().to_vec(),
            )
        };
        let bytes = path.as_os_str().as_bytes();
        let asked = key(file, bytes);
        if oci::keep(bytes, 0) != KeptPart::Head {
            return Ok(None);
        }
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = samples.get(&asked) {
            return Ok(known.clone());
        }
        let mut modules = Vec::new();
        self.walk(LayerTree::ROOT, &mut Vec::new(), &mut |path, file| {
            let is_alike = self.located.contains_key(&file)
                && oci::keep(path, 0) == KeptPart::Head
                && key(file, path) == asked;
            if is_alike {
                modules.push(file);
            }
        });
        // The list is in the order of paths. The smallest module of each part of the list is read, so that the sample
        // covers different directories.
        let step = modules.len().div_ceil(SAMPLES).max(1);
        let chosen = modules.chunks(step).filter_map(|some| {
            some.iter()
                .copied()
                .min_by_key(|file| self.tree.inode(*file).meta.size)
        });
        let chosen: Vec<_> = chosen.collect();
        self.load_files(&chosen)?;
        let store = self.store();
        let heads = chosen.iter().filter_map(|file| store.get(*file));
        let heads = heads.map(|it| it.head()).collect::<io::Result<Vec<_>>>()?;
        let packings: BTreeSet<_> = heads.iter().map(|head| Packing::of(head)).collect();
        let found = heads.into_iter().next().filter(|_| packings.len() == 1);
        samples.insert(asked, found.clone());
        Ok(found)
    }

    /// Calls `visit` for each visible file below `usr/lib/modules`. `dir` is the directory that is listed, and `path`
    /// its path; the first call is for the root.
    fn walk(&self, dir: NodeId, path: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8], u32)) {
        const MODULES: &[u8] = b"usr/lib/modules";
        for (name, node) in self.tree.children(dir) {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend(name);
            let is_on_the_way = MODULES.starts_with(path) || path.starts_with(MODULES);
            if let Some(file) = self.tree.inode_of(node).filter(|_| is_on_the_way) {
                match self.tree.inode(file).kind {
                    oci::NodeKind::Dir => self.walk(node, path, visit),
                    oci::NodeKind::File => visit(path, file),
                    _ => {}
                }
            }
            path.truncate(length);
        }
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
            mode: inode.meta.mode,
            size: inode.meta.size,
            dev: 0,
            ino: number.into(),
            uid: inode.meta.uid,
            gid: inode.meta.gid,
            nlink: inode.names.into(),
            mtime: inode.meta.mtime,
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
            tracing::debug!("loading /{}, which is not stored yet", path.display());
            self.load_files(&self.beside(file))?;
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
        if is_enough && let Some(head) = self.sample(path, file)? {
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
        tracing::debug!("loading {paths:?}");
        self.load_files(&files)
    }
}
