// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks relocations (glibc 2.41: `elf/do-rel.h`, `sysdeps/*/dl-machine.h`). If a relocation is wrong, the dynamic
//! linker ends with a failed assertion, or writes to memory that is not writable.

use super::symbols::{DT_FLAGS, Dynamic};
use crate::elf::{ElfError, File, PT_LOAD};

/// Tags of the dynamic section.
const DT_PLTRELSZ: u64 = 2;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_REL: u64 = 17;
const DT_RELSZ: u64 = 18;
const DT_PLTREL: u64 = 20;
const DT_TEXTREL: u64 = 22;
const DT_JMPREL: u64 = 23;
const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;
const DT_RELACOUNT: u64 = 0x6fff_fff9;
const DT_RELCOUNT: u64 = 0x6fff_fffa;

/// The flag in `DT_FLAGS` with the meaning of `DT_TEXTREL`.
const DF_TEXTREL: u64 = 4;

/// Relocation types of a machine; the numbers are those of its psABI.
struct Types {
    /// `e_machine`.
    machine: u16,
    /// The type that adds the load address of the file.
    relative: u64,
    /// The types that may occur in the table of `DT_JMPREL`, whose relocations can be bound at their first use.
    lazy: &'static [u64],
}

const TYPES: [Types; 5] = [
    // x86-64: R_X86_64_RELATIVE; JUMP_SLOT, TLSDESC, IRELATIVE
    Types {
        machine: 62,
        relative: 8,
        lazy: &[7, 36, 37],
    },
    // aarch64: R_AARCH64_RELATIVE; JUMP_SLOT, TLSDESC, IRELATIVE
    Types {
        machine: 183,
        relative: 1027,
        lazy: &[1026, 1031, 1032],
    },
    // s390x: R_390_RELATIVE; JMP_SLOT, IRELATIVE
    Types {
        machine: 22,
        relative: 12,
        lazy: &[11, 61],
    },
    // riscv64: R_RISCV_RELATIVE; JUMP_SLOT, IRELATIVE
    Types {
        machine: 243,
        relative: 3,
        lazy: &[5, 58],
    },
    // i386: R_386_RELATIVE; JMP_SLOT, TLS_DESC, IRELATIVE
    Types {
        machine: 3,
        relative: 8,
        lazy: &[7, 41, 42],
    },
];

/// The type of an entry that changes nothing, in the psABI of each machine.
const NONE: u64 = 0;

const WHAT: &str = "the relocations";

/// A relocation: the address that it changes, and its type.
struct Relocation {
    address: u64,
    kind: u64,
}

impl File<'_> {
    /// Checks the tables of relocations that are completely within the held bytes, if the machine is one of [`TYPES`].
    ///
    /// # Errors
    /// When the dynamic linker would fail with the relocations, or would not bind a function of another file.
    pub(super) fn check_relocations(&self, dynamic: &Dynamic) -> Result<(), ElfError> {
        let types = TYPES.iter().find(|it| it.machine == self.machine.number);
        let Some(Types { relative, lazy, .. }) = types else {
            return Ok(());
        };
        let is_changeable = |address: u64| dynamic.changes_code() || dynamic.is_writable(address);
        let is_good = |counted: u64, number: usize, it: &Relocation| {
            let is_relative = it.kind == *relative;
            (is_relative || number as u64 >= counted)
                && (it.kind == NONE || is_changeable(it.address))
        };
        let counted = [
            (DT_RELA, DT_RELASZ, DT_RELACOUNT),
            (DT_REL, DT_RELSZ, DT_RELCOUNT),
        ];
        let counted = counted.into_iter().all(|(table, size, count)| {
            let count = dynamic.value(count).unwrap_or_default();
            let mut relocations = self.relocations(dynamic, table, size).enumerate();
            relocations.all(|(number, it)| is_good(count, number, &it))
        });
        let mut functions = self.relocations(dynamic, DT_JMPREL, DT_PLTRELSZ);
        let functions = functions.all(|it| lazy.contains(&it.kind) && is_changeable(it.address));
        if counted && functions && self.is_packed_good(dynamic) {
            return Ok(());
        }
        Err(ElfError::Damaged(WHAT))
    }

    /// Returns the relocations of the table whose address and size have the tags `table` and `size`.
    fn relocations(
        &self,
        dynamic: &Dynamic,
        table: u64,
        size: u64,
    ) -> impl Iterator<Item = Relocation> {
        let word = self.word() as usize;
        let has_addends = match table {
            DT_JMPREL => dynamic.value(DT_PLTREL) == Some(DT_RELA),
            table => table == DT_RELA,
        };
        let entry = word * if has_addends { 3 } else { 2 };
        // The other bits of the field are the number of a symbol.
        let mask = if self.machine.wide { u32::MAX } else { 0xff };
        let entries = self.table(dynamic, table, size).chunks_exact(entry);
        entries.map(move |it| Relocation {
            address: self.number(&it[..word]),
            kind: self.number(&it[word..2 * word]) & u64::from(mask),
        })
    }

    /// Returns the bytes of the table whose address and size have the tags `table` and `size`; empty if the table does
    /// not exist, or does not end within the held bytes.
    fn table(&self, dynamic: &Dynamic, table: u64, size: u64) -> &[u8] {
        let place = dynamic.place(table).zip(dynamic.value(size));
        let bytes = place.and_then(|(place, size)| self.slice(WHAT, place, size).ok());
        bytes.unwrap_or_default()
    }

    /// Checks the packed table of relative relocations (`DT_RELR`). It consists of addresses, each of which can be
    /// followed by bitmaps for the words after the address.
    fn is_packed_good(&self, dynamic: &Dynamic) -> bool {
        let entries = self.table(dynamic, DT_RELR, DT_RELRSZ);
        let entries = entries.chunks_exact(self.word() as usize);
        entries.enumerate().all(|(at, entry)| {
            let entry = self.number(entry);
            let is_bitmap = entry & 1 == 1;
            if is_bitmap {
                at > 0
            } else {
                dynamic.is_writable(entry)
            }
        })
    }
}

