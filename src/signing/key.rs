// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads private RSA keys, and signs modules with them.

use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerInfo, SignerInfos};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString, SetOfVec};
use x509_cert::der::{self, Any, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::certificate::RSA;
use super::{Certificate, Hash, pem};

/// The content type of plain data (RFC 5652, section 4).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

/// The content type of signed data (RFC 5652, section 5).
pub(super) const SIGNED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// A private RSA key. Its memory is wiped on drop.
pub struct SigningKey(RsaPrivateKey);

/// The reason why a file has no usable key.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The file has no private key.
    #[error("no private key. Expected an RSA key in PEM")]
    None,
    /// The key is encrypted.
    #[error(
        "an encrypted key. A passphrase cannot be entered in a build: give a key without one, as a build secret"
    )]
    Encrypted,
    /// The key cannot be parsed.
    #[error("a key that cannot be parsed. Expected an RSA key in PEM")]
    Malformed,
    /// The key is not an RSA key.
    #[error("a key that is not an RSA key. Firmware and shim accept RSA keys only")]
    NotRsa,
}

impl SigningKey {
    /// Reads the first private key of a PEM file.
    ///
    /// # Errors
    /// When the file contains no private key, or the first one cannot be used.
    pub fn read(file: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::blocks(file);
        let block = blocks.iter().find(|it| it.label.ends_with("PRIVATE KEY"));
        let block = block.ok_or(KeyError::None)?;
        if block.label.starts_with("ENCRYPTED") || block.text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let der = block.der.as_deref().ok_or(KeyError::Malformed)?;
        let key = match block.label.as_str() {
            "RSA PRIVATE KEY" => RsaPrivateKey::from_pkcs1_der(der).ok(),
            "PRIVATE KEY" => match RsaPrivateKey::from_pkcs8_der(der) {
                Ok(key) => Some(key),
                Err(rsa::pkcs8::Error::PublicKey(_)) => return Err(KeyError::NotRsa),
                Err(_) => None,
            },
            _ => return Err(KeyError::NotRsa),
        };
        key.map(Self).ok_or(KeyError::Malformed)
    }

    /// Returns whether the certificate contains the public key of this key.
    pub fn is_of(&self, certificate: &Certificate) -> bool {
        certificate.key.as_ref() == Some(&self.0.to_public_key())
    }

    /// Signs a module's contents as the kernel's `scripts/sign-file.c` does: a CMS signature that contains neither the
    /// module's contents nor certificates nor signed attributes. Returns the CMS signature in DER.
    ///
    /// # Errors
    /// When the key is too small for the hash, or the CMS structure cannot be encoded.
    pub fn sign(
        &self,
        certificate: &Certificate,
        hash: Hash,
        contents: &[u8],
    ) -> Result<Vec<u8>, String> {
        let value = self.value(hash, contents)?;
        signed_data(certificate, hash, value).map_err(|error| error.to_string())
    }

    /// Returns the RSA signature of `contents` (PKCS #1 version 1.5), without a CMS structure.
    pub(super) fn value(&self, hash: Hash, contents: &[u8]) -> Result<Vec<u8>, String> {
        let value = self.0.sign(hash.padding(), &hash.digest(contents));
        value.map_err(|error| error.to_string())
    }
}

fn signed_data(certificate: &Certificate, hash: Hash, value: Vec<u8>) -> der::Result<Vec<u8>> {
    let digest_alg = AlgorithmIdentifierOwned {
        oid: hash.oid(),
        parameters: None,
    };
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: certificate.identifier(),
        digest_alg: digest_alg.clone(),
        signed_attrs: None,
        signature_algorithm: AlgorithmIdentifierOwned {
            oid: RSA,
            parameters: Some(Any::from(Null)),
        },
        signature: OctetString::new(value)?,
        unsigned_attrs: None,
    };
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([digest_alg])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: DATA,
            econtent: None,
        },
        certificates: None,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::from_iter([signer])?),
    };
    let info = ContentInfo {
        content_type: SIGNED_DATA,
        content: Any::encode_from(&data)?,
    };
    info.to_der()
}
