// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds a section of an ELF file by name: 32 and 64 bits, both byte orders.
//!
//! Every offset, size and count is checked against the length of the file.

use super::ModinfoError;

/// The type of a section without data in the file.
const NOBITS: u32 = 8;

/// The value of `e_shstrndx` if the index is in the first section header.
const XINDEX: u64 = 0xffff;

/// Returns the bytes of the first section called `name`; `None` if there is none.
pub(super) fn section<'a>(file: &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, ModinfoError> {
    let elf = Elf::new(file)?;
    let (shoff, size, count, index) = if elf.wide {
        (elf.word(0x28, 8)?, 0x3a, 0x3c, 0x3e)
    } else {
        (elf.word(0x20, 4)?, 0x2e, 0x30, 0x32)
    };
    let entry = elf.word(size, 2)?;
    let mut count = elf.word(count, 2)?;
    let mut names = elf.word(index, 2)?;
    if shoff == 0 {
        return Ok(None);
    }
    // Numbers that do not fit into the file header are in the first section header.
    if count == 0 {
        count = elf.header(shoff)?.size;
    }
    if names == XINDEX {
        names = elf.header(shoff)?.link;
    }
    let header = |n: u64| {
        let at = n.checked_mul(entry).and_then(|at| at.checked_add(shoff));
        elf.header(at.unwrap_or(u64::MAX))
    };
    let names = elf.contents(&header(names)?)?;
    // Entries of size 0 would all be the same one, so the count is limited to what fits into the file.
    let count = count.min(file.len() as u64 / entry.max(1));
    for n in 1..count {
        let header = header(n)?;
        let found = usize::try_from(header.name)
            .ok()
            .and_then(|at| names.get(at..));
        let found = found.and_then(|rest| rest.split(|&byte| byte == 0).next());
        if found == Some(name) && header.kind != NOBITS {
            return elf.contents(&header).map(Some);
        }
    }
    Ok(None)
}

struct Elf<'a> {
    file: &'a [u8],
    wide: bool,
    big: bool,
}

/// The used fields of a section header.
struct Header {
    name: u64,
    kind: u32,
    offset: u64,
    size: u64,
    link: u64,
}

impl<'a> Elf<'a> {
    fn new(file: &'a [u8]) -> Result<Self, ModinfoError> {
        let (wide, big) = match file {
            [0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), ..] => {
                (*class == 2, *order == 2)
            }
            _ => {
                let first = file[..file.len().min(8)].to_vec();
                return Err(ModinfoError::NotElf { first });
            }
        };
        Ok(Self { file, wide, big })
    }

    fn bytes(&self, what: &'static str, offset: u64, size: u64) -> Result<&'a [u8], ModinfoError> {
        usize::try_from(offset)
            .ok()
            .zip(usize::try_from(size).ok())
            .and_then(|(start, size)| self.file.get(start..start.checked_add(size)?))
            .ok_or(ModinfoError::Truncated {
                what,
                offset,
                size: self.file.len(),
            })
    }

    /// Reads a number of 2, 4 or 8 bytes.
    fn word(&self, offset: u64, size: u64) -> Result<u64, ModinfoError> {
        let bytes = self.bytes("an ELF header", offset, size)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Ok(if self.big {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        })
    }

    fn header(&self, at: u64) -> Result<Header, ModinfoError> {
        // One check for all fields, so that the additions below cannot overflow.
        self.bytes("a section header", at, if self.wide { 64 } else { 40 })?;
        let (offset, size, link, long) = if self.wide {
            (24, 32, 40, 8)
        } else {
            (16, 20, 24, 4)
        };
        Ok(Header {
            name: self.word(at, 4)?,
            kind: self.word(at + 4, 4)? as u32,
            offset: self.word(at + offset, long)?,
            size: self.word(at + size, long)?,
            link: self.word(at + link, 4)?,
        })
    }

    fn contents(&self, header: &Header) -> Result<&'a [u8], ModinfoError> {
        self.bytes("a section", header.offset, header.size)
    }
}
