// SPDX-License-Identifier: MIT OR Apache-2.0
//! The private directories of one run inside the tree, and the lock against a second run.
//!
//! Packages are copied to `/run`, which is not part of a committed image. Temporary files of programs are created in
//! `/usr/lib`, on the same file system as the modules: a rename across file systems fails with "Invalid cross-device
//! link" (blue-build/cli#119).

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::journal;
use crate::plan::Refusal;
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};

const RUN: &str = "run/ostree-kernel";
const LOCK: &str = "run/ostree-kernel/lock";
/// The path of the log of all programs of this run, relative to the root. After a failure the log is kept.
const LOG: &str = "run/ostree-kernel/log";

const PACKAGES: &str = "run/ostree-kernel/packages";
const DOWNLOADS: &str = "run/ostree-kernel/downloads";

/// The directory for temporary files of programs, relative to the root.
pub const TMP: &str = "usr/lib/.ostree-kernel";

/// The private directories of this run, and the lock of the tree. On drop without [`close`](Self::close), that is,
/// after a failure, a log with content is kept, and the packages, temporary files and lock are removed.
pub struct Workspace {
    root: Root,
    lock: Option<Flock<File>>,
}

impl Workspace {
    /// Locks the tree, removes the packages and downloads that an earlier run has left, and creates the directory for
    /// packages.
    ///
    /// # Errors
    /// [`Refusal::Locked`] if another run holds the lock; [`Refusal::CannotWrite`] if the user may not write to the
    /// tree.
    pub fn open(root: &Root) -> Result<Self> {
        let lock = Self::lock(root)?;
        root.remove_tree(PACKAGES)?;
        root.remove_tree(DOWNLOADS)?;
        root.create_dir_all(PACKAGES, 0o700)?;
        Ok(Self {
            root: root.clone(),
            lock: Some(lock),
        })
    }

    fn lock(root: &Root) -> Result<Flock<File>> {
        loop {
            let file = Self::lock_file(root).map_err(|error| {
                if error.is_denied() {
                    Refusal::CannotWrite(error.to_string()).into()
                } else {
                    anyhow::Error::from(error)
                }
            })?;
            let file = file.context("opening the lock of the tree")?;
            if let Some(lock) = Self::take(root, file)? {
                return Ok(lock);
            }
        }
    }

    fn lock_file(root: &Root) -> root::Result<Option<File>> {
        root.create_dir_all(RUN, 0o755)?;
        if root.lstat(LOCK)?.is_none() {
            root.create_file(LOCK, 0o600)?;
        }
        root.open_file(LOCK)
    }

    /// Locks the file. Returns `None` if a run that has just ended has removed the file: a lock on an unlinked inode
    /// excludes nobody.
    fn take(root: &Root, file: File) -> Result<Option<Flock<File>>> {
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(
                |(_, errno)| match errno {
                    Errno::EWOULDBLOCK => Refusal::Locked(format!("/{LOCK}")).into(),
                    errno => anyhow::Error::from(errno).context(format!("locking /{LOCK}")),
                },
            )?;
        let held = lock.metadata()?;
        let is_held = |there: root::Meta| (there.dev, there.ino) == (held.dev(), held.ino());
        Ok(root.stat(LOCK)?.is_some_and(is_held).then_some(lock))
    }

    /// Creates the log, in which `exec` stores the command lines and the output of all programs.
    ///
    /// # Errors
    /// When the log cannot be created.
    pub fn log(&self, exec: &Exec) -> Result<()> {
        self.root.remove_file(LOG)?;
        exec.log_to(LOG, self.root.create_file(LOG, 0o600)?);
        Ok(())
    }

    /// Returns the directory for packages, relative to the root.
    pub fn packages(&self) -> &'static str {
        PACKAGES
    }

    /// Returns the directory for the downloads of `--from`, and for all downloads if the cache cannot be written,
    /// relative to the root.
    pub fn downloads(&self) -> &'static str {
        DOWNLOADS
    }

    /// Creates [`TMP`], or empties it, and returns its path, relative to the root.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn tmp(&self) -> Result<&'static str> {
        self.root.remove_tree(TMP)?;
        self.root.create_dir_all(TMP, 0o700)?;
        Ok(TMP)
    }

    /// Removes [`TMP`], so that the tree is verified without it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_tmp(&self) -> Result<()> {
        self.root.remove_tree(TMP)?;
        Ok(())
    }

    /// Removes the packages and [`TMP`].
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn empty(&self) -> Result<()> {
        self.remove_tmp()?;
        self.root.remove_tree(PACKAGES)?;
        Ok(())
    }

    /// Removes all files of the run and releases the lock. A committed image then contains none of these files.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn close(&mut self) -> Result<()> {
        self.empty()?;
        self.root.remove_tree(DOWNLOADS)?;
        self.root.remove_file(LOG)?;
        // This removes the lock's file, too. A run that starts now may create files in the directory, which is then
        // kept.
        match self.root.remove_tree(RUN) {
            Err(error) if error.errno() == Some(Errno::ENOTEMPTY) => {}
            done => _ = done?,
        }
        self.lock = None;
        Ok(())
    }
}

impl Workspace {
    /// Cleans up after a failure. Removes all files if no program was started and there is no journal of an earlier run,
    /// otherwise only the packages, the downloads, [`TMP`] and the lock.
    fn leave(&mut self) -> Result<()> {
        let is_empty =
            |path| -> Result<bool> { Ok(self.root.lstat(path)?.is_none_or(|meta| meta.size == 0)) };
        if is_empty(LOG)? && is_empty(journal::PATH)? {
            return self.close();
        }
        self.empty()?;
        self.root.remove_tree(DOWNLOADS)?;
        self.root.remove_file(LOCK)?;
        self.lock = None;
        Ok(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.lock.is_some()
            && let Err(error) = self.leave()
        {
            tracing::warn!("removing our temporary files: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_removed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut first = Workspace::open(&root).unwrap();
        let of_second = Workspace::lock_file(&root).unwrap().unwrap();
        first.close().unwrap();
        assert!(Workspace::take(&root, of_second).unwrap().is_none());
        let of_second = Workspace::lock_file(&root).unwrap().unwrap();
        first = Workspace::open(&root).unwrap();
        let refusal = Workspace::take(&root, of_second).unwrap_err();
        assert!(refusal.to_string().contains("running on this tree"));
        drop(first);
    }
}
