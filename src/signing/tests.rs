// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of keys, certificates and signatures.

use std::time::{Duration, SystemTime};

use super::testing::{
    CERTIFICATE, KEY, LEAF, OTHER_CERTIFICATE, OTHER_KEY, authenticode, certificate, key,
};
use super::*;

fn signed(contents: &[u8]) -> Signature {
    let der = key(KEY).sign(&certificate(CERTIFICATE), Hash::Sha512, contents);
    Signature::parse(&der.unwrap()).unwrap()
}

#[test]
fn keys_that_cannot_be_used() {
    let of = |pem: &str| SigningKey::read(pem.as_bytes()).err();
    assert_eq!(of(KEY), None);
    assert_eq!(of(OTHER_KEY), None);
    assert_eq!(of(&format!("Bag Attributes: x\n{KEY}")), None);
    assert_eq!(of(&KEY.replace('\n', "\r\n")), None);
    for (pem, expected) in [
        (
            include_str!("testing/encrypted-key.pem"),
            KeyError::Encrypted,
        ),
        (
            include_str!("testing/encrypted-traditional.pem"),
            KeyError::Encrypted,
        ),
        (include_str!("testing/ec-key.pem"), KeyError::NotRsa),
        (include_str!("testing/ec-pkcs8.pem"), KeyError::NotRsa),
        (CERTIFICATE, KeyError::None),
        ("", KeyError::None),
        (&KEY[..400], KeyError::None),
        (&KEY.replace("MII", "AII"), KeyError::Malformed),
    ] {
        assert_eq!(of(pem), Some(expected), "{pem}");
    }
}

/// The build of a kernel with CONFIG_MODULE_SIG_KEY_TYPE_ECDSA signs the modules with a P-384 key.
#[test]
fn a_kernels_own_ecdsa_key() {
    let own = certificate(include_str!("testing/p384-certificate.pem"));
    let signature = Signature::parse(include_bytes!("testing/p384-signature.der")).unwrap();
    let trusted = std::slice::from_ref(&own);
    assert!(signature.of_bytes(b"a module", trusted).is_known());
    let other = signature.of_bytes(b"another module", trusted);
    assert!(matches!(other, Signer::Wrong(_)), "{other:?}");
    let rsa = [certificate(CERTIFICATE)];
    let unknown = signature.of_bytes(b"a module", &rsa);
    assert!(matches!(unknown, Signer::Unknown(_)), "{unknown:?}");
}

