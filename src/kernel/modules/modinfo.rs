// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a module says about itself: the section `.modinfo` of an uncompressed `.ko`.

use super::{ModuleName, Softdep, elf};

/// The section `.modinfo`: `KEY=VALUE` fields with a NUL between them; a key may come more than
/// once. It is kept as it is: as values, millions of empty fields would take 24 times its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modinfo(Vec<u8>);

/// Why a file does not tell its modinfo.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModinfoError {
    /// Another kind of file; a compressed module, perhaps.
    #[error("it begins with \"{}\", expected an uncompressed ELF file", .first.escape_ascii())]
    NotElf {
        /// The first bytes, up to 8.
        first: Vec<u8>,
    },
    /// A header points outside, or the file was cut.
    #[error("the file has {size} bytes, expected {what} at {offset:#x}")]
    Truncated {
        /// What should be there.
        what: &'static str,
        /// Where, in bytes from the start.
        offset: u64,
        /// How long the file is, in bytes.
        size: usize,
    },
    /// An ELF file, but no module.
    #[error("it has no section .modinfo")]
    NoSection,
}

impl Modinfo {
    /// Finds and reads the section in the bytes of an uncompressed module, of any architecture.
    pub fn of_module(file: &[u8]) -> Result<Self, ModinfoError> {
        let section = elf::section(file, b".modinfo")?.ok_or(ModinfoError::NoSection)?;
        Ok(Self::parse(section))
    }

    /// Takes the bytes of the section. A field without `=` means nothing.
    pub fn parse(section: &[u8]) -> Self {
        Self(section.to_vec())
    }

    /// The first value of that key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.all(key).next()
    }

    /// Every value of that key, in order.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == 0)
            .filter_map(move |field| field.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    /// What must be equal to the kernel's: its release and the options that change structures.
    pub fn vermagic(&self) -> Option<&[u8]> {
        self.get("vermagic")
    }

    /// The release of the kernel it was built for: the first word of the vermagic.
    pub fn kver(&self) -> Option<&[u8]> {
        super::words(self.vermagic()?).next()
    }

    /// The modules it cannot be loaded without, one level of them, in the order of the field.
    pub fn depends(&self) -> Vec<ModuleName> {
        self.all("depends")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .filter_map(|name| ModuleName::new(name.trim_ascii()))
            .collect()
    }

    /// The modules it would like to have around it, of all its `softdep` fields.
    pub fn softdep(&self) -> Softdep {
        let mut softdep = Softdep::default();
        for value in self.all("softdep") {
            softdep.append(Softdep::parse(value));
        }
        softdep
    }

    /// Whether it was built with the kernel, and not out of tree.
    pub fn intree(&self) -> bool {
        self.get("intree") == Some(b"Y")
    }

    /// Its name; modules older than Linux 4.13 have none in here.
    pub fn name(&self) -> Option<ModuleName> {
        self.get("name").and_then(ModuleName::new)
    }
}
