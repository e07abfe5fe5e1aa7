// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys and certificates for tests, made with openssl. Nothing trusts them.

use super::{Certificate, SigningKey};

pub(super) const KEY: &str = include_str!("testing/key.pem");
pub(super) const CERTIFICATE: &str = include_str!("testing/certificate.pem");
pub(super) const OTHER_KEY: &str = include_str!("testing/other-key.pem");
pub(super) const OTHER_CERTIFICATE: &str = include_str!("testing/other-certificate.pem");
/// A certificate of the other key that the first key signed.
pub(super) const LEAF: &str = include_str!("testing/leaf.pem");

pub(super) fn key(pem: &str) -> SigningKey {
    SigningKey::read(pem.as_bytes()).unwrap()
}

pub(super) fn certificate(pem: &str) -> Certificate {
    Certificate::read_all(pem.as_bytes()).unwrap().remove(0)
}
