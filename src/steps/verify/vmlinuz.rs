// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vmlinuz`, read once: its release, its digest, its signature, its HMAC.

use sha2::{Digest, Sha256, Sha512};

use crate::checks::Hmac;
use crate::kernel::kver::Kver;
use crate::kernel::package::hex;
use crate::kernel::vmlinuz;
use crate::sys::root::Root;

/// The largest vmlinuz that is read (bytes).
const VMLINUZ_MAX: u64 = 512 * 1024 * 1024;

/// The largest `.vmlinuz.hmac` that is read (bytes): a line.
const HMAC_MAX: u64 = 4096;

/// The key of libkcapi's and hmaccalc's `sha512hmac`.
const KEY: &[u8] = b"FIPS-FTW-RHEL2009";

/// What `vmlinuz` says.
pub(super) struct Vmlinuz {
    /// What it says that it is, or why that cannot be told.
    pub(super) release: Result<vmlinuz::Release, String>,
    /// SHA-256 of it, where it was asked for.
    pub(super) sha256: Option<String>,
    /// Whether it is signed.
    pub(super) signed: Result<bool, String>,
    /// What the file beside it says.
    pub(super) hmac: Hmac,
}

/// Reads it.
pub(super) fn read(root: &Root, kver: &Kver, digest: bool) -> Vmlinuz {
    let bytes = match root.read(format!("{}/vmlinuz", kver.dir()), VMLINUZ_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return unread("no such file".to_owned()),
        Err(error) => return unread(super::why(&error)),
    };
    Vmlinuz {
        release: vmlinuz::release(&bytes).map_err(|error| error.to_string()),
        sha256: digest.then(|| hex(&Sha256::digest(&bytes))),
        signed: Ok(vmlinuz::is_signed(&bytes)),
        hmac: beside(root, kver, &bytes),
    }
}

fn unread(why: String) -> Vmlinuz {
    Vmlinuz {
        release: Err(why.clone()),
        sha256: None,
        signed: Err(why.clone()),
        hmac: Hmac::Unread(why),
    }
}

fn beside(root: &Root, kver: &Kver, kernel: &[u8]) -> Hmac {
    let line = match root.read(format!("{}/.vmlinuz.hmac", kver.dir()), HMAC_MAX) {
        Ok(Some(line)) => line,
        Ok(None) => return Hmac::Missing,
        Err(error) => return Hmac::Unread(super::why(&error)),
    };
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split_whitespace();
    let Some(digest) = words.next() else {
        return Hmac::Empty;
    };
    Hmac::Read {
        digest: digest.to_owned(),
        names: words
            .next()
            .unwrap_or_default()
            .trim_start_matches('*')
            .to_owned(),
        actual: match digest.len() {
            64 => Some(hex(&hmac::<Sha256, 64>(kernel))),
            128 => Some(hex(&hmac::<Sha512, 128>(kernel))),
            _ => None,
        },
    }
}

/// RFC 2104, with a digest whose block has `BLOCK` bytes, which is more than the key has.
fn hmac<D: Digest, const BLOCK: usize>(data: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        for (place, key) in block.iter_mut().zip(KEY) {
            *place ^= key;
        }
        block
    };
    let inner = D::new()
        .chain_update(pad(0x36))
        .chain_update(data)
        .finalize();
    let outer = D::new().chain_update(pad(0x5c)).chain_update(inner);
    outer.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmacs_are_those_of_openssl() {
        // printf abc | openssl dgst -sha256 -hmac FIPS-FTW-RHEL2009, and -sha512.
        for (found, expected) in [
            (
                hex(&hmac::<Sha256, 64>(b"abc")),
                "5e986115e626a96fc3304973cefe41e7f4389e5e248952c25e4cea8dd476fe76",
            ),
            (
                hex(&hmac::<Sha512, 128>(b"abc")),
                "fe02997f10bdc4b396ec5ed5e7eb072c4fb93f435374221732c4ad77d7149c98aa359f656cf5602fe935598c50b3568edd3cbce4c92afe65fde6a87a247bb648",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }
}
