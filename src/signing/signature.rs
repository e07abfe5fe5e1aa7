// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verifies CMS signatures: detached signatures, as modules have, and Authenticode signatures, which contain the digest
//! of a PE image.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use p384::ecdsa::DerSignature;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::certificate::name;
use super::{Certificate, Hash};

/// The content type of Authenticode, SPC_INDIRECT_DATA.
pub(super) const INDIRECT_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");

/// The object identifier of the attribute with the digest of the content (RFC 5652, section 11.2).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// Upper bound of the certificates in a chain from the signer's certificate to a trusted one, without the trusted one.
const CHAIN_MAX: usize = 4;

/// The error that a signature cannot be parsed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("a signature that cannot be parsed: {0}")]
pub struct Malformed(String);

/// A CMS signature.
pub struct Signature {
    data: SignedData,
    certificates: Vec<Certificate>,
}

/// The result of verifying a signature.
#[derive(Debug, Clone)]
pub enum Signer<'a> {
    /// The signature is valid. It was made with the key of this trusted certificate, or with the key of a certificate
    /// that the trusted certificate has issued, directly or through intermediate certificates.
    Known(&'a Certificate),
    /// The signer is not trusted. Contains the signer's name. If the signature does not contain the signer's
    /// certificate, this is the name of the certificate's issuer, or the identifier of the key.
    Unknown(String),
    /// The signature is invalid, or its hash or key is not supported. Contains the reason.
    Wrong(String),
}

/// The result of verifying the Authenticode signatures of a `vmlinuz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmlinuzSigner {
    /// One of the signatures is valid, and its signer is trusted.
    Trusted,
    /// `vmlinuz` has no such signature.
    None,
    /// Each signature is invalid or has a signer that is not trusted. Contains the reason for each signature.
    Others(Vec<String>),
}

impl Signer<'_> {
    /// Returns whether the signer is trusted.
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }
}

impl Signature {
    /// Parses a signature in DER; bytes after it are ignored.
    ///
    /// # Errors
    /// When the bytes are not signed data in CMS.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let malformed = |error: x509_cert::der::Error| Malformed(error.to_string());
        let mut reader = SliceReader::new(bytes).map_err(malformed)?;
        let info: ContentInfo = reader.decode().map_err(malformed)?;
        let data: SignedData = info.content.decode_as().map_err(malformed)?;
        let sent = data.certificates.iter().flat_map(|set| set.0.iter());
        let sent = sent.filter_map(|it| match it {
            CertificateChoices::Certificate(it) => Some(it),
            CertificateChoices::Other(_) => None,
        });
        let sent = sent.filter_map(|it| Some(Certificate::new(it.clone(), &it.to_der().ok()?)));
        Ok(Self {
            certificates: sent.collect(),
            data,
        })
    }

    /// Returns the signers' own certificates, as far as the signature contains them.
    pub fn signers(&self) -> impl Iterator<Item = &Certificate> {
        let named = |it: &&Certificate| self.data.signer_infos.0.iter().any(|of| is_of(of, it));
        self.certificates.iter().filter(named)
    }

    /// Verifies this signature as a detached signature of the bytes `signed`.
    pub fn of_bytes<'a>(&self, signed: &[u8], trusted: &'a [Certificate]) -> Signer<'a> {
        self.first(|it| self.signer(it, signed, trusted))
    }

    /// Verifies this signature as an Authenticode signature of an image with this SHA-256 (*Windows Authenticode
    /// Portable Executable Signature Format*).
    pub fn of_image<'a>(&self, sha256: &[u8], trusted: &'a [Certificate]) -> Signer<'a> {
        let content = &self.data.encap_content_info;
        let signed = content.econtent.as_ref().map(|it| it.value());
        let Some(signed) = signed.filter(|_| content.econtent_type == INDIRECT_DATA) else {
            return Signer::Wrong("it is not an Authenticode signature".to_owned());
        };
        match image_digest(signed) {
            Ok((Some(Hash::Sha256), digest)) if digest == sha256 => {}
            Ok((Some(Hash::Sha256), _)) => {
                return Signer::Wrong("it is a signature of other bytes".to_owned());
            }
            Ok(_) => return Signer::Wrong("its digest is not SHA-256".to_owned()),
            Err(error) => return Signer::Wrong(error.to_string()),
        }
        self.first(|it| self.signer(it, signed, trusted))
    }

    /// Returns the first result with a trusted signer, else the first result; `Wrong` if there is no signer.
    fn first<'a>(&self, verify: impl Fn(&SignerInfo) -> Signer<'a>) -> Signer<'a> {
        let mut all: Vec<_> = self.data.signer_infos.0.iter().map(verify).collect();
        let known = all.iter().position(|it| matches!(it, Signer::Known(_)));
        match (known, all.is_empty()) {
            (Some(at), _) => all.swap_remove(at),
            (None, false) => all.swap_remove(0),
            (None, true) => Signer::Wrong("it has no signer".to_owned()),
        }
    }

    fn signer<'a>(
        &self,
        signer: &SignerInfo,
        signed: &[u8],
        trusted: &'a [Certificate],
    ) -> Signer<'a> {
        let mut wrong = None;
        let direct = trusted.iter().filter(|it| is_of(signer, it));
        for certificate in direct {
            match verify(signer, signed, certificate) {
                Ok(()) => return Signer::Known(certificate),
                Err(why) => wrong = Some(why),
            }
        }
        let sent = self.certificates.iter().filter(|it| is_of(signer, it));
        for certificate in sent {
            if let Some(issuer) = self.chain(certificate, trusted) {
                match verify(signer, signed, certificate) {
                    Ok(()) => return Signer::Known(issuer),
                    Err(why) => wrong = Some(why),
                }
            }
        }
        match wrong {
            Some(why) => Signer::Wrong(why),
            None => Signer::Unknown(self.name_of(signer)),
        }
    }

    /// Returns the trusted certificate that has issued `certificate`, directly or through other certificates in the
    /// signature; `None` if there is none.
    fn chain<'a>(
        &self,
        certificate: &Certificate,
        trusted: &'a [Certificate],
    ) -> Option<&'a Certificate> {
        let mut at = certificate;
        for _ in 0..CHAIN_MAX {
            if let Some(issuer) = trusted.iter().find(|it| it.has_issued(at)) {
                return Some(issuer);
            }
            at = self.certificates.iter().find(|it| it.has_issued(at))?;
        }
        None
    }

    fn name_of(&self, signer: &SignerInfo) -> String {
        if let Some(sent) = self.certificates.iter().find(|it| is_of(signer, it)) {
            return sent.to_string();
        }
        match &signer.sid {
            SignerIdentifier::IssuerAndSerialNumber(it) => name(&it.issuer),
            SignerIdentifier::SubjectKeyIdentifier(it) => {
                format!("the key {}", hex::encode(it.0.as_bytes()))
            }
        }
    }
}

