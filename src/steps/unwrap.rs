// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns cliwrap off and repairs leftovers of killed runs. This is the first step that changes the tree outside `/run`
//! and the cache of downloads.

use anyhow::{Context, Result};

use crate::plan::Host;
use crate::site::hold;
use crate::sys::root::Root;
use crate::tools::{cliwrap, rpm_ostree};

/// Proof that cliwrap wraps no program of the tree.
pub struct Unwrapped(pub(super) ());

/// Undoes the holds and transactions of killed runs, then restores the original programs and removes cliwrap's
/// wrappers.
///
/// # Errors
/// When a file cannot be moved or removed.
pub fn unwrap(root: &Root, host: &Host) -> Result<Unwrapped> {
    hold::heal(root).context("restoring files after a killed run")?;
    rpm_ostree::heal(root).context("restoring files after a killed transaction")?;
    cliwrap::undo(root, &host.cliwrap).context("turning cliwrap off")?;
    if host.cliwrap.is_on() {
        let (restored, removed) = (host.cliwrap.wrapped.len(), host.cliwrap.created.len());
        tracing::info!("cliwrap is off: {restored} programs restored, {removed} wrappers removed");
    }
    Ok(Unwrapped(()))
}
