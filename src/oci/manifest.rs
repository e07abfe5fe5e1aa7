// SPDX-License-Identifier: MIT OR Apache-2.0
//! Indexes, manifests and configs of OCI and of Docker.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::digest::BlobDigest;
use super::error::OciError;
use super::limits::ImageLimits;
use super::platform::Platform;

/// The annotation with the digest of the compressed table of contents of a zstd:chunked layer.
pub const TOC_CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";

/// The annotation with the position of the table of contents: offset, length, uncompressed length, type.
pub const TOC_POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type; empty if the document does not state it, as often in an index of Docker's archives.
    #[serde(default)]
    pub media_type: String,
    /// The digest.
    pub digest: BlobDigest,
    /// The number of bytes of the blob.
    pub size: u64,
    /// The annotations: names and values.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The platform of an image, if an index states it.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Addresses of a blob that is not in the registry.
    #[serde(default)]
    pub urls: Option<Vec<String>>,
}

impl Descriptor {
    /// Returns a descriptor with only a digest and a size.
    pub fn new(digest: BlobDigest, size: u64) -> Self {
        Self {
            media_type: String::new(),
            digest,
            size,
            annotations: None,
            platform: None,
            urls: None,
        }
    }

    /// Returns the value of an annotation; `None` if there is none.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// An index or a manifest list.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageIndex {
    /// The images, or further indexes.
    pub manifests: Vec<Descriptor>,
}

/// The manifest of an image.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// The config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// An index or a manifest.
#[derive(Debug, Clone)]
pub enum ManifestDocument {
    /// An index.
    ImageIndex(ImageIndex),
    /// A manifest.
    Manifest(Manifest),
}

/// The config of an image.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageConfig {
    /// The architecture, with Go's name; empty if it is not stated.
    #[serde(default)]
    pub architecture: String,
    /// The operating system, with Go's name; empty if it is not stated.
    #[serde(default)]
    pub os: String,
    /// The variant of the architecture.
    #[serde(default)]
    pub variant: Option<String>,
    /// The digests of the layers.
    pub rootfs: RootFs,
}

/// The layers of a config.
#[derive(Debug, Clone, Deserialize)]
pub struct RootFs {
    /// The DiffIDs: the digests of the decompressed layers, the lowest first.
    pub diff_ids: Vec<BlobDigest>,
}

/// Parses a document that is an index or a manifest.
///
/// # Errors
/// When the bytes are neither of these, or exceed a limit. Also for a manifest of Docker's schema 1, and for the
/// manifest of an artifact.
pub fn parse(bytes: &[u8], limits: &ImageLimits) -> Result<ManifestDocument, OciError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u64>,
        #[serde(default)]
        media_type: String,
        manifests: Option<Vec<Descriptor>>,
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
    }
    let wrong = |why: String| OciError::Document(why);
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| {
        let start = bytes.trim_ascii_start();
        if start.starts_with(b"<") {
            wrong("the manifest is an HTML page".into())
        } else {
            wrong(format!("the manifest cannot be parsed: {error}"))
        }
    })?;
    if shape.schema_version == Some(1) {
        return Err(OciError::Unsupported(
            "a manifest of schema 1 (Docker before 2016)".into(),
        ));
    }
    if shape.media_type.ends_with(".artifact.manifest.v1+json") {
        return Err(OciError::Unsupported("an artifact without layers".into()));
    }
    match (shape.manifests, shape.config, shape.layers) {
        (Some(manifests), None, None) => {
            if manifests.len() > limits.manifests {
                return Err(OciError::Limit {
                    name: "manifests",
                    value: limits.manifests as u64,
                });
            }
            Ok(ManifestDocument::ImageIndex(ImageIndex { manifests }))
        }
        (None, Some(config), Some(layers)) => {
            if layers.len() > limits.layers {
                return Err(OciError::Limit {
                    name: "layers",
                    value: limits.layers as u64,
                });
            }
            Ok(ManifestDocument::Manifest(Manifest { config, layers }))
        }
        _ => Err(wrong(
            "the document is neither the manifest of an image nor an index".into(),
        )),
    }
}

