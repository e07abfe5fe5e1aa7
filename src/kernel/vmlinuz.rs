// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads facts about a kernel image: its release string, its architecture, whether it is signed. The facts are read
//! from the image, because the names of its directory and of its package can be those of another kernel.
//!
//! Sizes and offsets in a header are checked against the data. An image is read as a stream, so even one of 90 MB needs
//! little more memory than a decoder's window.

mod authenticode;
mod contents;
mod error;
mod image;
mod payload;
mod pe;
mod scan;
mod unsigned;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Cursor, Read, Seek};

pub use authenticode::{Authenticode, has_signed_digest};
pub use contents::{inner_release_from, search_inner};
pub use error::VmlinuzError;
use image::Region;
use payload::Codec;
use pe::Pe;
pub use unsigned::{PeSignature, signature_from};

/// Upper bound of the bytes that are searched for a banner, and of those that are decoded after the banner.
pub const MAX_DECODED: u64 = 256 << 20;

/// The maximum length of a release string in the kernel (bytes): `__NEW_UTS_LEN`.
const MAX_RELEASE: usize = 64;

/// The end of a signature that is appended to an image (ppc64le, s390x). Appended signatures of modules have the same
/// end.
const APPENDED_SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// Facts about a kernel image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The release string, as `uname -r` prints it: 1 to 64 printable ASCII characters except space, `/` and `%`, the
    /// first of them a digit.
    pub kver: String,
    /// The architecture of the kernel in the image.
    pub arch: Arch,
    /// The format of the image.
    pub format: KernelFormat,
}

/// An architecture of kernel images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 32-bit x86.
    X86,
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit PowerPC, little-endian.
    Ppc64le,
    /// 64-bit RISC-V.
    Riscv64,
    /// IBM Z.
    S390x,
}

/// The format of a kernel image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelFormat {
    /// x86: a setup part with the release, and a compressed kernel.
    BzImage,
    /// arm64, riscv64: the uncompressed kernel, with the same layout as in memory.
    Image,
    /// arm64, riscv64: a [`KernelFormat::Image`] that is compressed with gzip.
    ImageGzip,
    /// An EFI program that decompresses a [`KernelFormat::Image`].
    Zboot,
    /// s390x: a boot part with the release, and a compressed kernel.
    S390,
    /// `vmlinux`: the linker's output.
    Elf,
    /// PowerPC: an ELF wrapper around a `vmlinux` compressed with gzip.
    ElfWrapper,
    /// A unified kernel image: an EFI program with a kernel in the section `.linux`.
    Uki,
}

type Result<T> = std::result::Result<T, VmlinuzError>;

/// Reads the facts about a kernel image in memory. Fails as [`release_from`] does.
pub fn release(image: &[u8]) -> Result<Release> {
    release_from(&mut Cursor::new(image))
}

/// Reads the facts about a kernel image. The initial position of the reader does not matter.
///
/// Fails with [`VmlinuzError::Unknown`] if the image has no known [`KernelFormat`]. Fails with another error if the
/// reader fails, if the image is damaged or has no release string, or if its architecture or compression is not
/// supported.
pub fn release_from<R: Read + Seek>(reader: &mut R) -> Result<Release> {
    let mut image = Region::new(reader).map_err(VmlinuzError::Io)?;
    let pe = Pe::of(&mut image)?;
    for (offset, size) in pe.iter().flat_map(Pe::sections) {
        image.part("a section", offset, size)?;
    }
    let section = pe.and_then(|pe| pe.section(b".linux"));
    let Some((offset, size)) = section else {
        return plain(&mut image);
    };
    let mut inner = image.part("the section .linux", offset, size)?;
    Ok(Release {
        format: KernelFormat::Uki,
        ..plain(&mut inner)?
    })
}

/// Returns whether the image has a signature: a Secure Boot signature (a certificate table inside the PE file) or an
/// appended signature, as on ppc64le and s390x. The signer is not checked.
pub fn is_signed(image: &[u8]) -> bool {
    // Reading from memory does not fail.
    is_signed_from(&mut Cursor::new(image)).unwrap_or(false)
}

/// Returns whether the image has a signature, as [`is_signed`] does for an image in memory. Fails only if the reader
/// fails.
pub fn is_signed_from<R: Read + Seek>(reader: &mut R) -> io::Result<bool> {
    signature_from(reader).map(|signature| signature.is_some())
}

