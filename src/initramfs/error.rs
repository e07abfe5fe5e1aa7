// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why an image could not be read, and where in it.
//!
//! It must not decide anything. Its invariant: every variant that the content of a file can cause
//! carries an offset.

use std::{fmt, io};

use super::compression::Compression;

/// A place in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment in the file, counted from 0.
    pub segment: u32,
    /// Where the segment starts: bytes from the start of the file.
    pub offset: u64,
    /// How the segment is compressed.
    pub compression: Compression,
    /// Bytes from the start of what the segment unpacks to.
    pub decoded: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compression == Compression::None {
            write!(
                f,
                "byte {} of the file",
                self.offset.saturating_add(self.decoded)
            )
        } else if self.decoded == 0 {
            let Self {
                compression,
                offset,
                ..
            } = self;
            write!(
                f,
                "the start of the {compression} segment at byte {offset} of the file"
            )
        } else {
            write!(
                f,
                "byte {} of what the {} segment at byte {} of the file unpacks to",
                self.decoded, self.compression, self.offset
            )
        }
    }
}

/// Something that is known by its first bytes, and that the kernel does not unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A PE file: a unified kernel image or another EFI program.
    Uki,
    /// A squashfs file system.
    Squashfs,
    /// An erofs file system.
    Erofs,
    /// An ELF file.
    Elf,
    /// The frame format of today's `lz4` program; the kernel knows only the legacy one (`lz4 -l`).
    Lz4Frame,
    /// A zstd frame to skip, as `pzstd` writes them; the kernel takes none.
    ZstdSkippable,
    /// The portable ASCII cpio format of `cpio -H odc`.
    CpioOdc,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uki => "a UKI or another EFI program (PE)",
            Self::Squashfs => "a squashfs image",
            Self::Erofs => "an erofs image",
            Self::Elf => "an ELF file",
            Self::Lz4Frame => {
                "an lz4 frame, where the kernel reads only the legacy format (lz4 -l)"
            }
            Self::ZstdSkippable => "a skippable zstd frame, which the kernel does not know",
            Self::CpioOdc => "a cpio archive of the odc kind, where the kernel reads only newc",
        })
    }
}

/// Why an image could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input itself failed; it says nothing about the image.
    #[error("reading at byte {offset} of the file")]
    Io {
        /// Bytes read before the failure.
        offset: u64,
        /// What the input said.
        source: io::Error,
    },
    /// There is no segment in the file: it has no bytes, or only NULs.
    #[error("nothing to unpack: {length} bytes, all of them padding")]
    Empty {
        /// Length of the file in bytes.
        length: u64,
    },
    /// The file, or what follows its last segment, is of a known kind that is no initramfs.
    #[error("not an initramfs at {at}: {what}")]
    Foreign {
        /// Where it starts.
        at: Place,
        /// What it is.
        what: Foreign,
    },
    /// A compression that the kernel knows and this reader does not.
    #[error("the {compression} segment at byte {} of the file: not supported by this program", at.offset)]
    Unsupported {
        /// Where the segment starts.
        at: Place,
        /// Which one.
        compression: Compression,
    },
    /// A segment that decoders in general read, and the kernel's does not.
    #[error("the kernel cannot unpack the {} segment at byte {} of the file: {what}", at.compression, at.offset)]
    KernelCannot {
        /// Where the segment starts.
        at: Place,
        /// What it uses, and how to do without.
        what: &'static str,
    },
    /// Bytes that belong to no segment, no archive and no padding.
    #[error("junk at {at}: {bytes}")]
    Junk {
        /// Where it starts.
        at: Place,
        /// The first bytes, at most 16, in hex.
        bytes: String,
    },
    /// A newc header that does not start at a multiple of four bytes; the kernel does not take it.
    #[error("broken padding: an archive at {at}, which is not a multiple of 4")]
    Misaligned {
        /// Where the header starts.
        at: Place,
    },
    /// The data ended early.
    #[error("truncated at {at}, within {what}")]
    Truncated {
        /// Where the data ended.
        at: Place,
        /// What was being read.
        what: &'static str,
    },
    /// The data ended between two entries, with no `TRAILER!!!` before. The kernel takes such an
    /// image; an image whose writer did not finish looks like this.
    #[error("missing trailer: the archive ends at {at}")]
    MissingTrailer {
        /// Where the trailer should be.
        at: Place,
    },
    /// A decoder refused a segment.
    #[error("the {} segment at byte {} of the file is corrupt at byte {found}: {reason}", at.compression, at.offset)]
    Corrupt {
        /// Where the segment starts.
        at: Place,
        /// Bytes of the file that the decoder had been given.
        found: u64,
        /// What the decoder said.
        reason: String,
    },
    /// A header that is not one.
    #[error("bad cpio header at {at}: {what}")]
    Header {
        /// Where the header starts.
        at: Place,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file of a `070702` archive does not have the sum that its header says.
    #[error("bad checksum of `{}` at {at}: {found:#010x}, the header says {expected:#010x}", path.escape_ascii())]
    Checksum {
        /// Where the file's data ends.
        at: Place,
        /// Its path.
        path: Vec<u8>,
        /// Sum of the bytes.
        found: u32,
        /// Sum in the header.
        expected: u32,
    },
    /// A field of [`Limits`](super::Limits) was exceeded.
    #[error("limit {name} = {value} exceeded at {at}")]
    Limit {
        /// The field's name.
        name: &'static str,
        /// The field's value.
        value: u64,
        /// Where.
        at: Place,
    },
    /// The visitor returned an error of its own.
    #[error("looking at `{}`", path.escape_ascii())]
    Visitor {
        /// The entry's path.
        path: Vec<u8>,
        /// What the visitor said.
        source: io::Error,
    },
}

/// The first bytes of `data`, at most 16, in hex.
pub(super) fn hex(data: &[u8]) -> String {
    let digits: Vec<String> = data
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.join(" ")
}
