// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images in one archive: `oci-archive:` and `docker-archive:`. The archive is listed once, and its members are then
//! read at their offsets.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::blobs::{Blobs, FoundDocument, bounded};
use super::layout;
use crate::oci::{
    BlobDigest, Descriptor, ImageConfig, ImageLimits, LayerEntry, Manifest, NodeKind, OciError,
    list_tar,
};

/// Upper bound of the files and links in an archive; an image has a few hundred.
const MEMBERS_MAX: usize = 100_000;

/// Upper bound of the links from a member's path to its file.
const LINKS_MAX: usize = 8;

/// An archive and the places of its members.
struct ImageArchive {
    file: Arc<File>,
    members: HashMap<Vec<u8>, ArchiveMember>,
}

/// The place of a member.
enum ArchiveMember {
    /// A regular file: the offset and the length of its data (bytes).
    File(u64, u64),
    /// A link: the path of the member that it leads to.
    Link(Vec<u8>),
}

impl ImageArchive {
    fn open(path: &Path) -> Result<Self> {
        let file = layout::open(path)
            .context("opening the archive")?
            .into_parts()
            .0;
        let mut start = [0; 6];
        let count = file.read_at(&mut start, 0)?;
        let is_packed = [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"];
        if is_packed
            .iter()
            .any(|magic| start[..count].starts_with(magic))
        {
            bail!(
                "the archive is compressed as a whole, which is not supported. Decompress it first"
            );
        }
        let members = list(&file)?;
        Ok(Self {
            file: Arc::new(file),
            members,
        })
    }

    /// Opens a member. Follows at most [`LINKS_MAX`] links.
    fn member(&self, path: &str) -> Result<MemberReader> {
        let mut path = path.as_bytes().to_vec();
        for _ in 0..=LINKS_MAX {
            match self.members.get(&path) {
                Some(ArchiveMember::File(at, length)) => {
                    return Ok(MemberReader {
                        file: Arc::clone(&self.file),
                        at: *at,
                        end: at + length,
                    });
                }
                Some(ArchiveMember::Link(target)) => path = target.clone(),
                None => bail!("the archive has no file {}", path.escape_ascii()),
            }
        }
        bail!(
            "the archive has more than {LINKS_MAX} links in a row, up to {}",
            path.escape_ascii()
        )
    }
}

struct MemberReader {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for MemberReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let count = out.len().min(left);
        let count = self.file.read_at(&mut out[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Lists the files and links of an archive by path; the last member with a path is used. Their data are skipped by
/// seeking.
fn list(file: &File) -> Result<HashMap<Vec<u8>, ArchiveMember>> {
    let size = file.metadata()?.len();
    let mut members = HashMap::new();
    let mut visit = |entry: &LayerEntry, _: &mut dyn BufRead| {
        if members.len() == MEMBERS_MAX {
            let (name, value) = ("members", MEMBERS_MAX as u64);
            return Err(OciError::Limit { name, value });
        }
        let member = match entry.kind {
            NodeKind::File => {
                let end = entry.data.checked_add(entry.meta.size);
                if end.is_none_or(|end| end > size) {
                    let why = "it is truncated".to_owned();
                    let at = entry.data;
                    return Err(OciError::Archive { at, why });
                }
                Some(ArchiveMember::File(entry.data, entry.meta.size))
            }
            NodeKind::HardLink => Some(ArchiveMember::Link(entry.target.clone())),
            NodeKind::Symlink => beside(&entry.path, &entry.target).map(ArchiveMember::Link),
            _ => None,
        };
        if let Some(member) = member {
            members.insert(entry.path.clone(), member);
        }
        Ok(())
    };
    list_tar(file, &ImageLimits::default(), &mut visit)?;
    Ok(members)
}

/// Resolves the target of a symbolic link in an archive of Docker, for example `../ID/layer.tar`, against the directory
/// of `path`. `None` if it leads out of the archive.
fn beside(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<_> = path.split(|&byte| byte == b'/').collect();
    parts.pop();
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// An image in an archive of an OCI layout.
struct OciArchive {
    archive: ImageArchive,
    image: Descriptor,
}

/// Opens an archive of an OCI layout, and chooses the image with this tag or, without a tag, the only image.
pub(super) fn oci(file: &Path, tag: Option<&str>) -> Result<impl Blobs + use<>> {
    let archive = ImageArchive::open(file)?;
    let index = archive.member("index.json")?;
    let index = bounded(index, ImageLimits::default().manifest_bytes)?;
    Ok(OciArchive {
        image: layout::choose(&index, tag)?,
        archive,
    })
}

impl Blobs for OciArchive {
    fn manifest(&self) -> Result<FoundDocument> {
        Ok(FoundDocument::Document {
            bytes: self.document(&self.image, &ImageLimits::default())?,
            digest: Some(self.image.digest.clone()),
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let part = self.archive.member(&layout::blob_path(&blob.digest))?;
        Ok(Box::new(part))
    }
}

/// One image that `manifest.json` lists.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An image in an archive of Docker.
struct DockerArchive {
    archive: ImageArchive,
    image: DockerImage,
    config: Vec<u8>,
    /// The paths of the layers by DiffID. The DiffID replaces the digest of the blob, because these archives contain no
    /// digests of blobs.
    layers: HashMap<BlobDigest, String>,
    manifest: Manifest,
}

/// Opens an archive of `docker save` or `podman save`, and chooses the image with the reference `tag` (`NAME[:TAG]`)
/// or, without one, the only image.
pub(super) fn docker(file: &Path, tag: Option<&str>) -> Result<impl Blobs + use<>> {
    let limits = ImageLimits::default();
    let archive = ImageArchive::open(file)?;
    let list = bounded(archive.member("manifest.json")?, limits.manifest_bytes)?;
    let list: Vec<DockerImage> =
        serde_json::from_slice(&list).context("parsing the archive's manifest.json")?;
    let tags = |it: &DockerImage| it.repo_tags.clone().unwrap_or_default();
    let all = || list.iter().flat_map(tags).collect::<Vec<_>>().join(", ");
    let image = match (tag, list.as_slice()) {
        (None, [only]) => only.clone(),
        (None, []) => bail!("the archive has no image"),
        (None, several) => bail!(
            "the archive has {} images. Choose one by its reference: {}",
            several.len(),
            all()
        ),
        (Some(tag), images) => {
            let normal = |name: &str| {
                let name = name.strip_prefix("docker.io/library/").unwrap_or(name);
                let name = name.strip_prefix("docker.io/").unwrap_or(name).to_owned();
                let last = name.rsplit('/').next().unwrap_or_default();
                if last.contains(':') {
                    name
                } else {
                    format!("{name}:latest")
                }
            };
            let found = images
                .iter()
                .find(|it| tags(it).iter().any(|it| normal(it) == normal(tag)));
            let found = found
                .with_context(|| format!("the archive has no image {tag}, only: {}", all()))?;
            found.clone()
        }
    };
    let config = bounded(archive.member(&image.config)?, limits.manifest_bytes)?;
    let diff_ids = ImageConfig::parse(&config, image.layers.len())?
        .rootfs
        .diff_ids;
    let mut layers = HashMap::new();
    let mut descriptors = Vec::new();
    for (digest, path) in diff_ids.into_iter().zip(&image.layers) {
        let part = archive.member(path)?;
        descriptors.push(Descriptor::new(digest.clone(), part.end - part.at));
        layers.insert(digest, path.clone());
    }
    let manifest = Manifest {
        config: Descriptor::new(BlobDigest::of(&config), config.len() as u64),
        layers: descriptors,
    };
    Ok(DockerArchive {
        archive,
        image,
        config,
        layers,
        manifest,
    })
}

impl Blobs for DockerArchive {
    fn manifest(&self) -> Result<FoundDocument> {
        Ok(FoundDocument::Manifest {
            manifest: self.manifest.clone(),
            config: self.config.clone(),
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let path = self.layers.get(&blob.digest);
        let path = path.unwrap_or(&self.image.config);
        Ok(Box::new(self.archive.member(path)?))
    }

    fn has_digests(&self) -> bool {
        false
    }
}
