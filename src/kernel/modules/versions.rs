// SPDX-License-Identifier: MIT OR Apache-2.0
//! Versions of symbols: CRCs over the types that an exported symbol uses. With `CONFIG_MODVERSIONS` the kernel refuses a
//! module if a symbol that the module imports has another CRC than the exported one ("disagrees about version of
//! symbol"; `check_version` in `kernel/module/version.c`).

use std::collections::BTreeMap;

use crate::elf::{ElfError, File};

/// CRCs by the names of symbols.
pub type Crcs = BTreeMap<Vec<u8>, u32>;

/// Bytes of an entry in the section `__versions` (`struct modversion_info`): the CRC as a word, then the name, padded
/// with NULs.
const ENTRY: usize = 64;

/// Upper bound of the imported symbols of a module that are read. The largest modules import about 1,000.
const SYMBOLS_MAX: usize = 16 << 10;

/// Upper bound of the length of a symbol's name (bytes; `KSYM_NAME_LEN`).
const NAME_MAX: usize = 512;

/// Returns the CRCs of the symbols that the uncompressed module `file` imports. Empty if the module was built without
/// CRCs.
///
/// # Errors
/// When `file` is not a complete ELF file.
pub fn imported(file: &[u8]) -> Result<Crcs, ElfError> {
    let elf = File::new(file)?;
    let word = elf.word() as usize;
    let entries = elf.section(b"__versions")?.unwrap_or_default();
    let entries = entries.chunks_exact(ENTRY).map(|entry| {
        let (crc, name) = entry.split_at(word);
        (until_nul(name), elf.number(crc))
    });
    // Since Linux 6.14 a module can have these sections instead, in which names are not limited.
    let crcs = elf.section(b"__version_ext_crcs")?.unwrap_or_default();
    let names = elf.section(b"__version_ext_names")?.unwrap_or_default();
    let crcs = crcs.chunks_exact(4).map(|crc| elf.number(crc));
    let extended = names.split(|&byte| byte == 0).zip(crcs);
    let all = extended.chain(entries).take(SYMBOLS_MAX);
    let named = all.filter(|(name, _)| (1..NAME_MAX).contains(&name.len()));
    let crcs = named.map(|(name, crc)| (name.to_vec(), crc as u32));
    Ok(crcs.collect())
}

/// A symbol in the list of the kernel's build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    /// The CRC.
    pub crc: u32,
    /// Whether the kernel itself exports the symbol, not one of its modules.
    pub is_of_kernel: bool,
}

/// Returns the symbols in `wanted` that `symvers` lists. This file of the kernel's build has a line for each symbol that
/// the kernel or one of its modules exports: the CRC, the symbol, `vmlinux` or the module, and other fields, separated by
/// tabs. Other lines are ignored.
pub fn exported(symvers: &[u8], wanted: impl Fn(&[u8]) -> bool) -> BTreeMap<Vec<u8>, Export> {
    let lines = symvers.split(|&byte| byte == b'\n');
    let parsed = lines.filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b'\t');
        let crc = fields.next()?.strip_prefix(b"0x")?;
        let symbol = fields.next().filter(|symbol| wanted(symbol))?;
        let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
        let is_of_kernel = fields.next() == Some(b"vmlinux");
        Some((symbol.to_vec(), Export { crc, is_of_kernel }))
    });
    parsed.collect()
}

fn until_nul(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|&byte| byte == 0);
    &name[..end.unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{module, sections};

    fn entry(wide: bool, big: bool, crc: u32, name: &str) -> Vec<u8> {
        let mut crc = u64::from(crc).to_le_bytes()[..if wide { 8 } else { 4 }].to_vec();
        if big {
            crc.reverse();
        }
        crc.extend(name.bytes());
        crc.resize(ENTRY, 0);
        crc
    }

    #[test]
    fn the_symbols_of_a_module() {
        for (wide, big) in [(true, false), (true, true), (false, false), (false, true)] {
            let longest = "a".repeat(ENTRY - if wide { 8 } else { 4 });
            let versions = [
                entry(wide, big, 0xdead_beef, "module_layout"),
                entry(wide, big, 1, &longest),
                b"incomplete".to_vec(),
            ];
            let file = sections(wide, big, &[("__versions", &versions.concat())]);
            let expected = [
                (b"module_layout".to_vec(), 0xdead_beef),
                (longest.into_bytes(), 1),
            ];
            assert_eq!(imported(&file).unwrap(), Crcs::from(expected));
        }
        let crcs = [7_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat();
        let file = sections(
            true,
            false,
            &[
                ("__version_ext_crcs", &crcs),
                ("__version_ext_names", b"one\0two\0three\0"),
            ],
        );
        let expected = [(b"one".to_vec(), 7), (b"two".to_vec(), 8)];
        assert_eq!(imported(&file).unwrap(), Crcs::from(expected));
        assert!(imported(&module(true, false, b"")).unwrap().is_empty());
        assert!(imported(b"text").is_err());
    }

    #[test]
    fn the_symbols_of_the_kernel() {
        let text = b"0x0000000a\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n0x2\tother\nno line\n0x\tempty\n0xfffffffff\tlong\n0x3\n0xb\tnvme_init_ctrl\tdrivers/nvme/host/nvme-core\tEXPORT_SYMBOL_GPL\t";
        let found = exported(text, |name| name != b"other");
        let export = |crc, is_of_kernel| Export { crc, is_of_kernel };
        let expected = [
            (b"module_layout".to_vec(), export(10, true)),
            (b"nvme_init_ctrl".to_vec(), export(11, false)),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
