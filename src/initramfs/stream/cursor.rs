// SPDX-License-Identifier: MIT OR Apache-2.0
//! A position in the content of a segment.
//!
//! The cursor does not interpret the bytes. Invariant: consumed bytes exist. Their number is checked when a chunk is
//! requested, so it can exceed the allowance by less than one chunk.

use super::error::{Position, ReadError, hex};
use super::limits::Limits;
use super::pipe::Pull;

/// The content of a segment with a position, limited to an allowance of bytes.
pub(in crate::initramfs) struct Cursor<'p> {
    pull: &'p mut dyn Pull,
    at: Position,
    allowance: u64,
}

impl<'p> Cursor<'p> {
    /// Creates a cursor at `at`.
    pub(in crate::initramfs) fn new(pull: &'p mut dyn Pull, at: Position) -> Self {
        Self {
            pull,
            at,
            allowance: u64::MAX,
        }
    }

    /// Limits the content to `bytes`; more content is an error of the limit `decoded_bytes`.
    pub(in crate::initramfs) fn allow(mut self, bytes: u64) -> Self {
        self.allowance = bytes;
        self
    }

    pub(in crate::initramfs) fn place(&self) -> Position {
        self.at
    }

    /// Returns the offset in the file from which the content at the cursor was decoded; an estimate in compressed
    /// segments.
    pub(super) fn packed(&self) -> u64 {
        self.pull.packed()
    }

    /// Returns the next bytes; empty only at the end.
    pub(in crate::initramfs) fn chunk(&mut self, limits: &Limits) -> Result<&[u8], ReadError> {
        let at = self.at;
        let chunk = self.pull.chunk()?;
        if !chunk.is_empty() && at.decoded >= self.allowance {
            let value = limits.decoded_bytes;
            return Err(ReadError::Limit {
                name: "decoded_bytes",
                value,
                at,
            });
        }
        Ok(chunk)
    }

    pub(in crate::initramfs) fn take(&mut self, count: usize) {
        self.pull.take(count);
        self.at.decoded += count as u64;
    }

    /// Fills `buf`. If the data end earlier, the error names `what`.
    pub(in crate::initramfs) fn exact(
        &mut self,
        buf: &mut [u8],
        what: &'static str,
        limits: &Limits,
    ) -> Result<(), ReadError> {
        let mut filled = 0;
        while filled < buf.len() {
            let chunk = self.chunk(limits)?;
            let count = chunk.len().min(buf.len() - filled);
            buf[filled..filled + count].copy_from_slice(&chunk[..count]);
            if count == 0 {
                return Err(ReadError::Truncated { at: self.at, what });
            }
            self.take(count);
            filled += count;
        }
        Ok(())
    }

    /// Skips `count` bytes. If the data end earlier, the error names `what`.
    pub(in crate::initramfs) fn skip(
        &mut self,
        mut count: u64,
        what: &'static str,
        limits: &Limits,
    ) -> Result<(), ReadError> {
        while count > 0 {
            let step = (self.chunk(limits)?.len() as u64).min(count);
            if step == 0 {
                return Err(ReadError::Truncated { at: self.at, what });
            }
            self.take(step as usize);
            count -= step;
        }
        Ok(())
    }

    /// Skips NULs. Returns whether any bytes are left.
    pub(in crate::initramfs) fn skip_nuls(&mut self, limits: &Limits) -> Result<bool, ReadError> {
        loop {
            let chunk = self.chunk(limits)?;
            let length = chunk.len();
            let nuls = chunk.iter().take_while(|&&byte| byte == 0).count();
            self.take(nuls);
            if nuls < length || length == 0 {
                return Ok(length > 0);
            }
        }
    }

    /// Returns the unconsumed rest of the last chunk again. Reads only if the rest is empty; an error is then ignored.
    pub(in crate::initramfs) fn again(&mut self) -> &[u8] {
        self.pull.chunk().unwrap_or_default()
    }

    /// Returns the error for bytes that are neither header nor padding.
    pub(in crate::initramfs) fn junk(&mut self, limits: &Limits) -> ReadError {
        let at = self.at;
        match self.chunk(limits) {
            Ok(chunk) => ReadError::Junk {
                at,
                bytes: hex(chunk),
            },
            Err(error) => error,
        }
    }
}
