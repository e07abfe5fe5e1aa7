// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cache of downloaded files.
//!
//! A file is stored under its own SHA-256. A note on the last download of a URL is stored under the SHA-256 of the URL,
//! with the suffix `.json`. Files and notes are created by a rename, and each unfinished download has its own name, so
//! that builds can share the directory without a lock.
//!
//! The directory may contain other files. Therefore [`tidy`], which removes superseded files and unfinished downloads
//! of earlier runs, removes only regular files whose names have exactly the form of names in a cache. [`tidy`] must not
//! be called while the run can still be refused.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sys::root::{FileType, Root};

/// The suffix of an unfinished download.
const PART: &str = ".part";

/// The suffix of a note on a URL.
const NOTE: &str = ".json";

/// An unfinished download that has not changed for this long belongs to a killed run.
const PART_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Upper bound of unfinished downloads of one URL.
const PARTS_MAX: u32 = 1000;

/// Upper bound of a note (bytes). A note has a few hundred.
const ENTRY_MAX: u64 = 64 * 1024;

/// A note on the last download of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The URL.
    pub url: String,
    /// SHA-256 of the downloaded file.
    pub sha256: String,
    /// The ETag that the server sent with the file.
    pub etag: Option<String>,
    /// The Last-Modified date that the server sent with the file.
    pub last_modified: Option<String>,
    /// SHA-256 of the earlier files of the URL. [`tidy`] removes these files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
}

/// A directory of downloads.
pub struct Cache {
    /// The root through which the directory is accessed.
    door: Root,
    /// The directory, relative to `door`; empty if it is `door` itself.
    dir: String,
}

impl Cache {
    /// Opens the directory `dir`, or the directory `private` of `root` if `dir` is not writable. Creates a missing
    /// directory.
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
        // The directory is writable if a file can be created.
        let (name, _) = cache.part("probe")?;
        cache.drop_part(&name)?;
        Ok(cache)
    }

    /// Creates a file for a new download of `url`. Returns its name and the file.
    pub fn part(&self, url: &str) -> Result<(String, File)> {
        let key = hex::encode(Sha256::digest(url));
        for number in 0..PARTS_MAX {
            let name = format!("{key}.{number}{PART}");
            if self.door.lstat(self.path(&name))?.is_some() {
                continue;
            }
            match self.door.create_file(self.path(&name), 0o600) {
                Ok(file) => return Ok((name, file)),
                // Another build has created it first.
                Err(_) if self.door.lstat(self.path(&name))?.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("{PARTS_MAX} unfinished downloads of {url}; empty the cache directory")
    }

    /// Removes an unfinished download.
    pub fn drop_part(&self, name: &str) -> Result<()> {
        self.door.remove_file(self.path(name))?;
        Ok(())
    }

    /// Stores a finished download. An older file of the same URL is noted as superseded.
    pub fn keep(&self, part: &str, mut entry: Note) -> Result<()> {
        if let Some(old) = self.entry(&entry.url)? {
            entry.superseded = old.superseded;
            entry.superseded.push(old.sha256);
            entry.superseded.retain(|sha256| *sha256 != entry.sha256);
        }
        self.door
            .rename(self.path(part), self.path(&entry.sha256))?;
        self.note(&entry)
    }

    fn note(&self, entry: &Note) -> Result<()> {
        let json = serde_json::to_vec(entry).context("writing the note on a download")?;
        let name = Self::note_name(&entry.url);
        Ok(self.door.write(self.path(&name), &json, 0o600)?)
    }

    /// Opens the file with this SHA-256; `None` if it is not in the cache.
    pub fn object(&self, sha256: &str) -> Result<Option<File>> {
        Ok(self.door.open_file(self.path(sha256))?)
    }

    /// Returns the note on a URL with its file, if the file still exists.
    pub fn known(&self, url: &str) -> Result<Option<(Note, File)>> {
        let Some(entry) = self.entry(url)? else {
            return Ok(None);
        };
        let file = self.object(&entry.sha256)?;
        Ok(file.map(|file| (entry, file)))
    }

    /// Removes the file with this SHA-256.
    pub fn forget(&self, sha256: &str) -> Result<()> {
        self.door.remove_file(self.path(sha256))?;
        Ok(())
    }

    /// Reads the note about a URL. A note that cannot be parsed counts as missing.
    fn entry(&self, url: &str) -> Result<Option<Note>> {
        let name = self.path(&Self::note_name(url));
        if !self.door.is_file(&name)? {
            return Ok(None);
        }
        let bytes = self.door.read(name, ENTRY_MAX)?;
        Ok(bytes
            .and_then(|bytes| Self::parse(&bytes))
            .filter(|entry| entry.url == url))
    }

    fn parse(bytes: &[u8]) -> Option<Note> {
        let mut entry: Note = serde_json::from_slice(bytes).ok()?;
        entry.superseded.retain(|text| is_digest(text));
        is_digest(&entry.sha256).then_some(entry)
    }

    fn note_name(url: &str) -> String {
        format!("{}{NOTE}", hex::encode(Sha256::digest(url)))
    }

    fn path(&self, name: &str) -> String {
        match self.dir.as_str() {
            "" => name.to_owned(),
            dir => format!("{dir}/{name}"),
        }
    }

    /// Removes an unfinished download if it is older than [`PART_AGE`].
    fn remove_if_old(&self, name: &str) -> Result<()> {
        let modified = self.door.lstat(name)?.map_or(0, |meta| meta.mtime);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs() as i64);
        if now.saturating_sub(modified) > PART_AGE.as_secs() as i64 {
            self.drop_part(name)?;
        }
        Ok(())
    }

    /// Removes the files that a note lists as superseded, and their digests from the note.
    fn remove_superseded(&self, note: &str) -> Result<()> {
        let bytes = self.door.read(note, ENTRY_MAX)?.unwrap_or_default();
        let Some(mut entry) = Self::parse(&bytes) else {
            return Ok(());
        };
        if entry.superseded.is_empty() || Self::note_name(&entry.url) != note {
            return Ok(());
        }
        for old in std::mem::take(&mut entry.superseded) {
            if self.is_own_file(&old)? {
                self.forget(&old)?;
            }
        }
        self.note(&entry)
    }

    fn is_own_file(&self, name: &str) -> Result<bool> {
        let meta = self.door.lstat(name)?;
        Ok(meta.is_some_and(|meta| meta.kind == FileType::File))
    }
}

