// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys and certificates for tests, made with openssl. Nothing trusts them.

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfo, SignerInfos,
};
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString, SetOfVec};
use x509_cert::der::{Any, Encode, Tag};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::certificate::RSA;
use super::{Certificate, Hash, SigningKey};

pub(super) const KEY: &str = include_str!("testing/key.pem");
pub(super) const CERTIFICATE: &str = include_str!("testing/certificate.pem");
pub(super) const OTHER_KEY: &str = include_str!("testing/other-key.pem");
pub(super) const OTHER_CERTIFICATE: &str = include_str!("testing/other-certificate.pem");
/// A certificate of the key [`OTHER_KEY`], signed with the key [`KEY`].
pub(super) const LEAF: &str = include_str!("testing/leaf.pem");

pub(super) fn key(pem: &str) -> SigningKey {
    SigningKey::read(pem.as_bytes()).unwrap()
}

pub(super) fn certificate(pem: &str) -> Certificate {
    Certificate::read_all(pem.as_bytes()).unwrap().remove(0)
}

/// Returns an Authenticode signature of an image with this SHA-256. The signature is made with `key`, names the
/// certificate `signer` as its signer, and contains the certificates in `sent`.
pub(super) fn authenticode(
    key: &SigningKey,
    signer: &Certificate,
    sent: &[Certificate],
    sha256: &[u8],
) -> Vec<u8> {
    let algorithm = |oid: ObjectIdentifier| AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::from(Null)),
    };
    let sequence = |parts: &[Vec<u8>]| Any::new(Tag::Sequence, parts.concat()).unwrap();
    let digest = [
        algorithm(Hash::Sha256.oid()).to_der().unwrap(),
        OctetString::new(sha256).unwrap().to_der().unwrap(),
    ];
    let about = sequence(&[]).to_der().unwrap();
    let content = sequence(&[about, sequence(&digest).to_der().unwrap()]);
    let info = SignerInfo {
        version: CmsVersion::V1,
        sid: signer.identifier(),
        digest_alg: algorithm(Hash::Sha256.oid()),
        signed_attrs: None,
        signature_algorithm: algorithm(RSA),
        signature: OctetString::new(key.value(Hash::Sha256, content.value()).unwrap()).unwrap(),
        unsigned_attrs: None,
    };
    let sent = sent
        .iter()
        .map(|it| CertificateChoices::Certificate(it.x509.clone()));
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([algorithm(Hash::Sha256.oid())]).unwrap(),
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: super::signature::INDIRECT_DATA,
            econtent: Some(content),
        },
        certificates: Some(CertificateSet(SetOfVec::from_iter(sent).unwrap())),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::from_iter([info]).unwrap()),
    };
    let info = ContentInfo {
        content_type: super::key::SIGNED_DATA,
        content: Any::encode_from(&data).unwrap(),
    };
    info.to_der().unwrap()
}
