// SPDX-License-Identifier: MIT OR Apache-2.0
//! lz4's legacy frame: a magic number, then blocks, each preceded by its length and unpacking to at most 8 MiB.
//!
//! The format has no end marker. As in the kernel (`lib/decompress_unlz4.c`), the magic number can be repeated between
//! blocks (concatenated frames), and the segment ends at a length of zero (four NULs) or at the end of the file. If the
//! data are truncated between two blocks, only the archive inside shows it, since the archive is incomplete.
//!
//! The reader does not interpret the content. Invariant: the reader holds one block and its compressed form.

use std::io::{self, BufRead, Read};

use super::source::BufferedInput;

const MAGIC: u32 = 0x184c_2102;
/// Upper bound of a decoded block (bytes).
const BLOCK: usize = 8 << 20;
/// Upper bound of an encoded block (bytes; `LZ4_compressBound`).
const BLOCK_BOUND: u32 = (BLOCK + BLOCK / 255 + 16) as u32;

/// A reader of the content of an lz4 segment.
pub(in crate::initramfs) struct Lz4Legacy<'s> {
    source: &'s mut BufferedInput,
    packed: Vec<u8>,
    block: Vec<u8>,
    start: usize,
    end: usize,
    done: bool,
}

impl<'s> Lz4Legacy<'s> {
    /// Creates a reader. `source` is at the magic number.
    pub(in crate::initramfs) fn new(source: &'s mut BufferedInput) -> Self {
        Self {
            source,
            packed: Vec::new(),
            block: Vec::new(),
            start: 0,
            end: 0,
            done: false,
        }
    }

    pub(in crate::initramfs) fn source(&self) -> &BufferedInput {
        self.source
    }

    pub(in crate::initramfs) fn source_mut(&mut self) -> &mut BufferedInput {
        self.source
    }

    /// Decodes the next block; `false` at the end of the segment.
    fn next_block(&mut self) -> io::Result<bool> {
        let length = loop {
            let word = match *self.source.peek(4)? {
                [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
                // The kernel treats fewer than four bytes as the end, too.
                _ => return Ok(false),
            };
            match word {
                0 => return Ok(false),
                MAGIC => self.source.consume(4),
                length => break length,
            }
        };
        self.source.consume(4);
        if length > BLOCK_BOUND {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a block of {length} bytes, the limit is {BLOCK_BOUND}"),
            ));
        }
        self.packed.clear();
        let got = (&mut *self.source)
            .take(u64::from(length))
            .read_to_end(&mut self.packed)?;
        if got as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.block.is_empty() {
            self.block = vec![0; BLOCK];
        }
        self.end = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        self.start = 0;
        Ok(true)
    }
}

impl Read for Lz4Legacy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.start == self.end && !self.done {
            self.done = !self.next_block()?;
        }
        let count = buf.len().min(self.end - self.start);
        buf[..count].copy_from_slice(&self.block[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}
