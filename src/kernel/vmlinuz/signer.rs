// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the signers of a PE image: the names and certificates in the PKCS #7 structures of its certificate table.
//! Signatures are not verified here; `authenticode` compares the image with the signed digest.

use std::collections::BTreeSet;

/// Upper bound of signatures and of certificates in one.
const MANY: usize = 64;

/// The tags of DER that occur here.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// A signature of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signer {
    /// The issuer of the signer's certificate (a name in DER).
    issuer: Vec<u8>,
    /// The certificate's serial number (DER).
    serial: Vec<u8>,
    /// The certificates in the signature (DER).
    certificates: Vec<Vec<u8>>,
}

/// The names in a certificate, in DER.
struct Names<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
}

impl Signer {
    /// Returns whether one of these certificates (DER) is the signer's, or issued it or its issuers by name.
    pub fn is_trusted_by(&self, trusted: &[Vec<u8>]) -> bool {
        let own: Vec<_> = self
            .certificates
            .iter()
            .filter_map(|it| names(it))
            .collect();
        let mut issuers = BTreeSet::from([self.issuer.as_slice()]);
        for _ in &own {
            let chain = own.iter().filter(|it| issuers.contains(it.subject));
            let more: Vec<_> = chain.map(|it| it.issuer).collect();
            issuers.extend(more);
        }
        trusted.iter().filter_map(|it| names(it)).any(|it| {
            let is_signer = it.issuer == self.issuer && it.serial == self.serial;
            is_signer || issuers.contains(it.subject)
        })
    }

    /// Returns whether the same certificate signed another image.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.issuer, &self.serial) == (&other.issuer, &other.serial)
    }

    /// Returns the texts in the issuer's name.
    pub fn issuer(&self) -> String {
        let mut texts = Vec::new();
        let mut rest = self.issuer.as_slice();
        if let Some((SEQUENCE, inside, _)) = element(rest) {
            rest = inside;
        }
        while let Some((SET, set, after)) = element(rest) {
            let pair = element(set).map(|(_, pair, _)| pair).unwrap_or_default();
            let text = element(pair).and_then(|(_, _, text)| element(text));
            texts.extend(text.map(|(_, text, _)| String::from_utf8_lossy(text).into_owned()));
            rest = after;
        }
        texts.join(", ")
    }
}

/// Returns the signatures in a certificate table, CMS in DER.
pub(super) fn signatures(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    /// The size of the fields before the signature.
    const HEAD: usize = 8;
    /// The type of a CMS signature (WIN_CERT_TYPE_PKCS_SIGNED_DATA).
    const CMS: [u8; 2] = [2, 0];
    let mut rest = table;
    std::iter::from_fn(move || {
        loop {
            let size = u32::from_le_bytes(*rest.first_chunk()?);
            let size = usize::try_from(size).ok().filter(|it| *it > HEAD)?;
            let entry = rest.get(..size)?;
            rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
            if entry[6..HEAD] == CMS {
                return Some(&entry[HEAD..]);
            }
        }
    })
}

/// Returns the signers in a certificate table.
pub(crate) fn in_table(table: &[u8]) -> Vec<Signer> {
    let mut signers = Vec::new();
    for signature in signatures(table) {
        signers.extend(parse(signature).unwrap_or_default());
        if signers.len() >= MANY {
            break;
        }
    }
    signers
}

/// Parses a PKCS #7 structure `SignedData` (RFC 2315).
fn parse(data: &[u8]) -> Option<Vec<Signer>> {
    let (_, content, _) = element(data).filter(|it| it.0 == SEQUENCE)?;
    let (_, _, content) = element(content)?;
    let (_, explicit, _) = element(content).filter(|it| it.0 == CONTEXT_0)?;
    let (_, signed, _) = element(explicit).filter(|it| it.0 == SEQUENCE)?;
    let (_, _, rest) = element(signed)?;
    let (_, _, rest) = element(rest)?;
    let (_, _, mut rest) = element(rest)?;
    let mut certificates = Vec::new();
    let mut signers = Vec::new();
    while let Some((tag, inside, after)) = element(rest) {
        match tag {
            CONTEXT_0 => certificates = elements(inside),
            SET => signers = elements(inside),
            _ => {}
        }
        rest = after;
    }
    let signer = |it: &Vec<u8>| {
        let (_, info, _) = element(it)?;
        let (_, _, info) = element(info)?;
        let (_, id, _) = element(info).filter(|it| it.0 == SEQUENCE)?;
        let (issuer, serial) = whole(id)?;
        let (serial, _) = whole(serial)?;
        Some(Signer {
            issuer: issuer.to_vec(),
            serial: serial.to_vec(),
            certificates: certificates.clone(),
        })
    };
    Some(signers.iter().filter_map(signer).collect())
}

