// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bounds-checked access to an image, or to a part of one, through a seekable reader.

use std::io::{self, Read, Seek, SeekFrom, Take};

use super::{Result, VmlinuzError, scan};

/// An image, or a part of one. Offsets are relative to the start of the region.
pub(super) struct Region<'a, R> {
    reader: &'a mut R,
    base: u64,
    size: u64,
}

impl<'a, R: Read + Seek> Region<'a, R> {
    /// Returns the region that is the whole content of the reader.
    pub(super) fn new(reader: &'a mut R) -> io::Result<Self> {
        let size = reader.seek(SeekFrom::End(0))?;
        let base = 0;
        Ok(Self { reader, base, size })
    }

    /// Returns the length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the part of `size` bytes at `offset` as a region. `what` describes the part in an error.
    pub(super) fn part(
        &mut self,
        what: &'static str,
        offset: u64,
        size: u64,
    ) -> Result<Region<'_, R>> {
        self.check(what, offset, size)?;
        Ok(Region {
            reader: &mut *self.reader,
            base: self.base + offset,
            size,
        })
    }

    /// Reads `N` bytes at `offset`; `what` describes them in an error.
    pub(super) fn bytes<const N: usize>(
        &mut self,
        what: &'static str,
        offset: u64,
    ) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream(what, offset, N as u64)?
            .read_exact(&mut bytes)
            .map_err(VmlinuzError::Io)?;
        Ok(bytes)
    }

    /// Returns a reader of the `size` bytes at `offset`. `what` describes them in an error.
    pub(super) fn stream(
        &mut self,
        what: &'static str,
        offset: u64,
        size: u64,
    ) -> Result<Take<&mut R>> {
        self.check(what, offset, size)?;
        self.reader
            .seek(SeekFrom::Start(self.base + offset))
            .map_err(VmlinuzError::Io)?;
        Ok(self.reader.by_ref().take(size))
    }

    /// Returns whether the bytes at `offset` are `magic`; `false` if the region is too short.
    pub(super) fn begins(&mut self, offset: u64, magic: &[u8]) -> io::Result<bool> {
        if offset.saturating_add(magic.len() as u64) > self.size {
            return Ok(false);
        }
        self.reader.seek(SeekFrom::Start(self.base + offset))?;
        let mut found = vec![0; magic.len()];
        self.reader.read_exact(&mut found)?;
        Ok(found == magic)
    }

    /// Returns the first [`scan::HEAD`] bytes, or all bytes of a shorter region.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        self.reader.seek(SeekFrom::Start(self.base))?;
        let mut head = Vec::new();
        self.reader
            .by_ref()
            .take(self.size.min(scan::HEAD as u64))
            .read_to_end(&mut head)?;
        Ok(head)
    }

    fn check(&self, what: &'static str, offset: u64, wanted: u64) -> Result<()> {
        match offset.checked_add(wanted) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(VmlinuzError::Truncated {
                what,
                offset,
                size: self.size,
            }),
        }
    }
}
