// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removal from the tree.
//!
//! Links are removed, never followed. Mounted file systems (bind and cache mounts of a `RUN` line) belong to the build,
//! not to the image: they are never emptied or unmounted.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::resolve::PathResolver;
use super::tree::{Entries, MAX_DEPTH, subdir};
use super::write::{TEMP_PREFIX, TEMP_SUFFIX};
use super::{Cause, FileType, Result, Root};

impl Root {
    /// Removes the temporary files that killed runs of [`Root::write`] left in a directory. No other process may write
    /// to this directory.
    pub fn remove_temporaries(&self, dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        for (name, kind) in self.list(dir)? {
            let text = name.to_string_lossy();
            let is_ours = text.starts_with(TEMP_PREFIX) && text.ends_with(TEMP_SUFFIX);
            if is_ours && kind == FileType::File {
                self.remove_file(dir.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes the entry `path`, which must not be a directory. Returns `false` if it did not exist.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let done = self.entry(path).and_then(|(dir, name)| {
            Ok(unlinkat(dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?)
        });
        Ok(self.or_absent_cause("removing", path, done)?.is_some())
    }

    /// Removes `path` and everything below it. Returns `false` if it did not exist.
    ///
    /// A mount point at or below `path` is an error that names the mount point, whose content is not changed. Entries
    /// that were visited before the mount point have been removed.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let mut sweep = Sweep::new(self, false);
        let done = self
            .entry(path)
            .and_then(|(dir, name)| sweep.remove(&dir, &name, None, 0));
        // If the parent directory of `path` was opened, `sweep.at` starts with the last component of `path`.
        let seen = match path.parent() {
            Some(dir) if sweep.at.file_name().is_some() => dir.join(&sweep.at),
            _ => path.to_path_buf(),
        };
        Ok(self.or_absent_cause("removing", &seen, done)?.is_some())
    }

    /// Empties the directory `path`. A directory that does not exist counts as empty.
    ///
    /// With `keep_other_devices`, mount points below `path` and their parent directories are kept, as by `ostree
    /// container commit`. Returns the kept mount points, relative to `path`. Without `keep_other_devices`, a mount
    /// point is an error as in [`Root::remove_tree`].
    pub fn remove_contents(
        &self,
        path: impl AsRef<Path>,
        keep_other_devices: bool,
    ) -> Result<Vec<PathBuf>> {
        let path = path.as_ref();
        let mut sweep = Sweep::new(self, keep_other_devices);
        if let Some(fd) = self.open_dir("emptying", path)? {
            sweep
                .empty(fd, 0)
                .map_err(|cause| self.error("removing", &path.join(&sweep.at), cause))?;
        }
        sweep.kept.sort();
        Ok(sweep.kept)
    }
}

/// The state of a removal: the current path, and the mount points that were kept.
struct Sweep {
    resolver: PathResolver,
    keep_mounts: bool,
    at: PathBuf,
    kept: Vec<PathBuf>,
}

impl Sweep {
    fn new(root: &Root, keep_mounts: bool) -> Self {
        Self {
            // For the layers of an image, opening fails before the resolver is used, so any value is correct.
            resolver: root
                .dir()
                .map_or(PathResolver::Walk, |(_, resolver)| resolver),
            keep_mounts,
            at: PathBuf::new(),
            kept: Vec::new(),
        }
    }

    /// Removes the content of a directory. After an error, `at` is the path where the error occurred.
    fn empty(&mut self, fd: OwnedFd, depth: usize) -> std::result::Result<(), Cause> {
        if depth > MAX_DEPTH {
            return Err(Cause::TooDeep { limit: MAX_DEPTH });
        }
        let entries = Entries::read(fd)?;
        for (name, kind) in entries.names {
            match self.remove(&entries.dir, &name, kind, depth) {
                Err(Cause::Os(Errno::ENOENT)) => {
                    self.at.pop();
                }
                done => done?,
            }
        }
        Ok(())
    }

    fn remove(
        &mut self,
        dir: &impl AsFd,
        name: &OsStr,
        kind: Option<FileType>,
        depth: usize,
    ) -> std::result::Result<(), Cause> {
        self.at.push(name);
        if self.resolver.is_mount(dir.as_fd(), name)? {
            return self.meet_mount();
        }
        let kind = match kind {
            Some(kind) => kind,
            None => FileType::from_mode(fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_mode),
        };
        let mut flag = UnlinkatFlags::NoRemoveDir;
        if kind == FileType::Dir {
            let kept = self.kept.len();
            self.empty(subdir(dir.as_fd(), name)?, depth + 1)?;
            if self.kept.len() > kept {
                self.at.pop();
                return Ok(());
            }
            flag = UnlinkatFlags::RemoveDir;
        }
        match unlinkat(dir, name, flag) {
            // The entry is a mount point that the resolver could not detect.
            Err(Errno::EBUSY) => return self.meet_mount(),
            done => done?,
        }
        self.at.pop();
        Ok(())
    }

    fn meet_mount(&mut self) -> std::result::Result<(), Cause> {
        if !self.keep_mounts {
            return Err(Cause::MountPoint);
        }
        self.kept.push(self.at.clone());
        self.at.pop();
        Ok(())
    }
}
