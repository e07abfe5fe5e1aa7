// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads certificates and private keys, verifies the signatures of kernels and modules, and signs modules.
//!
//! Modules are signed with RSA, since firmware and shim accept only RSA keys, and one key can sign the kernel and the
//! modules. The hash is the one that the kernel's configuration names: SHA-256, SHA-384 or SHA-512. The digest of a
//! signed kernel must be SHA-256. Signatures with ECDSA and P-384 are verified, too, because the build of a kernel can
//! sign the modules with such a key. A [`SigningKey`] is wiped from memory on drop. Nothing here opens a file.

mod certificate;
mod key;
mod pem;
mod signature;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertificateError, find_all};
pub use key::{KeyError, SigningKey};
pub use signature::{Malformed, Signature, Signer, VmlinuzSigner};

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::der::asn1::ObjectIdentifier;

/// A hash algorithm of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the algorithm with this name, as in `CONFIG_MODULE_SIG_HASH`; `None` if it is not supported.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Returns the digest of the bytes.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// Returns the object identifier that NIST assigned to the algorithm.
    fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        })
    }

    fn of_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.oid() == *oid)
    }

    /// Returns the hash of a signature algorithm such as sha256WithRSAEncryption (RFC 8017, appendix C); `None` if it
    /// is not supported.
    fn of_rsa(oid: &ObjectIdentifier) -> Option<Self> {
        match oid.to_string().strip_prefix("1.2.840.113549.1.1.")? {
            "11" => Some(Self::Sha256),
            "12" => Some(Self::Sha384),
            "13" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Returns the padding scheme for RSA signatures, with the bytes that precede the digest in a DigestInfo (RFC 8017,
    /// section 9.2, note 1).
    fn padding(self) -> rsa::Pkcs1v15Sign {
        let (last, size) = match self {
            Self::Sha256 => (1, 32),
            Self::Sha384 => (2, 48),
            Self::Sha512 => (3, 64),
        };
        let all = 0x11 + size;
        let prefix = [
            0x30, all, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            last, 0x05, 0x00, 0x04, size,
        ];
        rsa::Pkcs1v15Sign {
            hash_len: Some(size.into()),
            prefix: Box::new(prefix),
        }
    }
}
