// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source that returns one byte at a time, as a pipe may do.

use std::io::{BufRead, Cursor, Read, Result, Seek, SeekFrom};

/// Bytes that are read one at a time.
pub struct Trickle<'b>(Cursor<&'b [u8]>);

impl<'b> Trickle<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(Cursor::new(bytes))
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

impl BufRead for Trickle<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        let rest = self.0.fill_buf()?;
        Ok(&rest[..rest.len().min(1)])
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Seek for Trickle<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.0.seek(to)
    }
}
