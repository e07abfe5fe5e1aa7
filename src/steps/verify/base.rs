// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the base had: its initramfs, read before anything changes, or a file that the user names.

use std::fs::File;
use std::path::Path;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};

use super::image::open;
use crate::checks::{Baseline, early_kinds};
use crate::initramfs::{self, Inventory, Limits};
use crate::kernel::kver::Kver;
use crate::kernel::vmlinuz::is_signed_from;
use crate::site::kernels;
use crate::sys::root::Root;

/// The base's initramfs, which is read while the job goes on.
pub struct Reading(Known);

enum Known {
    Soon(String, JoinHandle<Result<Baseline>>),
    Now(Option<Baseline>),
}

impl Drop for Reading {
    /// Nothing is noted any more after this.
    fn drop(&mut self) {
        if let Known::Soon(_, reading) = std::mem::replace(&mut self.0, Known::Now(None)) {
            let _ = reading.join();
        }
    }
}

impl Reading {
    /// Waits for it. `None`, with a warning, where there is no initramfs or it cannot be read: then
    /// there is nothing to keep.
    pub fn done(mut self) -> Option<Baseline> {
        let (path, baseline) = match std::mem::replace(&mut self.0, Known::Now(None)) {
            Known::Now(baseline) => return baseline,
            Known::Soon(path, baseline) => (path, baseline),
        };
        let panicked = |_| Err(anyhow!("the thread that reads it has panicked"));
        match baseline.join().unwrap_or_else(panicked) {
            Ok(baseline) => Some(baseline),
            Err(error) => {
                tracing::warn!("the base's /{path} cannot be compared with the new one: {error:#}");
                None
            }
        }
    }
}

impl From<Option<Baseline>> for Reading {
    /// What an earlier run has read.
    fn from(baseline: Option<Baseline>) -> Self {
        Self(Known::Now(baseline))
    }
}

/// What the kernel in the tree and its initramfs have. It is looked up before this returns; the
/// initramfs is read behind our back.
pub fn baseline(root: &Root, kver: &Kver) -> Reading {
    let path = format!("{}/initramfs.img", kver.dir());
    let found = look_up(root, kver, &path);
    let read = || {
        let (file, before) = found?;
        Ok(Baseline {
            signed: before.signed,
            kmods: before.kmods,
            ..of_file(file)?
        })
    };
    Reading(Known::Soon(path, thread::spawn(read)))
}

fn look_up(root: &Root, kver: &Kver, path: &str) -> Result<(File, Baseline)> {
    let file = root.open_file(path)?.context("no such file")?;
    let kmods = kernels::kmods(root, kver.as_str())?.into_iter();
    let kernel = root.open_file(format!("{}/vmlinuz", kver.dir()))?;
    let before = Baseline {
        signed: kernel.and_then(|mut kernel| is_signed_from(&mut kernel).ok()),
        kmods: kmods.map(|(name, _)| name).collect(),
        ..Baseline::default()
    };
    Ok((file, before))
}

/// What a file has, which is not of the tree.
///
/// # Errors
/// When it cannot be read as an initramfs.
pub fn against(path: &Path) -> Result<Baseline> {
    let purpose = || format!("reading {} to compare with", path.display());
    let file = open(path).with_context(purpose)?;
    of_file(file).with_context(purpose)
}

fn of_file(file: File) -> Result<Baseline> {
    let size = file.metadata()?.len();
    let limits = Limits::default();
    let mut inventory = Inventory::new(&limits);
    let segments = initramfs::read(file, &limits, &mut inventory)?;
    Ok(Baseline {
        early: early_kinds(&inventory, &segments),
        ..Baseline::of(&inventory, size)
    })
}
