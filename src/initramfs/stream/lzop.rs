// SPDX-License-Identifier: MIT OR Apache-2.0
//! lzop's format: a header, then blocks, each preceded by its sizes and a checksum, and a size of zero at the end.
//!
//! The format is read as in the kernel (`lib/decompress_unlzo.c`): most of the header's flags are ignored, and a block
//! unpacks to at most 256 KiB and has one checksum, which is not verified.
//!
//! The reader does not interpret the content. Invariant: the reader holds one block and its compressed form.

use std::io::{self, BufRead, Read};

use super::source::BufferedInput;

/// Size of the magic number (bytes).
const MAGIC: usize = 9;
/// Upper bound of a decoded block (bytes; `LZO_BLOCK_SIZE`).
const BLOCK: u32 = 256 << 10;
/// The flag in the header for a field with the number of a filter.
const HAS_FILTER: u32 = 0x800;
/// The first version whose header has a compression level and the upper half of the modification time.
const LATER: u16 = 0x0940;

/// A reader of the content of an lzop segment.
pub(in crate::initramfs) struct Lzop<'s> {
    source: &'s mut BufferedInput,
    packed: Vec<u8>,
    block: Vec<u8>,
    start: usize,
    begun: bool,
    done: bool,
}

impl<'s> Lzop<'s> {
    /// Creates a reader. `source` is at the magic number.
    pub(in crate::initramfs) fn new(source: &'s mut BufferedInput) -> Self {
        Self {
            source,
            packed: Vec::new(),
            block: Vec::new(),
            start: 0,
            begun: false,
            done: false,
        }
    }

    pub(in crate::initramfs) fn source(&self) -> &BufferedInput {
        self.source
    }

    pub(in crate::initramfs) fn source_mut(&mut self) -> &mut BufferedInput {
        self.source
    }

    /// Skips the header.
    fn header(&mut self) -> io::Result<()> {
        self.skip(MAGIC)?;
        let version = self.bytes::<2>().map(u16::from_be_bytes)?;
        let is_later = version >= LATER;
        // Skips two versions, the method and, in later headers, the level.
        self.skip(if is_later { 6 } else { 5 })?;
        if self.word()? & HAS_FILTER != 0 {
            self.skip(4)?;
        }
        // Skips the mode and the modification time of the compressed file.
        self.skip(if is_later { 12 } else { 8 })?;
        let [name] = self.bytes()?;
        self.skip(usize::from(name) + 4)
    }

    /// Decodes the next block; `false` at the end of the segment.
    fn next_block(&mut self) -> io::Result<bool> {
        let size = self.word()?;
        if size == 0 {
            return Ok(false);
        }
        let packed = self.word()?;
        self.skip(4)?;
        if size > BLOCK || packed == 0 || packed > size {
            let what = format!(
                "a block of {packed} bytes that unpacks to {size}; expected 1 to {size} bytes that unpack to at most {BLOCK}"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.packed.resize(packed as usize, 0);
        self.source.read_exact(&mut self.packed)?;
        self.start = 0;
        if packed == size {
            self.block.clone_from(&self.packed);
            return Ok(true);
        }
        self.block.resize(size as usize, 0);
        let unpacked = lzokay::decompress::decompress(&self.packed, &mut self.block);
        match unpacked {
            Ok(unpacked) if unpacked == self.block.len() => Ok(true),
            Ok(unpacked) => {
                let what = format!("a block unpacks to {unpacked} bytes, not to {size}");
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            Err(error) => {
                let what = format!("a block cannot be decompressed: {error:?}");
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn word(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        let there = self.source.peek(count)?.len();
        self.source.consume(there);
        if there < count {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }
}

impl Read for Lzop<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begun = true;
            self.header()?;
        }
        while self.start == self.block.len() && !self.done {
            self.done = !self.next_block()?;
        }
        let count = buf.len().min(self.block.len() - self.start);
        buf[..count].copy_from_slice(&self.block[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}
