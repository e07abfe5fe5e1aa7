// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors from reading an image, with their places.
//!
//! Invariant: every variant that the content of a file can cause contains an offset or, for a file
//! without a segment, the file's length.

use std::{fmt, io};

use super::compression::Compression;

/// A place in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The number of the segment in the file, from 0.
    pub segment: u32,
    /// The offset of the segment in the file.
    pub offset: u64,
    /// The compression of the segment.
    pub compression: Compression,
    /// The offset in the decompressed segment.
    pub decoded: u64,
}

impl fmt::Display for Position {
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
                "byte {} of the decompressed {} segment at byte {} of the file",
                self.decoded, self.compression, self.offset
            )
        }
    }
}

/// A file format with a known magic number that the kernel does not unpack.
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
    /// The frame format of the current `lz4` program; the kernel supports only the legacy one (`lz4 -l`).
    Lz4Frame,
    /// A skippable zstd frame, as `pzstd` writes it; the kernel does not support it.
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
            Self::Lz4Frame => "an lz4 frame; the kernel supports only the legacy format (lz4 -l)",
            Self::ZstdSkippable => "a skippable zstd frame, which the kernel does not support",
            Self::CpioOdc => "a cpio archive in the odc format; the kernel supports only newc",
        })
    }
}

/// The error that an image could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input failed, independent of the image's content.
    #[error("reading at byte {offset} of the file")]
    Io {
        /// The number of bytes that were consumed before the failure.
        offset: u64,
        /// The input's error.
        source: io::Error,
    },
    /// The file has no segment: it is empty, or consists of NULs. The kernel accepts such a file.
    #[error("nothing to unpack: {length} bytes, all of them padding")]
    Empty {
        /// The length of the file in bytes.
        length: u64,
    },
    /// The file, or the part after its last segment, has another format.
    #[error("not an initramfs at {at}: {what}")]
    Foreign {
        /// The start of the data with another format.
        at: Position,
        /// The format of these data.
        what: Foreign,
    },
    /// A compression that the kernel supports and this reader does not.
    #[error("the {compression} segment at byte {} of the file: not supported by this program", at.offset)]
    Unsupported {
        /// The start of the segment.
        at: Position,
        /// The compression.
        compression: Compression,
    },
    /// A segment that the kernel's decoder does not support, although other decoders do.
    #[error("the kernel cannot unpack the {} segment at byte {} of the file: {what}", at.compression, at.offset)]
    KernelCannot {
        /// The start of the segment.
        at: Position,
        /// The unsupported feature, for some features with the remedy.
        what: &'static str,
    },
    /// Bytes that belong to no segment, no archive and no padding.
    #[error("junk at {at}: {bytes}, expected an archive or compressed data")]
    Junk {
        /// The start of the junk.
        at: Position,
        /// The first bytes, at most 16, in hex.
        bytes: String,
    },
    /// A newc header whose offset is not a multiple of four; the kernel does not accept it.
    #[error("broken padding: an archive at {at}, which is not a multiple of 4")]
    Misaligned {
        /// The start of the header.
        at: Position,
    },
    /// The file or a compressed segment ends within a part.
    #[error("truncated at {at}, within {what}")]
    Truncated {
        /// The end of the data.
        at: Position,
        /// The incomplete part.
        what: &'static str,
    },
    /// An archive ends after an entry, without `TRAILER!!!`, or a compressed segment has no archive. The kernel accepts
    /// such an image, but it is probably incomplete.
    #[error("missing trailer: the archive ends at {at}")]
    MissingTrailer {
        /// The expected place of the trailer.
        at: Position,
    },
    /// A decoder failed.
    #[error("the {} segment at byte {} of the file is corrupt at byte {found}: {reason}", at.compression, at.offset)]
    Corrupt {
        /// The start of the segment.
        at: Position,
        /// The offset in the file that the decoder has reached.
        found: u64,
        /// The decoder's error.
        reason: String,
    },
    /// A malformed header.
    #[error("bad cpio header at {at}: {what}")]
    Header {
        /// The start of the header.
        at: Position,
        /// The error in the header.
        what: &'static str,
    },
    /// A file in a `070702` archive has another checksum than its header states.
    #[error("bad checksum of `{}` at {at}: {found:#010x}, expected {expected:#010x}", path.escape_ascii())]
    Checksum {
        /// The end of the file's data.
        at: Position,
        /// The file's path.
        path: Vec<u8>,
        /// The computed checksum.
        found: u32,
        /// The checksum in the header.
        expected: u32,
    },
    /// A field of [`Limits`](crate::initramfs::Limits) was exceeded.
    #[error("limit {name} = {value} exceeded at {at}")]
    Limit {
        /// The field's name.
        name: &'static str,
        /// The field's value.
        value: u64,
        /// The place where the limit was exceeded.
        at: Position,
    },
    /// The visitor returned an error of its own.
    #[error("reading `{}`", path.escape_ascii())]
    Visitor {
        /// The entry's path.
        path: Vec<u8>,
        /// The visitor's error.
        source: io::Error,
    },
}

/// Formats the first bytes of `data`, at most 16, in hex.
pub(in crate::initramfs) fn hex(data: &[u8]) -> String {
    let digits: Vec<String> = data
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.join(" ")
}
