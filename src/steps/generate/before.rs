// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the user's programs between the transaction and dracut, for example to sign or to build modules. Lists what
//! they change below `usr/lib/modules`, and removes what they leave in `/tmp` and `/var`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::report::ProgramsReport;
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec, advise};
use crate::sys::root::{self, FileType, Meta, Root};

/// The directories from which files that the programs create are removed.
const TEMPORARY: [&str; 2] = ["tmp", "var"];

/// The remedy for a program that failed.
const REMEDY: &str = "There is no new initramfs, and the tree may have changed: correct the program, then build the layer again";

/// Returns the commands of `--before-dracut`. Each value is a program and its arguments, separated by spaces. The
/// environment variable `KVER` is set to the kernel release.
pub fn programs(asked: &[String], kver: &Kver) -> Vec<Cmd> {
    let command = |line: &String| {
        let mut words = line.split_whitespace();
        let program = words.next()?;
        let cmd = Cmd::new(program).args(words).env("KVER", kver.as_str());
        // The program may install packages; see [`Cmd::privileged`].
        Some(cmd.privileged())
    };
    asked.iter().filter_map(command).collect()
}

/// Runs the programs in order, and reports the files below `usr/lib/modules` that they added, changed and removed.
/// `None` if there are no programs.
///
/// # Errors
/// When a program fails, the tree cannot be read, or the files that the programs left cannot be removed.
pub fn run_programs(exec: &Exec, kver: &Kver, asked: &[String]) -> Result<Option<ProgramsReport>> {
    let cmds = programs(asked, kver);
    if cmds.is_empty() {
        return Ok(None);
    }
    let root = exec.root();
    let modules = files(root)?;
    let mut kept = Vec::new();
    for dir in TEMPORARY {
        kept.push((dir, paths(root, dir)?));
    }
    for cmd in &cmds {
        let ran = exec.run(cmd, &mut console::activity);
        ran.map_err(|error| advise(error, REMEDY))
            .with_context(|| format!("running {} before dracut", cmd.name()))?;
    }
    for (dir, kept) in &kept {
        remove_new(root, dir, kept).context("removing what a program of --before-dracut left")?;
    }
    let mut report = ProgramsReport {
        programs: asked.to_vec(),
        ..ProgramsReport::default()
    };
    let after = files(root)?;
    let show = |path: &Path| format!("{MODULES}/{}", path.display());
    for (path, meta) in &after {
        match modules.get(path) {
            None => report.added.push(show(path)),
            Some(before) if before != meta => report.changed.push(show(path)),
            Some(_) => {}
        }
    }
    let gone = modules.keys().filter(|path| !after.contains_key(*path));
    report.removed = gone.map(|path| show(path)).collect();
    Ok(Some(report))
}

/// Returns everything below `usr/lib/modules` except directories: paths relative to `usr/lib/modules`, and metadata.
fn files(root: &Root) -> Result<BTreeMap<PathBuf, Meta>, root::Error> {
    let walked = root.walk(MODULES)?.into_iter();
    let files = walked.filter(|it| it.meta.kind != FileType::Dir);
    Ok(files.map(|it| (it.path, it.meta)).collect())
}

fn paths(root: &Root, dir: &str) -> Result<BTreeSet<PathBuf>, root::Error> {
    let walked = root.walk(dir)?.into_iter();
    Ok(walked.map(|it| it.path).collect())
}

/// Removes the files and directories below `dir` that are not in `kept`. Mounts are left unchanged: they belong to
/// other builds.
fn remove_new(root: &Root, dir: &str, kept: &BTreeSet<PathBuf>) -> Result<(), root::Error> {
    let mut removed: Option<PathBuf> = None;
    for path in paths(root, dir)? {
        let is_below = removed.as_ref().is_some_and(|it| path.starts_with(it));
        if kept.contains(&path) || is_below || is_on_mount(root, dir, &path)? {
            continue;
        }
        root.remove_tree(Path::new(dir).join(&path))?;
        removed = Some(path);
    }
    Ok(())
}

fn is_on_mount(root: &Root, dir: &str, path: &Path) -> Result<bool, root::Error> {
    for above in path.ancestors().filter(|it| !it.as_os_str().is_empty()) {
        let above = Path::new(dir).join(above);
        if root.is_dir(&above)? && root.is_mount_point(&above)? {
            return Ok(true);
        }
    }
    Ok(false)
}
