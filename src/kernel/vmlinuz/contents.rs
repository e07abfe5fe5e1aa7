// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes the whole kernel inside an image. The release string in an image's header proves nothing about the
//! compressed kernel, which can be damaged or be another kernel.

use std::io::{self, Read, Seek};

use super::image::Region;
use super::payload::{self, Codec};
use super::pe::Pe;
use super::{KernelFormat, MAX_DECODED, Release, Result, VmlinuzError, decoded, scan};

/// Upper bound of the offsets that are tried for each compression if the header does not contain the offset of the
/// compressed data.
const MAX_TRIES: usize = 16;

/// Returns the release string in the banner of the kernel inside the image. `release` is the image's [`Release`], which
/// the caller has read before. Returns `None` if the compressed kernel is not found in the image. In the formats `S390`
/// and `ElfWrapper`, where it is searched, it is not found either if it is damaged before its banner.
///
/// Fails with [`VmlinuzError::Compression`] if the compression is not supported, and with another error if the reader
/// fails, or if the kernel is damaged or has no banner.
pub fn inner_release_from<R: Read + Seek>(
    reader: &mut R,
    release: &Release,
) -> Result<Option<String>> {
    kernel_in(reader, release, None)
}

/// Returns the same as [`inner_release_from`], and passes the decoded kernel to `part`, in order and in parts of any
/// size.
pub fn search_inner<R: Read + Seek>(
    reader: &mut R,
    release: &Release,
    part: &mut dyn FnMut(&[u8]),
) -> Result<Option<String>> {
    kernel_in(reader, release, Some(part))
}

/// The function that gets the decoded kernel in parts. `None` if only the release string is wanted.
type Part<'p> = Option<&'p mut dyn FnMut(&[u8])>;

fn kernel_in<R: Read + Seek>(
    reader: &mut R,
    release: &Release,
    part: Part,
) -> Result<Option<String>> {
    let mut image = Region::new(reader).map_err(VmlinuzError::Io)?;
    if release.format != KernelFormat::Uki {
        return inner(&mut image, release, part);
    }
    let section = Pe::of(&mut image)?.and_then(|pe| pe.section(b".linux"));
    let Some((offset, size)) = section else {
        return Ok(None);
    };
    let mut linux = image.part("the section .linux", offset, size)?;
    let release = super::plain(&mut linux)?;
    inner(&mut linux, &release, part)
}

fn inner<R: Read + Seek>(
    image: &mut Region<'_, R>,
    release: &Release,
    part: Part,
) -> Result<Option<String>> {
    let size = image.size();
    match release.format {
        KernelFormat::BzImage => bzimage(image, part),
        KernelFormat::Zboot => {
            let data = super::zboot_payload(image)?;
            whole(image, data.codec, data.offset, data.size, part).map(|(kver, _)| Some(kver))
        }
        KernelFormat::S390 | KernelFormat::ElfWrapper => searched(image, part),
        // In the other formats, `release` was read from the kernel itself. A gzip stream was then read to its end, so
        // its checksum is verified.
        KernelFormat::ImageGzip if part.is_some() => {
            whole(image, Codec::Gzip, 0, size, part).map(|(kver, _)| Some(kver))
        }
        KernelFormat::Image | KernelFormat::ImageGzip | KernelFormat::Elf => {
            let mut kernel = Counted::of(image.stream("the kernel", 0, size)?, part);
            if kernel.part.is_some() {
                io::copy(&mut kernel, &mut io::sink()).map_err(VmlinuzError::Io)?;
            }
            Ok(Some(release.kver.clone()))
        }
        KernelFormat::Uki => Ok(None),
    }
}

/// Decodes the kernel in a bzImage. Since boot protocol 2.08 the header contains the offset and size of the compressed
/// kernel (see the kernel's `x86/boot.rst`). Returns `None` for an older protocol, or if the size is zero.
fn bzimage<R: Read + Seek>(image: &mut Region<'_, R>, part: Part) -> Result<Option<String>> {
    /// The length (bytes) of the decoded size, which is the last field of the compressed data. Gzip data end with it,
    /// and the kernel's build appends it to data of other formats.
    const SIZE: u64 = 4;
    let protocol = u16::from_le_bytes(image.bytes("the boot protocol", 0x206)?);
    if protocol < 0x208 {
        return Ok(None);
    }
    let [sectors] = image.bytes("the size of the setup part", 0x1f1)?;
    let sectors = if sectors == 0 { 4 } else { sectors };
    let offset = u32::from_le_bytes(image.bytes("the payload's offset", 0x248)?);
    let size = u32::from_le_bytes(image.bytes("the payload's size", 0x24c)?);
    let (offset, size) = (
        512 * (u64::from(sectors) + 1) + u64::from(offset),
        u64::from(size),
    );
    if size == 0 {
        return Ok(None);
    }
    let magic: [u8; payload::MAGIC] = image.bytes("the compressed kernel", offset)?;
    let codec = Codec::by_magic(&magic)?;
    let end = (offset + size).saturating_sub(SIZE);
    let expected = u32::from_le_bytes(image.bytes("the decoded size", end)?);
    let size = match codec {
        Codec::Gzip => size,
        _ => size.saturating_sub(SIZE),
    };
    let (kver, decoded) = whole(image, codec, offset, size, part)?;
    if decoded & u64::from(u32::MAX) != u64::from(expected) {
        let what = format!("they decode to {decoded} bytes, expected {expected}");
        let cause = io::Error::new(io::ErrorKind::InvalidData, what);
        let codec = codec.name();
        return Err(VmlinuzError::Decode {
            codec,
            offset,
            cause,
        });
    }
    Ok(Some(kver))
}

