// SPDX-License-Identifier: MIT OR Apache-2.0
//! One entry: a line with the digest of the next line, a line of JSON, and the initramfs as it was verified.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Key, SIZE_MAX};
use crate::steps::digest::Digesting;
use crate::sys::root::Root;

/// The longest line of an entry (bytes).
const LINE_MAX: u64 = 64 * 1024;

/// What dracut's log said that the user should know, which its initramfs does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// dracut's modules of the base that could not be added any more.
    pub refused: Vec<String>,
    /// Lines that say that it is not compressed as it was asked for.
    pub compression: Vec<String>,
}

/// What the second line says.
#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    /// Of the initramfs.
    sha256: String,
    notes: Notes,
}

/// Copies the initramfs of an entry to `path` in `root`.
///
/// # Errors
/// When the entry is not whole, or of another key.
pub(super) fn read(file: &File, key: &Key, root: &Root, path: &str) -> Result<Notes> {
    let size = file.metadata()?.len();
    ensure!(
        size <= SIZE_MAX,
        "{size} bytes, expected {SIZE_MAX} at most"
    );
    let mut file = BufReader::new(file);
    let (digest, json) = (line(&mut file)?, line(&mut file)?);
    let is_whole = digest == hex::encode(Sha256::digest(&json)).as_bytes();
    ensure!(is_whole, "its head is not what was written");
    let head: Head = serde_json::from_slice(&json)?;
    ensure!(head.key == key.as_str(), "it is the entry of another key");
    let (_, sha256) = root.copy_in(&mut file, path, 0o600, SIZE_MAX)?;
    if hex::encode(sha256) != head.sha256 {
        root.remove_file(path)?;
        bail!("its initramfs is not what was written");
    }
    Ok(head.notes)
}

/// A line, without its end.
fn line(file: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    file.take(LINE_MAX).read_until(b'\n', &mut line)?;
    ensure!(line.pop() == Some(b'\n'), "it has no head");
    Ok(line)
}

/// Writes the entry of an initramfs.
///
/// # Errors
/// When it is not the file of that digest, or too large, or cannot be written.
pub(super) fn write(
    image: File,
    key: &Key,
    sha256: &str,
    notes: &Notes,
    mut entry: &File,
) -> Result<()> {
    let head = Head {
        key: key.as_str().to_owned(),
        sha256: sha256.to_owned(),
        notes: notes.clone(),
    };
    let json = serde_json::to_vec(&head)?;
    let size = image.metadata()?.len().saturating_add(2 * LINE_MAX);
    ensure!(
        size <= SIZE_MAX && (json.len() as u64) < LINE_MAX,
        "it is larger than an entry may be"
    );
    let digest = hex::encode(Sha256::digest(&json));
    entry.write_all(&[digest.as_bytes(), b"\n", &json, b"\n"].concat())?;
    let mut image = Digesting::new(image);
    io::copy(&mut image, &mut entry)?;
    ensure!(
        image.finish()?.0 == sha256,
        "the initramfs is not the one that was verified"
    );
    Ok(entry.sync_all()?)
}