/// Returns the names in a certificate (RFC 5280).
fn names(certificate: &[u8]) -> Option<Names<'_>> {
    let (_, certificate, _) = element(certificate).filter(|it| it.0 == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|it| it.0 == SEQUENCE)?;
    if let Some((CONTEXT_0, _, after)) = element(rest) {
        rest = after;
    }
    element(rest).filter(|it| it.0 == INTEGER)?;
    let (serial, rest) = whole(rest)?;
    let (_, rest) = whole(rest)?;
    let (issuer, rest) = whole(rest)?;
    let (_, rest) = whole(rest)?;
    let (subject, _) = whole(rest)?;
    Some(Names {
        serial,
        issuer,
        subject,
    })
}

/// Splits off the first element: its tag, its content, and the bytes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (size, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let size = digits
                .iter()
                .fold(0_usize, |size, &it| size << 8 | usize::from(it));
            (size, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(size)?;
    Some((tag, content, rest))
}

/// Splits off the first element with its tag and size.
fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, _, rest) = element(bytes)?;
    Some(bytes.split_at(bytes.len() - rest.len()))
}

/// Returns the elements, each with its tag and size.
fn elements(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some((one, rest)) = whole(bytes).filter(|_| all.len() < MANY) {
        all.push(one.to_vec());
        bytes = rest;
    }
    all
}

#[cfg(test)]
pub(crate) mod testing {
    //! Writes certificates and signatures for tests.

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let size = content.len();
        let head = if size < 0x80 {
            vec![tag, size as u8]
        } else {
            vec![tag, 0x82, (size >> 8) as u8, size as u8]
        };
        [head, content].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        let pair = der(
            super::SEQUENCE,
            &[&der(6, &[&[0x55, 4, 3]]), &der(12, &[text.as_bytes()])],
        );
        der(super::SEQUENCE, &[&der(super::SET, &[&pair])])
    }

    /// Returns a certificate.
    pub fn certificate(subject: &str, issuer: &str, serial: u8) -> Vec<u8> {
        let empty = der(super::SEQUENCE, &[]);
        let tbs = der(
            super::SEQUENCE,
            &[
                &der(super::CONTEXT_0, &[&der(super::INTEGER, &[&[2]])]),
                &der(super::INTEGER, &[&[serial]]),
                &empty,
                &name(issuer),
                &empty,
                &name(subject),
            ],
        );
        der(super::SEQUENCE, &[&tbs, &empty])
    }

    /// Returns a certificate table with one signature.
    pub fn table(issuer: &str, serial: u8, certificates: &[Vec<u8>]) -> Vec<u8> {
        let version = der(super::INTEGER, &[&[1]]);
        let id = der(
            super::SEQUENCE,
            &[&name(issuer), &der(super::INTEGER, &[&[serial]])],
        );
        let info = der(super::SEQUENCE, &[&version, &id]);
        let signed = der(
            super::SEQUENCE,
            &[
                &version,
                &der(super::SET, &[]),
                &der(super::SEQUENCE, &[]),
                &der(super::CONTEXT_0, &[&certificates.concat()]),
                &der(super::SET, &[&info]),
            ],
        );
        let content = der(super::CONTEXT_0, &[&signed]);
        let data = der(super::SEQUENCE, &[&der(6, &[&[1]]), &content]);
        let size = (8 + data.len()) as u32;
        let mut table = [&size.to_le_bytes()[..], &[0, 2, 2, 0], &data].concat();
        table.resize(table.len().next_multiple_of(8), 0);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{certificate, table};
    use super::*;

    #[test]
    fn a_chain_of_names() {
        let leaf = certificate("kernel signer", "vendor", 7);
        let middle = certificate("vendor", "root", 3);
        let root = certificate("root", "root", 1);
        let other = certificate("other", "other", 7);
        let bytes = table("vendor", 7, &[leaf.clone(), middle.clone()]);
        let signers = in_table(&[bytes.as_slice(), &table("other", 7, &[])].concat());
        let [first, second] = signers.as_slice() else {
            panic!("{signers:?}");
        };
        for (trusted, expected) in [
            (&leaf, true),
            (&middle, true),
            (&root, true),
            (&other, false),
        ] {
            assert_eq!(first.is_trusted_by(std::slice::from_ref(trusted)), expected);
        }
        assert!(second.is_trusted_by(&[other]));
        assert!(!first.is_trusted_by(&[]) && !first.is_same(second));
        assert_eq!(first.issuer(), "vendor");
    }

    #[test]
    fn every_truncation_and_change() {
        let bytes = table("vendor", 7, &[certificate("a", "vendor", 7)]);
        for end in 0..bytes.len() {
            let _ = in_table(&bytes[..end]);
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                for signer in in_table(&bytes) {
                    let _ = (signer.issuer(), signer.is_trusted_by(&[bytes.clone()]));
                }
            }
        }
    }
}