/// Tries offsets with the magic number of a compression as the start of the compressed kernel. Other data can contain a
/// magic number, too, so an offset counts only if the decoded data contain a banner.
fn searched<R: Read + Seek>(image: &mut Region<'_, R>, part: Part) -> Result<Option<String>> {
    let size = image.size();
    // Lzma is left out, because its magic number, three bytes of which two are zero, is common in other data.
    for codec in Codec::ALL.into_iter().filter(|it| *it != Codec::Lzma) {
        let magic = codec.magic();
        let starts = scan::starts(image.stream("the kernel", 0, size)?, magic, MAX_TRIES)?;
        for start in starts {
            let found = decoded(image, codec, start, size - start, |kernel| {
                scan::banner(kernel)
            });
            if found.is_ok() {
                return whole(image, codec, start, size - start, part).map(|(kver, _)| Some(kver));
            }
        }
    }
    Ok(None)
}

/// Decodes the kernel, up to [`MAX_DECODED`] bytes after its banner, and passes the decoded bytes to `part`. Returns
/// the release string and the number of decoded bytes.
fn whole<R: Read + Seek>(
    image: &mut Region<'_, R>,
    codec: Codec,
    offset: u64,
    size: u64,
    part: Part,
) -> Result<(String, u64)> {
    decoded(image, codec, offset, size, |kernel| {
        let mut counted = Counted::of(kernel, part);
        let kver = scan::banner(&mut counted)?;
        let mut rest = (&mut counted).take(MAX_DECODED);
        io::copy(&mut rest, &mut io::sink()).map_err(VmlinuzError::Io)?;
        Ok((kver, counted.count))
    })
}

/// A reader that counts the bytes read from `input` and passes them to `part`.
struct Counted<'p, R> {
    input: R,
    count: u64,
    part: Part<'p>,
}

