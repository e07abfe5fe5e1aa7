// SPDX-License-Identifier: MIT OR Apache-2.0
//! Surveys the tree: reads the facts that the plan needs, and refuses requests that the tree cannot fulfil.

pub mod asked;
mod oddities;

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::checks::BootedBy;
use crate::kernel::modules::ModuleName;
use crate::package::rpmdb::{Rpmdb, Scope};
use crate::plan::{self, Backend, Host, Installed, Kmod, ModuleDir, Refusal, TreeKind};
use crate::site::done;
use crate::site::journal::Journal;
use crate::site::kernels::{self, module_dirs, shadows};
use crate::site::owner::{self, OwnerSearch};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, dnf, kernel_install, ostree, rpm_ostree};

/// Whether a survey may start programs of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read files only. No program of the image is started.
    ReadFiles,
    /// Also start programs of the image, for facts that cannot be read from files.
    StartPrograms,
}

/// Surveys the tree, and refuses a tree that cannot be worked on.
///
/// # Errors
/// As [`survey`], and the refusals of [`plan::admit`].
pub fn admitted(exec: &Exec, permission: Permission) -> Result<Host> {
    let host = survey(exec, permission)?;
    plan::admit(&host)?;
    Ok(host)
}

/// Reads the facts about the tree that the plan needs. If only the image's rpm can read the rpmdb, the packages are
/// known only if programs may be started.
///
/// # Errors
/// A [`Refusal`] if programs may be started but cannot run inside the root; another error if a file cannot be read or a
/// program fails.
pub fn survey(exec: &Exec, permission: Permission) -> Result<Host> {
    let root = exec.root();
    if permission == Permission::StartPrograms {
        exec.probe().map_err(|why| {
            Refusal::CannotEnter(root.path().display().to_string(), format!("{why:#}"))
        })?;
    }
    let cliwrap = cliwrap::survey(root)?;
    let kind = ostree::kind(
        root,
        root.is_image() || std::env::var_os("container").is_some(),
    )?;
    // If cliwrap has lost a program, no program is started: the wrapper of a lost program would call itself forever.
    let permission = if cliwrap.lost.is_empty() {
        permission
    } else {
        Permission::ReadFiles
    };
    let (rpmdb, foreign_rpmdb) = packages(exec, permission)?;
    let has_rpm_ostree = exec.find("rpm-ostree").is_some();
    let rpm_ostree = match rpm_ostree::version(&rpmdb) {
        None if permission == Permission::StartPrograms && has_rpm_ostree => {
            Some(rpm_ostree::query_version(exec)?)
        }
        version => version.filter(|_| has_rpm_ostree),
    };
    let mut backends = Vec::new();
    if kind == TreeKind::OstreeContainer && has_rpm_ostree {
        backends.push(Backend::RpmOstree);
    }
    for dnf in [Backend::Dnf5, Backend::Dnf] {
        // cliwrap creates wrappers for programs that do not exist.
        let wrapper = format!("usr/bin/{dnf}");
        if exec.find(&dnf.to_string()).is_some() && !cliwrap.created.contains(&wrapper) {
            backends.push(dnf);
        }
    }
    let saved = rpm_ostree::leftovers(root)?
        .into_iter()
        .map(|(saved, _)| saved);
    let module_dirs = module_dirs(root)?;
    let (modules, kmods) = modules(root, &rpmdb)?;
    let packages = plan::installed(rpmdb).into_iter();
    let (packages, others) = packages.partition(Installed::is_of_a_kernel);
    Ok(Host {
        packages,
        others,
        modules,
        kmods,
        foreign_rpmdb,
        earlier: done::earlier(root)?,
        unfinished: Journal::pending(root)?.map(|journal| journal.after),
        holds_back: dnf::exclusions(root)?,
        versionlock: dnf::has_versionlock(root)?,
        weak_modules: exec.find("weak-modules").is_some(),
        layout_ostree: kernel_install::layout_is_ostree(root, rpm_ostree)?,
        ukis: ukis(root, &module_dirs)?,
        module_dirs,
        missing_programs: missing_programs(exec)?,
        leftovers: saved.chain(crate::site::hold::leftovers(root)?).collect(),
        oddities: oddities::look(root)?,
        kind,
        backends,
        has_rpm_ostree,
        rpm_ostree,
        cliwrap,
    })
}

/// Returns the UKIs that every boot program boots instead of a `vmlinuz`. Without a `vmlinuz`, also those that only
/// composefs-rs boots.
fn ukis(root: &Root, dirs: &[ModuleDir]) -> Result<Vec<String>, root::Error> {
    let has_kernel = dirs.iter().any(|dir| dir.has_vmlinuz);
    let shadows = shadows(root, None)?.into_iter();
    let ukis = shadows
        .filter(|it| it.boots == BootedBy::All || (!has_kernel && it.path.ends_with(".efi")));
    Ok(ukis.map(|it| it.path).collect())
}

/// Returns the installed packages and, if the rpmdb was not read, its path and format.
fn packages(exec: &Exec, permission: Permission) -> Result<(Rpmdb, Option<String>)> {
    if permission == Permission::StartPrograms {
        return Ok((owner::packages(exec, Scope::All)?, None));
    }
    Ok(
        match owner::look(exec.root(), Scope::All).context("reading the rpmdb")? {
            OwnerSearch::Packages(rpmdb) => (rpmdb, None),
            OwnerSearch::Nothing => (Rpmdb::default(), None),
            OwnerSearch::Foreign(format, path) => (
                Rpmdb::default(),
                Some(format!("/{path} has the format {format}")),
            ),
        },
    )
}

/// Returns the modules of the installed kernels, and the out-of-tree modules among these, each with the names of the
/// packages that own it.
fn modules(root: &Root, rpmdb: &Rpmdb) -> Result<(BTreeSet<ModuleName>, Vec<Kmod>)> {
    let (mut modules, mut kmods) = (BTreeSet::new(), Vec::new());
    for dir in module_dirs(root)?.into_iter().filter(|dir| dir.has_vmlinuz) {
        let names = kernels::modules(root, &dir.name)?.into_iter();
        modules.extend(names.map(|(name, _)| name));
        kmods.extend(kernels::kmods(root, &dir.name)?);
    }
    // No package owns the links that weak-modules creates in weak-updates.
    kmods.retain(|(_, path)| !path.contains("/weak-updates/"));
    let kmods = kmods.into_iter().map(|(name, path)| {
        let owners = rpmdb.owners_of(&path).map(|(it, _)| it.nevra.name.clone());
        let owners: BTreeSet<_> = owners.collect();
        Kmod {
            owners: owners.into_iter().collect(),
            name,
            path,
        }
    });
    Ok((modules, kmods.collect()))
}

fn missing_programs(exec: &Exec) -> Result<Vec<&'static str>, root::Error> {
    let mut missing = Vec::new();
    for name in ["rpm", "depmod", "dracut"] {
        if !exec.has(&cliwrap::real(exec.root(), name)?) {
            missing.push(name);
        }
    }
    Ok(missing)
}
