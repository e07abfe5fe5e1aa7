// SPDX-License-Identifier: MIT OR Apache-2.0
//! Undoing the compression of a kernel inside an image.
//!
//! Memory is bounded by the window of the format, [`MAX_WINDOW_LOG`], not by what a header claims.

use std::fmt::Display;
use std::io::{self, Read};

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::{Result, VmlinuzError};

/// The largest window of a decoder: 2^27 bytes, 128 MiB, what `zstd --ultra -22` uses.
const MAX_WINDOW_LOG: u32 = 27;

/// The most memory an xz or lzma decoder may use: the window and what it needs beside it.
const MAX_LZMA_MEMORY: u64 = (1 << MAX_WINDOW_LOG) + (32 << 20);

/// A compression of kernels that we can undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Bzip2,
    Gzip,
    Lz4,
    Lzma,
    Xz,
    Zstd,
}

/// Bytes that [`Codec::by_magic`] looks at.
pub(super) const MAGIC: usize = 6;

impl Codec {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Gzip,
        Self::Xz,
        Self::Zstd,
        Self::Lz4,
        Self::Bzip2,
        Self::Lzma,
    ];

    /// The first bytes of data that are compressed like this.
    pub(super) fn magic(self) -> &'static [u8] {
        match self {
            Self::Bzip2 => b"BZh",
            Self::Gzip => &[0x1f, 0x8b, 0x08],
            Self::Lz4 => &Lz4Legacy::<&[u8]>::MAGIC,
            // Properties that the kernel's build uses, and the low half of a window of at least 64 KiB.
            Self::Lzma => &[0x5d, 0, 0],
            Self::Xz => b"\xfd7zXZ\0",
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }

    /// Returns the compression of data that begin like this.
    pub(super) fn by_magic(start: &[u8; MAGIC]) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|codec| start.starts_with(codec.magic()))
            .ok_or_else(|| VmlinuzError::Compression {
                name: match start.starts_with(b"\x89LZO") {
                    true => "lzo".to_owned(),
                    false => format!("unknown ({})", start.escape_ascii()),
                },
            })
    }

    /// What the header of an EFI zboot image names: the names are the kernel's make rules, such as
    /// `zstd22` and `xzkern`.
    pub(super) fn by_name(name: &[u8]) -> Result<Self> {
        match name {
            b"gzip" => Ok(Self::Gzip),
            b"lz4" => Ok(Self::Lz4),
            b"lzma" => Ok(Self::Lzma),
            b"xz" | b"xzkern" => Ok(Self::Xz),
            b"zstd" | b"zstd22" => Ok(Self::Zstd),
            _ => Err(VmlinuzError::Compression {
                name: String::from_utf8_lossy(name).into_owned(),
            }),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The decoded bytes. What follows the compressed data is not an error: the kernel's build
    /// appends the size to most formats.
    pub(super) fn decode<'a>(self, data: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Bzip2 => Box::new(bzip2::read::BzDecoder::new(data)),
            Self::Gzip => Box::new(flate2::read::GzDecoder::new(data)),
            Self::Lz4 => Box::new(Lz4Legacy::new(data)?),
            Self::Lzma => {
                let stream = Stream::new_lzma_decoder(MAX_LZMA_MEMORY)?;
                Box::new(XzDecoder::new_stream(data, stream))
            }
            Self::Xz => {
                let stream = Stream::new_stream_decoder(MAX_LZMA_MEMORY, 0)?;
                Box::new(XzDecoder::new_stream(data, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(data)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Box::new(decoder.single_frame())
            }
        })
    }
}

/// The legacy frame of lz4 (`lz4 -l`): a magic number, then blocks, each its length and its data.
struct Lz4Legacy<R> {
    data: R,
    block: Vec<u8>,
    plain: Vec<u8>,
    /// How much of `plain` is decoded, and how much of that was handed out.
    filled: usize,
    given: usize,
}

impl<R: Read> Lz4Legacy<R> {
    const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
    /// A block decodes to at most this.
    const PLAIN: usize = 8 << 20;
    /// The most that a block of data that do not compress can take.
    const BLOCK: usize = Self::PLAIN + Self::PLAIN / 255 + 16;

    fn new(mut data: R) -> io::Result<Self> {
        let mut magic = [0; 4];
        data.read_exact(&mut magic)?;
        if magic != Self::MAGIC {
            return Err(invalid(format_args!("the magic number is {magic:02x?}")));
        }
        Ok(Self {
            data,
            block: Vec::new(),
            plain: vec![0; Self::PLAIN],
            filled: 0,
            given: 0,
        })
    }

    /// Decodes the next block; at the end of the data none is left.
    fn next_block(&mut self) -> io::Result<()> {
        (self.filled, self.given) = (0, 0);
        let mut length = [0; 4];
        match self.data.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > Self::BLOCK {
            return Err(invalid(format_args!("a block claims {length} bytes")));
        }
        self.block.clear();
        self.data
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut self.block)?;
        if self.block.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled =
            lz4_flex::block::decompress_into(&self.block, &mut self.plain).map_err(invalid)?;
        Ok(())
    }
}

impl<R: Read> Read for Lz4Legacy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.filled {
            self.next_block()?;
        }
        let read = (&self.plain[self.given..self.filled]).read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

fn invalid(what: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}