#[test]
fn a_certificate_belongs_to_its_key() {
    let [own, other] = [CERTIFICATE, OTHER_CERTIFICATE].map(certificate);
    assert!(key(KEY).is_of(&own) && key(OTHER_KEY).is_of(&other));
    assert!(!key(KEY).is_of(&other) && !key(OTHER_KEY).is_of(&own));
    assert_eq!(own.to_string(), "test signer");
    assert!(own.check_period(SystemTime::now()).is_ok());
    let year = Duration::from_secs(365 * 24 * 3600);
    let early = own.check_period(SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(early.contains("is not valid before"), "{early}");
    let late = own.check_period(SystemTime::now() + year * 110);
    assert!(late.unwrap_err().starts_with("expired on "));
    let both = format!("{CERTIFICATE}\n{OTHER_CERTIFICATE}");
    assert_eq!(Certificate::read_all(both.as_bytes()).unwrap().len(), 2);
    for bad in ["", KEY, "\u{0}"] {
        let read = Certificate::read_all(bad.as_bytes());
        assert_eq!(read.unwrap_err(), CertificateError::None, "{bad:?}");
    }
    assert!(Certificate::read_all(b"0\x82").is_err());
}

#[test]
fn a_signature_is_of_its_bytes_and_its_signer() {
    let [own, other] = [CERTIFICATE, OTHER_CERTIFICATE].map(certificate);
    let signature = signed(b"module");
    let of = |bytes: &[u8], trusted: &[Certificate]| match signature.of_bytes(bytes, trusted) {
        Signer::Known(it) => it.to_string(),
        Signer::Unknown(name) => format!("unknown: {name}"),
        Signer::Wrong(why) => why,
    };
    let all = [other.clone(), own];
    assert_eq!(of(b"module", &all), "test signer");
    assert_eq!(of(b"Module", &all), "it does not match the signed bytes");
    assert_eq!(of(b"module", &[other]), "unknown: test signer");
    assert_eq!(of(b"module", &[]), "unknown: test signer");
    let not_authenticode = signature.of_image(&[0; 32], &all);
    assert!(matches!(not_authenticode, Signer::Wrong(_)));
}

#[test]
fn damaged_signatures_are_never_accepted() {
    let trusted = [certificate(CERTIFICATE)];
    let der = key(KEY).sign(&trusted[0], Hash::Sha256, b"module").unwrap();
    for at in 0..der.len() {
        for bit in [0x01, 0x80] {
            let mut damaged = der.clone();
            damaged[at] ^= bit;
            // Some fields, such as the version, are not signed, so only changes in the value of the signature must be
            // detected.
            let is_value = at >= der.len() - 256;
            if let Ok(parsed) = Signature::parse(&damaged)
                && is_value
            {
                assert!(!parsed.of_bytes(b"module", &trusted).is_known(), "{at}");
            }
        }
        assert!(Signature::parse(&der[..at]).is_err(), "{at}");
    }
}

#[test]
fn a_certificate_that_another_issued() {
    let [ca, leaf, other] = [CERTIFICATE, LEAF, OTHER_CERTIFICATE].map(certificate);
    assert!(ca.has_issued(&leaf) && ca.has_issued(&ca));
    assert!(!other.has_issued(&leaf) && !leaf.has_issued(&ca));
}

#[test]
fn a_chain_of_certificates_in_a_signature() {
    let [ca, leaf, other] = [CERTIFICATE, LEAF, OTHER_CERTIFICATE].map(certificate);
    let sent = [leaf.clone(), ca.clone()];
    let der = authenticode(&key(OTHER_KEY), &leaf, &sent, &[7; 32]);
    let first = Signature::parse(&der).unwrap();
    for (trusted, expected) in [(&leaf, true), (&ca, true), (&other, false)] {
        let signer = first.of_image(&[7; 32], std::slice::from_ref(trusted));
        assert_eq!(signer.is_known(), expected, "{trusted}: {signer:?}");
    }
    let unknown = first.of_image(&[7; 32], &[]);
    let expected = leaf.to_string();
    assert!(matches!(unknown, Signer::Unknown(name) if name == expected));
    let changed = first.of_image(&[8; 32], std::slice::from_ref(&ca));
    assert!(matches!(changed, Signer::Wrong(_)));
    let signers: Vec<_> = first.signers().map(Certificate::fingerprint).collect();
    assert_eq!(signers, [leaf.fingerprint()]);
    // A signature that names a trusted signer, but was made with another key, is not accepted.
    let forged = authenticode(&key(KEY), &leaf, &sent, &[7; 32]);
    let forged = Signature::parse(&forged).unwrap();
    assert!(matches!(forged.of_image(&[7; 32], &[ca]), Signer::Wrong(_)));
}

#[test]
fn every_truncation_and_change_of_a_signature_in_an_image() {
    let [ca, leaf] = [CERTIFICATE, LEAF].map(certificate);
    let trusted = [ca];
    let der = authenticode(
        &key(OTHER_KEY),
        &leaf,
        std::slice::from_ref(&leaf),
        &[7; 32],
    );
    for end in 0..der.len() {
        assert!(Signature::parse(&der[..end]).is_err(), "{end}");
    }
    for at in 0..der.len() {
        for value in [0, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = der.clone();
            changed[at] = value;
            if let Ok(signature) = Signature::parse(&changed) {
                let _ = (
                    signature.of_image(&[7; 32], &trusted),
                    signature.signers().count(),
                );
            }
        }
    }
}

#[test]
fn certificates_in_a_kernel() {
    let blocks = [CERTIFICATE, OTHER_CERTIFICATE].map(|it| pem::blocks(it.as_bytes()).remove(0));
    let [first, second] = blocks.map(|it| it.der.unwrap());
    let kernel = [&[0x30; 100][..], &first, &second, &[0x30, 0x82, 0xff]].concat();
    let found: Vec<_> = find_all(&kernel).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["test signer", "another signer"]);
    assert!(find_all(&kernel[..600]).is_empty());
    assert!(find_all(&[]).is_empty());
}
