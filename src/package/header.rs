// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the header of an RPM package.
//!
//! The result depends neither on the file name nor on bytes that no digest or signature covers. The numbers in the
//! signature header and in the main header are checked before the `rpm` crate parses the headers, because the crate
//! uses the numbers as indexes and as sizes of allocations.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;

use rpm::{DependencyFlags, DigestStatus, IndexTag, PackageMetadata};
use sha2::{Digest, Sha256};

use super::capability::{Capability, Op, tie_to};
use super::files::Files;
use super::nevra::Nevra;
use super::signature::{Keyring, Signature};
use crate::kernel::kver::{self, Kver};
use crate::kernel::modules::ModuleName;

/// Upper bound of the data in each header (bytes). The header of Fedora's largest kernel package has about 2 MiB; rpm's
/// own limit is 256 MiB.
pub const HEADER_MAX: u32 = 64 * 1024 * 1024;

/// Upper bound of the entries in a header's index, the same as rpm's `HEADER_TAGS_MAX`.
pub(super) const TAGS_MAX: u32 = 0xffff;

/// A package with a parsed header, whose digests were checked. [`Package::parse`] has also checked the digest of the
/// payload.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name, epoch, version, release and architecture.
    pub nevra: Nevra,
    /// Its provided capabilities.
    pub provides: Vec<Capability>,
    /// Its requirements.
    pub requires: Vec<Capability>,
    /// The packages that it obsoletes.
    pub obsoletes: Vec<Capability>,
    /// The file name of the source package that it was built from; empty if there is none.
    pub source: String,
    /// The kver, if the package owns `lib/modules/KVER/vmlinuz` and the path is not a symbolic link.
    pub vmlinuz: Option<Kver>,
    /// The path of its kernel image in `/boot`, if it contains one.
    pub in_boot: Option<String>,
    /// The path of its symbolic link `lib/modules/KVER/vmlinuz`, if it contains one.
    pub vmlinuz_link: Option<String>,
    /// The kernel modules that it owns, each as the name of a directory in `lib/modules` and the module's name.
    pub modules: BTreeSet<(String, ModuleName)>,
    /// The directories of its files, relative to the root.
    pub dirs: BTreeSet<PathBuf>,
    /// Whether it has files; a meta package has none.
    pub has_files: bool,
    /// SHA-256 of the header (hexadecimal), as the rpmdb stores it in `SHA256HEADER`.
    pub header_sha256: String,
    /// The result of the signature check.
    pub signature: Signature,
}

/// The error that a file is not a usable package, key file or crypto policy.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It does not start with RPM's magic number.
    #[error("not an RPM file: it starts with {0}, expected edabeedb")]
    NotRpm(String),
    /// It is a web page.
    #[error(
        "a web page, not an RPM file: it starts with \"{0}\". Servers that require a login, and proxies, reply with such a page"
    )]
    WebPage(String),
    /// The file is truncated, or cannot be read.
    #[error("reading the package's headers")]
    Read(#[from] std::io::Error),
    /// The numbers in a header are inconsistent.
    #[error("the {header} header is damaged: {what}")]
    Framing {
        /// `signature` or `main`.
        header: &'static str,
        /// The inconsistency.
        what: String,
    },
    /// The `rpm` crate rejected the header.
    #[error("the package's header cannot be read: {0}")]
    Header(String),
    /// A digest does not match.
    #[error(
        "the {digest} does not match: expected {expected}, found {actual}; the file is damaged or was tampered with"
    )]
    Digest {
        /// The name of the digest.
        digest: &'static str,
        /// The digest in the header.
        expected: String,
        /// The computed digest.
        actual: String,
    },
    /// A required digest is missing.
    #[error(
        "the package has no SHA-256 digest of its {0}, so its integrity cannot be checked; expected a package built with rpm 4.14 or newer"
    )]
    NoDigest(&'static str),
    /// Its name, version, release or architecture is one that rpmbuild does not allow.
    #[error(
        "its header names the package {0:?}; expected letters, digits and ._+-~^ only: it was not made by rpmbuild"
    )]
    Name(String),
    /// It is a source package.
    #[error("{0} is a source package; expected a binary one")]
    Source(Nevra),
    /// It owns the kernels of two releases.
    #[error("it owns more than one lib/modules/*/vmlinuz ({0} and {1})")]
    TwoKernels(Kver, Kver),
    /// The directory of `vmlinuz` is not named like a kernel release.
    #[error(transparent)]
    Kver(#[from] kver::NotAKver),
    /// A key file contains no usable key.
    #[error("no usable OpenPGP public key in it: {0}")]
    Key(String),
    /// A crypto policy cannot be parsed.
    #[error("not a crypto policy of rpm-sequoia: {0}")]
    Policy(String),
}

