// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the base had: its initramfs, read before anything changes, or a file that the user names.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use super::around::is_kmod;
use super::{gather, vmlinuz};
use crate::checks::Baseline;
use crate::initramfs::{self, Inventory, Limits};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::sys::root::Root;

/// What the kernel in the tree and its initramfs have. `None`, with a warning, where there is no
/// initramfs or it cannot be read: then there is nothing to keep.
pub fn baseline(root: &Root, kver: &Kver) -> Option<Baseline> {
    let path = format!("{}/initramfs.img", kver.dir());
    let read = || {
        let file = root.open_file(&path)?.context("no such file")?;
        let mut baseline = of_file(file)?;
        baseline.signed = vmlinuz::read(root, kver).signed.ok();
        let modules = gather::modules_on_disk(root, &kver.dir())?;
        let kmods = modules.iter().filter(|path| is_kmod(path));
        baseline.kmods = kmods.filter_map(|path| ModuleName::of_path(path)).collect();
        Ok(baseline)
    };
    let read: Result<Baseline> = read();
    match read {
        Ok(baseline) => Some(baseline),
        Err(error) => {
            tracing::warn!("the base's /{path} cannot be compared with the new one: {error:#}");
            None
        }
    }
}

/// What a file has, which is not of the tree.
///
/// # Errors
/// When it cannot be read as an initramfs.
pub fn against(path: &Path) -> Result<Baseline> {
    let purpose = || format!("reading {} to compare with", path.display());
    let file = fs_err::File::open(path).with_context(purpose)?;
    of_file(file.into_file()).with_context(purpose)
}

fn of_file(file: File) -> Result<Baseline> {
    let size = file.metadata()?.len();
    let limits = Limits::default();
    let mut inventory = Inventory::new(&limits);
    initramfs::read(file, &limits, &mut inventory)?;
    Ok(Baseline::of(&inventory, size))
}
