// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts from whole files, for the files that remain after unpacking.

use std::collections::{HashMap, HashSet};

use super::comparison::Comparison;
use super::elf::{Elf, ElfError};
use super::lists::{ImageLists, List};
use super::origin::Origin;
use crate::initramfs::tree::inventory::Inventory;
use crate::initramfs::tree::node::Node;
use crate::kernel::modules::{ModuleName, ModulesDep};

/// The facts that [`Bodies`](crate::initramfs::Bodies) has read, by the index of the entry
/// ([`Entry::index`](crate::initramfs::Entry::index)).
#[derive(Debug, Default)]
pub struct Facts {
    pub(in crate::initramfs) modules: HashMap<u64, (Vec<u8>, Comparison)>,
    pub(in crate::initramfs) elves: HashMap<u64, Result<Elf, ElfError>>,
    /// Bytes of all kept symbols.
    pub(in crate::initramfs) symbols: usize,
    pub(in crate::initramfs) lists: ImageLists,
    pub(in crate::initramfs) origins: HashMap<u64, Origin>,
    /// The estimated size of the initramfs file in bytes if `zstd -19` compressed its main segments. `None` if the
    /// estimate was not requested or failed.
    pub zstd: Option<u64>,
}

impl Facts {
    /// Returns the comparison of the module `node`, and the path (relative to `usr/lib/modules`) that was compared;
    /// `None` if `node` is not a module or is empty. For a file with several names, the path can be that of another
    /// name.
    pub fn module(&self, inventory: &Inventory, node: &Node) -> Option<(&[u8], &Comparison)> {
        let (path, comparison) = self.modules.get(&inventory.content(node)?.entry)?;
        Some((path, comparison))
    }

    /// Returns the origin of the file `node`. `None` for modules with data (see [`module`](Self::module)), for an empty
    /// file with several names, and if there was no tree to compare with.
    pub fn origin(&self, inventory: &Inventory, node: &Node) -> Option<&Origin> {
        self.origins.get(&inventory.content(node)?.entry)
    }

    /// Returns the facts about the ELF file `node`, or the reason why it cannot be parsed; `None` if it is not an ELF
    /// file, or is a kernel module.
    pub fn elf(&self, inventory: &Inventory, node: &Node) -> Option<&Result<Elf, ElfError>> {
        self.elves.get(&inventory.content(node)?.entry)
    }

    /// Returns the facts about all ELF files that can be parsed, also about those that a later entry replaces.
    pub fn elves(&self) -> impl Iterator<Item = &Elf> {
        self.elves.values().filter_map(|elf| elf.as_ref().ok())
    }

    /// Returns the content of the `modules.dep` or `modules.dep.bin` in `node`; `None` if the file has another name or
    /// is empty.
    pub fn dep(&self, inventory: &Inventory, node: &Node) -> Option<&List<ModulesDep>> {
        self.lists.deps.get(&inventory.content(node)?.entry)
    }

    /// Returns the modules that have an alias in the `modules.alias.bin` of `node`; `None` if the file has another name
    /// or is empty.
    pub fn aliased(
        &self,
        inventory: &Inventory,
        node: &Node,
    ) -> Option<&List<HashSet<ModuleName>>> {
        self.lists.aliased.get(&inventory.content(node)?.entry)
    }
}
