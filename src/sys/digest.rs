// SPDX-License-Identifier: MIT OR Apache-2.0
//! Computes the SHA-256 of the bytes that a reader returns.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// A reader that computes the SHA-256 and the size of the bytes that pass through it.
pub struct Digesting<R> {
    input: R,
    sha256: Sha256,
    size: u64,
}

impl<R: Read> Digesting<R> {
    /// Returns a reader that passes on the bytes of `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            sha256: Sha256::new(),
            size: 0,
        }
    }

    /// Reads the rest of the input. Returns the SHA-256 (hexadecimal) and the number of all bytes that passed through.
    ///
    /// # Errors
    /// When reading fails.
    pub fn finish(self) -> io::Result<(String, u64)> {
        let (sha256, size) = self.finish_bytes()?;
        Ok((hex::encode(sha256), size))
    }

    /// Returns the same as [`finish`](Self::finish), with the bytes of the SHA-256.
    ///
    /// # Errors
    /// When reading fails.
    pub fn finish_bytes(mut self) -> io::Result<([u8; 32], u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((self.sha256.finalize().into(), self.size))
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.sha256.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}
