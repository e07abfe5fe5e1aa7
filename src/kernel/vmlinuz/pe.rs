// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the parts of the PE format that kernels and UKIs need: machine, sections, certificate table. Constants have
//! the names of the specification (*PE Format*) and of `winnt.h`.

use std::io::{Read, Seek};
use std::ops::Range;

use super::image::Region;
use super::{Arch, Result, VmlinuzError};

/// Upper bound of the sections that are read. A UKI has about a dozen sections, or a few dozen if it has profiles.
const MAX_SECTIONS: u16 = 256;

/// The first bytes of the DOS header, and the header's size (bytes).
const IMAGE_DOS_SIGNATURE: &[u8] = b"MZ";
const IMAGE_DOS_HEADER: u64 = 0x40;
/// The offset of the field in the DOS header that contains the offset of the PE header.
const E_LFANEW: u64 = 0x3c;
/// The first bytes of the PE header.
const IMAGE_NT_SIGNATURE: &[u8] = b"PE\0\0";

/// The size of the COFF header (bytes), and the offsets of its fields.
const IMAGE_FILE_HEADER: usize = 20;
const MACHINE: usize = 0;
const NUMBER_OF_SECTIONS: usize = 2;
const SIZE_OF_OPTIONAL_HEADER: usize = 16;

const IMAGE_FILE_MACHINE_I386: u16 = 0x014c;
const IMAGE_FILE_MACHINE_AMD64: u16 = 0x8664;
const IMAGE_FILE_MACHINE_ARM64: u16 = 0xaa64;
const IMAGE_FILE_MACHINE_RISCV64: u16 = 0x5064;

/// The kinds of the optional header, and the offset of the data directories in each.
const IMAGE_NT_OPTIONAL_HDR32_MAGIC: u16 = 0x10b;
const IMAGE_NT_OPTIONAL_HDR64_MAGIC: u16 = 0x20b;
const DATA_DIRECTORY32: u64 = 96;
const DATA_DIRECTORY64: u64 = 112;
/// The offset of the file's checksum in the optional header.
const CHECK_SUM: u64 = 64;
/// The size of a data directory (bytes). It contains the offset and the size of a table.
const IMAGE_DATA_DIRECTORY: u64 = 8;
/// The index of the certificate table's data directory.
const IMAGE_DIRECTORY_ENTRY_SECURITY: u64 = 4;

/// The size of a section header (bytes), and the offsets of its fields.
const IMAGE_SECTION_HEADER: usize = 40;
const NAME_SIZE: usize = 8;
const VIRTUAL_SIZE: usize = 8;
const SIZE_OF_RAW_DATA: usize = 16;
const POINTER_TO_RAW_DATA: usize = 20;

/// The headers of a PE file.
pub(super) struct Pe {
    machine: u16,
    /// The certificate table; `None` if there is none, or the table is empty.
    pub(super) certificates: Option<Certificates>,
    sections: Vec<Section>,
}

/// The place of the certificate table, and the fields that change when a file is signed.
pub(super) struct Certificates {
    /// The offset of the table in the file (bytes).
    pub(super) offset: u64,
    /// The size of the table (bytes).
    pub(super) size: u64,
    /// The range of the header's field that contains the table's offset and size.
    pub(super) entry: Range<u64>,
    /// The range of the field that contains the file's checksum.
    pub(super) checksum: Range<u64>,
}

struct Section {
    name: [u8; NAME_SIZE],
    offset: u64,
    size: u64,
}

