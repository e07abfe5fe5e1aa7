// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors about the content of an image. The caller adds the names of the image and the layer.

use std::io;

/// The reason why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A limit is exceeded.
    #[error("it exceeds the limit {name} of {value}")]
    Limit {
        /// The field of [`ImageLimits`](super::ImageLimits).
        name: &'static str,
        /// The value of the limit.
        value: u64,
    },
    /// A document (index, manifest, config or table of contents) is invalid, of the wrong type, or lacks what is
    /// needed.
    #[error("{0}")]
    Document(String),
    /// A digest has an unknown algorithm, a wrong length, or characters other than lower-case hexadecimal digits.
    #[error("{0} is not a digest of a known algorithm (sha256, sha512)")]
    Digest(String),
    /// The bytes do not have the digest that the reference, the manifest or the config states.
    #[error("its {what} is {found}, expected {expected}")]
    Mismatch {
        /// The name of the digest that differs, for example `digest` or `DiffID`.
        what: &'static str,
        /// The digest of the bytes.
        found: String,
        /// The stated digest.
        expected: String,
    },
    /// The number of bytes differs from the number that the index or the manifest states.
    #[error("it has {found} bytes, expected {expected}")]
    Size {
        /// The number of bytes that were read.
        found: u64,
        /// The stated number of bytes.
        expected: u64,
    },
    /// The compressed data is damaged.
    #[error("its compressed data is damaged: {0}")]
    Corrupt(String),
    /// The archive is damaged.
    #[error("its archive is damaged at byte {at}: {why}")]
    Archive {
        /// The offset in the decompressed archive.
        at: u64,
        /// The reason.
        why: String,
    },
    /// An entry cannot be part of an image.
    #[error("its entry {path}: {why}")]
    Entry {
        /// The path, escaped.
        path: String,
        /// The reason.
        why: String,
    },
    /// A feature that is not supported.
    #[error("{0} is not supported")]
    Unsupported(String),
}

impl OciError {
    /// Returns an error about an entry.
    pub(super) fn entry(path: &[u8], why: impl Into<String>) -> Self {
        Self::Entry {
            path: path.escape_ascii().to_string(),
            why: why.into(),
        }
    }

    /// Returns the [`OciError`] that an [`io::Error`] carries; any other error becomes [`Self::Io`].
    pub fn of_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<OciError> for io::Error {
    fn from(error: OciError) -> Self {
        match error {
            OciError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}
