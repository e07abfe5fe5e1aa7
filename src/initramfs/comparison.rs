// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree that an image was made from, and how the modules of both compare.

use std::io::{self, Read};

use crate::kernel::modules::ModuleName;

/// The tree that an image was made from.
pub trait OnDisk {
    /// Opens the file at `path`, relative to the root; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>>;

    /// The files of dracut's modules: paths relative to the root, and sizes in bytes.
    ///
    /// # Errors
    /// When a directory is there and cannot be listed.
    fn dracut_files(&mut self) -> io::Result<Vec<(Vec<u8>, u64)>>;
}

/// A file of the tree.
pub struct OpenFile {
    /// Its bytes.
    pub data: Box<dyn Read>,
    /// How many there are.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
}

/// What a module says about itself, as far as checks look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFacts {
    /// What must be equal to the kernel's.
    pub vermagic: Option<Vec<u8>>,
    /// What it cannot be loaded without, sorted.
    pub depends: Vec<ModuleName>,
}

/// Facts, or why the file does not tell them.
pub type Told = Result<ModuleFacts, String>;

/// A module inside, beside the tree's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same bytes.
    Same,
    /// The tree has none at this path.
    NotOnDisk,
    /// The tree's cannot be read; why.
    Unread(String),
    /// Other bytes.
    Differs {
        /// Whether it may be the same module all the same: stripped of its symbols, as dracut
        /// does with plain ones, or compressed in another way.
        maybe_same: bool,
        /// What the one inside says.
        inside: Told,
        /// What the tree's says.
        on_disk: Told,
    },
    /// There is no tree to compare with.
    Alone(Told),
}

impl Comparison {
    /// Bytes of all that the modules say.
    pub(super) fn said(&self) -> usize {
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
