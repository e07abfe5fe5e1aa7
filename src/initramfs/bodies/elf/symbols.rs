// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the symbols of an ELF file and their versions, as the dynamic linker binds them (glibc 2.41:
//! `elf/dl-version.c`, `elf/dl-lookup.c`; the layout is that of elf.h).

use crate::elf::{ElfError, File, PT_LOAD, ProgramHeader};

/// Upper bound of the symbol versions that one file requires, and of those that it defines (bytes). Counted are the
/// names of versions and libraries, and [`RECORD`] for each record. libc has about 2,000 bytes.
const VERSIONS_MAX: u64 = 64 << 10;
/// The number of bytes that are counted for a version record, whatever its names.
const RECORD: u64 = 16;
/// Upper bound of the symbols that are read from one file; libcrypto has about 6,000.
const SYMBOLS_MAX: u64 = 1 << 15;
/// Upper bound of the symbol names of one file together (bytes); those of libcrypto have about 150,000. Symbols can
/// share names, so the file's size does not bound the sum.
const NAMES_MAX: usize = 1 << 20;

/// Upper bound of the number of symbols in a hash chain; real chains have fewer than 20.
const CHAIN_MAX: u64 = 4096;

/// Tags of the dynamic section.
const DT_HASH: u64 = 4;
const DT_SYMTAB: u64 = 6;
const DT_BIND_NOW: u64 = 24;
pub(super) const DT_FLAGS: u64 = 30;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

const WHAT: &str = "the symbol versions";

/// A symbol version that a library must define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// The library's name, as in the list of needed libraries.
    pub library: Vec<u8>,
    /// The name of the version, for example `GLIBC_2.34`.
    pub version: Vec<u8>,
    /// Whether the program also starts if the library does not define the version.
    pub is_weak: bool,
}

/// The global symbols of a file, without the undefined weak ones, which may stay undefined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Names that another object must define, each with a NUL after it; read by `undefined()`.
    undefined: Vec<u8>,
    /// Hashes of the names of defined symbols; see [`hash`].
    pub defined: Vec<u64>,
    /// Whether all symbols are bound before the program starts, instead of at their first use.
    pub binds_now: bool,
}

impl Symbols {
    /// Returns the size of the names and hashes in bytes.
    pub(in crate::initramfs) fn size(&self) -> usize {
        self.undefined.len() + 8 * self.defined.len()
    }

    /// Returns the names that another object must define.
    pub fn undefined(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.undefined.split(|&byte| byte == 0);
        names.filter(|name| !name.is_empty())
    }
}

/// Computes the FNV-1a hash of a name. Names of symbols are compared by their hashes.
pub fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The entries of a dynamic section, the offset of its strings in the file, and the program headers.
pub(super) struct Dynamic<'f> {
    pub(super) entries: &'f [(u64, u64)],
    pub(super) strings: u64,
    pub(super) headers: &'f [ProgramHeader],
}

impl Dynamic<'_> {
    pub(super) fn value(&self, tag: u64) -> Option<u64> {
        self.entries
            .iter()
            .find(|it| it.0 == tag)
            .map(|&(_, value)| value)
    }

    /// Returns the file offset of the address in the entry with this tag; `None` if there is no such entry, or no
    /// segment has the address.
    pub(super) fn place(&self, tag: u64) -> Option<u64> {
        offset(self.headers, self.value(tag)?)
    }

    /// Returns whether all symbols are bound before the program starts, instead of at their first use.
    pub(super) fn binds_now(&self) -> bool {
        self.value(DT_BIND_NOW).is_some() || self.has(DT_FLAGS, 8) || self.has(DT_FLAGS_1, 1)
    }

    /// Returns whether the entry `tag` exists and has the flag.
    pub(super) fn has(&self, tag: u64, flag: u64) -> bool {
        self.value(tag).is_some_and(|it| it & flag != 0)
    }
}

/// Returns the file offset of an address; `None` if no loaded segment has it in its part of the file.
pub(super) fn offset(headers: &[ProgramHeader], address: u64) -> Option<u64> {
    let mut loads = headers.iter().filter(|header| header.kind == PT_LOAD);
    loads.find_map(|load| {
        let within = address.checked_sub(load.address)?;
        (within < load.size).then(|| load.offset.checked_add(within))?
    })
}

