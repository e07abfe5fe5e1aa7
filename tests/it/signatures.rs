// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who signed a package: keys made here, good signatures, bad ones, and several on one package.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ostree_kernel::package::Package;
use ostree_kernel::package::signature::{Keyring, Signature};
use pgp::composed::{ArmorOptions, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::types::KeyDetails;
use rpm::signature::Signing;
use rpm::signature::pgp::Signer;

use crate::kernels::{NEW, Pkg};

/// A key to sign with.
pub struct Key {
    secret: SignedSecretKey,
}

impl Key {
    /// A new one.
    pub fn new() -> Self {
        let params = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_sign(true)
            .primary_user_id("A test <test@example.invalid>".into())
            .build()
            .unwrap();
        let secret = params.generate(rand::thread_rng()).unwrap();
        Self { secret }
    }

    /// Its public half, as `gpg --armor --export` writes it.
    pub fn public(&self) -> Vec<u8> {
        let public = self.secret.to_public_key();
        public.to_armored_bytes(ArmorOptions::default()).unwrap()
    }

    /// As reports name it.
    pub fn fingerprint(&self) -> String {
        format!("{:x}", self.secret.fingerprint())
    }

    /// Signs what a package's signature covers.
    pub fn sign(&self, package: &rpm::Package) -> Vec<u8> {
        let armored = self.secret.to_armored_bytes(ArmorOptions::default());
        let signer = Signer::from_asc_bytes(&armored.unwrap()).unwrap();
        let header = package.metadata.header_bytes().unwrap();
        signer
            .sign(header.as_slice(), 1_700_000_000.into())
            .unwrap()
    }

    /// The RPM file of a package that it has signed.
    pub fn rpm(&self, package: &Pkg) -> Vec<u8> {
        let built = package.build();
        let signature = self.sign(&built);
        with_signatures(built, vec![signature])
    }
}

fn with_signatures(mut package: rpm::Package, signatures: Vec<Vec<u8>>) -> Vec<u8> {
    for signature in signatures {
        package.apply_signature(signature).unwrap();
    }
    let mut bytes = Vec::new();
    package.write(&mut bytes).unwrap();
    bytes
}

/// The package with a second signature in place of `from`, of an algorithm that nobody knows.
fn of_unknown_algorithm(bytes: &[u8], from: &[u8]) -> Vec<u8> {
    // The packet's header (old or new), then version, type, public-key algorithm.
    let body = from.iter().position(|byte| *byte == 4).unwrap();
    let mut novel = from.to_vec();
    assert_eq!(novel[body + 2], 22, "EdDSA was expected");
    novel[body + 2] = 109;
    let encoded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes).into_bytes();
    let (from, novel) = (encoded(from), encoded(&novel));
    let at = bytes.windows(from.len()).position(|it| it == from).unwrap();
    [&bytes[..at], &novel, &bytes[at + from.len()..]].concat()
}

#[test]
fn one_good_signature_is_enough_and_a_bad_one_spoils_it() {
    let (ours, theirs, stranger) = (Key::new(), Key::new(), Key::new());
    let mut keys = Keyring::default();
    keys.add(&ours.public()).unwrap();
    keys.add(&theirs.public()).unwrap();
    let packages = NEW.packages();
    let package = || packages[1].build();
    let good = || ours.sign(&package());
    let unknown = || stranger.sign(&package());
    let bad = || theirs.sign(&packages[2].build());
    let read = |bytes: &[u8]| Package::parse(bytes, &keys).unwrap().signature;
    let is_good = Signature::Good(ours.fingerprint());
    let is_unknown = Signature::UnknownKey(stranger.fingerprint());
    for (signatures, expected) in [
        (vec![], Some(&Signature::None)),
        (vec![good()], Some(&is_good)),
        (vec![unknown()], Some(&is_unknown)),
        (vec![good(), unknown()], Some(&is_good)),
        (vec![bad()], None),
        (vec![good(), bad()], None),
        (vec![bad(), unknown(), good()], None),
    ] {
        let count = signatures.len();
        let found = read(&with_signatures(package(), signatures));
        match expected {
            Some(expected) => assert_eq!(found, *expected, "{count} signatures"),
            None => assert!(matches!(found, Signature::Bad(_)), "{found:?}"),
        }
    }
    // RHEL 10 signs with an old and a new algorithm.
    for (others, expected) in [
        (vec![], Signature::UnknownKey("of an unknown kind".into())),
        (vec![good()], is_good),
    ] {
        for first in [true, false] {
            let mut all = others.clone();
            all.insert(if first { 0 } else { all.len() }, unknown());
            let bytes = with_signatures(package(), all);
            let found = read(&of_unknown_algorithm(&bytes, &unknown()));
            assert_eq!(found, expected, "first: {first}");
        }
    }
}
