// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reconstructs an image as it was before it was signed, so that its digest can be compared with the digest that the
//! package has for the file.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::image::Region;
use super::pe::Pe;
use super::{APPENDED_SIGNATURE, VmlinuzError};

/// Upper bound of the padding that signing adds to a PE file (bytes). The padded size is a multiple of 8.
const PADDING: usize = 7;

/// Number of bytes that are read at a time.
const STEP: usize = 64 << 10;

/// The changes that signing made to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeSignature {
    /// The ranges of the fields that are zero in the unsigned image.
    blank: Vec<Range<u64>>,
    /// The offset of the signature (bytes). All bytes from there to the end belong to the signature.
    start: u64,
    /// The number of bytes before the signature that can be padding.
    padding: usize,
}

/// Returns the changes that signing made to the image; `None` if the image is not signed. Fails only if the reader
/// fails.
pub fn signature_from<R: Read + Seek>(reader: &mut R) -> io::Result<Option<PeSignature>> {
    let mut image = Region::new(reader)?;
    let size = image.size();
    let tail = size.saturating_sub(APPENDED_SIGNATURE.len() as u64);
    if image.begins(tail, APPENDED_SIGNATURE)? {
        return Ok(appended(&mut image, tail));
    }
    let pe = match Pe::of(&mut image) {
        Err(VmlinuzError::Io(error)) => return Err(error),
        Err(_) | Ok(None) => return Ok(None),
        Ok(Some(pe)) => pe,
    };
    // A WIN_CERTIFICATE has a header of 8 bytes, so a table of at most 8 bytes contains no signature.
    let table = pe
        .certificates
        .filter(|it| it.size > 8 && it.offset.saturating_add(it.size) <= size);
    Ok(table.map(|it| PeSignature {
        blank: vec![it.checksum, it.entry],
        start: it.offset,
        padding: PADDING,
    }))
}

/// Reads an appended signature, which ends with the magic text at `tail`. A structure of 12 bytes (`module_signature`)
/// precedes the magic text, and the signature precedes the structure. The structure's last field is the size of the
/// signature. Returns `None` if the size cannot be read, or if the image is too small for a signature of this size.
fn appended<R: Read + Seek>(image: &mut Region<'_, R>, tail: u64) -> Option<PeSignature> {
    let size = image
        .bytes("the signature's size", tail.checked_sub(4)?)
        .ok()?;
    let before = 12 + u64::from(u32::from_be_bytes(size));
    Some(PeSignature {
        blank: Vec::new(),
        start: tail.checked_sub(before)?,
        padding: 0,
    })
}

impl PeSignature {
    /// Passes the unsigned image except its last bytes to `update`, and then each possible form of the last bytes to
    /// `end`. There are several forms if zeros precede the signature, because signing may have added some or all of the
    /// zeros.
    ///
    /// # Errors
    /// When reading fails, or the image ends before the signature.
    pub fn without<R: Read + Seek>(
        &self,
        reader: &mut R,
        mut update: impl FnMut(&[u8]),
        mut end: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        reader.seek(SeekFrom::Start(0))?;
        let padding = self.start.min(self.padding as u64);
        let (mut at, body) = (0, self.start - padding);
        let mut buffer = vec![0; STEP];
        while at < body {
            let count = (body - at).min(STEP as u64) as usize;
            reader.read_exact(&mut buffer[..count])?;
            for blank in &self.blank {
                let clamp = |place: u64| (place.clamp(at, at + count as u64) - at) as usize;
                buffer[clamp(blank.start)..clamp(blank.end)].fill(0);
            }
            update(&buffer[..count]);
            at += count as u64;
        }
        let mut tail = vec![0; padding as usize];
        reader.read_exact(&mut tail)?;
        for kept in (0..=tail.len()).rev() {
            if tail[kept..].iter().all(|&byte| byte == 0) {
                end(&tail[..kept]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::tests::{KVER, pe, put, s390, signed_behind};
    use super::*;

    /// Returns every image that could have been signed to get this image.
    fn before(image: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = Cursor::new(image);
        let signature = signature_from(&mut reader).unwrap().unwrap();
        let (mut body, mut ends) = (Vec::new(), Vec::new());
        signature
            .without(
                &mut reader,
                |it| body.extend(it),
                |it| ends.push(it.to_vec()),
            )
            .unwrap();
        ends.iter()
            .map(|end| [body.as_slice(), end].concat())
            .collect()
    }

    #[test]
    fn a_signed_image_is_the_one_before() {
        for size in 0..20 {
            let plain = pe(0x8664, (0, 0), &[(".text", &vec![7; size])]);
            let start = plain.len().next_multiple_of(8);
            let mut signed = pe(0x8664, (start as u32, 64), &[(".text", &vec![7; size])]);
            put(&mut signed, 0x58 + 64, &[1, 2, 3, 4]);
            signed.resize(start, 0);
            signed.extend([9; 64]);
            assert!(before(&signed).contains(&plain), "{size}");
        }
        let image = s390(KVER);
        assert_eq!(before(&signed_behind(&image)), [image]);
    }

    #[test]
    fn other_bytes_are_not_the_one_before() {
        let plain = pe(0x8664, (0, 0), &[(".text", &[7; 8])]);
        let start = plain.len().next_multiple_of(8);
        let mut signed = pe(0x8664, (start as u32, 64), &[(".text", &[8; 8])]);
        signed.resize(start, 0);
        signed.extend([9; 64]);
        assert!(!before(&signed).contains(&plain));
        assert_eq!(signature_from(&mut Cursor::new(&plain)).unwrap(), None);
    }
}
