// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens a deployment for verification: its root, the baseline of the booted deployment, the facts about the machine,
//! and the additional initramfs files.

use std::fs::File;

use anyhow::{Context, Result};

use crate::checks::Baseline;
use crate::kernel::kver::Kver;
use crate::node::deployment::{Deployment, Place, Which};
use crate::node::{Machine, staged};
use crate::report::DeploymentReport;
use crate::site::deployments::System;
use crate::site::{kernels, machine};
use crate::steps::verify;
use crate::sys::root::Root;

/// Options that choose a deployment instead of a tree.
#[derive(Debug, Default, clap::Args)]
pub struct Deployed {
    /// Verify the staged deployment, and whether this machine can boot it
    #[arg(long, conflicts_with_all = ["deployment", "images", "initramfs"])]
    pub staged: bool,
    /// Verify the deployment WHICH: an index of ostree admin status, staged,
    /// booted, rollback, or a checksum
    #[arg(long, value_name = "WHICH", conflicts_with_all = ["images", "initramfs"])]
    pub deployment: Option<Which>,
}

impl Deployed {
    /// Returns the deployment that `--staged` or `--deployment` names; `None` without these options.
    pub fn which(&self) -> Option<Which> {
        let staged = self.staged.then_some(Which::Staged);
        staged.or_else(|| self.deployment.clone())
    }
}

/// A deployment that is open for verification.
pub(super) struct Opened {
    pub(super) root: Root,
    /// The baseline of the booted deployment; `None` if no deployment is booted, if the booted one is to be verified,
    /// or if it has no baseline.
    pub(super) base: Option<Baseline>,
    pub(super) machine: Option<Machine>,
    pub(super) overlays: Vec<File>,
    pub(super) report: DeploymentReport,
}

/// Opens the root of a deployment, and reads the facts that its verification needs.
pub(super) fn open(system: &System, deployment: &Deployment) -> Result<Opened> {
    let root = system.open(&deployment.name)?;
    let booted = system.booted().filter(|it| *it != deployment);
    let base = match booted {
        Some(booted) => base(&system.open(&booted.name)?)?,
        None => None,
    };
    Ok(Opened {
        root,
        base,
        machine: machine::read(system, deployment).context("reading the machine's devices")?,
        overlays: overlays(system, deployment)?,
        report: DeploymentReport {
            name: deployment.name.clone(),
            place: deployment.place,
        },
    })
}

/// Reads the baseline of the first kernel in the booted deployment, whose root is `root`. `None` if there is no kernel,
/// or no readable initramfs.
fn base(root: &Root) -> Result<Option<Baseline>> {
    let dirs = kernels::module_dirs(root)?.into_iter();
    let kernel = dirs.filter(|dir| dir.has_vmlinuz).map(|dir| dir.name);
    let kver = kernel.map(|name| Kver::new(&name)).next();
    let kver = kver.transpose().context("reading the booted kernel")?;
    Ok(kver.and_then(|kver| verify::baseline(root, &kver).done()))
}

/// Opens the additional initramfs files of a deployment (`rpm-ostree initramfs-etc`).
fn overlays(system: &System, deployment: &Deployment) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for checksum in &deployment.overlays {
        let path = match deployment.place {
            Place::Staged => format!("{}/{checksum}", staged::OVERLAYS),
            _ => format!("boot/ostree/initramfs-overlays/{checksum}.img"),
        };
        let file = system.root.open_file(&path)?;
        let missing = || format!("opening the additional initramfs /{path}: no such file");
        files.push(file.with_context(missing)?);
    }
    Ok(files)
}