impl Manifest {
    /// Checks, by the media types, that this program can read the layers. A layer without a media type is accepted.
    ///
    /// # Errors
    /// When a layer is encrypted, or is not an archive.
    pub fn check(&self) -> Result<(), OciError> {
        for layer in &self.layers {
            let kind = layer.media_type.as_str();
            if kind.contains("+encrypted") {
                return Err(OciError::Unsupported("an encrypted layer".into()));
            }
            if !kind.is_empty() && !kind.contains(".tar") && !kind.contains("layer") {
                return Err(OciError::Document(format!(
                    "a layer has the media type {}, so this is not an operating system image",
                    kind.escape_debug()
                )));
            }
        }
        Ok(())
    }
}

impl ImageConfig {
    /// Parses a config.
    ///
    /// # Errors
    /// When the bytes are another document, or do not have one DiffID for each of the `layers`.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Self, OciError> {
        let config: Self = serde_json::from_slice(bytes).map_err(|error| {
            OciError::Document(format!("the config of the image cannot be parsed: {error}"))
        })?;
        let count = config.rootfs.diff_ids.len();
        if count != layers {
            return Err(OciError::Document(format!(
                "the config lists {count} layers, the manifest {layers}"
            )));
        }
        Ok(config)
    }

    /// Returns the platform of the image, if the config states it.
    pub fn platform(&self) -> Option<Platform> {
        let is_stated = !self.os.is_empty() && !self.architecture.is_empty();
        is_stated.then(|| Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|it| !it.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_are_no_image() {
        let limits = ImageLimits {
            layers: 1,
            manifests: 1,
            ..ImageLimits::default()
        };
        let blob = |kind: &str| {
            let digest = BlobDigest::of(kind.as_bytes());
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":1}}"#)
        };
        let tar = blob("application/vnd.oci.image.layer.v1.tar+gzip");
        for (text, expected) in [
            (String::new(), "cannot be parsed"),
            ("<!doctype html><html>".into(), "an HTML page"),
            ("[]".into(), "cannot be parsed"),
            ("{}".into(), "neither the manifest of an image nor an index"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.into(), "schema 1"),
            (
                format!(r#"{{"config":{tar},"layers":[{tar},{tar}]}}"#),
                "the limit layers of 1",
            ),
            (
                format!(r#"{{"manifests":[{tar},{tar}]}}"#),
                "the limit manifests of 1",
            ),
            (
                format!(r#"{{"config":{tar},"layers":[{tar}],"manifests":[]}}"#),
                "neither",
            ),
            (
                r#"{"config":{"digest":"sha256:00","size":1},"layers":[]}"#.into(),
                "is not a digest",
            ),
            (
                r#"{"config":{"digest":"md5:00","size":-1},"layers":[]}"#.into(),
                "is not a digest",
            ),
        ] {
            let error = parse(text.as_bytes(), &limits).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for (kind, expected) in [
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                "an encrypted layer",
            ),
            (
                "application/vnd.cncf.helm.chart.content.v1",
                "not an operating system image",
            ),
        ] {
            let text = format!(r#"{{"config":{tar},"layers":[{}]}}"#, blob(kind));
            let ManifestDocument::Manifest(manifest) = parse(text.as_bytes(), &limits).unwrap()
            else {
                panic!("{kind}");
            };
            let error = manifest.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_config_has_a_diff_id_for_each_layer() {
        let text = format!(
            r#"{{"os":"linux","architecture":"arm64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            BlobDigest::of(b"")
        );
        let config = ImageConfig::parse(text.as_bytes(), 1).unwrap();
        assert_eq!(config.platform().unwrap().to_string(), "linux/arm64");
        let error = ImageConfig::parse(text.as_bytes(), 2)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "the config lists 1 layers, the manifest 2");
    }
}
