// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the write-ahead log of an SQLite file, and selects the same pages as SQLite's own recovery (`walIndexRecover`;
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};

use anyhow::{Result, bail};

use super::read_full;

/// The size of the log's header (bytes).
const HEADER: usize = 32;
/// The size of the header of a frame, which is followed by a page (bytes).
const FRAME: usize = 24;

/// The version of the format; SQLite refuses any other.
const VERSION: u32 = 3_007_000;

/// A log with at least one committed transaction.
#[derive(Debug)]
pub(super) struct Wal {
    file: File,
    page_size: usize,
    /// Number of pages in the database after the last commit.
    pages: u32,
    /// For each page number in the log, the offset of the page's newest committed copy.
    frames: BTreeMap<u32, u64>,
}

impl Wal {
    /// Reads the log; `None` if it has no committed transaction, because SQLite then ignores it.
    ///
    /// # Errors
    /// When the log cannot be read, is larger than `max` bytes, or has another format version.
    pub(super) fn read(file: File, max: u64) -> Result<Option<Self>> {
        let size = file.metadata()?.len();
        if size > max {
            bail!("it has {size} bytes, the limit is {max}");
        }
        let mut input = BufReader::new(&file);
        let mut header = [0; HEADER];
        if read_full(&mut input, &mut header)? < HEADER {
            return Ok(None);
        }
        let page_size = be32(&header, 8) as usize;
        let is_page_size = page_size.is_power_of_two() && (512..=65536).contains(&page_size);
        // The last bit of the magic number is the byte order of the checksums.
        if be32(&header, 0) & !1 != 0x377f_0682 || !is_page_size {
            return Ok(None);
        }
        let mut sum = Sum {
            is_big: header[3] & 1 == 1,
            words: (0, 0),
        };
        sum.add(&header[..24]);
        if sum.words != (be32(&header, 24), be32(&header, 28)) {
            return Ok(None);
        }
        if be32(&header, 4) != VERSION {
            bail!("its format is {}, expected {VERSION}", be32(&header, 4));
        }
        let salts = (be32(&header, 16), be32(&header, 20));
        let (mut pages, mut committed) = (0, BTreeMap::new());
        let mut open = Vec::new();
        let mut at = HEADER as u64;
        let mut frame = vec![0; FRAME + page_size];
        while read_full(&mut input, &mut frame)? == frame.len() {
            let number = be32(&frame, 0);
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME..]);
            let is_whole = sum.words == (be32(&frame, 16), be32(&frame, 20));
            if number == 0 || (be32(&frame, 8), be32(&frame, 12)) != salts || !is_whole {
                break;
            }
            open.push((number, at + FRAME as u64));
            at += frame.len() as u64;
            if be32(&frame, 4) != 0 {
                pages = be32(&frame, 4);
                committed.extend(open.drain(..));
            }
        }
        Ok((pages != 0).then_some(Self {
            file,
            page_size,
            pages,
            frames: committed,
        }))
    }

    /// Returns the size of the merged database (bytes).
    pub(super) fn size(&self) -> u64 {
        u64::from(self.pages) * self.page_size as u64
    }

    /// Resizes `image`, the bytes of the database file, to [`size`](Self::size), and copies the pages of the log into
    /// it.
    ///
    /// # Errors
    /// When the log cannot be read, or its page size differs from the database's.
    pub(super) fn apply(mut self, image: &mut Vec<u8>) -> Result<()> {
        if let Some(size) = image.get(16..18) {
            // 65536 does not fit into the field and is written as 1.
            let size = match u16::from_be_bytes([size[0], size[1]]) {
                1 => 65536,
                other => usize::from(other),
            };
            if size != self.page_size {
                bail!(
                    "its -wal has pages of {} bytes, the file of {size}",
                    self.page_size
                );
            }
        }
        image.resize(usize::try_from(self.size())?, 0);
        for (number, at) in std::mem::take(&mut self.frames) {
            let start = (number as usize - 1) * self.page_size;
            // The database no longer has this page: a later commit made the database smaller.
            let Some(page) = image.get_mut(start..start + self.page_size) else {
                continue;
            };
            self.file.seek(SeekFrom::Start(at))?;
            if read_full(&mut self.file, page)? < self.page_size {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }
}

/// The cumulative checksum of the log.
struct Sum {
    is_big: bool,
    words: (u32, u32),
}

impl Sum {
    /// Adds bytes, whose number is a multiple of eight.
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                if self.is_big {
                    be32(pair, at)
                } else {
                    be32(pair, at).swap_bytes()
                }
            };
            let (first, second) = (word(0), word(4));
            self.words.0 = self.words.0.wrapping_add(first).wrapping_add(self.words.1);
            self.words.1 = self.words.1.wrapping_add(second).wrapping_add(self.words.0);
        }
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}
