// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares two initramfs files: kernel modules, units, other files, dracut's modules, sizes.
//!
//! Paths are compared with a placeholder for the kver, and kernel modules by name, so that initramfs files of different
//! kernels can be compared. Names in an initramfs with modules of several kernels, or of none, are compared by their
//! whole path. Times are not compared. Invariant: every name of either initramfs is in one of the lists or counted in
//! `same`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::json::Name;
use super::listing::{size, word};
use super::name::Shown;
use super::summary::Summary;
use crate::bytes::contains;
use crate::initramfs::{Compression, EntryType, Inventory, Node};
use crate::kernel::modules::ModuleName;

/// The placeholder for the kver in a path.
const KVER: &[u8] = b"KVER";

/// One of the two initramfs files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Side {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of all unpacked files.
    pub unpacked: u64,
    /// The compression of each segment, in order.
    pub compression: Vec<Compression>,
    /// The kernels whose modules the initramfs has.
    pub kvers: Vec<String>,
    /// The number of kernel modules.
    pub kernel_modules: usize,
    /// Bytes of the kernel modules.
    pub kernel_modules_bytes: u64,
    /// The number of units, links that enable them and drop-ins.
    pub units: usize,
    /// The number of other names, including directories.
    pub files: usize,
    /// The number of dracut's modules.
    pub dracut_modules: usize,
    /// dracut's version.
    pub dracut_version: Option<String>,
    /// dracut's arguments.
    pub dracut_arguments: Option<String>,
}

/// A name in only one of the initramfs files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Item {
    /// The path.
    #[serde(flatten)]
    pub name: Name,
    /// The path with its original bytes.
    #[serde(skip)]
    pub raw: Vec<u8>,
    /// Bytes of the file; for a symbolic link, the length of its target.
    pub bytes: u64,
}

/// A name that both initramfs files have, with differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Changed {
    /// The path in the second initramfs. The path in the first initramfs can be another one, for example with another
    /// kver.
    #[serde(flatten)]
    pub name: Name,
    /// The path in the second initramfs, with its original bytes.
    #[serde(skip)]
    pub raw: Vec<u8>,
    /// Bytes in the first initramfs.
    pub bytes_before: u64,
    /// Bytes in the second initramfs.
    pub bytes: u64,
    /// Whether the data of the file, or the target of the link, differs.
    pub content: bool,
    /// The differences other than the data, as text: `mode 0755 -> 0644`, `target a -> b`.
    pub what: Vec<String>,
}

/// The differences in one group of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Changes {
    /// Only in the second initramfs.
    pub added: Vec<Item>,
    /// Only in the first initramfs.
    pub gone: Vec<Item>,
    /// In both, with differences.
    pub changed: Vec<Changed>,
    /// The number of names without differences.
    pub same: usize,
}

/// The dracut modules that only one of the initramfs files has, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Names {
    /// Only in the second initramfs.
    pub added: Vec<String>,
    /// Only in the first initramfs.
    pub gone: Vec<String>,
}

/// The differences from the first initramfs to the second.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Diff {
    /// The first initramfs.
    pub before: Side,
    /// The second initramfs.
    pub after: Side,
    /// dracut's modules.
    pub dracut_modules: Names,
    /// Kernel modules, by name.
    pub kernel_modules: Changes,
    /// systemd's units, the links that enable them, and drop-ins.
    pub units: Changes,
    /// All other names.
    pub files: Changes,
}

/// A name in an initramfs.
struct Named<'i> {
    /// The path with [`KVER`] instead of the kver.
    stem: Vec<u8>,
    path: &'i [u8],
    node: &'i Node,
}

/// Names by the key for their comparison: the name of a kernel module, or the path with the placeholder.
type Nodes<'i> = BTreeMap<Vec<u8>, Named<'i>>;

/// The names in an initramfs, by group.
#[derive(Default)]
struct Sorted<'i> {
    modules: Nodes<'i>,
    units: Nodes<'i>,
    files: Nodes<'i>,
}

/// Compares two initramfs files. The inventories should have digests; files without a digest are compared by size.
pub fn diff(before: (&Summary, &Inventory), after: (&Summary, &Inventory)) -> Diff {
    let (old, new) = (Sorted::of(before.1), Sorted::of(after.1));
    let inventories = (before.1, after.1);
    Diff {
        before: side(before.0, before.1, &old),
        after: side(after.0, after.1, &new),
        dracut_modules: dracut_modules(before.0, after.0),
        kernel_modules: changes(inventories, &old.modules, &new.modules),
        units: changes(inventories, &old.units, &new.units),
        files: changes(inventories, &old.files, &new.files),
    }
}

impl Diff {
    /// Returns whether both initramfs files unpack to the same names, modes, owners and contents. Times, and the kver
    /// in paths, are ignored.
    pub fn is_empty(&self) -> bool {
        [&self.kernel_modules, &self.units, &self.files]
            .iter()
            .all(|it| it.added.is_empty() && it.gone.is_empty() && it.changed.is_empty())
    }

    /// Returns whether both initramfs files have modules of the same kernels.
    pub fn same_kernel(&self) -> bool {
        self.before.kvers == self.after.kvers
    }
}

