// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges the OpenPGP signatures of a package as rpm does.
//!
//! rpm verifies OpenPGP signatures with rpm-sequoia. This module uses the same library (sequoia-openpgp) and the same
//! policy. It also checks the same properties: whether the signature is valid at the time of the run, and whether the
//! key was valid when the signature was made. A package may carry several signatures, some of them with unsupported
//! algorithms, so each is verified separately.

mod distrust;
mod keyring;
mod policy;

use openpgp::cert::amalgamation::ValidAmalgamation;
use openpgp::cert::amalgamation::key::ErasedKeyAmalgamation;
use openpgp::cert::prelude::ValidCert;
use openpgp::crypto::hash::Hash;
use openpgp::packet::key::PublicParts;
use openpgp::parse::{PacketParser, PacketParserResult, Parse};
use openpgp::policy::Policy as _;
use openpgp::types::RevocationStatus;
use openpgp::{Cert, KeyHandle, Packet};
use rpm::PackageMetadata;
use sequoia_openpgp as openpgp;

pub use self::distrust::Distrust;
use self::distrust::minute;
pub use self::keyring::Keyring;
pub use self::policy::Policy;

/// The result of checking a package's OpenPGP signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// The package has no signature.
    None,
    /// A key of the keyring made the signature. Contains the key's fingerprint in lower-case hexadecimal.
    Good(String),
    /// The keyring has no key for the signature. Contains the fingerprint or key ID that the signature names, or a
    /// description if the kind of the signature is not supported.
    UnknownKey(String),
    /// A key of the keyring made the signature, but rpm would not trust the signature or the key. Contains the reason.
    Untrusted(Distrust),
    /// The signature cannot be read or names no key, or the key that it names did not make it for the package's header.
    /// Contains the reason.
    Bad(String),
}

impl Signature {
    /// Combines the results of two signatures on one package. One good signature is enough, unless another one is bad:
    /// a bad one shows that bytes were changed.
    fn and(self, other: Self) -> Self {
        if self.weight() >= other.weight() {
            self
        } else {
            other
        }
    }

    /// Combines the results of two keys for one signature. At most one of the keys made the signature.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Bad(_), Self::Good(_) | Self::Untrusted(_)) => other,
            (Self::Good(_) | Self::Untrusted(_), Self::Bad(_)) => self,
            _ => self.and(other),
        }
    }

    fn weight(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::UnknownKey(_) => 1,
            Self::Untrusted(_) => 2,
            Self::Good(_) => 3,
            Self::Bad(_) => 4,
        }
    }
}

/// The text in [`Signature::UnknownKey`] for a signature whose version or algorithm is not supported.
const UNSUPPORTED: &str = "of an unknown kind";

impl Keyring {
    /// Judges all signatures of a package, whose main header has the bytes `header`.
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
        let signature = match packet(bytes) {
            Ok(Some(signature)) => signature,
            Ok(None) => return Signature::UnknownKey(UNSUPPORTED.to_owned()),
            Err(why) => return Signature::Bad(why),
        };
        // The digest of an unsupported hash cannot be computed.
        let Ok(digest) = digest(&signature, header) else {
            return Signature::UnknownKey(UNSUPPORTED.to_owned());
        };
        // The signature contains two bytes of the digest, so changed bytes are found without the key in all but one of
        // 65536 cases.
        if !digest.starts_with(signature.digest_prefix()) {
            return Signature::Bad("it is a signature of other bytes".to_owned());
        }
        if !signature.pk_algo().is_supported() {
            return Signature::UnknownKey(UNSUPPORTED.to_owned());
        }
        let issuers = signature.get_issuers();
        let Some(name) = issuers.first().map(in_hex) else {
            return Signature::Bad("it names no key".to_owned());
        };
        let mut verdict = Signature::UnknownKey(name);
        for cert in self.certs() {
            for key in cert.keys().key_handles(issuers.iter()) {
                if key.key().pk_algo() == signature.pk_algo() {
                    verdict = verdict.or(self.judge_by(cert, &key, &signature, header));
                }
            }
        }
        verdict
    }

    /// Judges a signature that names this key.
    fn judge_by(
        &self,
        cert: &Cert,
        key: &ErasedKeyAmalgamation<PublicParts>,
        signature: &openpgp::packet::Signature,
        header: &[u8],
    ) -> Signature {
        if let Err(error) = signature.verify_message(key.key(), header) {
            let created = key.key().creation_time();
            let made = signature.signature_creation_time();
            return Signature::Bad(match made.filter(|it| *it < created) {
                Some(made) => format!(
                    "it is dated {}, but the key was created later ({})",
                    minute(made),
                    minute(created)
                ),
                None => format!("{error:#}"),
            });
        }
        let handle = KeyHandle::from(key.key().fingerprint());
        match self.distrust(cert, &handle, signature) {
            None => Signature::Good(in_hex(&handle)),
            Some(distrust) => Signature::Untrusted(distrust),
        }
    }

    /// Returns the first reason for which rpm would not trust the signature, although the key `handle` of the
    /// certificate made it; `None` if rpm would trust it.
    fn distrust(
        &self,
        cert: &Cert,
        handle: &KeyHandle,
        signature: &openpgp::packet::Signature,
    ) -> Option<Distrust> {
        let (policy, now) = (self.policy(), self.policy().now());
        let Some(made) = signature.signature_creation_time() else {
            return Some(Distrust::NotBound("the signature has no date".to_owned()));
        };
        if signature.signature_alive(now, policy::CLOCK_SKEW).is_err() {
            return Some(match signature.signature_expiration_time() {
                Some(expired) if made <= now => Distrust::SignatureExpired { expired },
                _ => Distrust::Future { made, now },
            });
        }
        let rules = policy.rules();
        let packet = Packet::from(signature.clone());
        let allowed = rules.signature(signature, openpgp::policy::HashAlgoSecurity::default());
        if let Err(error) = allowed.and_then(|()| rules.packet(&packet)) {
            return Some(Distrust::Weak {
                what: "the signature".to_owned(),
                why: format!("{error:#}"),
            });
        }
        // Key files often have only the newest self-signature of a key. If the self-signatures in the file do not show
        // that the key was valid when it made the signature, its present validity decides.
        let valid = cert
            .with_policy(rules, made)
            .or_else(|error| cert.with_policy(rules, now).map_err(|_| error));
        match valid {
            Ok(valid) => of_certificate(&valid, made).or_else(|| of_key(&valid, handle, made)),
            Err(error) => Some(Distrust::Weak {
                what: format!("the key {}", in_hex(&cert.fingerprint().into())),
                why: format!("{error:#}"),
            }),
        }
    }
}

