// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the Authenticode signatures of a PE image, and compares the digest in each signature with the digest of the
//! image. The comparison finds bytes that changed after signing. It does not prove who signed the image: that is
//! verified in [`crate::signing`] with trusted certificates.

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::VmlinuzError;
use super::image::Region;
use super::pe::{Certificates, Pe};

/// Upper bound of a certificate table (bytes); a signature has about 2 KiB.
const TABLE_MAX: u64 = 1 << 20;

/// The identifier of SHA-256 (2.16.840.1.101.3.4.2.1) in DER.
const SHA256: &[u8] = &[
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
];

/// NULL in DER: the parameters of SHA-256 in an algorithm identifier. Some signers omit the parameters.
const NULL: &[u8] = &[0x05, 0x00];

/// The header of an octet string of 32 bytes in DER.
const OCTETS: &[u8] = &[0x04, 0x20];

/// Number of bytes that are read at a time.
const STEP: usize = 64 << 10;

/// The Authenticode signatures of an image.
pub struct Authenticode {
    /// The SHA-256 of the image, computed as Authenticode does.
    pub sha256: Vec<u8>,
    /// The bytes of the certificate table.
    table: Vec<u8>,
}

impl Authenticode {
    /// Reads the signatures of an image; `None` if the image is not a PE file, or has no valid certificate table of at
    /// most [`TABLE_MAX`] bytes.
    ///
    /// # Errors
    /// Only if the reader fails.
    pub fn from_image<R: Read + Seek>(reader: &mut R) -> io::Result<Option<Self>> {
        let Some((certificates, table)) = certificate_table(reader)? else {
            return Ok(None);
        };
        let sha256 = image_digest(reader, &certificates)?;
        Ok(Some(Self { sha256, table }))
    }

    /// Returns the signatures (CMS in DER), in the order of the table. Skips entries of other types, and stops at the
    /// first entry with an invalid size.
    pub fn signatures(&self) -> impl Iterator<Item = &[u8]> {
        /// The size (bytes) of the fields before the signature in a `WIN_CERTIFICATE`.
        const HEAD: usize = 8;
        /// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
        const CMS: [u8; 2] = [2, 0];
        let mut rest = self.table.as_slice();
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
}

/// Returns `Some(true)` if a signature of the image contains the digest of the image, `Some(false)` if all its
/// signatures contain other digests, and `None` if the image has no Authenticode signature with SHA-256.
///
/// # Errors
/// Only if the reader fails.
pub fn has_signed_digest<R: Read + Seek>(reader: &mut R) -> io::Result<Option<bool>> {
    let Some((certificates, table)) = certificate_table(reader)? else {
        return Ok(None);
    };
    let signed: Vec<_> = digests(&table).collect();
    if signed.is_empty() {
        return Ok(None);
    }
    let actual = image_digest(reader, &certificates)?;
    Ok(Some(signed.contains(&actual.as_slice())))
}

/// Reads the certificate table; `None` if there is none, or if its offset or size is invalid, or larger than
/// [`TABLE_MAX`].
fn certificate_table<R: Read + Seek>(
    reader: &mut R,
) -> io::Result<Option<(Certificates, Vec<u8>)>> {
    let mut image = Region::new(reader)?;
    let size = image.size();
    let certificates = match Pe::of(&mut image) {
        Err(VmlinuzError::Io(error)) => return Err(error),
        Err(_) | Ok(None) => return Ok(None),
        Ok(Some(pe)) => pe.certificates,
    };
    let fits = |it: &Certificates| {
        it.size <= TABLE_MAX
            && it.offset.saturating_add(it.size) <= size
            && it.checksum.end <= it.entry.start
            && it.entry.end <= it.offset
    };
    let Some(certificates) = certificates.filter(fits) else {
        return Ok(None);
    };
    reader.seek(SeekFrom::Start(certificates.offset))?;
    let mut table = vec![0; certificates.size as usize];
    reader.read_exact(&mut table)?;
    Ok(Some((certificates, table)))
}

/// Computes the digest that Authenticode signs (*Windows Authenticode Portable Executable Signature Format*,
/// "Calculating the PE Image Hash"). It covers all bytes before the certificate table, except the file's checksum and
/// the table's entry in the header. The padding of the image is covered, because signers add it before they compute the
/// digest.
fn image_digest<R: Read + Seek>(reader: &mut R, table: &Certificates) -> io::Result<Vec<u8>> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; STEP];
    for part in [
        0..table.checksum.start,
        table.checksum.end..table.entry.start,
        table.entry.end..table.offset,
    ] {
        reader.seek(SeekFrom::Start(part.start))?;
        let mut left = part.end - part.start;
        while left > 0 {
            let count = left.min(STEP as u64) as usize;
            reader.read_exact(&mut buffer[..count])?;
            sha256.update(&buffer[..count]);
            left -= count as u64;
        }
    }
    Ok(sha256.finalize().to_vec())
}

