// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the parts of the PE format that kernels and UKIs need: machine, sections, certificate table.

use std::io::{Read, Seek};
use std::ops::Range;

use super::image::Region;
use super::{Arch, Result, VmlinuzError};

/// Upper bound of sections; UKIs have about a dozen, or a few dozens with profiles.
const MAX_SECTIONS: u16 = 256;

/// The headers of a PE file.
pub(super) struct Pe {
    machine: u16,
    /// `None` if the table is empty.
    pub(super) certificates: Option<Certificates>,
    sections: Vec<Section>,
}

/// The certificate table, and the fields that change when a file is signed.
pub(super) struct Certificates {
    /// The offset in bytes.
    pub(super) offset: u64,
    /// The size in bytes.
    pub(super) size: u64,
    /// The field of the header with its offset and size.
    pub(super) entry: Range<u64>,
    /// The field with the checksum of the file.
    pub(super) checksum: Range<u64>,
}

struct Section {
    name: [u8; 8],
    offset: u64,
    size: u64,
}

impl Pe {
    /// Parses the headers. `None` if it is not a PE file, or if the PE header is outside the image.
    pub(super) fn of<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Option<Self>> {
        let begins = |image: &mut Region<'_, R>, offset, magic: &[u8]| {
            image.begins(offset, magic).map_err(VmlinuzError::Io)
        };
        if !begins(image, 0, b"MZ")? || image.size() < 0x40 {
            return Ok(None);
        }
        let start = u64::from(u32::from_le_bytes(image.bytes("the PE offset", 0x3c)?));
        if !begins(image, start, b"PE\0\0")? {
            return Ok(None);
        }
        let coff: [u8; 20] = image.bytes("the COFF header", start + 4)?;
        let [machine, count, optional_size] = [0, 2, 16].map(|n| u16_at(&coff, n));
        let optional = start + 24;
        let certificates = certificates(image, optional, optional_size)?;
        let mut sections = Vec::new();
        for n in 0..u64::from(count.min(MAX_SECTIONS)) {
            let at = optional + u64::from(optional_size) + 40 * n;
            sections.push(Section::read(&image.bytes("a section header", at)?));
        }
        Ok(Some(Self {
            machine,
            certificates,
            sections,
        }))
    }

    /// Returns the offset and size (bytes) of every section in the file.
    pub(super) fn sections(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sections.iter().map(|it| (it.offset, it.size))
    }

    /// Returns the offset and size (bytes) of the first section of that name.
    pub(super) fn section(&self, name: &[u8]) -> Option<(u64, u64)> {
        let matches = |found: &[u8; 8]| {
            let (start, rest) = found.split_at(name.len().min(8));
            start == name && rest.iter().all(|&byte| byte == 0)
        };
        let section = self.sections.iter().find(|s| matches(&s.name))?;
        Some((section.offset, section.size))
    }

    /// Returns the architecture of the machine number.
    pub(super) fn arch(&self) -> Result<Arch> {
        match self.machine {
            0x014c => Ok(Arch::X86),
            0x8664 => Ok(Arch::X86_64),
            0xaa64 => Ok(Arch::Aarch64),
            0x5064 => Ok(Arch::Riscv64),
            number => Err(VmlinuzError::Machine {
                number,
                table: "PE",
            }),
        }
    }
}

impl Section {
    fn read(header: &[u8; 40]) -> Self {
        let mut name = [0; 8];
        name.copy_from_slice(&header[..8]);
        let [virtual_size, raw_size, offset] = [8, 16, 20].map(|n| u32_at(header, n));
        // Data in the file are padded; a smaller size in memory is the true one.
        let size = match virtual_size {
            0 => raw_size,
            size => size.min(raw_size),
        };
        Self {
            name,
            offset: offset.into(),
            size: size.into(),
        }
    }
}

/// Reads the fifth data directory of the optional header.
fn certificates<R: Read + Seek>(
    image: &mut Region<'_, R>,
    optional: u64,
    optional_size: u16,
) -> Result<Option<Certificates>> {
    const INDEX: u64 = 4;
    const CHECKSUM: u64 = 64;
    if optional_size < 2 {
        return Ok(None);
    }
    let directories: u64 = match u16::from_le_bytes(image.bytes("the PE kind", optional)?) {
        0x10b => 96,
        0x20b => 112,
        _ => return Ok(None),
    };
    let entry = directories + 8 * INDEX;
    if entry + 8 > u64::from(optional_size) {
        return Ok(None);
    }
    let count = image.bytes("the number of tables", optional + directories - 4)?;
    let table: [u8; 8] = image.bytes("the certificate table", optional + entry)?;
    let [offset, size] = [0, 4].map(|n| u64::from(u32_at(&table, n)));
    let present = u64::from(u32::from_le_bytes(count)) > INDEX && offset > 0 && size > 0;
    let field = |at: u64, size: u64| optional + at..optional + at + size;
    Ok(present.then(|| Certificates {
        offset,
        size,
        entry: field(entry, 8),
        checksum: field(CHECKSUM, 4),
    }))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}