impl File<'_> {
    /// Returns the symbol versions that the file's libraries must define.
    pub(super) fn required(&self, dynamic: &Dynamic) -> Result<Vec<Required>, ElfError> {
        let mut found = Vec::new();
        let (Some(mut at), Some(count)) = (dynamic.place(DT_VERNEED), dynamic.value(DT_VERNEEDNUM))
        else {
            return Ok(found);
        };
        let mut left = VERSIONS_MAX;
        for _ in 0..count {
            let next = self.version_record(at, 12, &mut left)?;
            let library = self.version_name(dynamic, at + 4, &mut left)?;
            let mut aux = at.saturating_add(self.number_at(WHAT, at + 8, 4)?);
            for _ in 0..self.number_at(WHAT, at + 2, 2)? {
                spend(&mut left, RECORD + library.len() as u64)?;
                found.push(Required {
                    library: library.clone(),
                    version: self.version_name(dynamic, aux.saturating_add(8), &mut left)?,
                    is_weak: self.number_at(WHAT, aux.saturating_add(4), 2)? & 2 != 0,
                });
                aux = aux.saturating_add(self.number_at(WHAT, aux.saturating_add(12), 4)?);
            }
            match next {
                0 => break,
                next => at = at.saturating_add(next),
            }
        }
        Ok(found)
    }

    /// Returns the symbol versions that the file defines.
    pub(super) fn versions(&self, dynamic: &Dynamic) -> Result<Vec<Vec<u8>>, ElfError> {
        let mut found = Vec::new();
        let (Some(mut at), Some(count)) = (dynamic.place(DT_VERDEF), dynamic.value(DT_VERDEFNUM))
        else {
            return Ok(found);
        };
        let mut left = VERSIONS_MAX;
        for _ in 0..count {
            let next = self.version_record(at, 16, &mut left)?;
            // The first name is that of the version; the other names are those of its predecessors.
            let aux = at.saturating_add(self.number_at(WHAT, at + 12, 4)?);
            found.push(self.version_name(dynamic, aux, &mut left)?);
            match next {
                0 => break,
                next => at = at.saturating_add(next),
            }
        }
        Ok(found)
    }

    /// Reads an offset in the string table at `at`, and returns the string at this offset.
    fn version_name(
        &self,
        dynamic: &Dynamic,
        at: u64,
        left: &mut u64,
    ) -> Result<Vec<u8>, ElfError> {
        let place = dynamic.strings.saturating_add(self.number_at(WHAT, at, 4)?);
        let name = self.string(WHAT, place)?;
        spend(left, name.len() as u64)?;
        Ok(name)
    }

    /// Checks the record at `at`, and returns the distance to the next record, which is stored at offset `next` in the
    /// checked record; 0 if it is the last one.
    fn version_record(&self, at: u64, next: u64, left: &mut u64) -> Result<u64, ElfError> {
        spend(left, RECORD)?;
        // One check for all fields, so that the callers' additions to `at` cannot overflow.
        self.slice(WHAT, at, next + 4)?;
        if self.number_at(WHAT, at, 2)? != 1 {
            return Err(ElfError::Truncated {
                what: WHAT,
                offset: at,
            });
        }
        self.number_at(WHAT, at + next, 4)
    }

    /// Returns the global symbols; `None` if a table is missing, or if the symbols or their names are not completely
    /// within the held bytes or exceed a limit. A defined symbol that a look-up in the GNU hash table does not find is
    /// left out.
    ///
    /// # Errors
    /// When the tables have values that no linker writes or with which the dynamic linker fails. Also when the header,
    /// the filter or the buckets of the GNU hash table are not within the held bytes.
    pub(super) fn symbols(&self, dynamic: &Dynamic) -> Result<Option<Symbols>, ElfError> {
        let Some(table) = dynamic.place(DT_SYMTAB) else {
            return Ok(None);
        };
        let hashes = match dynamic.place(DT_GNU_HASH) {
            Some(table) => Some(self.hashes(table)?),
            None => None,
        };
        let count = match &hashes {
            Some(hashes) => hashes.count(self),
            None => self.count_of_hash(dynamic),
        };
        let Some(count) = count.filter(|count| *count <= SYMBOLS_MAX) else {
            return Ok(None);
        };
        let mut symbols = Symbols {
            binds_now: dynamic.binds_now(),
            ..Symbols::default()
        };
        let (size, info, section) = if self.machine.wide {
            (24, 4, 6)
        } else {
            (16, 12, 14)
        };
        let what = "the symbols";
        let mut left = NAMES_MAX;
        let Ok(table) = self.slice(what, table, count * size) else {
            return Ok(None);
        };
        let entries = table.chunks_exact(size as usize);
        for (number, entry) in entries.enumerate().skip(1) {
            if entry.iter().all(|&byte| byte == 0) {
                return Err(ElfError::Damaged(what));
            }
            let name = self.number(&entry[..4]);
            let binding = entry[info] >> 4;
            let is_defined = entry[section..section + 2] != [0, 0];
            let is_global = matches!(binding, 1 | 2 | 10);
            let is_strong = binding == 1;
            if !is_global || (!is_defined && !is_strong) {
                continue;
            }
            let name = dynamic.strings.checked_add(name);
            let name = name.and_then(|name| self.string(what, name).ok());
            let Some(name) = name else {
                return Ok(None);
            };
            let Some(rest) = left.checked_sub(name.len() + 1) else {
                return Ok(None);
            };
            left = rest;
            if !is_defined {
                if name.is_empty() {
                    return Err(ElfError::Damaged("the names of the symbols"));
                }
                symbols.undefined.extend_from_slice(&name);
                symbols.undefined.push(0);
            } else if hashes
                .as_ref()
                .is_none_or(|it| it.leads_to(self, number as u64, &name))
            {
                symbols.defined.push(hash(&name));
            }
        }
        Ok(Some(symbols))
    }

    /// Reads the header, the filter and the buckets of the GNU hash table at `table`.
    fn hashes(&self, table: u64) -> Result<Hashes<'_>, ElfError> {
        let what = "the hashes of the symbols";
        let word = |at: u64| self.number_at(what, table.saturating_add(at), 4);
        let (buckets, first, filters, shift) = (word(0)?, word(4)?, word(8)?, word(12)?);
        // The dynamic linker divides by the number of buckets, and asserts that the number of words in the filter is a
        // power of two.
        if buckets == 0 || !filters.is_power_of_two() {
            return Err(ElfError::Damaged(what));
        }
        let width = self.word();
        let start = table.saturating_add(16);
        let filter = self.slice(what, start, filters * width)?;
        let start = start.saturating_add(filters * width);
        let buckets = self.slice(what, start, buckets * 4)?;
        Ok(Hashes {
            filter,
            width: width as usize,
            shift: shift as u32,
            chains: start.saturating_add(buckets.len() as u64),
            buckets,
            first,
        })
    }

    /// Returns the number of symbols from the older hash table (`DT_HASH`), since the dynamic section does not contain
    /// the number; `None` if there is no such table, or the number cannot be read.
    fn count_of_hash(&self, dynamic: &Dynamic) -> Option<u64> {
        const S390X: u16 = 22;
        // On s390x each number of this table has 8 bytes, which is not supported.
        let table = dynamic
            .place(DT_HASH)
            .filter(|_| self.machine.number != S390X)?;
        let what = "the hashes of the symbols";
        self.number_at(what, table.checked_add(4)?, 4).ok()
    }
}