impl<'i> Sorted<'i> {
    fn of(inventory: &'i Inventory) -> Self {
        let kvers = inventory.kernel_versions();
        let kver = match kvers.as_slice() {
            [kver] => Some(*kver),
            _ => None,
        };
        let modules: BTreeSet<_> = inventory.kernel_modules().into_iter().collect();
        let mut sorted = Self::default();
        for (path, node) in inventory.nodes() {
            let stem = without(path, kver);
            let module = ModuleName::of_path(path).filter(|_| modules.contains(path));
            let (into, key) = match module {
                Some(module) if kver.is_some() => {
                    let name = module.as_bytes().to_vec();
                    // If a module with this name is there already, the path is the key.
                    let taken = sorted.modules.contains_key(&name);
                    let key = if taken { stem.clone() } else { name };
                    (&mut sorted.modules, key)
                }
                Some(_) => (&mut sorted.modules, stem.clone()),
                None if is_unit(path, node) => (&mut sorted.units, stem.clone()),
                None => (&mut sorted.files, stem.clone()),
            };
            into.insert(key, Named { stem, path, node });
        }
        sorted
    }
}

/// Replaces each component that is the kver with the placeholder.
fn without(path: &[u8], kver: Option<&[u8]>) -> Vec<u8> {
    let Some(kver) = kver else {
        return path.to_vec();
    };
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<_> = parts
        .map(|part| if part == kver { KVER } else { part })
        .collect();
    parts.join(&b'/')
}

fn is_unit(path: &[u8], node: &Node) -> bool {
    const PART: &[u8] = b"/systemd/system/";
    node.kind != EntryType::Directory && contains(path, PART)
}

fn side(summary: &Summary, inventory: &Inventory, sorted: &Sorted) -> Side {
    let dracut = summary.dracut.clone().unwrap_or_default();
    let modules = sorted.modules.values();
    Side {
        bytes: summary.bytes,
        unpacked: summary.space.bytes,
        compression: summary.segments.iter().map(|it| it.compression).collect(),
        kvers: summary.kvers.clone(),
        kernel_modules: sorted.modules.len(),
        kernel_modules_bytes: modules.map(|it| size(inventory, it.node)).sum(),
        units: sorted.units.len(),
        files: sorted.files.len(),
        dracut_modules: dracut.modules.len(),
        dracut_version: dracut.version,
        dracut_arguments: dracut.arguments,
    }
}

fn dracut_modules(before: &Summary, after: &Summary) -> Names {
    let names = |summary: &Summary| -> BTreeSet<String> {
        let modules = summary.dracut.iter().flat_map(|it| it.modules.clone());
        modules.collect()
    };
    let (old, new) = (names(before), names(after));
    Names {
        added: new.difference(&old).cloned().collect(),
        gone: old.difference(&new).cloned().collect(),
    }
}

fn changes(inventories: (&Inventory, &Inventory), old: &Nodes, new: &Nodes) -> Changes {
    let item = |inventory: &Inventory, it: &Named| Item {
        name: Name::new(it.path),
        raw: it.path.to_vec(),
        bytes: size(inventory, it.node),
    };
    let mut changes = Changes::default();
    for (key, before) in old {
        let Some(after) = new.get(key) else {
            changes.gone.push(item(inventories.0, before));
            continue;
        };
        match changed(inventories, before, after) {
            Some(changed) => changes.changed.push(changed),
            None => changes.same += 1,
        }
    }
    let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
    changes.added = added.map(|(_, it)| item(inventories.1, it)).collect();
    changes.added.sort_by(|a, b| a.raw.cmp(&b.raw));
    changes.gone.sort_by(|a, b| a.raw.cmp(&b.raw));
    changes.changed.sort_by(|a, b| a.raw.cmp(&b.raw));
    changes
}

/// Returns the differences between two nodes with the same key; `None` if there are none.
fn changed(
    inventories: (&Inventory, &Inventory),
    before: &Named,
    after: &Named,
) -> Option<Changed> {
    let (old, new) = (before.node, after.node);
    let mut what = Vec::new();
    if before.stem != after.stem {
        what.push(format!("was {}", Shown(before.path)));
    }
    if old.kind != new.kind {
        what.push(format!("{} -> {}", word(old.kind), word(new.kind)));
    }
    let bits = |node: &Node| node.mode & 0o7777;
    if old.kind == new.kind && bits(old) != bits(new) {
        what.push(format!("mode {:04o} -> {:04o}", bits(old), bits(new)));
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        let owners = (old.uid, old.gid, new.uid, new.gid);
        what.push(format!(
            "owner {}:{} -> {}:{}",
            owners.0, owners.1, owners.2, owners.3
        ));
    }
    if old.rdev != new.rdev {
        let (old, new) = (old.rdev, new.rdev);
        what.push(format!(
            "device {}:{} -> {}:{}",
            old.major, old.minor, new.major, new.minor
        ));
    }
    if old.kind == EntryType::Symlink && new.kind == EntryType::Symlink && old.target != new.target
    {
        what.push(format!(
            "target {} -> {}",
            Shown(&old.target),
            Shown(&new.target)
        ));
    }
    let data = |inventory: &Inventory, node| {
        let content = inventory.content(node);
        content.map(|content| (content.size, content.sha256))
    };
    let content = data(inventories.0, old) != data(inventories.1, new) || old.target != new.target;
    (content || !what.is_empty()).then(|| Changed {
        name: Name::new(after.path),
        raw: after.path.to_vec(),
        bytes_before: size(inventories.0, old),
        bytes: size(inventories.1, new),
        content,
        what,
    })
}
