// SPDX-License-Identifier: MIT OR Apache-2.0
//! The journal, a file of facts about the base and the planned transaction, which `replace` writes before the
//! transaction. If `replace` is killed after the transaction, the tree no longer holds the facts about the base, and
//! the next run reads them from the journal.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::checks::Baseline;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::plan::Change;
use crate::sys::root::Root;

/// The path of the journal, relative to the root. A successful run removes the journal at its end.
pub(super) const PATH: &str = "run/ostree-kernel/journal.json";

/// The path at which the journal is written before it is renamed to [`PATH`].
const UNFINISHED: &str = "run/ostree-kernel/journal.json.new";

/// Upper bound of a journal (bytes); it holds the names of a few thousand modules.
const MAX: u64 = 16 << 20;

/// The facts about a transaction that has begun or is about to begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// The kernel before the transaction; `None` if there was none.
    pub before: Option<Kver>,
    /// The kernel that the transaction installs.
    pub after: Kver,
    /// The command lines of the transaction; empty if the packages were installed already.
    pub commands: Vec<String>,
    /// Facts about the base's initramfs, if there are any.
    pub base: Option<Baseline>,
    /// The packages that the transaction replaces, adds, removes or installs again.
    pub changes: Vec<Change>,
    /// Packages of the old kernel's build that the transaction leaves installed.
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

    /// Returns the journal of an unfinished run if that run installs the kernel `kver`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn of(root: &Root, kver: &Kver) -> Result<Option<Self>> {
        Ok(Self::pending(root)?.filter(|journal| journal.after == *kver))
    }

    /// Returns the journal of an unfinished run; `None` if there is none, or if it cannot be parsed.
    ///
    /// # Errors
    /// When the journal exists and cannot be read.
    pub fn pending(root: &Root) -> Result<Option<Self>> {
        let Some(json) = root.read(PATH, MAX)? else {
            return Ok(None);
        };
        Ok(serde_json::from_slice(&json).ok())
    }
}