impl Dynamic<'_> {
    /// Returns whether the file has relocations of code, for which the dynamic linker makes segments writable.
    fn changes_code(&self) -> bool {
        self.value(DT_TEXTREL).is_some() || self.has(DT_FLAGS, DF_TEXTREL)
    }

    fn is_writable(&self, address: u64) -> bool {
        let mut loads = self.headers.iter().filter(|it| it.kind == PT_LOAD);
        loads.any(|it| it.is_writable && address.wrapping_sub(it.address) < it.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Elf;
    use super::*;

    /// The address of the only loaded segment, which contains the whole file.
    const BASE: u64 = 0x1000;

    /// Returns a library with these tables and `entries` in its dynamic section. A table is given by the tags of its
    /// address and size, and its 64-bit words.
    fn library(machine: u16, tables: &[(u64, u64, &[u64])], entries: &[(u64, u64)]) -> Vec<u8> {
        let mut at = 64 + 2 * 56;
        let mut dynamic = vec![(5, BASE)];
        for (tag, size, words) in tables {
            let length = 8 * words.len() as u64;
            dynamic.extend([(*tag, BASE + at), (*size, length)]);
            at += length;
        }
        dynamic.extend_from_slice(entries);
        dynamic.push((0, 0));
        let length = 16 * dynamic.len() as u64;
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        for (at, value) in [(16, 3_u16), (18, machine), (32, 64), (54, 56), (56, 2)] {
            elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        let writable = 2 << 32;
        for (kind, offset, size) in [(1 | writable, 0, at + length), (2, at, length)] {
            for value in [kind, offset, BASE + offset, 0, size, size, 8] {
                elf.extend_from_slice(&value.to_le_bytes());
            }
        }
        let words = tables
            .iter()
            .flat_map(|(_, _, words)| words.iter().copied());
        for word in words.chain(dynamic.into_iter().flat_map(|(tag, value)| [tag, value])) {
            elf.extend_from_slice(&word.to_le_bytes());
        }
        elf
    }

    fn is_accepted(machine: u16, tables: &[(u64, u64, &[u64])], entries: &[(u64, u64)]) -> bool {
        match Elf::parse(&library(machine, tables, entries)) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, ElfError::Damaged(WHAT));
                false
            }
        }
    }

    #[test]
    fn relative_relocations() {
        let counted = |machine, kind: u64, other: u64, count: u64| {
            let words = [0x1040, kind, 0, 0x1048, kind, 8, 0x1050, other, 0];
            is_accepted(
                machine,
                &[(DT_RELA, DT_RELASZ, &words)],
                &[(DT_RELACOUNT, count)],
            )
        };
        assert!(counted(62, 8, 6, 2) && !counted(62, 8, 6, 3) && !counted(62, 0, 6, 1));
        // The upper half of the second word is the number of a symbol, not a part of the type.
        assert!(!counted(62, 8 | 1 << 31, 6, 1) && counted(62, 8 | 1 << 32, 6, 1));
        assert!(counted(183, 1027, 1025, 2) && !counted(183, 8, 6, 1));
        // An address outside of the segment is refused, except in an entry of type 0, which does not use it.
        let at = |address: u64, kind: u64, count: u64| {
            let words = [address, kind, 0];
            is_accepted(
                62,
                &[(DT_RELA, DT_RELASZ, &words)],
                &[(DT_RELACOUNT, count)],
            )
        };
        assert!(!at(0, 8, 1) && !at(0x9000, 6, 0) && at(0, 0, 0) && at(0x1040, 6, 0));
        // Accepted: a count beyond the table, no count, and a machine whose types are not known.
        assert!(counted(62, 8, 8, 1000) && counted(62, 0, 0, 0) && counted(21, 0, 0, 3));
    }

    #[test]
    fn lazy_relocations() {
        let lazy = |words: &[u64], entries: &[(u64, u64)]| {
            let entries = [entries, &[(DT_PLTREL, DT_RELA)]].concat();
            is_accepted(62, &[(DT_JMPREL, DT_PLTRELSZ, words)], &entries)
        };
        assert!(lazy(&[0x1040, 5 << 32 | 7, 0, 0x1048, 37, 0], &[]));
        assert!(!lazy(&[0x1040, 5 << 32 | 7, 0, 0, 0, 0], &[]));
        assert!(!lazy(&[0, 5 << 32 | 7, 0], &[]) && lazy(&[0, 5 << 32 | 7, 0], &[(DT_TEXTREL, 0)]));
    }

    #[test]
    fn packed_relocations() {
        let packed = |words: &[u64]| is_accepted(62, &[(DT_RELR, DT_RELRSZ, words)], &[]);
        assert!(packed(&[0x1010, 0x7, 0x1020]) && packed(&[]));
        for words in [&[0x7, 0x1010][..], &[0x1010, 0, 0x1020], &[0x9000], &[0x10]] {
            assert!(!packed(words), "{words:x?}");
        }
    }
}
