// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decompresses the kernel inside an image.
//!
//! The memory of a decoder is bounded, whatever sizes a header claims: for xz, lzma and zstd by [`MAX_WINDOW_LOG`], for
//! lz4 by the largest size of a block, for gzip and bzip2 by the format.

use std::fmt::Display;
use std::io::{self, Read};

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::{Result, VmlinuzError};

/// The binary logarithm of a decoder's largest window: 2^27 bytes (128 MiB), the size that `zstd --ultra -22` uses.
const MAX_WINDOW_LOG: u32 = 27;

/// Upper bound of the memory of an xz or lzma decoder (bytes): the window and 32 MiB for other state.
const MAX_LZMA_MEMORY: u64 = (1 << MAX_WINDOW_LOG) + (32 << 20);

/// A supported compression of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Bzip2,
    Gzip,
    Lz4,
    Lzma,
    Xz,
    Zstd,
}

/// Number of bytes that [`Codec::by_magic`] needs.
pub(super) const MAGIC: usize = 6;

impl Codec {
    /// All compressions, in the order in which [`Codec::by_magic`] tries them.
    pub(super) const ALL: [Self; 6] = [
        Self::Gzip,
        Self::Xz,
        Self::Zstd,
        Self::Lz4,
        Self::Bzip2,
        Self::Lzma,
    ];

    /// Returns the first bytes of data with this compression.
    pub(super) fn magic(self) -> &'static [u8] {
        match self {
            Self::Bzip2 => b"BZh",
            Self::Gzip => &[0x1f, 0x8b, 0x08],
            Self::Lz4 => &Lz4Legacy::<&[u8]>::MAGIC,
            // The properties byte that the kernel's build writes, and the two low bytes of the window's size, which are
            // zero for the usual sizes (64 KiB and more).
            Self::Lzma => &[0x5d, 0, 0],
            Self::Xz => b"\xfd7zXZ\0",
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }

    /// Returns the compression of data that start with these bytes.
    pub(super) fn by_magic(start: &[u8; MAGIC]) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|codec| start.starts_with(codec.magic()))
            .ok_or_else(|| VmlinuzError::Compression {
                name: if start.starts_with(b"\x89LZO") {
                    "lzo".to_owned()
                } else {
                    format!("unknown ({})", start.escape_ascii())
                },
            })
    }

    /// Returns the compression that the header of an EFI zboot image names. The names are those of the kernel's make
    /// rules, for example `zstd22` and `xzkern`.
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

    /// Returns a reader of the decoded bytes. Bytes after the compressed data are ignored: in most formats, the kernel's
    /// build appends the decoded size, and other parts of the image can follow.
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

/// A decoder of lz4's legacy frame (`lz4 -l`): a magic number, then blocks, each with its length and its data. The frame
/// has no end marker. Each block but the last decodes to [`Lz4Legacy::PLAIN`] bytes, so a smaller one is the last.
struct Lz4Legacy<R> {
    data: R,
    block: Vec<u8>,
    plain: Vec<u8>,
    /// The number of decoded bytes in `plain`. The first `given` of them have been returned.
    filled: usize,
    given: usize,
    has_ended: bool,
}

impl<R: Read> Lz4Legacy<R> {
    const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
    /// Upper bound of the size of a decoded block (bytes).
    const PLAIN: usize = 8 << 20;
    /// Upper bound of the size of an encoded block (bytes).
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
            has_ended: false,
        })
    }

    /// Decodes the next block into `plain`. At the end of the frame, or if fewer than four bytes are left, leaves
    /// `plain` without decoded bytes.
    fn next_block(&mut self) -> io::Result<()> {
        (self.filled, self.given) = (0, 0);
        if self.has_ended {
            return Ok(());
        }
        let mut length = [0; 4];
        match self.data.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > Self::BLOCK {
            let limit = Self::BLOCK;
            return Err(invalid(format_args!(
                "a block has {length} bytes, the limit is {limit}"
            )));
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
        self.has_ended = self.filled < Self::PLAIN;
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
