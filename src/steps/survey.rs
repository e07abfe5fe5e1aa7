// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is there, before anything changes.

use anyhow::{Context, Result};

use super::tree::{module_dirs, ukis};
use crate::plan::{self, Backend, Host, Installed, Kind, Refusal};
use crate::sys::exec::Exec;
use crate::sys::root;
use crate::tools::{cliwrap, kernel_install, ostree, rpm, rpm_ostree};

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
    Ok(Host {
        layout_ostree: kernel_install::layout_is_ostree(root, rpm_ostree)?,
        module_dirs: module_dirs(root)?,
        ukis: ukis(root)?,
        // Asking a program that cliwrap has destroyed would never end.
        packages: if cliwrap.lost.is_empty() {
            installed(exec)?
        } else {
            Vec::new()
        },
        missing_programs: missing_programs(exec)?,
        leftovers: saved.chain(super::hold::leftovers(root)?).collect(),
        kind,
        backends,
        rpm_ostree,
        cliwrap,
    })
}

/// The packages that have to do with a kernel; none where there is no rpm.
fn installed(exec: &Exec) -> Result<Vec<Installed>> {
    let program = cliwrap::real(exec.root(), "rpm")?;
    if !exec.has(&program) {
        return Ok(Vec::new());
    }
    rpm::Database::open(exec, &program)
        .kernel_packages()
        .context("asking the rpmdb for the kernel's packages")
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
