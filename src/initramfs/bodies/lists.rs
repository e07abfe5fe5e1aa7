// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses depmod's lists during streaming, so that parsing overlaps decompression.
//!
//! The checks derive findings from the lists. Invariant: the parser holds one file of at most [`FILE_MAX`] bytes at a
//! time, and reads at most [`ALL_MAX`] bytes in total.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io::{self, BufRead};

use crate::bytes::basename;
use crate::initramfs::stream::entry::Entry;
use crate::kernel::modules::{ModuleName, ModulesDep, aliased};

/// Upper bound of a list (bytes); `modules.alias.bin` of a whole kernel has 1.5 MiB.
const FILE_MAX: u64 = 4 << 20;

/// Upper bound of all lists (bytes); the lists of a whole kernel have about 3 MiB.
const ALL_MAX: u64 = 8 << 20;

/// A list, or the reason why it cannot be parsed.
pub type List<T> = Result<T, String>;

/// depmod's lists in the image, by [`Entry::index`].
#[derive(Debug, Default)]
pub(in crate::initramfs) struct ImageLists {
    pub(in crate::initramfs) deps: HashMap<u64, List<ModulesDep>>,
    pub(in crate::initramfs) aliased: HashMap<u64, List<HashSet<ModuleName>>>,
    spent: u64,
}

impl ImageLists {
    /// Parses the file if it is `modules.dep`, `modules.dep.bin` or `modules.alias.bin`. `buffer` is scratch space.
    pub(in crate::initramfs) fn read(
        &mut self,
        entry: &Entry,
        body: &mut dyn BufRead,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        match basename(&entry.path) {
            b"modules.dep" => {
                let list = self.parsed(entry, body, buffer, ModulesDep::parse)?;
                self.deps.insert(entry.index, list);
            }
            b"modules.dep.bin" => {
                let list = self.parsed(entry, body, buffer, ModulesDep::parse_index)?;
                self.deps.insert(entry.index, list);
            }
            b"modules.alias.bin" => {
                let list = self.parsed(entry, body, buffer, aliased)?;
                self.aliased.insert(entry.index, list);
            }
            _ => {}
        }
        Ok(())
    }

    fn parsed<T, E: Display>(
        &mut self,
        entry: &Entry,
        body: &mut dyn BufRead,
        buffer: &mut Vec<u8>,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> io::Result<List<T>> {
        let size = u64::from(entry.size);
        if size > FILE_MAX || self.spent + size > ALL_MAX {
            return Ok(Err(format!(
                "it has {size} bytes; the limit is {FILE_MAX}, and {ALL_MAX} for all such lists"
            )));
        }
        self.spent += size;
        buffer.clear();
        body.read_to_end(buffer)?;
        Ok(parse(buffer).map_err(|error| error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::{TestEntry, archive, dir, file};
    use crate::initramfs::{Bodies, Facts, Inventory, Limits, read};

    const DEP: &str = "lib/modules/6.1/modules.dep";

    fn learnt(lists: Vec<TestEntry>) -> (Inventory, Facts) {
        let dirs = ["lib", "lib/modules", "lib/modules/6.1"].map(dir);
        let image = archive(&dirs.into_iter().chain(lists).collect::<Vec<_>>());
        let limits = Limits::default();
        let mut inventory = Inventory::new(&limits);
        let mut bodies = Bodies::new(None);
        read(image.as_slice(), &limits, &mut inventory.with(&mut bodies)).unwrap();
        (inventory, bodies.take_facts())
    }

    fn dep((inventory, facts): &(Inventory, Facts)) -> Option<&List<ModulesDep>> {
        facts.dep(inventory, inventory.node(DEP.as_bytes()).unwrap())
    }

    #[test]
    fn the_last_copy_is_used() {
        let copies = [&b"a.ko:\n"[..], b"a.ko:\nb.ko:\n"].map(|text| file(DEP, text));
        let learnt = learnt(copies.into());
        assert_eq!(dep(&learnt).unwrap().as_ref().unwrap().len(), 2);
        let (inventory, facts) = &learnt;
        let node = inventory.node(DEP.as_bytes()).unwrap();
        assert!(facts.aliased(inventory, node).is_none());
    }

    #[test]
    fn invalid_lists_are_errors() {
        let found = dep(&learnt(vec![file(DEP, b"hello\n")])).unwrap().clone();
        assert!(found.unwrap_err().contains("line 1"));
        let found = learnt(vec![file("lib/modules/6.1/modules.alias.bin", b"hello")]);
        let (inventory, facts) = &found;
        let node = inventory.node(b"lib/modules/6.1/modules.alias.bin");
        let aliased = facts.aliased(inventory, node.unwrap()).unwrap();
        assert!(aliased.clone().unwrap_err().contains("modules.alias.bin"));
    }

    #[test]
    fn bytes_are_bounded() {
        let comments = |bytes: u64| vec![b'#'; bytes as usize];
        let with = |before: usize, bytes: u64| {
            let other = file("modules.dep", &b"#\n".repeat(FILE_MAX as usize / 2));
            let mut lists = vec![other; before];
            lists.push(file(DEP, &comments(bytes)));
            dep(&learnt(lists)).unwrap().clone()
        };
        assert!(with(1, 60_000).is_ok());
        for (before, bytes) in [(0, FILE_MAX + 1), (2, 1)] {
            let error = with(before, bytes).unwrap_err();
            let expected = "bytes; the limit is 4194304, and 8388608 for all such lists";
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
