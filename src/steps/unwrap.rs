// SPDX-License-Identifier: MIT OR Apache-2.0
//! cliwrap off, and what killed runs left healed: the first step that changes the tree.

use anyhow::{Context, Result};

use crate::plan::Host;
use crate::site::hold;
use crate::sys::root::Root;
use crate::tools::{cliwrap, rpm_ostree};

/// Every program of the tree is itself again.
pub struct Unwrapped(pub(super) ());

/// Puts originals back and removes wrappers.
///
/// # Errors
/// When a file cannot be moved or removed.
pub fn unwrap(root: &Root, host: &Host) -> Result<Unwrapped> {
    hold::heal(root).context("healing what a killed run left")?;
    rpm_ostree::heal(root).context("healing what a killed transaction left")?;
    cliwrap::undo(root, &host.cliwrap).context("turning cliwrap off")?;
    if host.cliwrap.is_on() {
        let (restored, removed) = (host.cliwrap.wrapped.len(), host.cliwrap.created.len());
        tracing::info!("cliwrap is off: {restored} programs restored, {removed} wrappers removed");
    }
    Ok(Unwrapped(()))
}
