// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file as a stream with a look-ahead and a position. Another thread reads a large file, so that the decoder does
//! not wait for an input that computes a digest.
//!
//! This module does not interpret the bytes. Invariants: bytes that a decoder does not consume remain for the next
//! reader; an error of the input is returned after all bytes before the error, and is kept separate from errors of
//! decoders; there are at most [`RING`] buffers of [`PIECE`] bytes; an input shorter than a buffer starts no thread.

use std::io::{self, BufRead, ErrorKind, Read};
use std::mem;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::bytes::read_buffered;

/// Upper bound of [`BufferedInput::peek`] (bytes).
pub(in crate::initramfs) const LOOK_AHEAD: usize = 4096;
/// Size of a buffer (bytes). It is several times the size of a zstd block (at most 128 KiB), since zstd copies blocks
/// that are split between two buffers.
const PIECE: usize = 512 << 10;
/// Number of buffers in the ring.
const RING: usize = 4;

/// A part of the input. In `bytes` it is preceded by [`LOOK_AHEAD`] bytes of space for the rest of the previous part.
/// `end` is set if the input ended or failed after this part.
struct Piece {
    bytes: Vec<u8>,
    end: Option<io::Result<()>>,
}

impl Piece {
    /// Reads until `bytes` is full, or the input ends or fails.
    fn read(input: &mut impl Read, mut bytes: Vec<u8>) -> Self {
        bytes.resize(LOOK_AHEAD + PIECE, 0);
        let mut filled = LOOK_AHEAD;
        let mut end = None;
        while filled < bytes.len() && end.is_none() {
            match input.read(&mut bytes[filled..]) {
                Ok(0) => end = Some(Ok(())),
                Ok(count) => filled += count.min(bytes.len() - filled),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => end = Some(Err(error)),
            }
        }
        bytes.truncate(filled);
        Self { bytes, end }
    }
}

/// A buffered input with a position.
pub(in crate::initramfs) struct BufferedInput {
    piece: Piece,
    start: usize,
    offset: u64,
    ring: Option<(Receiver<Piece>, Sender<Vec<u8>>)>,
    fault: Option<io::Error>,
}

/// Calls `then` with a stream of `input`, from its first byte.
pub(in crate::initramfs) fn reading<T>(
    mut input: impl Read + Send,
    then: impl FnOnce(&mut BufferedInput) -> T,
) -> T {
    let mut source = BufferedInput {
        piece: Piece::read(&mut input, Vec::new()),
        start: LOOK_AHEAD,
        offset: 0,
        ring: None,
        fault: None,
    };
    if source.piece.end.is_some() {
        return then(&mut source);
    }
    let (full_in, full) = sync_channel(RING);
    let (empty, empty_out) = channel();
    for _ in 1..RING {
        let _ = empty.send(Vec::new());
    }
    source.ring = Some((full, empty));
    std::thread::scope(|scope| {
        scope.spawn(move || feed(input, &empty_out, &full_in));
        // `source` must be dropped before the scope waits: this ends the thread if the input was not read to its end.
        let mut source = source;
        then(&mut source)
    })
}

/// Fills the buffers of the ring from the input until the input ends or the reader is dropped.
fn feed(mut input: impl Read, empty: &Receiver<Vec<u8>>, full: &SyncSender<Piece>) {
    while let Ok(bytes) = empty.recv() {
        let piece = Piece::read(&mut input, bytes);
        let last = piece.end.is_some();
        if full.send(piece).is_err() || last {
            return;
        }
    }
}

impl BufferedInput {
    /// Returns the number of consumed bytes.
    pub(in crate::initramfs) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes out the error of the input, if it caused the last failure.
    pub(in crate::initramfs) fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    /// Returns the next `wanted` bytes (at most [`LOOK_AHEAD`]) without consuming them; fewer only at the end of the
    /// input.
    pub(in crate::initramfs) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(LOOK_AHEAD);
        while self.left().len() < wanted && !self.ended() {
            self.refill()?;
        }
        let left = self.left();
        Ok(&left[..wanted.min(left.len())])
    }

    fn left(&self) -> &[u8] {
        &self.piece.bytes[self.start..]
    }

    fn ended(&self) -> bool {
        matches!(self.piece.end, Some(Ok(())))
    }

    /// Gets the next buffer, and copies the rest of the current one, less than [`LOOK_AHEAD`] bytes, before the new
    /// bytes. Fails if the input failed after the current buffer; changes no bytes at the end of the input.
    fn refill(&mut self) -> io::Result<()> {
        let end = self.piece.end.replace(Ok(()));
        if let Some(Err(error)) = end {
            let kind = error.kind();
            self.fault = Some(error);
            return Err(kind.into());
        }
        if let (None, Some((full, empty))) = (end, &self.ring)
            && let Ok(mut next) = full.recv()
        {
            let start = LOOK_AHEAD - self.left().len();
            next.bytes[start..LOOK_AHEAD].copy_from_slice(self.left());
            self.start = start;
            let spent = mem::replace(&mut self.piece, next);
            // This fails after the end of the input, when no more buffers are needed.
            let _ = empty.send(spent.bytes);
        }
        Ok(())
    }
}

impl BufRead for BufferedInput {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left().is_empty() && !self.ended() {
            self.refill()?;
        }
        Ok(self.left())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.left().len());
        self.start += amount;
        self.offset += amount as u64;
    }
}

impl Read for BufferedInput {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::Trickle;

    /// A reader that returns an error at the end of its bytes.
    struct Breaks<'b>(Trickle<'b>);

    impl Read for Breaks<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(io::Error::other("cable")),
                count => Ok(count),
            }
        }
    }

    fn some_bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i / 3) as u8).collect()
    }

    #[test]
    fn peek_does_not_advance() {
        let bytes = some_bytes(3 * PIECE + 17);
        reading(Trickle::new(&bytes, 7001), |source| {
            assert_eq!(source.peek(4).unwrap(), &bytes[..4]);
            let mut at = 0;
            while at < bytes.len() {
                let shown = source.peek(LOOK_AHEAD).unwrap();
                assert!(*shown == bytes[at..bytes.len().min(at + LOOK_AHEAD)]);
                let step = 997
                    .min(bytes.len() - at)
                    .min(source.fill_buf().unwrap().len());
                source.consume(step);
                at += step;
                assert_eq!(source.offset(), at as u64);
            }
            assert!(source.peek(1).unwrap().is_empty());
        });
    }

    #[test]
    fn all_bytes_arrive_before_the_error() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 9 * PIECE + 5] {
            let bytes = some_bytes(length);
            let read = |source: &mut BufferedInput| {
                let mut read = Vec::new();
                let end = source.read_to_end(&mut read).is_ok();
                let fault = source.take_fault().map(|fault| fault.to_string());
                (read, end, fault)
            };
            let (found, end, fault) = reading(Trickle::new(&bytes, 7001), read);
            assert!(found == bytes && end && fault.is_none(), "{length}");
            let broken = Breaks(Trickle::new(&bytes, 7001));
            let (found, end, fault) = reading(broken, read);
            assert!(found == bytes && !end, "{length}");
            assert_eq!(fault.as_deref(), Some("cable"));
        }
    }

    #[test]
    fn a_reader_may_stop_before_the_end() {
        let first = reading(io::repeat(7), |source| source.peek(1).unwrap().to_vec());
        assert_eq!(first, [7]);
    }
}
