// SPDX-License-Identifier: MIT OR Apache-2.0
//! `replace` refuses signatures that rpm would not trust, and prints the reason and the remedy.

use std::time::SystemTime;

use openpgp::packet::signature::SignatureBuilder;
use openpgp::types::{HashAlgorithm, ReasonForRevocation as Reason};
use sequoia_openpgp as openpgp;

use crate::bed::Bed;
use crate::kernels::NEW;
use crate::keys::{Change, DAY, Key, KeyType, signed};

const NONE: Change = &|it| it;

/// Writes the packages of NEW into the bed's sources, each with the signature that `sign` returns.
fn sign_with(bed: &Bed, sign: impl Fn(&rpm::Package) -> Vec<u8>) {
    for package in NEW.packages() {
        let built = package.build();
        fs_err::write(bed.rpm(&package), signed(&built, &[sign(&built)])).unwrap();
    }
}

#[test]
fn a_signature_that_rpm_would_not_trust_is_refused_with_its_reason() {
    let now = SystemTime::now();
    let made = now - 365 * DAY;
    let key = Key::made(KeyType::Ed25519, now - 800 * DAY);
    let revoked = key.clone().revoke(Reason::KeyCompromised, now - 10 * DAY);
    let sha1 = |it: SignatureBuilder| it.set_hash_algo(HashAlgorithm::SHA1);
    let pin = "#sha256=";
    for (file, at, change, says, is_pinned) in [
        (
            &revoked,
            made,
            NONE,
            vec![
                "is revoked since",
                "compromised",
                "signed with a key in force",
            ],
            false,
        ),
        (&key, made, &sha1, vec!["SHA1", "crypto-policies"], true),
        (
            &key,
            now + 2 * DAY,
            NONE,
            vec!["clock of this host says", "Set the clock of the build host"],
            true,
        ),
    ] {
        let bed = Bed::new();
        sign_with(&bed, |built| key.sign_with(built, at, change));
        bed.write("etc/pki/rpm-gpg/RPM-GPG-KEY-test", file.public());
        let refused = bed.run(&["replace", &bed.source()]);
        refused.ends_with(3).untouched().complains(&says);
        refused.require(
            refused.stderr.contains(pin) == is_pinned,
            "whether pinning is advised",
        );
        let taken = bed.run(&["replace", "--allow-unsigned", &bed.source()]);
        taken
            .ends_with(0)
            .complains(&["warning", "rpm would not trust the signature of"]);
    }
}

/// Signatures that name a key ID and no fingerprint, as RHEL's version 3 packets do.
#[test]
fn changed_bytes_under_a_key_id_are_refused_always() {
    let key = Key::new();
    let other = NEW.packages().swap_remove(3).build();
    for sign in [
        &|| key.sign_v3(&other, SystemTime::now() - DAY) as Vec<u8>,
        &|| {
            let id = key.signer().public().keyid();
            let by_id = |it: SignatureBuilder| it.set_issuer(id.clone()).unwrap();
            key.sign_with(&other, SystemTime::now() - DAY, &by_id)
        },
    ] as [&dyn Fn() -> Vec<u8>; 2]
    {
        let bed = Bed::new();
        sign_with(&bed, |_| sign());
        bed.write("etc/pki/rpm-gpg/RPM-GPG-KEY-test", key.public());
        for options in [&["replace"][..], &["replace", "--allow-unsigned"]] {
            let refused = bed.run(&[options, &[&bed.source()]].concat());
            refused
                .ends_with(3)
                .untouched()
                .complains(&["is bad", "damaged or was tampered with"]);
            refused.require(!refused.stderr.contains("sha256"), "pinning is not advised");
        }
    }
}

#[test]
fn the_crypto_policy_of_the_image_decides() {
    let key = Key::new();
    let sha1 = |it: SignatureBuilder| it.set_hash_algo(HashAlgorithm::SHA1);
    let policy = "etc/crypto-policies/back-ends/rpm-sequoia.config";
    let bed = Bed::new();
    sign_with(&bed, |built| {
        key.sign_with(built, SystemTime::now() - DAY, &sha1)
    });
    bed.write("etc/pki/rpm-gpg/RPM-GPG-KEY-test", key.public());
    bed.write(policy, "[hash_algorithms]\nsha1 = \"sometimes\"\n");
    let refused = bed.run(&["replace", &bed.source()]);
    refused
        .ends_with(3)
        .untouched()
        .complains(&[policy, "not a crypto policy of rpm-sequoia"]);
    bed.write(policy, "[hash_algorithms]\nsha1 = \"always\"\n");
    bed.run(&["replace", "--require-signature", &bed.source()])
        .ends_with(0);
}