impl Package {
    /// Reads a package to its end: the headers into memory (each with at most [`HEADER_MAX`] bytes of data), the
    /// payload only for its digest.
    ///
    /// # Errors
    /// See [`PackageError`]. A wrong or missing digest of the header or of the payload is an error. A bad signature is
    /// not an error: the plan judges the field `signature`.
    pub fn parse(mut input: impl Read, keys: &Keyring) -> Result<Self, PackageError> {
        let metadata = metadata(&mut input)?;
        check_payload_digest(&metadata, input)?;
        Self::of_metadata(&metadata, keys)
    }

    /// Reads only the headers, which identify the package. Before the package is installed, its payload must be
    /// verified, too.
    ///
    /// # Errors
    /// As for [`Package::parse`], except those about the payload.
    pub fn read_header(mut input: impl Read, keys: &Keyring) -> Result<Self, PackageError> {
        Self::of_metadata(&metadata(&mut input)?, keys)
    }

    fn of_metadata(metadata: &PackageMetadata, keys: &Keyring) -> Result<Self, PackageError> {
        let nevra = nevra(metadata).map_err(in_header)?;
        if !nevra.is_plain() {
            return Err(PackageError::Name(nevra.to_string()));
        }
        if metadata.is_source_package() {
            return Err(PackageError::Source(nevra));
        }
        let header = metadata.header_bytes().map_err(in_header)?;
        let files = Files::of(metadata).map_err(in_header)?;
        Ok(Self {
            provides: capabilities(metadata.get_provides().map_err(in_header)?),
            requires: capabilities(metadata.get_requires().map_err(in_header)?),
            obsoletes: capabilities(metadata.get_obsoletes().map_err(in_header)?),
            source: source(metadata),
            vmlinuz: files.vmlinuz()?,
            in_boot: files.in_boot(),
            vmlinuz_link: files.vmlinuz_link(),
            modules: files.modules(),
            dirs: files.dirs(),
            has_files: !files.is_empty(),
            header_sha256: hex(&Sha256::digest(&header)),
            signature: keys.judge(metadata, &header),
            nevra,
        })
    }

    /// Returns whether the package provides `name = version`.
    pub fn provides(&self, name: &str, version: &str) -> bool {
        self.provides
            .iter()
            .any(|cap| cap.name == name && cap.version == version)
    }

    /// Returns whether the package belongs to the kernel `kver`: it owns the kernel's `vmlinuz` or modules, or provides
    /// or requires `…uname-r = KVER`.
    pub fn belongs_to(&self, kver: &Kver) -> bool {
        self.vmlinuz.as_ref() == Some(kver)
            || self.modules.iter().any(|(dir, _)| dir == kver.as_str())
            || tie_to(self.provides.iter().chain(&self.requires), kver.as_str())
    }
}

/// Returns the file name of the source package; empty if the header has none, or another text such as `(none)`.
fn source(metadata: &PackageMetadata) -> String {
    let name = metadata.get_source_rpm().unwrap_or_default();
    let is_one = name.ends_with("src.rpm");
    if is_one {
        name.to_owned()
    } else {
        String::new()
    }
}