/// Returns the reason why the primary key is not trusted: it is revoked, or is expired at the time for which `cert` was
/// validated. `None` if it is trusted. `made` is the time of the signature, for messages.
fn of_certificate(cert: &ValidCert, made: std::time::SystemTime) -> Option<Distrust> {
    let key = in_hex(&cert.fingerprint().into());
    if let RevocationStatus::Revoked(by) = cert.revocation_status() {
        return Some(Distrust::revoked(key, &by));
    }
    if cert.alive().is_err() {
        let expired = cert.primary_key().key_expiration_time();
        return Some(Distrust::KeyExpired { key, expired, made });
    }
    None
}

/// Returns the reason why the key `handle` (the primary key or a subkey), which made the signature, is not trusted: it
/// is not bound to the primary key, is not for signing, is revoked, or is expired at the time for which `cert` was
/// validated. `None` if it is trusted. `made` is the time of the signature, for messages.
fn of_key(cert: &ValidCert, handle: &KeyHandle, made: std::time::SystemTime) -> Option<Distrust> {
    let key = in_hex(handle);
    let Some(found) = cert.keys().key_handle(handle.clone()).next() else {
        return Some(Distrust::NotBound(format!(
            "the key {key} has no valid binding to its primary key"
        )));
    };
    if !found.for_signing() {
        return Some(Distrust::NotBound(format!(
            "the key {key} is not a signing key"
        )));
    }
    if let RevocationStatus::Revoked(by) = found.revocation_status() {
        return Some(Distrust::revoked(key, &by));
    }
    if found.alive().is_err() {
        let expired = found.key_expiration_time();
        return Some(Distrust::KeyExpired { key, expired, made });
    }
    None
}

/// Parses `bytes`, which must be one signature packet. Returns `None` if the version of the packet is not supported.
fn packet(bytes: &[u8]) -> Result<Option<openpgp::packet::Signature>, String> {
    let unreadable = |error: anyhow::Error| format!("it cannot be read: {error:#}");
    let first = PacketParser::from_bytes(bytes).map_err(unreadable)?;
    let PacketParserResult::Some(first) = first else {
        return Err("it is empty".to_owned());
    };
    let (packet, rest) = first.next().map_err(unreadable)?;
    if let PacketParserResult::Some(_) = rest {
        return Err("more than one packet where one signature was expected".to_owned());
    }
    match packet {
        Packet::Signature(signature) => Ok(Some(signature)),
        Packet::Unknown(unknown) if unknown.tag() == openpgp::packet::Tag::Signature => Ok(None),
        other => Err(format!(
            "a {} packet where a signature was expected",
            other.tag()
        )),
    }
}

/// Computes the digest of the signed bytes `header` and of the signature's own fields, with the signature's hash
/// algorithm.
fn digest(signature: &openpgp::packet::Signature, header: &[u8]) -> openpgp::Result<Vec<u8>> {
    let context = signature.hash_algo().context()?;
    let mut context = context.for_signature(signature.version());
    if let Some(salt) = signature.salt() {
        context.update(salt);
    }
    context.update(header);
    signature.hash(&mut context)?;
    context.into_digest()
}

/// Returns a fingerprint or key ID in lower-case hexadecimal.
fn in_hex(handle: &KeyHandle) -> String {
    handle.to_hex().to_ascii_lowercase()
}