/// Returns the SHA-256 digests in the table. In DER, each is the identifier of the algorithm, its optional parameters,
/// and an octet string with the digest.
fn digests(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    let identifiers = table
        .windows(SHA256.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == SHA256);
    identifiers.filter_map(|(at, _)| {
        let rest = table.get(at + SHA256.len()..)?;
        let rest = rest.strip_prefix(NULL).unwrap_or(rest);
        rest.strip_prefix(OCTETS)?.get(..32)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::tests::pe;
    use super::*;

    const BODY: &[u8] = &[7; 64];

    /// Returns an image with a signature that has these algorithm parameters in DER. `change` is applied to the image
    /// after the digest in the signature was computed.
    fn signed(parameters: &[u8], change: fn(&mut Vec<u8>)) -> Vec<u8> {
        let start = pe(0x8664, (0, 0), &[(".text", BODY)])
            .len()
            .next_multiple_of(8);
        let mut image = pe(0x8664, (start as u32, 64), &[(".text", BODY)]);
        image.resize(start, 0);
        let mut reader = Cursor::new(image.clone());
        let table = Pe::of(&mut Region::new(&mut reader).unwrap());
        let table = table.unwrap().unwrap().certificates.unwrap();
        let digest = image_digest(&mut reader, &table).unwrap();
        change(&mut image);
        let mut signature = [&[0; 8], SHA256, parameters, OCTETS, &digest].concat();
        signature.resize(64, 0);
        image.extend(signature);
        image
    }

    fn answer(image: Vec<u8>) -> Option<bool> {
        has_signed_digest(&mut Cursor::new(image)).unwrap()
    }

    #[test]
    fn bytes_that_changed_after_signing_are_found() {
        let same = |_: &mut Vec<u8>| ();
        assert_eq!(answer(signed(NULL, same)), Some(true));
        assert_eq!(answer(signed(&[], same)), Some(true));
        let last: fn(&mut Vec<u8>) = |image| *image.last_mut().unwrap() ^= 1;
        let first: fn(&mut Vec<u8>) = |image| image[2] ^= 1;
        for change in [first, last] {
            assert_eq!(answer(signed(NULL, change)), Some(false));
        }
        // The digest does not cover the checksum.
        assert_eq!(
            answer(signed(NULL, |image| image[0x58 + 64] ^= 1)),
            Some(true)
        );
    }

    #[test]
    fn an_image_without_such_a_signature() {
        assert_eq!(answer(pe(0x8664, (0, 0), &[(".text", BODY)])), None);
        assert_eq!(answer(b"MZ".to_vec()), None);
        let mut image = signed(NULL, |_| ());
        let table = image.len() - 64;
        image[table + 12] ^= 1;
        assert_eq!(answer(image.clone()), None, "another algorithm");
        image.truncate(table + 10);
        assert_eq!(answer(image), None, "cut");
    }
}