/// Returns the bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Reads both headers and checks the digests of the main header.
fn metadata(input: &mut impl Read) -> Result<PackageMetadata, PackageError> {
    let head = read_head(input)?;
    let metadata = PackageMetadata::parse(&mut head.as_slice()).map_err(in_header)?;
    check_header_digests(&metadata)?;
    Ok(metadata)
}

fn in_header(error: rpm::Error) -> PackageError {
    PackageError::Header(error.to_string())
}

fn nevra(metadata: &PackageMetadata) -> Result<Nevra, rpm::Error> {
    Ok(Nevra {
        name: metadata.get_name()?.to_owned(),
        epoch: metadata.get_epoch().unwrap_or(0),
        version: metadata.get_version()?.to_owned(),
        release: metadata.get_release()?.to_owned(),
        arch: metadata.get_arch()?.to_owned(),
    })
}

fn capabilities(from: Vec<rpm::Dependency>) -> Vec<Capability> {
    from.into_iter()
        .filter(|dependency| !dependency.name.starts_with("rpmlib("))
        .map(|dependency| Capability {
            op: Op {
                less: dependency.flags.contains(DependencyFlags::LESS),
                equal: dependency.flags.contains(DependencyFlags::EQUAL),
                greater: dependency.flags.contains(DependencyFlags::GREATER),
            },
            name: dependency.name,
            version: dependency.version,
        })
        .collect()
}

/// Reads the lead and both headers, and checks their magic numbers and every number in the headers.
fn read_head(input: &mut impl Read) -> Result<Vec<u8>, PackageError> {
    let mut head = vec![0; 96];
    let got = read_full(input, &mut head)?;
    if !head.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
        return Err(not_rpm(&head[..got]));
    }
    read_header(input, &mut head, "signature")?;
    let padding = head.len().next_multiple_of(8) - head.len();
    read_more(input, &mut head, padding as u64)?;
    read_header(input, &mut head, "main")?;
    Ok(head)
}

fn not_rpm(start: &[u8]) -> PackageError {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        let line: String = text.chars().take_while(|c| !c.is_control()).collect();
        PackageError::WebPage(line)
    } else {
        PackageError::NotRpm(hex(&start[..start.len().min(4)]))
    }
}

fn read_header(
    input: &mut impl Read,
    head: &mut Vec<u8>,
    header: &'static str,
) -> Result<(), PackageError> {
    let framing = |what: String| PackageError::Framing { header, what };
    let start = head.len();
    read_more(input, head, 16)?;
    if head[start..start + 3] != [0x8e, 0xad, 0xe8] {
        let found = hex(&head[start..start + 3]);
        return Err(framing(format!("it starts with {found}, expected 8eade8")));
    }
    // rpm accepts no other version, and the signature does not cover the reserved bytes.
    if head[start + 3..start + 8] != [1, 0, 0, 0, 0] {
        let found = hex(&head[start + 3..start + 8]);
        return Err(framing(format!(
            "its version and reserved bytes are {found}, expected 0100000000"
        )));
    }
    let entries = be32(head, start + 8);
    let data = be32(head, start + 12);
    if entries > TAGS_MAX {
        return Err(framing(format!(
            "{entries} entries, the limit is {TAGS_MAX}"
        )));
    }
    if data > HEADER_MAX {
        return Err(framing(format!("{data} bytes, the limit is {HEADER_MAX}")));
    }
    read_more(input, head, u64::from(entries) * 16 + u64::from(data))?;
    check_entries(&head[start + 16..], entries as usize).map_err(framing)
}

