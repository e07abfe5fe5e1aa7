// SPDX-License-Identifier: MIT OR Apache-2.0
//! RPM packages: the lead, both headers, the digests.

use std::sync::LazyLock;

use ostree_kernel::package::signature::{Keyring, Signature};
use ostree_kernel::package::{HEADER_MAX, Package, PackageError, hex};
use sha2::{Digest, Sha256};

use crate::memory::within;
use crate::trickle::Trickle;

/// The public key for the seed `signed`. The private key is lost, so no other header can have a good signature.
static KEYS: LazyLock<Keyring> = LazyLock::new(|| {
    let mut keys = Keyring::default();
    keys.add(include_bytes!("key.asc")).expect("a public key");
    keys
});

/// The SHA-256 of the header that the key has signed.
const SIGNED: &str = "c5bfbeb49625afdfe953a73318bd25ecc34ca1c13307a56219e4d65e2fdfb46f";

/// Parses a package. If the bytes start like a header, they are taken for a main header without payload: a lead and a
/// correct digest are added, so that the code after the digests is reached.
pub fn package(bytes: &[u8]) {
    let file = if bytes.starts_with(&[0x8e, 0xad, 0xe8]) {
        with_digest(bytes)
    } else {
        bytes.to_vec()
    };
    let keys = &*KEYS;
    // 1 MiB for the buffer of the payload, and for each byte a part for the header as bytes, entries and values.
    let most = (1 << 20) + 256 * file.len().min(HEADER_MAX as usize);
    let whole = within(most, || Package::parse(file.as_slice(), keys));
    let slow = Package::parse(Trickle::new(&file), keys);
    match (whole, slow) {
        (Ok(whole), Ok(slow)) => {
            let forged =
                matches!(whole.signature, Signature::Good(_)) && whole.header_sha256 != SIGNED;
            assert!(!forged, "{whole:?}");
            assert_eq!(
                format!("{whole:?}"),
                format!("{slow:?}"),
                "one byte at a time"
            );
        }
        (Err(whole), Err(slow)) => assert_eq!(said(&whole), said(&slow), "one byte at a time"),
        (whole, slow) => panic!("{whole:?}; one byte at a time: {slow:?}"),
    }
}

/// Returns the text of the error. Reading from memory does not fail, but can end early.
fn said(error: &PackageError) -> String {
    if let PackageError::Read(error) = error {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    }
    error.to_string()
}

/// Returns a lead, a signature header with only the SHA-256 of the main header, and the main header.
fn with_digest(main: &[u8]) -> Vec<u8> {
    const SHA256: u32 = 273;
    const STRING: u32 = 6;
    // Bytes after the main header are payload, which the digest of the header does not cover.
    let word = |at: usize| {
        main.get(at..at + 4)
            .map(|it| u32::from_be_bytes(it.try_into().expect("4 bytes")) as usize)
    };
    let length = word(8)
        .zip(word(12))
        .map_or(main.len(), |(entries, data)| 16 + 16 * entries + data);
    let digest = hex(&Sha256::digest(&main[..length.min(main.len())]));
    let mut file = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    file.resize(96, 0);
    file.extend([0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
    for word in [1, digest.len() as u32 + 1, SHA256, STRING, 0, 1] {
        file.extend(word.to_be_bytes());
    }
    file.extend(digest.as_bytes());
    file.push(0);
    file.resize(file.len().next_multiple_of(8), 0);
    file.extend(main);
    file
}
