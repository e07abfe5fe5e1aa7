// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hands over what a segment unpacks to: straight from the file, or from a decoder on a thread of
//! its own through a ring of a few buffers.
//!
//! It must not know what is inside. Its invariant: at most [`RING`] buffers of [`PIECE`] bytes
//! exist, and a decoder whose reader has gone stops at the next buffer.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::compress::Decoder;
use super::error::{Place, ReadError};
use super::limits::{Limits, RATIO_FLOOR};
use super::source::Source;

/// Bytes of one buffer. Handing one over wakes a thread, which on two busy processors stops the decoder.
const PIECE: usize = 512 << 10;
/// Buffers in the ring. The decoder is faster where modules lie, which whoever reads compares one by one, and slower
/// where programs lie; so many let it go on meanwhile. It takes the one that came back last: while it is the slower of
/// the two, a few are in use, and those are in the processor's cache.
const RING: usize = 20;

/// Content, a piece at a time.
pub(super) trait Pull {
    /// What is there and not yet taken; empty only at the end.
    fn chunk(&mut self) -> Result<&[u8], ReadError>;
    /// Takes `count` bytes of the last chunk.
    fn take(&mut self, count: usize);
}

impl Pull for Source {
    fn chunk(&mut self) -> Result<&[u8], ReadError> {
        let offset = self.offset();
        match self.fill_buf() {
            // The borrow checker does not let a failed borrow go here, so ask again.
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
}

/// One buffer of content, with the bytes of the file that had been read for all up to here.
struct Piece {
    bytes: Vec<u8>,
    offset: u64,
}

/// The reading end of the ring.
struct Ring<'l> {
    full: Receiver<Result<Piece, ReadError>>,
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    taken: usize,
    unpacked: u64,
    at: Place,
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
        let spent = std::mem::replace(&mut self.piece, piece.bytes);
        // A decoder that has ended needs no more buffers.
        let _ = self.empty.send(spent);
        self.taken = 0;
        self.unpacked = self.unpacked.saturating_add(self.piece.len() as u64);
        if self.unpacked > RATIO_FLOOR && self.unpacked / packed > self.limits.ratio {
            let at = Place {
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
}

/// Decodes the segment at `at`, where `source` stands, on a second thread, while `parse` reads its
/// content on this one. Afterwards `source` stands behind the segment, if `parse` read to the end.
pub(super) fn decode<T>(
    source: &mut Source,
    at: Place,
    limits: &Limits,
    parse: impl FnOnce(&mut dyn Pull) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut decoder = Decoder::new(source, at, limits)?;
    // The first piece is decoded here: small segments end with it and need no thread.
    let mut first = vec![0; PIECE];
    let filled = decoder.fill(&mut first, at, limits)?;
    let ended = filled < first.len();
    first.truncate(filled);
    let (full_in, full) = sync_channel(RING);
    let (empty, empty_out) = channel();
    let piece = Piece {
        bytes: first,
        offset: decoder.offset(),
    };
    let mut ring = Ring {
        full,
        empty,
        piece: Vec::new(),
        taken: 0,
        unpacked: 0,
        at,
        limits,
    };
    // The channel is empty and its other end is here: this cannot fail or block.
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
        // The ring must go before the scope waits: a decoder that nobody reads ends by that.
        let mut ring = ring;
        parse(&mut ring)
    })
}

/// The decoder's side: fills buffers until the segment, or whoever reads it, ends.
fn feed(
    mut decoder: Decoder<'_>,
    at: Place,
    limits: &Limits,
    empty: &Receiver<Vec<u8>>,
    full: &SyncSender<Result<Piece, ReadError>>,
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
            Piece {
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
