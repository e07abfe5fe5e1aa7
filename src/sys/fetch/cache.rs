// SPDX-License-Identifier: MIT OR Apache-2.0
//! Downloaded files, kept.
//!
//! A file lies under its own SHA-256, and what a URL gave last under the SHA-256 of the URL with
//! `.json`. Both appear by a rename, so builds that share the directory disturb nobody: there is no
//! lock in it, and half a download has a name of its own.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sys::root::Root;

/// How the name of half a download ends.
const PART: &str = ".part";

/// A half download that nobody has written to for so long belongs to a killed run.
const PART_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Half downloads of one URL at the same time.
const PARTS_MAX: u32 = 1000;

/// What is noted of a URL is a few hundred bytes.
const ENTRY_MAX: u64 = 64 * 1024;

/// What a URL gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The URL.
    pub url: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The server's name for these bytes.
    pub etag: Option<String>,
    /// When the server says that they changed.
    pub last_modified: Option<String>,
}

/// A directory of downloads.
pub struct Cache {
    door: Root,
    dir: String,
}

impl Cache {
    /// The directory `dir`, or `private` in `root` where `dir` cannot be written.
    pub fn open(dir: &Path, root: &Root, private: &str) -> Result<Self> {
        match Self::shared(dir) {
            Ok(cache) => Ok(cache),
            Err(error) => {
                tracing::debug!("no cache: {error:#}");
                root.create_dir_all(private, 0o700)?;
                Ok(Self {
                    door: root.clone(),
                    dir: private.to_owned(),
                })
            }
        }
    }

    fn shared(dir: &Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let cache = Self {
            door: Root::open(dir)?,
            dir: String::new(),
        };
        // Whether it can be written is known by doing it.
        let (name, _) = cache.part("probe")?;
        cache.drop_part(&name)?;
        cache.sweep()?;
        Ok(cache)
    }

    /// A new file for half a download of `url`, and its name.
    pub fn part(&self, url: &str) -> Result<(String, File)> {
        let key = hex::encode(Sha256::digest(url));
        for number in 0..PARTS_MAX {
            let name = format!("{key}.{number}{PART}");
            if self.door.lstat(self.path(&name))?.is_some() {
                continue;
            }
            match self.door.create_file(self.path(&name), 0o600) {
                Ok(file) => return Ok((name, file)),
                // Another build was faster.
                Err(_) if self.door.lstat(self.path(&name))?.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("{PARTS_MAX} unfinished downloads of {url}; empty the cache directory")
    }

    /// Removes half a download.
    pub fn drop_part(&self, name: &str) -> Result<()> {
        self.door.remove_file(self.path(name))?;
        Ok(())
    }

    /// Keeps a whole download. An older file of the same URL goes.
    pub fn keep(&self, part: &str, entry: &Entry) -> Result<()> {
        let old = self.entry(&entry.url)?;
        self.door
            .rename(self.path(part), self.path(&entry.sha256))?;
        let json = serde_json::to_vec(entry).context("noting what was downloaded")?;
        self.door
            .write(self.path(&Self::note(&entry.url)), &json, 0o600)?;
        match old.filter(|old| old.sha256 != entry.sha256) {
            Some(old) => self.forget(&old.sha256),
            None => Ok(()),
        }
    }

    /// The file with this digest.
    pub fn object(&self, sha256: &str) -> Result<Option<File>> {
        Ok(self.door.open_file(self.path(sha256))?)
    }

    /// What the URL gave last, if the file is still there.
    pub fn known(&self, url: &str) -> Result<Option<(Entry, File)>> {
        let Some(entry) = self.entry(url)? else {
            return Ok(None);
        };
        let file = self.object(&entry.sha256)?;
        Ok(file.map(|file| (entry, file)))
    }

    /// Removes the file with this digest.
    pub fn forget(&self, sha256: &str) -> Result<()> {
        self.door.remove_file(self.path(sha256))?;
        Ok(())
    }

    /// A note that cannot be read is none.
    fn entry(&self, url: &str) -> Result<Option<Entry>> {
        let bytes = self.door.read(self.path(&Self::note(url)), ENTRY_MAX)?;
        let entry = bytes.and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok());
        let is_digest =
            |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(entry.filter(|entry| entry.url == url && is_digest(&entry.sha256)))
    }

    fn note(url: &str) -> String {
        format!("{}.json", hex::encode(Sha256::digest(url)))
    }

    fn path(&self, name: &str) -> String {
        match self.dir.as_str() {
            "" => name.to_owned(),
            dir => format!("{dir}/{name}"),
        }
    }

    /// Removes what killed runs left.
    fn sweep(&self) -> Result<()> {
        for (name, _) in self.door.list("")? {
            let name = name.to_string_lossy();
            if !name.ends_with(PART) {
                continue;
            }
            let Ok(Some(file)) = self.door.open_file(&*name) else {
                continue;
            };
            let modified = file.metadata().and_then(|meta| meta.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if age.is_ok_and(|age| age > PART_AGE) {
                self.drop_part(&name)?;
            }
        }
        Ok(())
    }
}
