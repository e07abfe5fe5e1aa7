// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modinfo of a module: the section `.modinfo` of an uncompressed `.ko`.

use super::{ModuleName, Parameter, Softdep};
use crate::elf::{ElfError, File};

/// The section `.modinfo`: `KEY=VALUE` fields separated by NULs; a key can occur several times. The section is stored
/// unparsed, because parsed fields would need up to 24 times as much memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modinfo(Vec<u8>);

/// The error that the modinfo of a file cannot be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModinfoError {
    /// Not an ELF file, for example a compressed module; or an ELF file with damaged headers.
    #[error("it starts with \"{}\", expected an uncompressed ELF file", .first.escape_ascii())]
    NotElf {
        /// The first bytes, up to 8.
        first: Vec<u8>,
    },
    /// A header points outside the file, or the file is truncated.
    #[error("the file has {size} bytes, expected {what} at {offset:#x}")]
    Truncated {
        /// The missing part.
        what: &'static str,
        /// Its offset in bytes.
        offset: u64,
        /// The length of the file in bytes.
        size: usize,
    },
    /// An ELF file without a section `.modinfo`; it is not a module.
    #[error("it has no section .modinfo")]
    NoSection,
}

impl Modinfo {
    /// Returns the modinfo of the uncompressed module `file`, of any architecture. Fails if `file` is not a complete
    /// ELF file, or has no section `.modinfo`.
    pub fn of_module(file: &[u8]) -> Result<Self, ModinfoError> {
        let section = File::new(file).and_then(|elf| elf.section(b".modinfo"));
        let section = section.map_err(|error| match error {
            ElfError::Truncated { what, offset } => ModinfoError::Truncated {
                what,
                offset,
                size: file.len(),
            },
            _ => ModinfoError::NotElf {
                first: file[..file.len().min(8)].to_vec(),
            },
        })?;
        Ok(Self::parse(section.ok_or(ModinfoError::NoSection)?))
    }

    /// Returns the modinfo in the bytes of a section `.modinfo`. Fields without `=` are ignored.
    pub fn parse(section: &[u8]) -> Self {
        Self(section.to_vec())
    }

    /// Returns the first value of a key; `None` if no field has the key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.all(key).next()
    }

    /// Returns every value of a key, in order.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == 0)
            .filter_map(move |field| field.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    /// Returns the vermagic: the kernel's release, and build options that change the layout of structures; `None` if
    /// there is none. The kernel loads the module only if its own vermagic is equal. With `CONFIG_MODVERSIONS` it
    /// ignores the release (`same_magic` in `kernel/module/version.c`).
    pub fn vermagic(&self) -> Option<&[u8]> {
        self.get("vermagic")
    }

    /// Returns the release of the kernel that the module was built for: the first word of the vermagic; `None` without
    /// a vermagic.
    pub fn kver(&self) -> Option<&[u8]> {
        super::words(self.vermagic()?).next()
    }

    /// Returns the module's direct dependencies, in the order of the field.
    pub fn depends(&self) -> Vec<ModuleName> {
        self.all("depends")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .filter_map(|name| ModuleName::new(name.trim_ascii()))
            .collect()
    }

    /// Returns the module's soft dependencies, from all its `softdep` fields.
    pub fn softdep(&self) -> Softdep {
        let mut softdep = Softdep::default();
        for value in self.all("softdep") {
            softdep.append(Softdep::parse(value));
        }
        softdep
    }

    /// Returns the module's parameters with their types. Fields of another form than `NAME:TYPE` are left out.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.all("parmtype").filter_map(Parameter::parse).collect()
    }

    /// Returns whether the module was built with the kernel, not out of tree.
    pub fn intree(&self) -> bool {
        self.get("intree") == Some(b"Y")
    }

    /// Returns the module's name; modules older than Linux 4.13 have none.
    pub fn name(&self) -> Option<ModuleName> {
        self.get("name").and_then(ModuleName::new)
    }
}