/// Checks that the value of every entry is inside the data, and that the values together are not larger than the data.
/// The `rpm` crate copies every value, so a small file with overlapping values could need much memory.
pub(super) fn check_entries(header: &[u8], entries: usize) -> Result<(), String> {
    let (index, data) = header.split_at(entries * 16);
    let mut total = 0;
    for (number, entry) in index.chunks_exact(16).enumerate() {
        let (kind, offset, count) = (be32(entry, 4), be32(entry, 8) as usize, be32(entry, 12));
        let reaches = || {
            format!(
                "entry {number} (tag {}) reaches past the end of the header's data",
                be32(entry, 0)
            )
        };
        let rest = data.get(offset..).ok_or_else(reaches)?;
        let size = match kind {
            // Each string ends with a NUL.
            6 | 8 | 9 => strings(rest, count).ok_or_else(reaches)?,
            0 => 0,
            3 => 2 * count as usize,
            4 => 4 * count as usize,
            5 => 8 * count as usize,
            _ => count as usize,
        };
        if size > rest.len() {
            return Err(reaches());
        }
        total += size;
        if total > data.len() {
            return Err(format!(
                "entry {number} (tag {}) overlaps others",
                be32(entry, 0)
            ));
        }
    }
    Ok(())
}

/// Returns the size of `count` strings with their NULs; `None` if the bytes end earlier.
fn strings(bytes: &[u8], count: u32) -> Option<usize> {
    let mut size = 0;
    for _ in 0..count {
        size += bytes[size..].iter().position(|byte| *byte == 0)? + 1;
    }
    Some(size)
}

fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, PackageError> {
    let mut bytes = Vec::new();
    let got = input.take(buffer.len() as u64).read_to_end(&mut bytes)?;
    buffer[..got].copy_from_slice(&bytes);
    Ok(got)
}

fn read_more(input: &mut impl Read, head: &mut Vec<u8>, count: u64) -> Result<(), PackageError> {
    let got = input.take(count).read_to_end(head)?;
    if (got as u64) < count {
        return Err(PackageError::Read(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            format!(
                "the file is truncated by {} bytes; copy or download it again",
                count - got as u64
            ),
        )));
    }
    Ok(())
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

fn check_header_digests(metadata: &PackageMetadata) -> Result<(), PackageError> {
    let digests = metadata.check_digests().map_err(in_header)?;
    for (digest, status) in [
        ("header's SHA-1 digest", &digests.header_sha1),
        ("header's SHA-256 digest", &digests.header_sha256),
        ("header's SHA3-256 digest", &digests.header_sha3_256),
    ] {
        if let DigestStatus::Mismatch { expected, actual } = status {
            return Err(PackageError::Digest {
                digest,
                expected: expected.clone(),
                actual: actual.clone(),
            });
        }
    }
    if digests.header_sha256.is_verified() {
        Ok(())
    } else {
        Err(PackageError::NoDigest("header"))
    }
}

