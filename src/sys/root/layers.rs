// SPDX-License-Identifier: MIT OR Apache-2.0
//! The read-only kind of root: the merged layers of an image.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use super::{Cause, FileType, Meta, OpenRoot, Result, Root, RootSource, Walked};
use super::{MAX_DEPTH, MAX_ENTRIES};

/// The merged layers of an image. Paths are relative to the root of the image, links are resolved inside it, and the
/// error numbers are those of the corresponding system calls.
pub trait Layers: fmt::Debug + Send + Sync {
    /// Returns the metadata of `path`; of the link itself, if the last component is one and `follow` is not set.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`.
    fn stat(&self, path: &Path, follow: bool) -> std::result::Result<Meta, Errno>;

    /// Returns the target of a link.
    ///
    /// # Errors
    /// As [`stat`](Self::stat), and `EINVAL` if the path is not a link.
    fn read_link(&self, path: &Path) -> std::result::Result<OsString, Errno>;

    /// Returns the names in a directory, sorted, with their types.
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    fn list(&self, path: &Path) -> std::result::Result<Vec<(OsString, FileType)>, Errno>;

    /// Opens a regular file. Its position is at the start, and is not shared with another open file.
    ///
    /// # Errors
    /// As [`stat`](Self::stat), and when the bytes cannot be loaded.
    fn open(&self, path: &Path) -> std::result::Result<File, Cause>;

    /// Returns the first bytes of a regular file, at most `count`. This is cheaper than opening the file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn head(&self, path: &Path, count: usize) -> std::result::Result<Vec<u8>, Cause>;

    /// Returns the SHA-256 of a regular file, if the digest is known without reading the file.
    fn sha256(&self, path: &Path) -> Option<[u8; 32]>;

    /// Loads the bytes of these files together, so that opening them is cheap.
    ///
    /// # Errors
    /// When they cannot be loaded.
    fn load(&self, paths: &[PathBuf]) -> std::result::Result<(), Cause>;
}

impl Root {
    /// Returns a root with the merged layers of an image. `name` is shown in messages instead of a path.
    pub fn of_layers(name: &str, layers: Box<dyn Layers>) -> Self {
        Self(Arc::new(OpenRoot {
            source: RootSource::Layers(layers),
            path: PathBuf::from(name),
        }))
    }

    pub(super) fn layers(&self) -> Option<&dyn Layers> {
        match &self.0.source {
            RootSource::Layers(layers) => Some(layers.as_ref()),
            RootSource::Dir { .. } => None,
        }
    }

    /// Returns whether this root consists of the merged layers of an image and is not a directory.
    pub fn is_image(&self) -> bool {
        self.layers().is_some()
    }

    /// Returns the SHA-256 of the file that `path` leads to, if the digest is known without reading the file.
    pub fn known_sha256(&self, path: impl AsRef<Path>) -> Option<[u8; 32]> {
        self.layers()?.sha256(path.as_ref())
    }

    /// Loads the bytes of files that will be opened, all together. Does nothing if the root is a directory.
    ///
    /// # Errors
    /// When they cannot be loaded.
    pub fn load(&self, paths: &[PathBuf]) -> Result<()> {
        let Some(layers) = self.layers().filter(|_| !paths.is_empty()) else {
            return Ok(());
        };
        layers
            .load(paths)
            .map_err(|cause| self.error("loading", &paths[0], cause))
    }

    /// Returns everything below `path` in merged layers; see [`Root::walk`].
    pub(super) fn walk_layers(&self, layers: &dyn Layers, path: &Path) -> Result<Vec<Walked>> {
        let mut found = Vec::new();
        let mut at = PathBuf::new();
        match descend(layers, path, &mut at, 0, &mut found) {
            Ok(()) => Ok(found),
            Err(Cause::Os(Errno::ENOENT | Errno::ENOTDIR)) if found.is_empty() => {
                match self.stat(path)? {
                    Some(meta) => {
                        let (found, wanted) = (meta.kind, FileType::Dir);
                        Err(self.error("walking", path, Cause::WrongKind { found, wanted }))
                    }
                    None => Ok(found),
                }
            }
            Err(cause) => Err(self.error("walking", &path.join(&at), cause)),
        }
    }
}

fn descend(
    layers: &dyn Layers,
    path: &Path,
    at: &mut PathBuf,
    depth: usize,
    found: &mut Vec<Walked>,
) -> std::result::Result<(), Cause> {
    if depth > MAX_DEPTH {
        return Err(Cause::TooDeep { limit: MAX_DEPTH });
    }
    let here = path.join(&at);
    for (name, kind) in layers.list(&here)? {
        if found.len() == MAX_ENTRIES {
            return Err(Cause::TooMany { limit: MAX_ENTRIES });
        }
        at.push(&name);
        found.push(Walked {
            path: at.clone(),
            meta: layers.stat(&here.join(&name), false)?,
        });
        if kind == FileType::Dir {
            descend(layers, path, at, depth + 1, found)?;
        }
        at.pop();
    }
    Ok(())
}
