// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits an initramfs into segments, and passes the entries of their archives to a visitor.
//!
//! The archives are parsed in `cpio.rs`. Invariant: without an error, every byte of the file is padding or belongs to a
//! returned segment.

pub(super) mod compress;
pub(super) mod compression;
pub(super) mod cpio;
pub(super) mod cursor;
pub(super) mod entry;
pub(super) mod error;
pub(super) mod limits;
pub(super) mod lz4;
pub(super) mod lzop;
pub(super) mod observed;
pub(super) mod pipe;
pub(super) mod random;
pub(super) mod sample;
pub(super) mod segment;
pub(super) mod source;

use std::io::Read;

use self::compress::skip_nuls;
use self::compression::Compression;
use self::cpio::{Counters, archive};
use self::cursor::Cursor;
use self::entry::Visitor;
use self::error::{Foreign, Position, ReadError, hex};
use self::limits::Limits;
use self::pipe::{Pull, decode};
use self::segment::{Observer, Segment};
use self::source::{BufferedInput, LOOK_AHEAD, reading};
use crate::kernel::packing::Packing;

/// Reads an initramfs from `input` to its end and passes every entry to `visitor`, in order. The [module's
/// documentation](super) describes the accepted format. Returns the segments in the order of the file. `input` is read
/// once, as a stream, and large segments are never held in memory completely. One thread reads ahead in a large
/// `input`, and a further one decodes a compressed segment with a large content.
///
/// # Errors
///
/// Any error of the image, of `input` or of `visitor` ends the reading, and so does an exceeded limit. The visitor has
/// then received the entries before the error. If the error is in the data of an entry, it has received this entry,
/// too.
pub fn read(
    input: impl Read + Send,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<Vec<Segment>, ReadError> {
    let mut segments = Vec::new();
    read_into(input, limits, visitor, &mut segments)?;
    Ok(segments)
}

/// Reads an image as [`read`] does, but appends each segment to `segments` (which should be empty) when its end is
/// reached, so that the segments before an error are known.
///
/// # Errors
///
/// As [`read`].
pub fn read_into(
    input: impl Read + Send,
    limits: &Limits,
    visitor: &mut dyn Visitor,
    segments: &mut Vec<Segment>,
) -> Result<(), ReadError> {
    reading(input, |source| all(source, limits, visitor, segments))
}

fn all(
    source: &mut BufferedInput,
    limits: &Limits,
    visitor: &mut dyn Visitor,
    segments: &mut Vec<Segment>,
) -> Result<(), ReadError> {
    let mut progress = Counters::default();
    let mut decoded = 0_u64;
    loop {
        skip_nuls(source)?;
        let at = Position {
            segment: segments.len().try_into().unwrap_or(u32::MAX),
            offset: source.offset(),
            compression: Compression::None,
            decoded: 0,
        };
        let start = match source.peek(LOOK_AHEAD) {
            Ok(start) => start,
            Err(error) => {
                let fault = source.take_fault().unwrap_or(error);
                return Err(ReadError::Io {
                    offset: at.offset,
                    source: fault,
                });
            }
        };
        if start.is_empty() {
            break;
        }
        let at = Position {
            compression: recognise(start, at)?,
            ..at
        };
        let xz = match Packing::of(start) {
            Packing::Xz(xz) => Some(xz),
            _ => None,
        };
        if at.segment >= limits.segments {
            return Err(ReadError::Limit {
                name: "segments",
                value: limits.segments.into(),
                at,
            });
        }
        let allowance = limits.decoded_bytes.saturating_sub(decoded);
        let segment = one(source, at, limits, allowance, &mut progress, visitor)?;
        decoded = decoded.saturating_add(segment.decoded);
        segments.push(Segment { xz, ..segment });
    }
    if segments.is_empty() {
        return Err(ReadError::Empty {
            length: source.offset(),
        });
    }
    Ok(())
}

/// Reads the segment at `at`, the position of `source`. `allowance` is the number of bytes that may still be decoded.
fn one(
    source: &mut BufferedInput,
    at: Position,
    limits: &Limits,
    allowance: u64,
    progress: &mut Counters,
    visitor: &mut dyn Visitor,
) -> Result<Segment, ReadError> {
    let before = progress.archives;
    let mut observer = Observer::new(visitor);
    let decoded = if at.compression == Compression::None {
        let mut cursor = Cursor::new(source, at).allow(allowance);
        archive(&mut cursor, limits, progress, &mut observer)?;
        cursor.place().decoded
    } else {
        decode(source, at, limits, |pull| {
            content(pull, at, limits, allowance, progress, &mut observer)
        })?
    };
    let archives = progress.archives - before;
    Ok(observer.segment(at, source.offset() - at.offset, decoded, archives))
}

/// Reads the content of a compressed segment; returns the size of the content in bytes.
fn content(
    pull: &mut dyn Pull,
    at: Position,
    limits: &Limits,
    allowance: u64,
    progress: &mut Counters,
    visitor: &mut dyn Visitor,
) -> Result<u64, ReadError> {
    let before = progress.archives;
    let mut cursor = Cursor::new(pull, at).allow(allowance);
    while cursor.skip_nuls(limits)? {
        if cursor.chunk(limits)?.first() != Some(&b'0') {
            return Err(cursor.junk(limits));
        }
        if !cursor.place().decoded.is_multiple_of(4) {
            return Err(ReadError::Misaligned { at: cursor.place() });
        }
        archive(&mut cursor, limits, progress, visitor)?;
    }
    if progress.archives == before {
        return Err(ReadError::MissingTrailer { at: cursor.place() });
    }
    Ok(cursor.place().decoded)
}

/// Returns the compression of the segment at `at`, which begins with `start`. Fails if no segment can begin with these
/// bytes or, for an archive, at this offset.
fn recognise(start: &[u8], at: Position) -> Result<Compression, ReadError> {
    if let Some(compression) = Compression::detect(start) {
        return Ok(compression);
    }
    if let Some(what) = foreign(start) {
        return Err(ReadError::Foreign { at, what });
    }
    if !b"070701".starts_with(&start[..start.len().min(5)]) {
        return Err(ReadError::Junk {
            at,
            bytes: hex(start),
        });
    }
    if !at.offset.is_multiple_of(4) {
        return Err(ReadError::Misaligned { at });
    }
    Ok(Compression::None)
}

fn foreign(start: &[u8]) -> Option<Foreign> {
    let u32_at = |offset: usize| {
        let bytes = start.get(offset..offset + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    if start.starts_with(b"MZ") {
        return Some(Foreign::Uki);
    }
    if start.starts_with(b"\x7fELF") {
        return Some(Foreign::Elf);
    }
    if start.starts_with(b"070707") {
        return Some(Foreign::CpioOdc);
    }
    match u32_at(0)? {
        0x7371_7368 => Some(Foreign::Squashfs),
        0xe0f5_e1e2 => Some(Foreign::Erofs),
        0x184d_2204 => Some(Foreign::Lz4Frame),
        0x184d_2a50..=0x184d_2a5f => Some(Foreign::ZstdSkippable),
        _ => None,
    }
}
