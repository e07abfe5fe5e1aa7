// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors from reading a kernel image.

use std::{fmt, io};

use super::MAX_DECODED;

/// The error that the release of an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VmlinuzError {
    /// The reader failed.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// A header points outside the image, or the image is truncated.
    #[error("the image has {size} bytes, expected {what} at {offset:#x}")]
    Truncated {
        /// The missing part.
        what: &'static str,
        /// Its offset in bytes.
        offset: u64,
        /// The length of the image in bytes.
        size: u64,
    },
    /// No known format.
    #[error(
        "it starts with {}, expected a kernel image (x86 bzImage, arm64 or riscv64 Image, EFI \
         zboot, s390x image, ELF vmlinux, UKI)",
        Hex(.first)
    )]
    Unknown {
        /// The first bytes, up to 16.
        first: Vec<u8>,
    },
    /// A machine number without an [`Arch`].
    #[error("it is for machine {number:#x} ({table}), expected a known architecture")]
    Machine {
        /// The number.
        number: u16,
        /// The table of the number: `PE` or `ELF`.
        table: &'static str,
    },
    /// The release string is malformed.
    #[error("found {:?} at {offset:#x}, expected a release string", String::from_utf8_lossy(.found))]
    NotARelease {
        /// Its offset in bytes.
        offset: u64,
        /// The bytes, truncated to 64.
        found: Vec<u8>,
    },
    /// The kernel does not contain `Linux version X (`.
    #[error("{searched} bytes of the kernel were searched, expected \"Linux version X (\"")]
    NoBanner {
        /// The number of (decoded) bytes.
        searched: u64,
    },
    /// An unsupported compression.
    #[error(
        "the kernel in it is compressed with {name:?}, expected gzip, zstd, xz, lzma, lz4 or bzip2"
    )]
    Compression {
        /// The name in the image.
        name: String,
    },
    /// The compressed kernel is damaged.
    #[error("the {codec} data at {offset:#x} do not decode: {cause}")]
    Decode {
        /// The compression.
        codec: &'static str,
        /// The offset of the data in bytes.
        offset: u64,
        /// The decoder's error.
        cause: io::Error,
    },
    /// No result within [`MAX_DECODED`] bytes.
    #[error("the kernel is larger than {MAX_DECODED} bytes")]
    TooLarge,
}

impl VmlinuzError {
    /// Returns whether the image is damaged, not just of an unknown format.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Truncated { .. } | Self::NotARelease { .. } | Self::Decode { .. } => true,
            Self::Unknown { first } => first.is_empty(),
            _ => false,
        }
    }
}

/// Formats bytes as `4d 5a 90 00`.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (n, byte) in self.0.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}
