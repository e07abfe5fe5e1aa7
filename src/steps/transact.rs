// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the backend once, for the whole transaction. The exit status proves neither success nor failure, so the tree is
//! examined afterwards.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::unwrap::Unwrapped;
use crate::kernel::kver::Kver;
use crate::plan::{Backend, Host, Plan, Source};
use crate::site::hold;
use crate::site::workspace::{self, Workspace};
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec, Failed, advise, quote};
use crate::sys::root::Root;
use crate::tools::{dnf, rpm, rpm_ostree};

/// Proof that the transaction has run, or is not needed.
pub struct Settled(());

impl Unwrapped {
    /// Returns the proof without a transaction, for packages that are installed already.
    pub fn settled(self) -> Settled {
        Settled(())
    }
}

/// The path of the script for dnf 4, relative to the root. It is used if one transaction removes and installs packages.
const SCRIPT: &str = "run/ostree-kernel/packages/transaction";

/// Returns the shell command lines of the transaction; empty if it is not needed.
pub fn command_lines(plan: &Plan) -> Vec<String> {
    if plan.settled {
        return Vec::new();
    }
    let write_script = script(plan).map(|script| write_command(&script));
    let command = command(plan, &format!("/{}", workspace::TMP));
    write_script
        .into_iter()
        .chain([command.to_string()])
        .collect()
}

fn write_command(script: &str) -> String {
    let lines: Vec<_> = script.lines().map(|line| quote(line.as_ref())).collect();
    format!("printf '%s\\n' {} >/{SCRIPT}", lines.join(" "))
}

/// Returns the absolute paths of the package files of the transaction: the files of the packages in `plan.again`, or
/// all files if `plan.again` is empty.
fn files(plan: &Plan) -> Vec<String> {
    let is_wanted =
        |source: &&Source| plan.again.is_empty() || plan.again.contains(&source.package.nevra);
    let sources = plan.set.sources.iter().filter(is_wanted);
    sources.map(|source| format!("/{}", source.path)).collect()
}

fn script(plan: &Plan) -> Option<String> {
    let remove = &plan.leaving.remove;
    (plan.backend == Backend::Dnf && !remove.is_empty()).then(|| dnf::script(&files(plan), remove))
}

/// Returns the command line of the transaction. `tmpdir` is absolute inside the root.
fn command(plan: &Plan, tmpdir: &str) -> Cmd {
    let (files, remove) = (files(plan), &plan.leaving.remove);
    let setup = dnf::DnfSetup {
        backend: plan.backend,
        versionlock: plan.versionlock,
    };
    match plan.backend {
        Backend::RpmOstree => rpm_ostree::override_replace(&files, remove, tmpdir),
        Backend::Dnf5 | Backend::Dnf if !plan.again.is_empty() => {
            dnf::reinstall(&setup, &files, tmpdir)
        }
        Backend::Dnf5 | Backend::Dnf if remove.is_empty() => dnf::install(&setup, &files, tmpdir),
        Backend::Dnf5 => dnf::exchange(&setup, &files, remove, tmpdir),
        Backend::Dnf => dnf::run_script(&setup, &format!("/{SCRIPT}"), tmpdir),
    }
}

/// Runs the transaction, with inner dracut runs disabled.
///
/// # Errors
/// When the backend failed and the new kernel is not installed in place of the old one, or a file cannot be written or
/// restored; [`Stopped`](crate::sys::stop::Stopped) after a signal.
pub fn transact(
    exec: &Exec,
    host: &Host,
    plan: &Plan,
    workspace: &Workspace,
    _: Unwrapped,
) -> Result<Settled> {
    let root = exec.root();
    // Scriptlets of kernel packages copy files into /boot, and some of them fail if /boot does not exist.
    root.create_dir_all("boot", 0o755)?;
    let tmpdir = format!("/{}", workspace.tmp()?);
    remove_unpacked(root, plan)?;
    if let Some(script) = script(plan) {
        root.write(SCRIPT, script.as_bytes(), 0o600)?;
        exec.record(write_command(&script));
    }
    let held = hold::hold(root, plan.hold, &host.module_dirs, plan.no_repos)?;
    let result = exec.run(&command(plan, &tmpdir), &mut console::activity);
    held.release()?;
    rpm_ostree::heal(root)?;
    // Removes the initramfs that an inner dracut run has written, or the empty file that the hold's substitute for
    // dracut has created.
    root.remove_file(format!("{}/initramfs.img", plan.set.kver.dir()))?;
    match result {
        Ok(()) => {}
        // rpm 6 reports a failed scriptlet as an error although every file is installed.
        Err(error) if error.is::<Failed>() && is_in_place(exec, plan)? => {
            tracing::warn!("{error:#}");
            tracing::warn!(
                "the new kernel is installed nevertheless, so the run continues; the tree will be verified"
            );
        }
        Err(error) => {
            return Err(advise(error, state_and_remedy(root, plan)?))
                .with_context(|| format!("replacing the kernel with {}", plan.set.kver));
        }
    }
    Ok(Settled(()))
}

/// Removes temporary files of a transaction that was killed while it unpacked packages. They would otherwise stay in
/// the image, since no package owns them.
fn remove_unpacked(root: &Root, plan: &Plan) -> Result<()> {
    let sources = plan.set.sources.iter();
    let dirs: BTreeSet<_> = sources.flat_map(|source| &source.package.dirs).collect();
    for dir in dirs {
        if !root.is_dir(dir)? {
            continue;
        }
        let names = root.list(dir)?.into_iter();
        for (name, _) in names.filter(|(name, _)| rpm::is_unpacked(name)) {
            root.remove_file(dir.join(name))
                .context("removing temporary files of a killed transaction")?;
        }
    }
    Ok(())
}

/// Describes the state after a failed transaction, and the remedy.
fn state_and_remedy(root: &Root, plan: &Plan) -> Result<String> {
    let has = |kver: &Kver| root.is_file(format!("{}/vmlinuz", kver.dir()));
    let no_repos = match plan.backend == Backend::RpmOstree && hold::has_repositories(root)? {
        true if !plan.no_repos => {
            ". If a repository of the image cannot be reached, add --no-repos; no package is needed from it"
        }
        _ => "",
    };
    let is_old_there = plan.old.as_ref().map(has).transpose()?;
    Ok(if has(&plan.set.kver)? {
        "Packages may be half replaced: build the layer again".to_owned()
    } else if let (Some(old), Some(true)) = (&plan.old, is_old_there) {
        format!(
            "The kernel {old} is still in place: correct the reported error, then run the same line again{no_repos}"
        )
    } else {
        "Packages may be half replaced: build the layer again".to_owned()
    })
}

fn is_in_place(exec: &Exec, plan: &Plan) -> Result<bool> {
    let root = exec.root();
    let has = |kver: &Kver| root.is_file(format!("{}/vmlinuz", kver.dir()));
    // If the same kernel is reinstalled, the presence of its `vmlinuz` proves nothing. Then only `locate` detects a
    // failure, by the header digests of the installed packages.
    let old = plan.old.as_ref().filter(|old| **old != plan.set.kver);
    let is_old_there = old.map(has).transpose()?.unwrap_or(false);
    Ok(has(&plan.set.kver)? && !is_old_there)
}