/// Removes unfinished downloads of killed runs and superseded files from the cache directory `dir`.
///
/// # Errors
/// When the directory cannot be read, or a file cannot be removed.
pub fn tidy(dir: &Path) -> Result<()> {
    let cache = Cache {
        door: Root::open(dir)?,
        dir: String::new(),
    };
    for (name, kind) in cache.door.list("")? {
        let Some(name) = name.to_str().filter(|_| kind == FileType::File) else {
            continue;
        };
        if is_part(name) {
            cache.remove_if_old(name)?;
        } else if name.strip_suffix(NOTE).is_some_and(is_digest) {
            cache.remove_superseded(name)?;
        }
    }
    Ok(())
}

/// Returns whether the name is that of an unfinished download: `SHA256.NUMBER.part`.
fn is_part(name: &str) -> bool {
    let parts = name
        .strip_suffix(PART)
        .and_then(|name| name.split_once('.'));
    parts.is_some_and(|(key, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_digest(key) && is_number
    })
}

/// Returns whether the text is a SHA-256 (lower-case hexadecimal).
fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_downloads_are_known_by_their_exact_names() {
        let key = "0f".repeat(32);
        assert!(is_part(&format!("{key}.0.part")));
        assert!(is_part(&format!("{key}.12.part")));
        for other in [
            "film.mkv.part".to_owned(),
            format!("{key}.part"),
            format!("{key}..part"),
            format!("{key}.x.part"),
            format!("{}.0.part", "0F".repeat(32)),
            format!("{}.0.part", "0".repeat(63)),
            format!("{key}.0.part.bak"),
        ] {
            assert!(!is_part(&other), "{other}");
        }
    }
}
