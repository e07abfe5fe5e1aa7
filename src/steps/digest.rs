// SPDX-License-Identifier: MIT OR Apache-2.0
//! Digests of files: SHA-256 of what a reader has read, and the HMAC in `.vmlinuz.hmac`.

use std::io::{self, Read, Seek};

use sha2::{Digest, Sha256, Sha512};

use crate::package::hex;

/// The largest `.vmlinuz.hmac` that is read (bytes): a line.
pub const HMAC_MAX: u64 = 4096;

/// The key of libkcapi's and hmaccalc's `sha512hmac`.
const KEY: &[u8] = b"FIPS-FTW-RHEL2009";

/// Bytes that are read at a time.
const STEP: usize = 64 << 10;

/// Passes bytes through, and remembers their digest and number.
pub struct Digesting<R> {
    input: R,
    sha256: Sha256,
    size: u64,
}

impl<R: Read> Digesting<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            sha256: Sha256::new(),
            size: 0,
        }
    }

    /// Reads what is left, and gives SHA-256 (hexadecimal) and number of all bytes.
    ///
    /// # Errors
    /// When reading fails.
    pub fn finish(mut self) -> io::Result<(String, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((hex(&self.sha256.finalize()), self.size))
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

/// Returns the HMAC (RFC 2104, hexadecimal) of all of `data`, as `sha512hmac` prints it.
///
/// # Errors
/// When reading fails.
pub fn hmac(data: &mut (impl Read + Seek)) -> io::Result<String> {
    let pad = |byte: u8| {
        let mut block = [byte; 128];
        for (place, key) in block.iter_mut().zip(KEY) {
            *place ^= key;
        }
        block
    };
    data.rewind()?;
    let mut inner = Sha512::new().chain_update(pad(0x36));
    let mut buffer = vec![0; STEP];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => inner.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let outer = Sha512::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    Ok(hex(&outer.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hmac_is_that_of_openssl() {
        // printf abc | openssl dgst -sha512 -hmac FIPS-FTW-RHEL2009
        let expected = "fe02997f10bdc4b396ec5ed5e7eb072c4fb93f435374221732c4ad77d7149c98aa359f656cf5602fe935598c50b3568edd3cbce4c92afe65fde6a87a247bb648";
        let found = hmac(&mut io::Cursor::new(b"abc")).unwrap();
        assert_eq!(found, expected);
    }
}
