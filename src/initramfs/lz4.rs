// SPDX-License-Identifier: MIT OR Apache-2.0
//! lz4's legacy frame: a magic, then blocks, each with its length before it, each unpacking to at
//! most 8 MiB.
//!
//! The format has no end mark. As the kernel (`lib/decompress_unlz4.c`) does: the magic may come
//! again between blocks (concatenated frames), a length of zero, that is four NULs, ends the
//! segment, and so does the end of the file. What is cut off between two blocks can therefore only
//! be noticed by the archive inside, which then has no trailer.
//!
//! It must not know what is inside. Its invariant: it holds one block and its compressed form.

use std::io::{self, BufRead, Read};

use super::source::Source;

const MAGIC: u32 = 0x184c_2102;
/// Bytes that one block can unpack to.
const BLOCK: usize = 8 << 20;
/// Bytes that a block of incompressible data takes (`LZ4_compressBound`).
const BLOCK_BOUND: u32 = (BLOCK + BLOCK / 255 + 16) as u32;

/// A reader of what one lz4 segment unpacks to.
pub(super) struct Lz4Legacy<'s> {
    source: &'s mut Source,
    packed: Vec<u8>,
    block: Vec<u8>,
    start: usize,
    end: usize,
    done: bool,
}

impl<'s> Lz4Legacy<'s> {
    /// `source` stands before the magic.
    pub(super) fn new(source: &'s mut Source) -> Self {
        Self {
            source,
            packed: Vec::new(),
            block: Vec::new(),
            start: 0,
            end: 0,
            done: false,
        }
    }

    pub(super) fn source(&self) -> &Source {
        self.source
    }

    pub(super) fn source_mut(&mut self) -> &mut Source {
        self.source
    }

    /// Unpacks the next block; false at the end of the segment.
    fn next_block(&mut self) -> io::Result<bool> {
        let length = loop {
            let word = match *self.source.peek(4)? {
                [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
                // Fewer than four bytes: the kernel takes this for the end, too.
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
                format!("a block of {length} bytes, where {BLOCK_BOUND} is the most"),
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
