// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the input ahead, on a thread of its own: a digest that is made on the way does not hold up the decoder.
//!
//! It must not interpret bytes. Its invariant: at most [`RING`] buffers of [`BUFFER`] bytes exist, an input that fits
//! into one of them starts no thread, and an error comes behind all bytes that were read before it.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes of one buffer.
const BUFFER: usize = 128 << 10;
/// Buffers in the ring.
const RING: usize = 4;

/// The input, as far as it was read ahead.
pub(super) struct Ahead {
    piece: Piece,
    taken: usize,
    ring: Option<(Receiver<Piece>, Sender<Vec<u8>>)>,
}

/// One buffer of input, and how the input ended behind it, if it did.
struct Piece {
    bytes: Vec<u8>,
    end: Option<io::Result<()>>,
}

impl Piece {
    /// Reads until `bytes` is full.
    fn read(input: &mut impl Read, mut bytes: Vec<u8>) -> Self {
        bytes.resize(BUFFER, 0);
        let mut filled = 0;
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

/// Lets `then` read from `input`.
pub(super) fn ahead<T>(mut input: impl Read + Send, then: impl FnOnce(Ahead) -> T) -> T {
    let piece = Piece::read(&mut input, Vec::new());
    let (taken, ring) = (0, None);
    if piece.end.is_some() {
        return then(Ahead { piece, taken, ring });
    }
    let (full_in, full) = sync_channel(RING);
    let (empty, empty_out) = channel();
    for _ in 1..RING {
        let _ = empty.send(Vec::new());
    }
    std::thread::scope(|scope| {
        scope.spawn(move || feed(input, &empty_out, &full_in));
        let ring = Some((full, empty));
        then(Ahead { piece, taken, ring })
    })
}

/// The input's side: fills buffers until the input, or whoever reads it, ends.
fn feed(mut input: impl Read, empty: &Receiver<Vec<u8>>, full: &SyncSender<Piece>) {
    while let Ok(bytes) = empty.recv() {
        let piece = Piece::read(&mut input, bytes);
        let last = piece.end.is_some();
        if full.send(piece).is_err() || last {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.bytes.len() {
            match (self.piece.end.take(), &self.ring) {
                (None, Some((full, empty))) => {
                    let Ok(piece) = full.recv() else {
                        return Ok(0);
                    };
                    let spent = std::mem::replace(&mut self.piece, piece);
                    self.taken = 0;
                    // Behind the end no more buffers are needed.
                    let _ = empty.send(spent.bytes);
                }
                (None | Some(Ok(())), _) => {
                    self.piece.end = Some(Ok(()));
                    return Ok(0);
                }
                (Some(Err(error)), _) => {
                    self.piece.end = Some(Ok(()));
                    return Err(error);
                }
            }
        }
        let left = &self.piece.bytes[self.taken..];
        let count = left.len().min(buf.len());
        buf[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::Trickle;

    /// Gives bytes, and fails behind them.
    struct Breaks<'b>(Trickle<'b>);

    impl Read for Breaks<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(io::Error::other("cable")),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn all_bytes_come_and_then_the_error() {
        for length in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 9 * BUFFER + 5] {
            let bytes: Vec<u8> = (0..length).map(|i| (i / 3) as u8).collect();
            let read = |input: &mut dyn Read| {
                let mut read = Vec::new();
                (input.read_to_end(&mut read).map(|_| ()), read)
            };
            let (end, found) = ahead(Trickle::new(&bytes, 7001), |mut input| read(&mut input));
            assert!(end.is_ok() && found == bytes, "{length}");
            let broken = Breaks(Trickle::new(&bytes, 7001));
            let (end, found) = ahead(broken, |mut input| read(&mut input));
            assert_eq!(end.unwrap_err().to_string(), "cable");
            assert!(found == bytes, "{length}");
        }
    }

    #[test]
    fn nobody_has_to_read_to_the_end() {
        let endless = io::repeat(7);
        let first = ahead(endless, |mut input| {
            let mut first = [0];
            input.read_exact(&mut first).map(|()| first)
        });
        assert_eq!(first.unwrap(), [7]);
    }
}