/// Returns whether a signer refers to this certificate.
fn is_of(signer: &SignerInfo, certificate: &Certificate) -> bool {
    let of = &certificate.x509.tbs_certificate;
    match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(it) => {
            it.issuer == of.issuer && it.serial_number == of.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(it) => {
            certificate.key_id().as_deref() == Some(it.0.as_bytes())
        }
    }
}

/// Verifies one signer's signature of `signed` with the certificate's key. If there are signed attributes, they must
/// contain the digest of `signed`, and the signature covers the attributes instead of `signed` (RFC 5652, section 5.4).
fn verify(signer: &SignerInfo, signed: &[u8], certificate: &Certificate) -> Result<(), String> {
    let hash = Hash::of_oid(&signer.digest_alg.oid);
    let hash = hash.ok_or("its hash algorithm is not supported")?;
    let digest = match &signer.signed_attrs {
        None => hash.digest(signed),
        Some(attributes) => {
            let digest = attributes.iter().find(|it| it.oid == MESSAGE_DIGEST);
            let digest = digest.and_then(|it| it.values.get(0));
            if digest.map(|it| it.value()) != Some(&hash.digest(signed)) {
                return Err("it is a signature of other bytes".to_owned());
            }
            let attributes = attributes.to_der().map_err(|error| error.to_string())?;
            hash.digest(&attributes)
        }
    };
    let value = signer.signature.as_bytes();
    let is_valid = match (&certificate.key, &certificate.ecdsa) {
        (Some(key), _) => key.verify(hash.padding(), &digest, value).is_ok(),
        (None, Some(key)) => DerSignature::from_bytes(value)
            .is_ok_and(|value| key.verify_prehash(&digest, &value).is_ok()),
        (None, None) => {
            return Err(format!(
                "the key of {certificate} is neither an RSA key nor an ECDSA key of P-384"
            ));
        }
    };
    if is_valid {
        Ok(())
    } else {
        Err("it does not match the signed bytes".to_owned())
    }
}

/// Reads the digest in `content`, the content of an Authenticode signature: a structure about the image, then a
/// DigestInfo. The hash is `None` if its algorithm is not supported.
fn image_digest(content: &[u8]) -> x509_cert::der::Result<(Option<Hash>, &[u8])> {
    let mut reader = SliceReader::new(content)?;
    AnyRef::decode(&mut reader)?;
    let info = AnyRef::decode(&mut reader)?;
    let mut reader = SliceReader::new(info.value())?;
    let algorithm = AlgorithmIdentifierRef::decode(&mut reader)?;
    let digest = OctetStringRef::decode(&mut reader)?;
    Ok((Hash::of_oid(&algorithm.oid), digest.as_bytes()))
}
