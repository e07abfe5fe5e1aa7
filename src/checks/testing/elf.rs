// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small ELF files for tests: programs, libraries and kernel modules.

/// The dynamic linker of the bench.
pub(in crate::checks) const LINKER: &str = "usr/lib64/ld-linux-x86-64.so.2";

/// A program or library to write as an ELF file.
#[derive(Default)]
pub(in crate::checks) struct Dynamic {
    machine: u16,
    interpreter: Option<&'static str>,
    /// Entries of the dynamic section with a string: the tag and the string.
    entries: Vec<(u64, String)>,
    /// The note of a library about the libraries that it opens at run time.
    note: Vec<u8>,
    /// Libraries, each with a symbol version that it must define.
    required: Vec<(String, String)>,
    /// Symbol versions that the file defines.
    versions: Vec<String>,
    /// Symbols, each with whether the file defines it.
    symbols: Vec<(String, bool)>,
}

impl Dynamic {
    pub(in crate::checks) fn program(needed: &[&str]) -> Self {
        Self {
            machine: 62,
            interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
            entries: needed.iter().map(|name| (1, (*name).to_owned())).collect(),
            ..Self::default()
        }
    }

    pub(in crate::checks) fn library(soname: &str, needed: &[&str]) -> Self {
        let mut library = Self::program(needed);
        library.interpreter = None;
        library.entries.push((14, soname.to_owned()));
        library
    }

    pub(in crate::checks) fn machine(mut self, number: u16) -> Self {
        self.machine = number;
        self
    }

    pub(in crate::checks) fn requires(mut self, library: &str, version: &str) -> Self {
        self.required.push((library.to_owned(), version.to_owned()));
        self
    }

    pub(in crate::checks) fn defines_version(mut self, version: &str) -> Self {
        self.versions.push(version.to_owned());
        self
    }

    pub(in crate::checks) fn symbol(mut self, name: &str, is_defined: bool) -> Self {
        self.symbols.push((name.to_owned(), is_defined));
        self
    }

    pub(in crate::checks) fn rpath(mut self, path: &str) -> Self {
        self.entries.push((15, path.to_owned()));
        self
    }

    pub(in crate::checks) fn runpath(mut self, path: &str) -> Self {
        self.entries.push((29, path.to_owned()));
        self
    }

