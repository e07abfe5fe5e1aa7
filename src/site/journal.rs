// SPDX-License-Identifier: MIT OR Apache-2.0
//! The journal for the next run, if this run is killed after its transaction. The base has been replaced then, and its
//! facts are no longer in the tree.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::checks::Baseline;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::plan::Change;
use crate::sys::root::Root;

/// The path of the journal, relative to the root. It is removed when the work is done.
const PATH: &str = "run/ostree-kernel/journal.json";

/// The path of a journal that is being written.
const UNFINISHED: &str = "run/ostree-kernel/journal.json.new";

/// Upper bound of a journal (bytes); it holds the names of a few thousand modules.
const MAX: u64 = 16 << 20;

/// A transaction that has begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// The kernel before the transaction; `None` if there was none.
    pub before: Option<Kver>,
    /// The kernel that it installs.
    pub after: Kver,
    /// The command lines of the transaction; empty if the packages were installed already.
    pub commands: Vec<String>,
    /// The facts of the base's initramfs.
    pub base: Option<Baseline>,
    /// The packages before and after.
    pub changes: Vec<Change>,
    /// Packages of the old kernel's build that stay.
    #[serde(default)]
    pub stays: Vec<Nevra>,
}

impl Journal {
    /// Writes the journal atomically, without a sync: a crash of the machine may lose it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn write(&self, root: &Root) -> Result<()> {
        let json = serde_json::to_vec(self).context("writing the journal")?;
        root.remove_file(UNFINISHED)?;
        root.create_file(UNFINISHED, 0o600)?.write_all(&json)?;
        Ok(root.rename(UNFINISHED, PATH)?)
    }

    /// Returns the journal of an unfinished run that installs this kernel.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn of(root: &Root, kver: &Kver) -> Result<Option<Self>> {
        Ok(Self::pending(root)?.filter(|journal| journal.after == *kver))
    }

    /// Returns the journal of an unfinished run.
    ///
    /// # Errors
    /// When the journal cannot be read. A journal that cannot be parsed counts as missing.
    pub fn pending(root: &Root) -> Result<Option<Self>> {
        let Some(json) = root.read(PATH, MAX)? else {
            return Ok(None);
        };
        Ok(serde_json::from_slice(&json).ok())
    }
}
