// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads X.509 certificates, finds them in other data, and checks their period and issuer.

use std::fmt;
use std::time::{Duration, SystemTime};

use cms::cert::IssuerAndSerialNumber;
use cms::signed_data::SignerIdentifier;
use p384::ecdsa::VerifyingKey;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};

use super::{Hash, pem};

/// The object identifier of a common name in a distinguished name.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The object identifier of RSA keys.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The object identifier of keys on elliptic curves. The identifier of the curve is not compared: a key of another
/// curve than P-384 has another size, or is no point on P-384, and is not parsed.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The bytes at the start of a certificate in DER, by offset: the headers of two sequences whose sizes have two bytes,
/// and the field with version 3.
const START: [(usize, &[u8]); 3] = [
    (0, &[0x30, 0x82]),
    (4, &[0x30, 0x82]),
    (8, &[0xa0, 0x03, 0x02, 0x01, 0x02]),
];

/// Upper bound of the number of certificates that [`find_all`] returns. A kernel has about five.
const FOUND_MAX: usize = 200;

/// An X.509 certificate and its public key.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) x509: x509_cert::Certificate,
    fingerprint: String,
    /// The RSA key; `None` if the certificate's key is not an RSA key, or cannot be parsed.
    pub(super) key: Option<RsaPublicKey>,
    /// The ECDSA key on the curve P-384; `None` if the certificate's key is not such a key. The build of a kernel with
    /// `CONFIG_MODULE_SIG_KEY_TYPE_ECDSA` signs the modules with such a key.
    pub(super) ecdsa: Option<VerifyingKey>,
}

/// The reason why a file has no usable certificate.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CertificateError {
    /// The file has no certificate.
    #[error("no certificate. Expected an X.509 certificate in PEM or DER")]
    None,
    /// A certificate in the file cannot be parsed.
    #[error("a certificate that cannot be parsed: {0}")]
    Malformed(String),
}