impl<'p, R> Counted<'p, R> {
    fn of(input: R, part: Part<'p>) -> Self {
        Self {
            input,
            count: 0,
            part,
        }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count += read as u64;
        if let Some(part) = &mut self.part {
            part(&buffer[..read]);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::super::release;
    use super::super::tests::{
        KVER, arm64, banner, bzimage, elf, gzip, lz4, lzma, pe, put, s390, xz, zboot, zstd,
    };
    use super::*;

    /// Returns a bzImage with the release `KVER` in its header and with `payload` as its compressed kernel.
    fn bzimage_of(payload: &[u8]) -> Vec<u8> {
        let mut image = bzimage(&format!("{KVER} (mock@build) #1 SMP"));
        put(&mut image, 0x1f1, &[1]);
        put(&mut image, 0x248, &16_u32.to_le_bytes());
        put(&mut image, 0x24c, &(payload.len() as u32).to_le_bytes());
        put(&mut image, 0x400 + 16, payload);
        image
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Compresses with a checksum, as the program zstd does, which the kernel's build runs.
    fn zstd_checked(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn sized(mut data: Vec<u8>, size: usize) -> Vec<u8> {
        data.extend((size as u32).to_le_bytes());
        data
    }

    fn inner(image: &[u8]) -> Result<Option<String>> {
        let release = release(image)?;
        inner_release_from(&mut Cursor::new(image), &release)
    }

    /// Returns a kernel that consists of a banner and of bytes that do not compress well.
    fn kernel(kver: &str) -> Vec<u8> {
        let mut state = 1_u32;
        let noise = (0..40_000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        [banner(kver).into_bytes(), noise.collect()].concat()
    }

    fn every_codec(kver: &str) -> Vec<(&'static str, Vec<u8>)> {
        let kernel = kernel(kver);
        let size = kernel.len();
        vec![
            ("gzip", gzip(&kernel)),
            ("xz", sized(xz(&kernel), size)),
            ("zstd", sized(zstd_checked(&kernel), size)),
            ("lzma", sized(lzma(&kernel), size)),
            ("lz4", sized(lz4(&kernel), size)),
            ("bzip2", sized(bzip2(&kernel), size)),
        ]
    }

    #[test]
    fn the_release_of_the_compressed_kernel() {
        for kver in [KVER, "5.14.0-570.el9.x86_64"] {
            for (name, payload) in every_codec(kver) {
                let found = inner(&bzimage_of(&payload)).unwrap();
                assert_eq!(found.as_deref(), Some(kver), "{name}");
            }
        }
        let kernel = arm64(&banner(KVER));
        let mut z390 = s390(&format!("{KVER} (mock@build) #1"));
        z390.extend(xz(banner(KVER).as_bytes()));
        for image in [
            kernel.clone(),
            gzip(&kernel),
            zboot("zstd22", &zstd(&kernel)),
            z390,
            elf(20, &gzip(&elf(21, banner(KVER).as_bytes()))),
            pe(
                0x8664,
                (0, 0),
                &[(".linux", &bzimage_of(&every_codec(KVER)[0].1))],
            ),
        ] {
            assert_eq!(inner(&image).unwrap().as_deref(), Some(KVER));
        }
    }

    #[test]
    fn the_whole_kernel_is_searched_in_all_formats() {
        let kernel = arm64(&format!("{} the certificate", banner(KVER)));
        let inside = elf(21, format!("{} the certificate", banner(KVER)).as_bytes());
        let mut z390 = s390(&format!("{KVER} (mock@build) #1"));
        z390.extend(xz(&kernel));
        for (format, image) in [
            ("Image", kernel.clone()),
            ("Image.gz", gzip(&kernel)),
            ("zboot", zboot("zstd22", &zstd(&kernel))),
            ("s390x", z390),
            ("ELF", inside.clone()),
            ("ELF wrapper", elf(20, &gzip(&inside))),
            ("UKI", pe(0xaa64, (0, 0), &[(".linux", &kernel)])),
        ] {
            let release = release(&image).unwrap();
            let mut searched = Vec::new();
            let mut part = |bytes: &[u8]| searched.extend_from_slice(bytes);
            search_inner(&mut Cursor::new(&image), &release, &mut part).unwrap();
            let text = b"the certificate";
            let found = searched.windows(text.len()).any(|it| it == text);
            assert!(found, "{format}");
        }
    }

    #[test]
    fn data_after_an_lz4_kernel_are_not_part_of_it() {
        let mut image = s390(&format!("{KVER} (mock@build) #1"));
        image.extend(lz4(&kernel(KVER)));
        image.extend([0x78; 64]);
        assert_eq!(inner(&image).unwrap().as_deref(), Some(KVER));
    }

    #[test]
    fn an_image_without_the_offset_of_its_kernel() {
        let text = format!("{KVER} (mock@build) #1 SMP");
        let mut old = bzimage_of(&every_codec(KVER)[0].1);
        put(&mut old, 0x206, &0x207_u16.to_le_bytes());
        for image in [bzimage(&text), s390(&text), old] {
            assert_eq!(inner(&image).unwrap(), None);
        }
        let lzo = bzimage_of(b"\x89LZO\0\r\n\x1a\n....");
        let error = inner(&lzo).unwrap_err();
        assert!(
            !error.is_damage() && error.to_string().contains("lzo"),
            "{error}"
        );
    }

    #[test]
    fn flipped_bytes_are_damage() {
        for (name, payload) in every_codec(KVER) {
            for at in [payload.len() / 2, payload.len() - 200] {
                let mut flipped = payload.clone();
                for byte in &mut flipped[at..at + 64] {
                    *byte ^= 0x55;
                }
                // lz4 and lzma data have no checksum, so a change that leaves the decoded size right is not found.
                let found = inner(&bzimage_of(&flipped));
                let has_checksum = !["lz4", "lzma"].contains(&name);
                assert!(
                    found.as_ref().is_err_and(VmlinuzError::is_damage)
                        || !has_checksum && found.is_ok(),
                    "{name}: {found:?}"
                );
            }
            let mut cut = payload.clone();
            cut.truncate(payload.len() / 2);
            assert!(inner(&bzimage_of(&cut)).is_err(), "{name}");
        }
        let kernel = arm64(&banner(KVER));
        let mut data = gzip(&[kernel, self::kernel(KVER)].concat());
        let at = data.len() - 100;
        data[at] ^= 1;
        assert!(inner(&zboot("gzip", &data)).unwrap_err().is_damage());
    }
}
