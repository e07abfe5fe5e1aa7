// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result cache: a verified initramfs, kept for the next build of the same inputs.
//!
//! An entry is one file, `KEY.initramfs`, that appears by a rename; two builds that share the directory disturb nobody, and
//! the later of two that made the same entry replaces it. What is in the directory is hostile until it is looked at: an
//! entry is copied into the tree, never more than [`SIZE_MAX`] bytes and only of a regular file, compared with the digests
//! that it carries on the way, and the copy is verified as if dracut had made it. One that fails is removed, and dracut
//! runs.
//!
//! What no look can tell is whether an initramfs that would boot is the one that dracut made: its digests are beside it, and
//! whoever can write to the directory can write both. Downloads are checked against somebody else's signature, entries are
//! not. So the directory alone, which builds mount for downloads, is not enough: the user asks for this cache by name.
//!
//! [`ENTRIES`] stay, those that were made or taken last. A directory that would go with the image keeps nothing, and is said.

mod entry;
mod key;
mod tree;

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

pub use self::entry::Notes;
pub use self::key::{Inputs, Key};
use crate::initramfs::{self, Inventory, Kind, Limits};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::sys::stop::Stopped;

/// How many entries stay.
pub const ENTRIES: usize = 16;

/// The largest entry (bytes).
pub const SIZE_MAX: u64 = 1 << 30;

/// How the name of an entry ends.
const ENTRY: &str = ".initramfs";

/// How the name of half an entry ends.
const PART: &str = ".part";

/// Half an entry that nobody has written to for so long belongs to a killed run.
const PART_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Halves of one entry at the same time.
const PARTS_MAX: u32 = 1000;

/// A directory of verified initramfs files.
pub struct Cache {
    door: Root,
    /// Whether entries are taken; not any more after one that was bad.
    is_trusted: Cell<bool>,
}