/// Reads an image of any format except a UKI.
fn plain<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Release> {
    let begins = |image: &mut Region<'_, R>, offset, magic: &[u8]| {
        image.begins(offset, magic).map_err(VmlinuzError::Io)
    };
    if begins(image, 0x202, b"HdrS")? {
        return bzimage(image);
    }
    if begins(image, 0, b"MZ")? && begins(image, 4, b"zimg")? {
        return zboot(image);
    }
    if begins(image, 0x10008, b"S390EP")? {
        return s390(image);
    }
    if begins(image, 0, b"\x7fELF")? {
        return elf(image);
    }
    if begins(image, 0, &[0x1f, 0x8b])? {
        return image_gzip(image);
    }
    let head = image.head().map_err(VmlinuzError::Io)?;
    let Some(arch) = scan::image_arch(&head) else {
        let first = head[..head.len().min(16)].to_vec();
        return Err(VmlinuzError::Unknown { first });
    };
    let size = image.size();
    let kver = scan::banner(image.stream("the kernel", 0, size)?)?;
    let format = KernelFormat::Image;
    Ok(Release { kver, arch, format })
}

/// Reads a bzImage, whose setup header points to `RELEASE (who@where) #1 …`; see the kernel's `x86/boot.rst`.
fn bzimage<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Release> {
    let pointer = u16::from_le_bytes(image.bytes("the pointer to the release", 0x20e)?);
    let flags = u16::from_le_bytes(image.bytes("the load flags", 0x236)?);
    let protocol = u16::from_le_bytes(image.bytes("the boot protocol", 0x206)?);
    let kver = release_at(image, 0x200 + u64::from(pointer))?;
    // The setup part is one sector and as many more as this field says (zero means four). The size of the kernel is in
    // units of 16 bytes.
    let [sectors] = image.bytes("the size of the setup part", 0x1f1)?;
    let paragraphs = u32::from_le_bytes(image.bytes("the size of the kernel", 0x1f4)?);
    let sectors = if sectors == 0 { 4 } else { sectors };
    let (start, size) = (512 * (u64::from(sectors) + 1), 16 * u64::from(paragraphs));
    if size > 0 {
        image.part("the kernel", start, size)?;
    }
    // Bit 0 of `xloadflags` is `XLF_KERNEL_64`, since boot protocol 2.12.
    let arch = if protocol >= 0x20c && flags & 1 != 0 {
        Arch::X86_64
    } else {
        Arch::X86
    };
    let format = KernelFormat::BzImage;
    Ok(Release { kver, arch, format })
}

/// Reads an s390x image. Its parameter area at 0x10400 contains the offset of `RELEASE (who@where) #1 …` in the image.
fn s390<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Release> {
    let pointer = u64::from_be_bytes(image.bytes("the pointer to the release", 0x10428)?);
    Ok(Release {
        kver: release_at(image, pointer)?,
        arch: Arch::S390x,
        format: KernelFormat::S390,
    })
}

/// The compressed kernel in an EFI zboot image.
struct Payload {
    codec: Codec,
    offset: u64,
    size: u64,
}

/// Reads the place and the compression of the kernel from the header of an EFI zboot image; see `zboot-header.S` in the
/// kernel's `drivers/firmware/efi/libstub`.
fn zboot_payload<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Payload> {
    let offset = u32::from_le_bytes(image.bytes("the payload's offset", 8)?);
    let size = u32::from_le_bytes(image.bytes("the payload's size", 12)?);
    let name: [u8; 32] = image.bytes("the compression's name", 24)?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(Payload {
        codec: Codec::by_name(name)?,
        offset: offset.into(),
        size: size.into(),
    })
}

fn zboot<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Release> {
    let data = zboot_payload(image)?;
    let arch = match Pe::of(image)? {
        Some(pe) => pe.arch()?,
        None => {
            let (what, offset, size) = ("a PE header", 0x3c, image.size());
            return Err(VmlinuzError::Truncated { what, offset, size });
        }
    };
    let kver = decoded(image, data.codec, data.offset, data.size, |kernel| {
        scan::banner(kernel)
    })?;
    let format = KernelFormat::Zboot;
    Ok(Release { kver, arch, format })
}

fn image_gzip<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Release> {
    let size = image.size();
    let (arch, kver) = decoded(image, Codec::Gzip, 0, size, |mut kernel| {
        let mut head = Vec::new();
        kernel
            .by_ref()
            .take(scan::HEAD as u64)
            .read_to_end(&mut head)
            .map_err(VmlinuzError::Io)?;
        let first = head[..head.len().min(16)].to_vec();
        let arch = scan::image_arch(&head).ok_or(VmlinuzError::Unknown { first })?;
        let kver = scan::banner(kernel.by_ref())?;
        // The rest is decoded, too, because the checksum is at the end of the gzip data.
        let mut rest = kernel.take(MAX_DECODED);
        io::copy(&mut rest, &mut io::sink()).map_err(VmlinuzError::Io)?;
        Ok((arch, kver))
    })?;
    let format = KernelFormat::ImageGzip;
    Ok(Release { kver, arch, format })
}

