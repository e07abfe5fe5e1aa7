// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot graph: the files of an initramfs that a boot executes, loads or reads, each with the file that uses it.
//!
//! A file name in a script of dracut, a udev rule or an `Exec…=` line counts as a use, because scripts are not
//! interpreted. The graph therefore has too many files rather than too few. Of the units that generators write, only
//! those of the root are known (see `units.rs`).

#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::fmt;

use super::goals::Booted;
use super::udev::Rules;
use super::unit::Dependency;
use crate::bytes::contains;
use crate::initramfs::{EntryType, Facts, Inventory};

/// Programs that systemd itself executes: the one that mounts the root, and the generator that writes the unit of this
/// mount from `root=` of the kernel's command line.
pub const BY_SYSTEMD: [&[u8]; 2] = [
    b"usr/bin/mount",
    b"usr/lib/systemd/system-generators/systemd-fstab-generator",
];

/// The program through which systemd executes the commands of services, since systemd 255.
pub const EXECUTOR: &[u8] = b"usr/lib/systemd/systemd-executor";

/// The programs that check the file systems of a root. `fsck` executes the one for the type of the root's file system. If
/// that program cannot be linked, its exit status 127 counts as uncorrected errors, and the boot stops.
pub const FSCK: [&[u8]; 7] = [
    b"fsck.ext4",
    b"fsck.ext3",
    b"fsck.ext2",
    b"fsck.xfs",
    b"fsck.btrfs",
    b"fsck.f2fs",
    b"fsck.bcachefs",
];

/// The reason why a boot uses a file: how another file, or the kernel, refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The kernel executes the file as PID 1.
    First,
    /// A kernel module or firmware, which the kernel loads at the request of a driver or device.
    Kernel,
    /// The target of a symbolic link.
    Link,
    /// The interpreter of a script, or the program that the script executes with `env`.
    Interpreter,
    /// The dynamic linker of a program.
    Linker,
    /// A library that the dynamic linker maps.
    Library,
    /// A library that a program or another library can open with `dlopen`, according to its ELF notes.
    Opens,
    /// A unit that another unit references.
    Unit(Dependency),
    /// A drop-in of a unit.
    DropIn,
    /// The program of a unit's command; the value is the name of the setting.
    Command(&'static str),
    /// A program that systemd itself executes, or one that `fsck` executes.
    Executes,
    /// A file that a program reads.
    Reads,
    /// A file of a unit that may start: `default.target` or a unit of the initramfs leads to it, or its name is in a
    /// generator, a rule or a script.
    Starts,
    /// A file whose name is a word in a script, a rule or a unit.
    Names,
    /// A file that a program finds by its directory: the program reads the whole directory, or has the file's name in
    /// its code.
    Directory,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "the kernel executes it as PID 1",
            Self::Kernel => "the kernel loads it when a driver or a device requests it",
            Self::Link => "is a link to it",
            Self::Interpreter => "is a script for this interpreter",
            Self::Linker => "has it as its dynamic linker",
            Self::Library => "is linked with it",
            Self::Opens => "opens it with dlopen",
            Self::Unit(Dependency::Requires) => "requires it",
            Self::Unit(_) => "wants it",
            Self::DropIn => "is extended by it",
            Self::Command(key) => return write!(f, "executes it ({key}=)"),
            Self::Executes => "executes it",
            Self::Reads => "reads it",
            Self::Starts => "may start it: default.target or a unit leads to it, or a generator, a rule or a script names it",
            Self::Names => "names it",
            Self::Directory => "may use it: the file is in a directory that it reads",
        })
    }
}

/// A file of the graph, also called a step.
#[derive(Debug)]
pub struct GraphFile<'a> {
    /// Its path, without links.
    pub path: &'a [u8],
    /// The index of the first known step that uses this file; `None` for the first file, and for files that the kernel
    /// uses.
    pub from: Option<usize>,
    /// The reason why the step `from` or the kernel uses this file.
    pub why: Why,
    /// Whether this file is required to reach the root.
    pub is_needed: bool,
}

/// The files that a boot may use.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    steps: Vec<GraphFile<'a>>,
    by_path: HashMap<&'a [u8], usize>,
}

impl<'a> Graph<'a> {
    /// Follows a boot. `booted` contains the units; `None` if `/init` neither is nor executes systemd.
    pub fn new(
        inventory: &'a Inventory,
        facts: &'a Facts,
        booted: Option<&Booted>,
        rules: &Rules,
    ) -> Self {
        walk::walk(inventory, facts, booted, rules)
    }

    /// Returns all steps. The step of a file comes after the step of the file that uses it.
    pub fn steps(&self) -> &[GraphFile<'a>] {
        &self.steps
    }

    /// Adds the files of `lib/modules` and `lib/firmware` that have no step yet. The kernel uses them if the hardware
    /// needs them.
    pub fn add_kernel_files(&mut self, inventory: &'a Inventory) {
        for (path, node) in inventory.nodes() {
            let is_data = contains(path, b"lib/modules/") || contains(path, b"lib/firmware/");
            if is_data && node.kind != EntryType::Directory && !self.has(path) {
                self.by_path.insert(path, self.steps.len());
                self.steps.push(GraphFile {
                    path,
                    from: None,
                    why: Why::Kernel,
                    is_needed: false,
                });
            }
        }
    }

    /// Returns whether a boot uses the file at `path`, a path without links.
    pub fn has(&self, path: &[u8]) -> bool {
        self.by_path.contains_key(path)
    }

    /// Returns whether the file at this path is required to reach the root.
    pub fn needs(&self, path: &[u8]) -> bool {
        let at = self.by_path.get(path);
        at.is_some_and(|&at| self.steps[at].is_needed)
    }

    /// Returns the file that the root cannot be reached without and that opens this library at run time, or opens a
    /// library that requires it; `None` if there is none.
    pub fn opened_by(&self, path: &[u8]) -> Option<&'a [u8]> {
        let mut at = self.by_path.get(path).copied();
        while let Some(step) = at.map(|at| &self.steps[at]) {
            match step.why {
                Why::Link | Why::Library => at = step.from,
                Why::Opens => {
                    let opener = &self.steps[step.from?];
                    return opener.is_needed.then_some(opener.path);
                }
                _ => return None,
            }
        }
        None
    }

    /// Returns whether the file, or a link that leads to it, is used for another reason than its directory
    /// ([`Why::Directory`]). `false` if a boot does not use the file.
    pub fn names(&self, path: &[u8]) -> bool {
        let mut at = self.by_path.get(path).copied();
        while let Some(step) = at.map(|at| &self.steps[at]) {
            if step.why != Why::Link {
                return step.why != Why::Directory;
            }
            at = step.from;
        }
        false
    }

    /// Returns the steps from PID 1 to the file at this path, or only the last step for a file that the kernel uses.
    /// Empty if a boot does not use the file.
    pub fn way_to(&self, path: &[u8]) -> Vec<&GraphFile<'a>> {
        let mut way = Vec::new();
        let mut at = self.by_path.get(path).copied();
        while let Some(step) = at.map(|at| &self.steps[at]) {
            way.push(step);
            at = step.from;
        }
        way.reverse();
        way
    }
}