impl Cache {
    /// The cache in `dir`, which is a directory of this machine and not of `root`. `None`, with a warning, where it cannot
    /// be used.
    pub fn open(root: &Root, dir: &Path) -> Option<Self> {
        match Self::at(root, dir) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!("no initramfs is taken from a cache or kept there: {error:#}");
                None
            }
        }
    }

    fn at(root: &Root, dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).context("finding the cache directory")?;
        if root.is_host() && !is_mounted(root, &dir)? {
            bail!(
                "{} is part of this image, and the next build would not find it. Mount it: RUN --mount=type=cache,target={} …",
                dir.display(),
                dir.display()
            );
        }
        fs_err::create_dir_all(&dir)?;
        Ok(Self {
            door: Root::open(&dir)?,
            is_trusted: Cell::new(true),
        })
    }

    /// The key of what dracut would make now. `None`, with a warning, where it cannot be known.
    ///
    /// # Errors
    /// [`Stopped`] only.
    pub fn key(&self, exec: &Exec, inputs: &Inputs) -> Result<Option<Key>> {
        match Key::new(exec, inputs) {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.is::<Stopped>() => Err(error),
            Err(error) => {
                tracing::warn!("no initramfs is taken from the cache or kept there: {error:#}");
                Ok(None)
            }
        }
    }

    /// Copies the initramfs of this key to `path`, which is not there. `None` where there is none that is whole.
    pub fn take(&self, key: &Key, root: &Root, path: &str) -> Option<Notes> {
        if !self.is_trusted.get() {
            return None;
        }
        let read = || -> Result<Option<Notes>> {
            let Some(file) = self.door.open_file(name(key))? else {
                return Ok(None);
            };
            let notes = entry::read(&file, key, root, path)?;
            if let Err(error) = file.set_modified(SystemTime::now()) {
                tracing::debug!("noting that {} was taken: {error}", name(key));
            }
            Ok(Some(notes))
        };
        read().unwrap_or_else(|error| {
            let name = name(key);
            tracing::warn!("{name} in the cache is damaged, and goes: {error:#}");
            self.remove(&name);
            None
        })
    }

    /// Removes the entry of this key, and takes none any more: it is not what it should be.
    pub fn forget(&self, key: &Key) {
        self.is_trusted.set(false);
        self.remove(&name(key));
    }

    /// Keeps the file `path` under this key if its SHA-256 is `sha256`. Returns the path of a file in it that the key does
    /// not cover; then it is not kept.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn keep(
        &self,
        key: &Key,
        root: &Root,
        path: &str,
        sha256: &str,
        notes: &Notes,
    ) -> Result<Option<String>> {
        let open = || root.open_file(path)?.context("it is gone");
        if let Some(taken) = taken_from_elsewhere(root, &open()?)? {
            return Ok(Some(taken));
        }
        let (part, file) = self.part(key)?;
        let written = || -> Result<()> {
            entry::write(open()?, key, sha256, notes, &file)?;
            // A rename does not replace it.
            if self.door.is_dir(name(key))? {
                self.door.remove_tree(name(key))?;
            }
            self.door.rename(&part, name(key))?;
            Ok(self.door.sync_dir("")?)
        };
        if let Err(error) = written() {
            self.remove(&part);
            return Err(error);
        }
        self.tidy()?;
        Ok(None)
    }

    /// A new file for half an entry, and its name.
    fn part(&self, key: &Key) -> Result<(String, File)> {
        let names = (0..PARTS_MAX).map(|number| format!("{}.{number}{PART}", key.as_str()));
        for name in names {
            match self.door.create_file(&name, 0o600) {
                Ok(file) => return Ok((name, file)),
                Err(_) if self.door.lstat(&name)?.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("{PARTS_MAX} unfinished entries of one key; empty the cache directory")
    }

    /// Removes what killed runs left, and the entries that are too many.
    fn tidy(&self) -> Result<(), root::Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs() as i64);
        let mut entries = Vec::new();
        for (name, _) in self.door.list("")? {
            let name = name.to_string_lossy().into_owned();
            let Some(meta) = self.door.lstat(&name)? else {
                continue;
            };
            let is_old = now.saturating_sub(meta.mtime) > PART_AGE.as_secs() as i64;
            if name.ends_with(PART) && is_old {
                self.remove(&name);
            } else if name.strip_suffix(ENTRY).is_some_and(Key::is_one) {
                entries.push((meta.mtime, name));
            }
        }
        entries.sort();
        let too_many = entries.len().saturating_sub(ENTRIES);
        entries[..too_many]
            .iter()
            .for_each(|(_, name)| self.remove(name));
        Ok(())
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.door.remove_tree(name) {
            tracing::warn!("removing {name} from the cache: {error}");
        }
    }
}

fn name(key: &Key) -> String {
    format!("{}{ENTRY}", key.as_str())
}

/// Whether a directory, or one above it, is mounted, and so no part of the image.
fn is_mounted(root: &Root, dir: &Path) -> Result<bool, root::Error> {
    for dir in dir.ancestors().filter(|dir| dir.parent().is_some()) {
        if root.is_mount_point(dir)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file of the image that the tree has too, at a place that the key does not cover.
fn taken_from_elsewhere(root: &Root, image: &File) -> Result<Option<String>> {
    let limits = Limits::default();
    let mut inventory = Inventory::new(&limits);
    initramfs::read(image, &limits, &mut inventory)?;
    for (path, node) in inventory.nodes() {
        let path = Path::new(OsStr::from_bytes(path));
        if node.kind == Kind::File && !tree::is_covered(path) && root.is_file(path)? {
            return Ok(Some(path.display().to_string()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_the_image_is_no_cache() {
        let host = Root::open(Path::new("/")).unwrap();
        assert!(is_mounted(&host, Path::new("/proc/nowhere/x")).unwrap());
        assert!(!is_mounted(&host, Path::new("/etc/nowhere/x")).unwrap());
        let error = Cache::at(&host, Path::new("/etc/nowhere/x")).err().unwrap();
        assert_eq!(
            error.to_string(),
            "/etc/nowhere/x is part of this image, and the next build would not find it. Mount it: RUN --mount=type=cache,target=/etc/nowhere/x …"
        );
        assert!(!Path::new("/etc/nowhere").exists());
    }
}
