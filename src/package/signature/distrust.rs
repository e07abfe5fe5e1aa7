// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reasons for which rpm would not trust a signature, although a key of the keyring made it.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use sequoia_openpgp::packet::Signature;

/// A reason for which a signature is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// The signature is dated more than five minutes in the future.
    Future {
        /// The date of the signature.
        made: SystemTime,
        /// The time of the run, by the clock of this host.
        now: SystemTime,
    },
    /// The signature has a lifetime, which has ended.
    SignatureExpired {
        /// The end of the signature's lifetime.
        expired: SystemTime,
    },
    /// The key or its primary key is revoked.
    Revoked {
        /// The fingerprint of the revoked key.
        key: String,
        /// The date of the revocation, if the revocation has one.
        since: Option<SystemTime>,
        /// The reason given in the revocation.
        reason: String,
    },
    /// The key or its primary key had expired when the signature was made. Or the key file does not show whether it was
    /// valid then, and it has expired now.
    KeyExpired {
        /// The fingerprint of the expired key.
        key: String,
        /// The end of the key's lifetime, if it is known.
        expired: Option<SystemTime>,
        /// The date of the signature.
        made: SystemTime,
    },
    /// The policy rejects an algorithm, a key size or a packet.
    Weak {
        /// The rejected object, `the signature` or `the key FINGERPRINT`.
        what: String,
        /// The error message of the policy.
        why: String,
    },
    /// The key is not a valid signing key of its certificate, or the signature has no date. Contains a description.
    NotBound(String),
}

impl Distrust {
    /// Creates [`Self::Revoked`] from the first revocation of a key.
    pub(super) fn revoked(key: String, by: &[&Signature]) -> Self {
        let first = by.first();
        let reason = first.and_then(|it| it.reason_for_revocation());
        Self::Revoked {
            key,
            since: first.and_then(|it| it.signature_creation_time()),
            reason: reason.map_or("no reason given".to_owned(), |(code, _)| code.to_string()),
        }
    }

    /// Returns the remedy as one or more sentences, without the last full stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Future { .. } => "Set the clock of the build host, then run again",
            Self::Revoked { .. } => {
                "Use a build that is signed with a key in force, and give that key with --gpg-key FILE"
            }
            Self::KeyExpired { .. } => {
                "If the lifetime of the key was extended, give the current key file with --gpg-key FILE; else use a build that is signed with a key in force"
            }
            Self::SignatureExpired { .. } => "Use a build that was signed again",
            Self::Weak { .. } => {
                "Use a build that is signed with SHA-256 and a current key. The policy is the image's crypto policy (crypto-policies/back-ends in /etc or /usr/share); an image without one has the default policy of rpm"
            }
            Self::NotBound(_) => {
                "Give the current file of that key with --gpg-key FILE, or use a build that is signed with a signing key"
            }
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Future { made, now } => write!(
                f,
                "it is dated {} and the clock of this host says {}",
                minute(*made),
                minute(*now)
            ),
            Self::SignatureExpired { expired } => {
                write!(f, "the signature expired on {}", day(*expired))
            }
            Self::Revoked { key, since, reason } => {
                write!(f, "the key {key} is revoked")?;
                if let Some(since) = since {
                    write!(f, " since {}", day(*since))?;
                }
                write!(f, " ({})", reason.escape_debug())
            }
            Self::KeyExpired { key, expired, made } => {
                match expired {
                    Some(expired) => write!(f, "the key {key} expired on {}", day(*expired))?,
                    None => write!(f, "the key {key} was not valid")?,
                }
                match expired {
                    // The key file no longer has the self-signature that was valid when the signature was made, and the
                    // newer self-signature has expired.
                    Some(expired) if made < expired => write!(
                        f,
                        ", and its file does not show that it was valid on {}, when the signature was made",
                        day(*made)
                    ),
                    _ => write!(f, ", and the signature was made on {}", day(*made)),
                }
            }
            Self::Weak { what, why } => write!(f, "{what} does not meet the policy: {why}"),
            Self::NotBound(what) => f.write_str(what),
        }
    }
}

fn day(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).format("%Y-%m-%d").to_string()
}

pub(super) fn minute(time: SystemTime) -> String {
    DateTime::<Utc>::from(time)
        .format("%Y-%m-%d %H:%M UTC")
        .to_string()
}
