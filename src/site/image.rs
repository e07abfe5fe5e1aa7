// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens an image in a registry, an archive, a directory or podman's storage, as a root for reading. Nothing is
//! unpacked, and no file is written.

mod archive;
mod blobs;
mod layout;
mod load;
mod merge;
mod ranges;
mod registry;
mod settings;
mod shared;
mod storage;
mod store;
mod view;

use std::iter;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

pub use self::blobs::Traffic;
use self::blobs::{Blobs, FoundDocument};
pub use self::registry::RegistryOptions;
pub use self::shared::SharedLayers;
use crate::oci::{
    self, BlobDigest, ImageConfig, ImageLimits, ImageReference, Manifest, ManifestDocument,
    Platform,
};
use crate::report::ImageReport;
use crate::sys::root::Root;

/// Options for reading an image.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// The platform to choose from an index; `None` for the machine's platform or, if the index has only one image, for
    /// that image.
    pub platform: Option<Platform>,
    /// Options for registries.
    pub registry: RegistryOptions,
}

/// An image whose layers were read.
pub struct OpenImage {
    /// The image's tree.
    pub root: Root,
    /// Facts for the report.
    facts: ImageReport,
    traffic: Option<Arc<Traffic>>,
}

impl OpenImage {
    /// Returns the facts for the report. For an image in a registry, they include the numbers of requests and received
    /// bytes up to now.
    pub fn facts(&self) -> ImageReport {
        ImageReport {
            bytes_fetched: self.traffic.as_ref().map(|it| it.bytes()),
            requests: self.traffic.as_ref().map(|it| it.requests()),
            ..self.facts.clone()
        }
    }

    /// Returns the numbers of requests to registries and of received bytes; `None` for an image that is not in a
    /// registry.
    pub fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_deref()
    }
}

/// An image whose documents were read, but not its layers.
pub struct FoundImage {
    blobs: Box<dyn Blobs>,
    reference: String,
    image: ImageDocuments,
}

/// Upper bound of the documents that are read until the manifest is found: indexes, and the manifest itself.
const INDEXES_MAX: usize = 4;

/// Opens an image and reads its layers.
///
/// # Errors
/// When the image cannot be found, or is damaged or hostile.
pub fn open(reference: &ImageReference, options: &ImageOptions) -> Result<OpenImage> {
    FoundImage::of(reference, options)?.read(&Arc::default())
}

impl FoundImage {
    /// Reads the documents of an image.
    ///
    /// # Errors
    /// When the image cannot be found, or its documents are damaged or hostile.
    pub fn of(reference: &ImageReference, options: &ImageOptions) -> Result<Self> {
        let read = || {
            let blobs = find(reference, options)?;
            let image = documents(blobs.as_ref(), options, &ImageLimits::default())?;
            anyhow::Ok(Self {
                blobs,
                reference: reference.to_string(),
                image,
            })
        };
        read().with_context(|| format!("reading {reference}"))
    }

    /// Returns the layers of those images that are in registries, so that a layer that several images have is fetched
    /// once. A layer of another transport is read for each image, because one image's copy may be damaged and another's
    /// intact.
    pub fn shared<'i>(images: impl Iterator<Item = &'i Self>) -> Arc<SharedLayers> {
        let mut shared = SharedLayers::default();
        for Self { image, .. } in images.filter(|it| it.blobs.traffic().is_some()) {
            let diff_ids = image.config.rootfs.diff_ids.iter().map(Some);
            let diff_ids = diff_ids.chain(iter::repeat(None));
            for (layer, diff_id) in image.manifest.layers.iter().zip(diff_ids) {
                shared.add(layer, diff_id);
            }
        }
        Arc::new(shared)
    }

    /// Reads the layers. `shared` is the result of [`Self::shared`] for the images of this run, or empty.
    ///
    /// # Errors
    /// When a layer cannot be read, or is damaged or hostile.
    pub fn read(self, shared: &Arc<SharedLayers>) -> Result<OpenImage> {
        let Self {
            blobs,
            reference,
            image,
        } = self;
        let traffic = blobs.traffic();
        let facts = ImageReport {
            reference: reference.clone(),
            manifest_digest: image.digest.as_ref().map(BlobDigest::to_string),
            config_digest: image.manifest.config.digest.to_string(),
            platform: image.config.platform().map(|it| it.to_string()),
            bytes_fetched: None,
            requests: None,
        };
        let is_remote = traffic.is_some();
        let parts = |layer| shared.parts(layer).filter(|_| is_remote);
        let source = load::LayerSource {
            blobs,
            parts: image.manifest.layers.iter().map(parts).collect(),
            manifest: image.manifest,
            diff_ids: image.config.rootfs.diff_ids,
            limits: ImageLimits::default(),
            shared: is_remote.then(|| Arc::clone(shared)),
        };
        let layers = view::LayerView::read(source);
        let layers = layers.with_context(|| format!("reading {reference}"))?;
        Ok(OpenImage {
            root: Root::of_layers(&reference, Box::new(layers)),
            facts,
            traffic,
        })
    }
}