fn check_payload_digest(
    metadata: &PackageMetadata,
    mut payload: impl Read,
) -> Result<(), PackageError> {
    let expected = metadata
        .header
        .get_entry_data_as_string(IndexTag::RPMTAG_PAYLOADSHA256)
        .map_err(|_| PackageError::NoDigest("payload"))?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match payload.read(&mut buffer)? {
            0 => break,
            count => sha256.update(&buffer[..count]),
        }
    }
    let actual = hex(&sha256.finalize());
    if expected == actual {
        Ok(())
    } else {
        Err(PackageError::Digest {
            digest: "payload's SHA-256 digest",
            expected: expected.to_owned(),
            actual,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

    /// Returns a header with these entries (tag, type, offset, count) and this data.
    fn header(entries: &[[u32; 4]], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
        bytes.extend((entries.len() as u32).to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        for word in entries.iter().flatten() {
            bytes.extend(word.to_be_bytes());
        }
        [bytes, data.to_vec()].concat()
    }

    fn file(signature: &[u8], main: &[u8]) -> Vec<u8> {
        let mut bytes = LEAD.to_vec();
        bytes.resize(96, 0);
        bytes.extend(signature);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        [bytes, main.to_vec()].concat()
    }

    fn error(bytes: &[u8]) -> String {
        let error = Package::parse(bytes, &Keyring::default()).unwrap_err();
        format!("{:#}", anyhow::Error::from(error))
    }

    #[test]
    fn the_error_about_another_file_shows_its_start() {
        assert!(error(b"\n<!DOCTYPE html>\n<p>").contains("it starts with \"<!DOCTYPE html>\""));
        assert!(error(b"hello").contains("it starts with 68656c6c"));
        assert!(error(b"").contains("not an RPM file"));
        let empty = header(&[], b"");
        assert!(error(&file(b"not a header: 16 b", b"")).contains("signature header is damaged"));
        assert!(error(&file(&empty, b"")).contains("truncated by 16 bytes"));
        assert!(error(&file(&empty, &empty)).contains("SHA-256 digest of its header"));
    }

    #[test]
    fn wrong_numbers_in_a_header_are_rejected() {
        let empty = header(&[], b"");
        let refused =
            |entries: &[[u32; 4]], data: &[u8]| error(&file(&empty, &header(entries, data)));
        let past = "reaches past the end of the header's data";
        for entry in [
            [1000, 6, 9, 1],
            [1000, 6, u32::MAX, 1],
            [1000, 8, 0, u32::MAX],
            [1000, 4, 0, 3],
            [1000, 4, 0, u32::MAX],
            [1000, 7, 1, 8],
        ] {
            assert!(refused(&[entry], b"abcdefg\0").contains(past), "{entry:?}");
        }
        // 60,000 entries that share one block would be copied 60,000 times.
        let shared = vec![[1000, 7, 0, 1 << 16]; 60_000];
        assert!(refused(&shared, &vec![0; 1 << 16]).contains("overlaps others"));
        let strings = vec![[1000, 6, 0, 1]; 3];
        assert!(refused(&strings, b"abcdefg\0").contains("overlaps others"));

        let mut lying = empty.clone();
        lying[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(error(&file(&empty, &lying)).contains("entries, the limit is"));
        let mut lying = empty.clone();
        lying[12..16].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(error(&file(&empty, &lying)).contains("bytes, the limit is"));
    }

    #[test]
    fn reserved_bytes_of_both_headers_are_checked() {
        let empty = header(&[], b"");
        for at in 3..8 {
            let mut changed = empty.clone();
            changed[at] ^= 0x80;
            let of_signature = error(&file(&changed, &empty));
            assert!(
                of_signature.contains("signature header is damaged: its version"),
                "{of_signature}"
            );
            let of_main = error(&file(&empty, &changed));
            assert!(
                of_main.contains("main header is damaged: its version"),
                "{of_main}"
            );
        }
    }

    #[test]
    fn seeds_are_current() {
        let config = rpm::BuildConfig::v4()
            .compression(rpm::CompressionType::None)
            .source_date(1_700_000_000_u32);
        let mut builder = rpm::PackageBuilder::new("kernel-core", "6.9.4", "MIT", "x86_64", "test");
        builder.using_config(config).release("200.fc40").epoch(1);
        let vmlinuz = rpm::FileOptions::new("/usr/lib/modules/6.9.4/vmlinuz");
        builder.with_file_contents("MZ", vmlinuz).unwrap();
        builder.provides(rpm::Dependency::eq("kernel-uname-r", "6.9.4"));
        builder.requires(rpm::Dependency::any("/bin/sh"));
        let package = builder.build().unwrap();
        let mut whole = Vec::new();
        package.write(&mut whole).unwrap();
        // The fuzz target makes a package with an empty payload from a header, so the header needs the digest of an
        // empty payload.
        let mut bare = package.metadata.header_bytes().unwrap();
        let own = package.metadata.header;
        let own = own
            .get_entry_data_as_string(IndexTag::RPMTAG_PAYLOADSHA256)
            .unwrap();
        let at = bare
            .windows(64)
            .position(|it| it == own.as_bytes())
            .unwrap();
        bare[at..at + 64].copy_from_slice(hex(&Sha256::digest(b"")).as_bytes());
        let seeds = [
            ("whole", whole),
            ("bare-header", bare),
            ("empty-headers", file(&header(&[], b""), &header(&[], b""))),
        ];
        crate::kernel::testing::seeds("package", &seeds);
    }
}
