// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was learnt from whole files, for the files that are there in the end.

use std::collections::{HashMap, HashSet};

use super::comparison::Comparison;
use super::elf::{Elf, ElfError};
use super::inventory::Inventory;
use super::lists::{List, Lists};
use super::node::Node;
use super::origin::Origin;
use crate::kernel::modules::{ModuleName, ModulesDep};

/// What [`Bodies`](super::Bodies) has learnt, by [`Entry::index`].
#[derive(Debug, Default)]
pub struct Facts {
    pub(super) modules: HashMap<u64, (Vec<u8>, Comparison)>,
    pub(super) elves: HashMap<u64, Result<Elf, ElfError>>,
    /// Bytes of all symbols that are kept.
    pub(super) symbols: usize,
    pub(super) lists: Lists,
    pub(super) origins: HashMap<u64, Origin>,
}

impl Facts {
    /// How the module `node` compares, and the path (relative to `usr/lib/modules`) of what it was
    /// compared with: another one's, where one file has several names.
    pub fn module(&self, inventory: &Inventory, node: &Node) -> Option<(&[u8], &Comparison)> {
        let (path, comparison) = self.modules.get(&inventory.content(node)?.entry)?;
        Some((path, comparison))
    }

    /// Where the file `node` comes from; `None` for modules (see [`module`](Self::module)), and where there is no tree.
    pub fn origin(&self, inventory: &Inventory, node: &Node) -> Option<&Origin> {
        self.origins.get(&inventory.content(node)?.entry)
    }

    /// What the ELF file `node` says; `None` where it is no ELF file.
    pub fn elf(&self, inventory: &Inventory, node: &Node) -> Option<&Result<Elf, ElfError>> {
        self.elves.get(&inventory.content(node)?.entry)
    }

    /// What all whole ELF files say.
    pub fn elves(&self) -> impl Iterator<Item = &Elf> {
        self.elves.values().filter_map(|elf| elf.as_ref().ok())
    }

    /// What the `modules.dep` or `modules.dep.bin` in `node` says; `None` where it is no such file.
    pub fn dep(&self, inventory: &Inventory, node: &Node) -> Option<&List<ModulesDep>> {
        self.lists.deps.get(&inventory.content(node)?.entry)
    }

    /// The modules that the `modules.alias.bin` in `node` leads to; `None` where it is no such file.
    pub fn aliased(
        &self,
        inventory: &Inventory,
        node: &Node,
    ) -> Option<&List<HashSet<ModuleName>>> {
        self.lists.aliased.get(&inventory.content(node)?.entry)
    }
}
