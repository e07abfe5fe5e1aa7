// SPDX-License-Identifier: MIT OR Apache-2.0
//! `containers-storage:`: images in the storage of podman and buildah, whose layers are directories (overlay driver).

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::blobs::{Blobs, FoundDocument, bounded};
use super::{layout, settings};
use crate::oci::{
    BlobDigest, Descriptor, ImageLimits, LayerEntry, LayerVisitor, Manifest, Metadata, NodeKind,
    OciError,
};
use crate::sys::root::{FileType, Meta, Root, Walked};

/// Upper bound of a list of images or layers (bytes).
const LIST_MAX: u64 = 64 << 20;

/// An image in the storage of one user.
pub(super) struct Storage {
    root: PathBuf,
    manifest: Manifest,
    config: Vec<u8>,
    /// The IDs of the layers, which name their directories, by DiffID.
    layers: BTreeMap<BlobDigest, String>,
}

#[derive(Deserialize)]
struct StoredImage {
    id: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    names: Vec<String>,
    layer: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StoredLayer {
    id: String,
    #[serde(default)]
    parent: String,
    diff_digest: Option<BlobDigest>,
    #[serde(default)]
    diff_size: u64,
}

impl Storage {
    /// Finds an image by name, by ID, or by name and digest. `[overlay@DIR]` before the name chooses another storage,
    /// as in skopeo.
    pub(super) fn open(reference: &str) -> Result<Self> {
        let (root, name) = match reference.strip_prefix('[') {
            None => (settings::storage()?, reference),
            Some(rest) => {
                let (place, name) = rest
                    .split_once(']')
                    .context("expected ] after [overlay@DIR")?;
                let dir = place.split_once('@').map_or(place, |(_, dir)| dir);
                let dir = dir.split(['+', ':']).next().unwrap_or(dir);
                (PathBuf::from(dir), name)
            }
        };
        let images = root.join("overlay-images");
        if !fs_err::metadata(&images).is_ok_and(|it| it.is_dir()) {
            bail!(
                "{} is not a storage of podman with the driver overlay. Save the image instead, and give it as oci-archive:FILE:\n\n  podman save --format oci-archive -o FILE {name}",
                root.display()
            );
        }
        let list: Vec<StoredImage> = list(&images.join("images.json"))?;
        let image = list.iter().find(|it| it.is(name));
        let image = image.with_context(|| {
            format!(
                "there is no image {name} in {}. To list the images, type: podman images",
                root.display()
            )
        })?;
        let stored: Vec<StoredLayer> = self::list(&root.join("overlay-layers/layers.json"))?;
        let (mut descriptors, mut layers) = (Vec::new(), BTreeMap::new());
        let mut next = image.layer.as_str();
        while !next.is_empty() {
            let layer = stored.iter().find(|it| it.id == next);
            let layer = layer.with_context(|| format!("there is no layer {next}"))?;
            let digest = layer.diff_digest.clone();
            let digest = digest.with_context(|| format!("the layer {next} has no digest"))?;
            descriptors.push(Descriptor::new(digest.clone(), layer.diff_size));
            layers.insert(digest, layer.id.clone());
            if descriptors.len() > ImageLimits::default().layers {
                bail!("the image has too many layers, or they lead in a circle");
            }
            next = &layer.parent;
        }
        descriptors.reverse();
        let key = format!("sha256:{}", image.id);
        let config = images
            .join(&image.id)
            .join(format!("={}", STANDARD.encode(&key)));
        let config = layout::open(&config).context("opening the config of the image")?;
        let config = bounded(config, ImageLimits::default().manifest_bytes)?;
        let digest: BlobDigest = key.parse()?;
        digest.check(&config).context("the config of the image")?;
        Ok(Self {
            root,
            manifest: Manifest {
                config: Descriptor::new(digest, config.len() as u64),
                layers: descriptors,
            },
            config,
            layers,
        })
    }
}

fn list<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = layout::open(path).with_context(advice)?;
    let bytes = bounded(file, LIST_MAX)?;
    serde_json::from_slice(&bytes).with_context(|| format!("parsing {}", path.display()))
}

/// Returns the operation that an error names, with advice for an ordinary user: files in a rootless storage can belong
/// to subordinate user IDs, and can then be unreadable outside the user namespace.
fn advice() -> String {
    if nix::unistd::geteuid().is_root() {
        return "reading the storage".to_owned();
    }
    "reading the storage. To read files of all users of a rootless storage, type podman unshare before the command"
        .to_owned()
}

impl StoredImage {
    /// Returns whether `name` refers to this image. `name` is a name with or without a tag, `NAME@DIGEST`, or the first
    /// 12 or more digits of an ID, with or without `@` in front.
    fn is(&self, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or(name);
        let tagged = match (last.contains(':'), name.split_once('@')) {
            (_, Some((repository, digest))) => {
                let is_of =
                    |it: &String| it.rsplit_once(':').is_some_and(|(it, _)| it == repository);
                return self.digest == digest && self.names.iter().any(is_of);
            }
            (true, None) => name.to_owned(),
            (false, None) => format!("{name}:latest"),
        };
        let is_short = |it: &String| {
            let rest = it.strip_suffix(&tagged);
            rest.is_some_and(|rest| rest.is_empty() || rest == "localhost/")
        };
        let id = name.strip_prefix('@').unwrap_or(name);
        let is_id = id.len() >= 12 && id.bytes().all(|it| it.is_ascii_hexdigit());
        self.names.iter().any(is_short) || (is_id && self.id.starts_with(id))
    }
}