    /// Adds a note that the file opens the library `soname` at run time (systemd's `docs/ELF_DLOPEN_METADATA.md`).
    pub(in crate::checks) fn opens(mut self, feature: &str, soname: &str) -> Self {
        let text = format!(r#"[{{"soname":["{soname}"],"feature":"{feature}"}}]"#);
        for value in [4, text.len() as u32, 0x407c_0c0a] {
            self.note.extend_from_slice(&value.to_le_bytes());
        }
        self.note.extend_from_slice(b"FDO\0");
        self.note.extend_from_slice(text.as_bytes());
        self
    }

    /// Returns the bytes of the ELF file. Its one loaded segment, at address 0x10000, contains the whole file: headers,
    /// interpreter or note, strings, tables and dynamic section.
    pub(in crate::checks) fn elf(&self) -> Vec<u8> {
        const BASE: u64 = 0x10000;
        let mut strings = vec![0];
        let mut dynamic = Vec::new();
        for (tag, text) in &self.entries {
            dynamic.push((*tag, strings.len() as u64));
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
        }
        let mut string = |text: &str| {
            let at = strings.len() as u32;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let tables = self.tables(&mut string);
        let interp = match self.interpreter {
            Some(interp) => interp.as_bytes(),
            None => &self.note,
        };
        let interp_at = 64 + 3 * 56;
        let strings_at = interp_at + interp.len() as u64 + 1;
        let mut tables_at = strings_at + strings.len() as u64;
        for (tag, count, table) in &tables {
            dynamic.push((*tag, BASE + tables_at));
            dynamic.extend(count.map(|(tag, count)| (tag, count as u64)));
            tables_at += table.len() as u64;
        }
        let dynamic_at = tables_at;
        // Tag 24 (`DT_BIND_NOW`): the symbols are bound before the program starts.
        dynamic.extend([(5, BASE + strings_at), (24, 0), (0, 0)]);
        let size = dynamic_at + 16 * dynamic.len() as u64;
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        for (at, value) in [(16, 3_u16), (18, self.machine), (54, 56), (56, 3)] {
            elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        elf[20] = 1;
        elf[32] = 64;
        let interp_kind = if self.interpreter.is_none() { 4 } else { 3 };
        for (kind, at, length) in [
            (1_u32, 0, size),
            (interp_kind, interp_at, interp.len() as u64 + 1),
            (2, dynamic_at, 16 * dynamic.len() as u64),
        ] {
            elf.extend_from_slice(&kind.to_le_bytes());
            elf.extend_from_slice(&0_u32.to_le_bytes());
            for value in [at, BASE + at, BASE + at, length, length, 8] {
                elf.extend_from_slice(&value.to_le_bytes());
            }
        }
        elf.extend_from_slice(interp);
        elf.push(0);
        elf.extend_from_slice(&strings);
        for (_, _, table) in &tables {
            elf.extend_from_slice(table);
        }
        for (tag, value) in dynamic {
            elf.extend_from_slice(&tag.to_le_bytes());
            elf.extend_from_slice(&value.to_le_bytes());
        }
        elf
    }

    /// Returns the tables of versions and symbols. `string` adds a string to the file and returns its offset.
    fn tables(&self, string: &mut dyn FnMut(&str) -> u32) -> Vec<Table> {
        let (required, versions) = (self.required.len(), self.versions.len());
        let next = |at: usize, count: usize, size| if at + 1 < count { size } else { 0_u32 };
        let mut needed = Vec::new();
        for (at, (library, version)) in self.required.iter().enumerate() {
            needed.extend_from_slice(&[1, 0, 1, 0]);
            for value in [
                string(library),
                16,
                next(at, required, 32),
                0,
                0,
                string(version),
                0,
            ] {
                needed.extend_from_slice(&value.to_le_bytes());
            }
        }
        let mut defined = Vec::new();
        for (at, version) in self.versions.iter().enumerate() {
            defined.extend_from_slice(&[1, 0, 0, 0, 2, 0, 1, 0]);
            for value in [0, 20, next(at, versions, 28), string(version), 0] {
                defined.extend_from_slice(&value.to_le_bytes());
            }
        }
        let mut symbols = vec![0; 24];
        for (name, is_defined) in &self.symbols {
            symbols.extend_from_slice(&string(name).to_le_bytes());
            symbols.extend_from_slice(&[0x12, 0, u8::from(*is_defined), 0]);
            symbols.extend_from_slice(&[0; 16]);
        }
        let count = self.symbols.len() as u32 + 1;
        let hashes = [1_u32, count].map(u32::to_le_bytes).concat();
        vec![
            (0x6fff_fffe, Some((0x6fff_ffff, required)), needed),
            (0x6fff_fffc, Some((0x6fff_fffd, versions)), defined),
            (6, None, symbols),
            (4, None, hashes),
        ]
    }
}

/// A table of the dynamic section: its dynamic tag, for versions the tag and the value of the number of records, and
/// its bytes.
type Table = (u64, Option<(u64, usize)>, Vec<u8>);

/// Returns a kernel module: an ELF file whose section `.modinfo` has the vermagic `kver` and the dependencies
/// `depends`, with `padding` additional bytes.
pub(in crate::checks) fn ko(kver: &str, depends: &str, padding: usize) -> Vec<u8> {
    let modinfo = format!("license=GPL\0depends={depends}\0vermagic={kver} SMP mod_unload \0");
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    let info_at = elf.len() as u64;
    elf.extend_from_slice(modinfo.as_bytes());
    let names_at = elf.len() as u64;
    elf.extend_from_slice(names);
    elf.resize(elf.len().next_multiple_of(8) + padding, 0);
    let headers_at = elf.len() as u64;
    elf[0x28..0x30].copy_from_slice(&headers_at.to_le_bytes());
    for (at, value) in [(0x10, 1_u16), (0x12, 62), (0x3a, 64), (0x3c, 3), (0x3e, 2)] {
        elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    for (name, kind, offset, size) in [
        (0_u32, 0_u32, 0, 0),
        (1, 1, info_at, modinfo.len() as u64),
        (10, 3, names_at, names.len() as u64),
    ] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&offset.to_le_bytes());
        header[32..40].copy_from_slice(&size.to_le_bytes());
        elf.extend_from_slice(&header);
    }
    elf
}
