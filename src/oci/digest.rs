// SPDX-License-Identifier: MIT OR Apache-2.0
//! Digests of blobs.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use super::error::OciError;

/// A digest, for example `sha256:e3b0…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobDigest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl BlobDigest {
    /// Returns the SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = BlobHasher(HasherState::Sha256(Sha256::new()));
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the name of the algorithm.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// Returns the digest without its algorithm (lower-case hexadecimal).
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Returns a hasher of the same algorithm.
    pub fn hasher(&self) -> BlobHasher {
        BlobHasher(match self.algorithm {
            Algorithm::Sha256 => HasherState::Sha256(Sha256::new()),
            Algorithm::Sha512 => HasherState::Sha512(Sha512::new()),
        })
    }

    /// Checks that this is the digest of `bytes`.
    ///
    /// # Errors
    /// When the bytes have another digest.
    pub fn check(&self, bytes: &[u8]) -> Result<(), OciError> {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        self.check_is(&hasher.finish(), "digest")
    }

    /// Compares this digest, which a document states, with `found`, the digest of the bytes. `what` names the digest in
    /// the error.
    ///
    /// # Errors
    /// When the digests differ.
    pub fn check_is(&self, found: &Self, what: &'static str) -> Result<(), OciError> {
        if self == found {
            return Ok(());
        }
        Err(OciError::Mismatch {
            what,
            found: found.to_string(),
            expected: self.to_string(),
        })
    }
}

impl FromStr for BlobDigest {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let parsed = text.split_once(':').and_then(|(name, hex)| {
            let (algorithm, length) = match name {
                "sha256" => (Algorithm::Sha256, 64),
                "sha512" => (Algorithm::Sha512, 128),
                _ => return None,
            };
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (hex.len() == length && hex.bytes().all(is_hex)).then(|| Self {
                algorithm,
                hex: hex.to_owned(),
            })
        });
        parsed.ok_or_else(|| OciError::Digest(text.escape_debug().to_string()))
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl<'de> serde::Deserialize<'de> for BlobDigest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A hasher that computes a digest from bytes that are added in parts.
#[derive(Debug, Clone)]
pub struct BlobHasher(HasherState);

#[derive(Debug, Clone)]
enum HasherState {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl BlobHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            HasherState::Sha256(state) => state.update(bytes),
            HasherState::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest.
    pub fn finish(self) -> BlobDigest {
        let (algorithm, hex) = match self.0 {
            HasherState::Sha256(state) => (Algorithm::Sha256, hex::encode(state.finalize())),
            HasherState::Sha512(state) => (Algorithm::Sha512, hex::encode(state.finalize())),
        };
        BlobDigest { algorithm, hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_algorithms_and_lower_case() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest: BlobDigest = empty.parse().unwrap();
        assert_eq!(digest, BlobDigest::of(b""));
        assert_eq!(digest.to_string(), empty);
        digest.check(b"").unwrap();
        let error = digest.check(b"x").unwrap_err().to_string();
        assert!(error.contains(", expected sha256:e3b0"), "{error}");
        let long = format!("sha512:{}", "0a".repeat(64));
        assert_eq!(long.parse::<BlobDigest>().unwrap().to_string(), long);
        for text in [
            "",
            "sha256:",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &empty.to_uppercase(),
            &empty[..70],
            "sha256:../../../../etc/passwd00000000000000000000000000000000000000000000",
        ] {
            text.parse::<BlobDigest>().unwrap_err();
        }
    }
}
