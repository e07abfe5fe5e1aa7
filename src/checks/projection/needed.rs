// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that a boot reads or executes before the root is mounted, as far as names tell.

use std::collections::HashSet;

use super::super::init::{Loader, used};
use crate::initramfs::{Facts, Inventory, Kind};

/// Directories of which a boot reads or executes every file.
const WHOLE: [&[u8]; 4] = [
    b"systemd/system-generators/",
    b"udev/rules.d/",
    b"dracut/hooks/",
    b"systemd/system/",
];

/// The paths of those files.
pub(super) fn files<'a>(inventory: &'a Inventory, facts: &'a Facts) -> HashSet<&'a [u8]> {
    let mut found = used(inventory);
    let is_read = |path: &[u8]| {
        path.ends_with(b"-lib.sh")
            || WHOLE
                .iter()
                .any(|dir| path.windows(dir.len()).any(|it| it == *dir))
    };
    let files = inventory
        .nodes()
        .filter(|(_, node)| node.kind != Kind::Directory);
    found.extend(files.map(|(path, _)| path).filter(|path| is_read(path)));
    let mut loaders = Vec::new();
    let mut entries = HashSet::new();
    for (path, node) in inventory.nodes().filter(|(path, _)| found.contains(path)) {
        let (Some(Ok(elf)), Some(content)) = (facts.elf(inventory, node), inventory.content(node))
        else {
            continue;
        };
        let at = loaders
            .iter()
            .position(|(machine, _)| *machine == elf.machine);
        let at = at.unwrap_or_else(|| {
            loaders.push((elf.machine, Loader::new(inventory, facts, elf.machine)));
            loaders.len() - 1
        });
        entries.extend(loaders[at].1.load(path, content.entry, elf).entries);
    }
    let is_loaded = |node| {
        inventory
            .content(node)
            .is_some_and(|it| entries.contains(&it.entry))
    };
    let libraries = inventory.nodes().filter(|(_, node)| is_loaded(node));
    found.extend(libraries.map(|(path, _)| path));
    found
}