impl Pe {
    /// Parses the headers. `None` if the image is not a PE file, or if no PE header is at the offset that the DOS
    /// header contains.
    pub(super) fn of<R: Read + Seek>(image: &mut Region<'_, R>) -> Result<Option<Self>> {
        let begins = |image: &mut Region<'_, R>, offset, magic: &[u8]| {
            image.begins(offset, magic).map_err(VmlinuzError::Io)
        };
        if !begins(image, 0, IMAGE_DOS_SIGNATURE)? || image.size() < IMAGE_DOS_HEADER {
            return Ok(None);
        }
        let start = u64::from(u32::from_le_bytes(image.bytes("the PE offset", E_LFANEW)?));
        if !begins(image, start, IMAGE_NT_SIGNATURE)? {
            return Ok(None);
        }
        let coff_start = start + IMAGE_NT_SIGNATURE.len() as u64;
        let coff: [u8; IMAGE_FILE_HEADER] = image.bytes("the COFF header", coff_start)?;
        let fields = [MACHINE, NUMBER_OF_SECTIONS, SIZE_OF_OPTIONAL_HEADER];
        let [machine, count, optional_size] = fields.map(|at| u16_at(&coff, at));
        let optional = coff_start + IMAGE_FILE_HEADER as u64;
        let certificates = certificates(image, optional, optional_size)?;
        let mut sections = Vec::new();
        for n in 0..u64::from(count.min(MAX_SECTIONS)) {
            let at = optional + u64::from(optional_size) + IMAGE_SECTION_HEADER as u64 * n;
            sections.push(Section::read(&image.bytes("a section header", at)?));
        }
        Ok(Some(Self {
            machine,
            certificates,
            sections,
        }))
    }

    /// Returns the offset and size (bytes) in the file of every section.
    pub(super) fn sections(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sections.iter().map(|it| (it.offset, it.size))
    }

    /// Returns the offset and size (bytes) of the first section called `name`; `None` if there is none.
    pub(super) fn section(&self, name: &[u8]) -> Option<(u64, u64)> {
        let matches = |found: &[u8; NAME_SIZE]| {
            let (start, rest) = found.split_at(name.len().min(NAME_SIZE));
            start == name && rest.iter().all(|&byte| byte == 0)
        };
        let section = self.sections.iter().find(|s| matches(&s.name))?;
        Some((section.offset, section.size))
    }

    /// Returns the architecture for the file's machine number. Fails if the number is not known.
    pub(super) fn arch(&self) -> Result<Arch> {
        match self.machine {
            IMAGE_FILE_MACHINE_I386 => Ok(Arch::X86),
            IMAGE_FILE_MACHINE_AMD64 => Ok(Arch::X86_64),
            IMAGE_FILE_MACHINE_ARM64 => Ok(Arch::Aarch64),
            IMAGE_FILE_MACHINE_RISCV64 => Ok(Arch::Riscv64),
            number => Err(VmlinuzError::Machine {
                number,
                table: "PE",
            }),
        }
    }
}

impl Section {
    fn read(header: &[u8; IMAGE_SECTION_HEADER]) -> Self {
        let mut name = [0; NAME_SIZE];
        name.copy_from_slice(&header[..NAME_SIZE]);
        let fields = [VIRTUAL_SIZE, SIZE_OF_RAW_DATA, POINTER_TO_RAW_DATA];
        let [virtual_size, raw_size, offset] = fields.map(|at| u32_at(header, at));
        // The data of a section in the file are padded. If the size in memory is smaller, it is the size without the
        // padding.
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

/// Reads the data directory of the certificate table; `None` if there is none, or the table is empty.
fn certificates<R: Read + Seek>(
    image: &mut Region<'_, R>,
    optional: u64,
    optional_size: u16,
) -> Result<Option<Certificates>> {
    if optional_size < 2 {
        return Ok(None);
    }
    let directories: u64 = match u16::from_le_bytes(image.bytes("the PE kind", optional)?) {
        IMAGE_NT_OPTIONAL_HDR32_MAGIC => DATA_DIRECTORY32,
        IMAGE_NT_OPTIONAL_HDR64_MAGIC => DATA_DIRECTORY64,
        _ => return Ok(None),
    };
    let entry = directories + IMAGE_DATA_DIRECTORY * IMAGE_DIRECTORY_ENTRY_SECURITY;
    if entry + IMAGE_DATA_DIRECTORY > u64::from(optional_size) {
        return Ok(None);
    }
    // NumberOfRvaAndSizes is the last field before the directories.
    let count = image.bytes("the number of tables", optional + directories - 4)?;
    let table: [u8; 8] = image.bytes("the certificate table", optional + entry)?;
    let [offset, size] = [0, 4].map(|n| u64::from(u32_at(&table, n)));
    let count = u64::from(u32::from_le_bytes(count));
    let present = count > IMAGE_DIRECTORY_ENTRY_SECURITY && offset > 0 && size > 0;
    let field = |at: u64, size: u64| optional + at..optional + at + size;
    Ok(present.then(|| Certificates {
        offset,
        size,
        entry: field(entry, IMAGE_DATA_DIRECTORY),
        checksum: field(CHECK_SUM, 4),
    }))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}
