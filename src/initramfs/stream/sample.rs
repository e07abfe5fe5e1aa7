// SPDX-License-Identifier: MIT OR Apache-2.0
//! Estimates the size that the image would have with `zstd -19`, from a sample of its files.
//!
//! Invariant: at most [`SAMPLE`] bytes are compressed, as one stream.

use std::io::{self, BufRead, Write};

use zstd::Encoder;

use super::entry::{Entry, EntryType, Visitor};
use super::observed::Observed;

/// Size of a block of the sample (bytes). Many small blocks are more representative than a few large ones. zstd finds
/// fewer repetitions in the sample than in the whole image, so the estimate is slightly too large.
const BLOCK: u64 = 128 << 10;

/// Upper bound of the sample (bytes). Compressing a sample of this size takes about four seconds.
const SAMPLE: u64 = 8 << 20;

/// The level of `zstd -19`, the highest without `--ultra`.
const LEVEL: i32 = 19;

/// A visitor that compresses a sample of the files' data, and passes the entries to another visitor.
pub struct Sample<'v> {
    visitor: &'v mut dyn Visitor,
    blocks: Blocks,
}

/// The data of all files, divided into blocks. The first of every `every` blocks is compressed, until [`SAMPLE`] bytes
/// are.
struct Blocks {
    encoder: Option<Encoder<'static, Counter>>,
    every: u64,
    /// The number of bytes of all blocks so far.
    seen: u64,
    sampled: u64,
}

/// A writer that only counts the bytes.
#[derive(Default)]
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Blocks {
    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = BLOCK - self.seen % BLOCK;
            let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (these, rest) = bytes.split_at(count);
            let is_sampled = (self.seen / BLOCK).is_multiple_of(self.every);
            if is_sampled
                && self.sampled < SAMPLE
                && let Some(encoder) = &mut self.encoder
                && encoder.write_all(these).is_ok()
            {
                self.sampled += these.len() as u64;
            }
            self.seen += these.len() as u64;
            bytes = rest;
        }
    }
}

impl<'v> Sample<'v> {
    /// Creates a visitor for an image whose unpacked size is about `unpacked` bytes.
    pub fn new(unpacked: u64, visitor: &'v mut dyn Visitor) -> Self {
        let blocks = Blocks {
            encoder: Encoder::new(Counter::default(), LEVEL).ok(),
            every: unpacked.div_ceil(SAMPLE).max(1),
            seen: 0,
            sampled: 0,
        };
        Self { visitor, blocks }
    }

    /// Returns the estimated number of bytes to which `zstd -19` compresses `unpacked` bytes of the image; `None` if
    /// nothing was sampled or zstd failed.
    pub fn packed(self, unpacked: u64) -> Option<u64> {
        let packed = self.blocks.encoder?.finish().ok()?.0;
        let size = u128::from(unpacked) * u128::from(packed);
        let size = size.checked_div(u128::from(self.blocks.sampled))?;
        u64::try_from(size).ok()
    }
}

impl Visitor for Sample<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        if entry.kind() != EntryType::File {
            return self.visitor.entry(entry, body);
        }
        let mut body = Observed::new(body, |bytes| self.blocks.add(bytes));
        self.visitor.entry(entry, &mut body)?;
        body.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::{archive, file};
    use crate::initramfs::{Inventory, Limits, read};

    #[test]
    fn a_sample_of_equal_data_has_the_ratio_of_all() {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            for shift in [13, 49, 5] {
                state ^= if shift > 32 {
                    state >> (shift - 32)
                } else {
                    state << shift
                };
            }
            (state & 0x0f) as u8
        });
        let noise: Vec<u8> = noise.take(5 << 19).collect();
        let image = archive(&[file("a", &noise), file("b", b"")]);
        let limits = Limits::default();
        let mut inventory = Inventory::new(&limits);
        let unpacked = image.len() as u64;
        let mut sample = Sample::new(unpacked, &mut inventory);
        read(image.as_slice(), &limits, &mut sample).unwrap();
        let packed = sample.packed(unpacked).unwrap();
        let whole = zstd::bulk::compress(&image, LEVEL).unwrap().len() as u64;
        let is_close = packed.abs_diff(whole) < whole / 20;
        assert!(is_close && packed < unpacked, "{packed} {whole}");
        assert_eq!(inventory.nodes().count(), 2);
        let mut none = Sample::new(0, &mut inventory);
        read(archive(&[]).as_slice(), &limits, &mut none).unwrap();
        assert_eq!(none.packed(100), None);
    }
}
