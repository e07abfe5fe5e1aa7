// SPDX-License-Identifier: MIT OR Apache-2.0
//! Merges the entries of a layer into the tree of an image, and keeps the bytes that checks read.

use std::io::BufRead;

use super::shared::RecordedLayer;
use super::store::{self, ByteStore, KeptBytes, TakenBytes};
use crate::oci::{
    self, ImageLimits, KeptPart, LayerEntry, LayerTree, LayerVisitor, NodeKind, OciError, Placed,
};

/// The directory of ostree's objects. In an image of an ostree commit, the files are hard links to the objects, and
/// come later in the layer.
const OBJECTS: &[u8] = b"sysroot/ostree/repo/objects/";

/// A visitor that merges a layer into the tree and the store of an image.
pub(super) struct Merge<'m> {
    pub(super) tree: &'m mut LayerTree,
    pub(super) store: &'m mut ByteStore,
    pub(super) limits: &'m ImageLimits,
    /// The inode and the bytes of an ostree object, until a hard link to it shows whether the bytes are needed.
    pub(super) tentative: Option<(u32, KeptBytes)>,
}

impl Merge<'_> {
    fn follow(&mut self, entry: &LayerEntry, placed: &Placed) -> Result<(), OciError> {
        let Some((inode, bytes)) = &self.tentative else {
            return Ok(());
        };
        if entry.kind != NodeKind::HardLink || placed.leads_to != Some(*inode) {
            return Ok(());
        }
        let size = self.tree.inode(*inode).meta.size;
        let visible = placed.is_visible.then_some(&entry.path);
        let keep = placed.names.iter().chain(visible);
        let keep = keep.map(|path| oci::keep(path, size)).max();
        match keep {
            Some(KeptPart::All) if !self.store.is_whole(*inode) => {
                self.store
                    .put(*inode, bytes.clone(), self.limits.kept_bytes)
            }
            Some(KeptPart::Head) if self.store.get(*inode).is_none() => {
                let head = KeptBytes::Head(bytes.head()?);
                self.store.put(*inode, head, self.limits.kept_bytes)
            }
            _ => Ok(()),
        }
    }
}

/// A file whose data a tree needs.
#[derive(Clone, Copy)]
struct NeededFile {
    inode: u32,
    /// The part to keep.
    keep: KeptPart,
    /// The part to read. It can be larger than `keep` for an ostree object, because other names of the object may come
    /// later.
    take: KeptPart,
}

impl Merge<'_> {
    /// Puts an entry into the tree. Returns the entry's file, with the parts of its data to keep and to read; `None` if
    /// the entry is not a file, or if its data are not needed.
    fn place(&mut self, entry: &LayerEntry) -> Result<Option<NeededFile>, OciError> {
        let placed = self.tree.add(entry)?;
        self.follow(entry, &placed)?;
        let Some(inode) = placed.inode else {
            return Ok(None);
        };
        self.tentative = None;
        let is_object = entry.path.starts_with(OBJECTS);
        if !placed.is_visible && placed.names.is_empty() && !is_object {
            return Ok(None);
        }
        let names = placed
            .names
            .iter()
            .chain(placed.is_visible.then_some(&entry.path));
        let keep = names.map(|path| oci::keep(path, entry.meta.size)).max();
        let keep = keep.unwrap_or(KeptPart::BlobDigest);
        let take = if is_object { KeptPart::All } else { keep };
        Ok(Some(NeededFile { inode, keep, take }))
    }

    /// Stores the digest of a file, and the part of its data to keep. If only the digest of an ostree object is to be
    /// kept, the data wait in `tentative` for a hard link that needs them.
    fn put(&mut self, file: NeededFile, taken: &TakenBytes) -> Result<(), OciError> {
        let NeededFile { inode, keep, .. } = file;
        let (sha256, bytes) = taken;
        self.tree.set_sha256(inode, *sha256);
        let Some(bytes) = bytes.clone() else {
            return Ok(());
        };
        match keep {
            KeptPart::All => self.store.put(inode, bytes, self.limits.kept_bytes),
            KeptPart::Head => {
                let bytes = KeptBytes::Head(bytes.head()?);
                self.store.put(inode, bytes, self.limits.kept_bytes)
            }
            KeptPart::BlobDigest => {
                self.tentative = Some((inode, bytes));
                Ok(())
            }
        }
    }

    /// Merges the entries of a layer that was read for another image.
    pub(super) fn replay(&mut self, layer: &RecordedLayer) -> Result<(), OciError> {
        for (entry, taken) in layer {
            if let (Some(file), Some(taken)) = (self.place(entry)?, taken) {
                self.put(file, taken)?;
            }
        }
        Ok(())
    }
}

impl LayerVisitor for Merge<'_> {
    fn entry(&mut self, entry: &LayerEntry, body: &mut dyn BufRead) -> Result<(), OciError> {
        if let Some(file) = self.place(entry)? {
            let (size, limit) = (entry.meta.size, self.limits.kept_bytes);
            let taken = store::take(body, file.take, size, limit)?;
            self.put(file, &taken)?;
        }
        Ok(())
    }
}

/// A visitor that merges a layer into the tree of an image, and records the layer for other images. For the record, the
/// layer is also merged into an empty tree, in which all names of the layer are visible.
pub(super) struct Recording<'r, 'm> {
    merge: &'r mut Merge<'m>,
    tree: LayerTree,
    store: ByteStore,
    tentative: Option<(u32, KeptBytes)>,
    /// The entries, each with the inode of its file in `tree`; `None` for an entry without data to record.
    entries: Vec<(LayerEntry, Option<u32>)>,
}

impl<'r, 'm> Recording<'r, 'm> {
    pub(super) fn new(merge: &'r mut Merge<'m>) -> Self {
        Self {
            tree: LayerTree::new(merge.limits),
            merge,
            store: ByteStore::default(),
            tentative: None,
            entries: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> RecordedLayer {
        let taken = |inode: u32| {
            let sha256 = self.tree.inode(inode).sha256.as_deref()?;
            Some((*sha256, self.store.get(inode)))
        };
        let entries = self.entries.into_iter();
        entries
            .map(|(entry, inode)| (entry, inode.and_then(taken)))
            .collect()
    }
}

impl LayerVisitor for Recording<'_, '_> {
    fn entry(&mut self, entry: &LayerEntry, body: &mut dyn BufRead) -> Result<(), OciError> {
        let mut alone = Merge {
            tree: &mut self.tree,
            store: &mut self.store,
            limits: self.merge.limits,
            tentative: self.tentative.take(),
        };
        let (own, merged) = (alone.place(entry)?, self.merge.place(entry)?);
        if let Some(take) = own.iter().chain(&merged).map(|it| it.take).max() {
            let (size, limit) = (entry.meta.size, self.merge.limits.kept_bytes);
            let taken = store::take(body, take, size, limit)?;
            if let Some(file) = own {
                // Hard links in upper layers can be further names of the file, which may require a larger part.
                let keep = merged.map_or(file.keep, |it| it.keep.max(file.keep));
                alone.put(NeededFile { keep, ..file }, &taken)?;
            }
            if let Some(file) = merged {
                self.merge.put(file, &taken)?;
            }
        }
        self.tentative = alone.tentative;
        let inode = own.map(|it| it.inode);
        self.entries.push((entry.clone(), inode));
        Ok(())
    }
}
