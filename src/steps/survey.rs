// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is there, before anything changes.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::done;
use super::tree::{self, module_dirs, ukis};
use crate::kernel::modules::ModuleName;
use crate::plan::{self, Backend, Host, Installed, Kind, Kmod, Refusal};
use crate::sys::exec::Exec;
use crate::sys::root;
use crate::tools::{cliwrap, dnf, kernel_install, ostree, rpm, rpm_ostree};

/// Looks, and refuses what no job can be done on.
///
/// # Errors
/// As [`survey`]; also what [`plan::admit`] refuses.
pub fn admitted(exec: &Exec) -> Result<Host> {
    let host = survey(exec)?;
    plan::admit(&host)?;
    Ok(host)
}

/// Looks at the tree.
///
/// # Errors
/// A [`Refusal`], or a file or program that cannot be asked.
pub fn survey(exec: &Exec) -> Result<Host> {
    let root = exec.root();
    exec.probe().map_err(|why| {
        Refusal::CannotEnter(root.path().display().to_string(), format!("{why:#}"))
    })?;
    let cliwrap = cliwrap::survey(root)?;
    let kind = ostree::kind(root, std::env::var_os("container").is_some())?;
    let rpm_ostree = rpm_ostree::version(exec)?;
    let mut backends = Vec::new();
    if kind == Kind::OstreeContainer && rpm_ostree.is_some() {
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
    // Asking a program that cliwrap has destroyed would never end.
    let installed = match cliwrap.lost.is_empty() {
        true => installed(exec)?,
        false => Rpmdb::default(),
    };
    let (packages, others) = installed
        .packages
        .into_iter()
        .partition(Installed::is_of_a_kernel);
    Ok(Host {
        packages,
        others,
        modules: installed.modules,
        kmods: installed.kmods,
        earlier: done::earlier(root)?,
        holds_back: dnf::exclusions(root)?,
        versionlock: dnf::has_versionlock(root)?,
        weak_modules: exec.find("weak-modules").is_some(),
        layout_ostree: kernel_install::layout_is_ostree(root, rpm_ostree)?,
        module_dirs: module_dirs(root)?,
        ukis: ukis(root)?,
        missing_programs: missing_programs(exec)?,
        leftovers: saved.chain(super::hold::leftovers(root)?).collect(),
        kind,
        backends,
        rpm_ostree,
        cliwrap,
    })
}

/// What the rpmdb says.
#[derive(Default)]
struct Rpmdb {
    packages: Vec<Installed>,
    modules: BTreeSet<ModuleName>,
    kmods: Vec<Kmod>,
}

/// The packages, and who owns out-of-tree modules; nothing where there is no rpm.
fn installed(exec: &Exec) -> Result<Rpmdb> {
    let root = exec.root();
    let program = cliwrap::real(root, "rpm")?;
    if !exec.has(&program) {
        return Ok(Rpmdb::default());
    }
    let database = rpm::Database::open(exec, &program);
    let mut packages = database
        .packages()
        .context("asking the rpmdb for its packages")?;
    database
        .note_files(&mut packages)
        .context("asking the rpmdb for the files of kernels")?;
    let (mut modules, mut kmods) = (BTreeSet::new(), Vec::new());
    for dir in module_dirs(root)?.into_iter().filter(|dir| dir.has_vmlinuz) {
        let names = tree::modules(root, &dir.name)?.into_iter();
        modules.extend(names.map(|(name, _)| name));
        kmods.extend(tree::kmods(root, &dir.name)?);
    }
    // A link there is made by weak-modules, and belongs to nobody.
    kmods.retain(|(_, path)| !path.contains("/weak-updates/"));
    let paths: Vec<_> = kmods.iter().map(|(_, path)| path.clone()).collect();
    let owners = match paths.is_empty() {
        true => Vec::new(),
        false => database
            .owners_of_modules(&paths)
            .context("asking the rpmdb for the owners of out-of-tree modules")?,
    };
    let kmod = |((name, path), owners): ((ModuleName, String), BTreeSet<String>)| Kmod {
        name,
        path,
        owners: owners.into_iter().collect(),
    };
    Ok(Rpmdb {
        packages,
        modules,
        kmods: kmods.into_iter().zip(owners).map(kmod).collect(),
    })
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
