// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transfers the content of a segment to its parser: directly from the file, or from a decoder through a ring of
//! buffers. The decoder of a large segment runs on a thread of its own.
//!
//! This module does not interpret the content. Invariant: there are at most [`RING`] buffers of [`PIECE`] bytes, and a
//! decoder whose reader is dropped stops at the next buffer.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::compress::Decoder;
use super::error::{Position, ReadError};
use super::limits::{Limits, RATIO_FLOOR};
use super::source::BufferedInput;

/// Size of a buffer (bytes). Small buffers would be slow: each transfer wakes up a thread, which interrupts the decoder
/// if no processor is idle.
const PIECE: usize = 512 << 10;
/// Number of buffers in the ring. The decoder is faster than the reader in kernel modules, which the reader compares
/// with the tree's, and slower in programs; with many buffers the decoder can run ahead. The decoder reuses the buffer
/// that was returned last, so that a slow decoder uses few buffers, which stay in the processor's cache.
const RING: usize = 20;

/// A source of content in chunks.
pub(in crate::initramfs) trait Pull {
    /// Returns the available bytes that are not consumed yet; empty only at the end.
    fn chunk(&mut self) -> Result<&[u8], ReadError>;
    /// Consumes `count` bytes of the last chunk.
    fn take(&mut self, count: usize);
    /// Returns the offset in the file from which the next content is decoded, interpolated within a chunk of a decoder.
    fn packed(&self) -> u64;
}

impl Pull for BufferedInput {
    fn chunk(&mut self) -> Result<&[u8], ReadError> {
        let offset = self.offset();
        match self.fill_buf() {
            // The borrow checker rejects returning this borrow, so `fill_buf` is called again below.
            Ok(_) => {}
            Err(error) => {
                let source = self.take_fault().unwrap_or(error);
                return Err(ReadError::Io { offset, source });
            }
        }
        self.fill_buf()
            .map_err(|source| ReadError::Io { offset, source })
    }

    fn take(&mut self, count: usize) {
        self.consume(count);
    }

    fn packed(&self) -> u64 {
        self.offset()
    }
}

/// A buffer of content, with the offset in the file that the decoder has reached.
struct Chunk {
    bytes: Vec<u8>,
    offset: u64,
}

/// The reader's end of the ring.
struct Ring<'l> {
    full: Receiver<Result<Chunk, ReadError>>,
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    taken: usize,
    /// The offsets in the file from which and to which the current buffer was decoded.
    packed: (u64, u64),
    unpacked: u64,
    at: Position,
    limits: &'l Limits,
}

impl Ring<'_> {
    fn next(&mut self) -> Result<(), ReadError> {
        let Ok(piece) = self.full.recv() else {
            self.piece.clear();
            self.taken = 0;
            return Ok(());
        };
        let piece = piece?;
        let packed = piece.offset.saturating_sub(self.at.offset).max(1);
        self.packed = (self.packed.1, piece.offset);
        let spent = std::mem::replace(&mut self.piece, piece.bytes);
        // This fails if the decoder has finished, and needs no more buffers.
        let _ = self.empty.send(spent);
        self.taken = 0;
        self.unpacked = self.unpacked.saturating_add(self.piece.len() as u64);
        if self.unpacked > RATIO_FLOOR && self.unpacked / packed > self.limits.ratio {
            let at = Position {
                decoded: self.unpacked,
                ..self.at
            };
            return Err(ReadError::Limit {
                name: "ratio",
                value: self.limits.ratio,
                at,
            });
        }
        Ok(())
    }
}

impl Pull for Ring<'_> {
    fn chunk(&mut self) -> Result<&[u8], ReadError> {
        if self.taken == self.piece.len() {
            self.next()?;
        }
        Ok(&self.piece[self.taken..])
    }

    fn take(&mut self, count: usize) {
        self.taken = self.piece.len().min(self.taken + count);
    }

    fn packed(&self) -> u64 {
        let (from, to) = self.packed;
        let share = to.saturating_sub(from).saturating_mul(self.taken as u64);
        from + share / self.piece.len().max(1) as u64
    }
}

/// Decodes the segment at `at`, the position of `source`, and calls `parse` with the content. If the content fills the
/// first buffer, the rest is decoded on another thread while `parse` runs. If `parse` has read to the end, `source` is
/// at the end of the segment afterwards.
pub(in crate::initramfs) fn decode<T>(
    source: &mut BufferedInput,
    at: Position,
    limits: &Limits,
    parse: impl FnOnce(&mut dyn Pull) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut decoder = Decoder::new(source, at, limits)?;
    // The first buffer is decoded here: small segments end with it and need no thread.
    let mut first = vec![0; PIECE];
    let filled = decoder.fill(&mut first, at, limits)?;
    let ended = filled < first.len();
    first.truncate(filled);
    let (full_in, full) = sync_channel(RING);
    let (empty, empty_out) = channel();
    let piece = Chunk {
        bytes: first,
        offset: decoder.offset(),
    };
    let mut ring = Ring {
        full,
        empty,
        piece: Vec::new(),
        taken: 0,
        packed: (at.offset, at.offset),
        unpacked: 0,
        at,
        limits,
    };
    // The channel is empty and the receiver exists, so this neither fails nor blocks.
    let _ = full_in.send(Ok(piece));
    if ended {
        drop(full_in);
        return parse(&mut ring);
    }
    for _ in 2..RING {
        let _ = ring.empty.send(Vec::new());
    }
    std::thread::scope(|scope| {
        scope.spawn(move || feed(decoder, at, limits, &empty_out, &full_in));
        // `ring` must be dropped before the scope waits: this ends the thread if the content was not read to its end.
        let mut ring = ring;
        parse(&mut ring)
    })
}

/// Fills the buffers of the ring from the decoder until the segment ends or the reader is dropped.
fn feed(
    mut decoder: Decoder<'_>,
    at: Position,
    limits: &Limits,
    empty: &Receiver<Vec<u8>>,
    full: &SyncSender<Result<Chunk, ReadError>>,
) {
    let mut unused = Vec::new();
    loop {
        unused.extend(empty.try_iter());
        let Some(mut bytes) = unused.pop().or_else(|| empty.recv().ok()) else {
            return;
        };
        if bytes.is_empty() {
            bytes = vec![0; PIECE];
        }
        let piece = decoder.fill(&mut bytes, at, limits).map(|filled| {
            bytes.truncate(filled);
            Chunk {
                bytes,
                offset: decoder.offset(),
            }
        });
        let last = !matches!(&piece, Ok(piece) if piece.bytes.len() == PIECE);
        if full.send(piece).is_err() || last {
            return;
        }
    }
}
