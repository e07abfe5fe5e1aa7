// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a program is inside the root.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::PATH;
use crate::sys::root::{self, Root};

/// What `which` sees: the tree behind the door, and none of the caller's environment.
pub(super) struct InRoot(pub(super) Root);

pub(super) struct InRootMeta(root::Meta);

impl which::sys::SysMetadata for InRootMeta {
    fn is_symlink(&self) -> bool {
        self.0.kind == root::Kind::Symlink
    }
    fn is_file(&self) -> bool {
        self.0.kind == root::Kind::File
    }
}

impl InRoot {
    fn meta(found: Result<Option<root::Meta>, root::Error>) -> io::Result<InRootMeta> {
        match found {
            Ok(Some(meta)) => Ok(InRootMeta(meta)),
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl which::sys::Sys for InRoot {
    type ReadDirEntry = std::fs::DirEntry;
    type Metadata = InRootMeta;

    fn is_windows(&self) -> bool {
        false
    }
    fn current_dir(&self) -> io::Result<PathBuf> {
        Ok("/".into())
    }
    fn home_dir(&self) -> Option<PathBuf> {
        None
    }
    fn env_split_paths(&self, paths: &OsStr) -> Vec<PathBuf> {
        std::env::split_paths(paths).collect()
    }
    fn env_path(&self) -> Option<OsString> {
        Some(PATH.into())
    }
    fn env_path_ext(&self) -> Option<OsString> {
        None
    }
    fn metadata(&self, path: &Path) -> io::Result<InRootMeta> {
        Self::meta(self.0.stat(path))
    }
    fn symlink_metadata(&self, path: &Path) -> io::Result<InRootMeta> {
        Self::meta(self.0.lstat(path))
    }
    fn read_dir(
        &self,
        _path: &Path,
    ) -> io::Result<Box<dyn Iterator<Item = io::Result<Self::ReadDirEntry>>>> {
        Ok(Box::new(std::iter::empty()))
    }
    fn is_valid_executable(&self, path: &Path) -> io::Result<bool> {
        Ok(matches!(self.0.stat(path), Ok(Some(meta)) if meta.mode & 0o111 != 0))
    }
}
