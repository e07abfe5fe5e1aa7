// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a kernel image does not tell what it is.

use std::{fmt, io};

use super::MAX_DECODED;

/// Why an image does not tell its release.
#[derive(Debug, thiserror::Error)]
pub enum VmlinuzError {
    /// The reader failed.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// A header points outside, or the image was cut.
    #[error("the image has {size} bytes, expected {what} at {offset:#x}")]
    Truncated {
        /// What should be there.
        what: &'static str,
        /// Where, in bytes from the start.
        offset: u64,
        /// How long the image is, in bytes.
        size: u64,
    },
    /// None of the known kinds.
    #[error(
        "it begins with {}, expected a kernel image (x86 bzImage, arm64 or riscv64 Image, EFI \
         zboot, s390x image, ELF vmlinux, UKI)",
        Hex(.first)
    )]
    Unknown {
        /// The first bytes, up to 16.
        first: Vec<u8>,
    },
    /// A machine number that is none of [`Arch`].
    #[error("it is for machine {number:#x} ({table}), expected a known architecture")]
    Machine {
        /// The number.
        number: u16,
        /// The table that the number is from: `PE` or `ELF`.
        table: &'static str,
    },
    /// There is something else where the release string should be.
    #[error("at {offset:#x} stands {:?}, expected a release string", String::from_utf8_lossy(.found))]
    NotARelease {
        /// Where, in bytes from the start.
        offset: u64,
        /// What is there, cut at 64 bytes.
        found: Vec<u8>,
    },
    /// The kernel does not say `Linux version X (`.
    #[error("{searched} bytes of the kernel were searched, expected \"Linux version X (\"")]
    NoBanner {
        /// How many bytes (decoded) there were.
        searched: u64,
    },
    /// A compression that we cannot undo.
    #[error(
        "the kernel in it is compressed with {name:?}, expected gzip, zstd, xz, lzma, lz4 or bzip2"
    )]
    Compression {
        /// The name the image gives.
        name: String,
    },
    /// The compressed kernel is broken.
    #[error("the {codec} data at {offset:#x} do not decode: {cause}")]
    Decode {
        /// The compression.
        codec: &'static str,
        /// Where the data begin, in bytes from the start of the image.
        offset: u64,
        /// What the decoder says.
        cause: io::Error,
    },
    /// More than [`MAX_DECODED`] bytes without an answer.
    #[error("the kernel is larger than {MAX_DECODED} bytes")]
    TooLarge,
}

impl VmlinuzError {
    /// Whether the image is broken, rather than of a kind that is not known here.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Truncated { .. } | Self::NotARelease { .. } | Self::Decode { .. } => true,
            Self::Unknown { first } => first.is_empty(),
            _ => false,
        }
    }
}

/// Shows bytes as `4d 5a 90 00`.
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
