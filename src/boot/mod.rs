// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows a boot through the files of an initramfs, from PID 1 to the switch to the real root.
//!
//! The rules are those of the kernel and of the programs in an initramfs, for example systemd, udev and glibc's dynamic
//! linker. A file that implements such rules names their source. The checks decide the severity of a fault. Invariant:
//! no input causes a panic, or more work than the limits in each file allow.

mod binfmt;
mod command;
mod condition;
mod context;
mod goals;
mod graph;
mod keyfile;
mod ld_cache;
mod loader;
mod names;
mod order;
mod startable;
#[cfg(test)]
mod tests;
mod transaction;
mod udev;
mod unit;
mod unit_file;
mod units;

pub use binfmt::{CannotRun, program, run, said};
pub use command::UnitCommand;
pub use goals::{Booted, Goal, RootSetup};
pub use graph::{BY_SYSTEMD, EXECUTOR, Graph, GraphFile, Why};
pub use keyfile::{KeyFile, KeyFileError};
pub use loader::{Loaded, Loader, Loading, Missing, Object, Unbound};
pub use names::{UNIT_DIRS, is_unit};
pub use order::Cycle;
pub use startable::has_unit;
pub use transaction::{Boot, Fault, Reach, StartJob};
pub use udev::{Event, Rule, Rules, Token};
pub use unit::{Dependency, Load, Unit};
pub use units::Units;

use crate::initramfs::{Facts, Inventory};

/// The trace of a boot through one initramfs.
#[derive(Debug)]
pub struct Trace<'a> {
    /// The units that the boot starts; `None` if `/init` neither is nor executes systemd.
    pub booted: Option<Booted>,
    /// The udev rules in the initramfs.
    pub rules: Rules,
    /// The files that the boot may use, each with the file that uses it.
    pub graph: Graph<'a>,
}

impl<'a> Trace<'a> {
    /// Follows a boot. `setup` is the program that must set up the root; `None` if no program must.
    pub fn new(inventory: &'a Inventory, facts: &'a Facts, setup: Option<RootSetup>) -> Self {
        let booted = Booted::new(inventory, facts, setup);
        let rules = Rules::new(inventory);
        let graph = Graph::new(inventory, facts, booted.as_ref(), &rules);
        Self {
            booted,
            rules,
            graph,
        }
    }
}

/// Converts bytes to text, in which U+FFFD replaces invalid UTF-8.
fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
