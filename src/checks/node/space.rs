// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that ostree can write the kernel and initramfs of the staged deployment to this machine's `/boot`.
//!
//! The EFI system partition needs no space when a deployment is finalised. ostree never writes to that partition:
//! ostree copies `vmlinuz` to `/boot`, and does not support unified kernel images (UKI). bootc's composefs backend
//! writes a UKI to the partition when bootc stages the deployment, not at shutdown. This program refuses such a system
//! (`site::deployments`).

use super::super::{Answer, Finding, Subject};
use crate::checks::leaner::mib;
use crate::node::Boot;

/// Bytes that ostree keeps free besides the files, for boot loader entries and directories
/// (`EARLY_PRUNE_SAFETY_MARGIN_SIZE` in `ostree-sysroot-deploy.c`).
const MARGIN: u64 = 1 << 20;

pub fn boot_space(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let Some(boot) = &subject.machine()?.space else {
        let why = "the deployment is on /boot already";
        return Err(Answer::NotApplicable(why.into()));
    };
    let initramfs = tree.initramfs.as_ref().map_or(0, |file| file.size);
    let kernel = if boot.has_kernel {
        0
    } else {
        boot.blocks(initramfs) + boot.blocks(tree.beside_initramfs)
    };
    let new = kernel.saturating_add(boot.overlays);
    if new == 0 {
        return Ok(Vec::new());
    }
    let needed = new.saturating_add(MARGIN);
    let freed = boot.unused.saturating_add(boot.dropped);
    let after = boot.free.saturating_add(freed);
    let available = if boot.is_separate && boot.prunes_early {
        after
    } else {
        boot.free
    };
    if needed <= available {
        return Ok(Vec::new());
    }
    let found = format!(
        "{} free{}, {} needed for kernel and initramfs",
        mib(boot.free),
        freed_by_ostree(boot, freed),
        mib(needed)
    );
    let remedy = if needed <= after {
        "remove the rollback deployment first (rpm-ostree cleanup -r, or ostree admin undeploy INDEX), then stage the update again"
    } else {
        "remove a pinned deployment (ostree admin pin --unpin INDEX, then ostree admin undeploy INDEX; ostree admin status lists them) or other files from /boot, or use an image with a smaller initramfs"
    };
    let expected = "room for the staged deployment; otherwise its finalisation fails and the machine stays on the old one";
    Ok(vec![Finding::new("boot", found, expected, remedy)])
}

fn freed_by_ostree(boot: &Boot, freed: u64) -> String {
    if freed == 0 {
        String::new()
    } else if boot.is_separate && boot.prunes_early {
        format!(" and {} that ostree frees first", mib(freed))
    } else {
        format!(
            " ({} of old deployments, which this version of ostree frees only afterwards)",
            mib(freed)
        )
    }
}
