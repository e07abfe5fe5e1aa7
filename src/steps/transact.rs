// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one transaction of the backend. Its exit status proves nothing in either direction: the tree
//! is judged afterwards.

use anyhow::{Context, Result};

use super::hold;
use super::unwrap::Unwrapped;
use super::workspace::Workspace;
use crate::plan::{Backend, Host, Plan};
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec, Failed};
use crate::tools::{dnf, rpm_ostree};

/// The packages are as they will be.
pub struct Settled(());

impl Unwrapped {
    /// For a job without a transaction.
    pub fn settled(self) -> Settled {
        Settled(())
    }
}

/// The command line of the transaction. `tmpdir` is absolute inside the root.
pub fn command(plan: &Plan, tmpdir: &str) -> Cmd {
    let sources = plan.set.sources.iter();
    let files: Vec<_> = sources.map(|source| format!("/{}", source.path)).collect();
    match plan.backend {
        Backend::RpmOstree => rpm_ostree::override_replace(&files, &plan.remove, tmpdir),
        Backend::Dnf5 | Backend::Dnf => dnf::replace(plan.backend, &files, tmpdir),
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
    let held = hold::hold(root, plan.hold, &host.module_dirs)?;
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
                "the new kernel is in place all the same; the tree is judged, not the exit status"
            );
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("replacing the kernel by {}", plan.set.kver));
        }
    }
    Ok(Settled(()))
}

fn is_in_place(exec: &Exec, plan: &Plan) -> Result<bool> {
    let root = exec.root();
    Ok(root.is_file(format!("{}/vmlinuz", plan.set.kver.dir()))?
        && !root.is_file(format!("{}/vmlinuz", plan.old.dir()))?)
}
