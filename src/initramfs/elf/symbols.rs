// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the symbols of an ELF file and their versions, as the dynamic linker binds them (glibc 2.41:
//! `elf/dl-version.c`, `elf/dl-lookup.c`; the layout is that of elf.h).

use super::{ElfError, File, Header};

/// Bytes of the versions of one file: their names, and [`RECORD`] for each; libc has about 2,000.
const VERSIONS_MAX: u64 = 64 << 10;
/// Bytes that a record of a version counts for.
const RECORD: u64 = 16;
/// The most symbols that are read of one file; libcrypto has about 6,000.
const SYMBOLS_MAX: u64 = 1 << 15;
/// Bytes of the names of all symbols of one file, since they may share theirs in it; libcrypto has about 150,000.
const NAMES_MAX: usize = 1 << 20;

/// Tags of the dynamic section.
const HASH: u64 = 4;
const SYMBOLS: u64 = 6;
const BIND_NOW: u64 = 24;
const FLAGS: u64 = 30;
const FLAGS_1: u64 = 0x6fff_fffb;
const DEFINED_VERSIONS: u64 = 0x6fff_fffc;
const DEFINED_COUNT: u64 = 0x6fff_fffd;
const NEEDED_VERSIONS: u64 = 0x6fff_fffe;
const NEEDED_COUNT: u64 = 0x6fff_ffff;
const GNU_HASH: u64 = 0x6fff_fef5;

const WHAT: &str = "the symbol versions";

/// A version of symbols that a library must define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// The library's name, as in the list of needed libraries.
    pub library: Vec<u8>,
    /// The version.
    pub version: Vec<u8>,
    /// Whether the program starts without it.
    pub is_weak: bool,
}

/// The global symbols of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Names that another object must define, each with a NUL after it; read by `undefined()`.
    undefined: Vec<u8>,
    /// Hashes of the names of defined symbols; see [`hash`].
    pub defined: Vec<u64>,
    /// Whether all are bound before the program starts, instead of at their first use.
    pub binds_now: bool,
}

impl Symbols {
    /// Returns the size of the names and hashes in bytes.
    pub(in super::super) fn size(&self) -> usize {
        self.undefined.len() + 8 * self.defined.len()
    }

    /// Returns the names that another object must define.
    pub fn undefined(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.undefined.split(|&byte| byte == 0);
        names.filter(|name| !name.is_empty())
    }
}

/// Computes the FNV-1a hash of a name. Names of symbols are compared by it.
pub fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The entries of a dynamic section, and the offset of its strings in the file.
pub(super) struct Dynamic<'f> {
    pub(super) entries: &'f [(u64, u64)],
    pub(super) strings: u64,
    pub(super) headers: &'f [Header],
}

impl Dynamic<'_> {
    fn value(&self, tag: u64) -> Option<u64> {
        self.entries
            .iter()
            .find(|it| it.0 == tag)
            .map(|&(_, value)| value)
    }

    /// Returns the file offset of the address in an entry.
    fn place(&self, tag: u64) -> Option<u64> {
        offset(self.headers, self.value(tag)?)
    }
}

/// Returns the file offset of an address.
pub(super) fn offset(headers: &[Header], address: u64) -> Option<u64> {
    let mut loads = headers.iter().filter(|header| header.kind == super::LOAD);
    loads.find_map(|load| {
        let within = address.checked_sub(load.address)?;
        (within < load.size).then(|| load.offset.checked_add(within))?
    })
}

