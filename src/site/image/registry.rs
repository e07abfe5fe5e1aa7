// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docker://`: images in registries, by the distribution API of OCI.

mod body;
mod credentials;
mod session;

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use self::body::BlobReader;
use self::session::Session;
use super::blobs::{Blobs, Checked, FoundDocument, Traffic, admit};
use super::settings;
use crate::oci::{BlobDigest, Descriptor, Docker, ImageLimits, ImageVersion, OciError};
use crate::sys::fetch::DownloadLimits;

/// The value of the header `Accept`: the media types of manifests and indexes.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Options for registries.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// The file with credentials. If it is given, no other file with credentials is read.
    pub authfile: Option<PathBuf>,
    /// Whether servers must have a valid certificate. If not, http is also tried.
    pub tls_verify: bool,
    /// The directory with certificates of authorities and of this client; `None` for the directories of podman.
    pub cert_dir: Option<PathBuf>,
    /// Timeouts and retries.
    pub limits: DownloadLimits,
    /// The timeout of a credential helper, which may ask the user for a password.
    pub helper_limit: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            authfile: None,
            tls_verify: true,
            cert_dir: None,
            limits: DownloadLimits::new(ImageLimits::default().layer_bytes),
            helper_limit: Duration::from_secs(120),
        }
    }
}

/// An image in a registry or its mirrors.
pub(super) struct RegistryImage {
    image: Docker,
    /// The sessions with the mirrors, and last that with the registry itself.
    sessions: Vec<Arc<Session>>,
    /// The session that returned the manifest.
    chosen: OnceLock<Arc<Session>>,
    traffic: Arc<Traffic>,
}

impl RegistryImage {
    /// Reads the configuration. Sends no request.
    pub(super) fn open(image: &Docker, options: &RegistryOptions) -> Result<Self> {
        let traffic = Arc::new(Traffic::default());
        let registries = settings::registries()?;
        let sources = registries.sources(image).map_err(|error| anyhow!(error))?;
        let sessions = sources
            .into_iter()
            .map(|source| Session::new(source, options, &registries, &traffic).map(Arc::new));
        Ok(Self {
            image: image.clone(),
            sessions: sessions.collect::<Result<_>>()?,
            chosen: OnceLock::new(),
            traffic,
        })
    }

    /// Returns the session that returned the manifest, and the sessions to use if that session fails: a mirror may lack
    /// a blob.
    fn sessions(&self) -> Result<(Arc<Session>, VecDeque<Arc<Session>>)> {
        let chosen = self.chosen.get();
        let is_before = |it: &&Arc<Session>| chosen.is_some_and(|chosen| !Arc::ptr_eq(it, chosen));
        let mut sessions = self.sessions.iter().skip_while(is_before).cloned();
        let first = sessions.next().context("the image has no registry")?;
        Ok((first, sessions.collect()))
    }
}

impl Blobs for RegistryImage {
    fn manifest(&self) -> Result<FoundDocument> {
        let mut failed = Vec::new();
        for session in &self.sessions {
            match manifest(session, &self.image.version) {
                Ok(found) => {
                    let _ = self.chosen.set(Arc::clone(session));
                    return Ok(found);
                }
                Err(error) => {
                    if self.sessions.len() == 1 {
                        return Err(error);
                    }
                    session.pass_over(&error)?;
                    failed.push(format!("{}: {error:#}", session.image()));
                }
            }
        }
        Err(anyhow!(
            "the manifest cannot be read from a mirror or from the registry: {}",
            failed.join("; ")
        ))
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(BlobReader::whole(
            self.sessions()?,
            &blob.digest.to_string(),
            blob.size,
        )))
    }

    fn open_range(
        &self,
        blob: &Descriptor,
        range: Range<u64>,
    ) -> Result<Option<Box<dyn Read + Send>>> {
        let digest = blob.digest.to_string();
        let reader = BlobReader::range(self.sessions()?, &digest, blob.size, range)?;
        Ok(reader.map(|reader| Box::new(reader) as Box<dyn Read + Send>))
    }

    fn document(&self, blob: &Descriptor, limits: &ImageLimits) -> Result<Vec<u8>> {
        let is_config =
            blob.media_type.contains("config") || blob.media_type.contains("container.image");
        let kind = if is_config { "blobs" } else { "manifests" };
        admit(blob, limits)?;
        let path = format!("{kind}/{}", blob.digest);
        let (mut session, mut others) = self.sessions()?;
        let bytes = loop {
            let error = match session.document(&path, MANIFESTS, limits.manifest_bytes) {
                Ok((bytes, _)) => break bytes,
                Err(error) => error,
            };
            let Some(next) = others.pop_front() else {
                return Err(error);
            };
            session.pass_over(&error)?;
            session = next;
        };
        let mut checked = Vec::new();
        let mut input = Checked::new(bytes.as_slice(), blob).0;
        input.read_to_end(&mut checked).map_err(OciError::of_io)?;
        Ok(checked)
    }

    fn traffic(&self) -> Option<Arc<Traffic>> {
        Some(Arc::clone(&self.traffic))
    }
}

/// Reads the manifest or index, and checks its digest if the reference or the response's header states one.
fn manifest(session: &Session, version: &ImageVersion) -> Result<FoundDocument> {
    let limit = ImageLimits::default().manifest_bytes;
    let name = match version {
        ImageVersion::Tag(tag) => tag.clone(),
        ImageVersion::BlobDigest(digest) => digest.to_string(),
    };
    let (bytes, stated) = session.document(&format!("manifests/{name}"), MANIFESTS, limit)?;
    let digest = match version {
        ImageVersion::BlobDigest(digest) => {
            digest.check(&bytes)?;
            digest.clone()
        }
        ImageVersion::Tag(_) => {
            // A registry need not send the digest of a manifest.
            if let Some(stated) = stated.and_then(|it| it.parse::<BlobDigest>().ok()) {
                stated
                    .check(&bytes)
                    .context("comparing the manifest with the header Docker-Content-Digest")?;
            }
            BlobDigest::of(&bytes)
        }
    };
    Ok(FoundDocument::Document {
        bytes,
        digest: Some(digest),
    })
}
