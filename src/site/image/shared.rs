// SPDX-License-Identifier: MIT OR Apache-2.0
//! Layers that several images of one run have: each is fetched and decompressed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::TakenBytes;
use crate::oci::{BlobDigest, Descriptor, LayerEntry};

/// The entries of a layer, in the layer's order, each with the digest and the kept bytes of its data; `None` if its
/// data are not recorded.
pub(super) type RecordedLayer = Vec<(LayerEntry, Option<TakenBytes>)>;

/// The digest of a layer, and its DiffID if the image states one.
type LayerKey = (String, Option<String>);

/// A layer that several images have.
#[derive(Default)]
pub(super) struct SharedLayer {
    /// The number of images that have not claimed the layer yet.
    wanted: usize,
    recorded: Option<Arc<RecordedLayer>>,
}

/// The layers of all images of a run that are in registries.
#[derive(Default)]
pub struct SharedLayers {
    layers: HashMap<LayerKey, Mutex<SharedLayer>>,
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
    }

    /// Claims a layer for an image. Waits while another thread reads the layer for the first image.
    pub(super) fn claim(&self, layer: &Descriptor, diff_id: Option<&BlobDigest>) -> Claim<'_> {
        let Some(shared) = self.layers.get(&key(layer, diff_id)) else {
            return Claim::Alone;
        };
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
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
    /// No image has read the layer yet, and other images need it. If reading it fails, the next image claims it as
    /// first.
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
