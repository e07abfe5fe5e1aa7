// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run that was killed after its transaction leaves for the next one: the base is gone by
//! then, and the tree cannot tell what it was.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::checks::Baseline;
use crate::kernel::kver::Kver;
use crate::plan::Change;
use crate::sys::root::Root;

/// Where it lies, relative to the root. It goes when the work is done.
const PATH: &str = "run/ostree-kernel/journal.json";

/// Where it is written first.
const UNFINISHED: &str = "run/ostree-kernel/journal.json.new";

/// The largest journal that is read (bytes); it holds the names of some thousand modules.
const MAX: u64 = 16 << 20;

/// A transaction that was begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// The kernel before it.
    pub before: Kver,
    /// The kernel that it brings.
    pub after: Kver,
    /// Its command lines; none where the packages were there already.
    pub commands: Vec<String>,
    /// What the base's initramfs had.
    pub base: Option<Baseline>,
    /// The packages before and after.
    pub changes: Vec<Change>,
}

impl Journal {
    /// Writes it down, whole or not at all; a crash of the machine may lose it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, root: &Root) -> Result<()> {
        let json = serde_json::to_vec(self).context("writing the journal")?;
        root.remove_file(UNFINISHED)?;
        root.create_file(UNFINISHED, 0o600)?.write_all(&json)?;
        Ok(root.rename(UNFINISHED, PATH)?)
    }

    /// The journal of a run that did not end, if it brought this kernel.
    ///
    /// # Errors
    /// When it cannot be read; one that is not whole is none.
    pub fn of(root: &Root, kver: &Kver) -> Result<Option<Self>> {
        let Some(json) = root.read(PATH, MAX)? else {
            return Ok(None);
        };
        let journal = serde_json::from_slice::<Self>(&json);
        Ok(journal.ok().filter(|journal| journal.after == *kver))
    }
}
