// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes a compressed segment up to its end.
//!
//! This module does not interpret the content. Invariant: a decoder consumes exactly one member (frame, stream) of the
//! source, as the kernel's does, so that the next segment follows. lz4's legacy format has no end marker and is read as
//! the kernel reads it (see `lz4.rs`).

use std::fmt;
use std::io::{self, BufRead, Read};

use super::compression::Compression;
use super::error::{Position, ReadError};
use super::limits::Limits;
use super::lz4::Lz4Legacy;
use super::lzop::Lzop;
use super::source::BufferedInput;
use crate::kernel::packing::{self, Packing};

/// Memory that the xz and lzma decoders need besides the dictionary (bytes): 64 KiB, and a reserve.
const DECODER_STATE: u64 = 128 << 10;

/// A decoder of one compressed segment.
pub(in crate::initramfs) enum Decoder<'s> {
    Zstd(Box<zstd::Decoder<'static, &'s mut BufferedInput>>),
    Gzip(Box<flate2::bufread::GzDecoder<&'s mut BufferedInput>>),
    Xz(Box<liblzma::bufread::XzDecoder<&'s mut BufferedInput>>),
    Bzip2(Box<bzip2::bufread::BzDecoder<&'s mut BufferedInput>>),
    Lz4(Lz4Legacy<'s>),
    Lzop(Lzop<'s>),
}

impl<'s> Decoder<'s> {
    /// Creates a decoder for the segment at `at`, the position of `source`. The segment's window size is checked before
    /// memory for the window is allocated. Fails for features that the kernel's decoders do not support.
    pub(in crate::initramfs) fn new(
        source: &'s mut BufferedInput,
        at: Position,
        limits: &Limits,
    ) -> Result<Self, ReadError> {
        let memory = limits.window.saturating_add(DECODER_STATE);
        let corrupt = |error: &dyn fmt::Display| ReadError::Corrupt {
            at,
            found: at.offset,
            reason: error.to_string(),
        };
        Ok(match at.compression {
            Compression::Zstd => {
                check_zstd_window(source, at, limits)?;
                let log = limits.window.max(1024).next_power_of_two().ilog2().min(31);
                let mut decoder = zstd::Decoder::with_buffer(source)
                    .map_err(|error| corrupt(&error))?
                    .single_frame();
                decoder
                    .window_log_max(log)
                    .map_err(|error| corrupt(&error))?;
                Self::Zstd(Box::new(decoder))
            }
            Compression::Gzip => {
                check_gzip_flags(source, at)?;
                Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(source)))
            }
            Compression::Xz => {
                check_xz_headers(source, at)?;
                let stream = liblzma::stream::Stream::new_stream_decoder(memory, 0)
                    .map_err(|error| corrupt(&error))?;
                Self::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(
                    source, stream,
                )))
            }
            Compression::Lzma => {
                let stream = liblzma::stream::Stream::new_lzma_decoder(memory)
                    .map_err(|error| corrupt(&error))?;
                Self::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(
                    source, stream,
                )))
            }
            Compression::Bzip2 => Self::Bzip2(Box::new(bzip2::bufread::BzDecoder::new(source))),
            Compression::Lz4 => Self::Lz4(Lz4Legacy::new(source)),
            Compression::Lzop => Self::Lzop(Lzop::new(source)),
            Compression::None => {
                return Err(ReadError::Unsupported {
                    at,
                    compression: at.compression,
                });
            }
        })
    }

    /// Returns the number of consumed bytes of the file.
    pub(in crate::initramfs) fn offset(&self) -> u64 {
        match self {
            Self::Zstd(decoder) => decoder.get_ref().offset(),
            Self::Gzip(decoder) => decoder.get_ref().offset(),
            Self::Xz(decoder) => decoder.get_ref().offset(),
            Self::Bzip2(decoder) => decoder.get_ref().offset(),
            Self::Lz4(decoder) => decoder.source().offset(),
            Self::Lzop(decoder) => decoder.source().offset(),
        }
    }

    /// Fills `buf`. Returns the number of bytes: fewer than fit into `buf` only at the end of the segment.
    pub(in crate::initramfs) fn fill(
        &mut self,
        buf: &mut [u8],
        at: Position,
        limits: &Limits,
    ) -> Result<usize, ReadError> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.reader().read(&mut buf[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(&error, at, limits)),
            }
        }
        Ok(filled)
    }

    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Zstd(decoder) => decoder,
            Self::Gzip(decoder) => decoder,
            Self::Xz(decoder) => decoder,
            Self::Bzip2(decoder) => decoder,
            Self::Lz4(decoder) => decoder,
            Self::Lzop(decoder) => decoder,
        }
    }

    fn source_mut(&mut self) -> &mut BufferedInput {
        match self {
            Self::Zstd(decoder) => decoder.get_mut(),
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Xz(decoder) => decoder.get_mut(),
            Self::Bzip2(decoder) => decoder.get_mut(),
            Self::Lz4(decoder) => decoder.source_mut(),
            Self::Lzop(decoder) => decoder.source_mut(),
        }
    }

    /// Classifies a decoder's error: failed input, a truncated file, a limit, or corrupt data.
    fn explain(&mut self, error: &io::Error, at: Position, limits: &Limits) -> ReadError {
        let found = self.offset();
        if let Some(source) = self.source_mut().take_fault() {
            return ReadError::Io {
                offset: found,
                source,
            };
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if matches!(inner, Some(liblzma::stream::Error::MemLimit)) {
            return window_exceeded(at, limits);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return truncated(at, found);
        }
        ReadError::Corrupt {
            at,
            found,
            reason: error.to_string(),
        }
    }
}

