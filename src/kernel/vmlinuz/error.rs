// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors from reading a kernel image.

use std::{fmt, io};

use super::MAX_DECODED;

/// The error that a kernel image cannot be read or decoded.
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
    /// The image has no known format.
    #[error(
        "it starts with {}, expected a kernel image (x86 bzImage, arm64 or riscv64 Image, EFI \
         zboot, s390x image, ELF vmlinux, UKI)",
        Hex(.first)
    )]
    Unknown {
        /// The first bytes, up to 16.
        first: Vec<u8>,
    },
    /// A machine number without an [`Arch`](super::Arch).
    #[error("it is for machine {number:#x} ({table}), expected a known architecture")]
    Machine {
        /// The machine number.
        number: u16,
        /// The format that defines the number: `PE` or `ELF`.
        table: &'static str,
    },
    /// The text at the place of the release string is not a release string.
    #[error("found {:?} at {offset:#x}, expected a release string", String::from_utf8_lossy(.found))]
    NotARelease {
        /// The offset of the text in bytes.
        offset: u64,
        /// The bytes at `offset`, at most 64.
        found: Vec<u8>,
    },
    /// The kernel does not contain `Linux version X (`.
    #[error("{searched} bytes of the kernel were searched, expected \"Linux version X (\"")]
    NoBanner {
        /// The number of bytes that were searched. If the kernel is compressed, these are decoded bytes.
        searched: u64,
    },
    /// The compression of the kernel is not supported.
    #[error(
        "the kernel in it is compressed with {name:?}, expected gzip, zstd, xz, lzma, lz4 or bzip2"
    )]
    Compression {
        /// The name of the compression in the image; for an unknown magic number, a description with its bytes.
        name: String,
    },
    /// The compressed kernel cannot be decoded: it is damaged, or its window is too large.
    #[error("the {codec} data at {offset:#x} do not decode: {cause}")]
    Decode {
        /// The name of the compression.
        codec: &'static str,
        /// The offset of the compressed data in bytes.
        offset: u64,
        /// The decoder's error.
        cause: io::Error,
    },
    /// A search in the kernel stopped after [`MAX_DECODED`] bytes.
    #[error("the kernel is larger than {MAX_DECODED} bytes")]
    TooLarge,
}

impl VmlinuzError {
    /// Returns whether the error counts as damage of the image. An empty image, and a kernel that cannot be decoded,
    /// count as damaged; an unknown format, machine or compression does not.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Truncated { .. } | Self::NotARelease { .. } | Self::Decode { .. } => true,
            Self::Unknown { first } => first.is_empty(),
            _ => false,
        }
    }
}

/// Bytes that are displayed as `4d 5a 90 00`, or as `nothing` if there are none.
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
