// SPDX-License-Identifier: MIT OR Apache-2.0
//! OpenPGP keys with every property that a test needs, and packages signed by them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openpgp::cert::prelude::{CertRevocationBuilder, SubkeyRevocationBuilder};
use openpgp::crypto::Signer;
use openpgp::packet::key::{Key4, KeyRole, PrimaryRole, SecretParts, SubordinateRole};
use openpgp::packet::signature::{Signature3, SignatureBuilder};
use openpgp::packet::{Key as Packed, UserID};
use openpgp::serialize::{Marshal, SerializeInto};
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use openpgp::{Cert, Packet};
use sequoia_openpgp as openpgp;
use sha2::{Digest, Sha256};

use crate::kernels::Pkg;

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The algorithm of a key, and for RSA its size in bits.
#[derive(Clone, Copy)]
pub enum KeyType {
    Ed25519,
    Rsa(usize),
}

/// A function that changes the builder of a signature before the signature is made.
pub type Change<'a> = &'a dyn Fn(SignatureBuilder) -> SignatureBuilder;

/// A key with its certificate. The subkey makes the signatures, if there is one.
#[derive(Clone)]
pub struct Key {
    pub cert: Cert,
    primary: Packed<SecretParts, PrimaryRole>,
    sub: Option<Packed<SecretParts, SubordinateRole>>,
}

fn generate<R: KeyRole>(kind: KeyType, created: SystemTime) -> Packed<SecretParts, R> {
    let mut key: Key4<SecretParts, R> = match kind {
        KeyType::Ed25519 => Key4::generate_ecc(true, Curve::Ed25519).unwrap(),
        KeyType::Rsa(bits) => Key4::generate_rsa(bits).unwrap(),
    };
    key.set_creation_time(created).unwrap();
    key.into()
}

/// Returns a signature builder with the creation time `at` and the hash SHA-512.
fn builder(kind: SignatureType, at: SystemTime) -> SignatureBuilder {
    SignatureBuilder::new(kind)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_signature_creation_time(at)
        .unwrap()
}

impl Key {
    /// Creates a key of 2023-11-14, for signing and certifying, that never expires.
    pub fn new() -> Self {
        Self::made(
            KeyType::Ed25519,
            UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        )
    }

    pub fn made(kind: KeyType, created: SystemTime) -> Self {
        Self::with(kind, created, &|it| it)
    }

    /// Creates a key; `change` changes its self-signature before it is made.
    pub fn with(kind: KeyType, created: SystemTime, change: Change) -> Self {
        let primary = generate::<PrimaryRole>(kind, created);
        let user = UserID::from("A test <test@example.invalid>");
        let flags = KeyFlags::empty().set_signing().set_certification();
        let binding = builder(SignatureType::PositiveCertification, created)
            .set_key_flags(flags)
            .unwrap();
        let binding = change(binding);
        let mut signer = primary.clone().into_keypair().unwrap();
        let binding = binding
            .sign_userid_binding(&mut signer, None, &user)
            .unwrap();
        let packets: Vec<Packet> = vec![
            primary.clone().take_secret().0.into(),
            user.into(),
            binding.into(),
        ];
        Self {
            cert: Cert::from_packets(packets.into_iter()).unwrap(),
            primary,
            sub: None,
        }
    }

    /// Adds a subkey, which then makes the signatures; without `back`, the subkey has no back-signature.
    pub fn subkey(mut self, created: SystemTime, back: bool, change: Change) -> Self {
        let sub = generate::<SubordinateRole>(KeyType::Ed25519, created);
        let mut binding = builder(SignatureType::SubkeyBinding, created)
            .set_key_flags(KeyFlags::empty().set_signing())
            .unwrap();
        if back {
            let mut signer = sub.clone().into_keypair().unwrap();
            let back = builder(SignatureType::PrimaryKeyBinding, created)
                .sign_primary_key_binding(&mut signer, &self.primary, &sub)
                .unwrap();
            binding = binding.set_embedded_signature(back).unwrap();
        }
        let mut signer = self.primary.clone().into_keypair().unwrap();
        let binding = change(binding)
            .sign_subkey_binding(&mut signer, None, &sub)
            .unwrap();
        let public = sub.clone().take_secret().0;
        self.insert(vec![public.into(), binding.into()]);
        self.sub = Some(sub);
        self
    }

    fn insert(&mut self, packets: Vec<Packet>) {
        let cert = self.cert.clone();
        self.cert = cert.insert_packets(packets).unwrap().0;
    }

    /// Adds a revocation of the primary key.
    pub fn revoke(mut self, code: ReasonForRevocation, at: SystemTime) -> Self {
        let mut signer = self.primary.clone().into_keypair().unwrap();
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(at)
            .unwrap()
            .set_reason_for_revocation(code, b"a test")
            .unwrap()
            .build(&mut signer, &self.cert, None)
            .unwrap();
        self.insert(vec![revocation.into()]);
        self
    }

