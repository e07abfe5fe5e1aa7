// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images in directories: `oci:`, the layout of OCI, and `dir:`, that of skopeo.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::blobs::{Blobs, FoundDocument, bounded};
use crate::oci::{self, BlobDigest, Descriptor, ImageIndex, ImageLimits, ManifestDocument};

/// The annotation that holds the tag of an image in an index.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image in an OCI layout.
pub(super) struct OciLayout {
    dir: PathBuf,
    image: Descriptor,
}

impl OciLayout {
    /// Opens a layout, and chooses the image with this tag or, without a tag, the only image.
    pub(super) fn open(dir: &Path, tag: Option<&str>) -> Result<Self> {
        let index = dir.join("index.json");
        let file = self::open(&index).context("opening the index of the OCI layout")?;
        let bytes = bounded(file, ImageLimits::default().manifest_bytes)?;
        let image = choose(&bytes, tag)?;
        let dir = dir.to_owned();
        Ok(Self { dir, image })
    }
}

/// Chooses from the index of a layout the image with this tag or, without a tag, the only image.
pub(super) fn choose(index: &[u8], tag: Option<&str>) -> Result<Descriptor> {
    let ManifestDocument::ImageIndex(ImageIndex { manifests }) =
        oci::parse(index, &ImageLimits::default())?
    else {
        bail!("index.json is a manifest, expected an index");
    };
    let name = |it: &Descriptor| it.annotation(REF_NAME).map(str::to_owned);
    let Some(tag) = tag else {
        return match manifests.as_slice() {
            [only] => Ok(only.clone()),
            [] => bail!("the layout has no image"),
            several => {
                let names: Vec<_> = several.iter().filter_map(name).collect();
                bail!(
                    "the layout has {} images. Choose one by its tag: {}",
                    several.len(),
                    names.join(", ")
                )
            }
        };
    };
    let mut named = manifests
        .iter()
        .filter(|it| name(it).as_deref() == Some(tag));
    match named.next() {
        Some(image) => Ok(image.clone()),
        None => {
            let names: Vec<_> = manifests.iter().filter_map(name).collect();
            bail!(
                "the layout has no image with the tag {tag}, only: {}",
                if names.is_empty() {
                    "images without a tag".to_owned()
                } else {
                    names.join(", ")
                }
            )
        }
    }
}

/// Returns the path of a blob in an OCI layout.
pub(super) fn blob_path(digest: &BlobDigest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

impl Blobs for OciLayout {
    fn manifest(&self) -> Result<FoundDocument> {
        Ok(FoundDocument::Document {
            bytes: self.document(&self.image, &ImageLimits::default())?,
            digest: Some(self.image.digest.clone()),
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(open(&self.dir.join(blob_path(&blob.digest)))?))
    }
}

/// Opens a file, which must be regular: opening a FIFO could block forever.
pub(super) fn open(path: &Path) -> Result<fs_err::File> {
    if fs_err::metadata(path).is_ok_and(|it| !it.is_file()) {
        bail!("opening {}: it is not a regular file", path.display());
    }
    Ok(fs_err::File::open(path)?)
}

/// A directory that `skopeo copy … dir:DIR` has written.
pub(super) struct SkopeoDir {
    dir: PathBuf,
}

impl SkopeoDir {
    pub(super) fn open(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self { dir }
    }
}

impl Blobs for SkopeoDir {
    fn manifest(&self) -> Result<FoundDocument> {
        let file = open(&self.dir.join("manifest.json"))?;
        let bytes = bounded(file, ImageLimits::default().manifest_bytes)?;
        Ok(FoundDocument::Document {
            digest: Some(BlobDigest::of(&bytes)),
            bytes,
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        // The manifests that an index lists have the suffix `.manifest.json`; other blobs have none.
        let path = self.dir.join(blob.digest.hex());
        let manifest = self
            .dir
            .join(format!("{}.manifest.json", blob.digest.hex()));
        match open(&path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => match open(&manifest) {
                Ok(file) => Ok(Box::new(file)),
                Err(_) => Err(error),
            },
        }
    }
}
