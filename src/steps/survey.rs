// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is there, before anything changes.

pub mod asked;
mod oddities;

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::checks::BootedBy;
use crate::kernel::modules::ModuleName;
use crate::package::rpmdb::{Rpmdb, Scope};
use crate::plan::{self, Backend, Host, Installed, Kind, Kmod, ModuleDir, Refusal};
use crate::site::done;
use crate::site::kernels::{self, module_dirs, shadows};
use crate::site::owner::{self, Found};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, dnf, kernel_install, ostree, rpm_ostree};

/// What a survey may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Look at files. No program of the image is started.
    Look,
    /// Also ask programs of the image, where files do not say it.
    Ask,
}

/// Looks, and refuses what no job can be done on.
///
/// # Errors
/// As [`survey`]; also what [`plan::admit`] refuses.
pub fn admitted(exec: &Exec, may: May) -> Result<Host> {
    let host = survey(exec, may)?;
    plan::admit(&host)?;
    Ok(host)
}

/// Looks at the tree.
///
/// # Errors
/// A [`Refusal`], or a file or program that cannot be asked.
pub fn survey(exec: &Exec, may: May) -> Result<Host> {
    let root = exec.root();
    if may == May::Ask {
        exec.probe().map_err(|why| {
            Refusal::CannotEnter(root.path().display().to_string(), format!("{why:#}"))
        })?;
    }
    let cliwrap = cliwrap::survey(root)?;
    let kind = ostree::kind(root, std::env::var_os("container").is_some())?;
    // Asking a program that cliwrap has destroyed would never end.
    let may = match cliwrap.lost.is_empty() {
        true => may,
        false => May::Look,
    };
    let (rpmdb, foreign_rpmdb) = packages(exec, may)?;
    let has_rpm_ostree = exec.find("rpm-ostree").is_some();
    let rpm_ostree = match rpm_ostree::version(&rpmdb) {
        None if may == May::Ask && has_rpm_ostree => Some(rpm_ostree::ask_version(exec)?),
        version => version.filter(|_| has_rpm_ostree),
    };
    let mut backends = Vec::new();
    if kind == Kind::OstreeContainer && has_rpm_ostree {
        backends.push(Backend::RpmOstree);
    }
    for dnf in [Backend::Dnf5, Backend::Dnf] {
        // A wrapper of that name is not dnf.
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

/// The UKIs that are booted in place of a `vmlinuz`; all of them where there is no `vmlinuz`.
fn ukis(root: &Root, dirs: &[ModuleDir]) -> Result<Vec<String>, root::Error> {
    let has_kernel = dirs.iter().any(|dir| dir.has_vmlinuz);
    let shadows = shadows(root, None)?.into_iter();
    let ukis = shadows
        .filter(|it| it.boots == BootedBy::All || (!has_kernel && it.path.ends_with(".efi")));
    Ok(ukis.map(|it| it.path).collect())
}

/// The installed packages; and the rpmdb that was not read, in words.
fn packages(exec: &Exec, may: May) -> Result<(Rpmdb, Option<String>)> {
    if may == May::Ask {
        return Ok((owner::packages(exec, Scope::All)?, None));
    }
    Ok(
        match owner::look(exec.root(), Scope::All).context("reading the rpmdb")? {
            Found::Packages(rpmdb) => (rpmdb, None),
            Found::Nothing => (Rpmdb::default(), None),
            Found::Foreign(format, path) => {
                (Rpmdb::default(), Some(format!("/{path} is {format}")))
            }
        },
    )
}

/// The modules of the kernels that are there; and those that are out-of-tree, with the packages that own
/// them.
fn modules(root: &Root, rpmdb: &Rpmdb) -> Result<(BTreeSet<ModuleName>, Vec<Kmod>)> {
    let (mut modules, mut kmods) = (BTreeSet::new(), Vec::new());
    for dir in module_dirs(root)?.into_iter().filter(|dir| dir.has_vmlinuz) {
        let names = kernels::modules(root, &dir.name)?.into_iter();
        modules.extend(names.map(|(name, _)| name));
        kmods.extend(kernels::kmods(root, &dir.name)?);
    }
    // A link there is made by weak-modules, and belongs to nobody.
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
