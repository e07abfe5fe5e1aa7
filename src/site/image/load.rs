// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads layers: decompresses them, checks their digests, and puts their entries into the tree and kept bytes into the
//! store.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use anyhow::{Context, Result};

use super::blobs::{Blobs, Checked};
use super::merge::{Merge, Recording};
use super::ranges::LayerByRanges;
use super::shared::{Claim, SharedLayers, SharedParts};
use super::store::{self, ByteStore};
use crate::oci::{
    self, BlobDigest, BlobHasher, Descriptor, ImageLimits, KeptPart, LayerEntry, LayerTree,
    LayerVisitor, Manifest, OciError, Toc, TocFile, decoder,
};

/// The size of a chunk that one thread passes to another (bytes).
const CHUNK: usize = 256 << 10;

/// Upper bound of the chunks in the channel between two threads.
const AHEAD: usize = 4;

/// An image whose layers can be read.
pub(super) struct LayerSource {
    pub(super) blobs: Box<dyn Blobs>,
    pub(super) manifest: Manifest,
    pub(super) diff_ids: Vec<BlobDigest>,
    pub(super) limits: ImageLimits,
    /// The layers of all images of this run that are in registries; `None` if this image is not in a registry.
    pub(super) shared: Option<Arc<SharedLayers>>,
    /// For each layer of the manifest, its parts that images of this run fetch by range requests; `None` if no other
    /// image has the layer.
    pub(super) parts: Vec<Option<SharedParts>>,
}

/// The result of reading all layers of an image.
pub(super) struct LoadedLayers {
    pub(super) tree: LayerTree,
    pub(super) store: ByteStore,
    /// The places, by inode, of the files in layers of which only the table of contents was read.
    pub(super) located: HashMap<u32, TocFile>,
}

impl LayerSource {
    /// Reads all layers, from the top down. Of a zstd:chunked layer, only the table of contents is read if the registry
    /// supports range requests.
    pub(super) fn read(&self) -> Result<LoadedLayers> {
        let mut tree = LayerTree::new(&self.limits);
        let mut store = ByteStore::default();
        let mut located = HashMap::new();
        let decoded = Arc::new(AtomicU64::new(0));
        for (number, layer) in self.manifest.layers.iter().rev().enumerate() {
            tree.begin(number)?;
            let table = self.by_ranges(layer, number).table();
            if let Some(toc) = table.with_context(|| self.name(number))? {
                list(toc, &mut tree, &mut located).with_context(|| self.name(number))?;
                continue;
            }
            let mut merge = Merge {
                tree: &mut tree,
                store: &mut store,
                limits: &self.limits,
                tentative: None,
            };
            let claim = self.shared.as_ref();
            let claim = claim.map(|it| it.claim(layer, self.diff_id(number)));
            match claim.unwrap_or(Claim::Alone) {
                Claim::Alone => self.stream(layer, Some(number), &decoded, &mut merge),
                Claim::Recorded(recorded) => merge.replay(&recorded),
                Claim::First(place) => {
                    let mut recording = Recording::new(&mut merge);
                    let read = self.stream(layer, Some(number), &decoded, &mut recording);
                    read.map(|()| place.fill(recording.finish()))
                }
            }
            .with_context(|| self.name(number))?;
        }
        tree.finish()?;
        Ok(LoadedLayers {
            tree,
            store,
            located,
        })
    }

    /// Reads files whose places in a layer are known, with range requests. `number` is the layer's number, counted from
    /// the top. Returns `false` if the registry does not support range requests.
    pub(super) fn fetch(
        &self,
        number: u16,
        files: Vec<(u32, &TocFile)>,
        tree: &LayerTree,
        store: &mut ByteStore,
    ) -> Result<bool> {
        let (layer, name) = self.layer(number)?;
        let layer = self.by_ranges(layer, number.into());
        layer.fetch(files, tree, store).context(name)
    }

    /// Returns the reader for parts of a layer; `number` is counted from the top.
    fn by_ranges<'l>(&'l self, layer: &'l Descriptor, number: usize) -> LayerByRanges<'l> {
        let at = self.parts.len().checked_sub(number + 1);
        LayerByRanges {
            blobs: self.blobs.as_ref(),
            layer,
            parts: at.and_then(|at| self.parts.get(at)?.as_ref()),
            limits: &self.limits,
        }
    }

    /// Returns the layer with this number, counted from the top, and its name for messages.
    fn layer(&self, number: u16) -> Result<(&Descriptor, String)> {
        let number = usize::from(number);
        let layers = &self.manifest.layers;
        let at = layers.len().checked_sub(number + 1);
        let layer = at.and_then(|at| layers.get(at));
        Ok((layer.context("there is no such layer")?, self.name(number)))
    }

    /// Reads layers a second time, for the bytes of files. `wanted` maps each layer's number, counted from the top, to
    /// a map from the numbers of entries to the inodes of their files.
    pub(super) fn again(
        &self,
        wanted: BTreeMap<u16, BTreeMap<u32, u32>>,
        tree: &LayerTree,
        store: &mut ByteStore,
    ) -> Result<()> {
        for (number, files) in wanted {
            let (layer, name) = self.layer(number)?;
            tracing::debug!("reading {} files in {name} again", files.len());
            let mut pick = Pick {
                left: files.len(),
                files,
                tree,
                store: &mut *store,
                limits: &self.limits,
            };
            let decoded = Arc::new(AtomicU64::new(0));
            let read = self.stream(layer, None, &decoded, &mut pick);
            if pick.left > 0 {
                read.context(name)?;
            }
        }
        Ok(())
    }

    /// Returns the DiffID of the layer with this number, counted from the top.
    fn diff_id(&self, number: usize) -> Option<&BlobDigest> {
        let at = self.diff_ids.len().checked_sub(number + 1)?;
        self.diff_ids.get(at)
    }

