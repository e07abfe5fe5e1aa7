// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts about an earlier initramfs, with which a later one is compared: the base's, read before anything changes, that
//! of the booted deployment, or one that the user names.
//!
//! A baseline is small, because it contains names, sizes and versions, but no file contents.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::boot::{RootSetup, UNIT_DIRS, is_unit};
use crate::initramfs::{EntryType, Inventory};
use crate::kernel::modules::{ModuleList, ModuleName};

/// Facts about an earlier initramfs and its kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Size of the initramfs file in bytes.
    pub size: u64,
    /// Size of all unpacked files in bytes; 0 if it is not known.
    #[serde(default)]
    pub unpacked: u64,
    /// The included drivers, with their paths relative to the kernel's directory.
    pub drivers: BTreeMap<ModuleName, Vec<u8>>,
    /// The built-in drivers in the included `modules.builtin`, with their paths relative to the kernel's directory.
    pub builtin: BTreeMap<ModuleName, Vec<u8>>,
    /// The names of the included dracut modules; empty if the initramfs does not list them.
    pub dracut_modules: Vec<String>,
    /// The version of dracut that built the initramfs; `None` if it is not known.
    pub dracut_version: Option<String>,
    /// The names of the unit files of systemd in the initramfs.
    pub units: BTreeSet<String>,
    /// The names of the files in the initramfs's directories of programs.
    #[serde(default)]
    pub programs: BTreeSet<String>,
    /// Paths of firmware files in the initramfs, relative to `usr/lib/firmware` and without a compression suffix.
    pub firmware: BTreeSet<Vec<u8>>,
    /// Whether `vmlinuz` was signed; `None` if there was no `vmlinuz`, or if it could not be read.
    pub signed: Option<bool>,
    /// Out-of-tree modules on disk, in the directory of the kernel.
    pub kmods: BTreeSet<ModuleName>,
    /// The program in the initramfs that sets up the root; ostree's if there is none.
    #[serde(default)]
    pub root_setup: RootSetup,
    /// The kinds of files that the kernel reads before it unpacks the initramfs: microcode and ACPI tables.
    #[serde(default)]
    pub early: BTreeSet<String>,
}

impl Baseline {
    /// Returns the included and the built-in drivers.
    pub fn all_drivers(&self) -> BTreeSet<ModuleName> {
        self.drivers
            .keys()
            .chain(self.builtin.keys())
            .cloned()
            .collect()
    }

    /// Reads the facts from an initramfs. `size` is the size of the initramfs file in bytes. The inventory does not
    /// contain the facts `signed`, `kmods` and `early`, so these stay empty. A missing or damaged `modules.builtin`
    /// counts as empty.
    pub fn of(inventory: &Inventory, size: u64) -> Self {
        let mut baseline = Self {
            size,
            unpacked: unpacked_size(inventory),
            dracut_modules: inventory.dracut_modules().unwrap_or_default(),
            dracut_version: inventory.dracut_version(),
            units: units(inventory),
            programs: programs(inventory),
            firmware: firmware(inventory),
            root_setup: RootSetup::of(inventory).unwrap_or_default(),
            ..Self::default()
        };
        for path in inventory.kernel_modules() {
            if let (Some(name), Some(path)) = (ModuleName::of_path(path), relative(path)) {
                baseline.drivers.insert(name, path.to_vec());
            }
        }
        for kver in inventory.kernel_versions() {
            let path = [b"usr/lib/modules/", kver, b"/modules.builtin"].concat();
            let data = inventory.data(&path).unwrap_or_default();
            let list = ModuleList::parse_builtin(data).unwrap_or_default();
            for path in list.paths() {
                if let Some(name) = ModuleName::of_path(path) {
                    baseline.builtin.insert(name, path.clone());
                }
            }
        }
        baseline
    }

    /// Returns the firmware that the baseline has and the initramfs lacks.
    pub fn lost_firmware(&self, inventory: &Inventory) -> BTreeSet<Vec<u8>> {
        self.firmware
            .difference(&firmware(inventory))
            .cloned()
            .collect()
    }
}

/// Returns the size of all unpacked files in bytes. A file with several names (hard links) counts once for each name.
pub(super) fn unpacked_size(inventory: &Inventory) -> u64 {
    let contents = inventory
        .nodes()
        .filter_map(|(_, node)| inventory.content(node));
    contents.map(|content| u64::from(content.size)).sum()
}

/// Returns a module's path relative to its kernel's directory; `None` if it is in no such directory.
pub(super) fn relative(path: &[u8]) -> Option<&[u8]> {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    let below = below.strip_prefix(b"lib/modules/")?;
    let slash = below.iter().position(|&byte| byte == b'/')?;
    Some(&below[slash + 1..])
}

/// Returns the names of the unit files and of links to them in [`UNIT_DIRS`].
pub(super) fn units(inventory: &Inventory) -> BTreeSet<String> {
    let mut units = BTreeSet::new();
    for dir in UNIT_DIRS {
        for (name, node) in inventory.children(dir.as_bytes()) {
            if node.kind != EntryType::Directory && is_unit(name) {
                units.insert(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    units
}

/// Returns the names of the files and links in the directories of programs.
pub(super) fn programs(inventory: &Inventory) -> BTreeSet<String> {
    let dirs = ["usr/bin", "usr/sbin", "usr/lib/systemd"].iter();
    let files = dirs.flat_map(|dir| inventory.children(dir.as_bytes()));
    let programs = files.filter(|(_, node)| node.kind != EntryType::Directory);
    programs
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Returns the paths of firmware files and of links to them, relative to `usr/lib/firmware` and without a compression
/// suffix.
fn firmware(inventory: &Inventory) -> BTreeSet<Vec<u8>> {
    let files = inventory.nodes().filter_map(|(path, node)| {
        let below = path.strip_prefix(b"usr/").unwrap_or(path);
        let below = below.strip_prefix(b"lib/firmware/")?;
        (node.kind != EntryType::Directory).then(|| plain_firmware(below).to_vec())
    });
    files.collect()
}

/// Returns the name by which a driver requests a firmware file: the path without a compression suffix.
pub fn plain_firmware(path: &[u8]) -> &[u8] {
    let mut suffixes = [b".xz".as_slice(), b".zst"].into_iter();
    suffixes
        .find_map(|suffix| path.strip_suffix(suffix))
        .unwrap_or(path)
}
