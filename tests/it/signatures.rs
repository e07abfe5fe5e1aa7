// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signatures and keys of every kind, and the answers of rpm 6.1 for the same files.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::NotationDataFlags;
use openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation as Reason};
use ostree_kernel::package::Package;
use ostree_kernel::package::signature::{Keyring, Policy, Signature};
use sequoia_openpgp as openpgp;

use crate::kernels::{NEW, Pkg};
use crate::keys::{Change, DAY, Key, KeyType, signed};

/// A key file, a package, and the expected answers of this program and of rpm.
struct Row {
    name: &'static str,
    keys: Vec<u8>,
    rpm: Vec<u8>,
    ours: Ours,
    /// The word with which `rpmkeys -Kv` ends the line of the signature.
    rpms: &'static str,
}

/// The expected answer of this program.
#[derive(Clone, Copy, Debug)]
enum Ours {
    Good,
    /// With a part of the reason.
    Untrusted(&'static str),
    Bad,
    Unknown,
}

use Ours::{Bad, Good, Unknown, Untrusted};

impl Row {
    fn is_met_by(&self, found: &Signature) -> bool {
        match (self.ours, found) {
            (Good, Signature::Good(_)) | (Bad, Signature::Bad(_)) => true,
            (Unknown, Signature::UnknownKey(_)) => true,
            (Untrusted(part), Signature::Untrusted(why)) => why.to_string().contains(part),
            _ => false,
        }
    }
}

fn subject() -> Pkg {
    NEW.packages().swap_remove(1)
}

fn other() -> Pkg {
    NEW.packages().swap_remove(2)
}

const NONE: Change = &|it| it;

/// The dates of a key, of an event before the signature, of the signature (one year ago), of an event after the
/// signature, and of now.
struct Dates {
    key: SystemTime,
    before: SystemTime,
    made: SystemTime,
    after: SystemTime,
    now: SystemTime,
}

fn dates() -> Dates {
    let now = SystemTime::now();
    Dates {
        key: now - 800 * DAY,
        before: now - 500 * DAY,
        made: now - 365 * DAY,
        after: now - 100 * DAY,
        now,
    }
}

/// Returns an RSA key of 2048 bits. It is generated only once, since that takes seconds.
fn rsa() -> Key {
    static KEY: LazyLock<Key> = LazyLock::new(|| Key::made(KeyType::Rsa(2048), dates().key));
    KEY.clone()
}

/// Returns a row with a package that `key` signed a year ago.
fn row(name: &'static str, key: &Key, ours: Ours, rpms: &'static str) -> Row {
    let signature = key.sign_with(&subject().build(), dates().made, NONE);
    raw(name, key.public(), signature, ours, rpms)
}

fn raw(
    name: &'static str,
    keys: Vec<u8>,
    signature: Vec<u8>,
    ours: Ours,
    rpms: &'static str,
) -> Row {
    Row {
        name,
        keys,
        rpm: signed(&subject().build(), &[signature]),
        ours,
        rpms,
    }
}

/// Returns rows with valid keys, and with keys that are revoked or expired.
fn lives() -> Vec<Row> {
    let at = dates();
    let key = || Key::made(KeyType::Ed25519, at.key);
    let sub = || key().subkey(at.key, true, NONE);
    let lasting = |days: u32| {
        Key::with(KeyType::Ed25519, at.key, &move |it| {
            it.set_key_validity_period(days * DAY).unwrap()
        })
    };
    let sub_lasting = |days: u32| {
        key().subkey(at.key, true, &move |it| {
            it.set_key_validity_period(days * DAY).unwrap()
        })
    };
    let renewed = |days: u32| {
        Key::with(KeyType::Ed25519, at.key, &move |it| {
            let it = it.set_signature_creation_time(at.after).unwrap();
            it.set_key_validity_period(days * DAY).unwrap()
        })
    };
    let compromised = key().revoke(Reason::KeyCompromised, at.after);
    vec![
        row("good", &key(), Good, "OK"),
        row(
            "revoked-compromised",
            &compromised,
            Untrusted("revoked since"),
            "NOTTRUSTED",
        ),
        row(
            "revoked-no-reason",
            &key().revoke(Reason::Unspecified, at.after),
            Untrusted("No reason"),
            "NOTTRUSTED",
        ),
        row(
            "superseded-later",
            &key().revoke(Reason::KeySuperseded, at.after),
            Good,
            "OK",
        ),
        row(
            "superseded-before",
            &key().revoke(Reason::KeySuperseded, at.before),
            Untrusted("superseded"),
            "NOTTRUSTED",
        ),
        row(
            "retired-later",
            &key().revoke(Reason::KeyRetired, at.after),
            Good,
            "OK",
        ),
        row(
            "retired-before",
            &key().revoke(Reason::KeyRetired, at.before),
            Untrusted("retired"),
            "NOTTRUSTED",
        ),
        row("subkey", &sub(), Good, "OK"),
        row(
            "subkey-revoked",
            &sub().revoke_subkey(Reason::KeyCompromised, at.after),
            Untrusted("revoked since"),
            "NOTTRUSTED",
        ),
        row(
            "subkey-retired-later",
            &sub().revoke_subkey(Reason::KeyRetired, at.after),
            Good,
            "OK",
        ),
        row(
            "subkey-retired-before",
            &sub().revoke_subkey(Reason::KeyRetired, at.before),
            Untrusted("retired"),
            "NOTTRUSTED",
        ),
        row(
            "subkey-of-revoked-key",
            &sub().revoke(Reason::KeyCompromised, at.after),
            Untrusted("revoked since"),
            "NOTTRUSTED",
        ),
        row(
            "subkey-expired-before",
            &sub_lasting(300),
            Untrusted("expired on"),
            "NOTTRUSTED",
        ),
        row("subkey-expired-since", &sub_lasting(500), Good, "OK"),
        row(
            "key-expired-before",
            &lasting(300),
            Untrusted("expired on"),
            "NOTTRUSTED",
        ),
        row("key-expired-since", &lasting(500), Good, "OK"),
        row("key-expires-later", &lasting(900), Good, "OK"),
        // The key's lifetime was extended, and the file has only the newest self-signature.
        row("prolonged", &renewed(900), Good, "OK"),
        row(
            "prolonged-and-expired",
            &renewed(750),
            Untrusted("does not show"),
            "NOTTRUSTED",
        ),
        // A subkey without a back-signature, and keys that are not for signing.
        row(
            "subkey-without-back-signature",
            &key().subkey(at.key, false, NONE),
            Untrusted("no valid binding"),
            "BAD",
        ),
        row(
            "subkey-not-for-signing",
            &key().subkey(at.key, true, &|it| {
                it.set_key_flags(KeyFlags::empty().set_storage_encryption())
                    .unwrap()
            }),
            Untrusted("not a signing key"),
            "BAD",
        ),
        row(
            "key-not-for-signing",
            &Key::with(KeyType::Ed25519, at.key, &|it| {
                it.set_key_flags(KeyFlags::empty().set_certification())
                    .unwrap()
            }),
            Untrusted("not a signing key"),
            "BAD",
        ),
    ]
}

/// Returns rows with signatures of various dates, formats and bytes, most of them by a key in the key file.
fn packets() -> Vec<Row> {
    let at = dates();
    let key = Key::made(KeyType::Ed25519, at.key);
    let (built, changed) = (subject().build(), other().build());
    let of = |name, signature, ours, rpms| raw(name, key.public(), signature, ours, rpms);
    let dated = |name, when, ours, rpms| of(name, key.sign_with(&built, when, NONE), ours, rpms);
    let by_id = |it: SignatureBuilder| it.set_issuer(key.signer().public().keyid()).unwrap();
    let lasting = |days: u32| {
        move |it: SignatureBuilder| it.set_signature_validity_period(days * DAY).unwrap()
    };
    let critical = |it: SignatureBuilder| {
        let flags = NotationDataFlags::empty().set_human_readable();
        it.add_notation("x@example.invalid", "y", flags, true)
            .unwrap()
    };
    let with =
        |name, change, ours, rpms| of(name, key.sign_with(&built, at.made, change), ours, rpms);
    let hour = Duration::from_secs(3600);
    vec![
        dated("signed-in-two-minutes", at.now + hour / 30, Good, "OK"),
        dated(
            "signed-tomorrow",
            at.now + DAY,
            Untrusted("the clock of this host"),
            "BAD",
        ),
        dated("signed-before-its-key", at.key - DAY, Bad, "BAD"),
        with(
            "signature-expired",
            &lasting(30),
            Untrusted("the signature expired on"),
            "BAD",
        ),
        with("signature-expires-later", &lasting(900), Good, "OK"),
        with("id-only", &by_id, Good, "OK"),
        with(
            "critical-notation",
            &critical,
            Untrusted("policy"),
            "NOTTRUSTED",
        ),
        of(
            "tampered",
            key.sign_with(&changed, at.made, NONE),
            Bad,
            "BAD",
        ),
        of(
            "tampered-id-only",
            key.sign_with(&changed, at.made, &by_id),
            Bad,
            "BAD",
        ),
        of("stranger", Key::new().sign(&built), Unknown, "NOKEY"),
        of("stranger-tampered", Key::new().sign(&changed), Bad, "BAD"),
        of("garbage", b"not OpenPGP".to_vec(), Bad, "BAD"),
    ]
}

/// Returns rows with accepted and rejected hash and key algorithms.
fn algorithms() -> Vec<Row> {
    let at = dates();
    let key = Key::made(KeyType::Ed25519, at.key);
    let rsa = rsa();
    let built = subject().build();
    let hashed = |hash| {
        let change = move |it: SignatureBuilder| it.set_hash_algo(hash);
        key.sign_with(&built, at.made, &change)
    };
    let self_signed = |hash| Key::with(KeyType::Ed25519, at.key, &move |it| it.set_hash_algo(hash));
    let sub_sha1 = key
        .clone()
        .subkey(at.key, true, &|it| it.set_hash_algo(HashAlgorithm::SHA1));
    let of =
        |name, key: &Key, signature, ours, rpms| raw(name, key.public(), signature, ours, rpms);
    vec![
        of("sha256", &key, hashed(HashAlgorithm::SHA256), Good, "OK"),
        of(
            "sha1",
            &key,
            hashed(HashAlgorithm::SHA1),
            Untrusted("SHA1"),
            "NOTTRUSTED",
        ),
        of(
            "md5",
            &key,
            hashed(HashAlgorithm::MD5),
            Untrusted("MD5"),
            "NOTTRUSTED",
        ),
        row(
            "self-signature-sha1",
            &self_signed(HashAlgorithm::SHA1),
            Untrusted("SHA1"),
            "NOKEY",
        ),
        row(
            "self-signature-md5",
            &self_signed(HashAlgorithm::MD5),
            Untrusted("MD5"),
            "NOKEY",
        ),
        row(
            "subkey-binding-sha1",
            &sub_sha1,
            Untrusted("no valid binding"),
            "BAD",
        ),
        row(
            "rsa1024",
            &Key::made(KeyType::Rsa(1024), at.key),
            Untrusted("RSA1024"),
            "NOTTRUSTED",
        ),
        row("rsa2048", &rsa, Good, "OK"),
        of("v3", &rsa, rsa.sign_v3(&built, at.made), Good, "OK"),
        of(
            "v3-tampered",
            &rsa,
            rsa.sign_v3(&other().build(), at.made),
            Bad,
            "BAD",
        ),
        of(
            "v3-future",
            &rsa,
            rsa.sign_v3(&built, at.now + DAY),
            Untrusted("the clock"),
            "BAD",
        ),
        of(
            "v3-stranger",
            &key,
            rsa.sign_v3(&built, at.made),
            Unknown,
            "NOKEY",
        ),
    ]
}

/// Returns rows for key files with several keys, some of them damaged or revoked.
fn files() -> Vec<Row> {
    let at = dates();
    let key = Key::made(KeyType::Ed25519, at.key);
    let stranger = Key::made(KeyType::Ed25519, at.key);
    let revoked = key.clone().revoke(Reason::KeyCompromised, at.after);
    let of = |name, keys: &[Vec<u8>], ours, rpms| {
        let signature = key.sign_with(&subject().build(), at.made, NONE);
        raw(name, keys.concat(), signature, ours, rpms)
    };
    let text = b"Keys of a test\n\n".to_vec();
    vec![
        of(
            "second-block",
            &[stranger.public(), key.public()],
            Good,
            "OK",
        ),
        of(
            "text-between-blocks",
            &[text.clone(), stranger.public(), text, key.public()],
            Good,
            "OK",
        ),
        of(
            "broken-block-first",
            &[broken(&stranger), key.public()],
            Good,
            "OK",
        ),
        of(
            "revocation-in-second-block",
            &[key.public(), revoked.public()],
            Untrusted("revoked since"),
            "NOTTRUSTED",
        ),
        // rpm keeps the block that was imported last, and loses the revocation.
        of(
            "revocation-in-first-block",
            &[revoked.public(), key.public()],
            Untrusted("revoked since"),
            "OK",
        ),
    ]
}

/// Returns an armored key of an unsupported algorithm.
fn broken(key: &Key) -> Vec<u8> {
    let mut bytes = key.binary();
    // The first bytes are the packet's tag and length, the version, four bytes of date, and the algorithm.
    assert_eq!(bytes[7], 22, "EdDSA was expected");
    bytes[7] = 109;
    let mut writer =
        openpgp::armor::Writer::new(Vec::new(), openpgp::armor::Kind::PublicKey).unwrap();
    std::io::Write::write_all(&mut writer, &bytes).unwrap();
    writer.finalize().unwrap()
}

fn keyring(keys: &[u8]) -> Keyring {
    let mut keyring = Keyring::new(Policy::standard(SystemTime::now()));
    keyring.add(keys).unwrap();
    keyring
}

fn judge(rpm: &[u8], keys: &Keyring) -> Signature {
    Package::parse(rpm, keys).unwrap().signature
}

/// With SIGNATURE_MATRIX=DIR, writes the keys and packages to DIR, so that `bed matrix-sid` can run rpm on them.
#[test]
fn every_kind_of_signature_is_judged_as_rpm_judges_it() {
    let rows = [lives(), packets(), algorithms(), files()];
    let mut wrong = Vec::new();
    for row in rows.iter().flatten() {
        if let Some(dir) = std::env::var_os("SIGNATURE_MATRIX") {
            let dir = std::path::Path::new(&dir).join(row.name);
            fs_err::create_dir_all(&dir).unwrap();
            fs_err::write(dir.join("keys.asc"), &row.keys).unwrap();
            fs_err::write(dir.join("package.rpm"), &row.rpm).unwrap();
            let expected = format!("{} {:?}\n", row.rpms, row.ours);
            fs_err::write(dir.join("expected"), expected).unwrap();
        }
        let found = judge(&row.rpm, &keyring(&row.keys));
        if !row.is_met_by(&found) {
            wrong.push(format!(
                "{}: expected {:?}, found {found:?}",
                row.name, row.ours
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_good_signature_is_enough_and_a_bad_one_spoils_it() {
    let (ours, theirs, stranger) = (Key::new(), Key::new(), Key::new());
    let keys = keyring(&[ours.public(), theirs.public()].concat());
    let package = || subject().build();
    let good = || ours.sign(&package());
    let unknown = || stranger.sign(&package());
    let bad = || theirs.sign(&other().build());
    let weak = || {
        let at = SystemTime::now() - DAY;
        theirs.sign_with(&package(), at, &|it| it.set_hash_algo(HashAlgorithm::SHA1))
    };
    let is_good = Signature::Good(ours.fingerprint());
    let is_unknown = Signature::UnknownKey(stranger.fingerprint());
    for (signatures, expected) in [
        (vec![], Some(&Signature::None)),
        (vec![good()], Some(&is_good)),
        (vec![unknown()], Some(&is_unknown)),
        (vec![good(), unknown()], Some(&is_good)),
        (vec![weak(), good()], Some(&is_good)),
        (vec![bad()], None),
        (vec![good(), bad()], None),
        (vec![bad(), unknown(), good()], None),
        (vec![weak(), bad()], None),
    ] {
        let count = signatures.len();
        let found = judge(&signed(&package(), &signatures), &keys);
        match expected {
            Some(expected) => assert_eq!(found, *expected, "{count} signatures"),
            None => assert!(matches!(found, Signature::Bad(_)), "{found:?}"),
        }
    }
    // RHEL 10 signs a package with an old and with a new algorithm. This program does not support the new one.
    let header = package().metadata.header_bytes().unwrap();
    for (others, expected) in [
        (vec![], Signature::UnknownKey("of an unknown kind".into())),
        (vec![good()], is_good),
    ] {
        for first in [true, false] {
            let mut all = others.clone();
            let at = if first { 0 } else { all.len() };
            all.insert(at, of_unknown_algorithm(unknown(), &header));
            let found = judge(&signed(&package(), &all), &keys);
            assert_eq!(found, expected, "first: {first}");
        }
    }
}

/// Returns the signature with its algorithm changed to an unsupported one. Its digest prefix still matches the header.
fn of_unknown_algorithm(mut signature: Vec<u8>, header: &[u8]) -> Vec<u8> {
    // The packet's header is followed by version, type, public-key algorithm, hash algorithm, and the hashed and the
    // unhashed area.
    let body = signature.iter().position(|byte| *byte == 4).unwrap();
    assert_eq!(signature[body + 2], 22, "EdDSA was expected");
    signature[body + 2] = 109;
    let area = |at: usize| usize::from(signature[at]) * 256 + usize::from(signature[at + 1]) + 2;
    let hashed = body + 4 + area(body + 4);
    let prefix = hashed + area(hashed);
    let mut context = HashAlgorithm::SHA512.context().unwrap().for_signature(4);
    context.update(header);
    context.update(&signature[body..hashed]);
    context.update(&[4, 0xff]);
    context.update(&((hashed - body) as u32).to_be_bytes());
    let digest = context.into_digest().unwrap();
    signature[prefix..prefix + 2].copy_from_slice(&digest[..2]);
    signature
}

/// The signature names two keys, as if two keys had the same ID, and either may have made the signature.
#[test]
fn every_key_that_a_signature_names_is_tried() {
    let (one, two) = (Key::new(), Key::new());
    let names_both = |it: SignatureBuilder| {
        let it = it.add_issuer(one.signer().public().keyid()).unwrap();
        it.add_issuer(two.signer().public().keyid()).unwrap()
    };
    let keys = keyring(&[one.public(), two.public()].concat());
    let at = SystemTime::now() - DAY;
    for key in [&one, &two] {
        let sign = |package: &Pkg| {
            let signature = key.sign_with(&package.build(), at, &names_both);
            judge(&signed(&subject().build(), &[signature]), &keys)
        };
        assert_eq!(sign(&subject()), Signature::Good(key.fingerprint()));
        assert!(matches!(sign(&other()), Signature::Bad(_)));
    }
}

#[test]
fn key_files_are_read_to_their_end() {
    let (one, two) = (Key::new(), Key::new());
    let sign = |key: &Key| signed(&subject().build(), &[key.sign(&subject().build())]);
    let is_good =
        |keys: &Keyring, key: &Key| judge(&sign(key), keys) == Signature::Good(key.fingerprint());
    for file in [
        [one.public(), two.public()].concat(),
        [one.binary(), two.binary()].concat(),
        String::from_utf8([one.public(), two.public()].concat())
            .unwrap()
            .replace('\n', "\r\n")
            .into_bytes(),
    ] {
        let keys = keyring(&file);
        assert!(is_good(&keys, &one) && is_good(&keys, &two));
    }
    let mut keys = Keyring::new(Policy::standard(SystemTime::now()));
    let skipped = keys.add(&[broken(&one), two.public()].concat()).unwrap();
    assert!(skipped[0].contains("not supported"), "{skipped:?}");
    assert!(is_good(&keys, &two));

    let mut refused = |file: &[u8]| keys.add(file).unwrap_err().to_string();
    assert!(refused(&broken(&one)).contains("not supported"));
    assert!(refused(b"hello").contains("no usable OpenPGP public key"));
    assert!(refused(b"").contains("no usable OpenPGP public key"));
    let private = b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n";
    assert!(refused(private).contains("private key"));
}

#[test]
fn a_configured_policy_replaces_the_standard_one() {
    let at = dates();
    let key = Key::made(KeyType::Ed25519, at.key);
    let built = subject().build();
    let change = |it: SignatureBuilder| it.set_hash_algo(HashAlgorithm::SHA1);
    let sha1 = signed(&built, &[key.sign_with(&built, at.made, &change)]);
    let sha512 = signed(&built, &[key.sign_with(&built, at.made, NONE)]);
    let rsa = rsa();
    let v3 = signed(&built, &[rsa.sign_v3(&built, at.made)]);
    let judge = |rpm: &[u8], config: &str| {
        let policy = Policy::configured(SystemTime::now(), config.as_bytes()).unwrap();
        let mut keys = Keyring::new(policy);
        keys.add(&[key.public(), rsa.public()].concat()).unwrap();
        judge(rpm, &keys)
    };
    let hashes = |text: &str| format!("[hash_algorithms]\n{text}\n");
    let keys = |text: &str| format!("[asymmetric_algorithms]\n{text}\n");
    for (rpm, config, is_good) in [
        (&sha512, String::new(), true),
        (&sha1, String::new(), false),
        (&sha1, hashes("sha1 = \"always\""), true),
        (
            &sha1,
            hashes(
                "sha1.collision_resistance = \"always\"\nsha1.second_preimage_resistance = \"always\"",
            ),
            true,
        ),
        (&sha1, hashes("sha1 = 2099-01-01"), true),
        (&sha1, hashes("sha1 = 2020-01-01"), false),
        (&sha512, hashes("sha512 = \"never\""), false),
        (&sha512, hashes("default_disposition = \"never\""), false),
        (
            &sha512,
            hashes("sha512 = \"always\"\ndefault_disposition = \"never\""),
            true,
        ),
        (
            &sha512,
            hashes("ignore_invalid = [\"sha9\"]\nsha9 = \"never\""),
            true,
        ),
        (
            &sha512,
            keys("ed25519 = \"never\"\neddsa = \"never\"\ncv25519 = \"never\""),
            false,
        ),
        (&v3, String::new(), true),
        (&v3, keys("rsa2048 = \"never\""), false),
        (
            &v3,
            "[packets.signature]\nv3 = \"never\"\n".to_owned(),
            false,
        ),
    ] {
        let found = judge(rpm, &config);
        assert_eq!(
            matches!(found, Signature::Good(_)),
            is_good,
            "{config}: {found:?}"
        );
        let is_untrusted = matches!(found, Signature::Untrusted(_));
        assert_eq!(is_untrusted, !is_good, "{config}: {found:?}");
    }
    for bad in [
        "sha1",
        "[hash_algorithms]\nsha9 = \"never\"",
        "[colours]\nred = \"always\"",
        "[hash_algorithms]\nsha1 = \"sometimes\"",
    ] {
        let error = Policy::configured(SystemTime::now(), bad.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("not a crypto policy"), "{error}");
    }
}