/// Reads a `vmlinux` or a PowerPC wrapper. A wrapper contains its banner only in gzip data at an unknown offset, so the
/// first `MAX_TRIES` possible starts of gzip data are tried.
fn elf<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Release> {
    const MAX_TRIES: usize = 16;
    let arch = elf_arch(image)?;
    let size = image.size();
    let none = match scan::banner(image.stream("the kernel", 0, size)?) {
        Err(none @ VmlinuzError::NoBanner { .. }) => none,
        kver => {
            let (kver, format) = (kver?, KernelFormat::Elf);
            return Ok(Release { kver, arch, format });
        }
    };
    let starts = scan::starts(
        image.stream("the kernel", 0, size)?,
        Codec::Gzip.magic(),
        MAX_TRIES,
    )?;
    for start in starts {
        if let Ok(kver) = decoded(image, Codec::Gzip, start, size - start, |kernel| {
            scan::banner(kernel)
        }) {
            let format = KernelFormat::ElfWrapper;
            return Ok(Release { kver, arch, format });
        }
    }
    Err(none)
}

fn elf_arch<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Arch> {
    let [class, order]: [u8; 2] = image.bytes("the ELF class", 4)?;
    let machine = image.bytes("the ELF machine", 18)?;
    let (little, number) = match order {
        2 => (false, u16::from_be_bytes(machine)),
        _ => (true, u16::from_le_bytes(machine)),
    };
    match (number, little, class) {
        (3, true, _) => Ok(Arch::X86),
        (62, true, _) => Ok(Arch::X86_64),
        (183, true, _) => Ok(Arch::Aarch64),
        // A wrapper can be 32-bit code (machine 20) around a 64-bit kernel.
        (20 | 21, true, _) => Ok(Arch::Ppc64le),
        (22, false, 2) => Ok(Arch::S390x),
        (243, true, 2) => Ok(Arch::Riscv64),
        _ => Err(VmlinuzError::Machine {
            number,
            table: "ELF",
        }),
    }
}

/// Decodes a part of the image and passes a reader of the decoded data to `look`, which need not read to the end. I/O
/// errors from this reader become [`VmlinuzError::Decode`].
fn decoded<R: Read + Seek, T>(
    image: &mut Region<'_, R>,
    codec: Codec,
    offset: u64,
    size: u64,
    look: impl FnOnce(Box<dyn Read + '_>) -> Result<T>,
) -> Result<T> {
    let broken = |cause| VmlinuzError::Decode {
        codec: codec.name(),
        offset,
        cause,
    };
    let data = image.stream("the compressed kernel", offset, size)?;
    let kernel = codec.decode(data).map_err(broken)?;
    look(kernel).map_err(|error| match error {
        VmlinuzError::Io(cause) => broken(cause),
        error => error,
    })
}

/// Returns the release string that starts at `offset` and ends before a space.
fn release_at<R: Read + Seek>(image: &mut Region<'_, R>, offset: u64) -> Result<String> {
    let mut found = Vec::new();
    let size = image.size();
    if offset >= size {
        let what = "the release string";
        return Err(VmlinuzError::Truncated { what, offset, size });
    }
    image
        .stream("the release string", offset, size - offset)?
        .take(MAX_RELEASE as u64 + 1)
        .read_to_end(&mut found)
        .map_err(VmlinuzError::Io)?;
    match scan::release(&found) {
        Some(kver) => Ok(kver),
        None => {
            found.truncate(MAX_RELEASE);
            Err(VmlinuzError::NotARelease { offset, found })
        }
    }
}

impl Arch {
    /// Returns the name of the architecture, as in `uname -m` and RPM (`i686` for 32-bit x86).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "i686",
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Ppc64le => "ppc64le",
            Self::Riscv64 => "riscv64",
            Self::S390x => "s390x",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for KernelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BzImage => "bzImage",
            Self::Image => "Image",
            Self::ImageGzip => "Image in gzip",
            Self::Zboot => "EFI zboot",
            Self::S390 => "s390x image",
            Self::Elf => "ELF",
            Self::ElfWrapper => "ELF wrapper",
            Self::Uki => "UKI",
        })
    }
}
