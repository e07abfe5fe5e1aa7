// SPDX-License-Identifier: MIT OR Apache-2.0
//! Installs the initramfs, writes the report into the image and cleans caches.

use anyhow::{Context, Result, bail};

use super::verify::Verified;
use crate::plan::TreeKind;
use crate::report::{self, Report};
use crate::site::workspace::Workspace;
use crate::sys::digest::Digesting;
use crate::sys::exec::{Cmd, Exec, advise};
use crate::sys::root::Root;
use crate::tools::{ostree, rpm_ostree};

/// The directories that `ostree container commit` empties. This step empties them if that command does not run.
const CACHES: [&str; 4] = ["run", "tmp", "var/tmp", "var/cache"];

/// The program that `ostree container` starts. It is part of the package rpm-ostree or bootc.
const OSTREE_CONTAINER: &str = "usr/libexec/libostree/ext/ostree-container";

/// The state of the tree and the remedy after a program of this step has failed.
const UNCLEANED: &str = "The new initramfs is verified and in place, and caches are not cleaned yet: correct the reported error, then run the same line again";

/// Returns the command lines that clean and commit an ostree container, in order, without those whose programs are
/// missing. Empty for any other kind of tree.
///
/// # Errors
/// When the tree cannot be read.
pub fn commands(exec: &Exec, kind: TreeKind) -> Result<Vec<Cmd>> {
    let mut commands = Vec::new();
    if kind != TreeKind::OstreeContainer {
        return Ok(commands);
    }
    if exec.find("rpm-ostree").is_some() {
        commands.push(rpm_ostree::cleanup());
    }
    if exec.find("ostree").is_some() && exec.root().is_file(OSTREE_CONTAINER)? {
        commands.push(ostree::container_commit());
    }
    Ok(commands)
}

/// Renames the verified candidate to `initramfs.img`, writes the report and cleans caches; with `no_commit`, cleans
/// nothing and runs none of the [`commands`].
///
/// # Errors
/// When the candidate's file has changed since the verification, a file cannot be written or a program fails.
pub fn commit(
    exec: &Exec,
    kind: TreeKind,
    no_commit: bool,
    mut workspace: Workspace,
    mut verified: Verified,
    report: &Report,
) -> Result<()> {
    verified.candidate.sync()?;
    install(exec, &verified)?;
    let root = exec.root();
    write_report(root, report).context(
        "the new initramfs is in place, and its report could not be written into the image; nothing was cleaned or committed. Run the same line again",
    )?;
    workspace.empty()?;
    if no_commit {
        return workspace.close();
    }
    for cmd in commands(exec, kind)? {
        let ran = exec.run(&cmd, &mut |_| {});
        ran.map_err(|error| advise(error, UNCLEANED))
            .context("committing")?;
    }
    if !exec.ran().contains(&ostree::container_commit().to_string()) {
        for dir in CACHES {
            // Mounts are left unchanged: a cache mount belongs to other builds, a bind mount to the user.
            if !root.is_mount_point(dir)? {
                root.remove_contents(dir, true)?;
            }
        }
    }
    workspace.close()
}

fn write_report(root: &Root, report: &Report) -> Result<()> {
    let json = serde_json::to_vec_pretty(report).context("writing the report")?;
    if let Some((dir, _)) = report::PATH.rsplit_once('/') {
        root.create_dir_all(dir, 0o755)?;
        root.remove_temporaries(dir)?;
    }
    Ok(root.write(report::PATH, &[json.as_slice(), b"\n"].concat(), 0o644)?)
}

fn install(exec: &Exec, verified: &Verified) -> Result<()> {
    let root = exec.root();
    let dir = verified.candidate.kernel.kver.dir();
    let place = format!("{dir}/initramfs.img");
    root.rename(&verified.candidate.path, &place)?;
    root.sync_dir(&dir)?;
    let purpose = "reading the installed initramfs back";
    let meta = root.lstat(&place)?.context(purpose)?;
    let file = root.open_file(&place)?.context(purpose)?;
    let read_back = Digesting::new(file).finish().context(purpose)?;
    let verdict = &verified.verdict;
    let same = verdict.initramfs_sha256.as_ref() == Some(&read_back.0)
        && verdict.initramfs_size == Some(read_back.1);
    if meta.mode != 0o600 || !same {
        bail!(
            "/{place} is not the file that was verified (mode {:04o}, {} bytes, sha256 {}): another program writes to this tree. Build the layer again",
            meta.mode,
            read_back.1,
            read_back.0
        );
    }
    Ok(())
}