fn window_exceeded(at: Position, limits: &Limits) -> ReadError {
    ReadError::Limit {
        name: "window",
        value: limits.window,
        at,
    }
}

/// Returns the error for a file that ends in a compressed segment. The place is in bytes of the file, since the decoder
/// does not know its position in the content.
fn truncated(at: Position, found: u64) -> ReadError {
    let end = Position {
        compression: Compression::None,
        decoded: found.saturating_sub(at.offset),
        ..at
    };
    ReadError::Truncated {
        at: end,
        what: "a compressed segment",
    }
}

fn input_failed(source: &mut BufferedInput, error: io::Error) -> ReadError {
    let offset = source.offset();
    ReadError::Io {
        offset,
        source: source.take_fault().unwrap_or(error),
    }
}

/// Checks the window size in a zstd frame header (RFC 8878, 3.1.1.1) before the decoder allocates it.
fn check_zstd_window(
    source: &mut BufferedInput,
    at: Position,
    limits: &Limits,
) -> Result<(), ReadError> {
    let header = match source.peek(18) {
        Ok(header) => header.to_vec(),
        Err(error) => return Err(input_failed(source, error)),
    };
    let Some(&descriptor) = header.get(4) else {
        return Err(truncated(at, at.offset + header.len() as u64));
    };
    let window = if descriptor & 0x20 == 0 {
        let Some(&byte) = header.get(5) else {
            return Err(truncated(at, at.offset + header.len() as u64));
        };
        let base = 1_u64 << (10 + (byte >> 3));
        base + base / 8 * u64::from(byte & 7)
    } else {
        // The frame has a single segment: its window is as large as its content.
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let field = header.iter().skip(5 + dictionary).take(length);
        let size = field
            .rev()
            .fold(0_u64, |size, &byte| size << 8 | u64::from(byte));
        if length == 2 { size + 256 } else { size }
    };
    if window > limits.window {
        return Err(window_exceeded(at, limits));
    }
    Ok(())
}

/// Refuses integrity checks and filters that no kernel's xz decoder (`lib/xz`) supports.
fn check_xz_headers(source: &mut BufferedInput, at: Position) -> Result<(), ReadError> {
    let packing = match source.peek(packing::HEAD) {
        Ok(start) => Packing::of(start),
        Err(error) => return Err(input_failed(source, error)),
    };
    match packing {
        Packing::Xz(xz) => match xz.never_decoded() {
            Some(what) => Err(ReadError::KernelCannot { at, what }),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Refuses optional header fields that the kernel's gunzip does not skip. The kernel skips only the file name
/// (`lib/decompress_inflate.c`). The text flag is accepted, too, since it adds no field.
fn check_gzip_flags(source: &mut BufferedInput, at: Position) -> Result<(), ReadError> {
    let flags = match source.peek(4) {
        Ok(header) => header.get(3).copied().unwrap_or(0),
        Err(error) => return Err(input_failed(source, error)),
    };
    if flags & !0x09 == 0 {
        return Ok(());
    }
    let what = "its header has fields other than a file name";
    Err(ReadError::KernelCannot { at, what })
}

/// Consumes NULs up to the first other byte or the end of the input.
pub(in crate::initramfs) fn skip_nuls(source: &mut BufferedInput) -> Result<(), ReadError> {
    loop {
        let chunk = match source.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) => return Err(input_failed(source, error)),
        };
        let nuls = chunk.iter().take_while(|&&byte| byte == 0).count();
        let all = nuls == chunk.len();
        source.consume(nuls);
        if !all || nuls == 0 {
            return Ok(());
        }
    }
}
