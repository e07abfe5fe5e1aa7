// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the baseline: from the base's initramfs before anything changes, or from an initramfs or a tree that the user
//! names.

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

/// A baseline that another thread reads, or that is known already.
pub struct Reading(State);

enum State {
    Running(String, JoinHandle<Result<Baseline>>),
    Finished(Option<Baseline>),
}

impl Drop for Reading {
    /// Waits for the thread, so that it logs nothing later.
    fn drop(&mut self) {
        if let State::Running(_, reading) = std::mem::replace(&mut self.0, State::Finished(None)) {
            let _ = reading.join();
        }
    }
}

impl Reading {
    /// Waits for the baseline. `None` if there is none to read; also `None`, with a warning, if the base's initramfs is
    /// missing or unreadable.
    pub fn done(mut self) -> Option<Baseline> {
        let (path, baseline) = match std::mem::replace(&mut self.0, State::Finished(None)) {
            State::Finished(baseline) => return baseline,
            State::Running(path, baseline) => (path, baseline),
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
    /// Wraps a baseline that is known already, for example from the journal; `None` if there is none.
    fn from(baseline: Option<Baseline>) -> Self {
        Self(State::Finished(baseline))
    }
}

/// Begins to read the baseline of the kernel `kver` in the tree. The initramfs is read on another thread, which may
/// still run when this function returns. The other files are read before it returns.
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
    Reading(State::Running(path, thread::spawn(read)))
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

/// Reads the baseline from a file outside the tree.
///
/// # Errors
/// When the file cannot be read as an initramfs.
pub fn against(path: &Path) -> Result<Baseline> {
    let purpose = || format!("reading {} to compare with", path.display());
    let file = open(path).with_context(purpose)?;
    of_file(file).with_context(purpose)
}

/// Reads the baseline of the kernel `kver` in another tree or in an image.
///
/// # Errors
/// When the kernel's initramfs or modules cannot be read, or `vmlinuz` cannot be opened.
pub fn of_root(root: &Root, kver: &Kver) -> Result<Baseline> {
    let path = format!("{}/initramfs.img", kver.dir());
    let purpose = || {
        format!(
            "reading /{path} in {} to compare with",
            root.path().display()
        )
    };
    let (file, before) = look_up(root, kver, &path).with_context(purpose)?;
    Ok(Baseline {
        signed: before.signed,
        kmods: before.kmods,
        ..of_file(file).with_context(purpose)?
    })
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
