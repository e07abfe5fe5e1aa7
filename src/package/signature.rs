// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who signed a package: OpenPGP signatures of a header against a keyring, as values.
//!
//! The `rpm` crate judges all signatures of a package at once and gives up at the first that it
//! cannot read. Packages carry several, some of algorithms that it does not know, so each is judged
//! by itself here.

use pgp::packet::{Packet, PacketParser};
use rpm::PackageMetadata;
use rpm::signature::Verifying;
use rpm::signature::pgp::Verifier;

use super::PackageError;

/// What the OpenPGP signatures of a package came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// There is none.
    None,
    /// A key of the keyring made it; its fingerprint in lower-case hexadecimal.
    Good(String),
    /// A key that is not in the keyring made it; the fingerprint or key id that it names.
    UnknownKey(String),
    /// A key of the keyring is named, and the signature is not its.
    Bad(String),
}

/// Public keys that packages may be signed with.
#[derive(Debug, Default)]
pub struct Keyring(Verifier);

impl Keyring {
    /// Adds the ASCII-armored keys of one file.
    ///
    /// # Errors
    /// When the bytes hold no usable public key.
    pub fn add(&mut self, armored: &[u8]) -> Result<(), PackageError> {
        self.0
            .load_from_asc_bytes(armored)
            .map_err(|error| PackageError::Key(error.to_string()))
    }

    /// Judges all signatures of a package.
    pub(super) fn judge(&self, metadata: &PackageMetadata, header: &[u8]) -> Signature {
        match metadata.raw_signatures() {
            Ok(signatures) => {
                let each = signatures.iter().map(|bytes| self.judge_one(header, bytes));
                each.fold(Signature::None, Signature::and)
            }
            Err(error) => Signature::Bad(error.to_string()),
        }
    }

    fn judge_one(&self, header: &[u8], bytes: &[u8]) -> Signature {
        match self.0.verify(header, bytes) {
            Ok(()) => Signature::Good(key_of(bytes)),
            Err(
                error @ (rpm::Error::VerificationError { .. }
                | rpm::Error::KeyLacksSigningCapability { .. }),
            ) => Signature::Bad(error.to_string()),
            // No key of ours, or of an algorithm or a version for which we have none.
            Err(_) => Signature::UnknownKey(key_of(bytes)),
        }
    }
}

impl Signature {
    /// One good signature is enough, and a bad one spoils it all: somebody changed something.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (bad @ Self::Bad(_), _) | (_, bad @ Self::Bad(_)) => bad,
            (good @ Self::Good(_), _) | (_, good @ Self::Good(_)) => good,
            (unknown @ Self::UnknownKey(_), _) | (_, unknown @ Self::UnknownKey(_)) => unknown,
            (Self::None, Self::None) => Self::None,
        }
    }
}

/// The fingerprint of the key that a signature names, or the key's id.
fn key_of(bytes: &[u8]) -> String {
    let signature = PacketParser::new(bytes).find_map(|packet| match packet {
        Ok(Packet::Signature(signature)) => Some(signature),
        _ => None,
    });
    let name = signature.and_then(|signature| {
        let fingerprint = signature
            .issuer_fingerprint()
            .first()
            .map(|it| format!("{it:x}"));
        fingerprint.or_else(|| signature.issuer_key_id().first().map(ToString::to_string))
    });
    name.map_or("of an unknown kind".to_owned(), |name| {
        name.to_ascii_lowercase()
    })
}
