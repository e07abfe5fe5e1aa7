// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file as a stream that can be looked ahead into, and that knows how far it has been read.
//!
//! It must not interpret bytes. Its invariant: what a decoder does not consume is still there for
//! whoever reads next, and an error of the input is kept apart from what decoders make of it.

use std::io::{self, BufRead, Read};

/// How far [`Source::peek`] can look ahead, in bytes.
pub(super) const LOOK_AHEAD: usize = 4096;
/// Bytes asked of the input at a time.
const BUFFER: usize = 128 << 10;

/// A buffered input with a position.
pub(super) struct Source<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    ended: bool,
    fault: Option<io::Error>,
}

impl<R: Read> Source<R> {
    /// Starts at byte 0 of `input`.
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            fault: None,
        }
    }

    /// Bytes consumed so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The error of the input, if that is what ended the last read.
    pub(super) fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    /// The next `wanted` bytes (at most [`LOOK_AHEAD`]) without consuming them; fewer only at the
    /// end of the input.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(LOOK_AHEAD);
        while self.end - self.start < wanted && !self.ended {
            self.refill()?;
        }
        let shown = wanted.min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + shown])
    }

    /// Reads once more behind what is buffered.
    fn refill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.start < LOOK_AHEAD {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count.min(self.buffer.len() - self.end),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let kind = error.kind();
                    self.fault = Some(error);
                    return Err(kind.into());
                }
            }
            return Ok(());
        }
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && !self.ended {
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.end - self.start);
        self.start += amount;
        self.offset += amount as u64;
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buf.len());
        buf[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::Trickle;

    #[test]
    fn looks_ahead_and_keeps_its_place() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
        let mut source = Source::new(Trickle::new(&bytes, 7001));
        assert_eq!(source.peek(4).unwrap(), &bytes[..4]);
        let mut at = 0;
        while at < bytes.len() {
            let shown = source.peek(LOOK_AHEAD).unwrap().to_vec();
            assert_eq!(shown, bytes[at..bytes.len().min(at + LOOK_AHEAD)]);
            let step = 997
                .min(bytes.len() - at)
                .min(source.fill_buf().unwrap().len());
            source.consume(step);
            at += step;
            assert_eq!(source.offset(), at as u64);
        }
        assert!(source.peek(1).unwrap().is_empty());
    }

    #[test]
    fn an_error_of_the_input_is_kept() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cable"))
            }
        }
        let mut source = Source::new(Broken);
        assert!(source.peek(1).is_err());
        assert_eq!(source.take_fault().unwrap().to_string(), "cable");
    }
}
