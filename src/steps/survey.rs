// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is there, before anything changes.

use anyhow::{Context, Result};

use crate::kernel::MODULES;
use crate::plan::{self, Backend, Host, Installed, Kind, ModuleDir, Refusal};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, kernel_install, ostree, rpm, rpm_ostree};

/// Where a UKI would be booted from: bootc's composefs backend, systemd-boot.
const UKI_DIRS: [&str; 2] = ["boot/EFI/Linux", "usr/lib/efi/Linux"];

/// Looks, and refuses what no job can be done on.
///
/// # Errors
/// As [`survey`]; also what [`plan::admit`] refuses.
pub fn admitted(exec: &Exec) -> Result<Host> {
    let host = survey(exec)?;
    plan::admit(&host)?;
    Ok(host)
}

/// Looks at the tree. Programs that cliwrap has destroyed are a refusal here already, since asking
/// them would never end.
///
/// # Errors
/// A [`Refusal`], or a file or program that cannot be asked.
pub fn survey(exec: &Exec) -> Result<Host> {
    let root = exec.root();
    exec.probe().map_err(|why| {
        Refusal::CannotEnter(root.path().display().to_string(), format!("{why:#}"))
    })?;
    let cliwrap = cliwrap::survey(root)?;
    if !cliwrap.lost.is_empty() {
        let lost = cliwrap.lost.iter().map(|path| format!("/{path}"));
        return Err(Refusal::LostPrograms(lost.collect()).into());
    }
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
        packages: installed(exec)?,
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
    if !is_there(exec, &program) {
        return Ok(Vec::new());
    }
    rpm::Database::open(exec, &program)
        .kernel_packages()
        .context("asking the rpmdb for the kernel's packages")
}

fn missing_programs(exec: &Exec) -> Result<Vec<&'static str>, root::Error> {
    let mut missing = Vec::new();
    for name in ["rpm", "depmod", "dracut"] {
        if !is_there(exec, &cliwrap::real(exec.root(), name)?) {
            missing.push(name);
        }
    }
    Ok(missing)
}

fn is_there(exec: &Exec, program: &str) -> bool {
    program.starts_with('/') || exec.find(program).is_some()
}

/// The directories of `usr/lib/modules`, sorted by name.
///
/// # Errors
/// When they cannot be read.
pub fn module_dirs(root: &Root) -> Result<Vec<ModuleDir>, root::Error> {
    let mut dirs = Vec::new();
    for (name, kind) in root.list(MODULES)? {
        // ostree takes real directories only, and a vmlinuz that is, or leads to, a regular file.
        if kind == root::Kind::Dir {
            let name = name.to_string_lossy().into_owned();
            dirs.push(ModuleDir {
                has_vmlinuz: root.is_file(format!("{MODULES}/{name}/vmlinuz"))?,
                name,
            });
        }
    }
    Ok(dirs)
}

/// The UKIs that would be booted in place of a `vmlinuz`: those of a boot loader's directory, and
/// `usr/lib/modules/K/K.efi` (bootc). The `vmlinuz-virt.efi` of kernel-uki-virt is booted by nobody
/// here.
///
/// # Errors
/// When a directory cannot be read.
pub fn ukis(root: &Root) -> Result<Vec<String>, root::Error> {
    let mut found = Vec::new();
    for dir in UKI_DIRS {
        for (name, _) in root.list(dir)? {
            let name = name.to_string_lossy();
            if name.ends_with(".efi") {
                found.push(format!("{dir}/{name}"));
            }
        }
    }
    for dir in module_dirs(root)? {
        let uki = format!("{MODULES}/{0}/{0}.efi", dir.name);
        if root.is_file(&uki)? {
            found.push(uki);
        }
    }
    Ok(found)
}
