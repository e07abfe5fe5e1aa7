// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads public keys from key files.

use std::collections::BTreeMap;
use std::time::SystemTime;

use sequoia_openpgp::cert::CertParser;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::{Cert, Fingerprint};

use super::Policy;
use crate::package::PackageError;

/// The start of an armored block's first line. The kind of the block follows.
const BEGIN: &[u8] = b"-----BEGIN PGP ";

/// Public keys with which packages may be signed, and the policy by which signatures are judged.
#[derive(Debug)]
pub struct Keyring {
    certs: BTreeMap<Fingerprint, Cert>,
    policy: Policy,
}

impl Default for Keyring {
    /// Returns a keyring without keys, for packages whose signatures do not matter.
    fn default() -> Self {
        Self::new(Policy::standard(SystemTime::UNIX_EPOCH))
    }
}

impl Keyring {
    /// Creates an empty keyring.
    pub fn new(policy: Policy) -> Self {
        Self {
            certs: BTreeMap::new(),
            policy,
        }
    }

    /// Adds the keys of one file: any number of armored blocks, or a binary keyring. Data about the same key from other
    /// files (a revocation, a new expiry date) is merged. Returns the reasons why blocks and keys were skipped.
    ///
    /// # Errors
    /// When the file holds no usable public key.
    pub fn add(&mut self, file: &[u8]) -> Result<Vec<String>, PackageError> {
        let mut skipped = Vec::new();
        let mut added = 0;
        for block in blocks(file) {
            match self.add_block(block, &mut skipped) {
                Ok(count) => added += count,
                Err(why) => skipped.push(why),
            }
        }
        match (added, skipped.is_empty()) {
            (0, true) => Err(PackageError::Key("it holds no OpenPGP packets".to_owned())),
            (0, false) => Err(PackageError::Key(skipped.join("; "))),
            _ => Ok(skipped),
        }
    }

    /// Adds the keys of one block, and returns their number. Appends the reasons why keys were skipped to `skipped`.
    fn add_block(&mut self, block: &[u8], skipped: &mut Vec<String>) -> Result<usize, String> {
        if block.starts_with(BEGIN) && block[BEGIN.len()..].starts_with(b"PRIVATE") {
            return Err("it is a private key, and a public one was expected".to_owned());
        }
        let parser = CertParser::from_bytes(block).map_err(|error| format!("{error:#}"))?;
        let mut added = 0;
        for cert in parser {
            match cert.map_err(|error| format!("{error:#}")).and_then(usable) {
                Ok(cert) => {
                    self.insert(cert)?;
                    added += 1;
                }
                Err(why) => skipped.push(why),
            }
        }
        Ok(added)
    }

    fn insert(&mut self, cert: Cert) -> Result<(), String> {
        let fingerprint = cert.fingerprint();
        let merged = match self.certs.remove(&fingerprint) {
            Some(known) => known
                .merge_public(cert)
                .map_err(|error| format!("{error:#}"))?,
            None => cert,
        };
        self.certs.insert(fingerprint, merged);
        Ok(())
    }

    pub(super) fn certs(&self) -> impl Iterator<Item = &Cert> {
        self.certs.values()
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Returns the certificate if it has at least one key with a supported algorithm.
fn usable(cert: Cert) -> Result<Cert, String> {
    if cert.keys().any(|key| key.key().pk_algo().is_supported()) {
        return Ok(cert);
    }
    Err(format!(
        "the key {} is of an algorithm that is not supported ({})",
        cert.fingerprint(),
        cert.primary_key().key().pk_algo()
    ))
}

/// Splits a file before each armored block. Text before the first block is dropped. A file without armor is one block.
fn blocks(file: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<_> = file
        .windows(BEGIN.len())
        .enumerate()
        .filter(|(at, window)| *window == BEGIN && (*at == 0 || file[at - 1] == b'\n'))
        .map(|(at, _)| at)
        .collect();
    if starts.is_empty() {
        return vec![file];
    }
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &file[*start..end])
        .collect()
}