/// A GNU hash table (`elf/dl-lookup.c`, `do_lookup_x`).
struct Hashes<'f> {
    filter: &'f [u8],
    /// Bytes of a word of the filter.
    width: usize,
    shift: u32,
    buckets: &'f [u8],
    /// The offset of the chains: one word for each symbol from `first` on. The last word of a chain is odd.
    chains: u64,
    first: u64,
}

impl Hashes<'_> {
    fn chain(&self, file: &File, symbol: u64) -> Option<u64> {
        let at = symbol.checked_sub(self.first)?.checked_mul(4)?;
        let what = "the hashes of the symbols";
        file.number_at(what, self.chains.checked_add(at)?, 4).ok()
    }

    /// Returns the number of symbols in the symbol table; `None` if the hash table is incomplete.
    fn count(&self, file: &File) -> Option<u64> {
        let buckets = self.buckets.chunks_exact(4);
        let last = buckets.map(|it| file.number(it)).max()?;
        let Some(mut at) = last.checked_sub(self.first) else {
            return Some(self.first);
        };
        while self.chain(file, self.first.checked_add(at)?)? & 1 == 0 {
            at += 1;
        }
        Some(self.first + at + 1)
    }

    /// Returns whether a look-up of the name reaches the symbol, within [`CHAIN_MAX`] steps.
    fn leads_to(&self, file: &File, symbol: u64, name: &[u8]) -> bool {
        let hash = name.iter().fold(5381_u32, |hash, &byte| {
            hash.wrapping_mul(33).wrapping_add(u32::from(byte))
        });
        let bits = 8 * self.width as u32;
        let words = self.filter.len() / self.width;
        let word = (hash / bits) as usize % words * self.width;
        let word = file.number(&self.filter[word..word + self.width]);
        let passes = |hash: u32| word >> (hash % bits) & 1 == 1;
        if !passes(hash) || !passes(hash.checked_shr(self.shift).unwrap_or(0)) {
            return false;
        }
        let bucket = 4 * (hash as usize % (self.buckets.len() / 4));
        let start = file.number(&self.buckets[bucket..bucket + 4]);
        if start == 0 || start > symbol || symbol - start > CHAIN_MAX {
            return false;
        }
        let is_open = |it: u64| self.chain(file, it).is_some_and(|it| it & 1 == 0);
        let own = self.chain(file, symbol);
        own.is_some_and(|own| own >> 1 == u64::from(hash >> 1)) && (start..symbol).all(is_open)
    }
}

fn spend(left: &mut u64, bytes: u64) -> Result<(), ElfError> {
    let (what, limit) = ("bytes of symbol versions", VERSIONS_MAX);
    *left = left
        .checked_sub(bytes)
        .ok_or(ElfError::TooMany { what, limit })?;
    Ok(())
}
