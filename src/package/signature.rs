// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges the OpenPGP signatures of a package as rpm does.
//!
//! rpm leaves OpenPGP to rpm-sequoia. This module uses the same library and the same policy, and
//! checks the same properties: of the signature at the time of the run, of the key at the time of the
//! signature. A package may carry several signatures, some of them with unsupported algorithms,
//! so each is verified separately.

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
    /// A key of the keyring made it; its fingerprint in lower-case hexadecimal.
    Good(String),
    /// A key that is not in the keyring made it; the fingerprint or key ID that it names.
    UnknownKey(String),
    /// A key of the keyring made it, and the policy does not trust it.
    Untrusted(Distrust),
    /// It cannot be read, or the key of the keyring that it names did not make it for these bytes.
    Bad(String),
}

impl Signature {
    /// Combines the results of two signatures on one package. One good signature is enough; a bad
    /// one rejects the package, since it shows that bytes were changed.
    fn and(self, other: Self) -> Self {
        if self.weight() >= other.weight() {
            self
        } else {
            other
        }
    }

    /// Combines the results of two keys for one signature, of which at most one made it.
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

/// The type of an OpenPGP signature packet whose version or algorithm is not supported.
const UNSUPPORTED: &str = "of an unknown kind";

impl Keyring {
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
        let signature = match packet(bytes) {
            Ok(Some(signature)) => signature,
            Ok(None) => return Signature::UnknownKey(UNSUPPORTED.to_owned()),
            Err(why) => return Signature::Bad(why),
        };
        // The digest of an unsupported hash cannot be computed.
        let Ok(digest) = digest(&signature, header) else {
            return Signature::UnknownKey(UNSUPPORTED.to_owned());
        };
        // Changed bytes are found without the key in all but one of 65536 cases.
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

    /// Returns the first reason for which rpm would not trust this signature, which the key made; `None` if rpm would
    /// trust it.
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
        // Key files often have only the newest self-signature of a key. If these do not show that the key was valid
        // when it signed, its present validity decides.
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

/// Returns the reason why the primary key is not trusted: it is revoked, or had expired at the time `made` of the
/// signature. `None` if it is trusted.
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

/// Returns the reason why the key that made the signature, the primary key or a subkey, is not trusted: it is not bound
/// to the primary key, is not for signing, is revoked, or had expired at the time `made`. `None` if it is trusted.
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

/// Parses the one signature packet that `bytes` must be. Returns `None` for one of an unsupported
/// version.
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

/// Computes the digest that the signature's algorithm makes of the signed bytes `header` and of the signature's own
/// fields.
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

/// Returns a fingerprint or key ID as reports show it.
fn in_hex(handle: &KeyHandle) -> String {
    handle.to_hex().to_ascii_lowercase()
}