    /// Adds a revocation of the subkey.
    pub fn revoke_subkey(mut self, code: ReasonForRevocation, at: SystemTime) -> Self {
        let mut signer = self.primary.clone().into_keypair().unwrap();
        let sub = self.sub.clone().unwrap().take_secret().0;
        let revocation = SubkeyRevocationBuilder::new()
            .set_signature_creation_time(at)
            .unwrap()
            .set_reason_for_revocation(code, b"a test")
            .unwrap()
            .build(&mut signer, &self.cert, &sub, None)
            .unwrap();
        self.insert(vec![revocation.into()]);
        self
    }

    /// Returns the public half of the key, as `gpg --armor --export` writes it.
    pub fn public(&self) -> Vec<u8> {
        self.cert.armored().to_vec().unwrap()
    }

    /// Returns the public half of the key in binary form.
    pub fn binary(&self) -> Vec<u8> {
        self.cert.to_vec().unwrap()
    }

    /// Returns the fingerprint of the signing key, as reports name it.
    pub fn fingerprint(&self) -> String {
        self.signer().public().fingerprint().to_hex().to_lowercase()
    }

    pub fn signer(&self) -> openpgp::crypto::KeyPair {
        match &self.sub {
            Some(sub) => sub.clone().into_keypair().unwrap(),
            None => self.primary.clone().into_keypair().unwrap(),
        }
    }

    /// Signs the header of a package, with a fixed date (2023-11-14).
    pub fn sign(&self, package: &rpm::Package) -> Vec<u8> {
        let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        self.sign_with(package, at, &|it| it)
    }

    /// Signs the header of a package as of the time `at`; `change` changes the signature before it is made.
    pub fn sign_with(&self, package: &rpm::Package, at: SystemTime, change: Change) -> Vec<u8> {
        let header = package.metadata.header_bytes().unwrap();
        let signature = change(builder(SignatureType::Binary, at))
            .sign_message(&mut self.signer(), header)
            .unwrap();
        bytes_of(signature.into())
    }

    /// Signs the header of a package as RHEL does: with a packet of version 3, which has a key ID and no fingerprint.
    pub fn sign_v3(&self, package: &rpm::Package, at: SystemTime) -> Vec<u8> {
        let hash = HashAlgorithm::SHA256;
        let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs() as u32;
        let mut context = hash.context().unwrap().for_signature(3);
        context.update(&package.metadata.header_bytes().unwrap());
        context.update(&[SignatureType::Binary.into()]);
        context.update(&seconds.to_be_bytes());
        let digest = context.into_digest().unwrap();
        let mut signer = self.signer();
        let mpis = signer.sign(hash, &digest).unwrap();
        let signature = Signature3::new(
            SignatureType::Binary,
            seconds.into(),
            signer.public().keyid(),
            signer.public().pk_algo(),
            hash,
            [digest[0], digest[1]],
            mpis,
        );
        bytes_of(openpgp::packet::Signature::from(signature).into())
    }

    /// Returns the RPM file of a package, signed with this key.
    pub fn rpm(&self, package: &Pkg) -> Vec<u8> {
        let built = package.build();
        let signature = self.sign(&built);
        signed(&built, &[signature])
    }
}

fn bytes_of(packet: Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes).unwrap();
    bytes
}

/// Returns the RPM file of a package with these signatures in its signature header.
pub fn signed(package: &rpm::Package, signatures: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = Vec::new();
    package.write(&mut whole).unwrap();
    let word = |at: usize| u32::from_be_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let main = (96 + 16 + 16 * word(104) + word(108)).next_multiple_of(8);
    let header = package.metadata.header_bytes().unwrap();
    let sha256 = hex::encode(Sha256::digest(header));
    let mut entries = vec![(273, 6, 1, [sha256.as_bytes(), b"\0"].concat())];
    if !signatures.is_empty() {
        let encoded = signatures
            .iter()
            .map(|it| BASE64_STANDARD.encode(it) + "\0");
        let strings = encoded.collect::<String>().into_bytes();
        entries.push((278, 8, signatures.len() as u32, strings));
    }
    let mut bytes = whole[..96].to_vec();
    bytes.extend(signature_header(&entries));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(&whole[main..]);
    bytes
}

/// Returns a header of these entries (tag, type, count, data) and the region tag that rpm requires.
fn signature_header(entries: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let count = entries.len() as u32 + 1;
    let mut data = Vec::new();
    let mut index = Vec::new();
    for (tag, kind, count, bytes) in entries {
        index.extend([*tag, *kind, data.len() as u32, *count]);
        data.extend(bytes);
    }
    let end = data.len() as u32;
    let trailer = [62, 7, (count * 16).wrapping_neg(), 16];
    data.extend(trailer.iter().flat_map(|word| word.to_be_bytes()));
    let mut header = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    let words = [count, data.len() as u32, 62, 7, end, 16];
    header.extend(
        words
            .iter()
            .chain(&index)
            .flat_map(|word| word.to_be_bytes()),
    );
    header.extend(data);
    header
}
