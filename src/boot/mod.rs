// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows a boot through the files of an initramfs, from PID 1 to the switch to the real root.
//!
//! The rules are those of the programs that run there; each file names the source that it follows. This
//! room must not judge how bad a fault is. Its invariant: no input makes it panic or takes more than the
//! limits that each file names.

mod binfmt;
mod condition;
mod keyfile;
mod names;
mod order;
mod transaction;
mod udev;
mod unit;
mod unit_file;
mod units;

pub use binfmt::{CannotRun, program, run, said};
pub use keyfile::{KeyFile, KeyFileError};
pub use order::Cycle;
pub use transaction::{Boot, Fault, Job, Reach};
pub use udev::{Event, Rule, Rules, Token};
pub use unit::{Command, Dependency, Load, Unit};
pub use units::Units;

/// Bytes as text.
fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
