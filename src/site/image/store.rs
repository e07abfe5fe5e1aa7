// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kept bytes of an image's files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::oci::{HEAD, KeptPart, OciError};
use crate::sys::memory;

/// The size (bytes) above which a file's bytes are kept in a file in memory (memfd) instead of on the heap.
const LARGE: usize = 1 << 20;

/// Kept bytes of a file.
#[derive(Debug, Clone)]
pub(super) enum KeptBytes {
    /// All bytes of a small file.
    Small(Arc<[u8]>),
    /// All bytes of a large file, in a file in memory.
    Large(Arc<File>),
    /// The first bytes, at most [`HEAD`].
    Head(Arc<[u8]>),
}

/// The kept bytes, by inode.
#[derive(Debug, Default)]
pub(super) struct ByteStore {
    files: HashMap<u32, KeptBytes>,
    kept: u64,
}

impl ByteStore {
    /// Returns the kept bytes of a file; `None` if no bytes are kept.
    pub(super) fn get(&self, inode: u32) -> Option<KeptBytes> {
        self.files.get(&inode).cloned()
    }

    /// Returns whether all bytes of a file are kept.
    pub(super) fn is_whole(&self, inode: u32) -> bool {
        matches!(
            self.files.get(&inode),
            Some(KeptBytes::Small(_) | KeptBytes::Large(_))
        )
    }

    /// Keeps the bytes of a file.
    ///
    /// # Errors
    /// When the bytes of all calls together exceed `limit`.
    pub(super) fn put(&mut self, inode: u32, bytes: KeptBytes, limit: u64) -> Result<(), OciError> {
        let before = self.files.get(&inode).map_or(0, KeptBytes::size);
        self.kept = (self.kept + bytes.size()).saturating_sub(before);
        if self.kept > limit {
            let (name, value) = ("kept_bytes", limit);
            return Err(OciError::Limit { name, value });
        }
        self.files.insert(inode, bytes);
        Ok(())
    }
}

impl KeptBytes {
    fn size(&self) -> u64 {
        match self {
            Self::Small(bytes) | Self::Head(bytes) => bytes.len() as u64,
            Self::Large(file) => file.metadata().map_or(0, |it| it.len()),
        }
    }

    /// Returns the first bytes, at most [`HEAD`].
    pub(super) fn head(&self) -> io::Result<Arc<[u8]>> {
        match self {
            Self::Small(bytes) => Ok(bytes[..bytes.len().min(HEAD)].into()),
            Self::Head(bytes) => Ok(Arc::clone(bytes)),
            Self::Large(file) => {
                use std::os::unix::fs::FileExt;
                let mut bytes = vec![0; HEAD];
                let count = file.read_at(&mut bytes, 0)?;
                Ok(bytes[..count].into())
            }
        }
    }

    /// Opens the kept bytes as a file; `None` if only the first bytes are kept.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        match self {
            Self::Small(bytes) => memory::file_of(bytes).map(Some),
            Self::Large(file) => memory::reopen(file).map(Some),
            Self::Head(_) => Ok(None),
        }
    }
}

/// The digest of a file, and the bytes of the file that are kept, if any.
pub(super) type TakenBytes = ([u8; 32], Option<KeptBytes>);

/// Reads the data of an entry to their end: computes their digest, and keeps the requested part. `size` is the stated
/// size.
///
/// # Errors
/// When the data cannot be read, or when all bytes are requested and `size` exceeds `limit`.
pub(super) fn take(
    body: &mut dyn BufRead,
    keep: KeptPart,
    size: u64,
    limit: u64,
) -> Result<TakenBytes, OciError> {
    if keep == KeptPart::All && size > limit {
        let (name, value) = ("kept_bytes", limit);
        return Err(OciError::Limit { name, value });
    }
    let mut sha256 = Sha256::new();
    let mut head = Vec::new();
    let mut large: Option<File> = None;
    loop {
        let ready = body.fill_buf().map_err(OciError::of_io)?;
        let count = ready.len();
        if count == 0 {
            break;
        }
        sha256.update(ready);
        match keep {
            KeptPart::BlobDigest => {}
            KeptPart::Head => {
                let left = HEAD.saturating_sub(head.len());
                head.extend_from_slice(&ready[..count.min(left)]);
            }
            KeptPart::All => match &mut large {
                Some(file) => file.write_all(ready)?,
                None => {
                    head.extend_from_slice(ready);
                    if head.len() > LARGE {
                        let mut file = memory::file()?;
                        file.write_all(&head)?;
                        head = Vec::new();
                        large = Some(file);
                    }
                }
            },
        }
        body.consume(count);
    }
    let bytes = match (keep, large) {
        (KeptPart::BlobDigest, _) => None,
        (KeptPart::Head, _) => Some(KeptBytes::Head(head.into())),
        (KeptPart::All, Some(file)) => Some(KeptBytes::Large(Arc::new(file))),
        (KeptPart::All, None) => Some(KeptBytes::Small(head.into())),
    };
    Ok((sha256.finalize().into(), bytes))
}
