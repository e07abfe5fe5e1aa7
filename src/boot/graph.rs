// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot graph: the files of an initramfs that a boot executes, loads or reads, each with the file that leads to it.
//!
//! A name in a script, a udev rule or a unit counts as a use, since a script is not interpreted here. The graph therefore
//! has too many files rather than too few. Units that generators write are unknown.

#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::fmt;

use super::goals::Booted;
use super::udev::Rules;
use super::unit::Dependency;
use crate::initramfs::{Facts, Inventory, Kind};

/// Programs that systemd executes by itself: for the mount of the root, and to make that mount from `root=` of the kernel's
/// command line.
pub const BY_SYSTEMD: [&[u8]; 2] = [
    b"usr/bin/mount",
    b"usr/lib/systemd/system-generators/systemd-fstab-generator",
];

/// The program by which systemd executes every service since version 255.
pub const EXECUTOR: &[u8] = b"usr/lib/systemd/systemd-executor";

/// A reason for which a boot comes from one file to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The kernel executes it as PID 1.
    First,
    /// The kernel executes or loads it when a driver or device asks.
    Kernel,
    /// A symbolic link to the file.
    Link,
    /// The interpreter of a script.
    Interpreter,
    /// The dynamic linker of a program.
    Linker,
    /// A library that the dynamic linker maps.
    Library,
    /// A library that a program opens by `dlopen`.
    Opens,
    /// A unit that another one refers to.
    Unit(Dependency),
    /// A drop-in of a unit.
    DropIn,
    /// A command of a unit; the setting.
    Command(&'static str),
    /// A program that systemd executes by itself.
    Executes,
    /// A file that a program reads.
    Reads,
    /// A unit that a generator, a rule or a script names.
    Starts,
    /// A word in a text.
    Names,
    /// It lies in a directory of which a program uses files by their names.
    Directory,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "the kernel executes it as PID 1",
            Self::Kernel => "the kernel uses it when a driver or a device asks for it",
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
            Self::Starts => "may start it: a generator, a rule or a script names it",
            Self::Names => "names it",
            Self::Directory => "may use it: it lies in a directory of its files",
        })
    }
}

/// A file of the graph.
#[derive(Debug)]
pub struct Step<'a> {
    /// Its path, without links in it.
    pub path: &'a [u8],
    /// The step that leads to it.
    pub from: Option<usize>,
    /// The reason.
    pub why: Why,
    /// Whether the root is not reached without it.
    pub is_needed: bool,
}

/// The files that a boot comes to.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    steps: Vec<Step<'a>>,
    by_path: HashMap<&'a [u8], usize>,
}

impl<'a> Graph<'a> {
    /// Follows a boot. `booted` are the units, where `/init` is systemd.
    pub fn new(
        inventory: &'a Inventory,
        facts: &'a Facts,
        booted: Option<&Booted>,
        rules: &Rules,
    ) -> Self {
        walk::walk(inventory, facts, booted, rules)
    }

    /// All steps; each comes after the one that leads to it.
    pub fn steps(&self) -> &[Step<'a>] {
        &self.steps
    }

    /// Adds modules and firmware, which the kernel uses where the hardware has a use for them.
    pub fn add_kernel_files(&mut self, inventory: &'a Inventory) {
        for (path, node) in inventory.nodes() {
            let is_data = within(path, b"lib/modules/") || within(path, b"lib/firmware/");
            if is_data && node.kind != Kind::Directory && !self.has(path) {
                self.by_path.insert(path, self.steps.len());
                self.steps.push(Step {
                    path,
                    from: None,
                    why: Why::Kernel,
                    is_needed: false,
                });
            }
        }
    }

    /// Whether a boot comes to the file of this path, which has no link in it.
    pub fn has(&self, path: &[u8]) -> bool {
        self.by_path.contains_key(path)
    }

    /// Whether something names the file: it does not only lie in a directory of such files.
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

    /// The steps from PID 1 to the file of this path; empty where a boot does not come to it.
    pub fn way_to(&self, path: &[u8]) -> Vec<&Step<'a>> {
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

fn within(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|it| it == part)
}
