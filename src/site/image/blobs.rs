// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface of a transport: it finds the manifest, and opens blobs.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};

use crate::oci::{
    BlobDigest, BlobHasher, Descriptor, ImageLimits, LayerVisitor, Manifest, OciError,
};

/// The first document of an image: the one that the reference names.
pub(super) enum FoundDocument {
    /// An index or a manifest, with its digest if it is known.
    Document {
        bytes: Vec<u8>,
        digest: Option<BlobDigest>,
    },
    /// A manifest that the transport has generated, with DiffIDs in the place of the layers' digests, and the config.
    Manifest { manifest: Manifest, config: Vec<u8> },
}

/// The numbers of requests to registries and of received bytes.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Traffic {
    pub(super) fn add_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn add_requests(&self, count: u32) {
        self.requests.fetch_add(count.into(), Ordering::Relaxed);
    }

    /// Returns the number of bytes that were received in the bodies of responses.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of requests, redirected ones included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A transport, opened for one image.
pub(super) trait Blobs: Send + Sync {
    /// Reads or generates the document that the reference names.
    fn manifest(&self) -> Result<FoundDocument>;

    /// Opens a blob. The caller checks digest and size, unless [`has_digests`](Self::has_digests) returns `false`.
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>>;

    /// Passes the entries of a layer to `visitor` if the layer is stored as a directory. Returns `false` if the layer
    /// is an archive, which the caller then opens.
    fn visit(
        &self,
        _layer: &Descriptor,
        _visitor: &mut dyn LayerVisitor,
    ) -> Result<bool, OciError> {
        Ok(false)
    }

    /// Returns whether the digest in a layer's descriptor is that of the blob's bytes. Otherwise it is the DiffID.
    fn has_digests(&self) -> bool {
        true
    }

    /// Opens a range of a blob; `None` if ranges are not supported or not useful. The caller then reads the whole blob.
    fn open_range(
        &self,
        _blob: &Descriptor,
        _range: Range<u64>,
    ) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(None)
    }

    /// Returns the counts of requests and bytes; `None` if the image is not in a registry.
    fn traffic(&self) -> Option<Arc<Traffic>> {
        None
    }

    /// Reads a document (an index, a manifest or a config), and checks its size and digest.
    fn document(&self, blob: &Descriptor, limits: &ImageLimits) -> Result<Vec<u8>> {
        admit(blob, limits)?;
        let mut bytes = Vec::new();
        let mut input = Checked::new(self.open(blob)?, blob).0;
        input.read_to_end(&mut bytes).map_err(OciError::of_io)?;
        Ok(bytes)
    }
}

/// Checks that the stated size of a document is within the limit.
pub(super) fn admit(document: &Descriptor, limits: &ImageLimits) -> Result<(), OciError> {
    let (name, value) = ("manifest_bytes", limits.manifest_bytes);
    if document.size > value {
        return Err(OciError::Limit { name, value });
    }
    Ok(())
}

/// Reads a document of at most `limit` bytes whose digest is not known.
pub(super) fn bounded(input: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut input = input.take(limit + 1);
    input
        .read_to_end(&mut bytes)
        .context("reading a document")?;
    if bytes.len() as u64 > limit {
        let (name, value) = ("manifest_bytes", limit);
        return Err(OciError::Limit { name, value }.into());
    }
    Ok(bytes)
}

/// A reader of a blob. It fails as soon as the blob is longer than its stated size, and at the end if size or digest is
/// wrong.
pub(super) struct Checked<R> {
    input: R,
    hasher: Option<BlobHasher>,
    digest: BlobDigest,
    expected: u64,
    read: u64,
    /// Whether the whole blob was read, with the right size and digest.
    done: Arc<AtomicBool>,
}

impl<R: Read> Checked<R> {
    /// Returns the reader, and a flag that is set when the reader reaches the end of the blob and size and digest are
    /// right.
    pub(super) fn new(input: R, blob: &Descriptor) -> (Self, Arc<AtomicBool>) {
        let done = Arc::new(AtomicBool::new(false));
        let checked = Self {
            input,
            hasher: Some(blob.digest.hasher()),
            digest: blob.digest.clone(),
            expected: blob.size,
            read: 0,
            done: Arc::clone(&done),
        };
        (checked, done)
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        self.read += count as u64;
        let size = OciError::Size {
            found: self.read,
            expected: self.expected,
        };
        if self.read > self.expected {
            return Err(size.into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&out[..count]);
        }
        if count == 0
            && !out.is_empty()
            && let Some(hasher) = self.hasher.take()
        {
            if self.read != self.expected {
                return Err(size.into());
            }
            self.digest.check_is(&hasher.finish(), "digest")?;
            self.done.store(true, Ordering::Release);
        }
        Ok(count)
    }
}
