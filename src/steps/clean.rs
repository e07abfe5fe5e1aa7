// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes what the old kernel left, and puts right what the new one's packages say of a place where
//! ostree does not put it, before the verification: what is verified is what is committed.

use anyhow::Result;

use super::locate::Kernel;
use super::tree::{leftover_dirs, legacy};
use crate::kernel::kver::Kver;
use crate::kernel::{MODULES, hmac};
use crate::sys::root::{self, Root};

/// The largest `.vmlinuz.hmac` that is looked at (bytes): a line.
const HMAC_MAX: u64 = 4096;

/// A tree that holds one kernel and nothing of another.
pub struct Clean {
    /// That kernel.
    pub kernel: Kernel,
    /// What was removed, relative to the root.
    pub removed: Vec<String>,
}

/// Removes them; `before` is the kernel that was replaced.
///
/// # Errors
/// When something cannot be removed.
pub fn clean(root: &Root, kernel: Kernel, before: Option<&Kver>) -> Result<Clean> {
    let mut removed = legacy(root)?;
    for path in &removed {
        root.remove_file(path)?;
    }
    for dir in leftover_dirs(root, &kernel.kver, before, Some(&kernel.rpmdb))? {
        let path = format!("{MODULES}/{dir}");
        root.remove_tree(&path)?;
        removed.push(path);
    }
    name_kernel_as_ostree_does(root, &kernel.kver)?;
    Ok(Clean { kernel, removed })
}

/// Packages name the kernel in `.vmlinuz.hmac` by its place in `/boot`, and ostree puts both into a
/// directory of its own: in FIPS mode the boot ends there. rpm-ostree does the same for what it
/// composes, not in a container build (coreos/rpm-ostree#1934, coreos/fedora-coreos-tracker#302).
fn name_kernel_as_ostree_does(root: &Root, kver: &Kver) -> Result<(), root::Error> {
    let path = format!("{}/.vmlinuz.hmac", kver.dir());
    let Some(meta) = root.lstat(&path)? else {
        return Ok(());
    };
    if meta.kind != root::Kind::File || meta.size > HMAC_MAX {
        return Ok(());
    }
    let text = root.read(&path, HMAC_MAX)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if let Some(line) = hmac::renamed(&text, kver) {
        tracing::info!(
            "/{path}: names {} now, as ostree does; it said {}",
            hmac::name(kver),
            text.trim_end()
        );
        root.write(&path, line.as_bytes(), meta.mode)?;
    }
    Ok(())
}
