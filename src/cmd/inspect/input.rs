// SPDX-License-Identifier: MIT OR Apache-2.0
//! The initramfs that `inspect` reads: a file of the system, a file of the tree in `--root`, or the initramfs in a
//! container image.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::Args;
use crate::cmd::page::Global;
use crate::cmd::reading::first_kernel;
use crate::initramfs::{Bodies, Facts, Inventory, Keep, Limits, ReadError, Segment, read_into};
use crate::inspect::Shown;
use crate::steps::verify::open_image;
use crate::sys::root::Root;

/// An opened initramfs.
pub(super) struct ImageInput {
    pub(super) name: String,
    pub(super) file: File,
    /// The size of the file (bytes).
    pub(super) bytes: u64,
    /// The container image that contains the initramfs; `None` for a file.
    pub(super) root: Option<Root>,
}

/// The part of an initramfs that could be read: all of it if `failed` is `None`.
pub(super) struct ReadPart {
    pub(super) segments: Vec<Segment>,
    pub(super) inventory: Inventory,
    pub(super) facts: Facts,
    pub(super) failed: Option<ReadError>,
}

impl ImageInput {
    pub(super) fn open(word: &OsStr, args: &Args, global: &Global) -> Result<Self> {
        if let Some(opened) = args.reading.open_if_image(word)? {
            return Self::in_image(opened.root);
        }
        let path = Path::new(word);
        let file = if global.root == Path::new("/") {
            open_image(path)?
        } else {
            let root = Root::open(&global.root)?;
            let missing = || {
                anyhow!(
                    "there is no {} in {}",
                    path.display(),
                    root.path().display()
                )
            };
            root.open_file(path)?.ok_or_else(missing)?
        };
        let name = Shown(path.as_os_str().as_bytes()).to_string();
        let bytes = file
            .metadata()
            .with_context(|| format!("looking at {name}"))?;
        Ok(Self {
            bytes: bytes.len(),
            name,
            file,
            root: None,
        })
    }

    /// Opens the initramfs of the first kernel in a container image.
    pub(super) fn in_image(root: Root) -> Result<Self> {
        let image = root.path().display().to_string();
        let kver = first_kernel(&root).with_context(|| format!("inspecting {image}"))?;
        let path = format!("{}/initramfs.img", kver.dir());
        let file = root.open_file(&path)?;
        let file = file.with_context(|| format!("there is no {path} in {image}"))?;
        let name = format!("{image}: {path}");
        let bytes = file.metadata();
        Ok(Self {
            bytes: bytes.with_context(|| format!("looking at {name}"))?.len(),
            name,
            file,
            root: Some(root),
        })
    }

    /// Reads the names and the small files, up to the end of the initramfs or to the first error. With `digests`, also
    /// computes the digest of each file.
    pub(super) fn read_names(&self, digests: bool) -> ReadPart {
        let keep = Keep {
            digests,
            ..Keep::default()
        };
        let mut inventory = Inventory::keeping(&Limits::default(), keep);
        let mut segments = Vec::new();
        let read = read_into(
            &self.file,
            &Limits::default(),
            &mut inventory,
            &mut segments,
        );
        ReadPart {
            segments,
            inventory,
            facts: Facts::default(),
            failed: read.err(),
        }
    }

    /// Reads names and small files as [`read_names`](Self::read_names) does, and the facts that `bodies` collects about
    /// programs and kernel modules.
    pub(super) fn read_with(&self, bodies: &mut Bodies) -> ReadPart {
        let limits = Limits::default();
        let mut inventory = Inventory::new(&limits);
        let mut segments = Vec::new();
        let visitor = &mut inventory.with(bodies);
        let read = read_into(&self.file, &limits, visitor, &mut segments);
        ReadPart {
            segments,
            inventory,
            facts: bodies.take_facts(),
            failed: read.err(),
        }
    }

    /// Reads the same as [`read_names`](Self::read_names). Fails if the initramfs cannot be read to its end.
    pub(super) fn read(&self, digests: bool) -> Result<ReadPart> {
        self.whole(self.read_names(digests))
    }

    pub(super) fn whole(&self, mut content: ReadPart) -> Result<ReadPart> {
        match content.failed.take() {
            None => Ok(content),
            Some(error) => Err(self.unreadable(error)),
        }
    }

    pub(super) fn unreadable(&self, error: ReadError) -> anyhow::Error {
        anyhow::Error::from(error).context(format!("reading {}", self.name))
    }
}
