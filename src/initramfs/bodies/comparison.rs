// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree from which an image was built, and the result of comparing a module in the image with the tree's.

use std::io::{self, Read};

use crate::initramfs::stream::entry::Entry;
use crate::kernel::modules::ModuleName;

/// The tree from which an image was built.
pub trait OnDisk {
    /// Opens the file at `path`, relative to the root; `None` if it does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>>;

    /// Returns the permission bits of the tree's file at the entry's path, if the file is already known to have the
    /// entry's data; otherwise `None`. The default implementation returns `None`.
    fn equal(&mut self, _: &Entry) -> Option<u32> {
        None
    }

    /// Returns the regular files in dracut's directory, which contains the files of dracut's modules: paths relative to
    /// the root, and sizes in bytes.
    ///
    /// # Errors
    /// When a directory exists and cannot be listed.
    fn dracut_files(&mut self) -> io::Result<Vec<(Vec<u8>, u64)>>;
}

/// A file of the tree.
pub struct OpenFile {
    /// Its bytes.
    pub data: Box<dyn Read>,
    /// The number of bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
}

/// Facts about a module, for the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFacts {
    /// The vermagic, which must equal the kernel's; `None` if the module has none.
    pub vermagic: Option<Vec<u8>>,
    /// The modules that it requires, sorted and without duplicates.
    pub depends: Vec<ModuleName>,
}

/// The facts about a module, or the reason why they cannot be read.
pub type Told = Result<ModuleFacts, String>;

/// The result of comparing a module in the image with the tree's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Equal bytes.
    Same,
    /// The tree has no module at this path, whatever its compression.
    NotOnDisk,
    /// The tree's module cannot be read, with the reason.
    Unread(String),
    /// Different bytes.
    Differs {
        /// Whether the two files can still be the same module: dracut strips symbols from uncompressed modules, and
        /// the files can have different compressions.
        maybe_same: bool,
        /// The facts about the module in the image.
        inside: Told,
        /// The facts about the module in the tree.
        on_disk: Told,
    },
    /// There is no tree to compare with, only the facts about the module in the image.
    Alone(Told),
}

impl Comparison {
    /// Returns the size of the names and vermagics (bytes). Reasons why something cannot be read are not counted.
    pub(in crate::initramfs) fn size_of_facts(&self) -> usize {
        let size = |told: &Told| {
            told.as_ref().map_or(0, |facts| {
                let names = facts.depends.iter().map(|name| name.as_bytes().len());
                facts.vermagic.as_ref().map_or(0, Vec::len) + names.sum::<usize>()
            })
        };
        match self {
            Self::Same | Self::NotOnDisk | Self::Unread(_) => 0,
            Self::Differs {
                inside, on_disk, ..
            } => size(inside) + size(on_disk),
            Self::Alone(told) => size(told),
        }
    }
}
