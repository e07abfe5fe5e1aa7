// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one transaction of the backend. Its exit status proves nothing in either direction: the tree
//! is judged afterwards.

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

/// The packages are as they will be.
pub struct Settled(());

impl Unwrapped {
    /// For a job without a transaction.
    pub fn settled(self) -> Settled {
        Settled(())
    }
}

/// The script that dnf 4 reads where packages are to be removed and installed in one transaction,
/// relative to the root.
const SCRIPT: &str = "run/ostree-kernel/packages/transaction";

/// The command lines of the transaction as a shell would take them; none where it is not needed.
pub fn recipe(plan: &Plan) -> Vec<String> {
    if plan.settled {
        return Vec::new();
    }
    let writing = script(plan).map(|script| writing(&script));
    let command = command(plan, &format!("/{}", workspace::TMP));
    writing.into_iter().chain([command.to_string()]).collect()
}

fn writing(script: &str) -> String {
    let lines: Vec<_> = script.lines().map(|line| quote(line.as_ref())).collect();
    format!("printf '%s\\n' {} >/{SCRIPT}", lines.join(" "))
}

/// The files of the transaction.
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

/// The command line of the transaction. `tmpdir` is absolute inside the root.
fn command(plan: &Plan, tmpdir: &str) -> Cmd {
    let (files, remove) = (files(plan), &plan.leaving.remove);
    let how = dnf::How {
        backend: plan.backend,
        versionlock: plan.versionlock,
    };
    match plan.backend {
        Backend::RpmOstree => rpm_ostree::override_replace(&files, remove, tmpdir),
        Backend::Dnf5 | Backend::Dnf if !plan.again.is_empty() => {
            dnf::reinstall(&how, &files, tmpdir)
        }
        Backend::Dnf5 | Backend::Dnf if remove.is_empty() => dnf::install(&how, &files, tmpdir),
        Backend::Dnf5 => dnf::exchange(&how, &files, remove, tmpdir),
        Backend::Dnf => dnf::run_script(&how, &format!("/{SCRIPT}"), tmpdir),
    }
}

/// Runs it, with inner dracut runs held off.
///
/// # Errors
/// When the backend failed and the new kernel is not in place, or something cannot be put back.
pub fn transact(
    exec: &Exec,
    host: &Host,
    plan: &Plan,
    workspace: &Workspace,
    _: Unwrapped,
) -> Result<Settled> {
    let root = exec.root();
    // Kernel packages copy into /boot, and some scriptlets fail where it is missing.
    root.create_dir_all("boot", 0o755)?;
    let tmpdir = format!("/{}", workspace.tmp()?);
    remove_unpacked(root, plan)?;
    if let Some(script) = script(plan) {
        root.write(SCRIPT, script.as_bytes(), 0o600)?;
        exec.has_run(writing(&script));
    }
    let held = hold::hold(root, plan.hold, &host.module_dirs, plan.no_repos)?;
    let result = exec.run(&command(plan, &tmpdir), &mut console::doing);
    held.let_go()?;
    rpm_ostree::heal(root)?;
    // What an inner run made all the same is not ours: a placeholder's is empty.
    root.remove_file(format!("{}/initramfs.img", plan.set.kver.dir()))?;
    match result {
        Ok(()) => {}
        // rpm 6 makes a failed scriptlet an error although every file is in place.
        Err(error) if error.is::<Failed>() && is_in_place(exec, plan)? => {
            tracing::warn!("{error:#}");
            tracing::warn!(
                "the new kernel is in place nevertheless, and the run continues: the tree is verified, not the exit status"
            );
        }
        Err(error) => {
            return Err(advise(error, left(root, plan)?))
                .with_context(|| format!("replacing the kernel by {}", plan.set.kver));
        }
    }
    Ok(Settled(()))
}

/// Removes what a transaction that was killed had unpacked: depmod and dracut would take it for more
/// modules.
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
                .context("removing what a killed transaction had unpacked")?;
        }
    }
    Ok(())
}

/// What a failed transaction left, and what to do.
fn left(root: &Root, plan: &Plan) -> Result<String> {
    let has = |kver: &Kver| root.is_file(format!("{}/vmlinuz", kver.dir()));
    let no_repos = match plan.backend == Backend::RpmOstree && hold::has_repositories(root)? {
        true if !plan.no_repos => {
            ". If it cannot reach a repository of the image, add --no-repos: nothing is needed from there"
        }
        _ => "",
    };
    Ok(match has(&plan.old)? && !has(&plan.set.kver)? {
        true => format!(
            "The kernel {} is still in place: correct what it says, then run the same line again{no_repos}",
            plan.old
        ),
        false => "Packages may be half replaced: build the layer again".to_owned(),
    })
}

fn is_in_place(exec: &Exec, plan: &Plan) -> Result<bool> {
    let root = exec.root();
    let has = |kver: &Kver| root.is_file(format!("{}/vmlinuz", kver.dir()));
    // Where the same kernel is installed again, the digests of the packages tell afterwards.
    Ok(has(&plan.set.kver)? && (plan.old == plan.set.kver || !has(&plan.old)?))
}