fn find(reference: &ImageReference, options: &ImageOptions) -> Result<Box<dyn Blobs>> {
    Ok(match reference {
        ImageReference::Oci(dir, tag) => Box::new(layout::OciLayout::open(dir, tag.as_deref())?),
        ImageReference::Dir(dir) => Box::new(layout::SkopeoDir::open(dir)),
        ImageReference::OciArchive(file, tag) => Box::new(archive::oci(file, tag.as_deref())?),
        ImageReference::DockerArchive(file, tag) => {
            Box::new(archive::docker(file, tag.as_deref())?)
        }
        ImageReference::Docker(image) => {
            Box::new(registry::RegistryImage::open(image, &options.registry)?)
        }
        ImageReference::ContainersStorage(name) => Box::new(storage::Storage::open(name)?),
    })
}

/// A manifest and its config, and the digest of the manifest; `None` if the transport has generated the manifest.
struct ImageDocuments {
    digest: Option<BlobDigest>,
    manifest: Manifest,
    config: ImageConfig,
}

impl ImageDocuments {
    /// Returns these documents. Fails if a platform is `wanted` and the config states another one or none.
    fn of_platform(self, wanted: Option<&Platform>) -> Result<Self> {
        let Some(wanted) = wanted else {
            return Ok(self);
        };
        match self.config.platform() {
            Some(platform) if wanted.accepts(&platform) => Ok(self),
            Some(platform) => {
                bail!("the image is for {platform} only, not for {wanted}. Remove --platform")
            }
            None => {
                bail!("the image states no platform, expected {wanted}. Remove --platform")
            }
        }
    }
}

/// Reads the manifest, to which indexes can lead, and the config.
fn documents(
    blobs: &dyn Blobs,
    options: &ImageOptions,
    limits: &ImageLimits,
) -> Result<ImageDocuments> {
    let host = Platform::of_machine(std::env::consts::ARCH);
    let mut found = blobs.manifest().context("reading the manifest")?;
    // The platform that the config must state: the requested one, unless an index has chosen by platform already.
    let mut wanted = options.platform.as_ref();
    for _ in 0..=INDEXES_MAX {
        let (bytes, digest) = match found {
            FoundDocument::Manifest { manifest, config } => {
                let image = image(blobs, None, manifest, Some(config), limits)?;
                return image.of_platform(wanted);
            }
            FoundDocument::Document { bytes, digest } => (bytes, digest),
        };
        match oci::parse(&bytes, limits)? {
            ManifestDocument::Manifest(manifest) => {
                return image(blobs, digest, manifest, None, limits)?.of_platform(wanted);
            }
            ManifestDocument::ImageIndex(index) => {
                let chosen = oci::choose(&index.manifests, options.platform.as_ref(), &host)?;
                if chosen.platform.is_some() {
                    wanted = None;
                }
                let bytes = blobs.document(chosen, limits);
                let bytes = bytes.with_context(|| format!("reading {}", chosen.digest))?;
                found = FoundDocument::Document {
                    bytes,
                    digest: Some(chosen.digest.clone()),
                };
            }
        }
    }
    bail!("image indexes are nested deeper than {INDEXES_MAX} levels")
}

fn image(
    blobs: &dyn Blobs,
    digest: Option<BlobDigest>,
    manifest: Manifest,
    config: Option<Vec<u8>>,
    limits: &ImageLimits,
) -> Result<ImageDocuments> {
    manifest.check()?;
    let config = match config {
        Some(config) => config,
        None => {
            let config = blobs.document(&manifest.config, limits);
            config.with_context(|| format!("reading the config {}", manifest.config.digest))?
        }
    };
    Ok(ImageDocuments {
        config: ImageConfig::parse(&config, manifest.layers.len())?,
        digest,
        manifest,
    })
}
