// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prevents rpm-ostree, kernel-install and scriptlets from running dracut during the transaction. The initramfs of an
//! inner dracut run would be discarded, and building it takes as long as all other steps together. Its messages would
//! be in the log of the transaction, not in the examined log of dracut.
//!
//! All files of a hold are recognisable in the tree, so one function, [`heal`], releases it, undoes it after a failure
//! and repairs the tree after a kill.

use std::path::Path;

use anyhow::{Context, Result};

use crate::kernel::MODULES;
use crate::plan::{Hold, ModuleDir};
use crate::sys::root::{self, Root};
use crate::tools::cliwrap::WRAPPED;

/// The script that replaces dracut: it creates an empty output file and does nothing else.
const SHIM: &[u8] = b"#!/bin/sh
# Put here by ostree-kernel for the time of one transaction; the real dracut runs after it.
while [ $# -gt 1 ]; do
    if [ \"$1\" = -f ]; then : > \"$2\"; fi
    shift
done
";

/// The content of a configuration file of kernel-install with `layout=ostree`.
const LAYOUT: &[u8] =
    b"# Put here by ostree-kernel for the time of one transaction.\nlayout=ostree\n";

/// The paths where [`LAYOUT`] can be.
const LAYOUT_FILES: [&str; 2] = [
    "usr/lib/kernel/install.conf",
    "etc/kernel/install.conf.d/zz-ostree-kernel.conf",
];

/// The suffix of a file that [`LAYOUT`] replaced.
const SAVED: &str = ".ostree-kernel-saved";

/// rpm-ostree's repositories, and the suffix of their files. rpm-ostree fetches the metadata of all enabled ones, even
/// if it needs no package from them, and fails if one cannot be reached.
const REPOSITORIES: &str = "etc/yum.repos.d";
const REPOSITORY: &str = ".repo";

/// The directory to which module directories are moved that rpm-ostree would delete.
const ASIDE: &str = "usr/lib/.ostree-kernel-aside";

/// The configuration that [`quiet_dracut`] adds to dracut's. Fedora's own sets `sysloglvl=5`: without a syslog, dracut
/// then formats every debug message for `/dev/kmsg`, which nearly doubles its run time.
const QUIET: &[u8] = b"# Put here by ostree-kernel for the time of one dracut run.
sysloglvl=0
kmsgloglvl=0
fileloglvl=0
";

/// The path of [`QUIET`]. dracut reads its configuration in the order of file names, across directories.
const QUIET_FILE: &str = "usr/lib/dracut/dracut.conf.d/zzz-ostree-kernel.conf";

/// A guard. While it exists, dracut logs to standard error only.
pub struct Quiet(Root);

/// Installs [`QUIET`] if dracut's configuration directory exists.
///
/// # Errors
/// When the file cannot be written.
pub fn quiet_dracut(root: &Root) -> Result<Quiet, root::Error> {
    let quiet = Quiet(root.clone());
    if let Some((dir, _)) = QUIET_FILE.rsplit_once('/')
        && root.is_dir(dir)?
    {
        root.write(QUIET_FILE, QUIET, 0o644)?;
    }
    Ok(quiet)
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Err(error) = self.0.remove_file(QUIET_FILE) {
            tracing::error!("removing the temporary configuration of dracut: {error:#}");
        }
    }
}

/// A guard. While it exists, inner dracut runs do nothing.
pub struct Held {
    root: Root,
    is_released: bool,
}

/// Installs the hold that the plan names. With `no_repos`, also hides the repositories from rpm-ostree. `dirs` are the
/// directories of `usr/lib/modules`.
///
/// # Errors
/// When a file cannot be written; the files written by then are removed.
pub fn hold(root: &Root, hold: Hold, dirs: &[ModuleDir], no_repos: bool) -> Result<Held> {
    let held = Held {
        root: root.clone(),
        is_released: false,
    };
    if no_repos {
        for file in repositories(root, REPOSITORY)? {
            root.rename(&file, format!("{file}{SAVED}"))?;
        }
    }
    match hold {
        Hold::Bypass => {}
        Hold::BypassWithLayout { file } => {
            if root.lstat(file)?.is_some() {
                root.rename(file, format!("{file}{SAVED}"))?;
            }
            if let Some((dir, _)) = file.rsplit_once('/') {
                root.create_dir_all(dir, 0o755)?;
            }
            root.write(file, LAYOUT, 0o644)?;
        }
        Hold::Shim => {
            root.create_dir_all(WRAPPED, 0o755)?;
            root.write(format!("{WRAPPED}/dracut"), SHIM, 0o755)?;
            root.create_dir_all(ASIDE, 0o700)?;
            for dir in dirs.iter().filter(|dir| !dir.has_vmlinuz) {
                let place = format!("{MODULES}/{}", dir.name);
                merge(root, Path::new(&place), &Path::new(ASIDE).join(&dir.name))?;
            }
        }
    }
    Ok(held)
}

/// Returns whether there are repositories that rpm-ostree may read.
///
/// # Errors
/// When the directory cannot be read.
pub fn has_repositories(root: &Root) -> Result<bool, root::Error> {
    Ok(!repositories(root, REPOSITORY)?.is_empty())
}

/// Returns the files in the directory of repositories with this suffix. They are renamed one by one, since overlayfs
/// cannot rename a directory of a lower layer.
fn repositories(root: &Root, suffix: &str) -> Result<Vec<String>, root::Error> {
    if !root.is_dir(REPOSITORIES)? {
        return Ok(Vec::new());
    }
    let names = root.list(REPOSITORIES)?.into_iter();
    let names = names.filter_map(|(name, _)| name.into_string().ok());
    Ok(names
        .filter(|name| name.ends_with(suffix))
        .map(|name| format!("{REPOSITORIES}/{name}"))
        .collect())
}

impl Held {
    /// Undoes the hold.
    ///
    /// # Errors
    /// When a file cannot be restored.
    pub fn release(mut self) -> Result<()> {
        self.is_released = true;
        heal(&self.root).context("restoring the files of the transaction's hold")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_released
            && let Err(error) = heal(&self.root)
        {
            tracing::error!("restoring the files of the transaction's hold: {error:#}");
        }
    }
}

/// Undoes any hold in the tree, of this run or of one that was killed.
///
/// # Errors
/// When a file cannot be restored.
pub fn heal(root: &Root) -> Result<(), root::Error> {
    let conf = "usr/lib/dracut/dracut.conf.d";
    for dir in ["usr/lib/kernel", "etc/kernel/install.conf.d", WRAPPED, conf] {
        root.remove_temporaries(dir)?;
    }
    if has_content(root, QUIET_FILE, QUIET)? {
        root.remove_file(QUIET_FILE)?;
    }
    for file in LAYOUT_FILES {
        if has_content(root, file, LAYOUT)? {
            root.remove_file(file)?;
            // usr/lib/kernel holds rpm-ostree's plug-in; these directories may have been created by `hold`.
            remove_if_empty(root, "etc/kernel/install.conf.d")?;
            remove_if_empty(root, "etc/kernel")?;
        }
        let saved = format!("{file}{SAVED}");
        // If the transaction has rewritten the file, the new version is kept.
        if root.lstat(&saved)?.is_some() {
            match root.lstat(file)? {
                None => root.rename(saved, file)?,
                Some(_) => drop(root.remove_file(saved)?),
            }
        }
    }
    for saved in repositories(root, SAVED)? {
        let file = saved.trim_end_matches(SAVED);
        match root.lstat(file)? {
            None => root.rename(&saved, file)?,
            Some(_) => drop(root.remove_file(&saved)?),
        }
    }
    let shim = format!("{WRAPPED}/dracut");
    if has_content(root, &shim, SHIM)? {
        root.remove_file(&shim)?;
        remove_if_empty(root, WRAPPED)?;
    }
    if root.is_dir(ASIDE)? {
        for (name, _) in root.list(ASIDE)? {
            merge(
                root,
                &Path::new(ASIDE).join(&name),
                &Path::new(MODULES).join(&name),
            )?;
        }
        root.remove_tree(ASIDE)?;
    }
    Ok(())
}

fn remove_if_empty(root: &Root, dir: &str) -> Result<(), root::Error> {
    if root.is_dir(dir)? && root.list(dir)?.is_empty() {
        root.remove_tree(dir)?;
    }
    Ok(())
}

/// Moves the content of `from` to `to`, file by file. overlayfs cannot rename a directory of a lower layer, and the
/// transaction may have created `to`, whose files are newer and stay.
fn merge(root: &Root, from: &Path, to: &Path) -> Result<(), root::Error> {
    let mode = root.lstat(from)?.map_or(0o755, |meta| meta.mode);
    root.create_dir_all(to, mode)?;
    for (name, kind) in root.list(from)? {
        let (here, there) = (from.join(&name), to.join(&name));
        if kind == root::FileType::Dir {
            merge(root, &here, &there)?;
        } else if root.lstat(&there)?.is_none() {
            root.rename(&here, &there)?;
        }
    }
    root.remove_tree(from)?;
    Ok(())
}

/// Returns the files that a killed run left of its hold.
///
/// # Errors
/// When a file cannot be read.
pub fn leftovers(root: &Root) -> Result<Vec<String>, root::Error> {
    let mut found = Vec::new();
    for file in LAYOUT_FILES {
        if has_content(root, file, LAYOUT)? {
            found.push(file.to_owned());
        }
        let saved = format!("{file}{SAVED}");
        if root.lstat(&saved)?.is_some() {
            found.push(saved);
        }
    }
    found.extend(repositories(root, SAVED)?);
    let shim = format!("{WRAPPED}/dracut");
    if has_content(root, &shim, SHIM)? {
        found.push(shim);
    }
    if has_content(root, QUIET_FILE, QUIET)? {
        found.push(QUIET_FILE.to_owned());
    }
    if root.is_dir(ASIDE)? {
        found.push(ASIDE.to_owned());
    }
    Ok(found)
}

fn has_content(root: &Root, path: &str, content: &[u8]) -> Result<bool, root::Error> {
    let same_size = root
        .lstat(path)?
        .is_some_and(|meta| meta.kind == root::FileType::File && meta.size == content.len() as u64);
    Ok(same_size && root.read(path, content.len() as u64)?.as_deref() == Some(content))
}