impl Certificate {
    /// Reads all certificates of a PEM file, or the only certificate of a DER file.
    ///
    /// # Errors
    /// When the file contains no certificate, or one cannot be parsed.
    pub fn read_all(file: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if file.first() == Some(&0x30) {
            return Ok(vec![Self::from_der(file)?]);
        }
        let blocks = pem::blocks(file).into_iter();
        let certificates = blocks.filter(|block| block.label == "CERTIFICATE");
        let read = certificates.map(|block| {
            let der = block.der.ok_or(CertificateError::Malformed(
                "its PEM block is damaged".to_owned(),
            ))?;
            Self::from_der(&der)
        });
        match read.collect::<Result<Vec<_>, _>>()? {
            read if read.is_empty() => Err(CertificateError::None),
            read => Ok(read),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed =
            |error: x509_cert::der::Error| CertificateError::Malformed(error.to_string());
        let x509 = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        Ok(Self::new(x509, der))
    }

    pub(super) fn new(x509: x509_cert::Certificate, der: &[u8]) -> Self {
        let info = &x509.tbs_certificate.subject_public_key_info;
        let key = (info.algorithm.oid == RSA)
            .then(|| RsaPublicKey::from_pkcs1_der(info.subject_public_key.raw_bytes()).ok())
            .flatten();
        let point = info.subject_public_key.raw_bytes();
        let ecdsa = (info.algorithm.oid == EC)
            .then(|| VerifyingKey::from_sec1_bytes(point).ok())
            .flatten();
        Self {
            fingerprint: hex::encode(Hash::Sha256.digest(der)),
            key,
            ecdsa,
            x509,
        }
    }

    /// Returns the SHA-256 of the certificate in DER, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the identifier by which a signature refers to this certificate.
    pub(super) fn identifier(&self) -> SignerIdentifier {
        let of = &self.x509.tbs_certificate;
        SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: of.issuer.clone(),
            serial_number: of.serial_number.clone(),
        })
    }

    /// Checks that `now` is in the certificate's period of validity.
    ///
    /// # Errors
    /// When `now` is outside the period. The error continues a sentence about the certificate: "expired on …" or "is
    /// not valid before …".
    pub fn check_period(&self, now: SystemTime) -> Result<(), String> {
        let validity = &self.x509.tbs_certificate.validity;
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        if now > validity.not_after.to_unix_duration() {
            return Err(format!("expired on {}", validity.not_after));
        }
        if now < validity.not_before.to_unix_duration() {
            let start = validity.not_before;
            return Err(format!(
                "is not valid before {start}. Check the clock of this machine"
            ));
        }
        Ok(())
    }

    /// Returns whether this certificate issued `other`: its subject is the issuer of `other`, and its RSA key signed
    /// `other`, as a certificate authority may. The period of validity is not checked.
    pub(super) fn has_issued(&self, other: &Self) -> bool {
        let (own, other) = (&self.x509.tbs_certificate, &other.x509);
        let Some(hash) = Hash::of_rsa(&other.signature_algorithm.oid) else {
            return false;
        };
        let (Some(key), Ok(signed)) = (&self.key, other.tbs_certificate.to_der()) else {
            return false;
        };
        own.subject == other.tbs_certificate.issuer
            && self.is_authority()
            && key
                .verify(
                    hash.padding(),
                    &hash.digest(&signed),
                    other.signature.raw_bytes(),
                )
                .is_ok()
    }

    /// Returns whether the certificate may issue others: its basicConstraints and its keyUsage allow it, as far as it has
    /// them. A certificate without extensions may, too (`X509_check_ca` of OpenSSL, which firmware uses).
    fn is_authority(&self) -> bool {
        let own = &self.x509.tbs_certificate;
        match (own.get::<BasicConstraints>(), own.get::<KeyUsage>()) {
            (Ok(Some((_, constraints))), Ok(usage)) => {
                constraints.ca && usage.is_none_or(|(_, usage)| usage.key_cert_sign())
            }
            (Ok(None), Ok(Some((_, usage)))) => usage.key_cert_sign(),
            (Ok(None), Ok(None)) => own.extensions.is_none(),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// Returns the certificate's subject key identifier; `None` if it has none, or if it cannot be parsed.
    pub(super) fn key_id(&self) -> Option<Vec<u8>> {
        let found = self.x509.tbs_certificate.get::<SubjectKeyIdentifier>();
        let (_, id) = found.ok()??;
        Some(id.0.as_bytes().to_vec())
    }
}

impl fmt::Display for Certificate {
    /// Formats the subject's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(&self.x509.tbs_certificate.subject))
    }
}

/// Returns the common name in a distinguished name, or the whole name if it has no common name in UTF-8.
pub(super) fn name(name: &x509_cert::name::Name) -> String {
    let mut attributes = name.0.iter().flat_map(|it| it.0.iter());
    let common = attributes.find(|it| it.oid == COMMON_NAME);
    let text = common.and_then(|it| std::str::from_utf8(it.value.value()).ok());
    match text {
        Some(text) => text.to_owned(),
        None => name.to_string(),
    }
}

/// Returns the certificates (DER) at any place in `data`, for example those in a kernel; at most [`FOUND_MAX`]. Only
/// certificates that begin as in [`START`] are found.
pub fn find_all(data: &[u8]) -> Vec<Certificate> {
    let is_start = |at: &usize| {
        let mut parts = START.iter();
        parts.all(|(offset, bytes)| data[at + offset..].starts_with(bytes))
    };
    let last = data.len().saturating_sub(16);
    let starts = (0..last).filter(|at| data[*at] == 0x30).filter(is_start);
    let certificate = |at: usize| {
        let size = usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]])) + 4;
        Certificate::from_der(data.get(at..at + size)?).ok()
    };
    starts.filter_map(certificate).take(FOUND_MAX).collect()
}