impl Blobs for Storage {
    fn manifest(&self) -> Result<FoundDocument> {
        Ok(FoundDocument::Manifest {
            manifest: self.manifest.clone(),
            config: self.config.clone(),
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        bail!("the layer {} is not stored as an archive", blob.digest)
    }

    fn visit(&self, layer: &Descriptor, visitor: &mut dyn LayerVisitor) -> Result<bool, OciError> {
        let id = self.layers.get(&layer.digest).map_or("", String::as_str);
        let failed = |error: anyhow::Error| OciError::Document(format!("{error:#}"));
        let dir = self.root.join("overlay").join(id);
        if fs_err::metadata(dir.join("composefs-data")).is_ok() {
            let what = "a storage with composefs (use podman save --format oci-archive)";
            return Err(OciError::Unsupported(what.into()));
        }
        let root = Root::open(&dir.join("diff"));
        let root = root.with_context(advice).map_err(failed)?;
        let walked = root.walk("").with_context(advice).map_err(failed)?;
        let mut reading = Reading {
            root: &root,
            visitor,
            number: 0,
            inodes: BTreeMap::new(),
        };
        if root.is_opaque("").map_err(|it| failed(it.into()))? {
            reading.whiteout(Path::new(".wh..wh..opq"))?;
        }
        for entry in walked {
            reading.entry(&entry).map_err(|error| match error {
                OciError::Io(error) => failed(anyhow::Error::from(error).context(advice())),
                error => error,
            })?;
        }
        Ok(true)
    }

    fn has_digests(&self) -> bool {
        false
    }
}

/// The reading of a layer's directory: passes its files to `visitor` as the entries of a layer.
struct Reading<'r> {
    root: &'r Root,
    visitor: &'r mut dyn LayerVisitor,
    number: u32,
    /// The first name of each file with several names, by inode number.
    inodes: BTreeMap<u64, Vec<u8>>,
}

impl Reading<'_> {
    fn entry(&mut self, walked: &Walked) -> Result<(), OciError> {
        let Walked { path, meta } = walked;
        let name = path.clone().into_os_string().into_vec();
        let fail = |error| OciError::Io(io::Error::other(error));
        let mut target = Vec::new();
        let kind = match meta.kind {
            // A whiteout of overlayfs: a layer's archive has a file `.wh.NAME` instead.
            FileType::CharDevice if meta.rdev == 0 => {
                let removed = path.file_name().unwrap_or_default();
                let mut whiteout = std::ffi::OsString::from(".wh.");
                whiteout.push(removed);
                return self.whiteout(&path.with_file_name(whiteout));
            }
            FileType::CharDevice => NodeKind::CharDevice,
            FileType::BlockDevice => NodeKind::BlockDevice,
            FileType::Fifo => NodeKind::Fifo,
            FileType::Dir => NodeKind::Dir,
            FileType::Socket => return Ok(()),
            FileType::Symlink => {
                let link = self.root.read_link(path).map_err(fail)?;
                target = link.unwrap_or_default().into_os_string().into_vec();
                NodeKind::Symlink
            }
            FileType::File => match self.inodes.get(&meta.ino) {
                Some(first) => {
                    target.clone_from(first);
                    NodeKind::HardLink
                }
                None => NodeKind::File,
            },
        };
        if kind == NodeKind::File && meta.nlink > 1 {
            self.inodes.insert(meta.ino, name.clone());
        }
        let file = if kind == NodeKind::File {
            self.root.open_file(path).map_err(fail)?
        } else {
            None
        };
        self.hand_over(name, kind, target, meta, file)?;
        if kind == NodeKind::Dir && self.root.is_opaque(path).map_err(fail)? {
            self.whiteout(&path.join(".wh..wh..opq"))?;
        }
        Ok(())
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), OciError> {
        let meta = Meta {
            kind: FileType::File,
            mode: 0,
            size: 0,
            dev: 0,
            ino: 0,
            uid: 0,
            gid: 0,
            nlink: 1,
            mtime: 0,
            rdev: 0,
        };
        let name = path.as_os_str().to_owned().into_vec();
        self.hand_over(name, NodeKind::File, Vec::new(), &meta, None)
    }

    fn hand_over(
        &mut self,
        path: Vec<u8>,
        kind: NodeKind,
        target: Vec<u8>,
        meta: &Meta,
        file: Option<std::fs::File>,
    ) -> Result<(), OciError> {
        let entry = LayerEntry {
            path,
            kind,
            meta: Metadata {
                mode: meta.mode,
                uid: meta.uid,
                gid: meta.gid,
                mtime: meta.mtime,
                size: if kind == NodeKind::File { meta.size } else { 0 },
            },
            target,
            number: self.number,
            data: 0,
        };
        self.number = self.number.saturating_add(1);
        match file {
            Some(file) => {
                let mut body = BufReader::with_capacity(128 << 10, file);
                self.visitor.entry(&entry, &mut body)
            }
            None => self.visitor.entry(&entry, &mut io::empty()),
        }
    }
}
