// SPDX-License-Identifier: MIT OR Apache-2.0
//! Layers that several images of one run have. A layer that is read whole is fetched and decompressed once; of a
//! zstd:chunked layer, each file is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{KeptBytes, TakenBytes};
use crate::oci::{BlobDigest, Descriptor, LayerEntry, TOC_CHECKSUM};

/// The entries of a layer, in the layer's order, each with the digest and the kept bytes of its data; `None` if its
/// data are not recorded.
pub(super) type RecordedLayer = Vec<(LayerEntry, Option<TakenBytes>)>;

/// The digest of a layer's blob, and its DiffID if the image states one.
type LayerKey = (String, Option<String>);

/// A layer that several images have.
#[derive(Default)]
pub(super) struct SharedLayer {
    /// The number of images that have not claimed the layer yet.
    wanted: usize,
    /// The layer, if an image has read it and another one still needs it.
    recorded: Option<Arc<RecordedLayer>>,
}

/// Parts of a zstd:chunked layer that range requests have fetched for some image.
#[derive(Default)]
pub(super) struct FetchedParts {
    /// The compressed table of contents. Each image checks its digest.
    pub(super) table: Option<Vec<u8>>,
    /// Files by their SHA-256.
    pub(super) files: HashMap<[u8; 32], KeptBytes>,
}

/// The parts of a layer, for all images that have it. An image holds the lock while it fetches, so that the others
/// wait for the result.
pub(super) type SharedParts = Arc<Mutex<FetchedParts>>;

/// The digests of a layer's blob and of its table of contents.
type PartsKey = (String, String);

/// The layers of all images of a run that are in registries.
#[derive(Default)]
pub struct SharedLayers {
    layers: HashMap<LayerKey, Mutex<SharedLayer>>,
    /// The parts of zstd:chunked layers, with the number of images that have not taken them yet.
    parts: HashMap<PartsKey, Mutex<(usize, SharedParts)>>,
}

/// Locks a mutex, even if a thread panicked while it held the lock: the shared values are complete at each moment.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parts_key(layer: &Descriptor) -> Option<PartsKey> {
    let table = layer.annotation(TOC_CHECKSUM)?;
    Some((layer.digest.to_string(), table.to_owned()))
}

fn key(layer: &Descriptor, diff_id: Option<&BlobDigest>) -> LayerKey {
    let diff_id = diff_id.map(BlobDigest::to_string);
    (layer.digest.to_string(), diff_id)
}

impl SharedLayers {
    /// Counts one more image that has this layer.
    pub(super) fn add(&mut self, layer: &Descriptor, diff_id: Option<&BlobDigest>) {
        let shared = self.layers.entry(key(layer, diff_id)).or_default();
        let shared = shared.get_mut().unwrap_or_else(PoisonError::into_inner);
        shared.wanted += 1;
        if let Some(key) = parts_key(layer) {
            let parts = self.parts.entry(key).or_default();
            let (wanted, _) = parts.get_mut().unwrap_or_else(PoisonError::into_inner);
            *wanted += 1;
        }
    }

    /// Returns the parts of a layer that images have fetched; `None` if no other image has the layer, or it has no
    /// table of contents. After each image has called this function, the parts are freed with the last of these images.
    pub(super) fn parts(&self, layer: &Descriptor) -> Option<SharedParts> {
        let mut shared = lock(self.parts.get(&parts_key(layer)?)?);
        let (wanted, parts) = &mut *shared;
        *wanted = wanted.saturating_sub(1);
        if *wanted > 0 {
            return Some(Arc::clone(parts));
        }
        let parts = std::mem::take(parts);
        let is_alone = Arc::strong_count(&parts) == 1 && lock(&parts).table.is_none();
        (!is_alone).then_some(parts)
    }

    /// Claims a layer for an image. Waits while another thread reads the layer as [`FirstReader`].
    pub(super) fn claim(&self, layer: &Descriptor, diff_id: Option<&BlobDigest>) -> Claim<'_> {
        let Some(shared) = self.layers.get(&key(layer, diff_id)) else {
            return Claim::Alone;
        };
        let mut shared = lock(shared);
        shared.wanted = shared.wanted.saturating_sub(1);
        let is_last = shared.wanted == 0;
        match shared.recorded.take() {
            Some(recorded) => {
                shared.recorded = (!is_last).then(|| Arc::clone(&recorded));
                Claim::Recorded(recorded)
            }
            None if is_last => Claim::Alone,
            None => Claim::First(FirstReader(shared)),
        }
    }
}

/// The way in which a layer is obtained for an image.
pub(super) enum Claim<'s> {
    /// No other image needs the layer.
    Alone,
    /// Another image has read the layer.
    Recorded(Arc<RecordedLayer>),
    /// No image has read the layer yet, and other images need it. If reading it fails, the next image that claims it
    /// reads it.
    First(FirstReader<'s>),
}

/// The right to read a layer first. Other images that need the layer wait until this value is dropped.
pub(super) struct FirstReader<'s>(MutexGuard<'s, SharedLayer>);

impl FirstReader<'_> {
    /// Keeps the layer for the other images.
    pub(super) fn fill(mut self, layer: RecordedLayer) {
        self.0.recorded = Some(Arc::new(layer));
    }
}