    /// Returns the name, for messages, of the layer with this number, counted from the top.
    fn name(&self, number: usize) -> String {
        let layers = &self.manifest.layers;
        let at = layers.len().saturating_sub(number + 1);
        let digest = layers.get(at).map(|it| it.digest.to_string());
        let count = layers.len();
        format!(
            "layer {} of {count}, {}",
            at + 1,
            digest.unwrap_or_default()
        )
    }

    /// Streams a layer to `visitor`. The digest of the blob is checked when its end is read, if the transport has
    /// digests of blobs. If `number` is given, the layer's number counted from the top, the blob must end with the
    /// layer, and the DiffID is checked, too. A layer that is stored as a directory is not checked.
    fn stream(
        &self,
        layer: &Descriptor,
        number: Option<usize>,
        decoded: &Arc<AtomicU64>,
        visitor: &mut dyn LayerVisitor,
    ) -> Result<(), OciError> {
        if layer.size > self.limits.layer_bytes {
            let (name, value) = ("layer_bytes", self.limits.layer_bytes);
            return Err(OciError::Limit { name, value });
        }
        if self.blobs.visit(layer, visitor)? {
            return Ok(());
        }
        let open = self.blobs.open(layer);
        let input = open.map_err(|error| OciError::Document(format!("{error:#}")))?;
        let (input, checked): (Box<dyn Read + Send>, _) = if self.blobs.has_digests() {
            let (input, checked) = Checked::new(input, layer);
            (Box::new(input), checked)
        } else {
            (input, Arc::new(AtomicBool::new(true)))
        };
        let diff_id = number.and_then(|number| self.diff_id(number));
        thread::scope(|scope| {
            let input = ahead(scope, input);
            let (_, unpacked) = decoder(input, &self.limits, decoded)?;
            let mut unpacked = Hashed {
                input: ahead(scope, unpacked),
                hasher: diff_id.map(BlobDigest::hasher),
            };
            oci::read_tar(&mut unpacked, &self.limits, visitor)?;
            if let (Some(diff_id), Some(hasher)) = (diff_id, unpacked.hasher) {
                if !checked.load(Ordering::Acquire) {
                    return Err(OciError::Corrupt("there are bytes after its end".into()));
                }
                diff_id.check_is(&hasher.finish(), "DiffID")?;
            }
            Ok(())
        })
    }
}

/// Merges a layer whose entries are known from its table of contents.
fn list(
    mut toc: Toc,
    tree: &mut LayerTree,
    located: &mut HashMap<u32, TocFile>,
) -> Result<(), OciError> {
    for entry in &toc.entries {
        let placed = tree.add(entry)?;
        if let Some(inode) = placed.inode
            && let Some(file) = toc.files.remove(&entry.number)
        {
            tree.set_sha256(inode, file.sha256);
            located.insert(inode, file);
        }
    }
    Ok(())
}

/// Reads `input` on another thread, some chunks ahead.
fn ahead<'s>(scope: &'s Scope<'s, '_>, input: impl Read + Send + 's) -> Chunks {
    let (to, from) = sync_channel(AHEAD);
    scope.spawn(move || feed(input, &to));
    Chunks {
        from,
        chunk: Vec::new(),
        taken: 0,
    }
}

fn feed(mut input: impl Read, to: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let mut filled = 0;
        let failed = loop {
            match input.read(&mut chunk[filled..]) {
                Ok(0) => break None,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
            if filled == chunk.len() {
                break None;
            }
        };
        let is_last = filled < chunk.len();
        chunk.truncate(filled);
        // If the receiver was dropped, nothing more is needed.
        if filled > 0 && to.send(Ok(chunk)).is_err() {
            return;
        }
        if let Some(error) = failed {
            let _ = to.send(Err(error));
            return;
        }
        if is_last {
            return;
        }
    }
}

/// The receiving end of the channel, as a reader.
struct Chunks {
    from: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    taken: usize,
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() {
            let Ok(next) = self.from.recv() else {
                return Ok(0);
            };
            self.chunk = next?;
            self.taken = 0;
        }
        let ready = &self.chunk[self.taken..];
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.taken += count;
        Ok(count)
    }
}

/// A reader that computes the digest of the bytes, if it has a hasher.
struct Hashed<R> {
    input: R,
    hasher: Option<BlobHasher>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&out[..count]);
        }
        Ok(count)
    }
}

/// A visitor that reads some files of a layer again. After the last file, it ends the reading with an error.
struct Pick<'p> {
    /// Inodes of the files to read, by the numbers of their entries.
    files: BTreeMap<u32, u32>,
    /// The number of files that were not read yet.
    left: usize,
    tree: &'p LayerTree,
    store: &'p mut ByteStore,
    limits: &'p ImageLimits,
}

impl LayerVisitor for Pick<'_> {
    fn entry(&mut self, entry: &LayerEntry, body: &mut dyn BufRead) -> Result<(), OciError> {
        let Some(&inode) = self.files.get(&entry.number) else {
            return Ok(());
        };
        let (sha256, bytes) =
            store::take(body, KeptPart::All, entry.meta.size, self.limits.kept_bytes)?;
        let known = self.tree.inode(inode).sha256.as_deref();
        if known.is_some_and(|known| *known != sha256) {
            let why = "the layer has changed since it was first read";
            return Err(OciError::Document(why.into()));
        }
        if let Some(bytes) = bytes {
            self.store.put(inode, bytes, self.limits.kept_bytes)?;
        }
        self.left -= 1;
        if self.left == 0 {
            return Err(OciError::Io(io::ErrorKind::Interrupted.into()));
        }
        Ok(())
    }
}