impl File<'_> {
    /// Returns the versions that libraries must define.
    pub(super) fn required(&self, dynamic: &Dynamic) -> Result<Vec<Required>, ElfError> {
        let mut found = Vec::new();
        let (Some(mut at), Some(count)) =
            (dynamic.place(NEEDED_VERSIONS), dynamic.value(NEEDED_COUNT))
        else {
            return Ok(found);
        };
        let mut left = VERSIONS_MAX;
        for _ in 0..count {
            let next = self.version_record(at, 12, &mut left)?;
            let library = self.version_name(dynamic, at + 4, &mut left)?;
            let mut aux = at.saturating_add(self.word(WHAT, at + 8, 4)?);
            for _ in 0..self.word(WHAT, at + 2, 2)? {
                spend(&mut left, RECORD + library.len() as u64)?;
                found.push(Required {
                    library: library.clone(),
                    version: self.version_name(dynamic, aux.saturating_add(8), &mut left)?,
                    is_weak: self.word(WHAT, aux.saturating_add(4), 2)? & 2 != 0,
                });
                aux = aux.saturating_add(self.word(WHAT, aux.saturating_add(12), 4)?);
            }
            match next {
                0 => break,
                next => at = at.saturating_add(next),
            }
        }
        Ok(found)
    }

    /// Returns the versions that it defines.
    pub(super) fn versions(&self, dynamic: &Dynamic) -> Result<Vec<Vec<u8>>, ElfError> {
        let mut found = Vec::new();
        let (Some(mut at), Some(count)) = (
            dynamic.place(DEFINED_VERSIONS),
            dynamic.value(DEFINED_COUNT),
        ) else {
            return Ok(found);
        };
        let mut left = VERSIONS_MAX;
        for _ in 0..count {
            let next = self.version_record(at, 16, &mut left)?;
            // The first name is the version; the others are the versions before it.
            let aux = at.saturating_add(self.word(WHAT, at + 12, 4)?);
            found.push(self.version_name(dynamic, aux, &mut left)?);
            match next {
                0 => break,
                next => at = at.saturating_add(next),
            }
        }
        Ok(found)
    }

    /// The name whose place among the strings is the number at `at`.
    fn version_name(
        &self,
        dynamic: &Dynamic,
        at: u64,
        left: &mut u64,
    ) -> Result<Vec<u8>, ElfError> {
        let place = dynamic.strings.saturating_add(self.word(WHAT, at, 4)?);
        let name = self.string(WHAT, place)?;
        spend(left, name.len() as u64)?;
        Ok(name)
    }

    /// Checks the record at `at`, and returns the distance of the next one, which is the number at `next` in it.
    fn version_record(&self, at: u64, next: u64, left: &mut u64) -> Result<u64, ElfError> {
        spend(left, RECORD)?;
        // One check for all the fields, so that the sums of the callers cannot overflow.
        self.slice(WHAT, at, next + 4)?;
        if self.word(WHAT, at, 2)? != 1 {
            return Err(ElfError::Truncated {
                what: WHAT,
                offset: at,
            });
        }
        self.word(WHAT, at + next, 4)
    }

    /// Returns the global symbols; `None` if their number is unknown or exceeds the limits.
    pub(super) fn symbols(&self, dynamic: &Dynamic) -> Option<Symbols> {
        let table = dynamic.place(SYMBOLS)?;
        let count = self.symbol_count(dynamic)?;
        if count > SYMBOLS_MAX {
            return None;
        }
        let flags = |tag: u64, flag: u64| dynamic.value(tag).is_some_and(|it| it & flag != 0);
        let mut symbols = Symbols {
            binds_now: dynamic.value(BIND_NOW).is_some() || flags(FLAGS, 8) || flags(FLAGS_1, 1),
            ..Symbols::default()
        };
        let (size, info, section) = if self.machine.wide {
            (24, 4, 6)
        } else {
            (16, 12, 14)
        };
        let what = "the symbols";
        let mut left = NAMES_MAX;
        let table = self.slice(what, table, count * size).ok()?;
        for entry in table.chunks_exact(size as usize).skip(1) {
            let name = self.number(&entry[..4]);
            let binding = entry[info] >> 4;
            let is_defined = entry[section..section + 2] != [0, 0];
            let is_global = matches!(binding, 1 | 2 | 10);
            let is_strong = binding == 1;
            if !is_global || (!is_defined && !is_strong) {
                continue;
            }
            let name = self.string(what, dynamic.strings.checked_add(name)?).ok()?;
            left = left.checked_sub(name.len() + 1)?;
            if is_defined {
                symbols.defined.push(hash(&name));
            } else {
                symbols.undefined.extend_from_slice(&name);
                symbols.undefined.push(0);
            }
        }
        Some(symbols)
    }

    /// Returns the number of symbols, from their hash table: no entry of the dynamic section has it.
    fn symbol_count(&self, dynamic: &Dynamic) -> Option<u64> {
        const S390X: u16 = 22;
        let what = "the hashes of the symbols";
        let word = |at: u64| self.word(what, at, 4).ok();
        let Some(table) = dynamic.place(GNU_HASH) else {
            // Each number of this table has 8 bytes on s390x.
            let table = dynamic
                .place(HASH)
                .filter(|_| self.machine.number != S390X)?;
            return word(table.checked_add(4)?);
        };
        let (buckets, first, blooms) = (
            word(table)?,
            word(table.checked_add(4)?)?,
            word(table.checked_add(8)?)?,
        );
        let width = if self.machine.wide { 8 } else { 4 };
        let start = table.checked_add(16 + blooms * width)?;
        let slice = self.slice(what, start, buckets * 4).ok()?;
        let last = slice.chunks_exact(4).map(|it| self.number(it)).max()?;
        let chains = start.checked_add(buckets * 4)?;
        let Some(mut at) = last.checked_sub(first) else {
            return Some(first);
        };
        // The last symbol of a chain has an odd hash.
        while word(chains.checked_add(at * 4)?)? & 1 == 0 {
            at += 1;
        }
        Some(first + at + 1)
    }
}

fn spend(left: &mut u64, bytes: u64) -> Result<(), ElfError> {
    let (what, limit) = ("bytes of symbol versions", VERSIONS_MAX);
    *left = left
        .checked_sub(bytes)
        .ok_or(ElfError::TooMany { what, limit })?;
    Ok(())
}
