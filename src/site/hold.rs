// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prevents rpm-ostree, kernel-install and scriptlets from running dracut during the transaction. Such an inner dracut
//! run takes as long as all other steps together, and the initramfs that it builds would be discarded. Its errors would
//! be missed, too, because the output of the transaction is not searched for messages of dracut.
//!
//! The files of a hold are recognised by their paths and, where another program could write to the same path, by their
//! content. Therefore one function, [`heal`], can release a hold, undo it after a failure, and repair the tree after a
//! killed run.

use std::path::Path;

use anyhow::{Context, Result};

use crate::kernel::MODULES;
use crate::plan::{Hold, ModuleDir};
use crate::sys::root::{self, Root};
use crate::tools::cliwrap::WRAPPED;

/// The script that replaces dracut: it creates an empty file at the path after `-f`, and does nothing else.
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

/// The paths to which [`hold`] can write [`LAYOUT`].
const LAYOUT_FILES: [&str; 2] = [
    "usr/lib/kernel/install.conf",
    "etc/kernel/install.conf.d/zz-ostree-kernel.conf",
];

/// The suffix of saved files: configuration that [`LAYOUT`] replaced, and `.repo` files that are hidden.
const SAVED: &str = ".ostree-kernel-saved";

/// The directory of rpm-ostree's repository files, and their suffix. rpm-ostree fetches the metadata of all enabled
/// repositories, even if it needs no package from them, and fails if one repository cannot be reached.
const REPOSITORIES: &str = "etc/yum.repos.d";
const REPOSITORY: &str = ".repo";

/// The directory to which [`hold`] moves those module directories that rpm-ostree would otherwise delete.
const ASIDE: &str = "usr/lib/.ostree-kernel-aside";

/// The content of the configuration file that [`quiet_dracut`] adds for dracut. Fedora's configuration sets
/// `sysloglvl=5`. Without a syslog daemon, dracut then formats every debug message for `/dev/kmsg`, which nearly
/// doubles its run time.
const QUIET: &[u8] = b"# Put here by ostree-kernel for the time of one dracut run.
sysloglvl=0
kmsgloglvl=0
fileloglvl=0
";

/// The path of [`QUIET`]. dracut reads its configuration files in the order of their names, also across directories, so
/// the settings of this file override all others.
const QUIET_FILE: &str = "usr/lib/dracut/dracut.conf.d/zzz-ostree-kernel.conf";

/// A guard that removes [`QUIET_FILE`] on drop. While that file exists, dracut logs to standard error only.
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

/// An installed hold, with which inner dracut runs build no initramfs. It is undone on drop.
pub struct Held {
    root: Root,
    is_released: bool,
}

/// Installs the hold that the plan names. With `no_repos`, also hides the repositories from rpm-ostree. `dirs` are the
/// directories in `usr/lib/modules`.
///
/// # Errors
/// When a file cannot be written or moved; the changes made until then are undone.
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

/// Returns whether there are repository files that are not hidden from rpm-ostree.
///
/// # Errors
/// When the directory cannot be read.
pub fn has_repositories(root: &Root) -> Result<bool, root::Error> {
    Ok(!repositories(root, REPOSITORY)?.is_empty())
}

/// Returns the paths of the files in [`REPOSITORIES`] whose names end with `suffix`. The caller renames them one by
/// one, since overlayfs cannot rename a directory of a lower layer.
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

/// Undoes every hold in the tree, of this run or of a killed run, and removes the temporary configuration of dracut.
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
            // `hold` may have created these two directories. `usr/lib/kernel` existed before: it holds rpm-ostree's
            // plug-in.
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

/// Moves the content of `from` to `to`, file by file, since overlayfs cannot rename a directory of a lower layer, and
/// removes `from`. A file that exists in `to` is kept instead of the one in `from`: the transaction has created it.
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

/// Returns the paths of the files and directories of a hold, or of dracut's temporary configuration, that a killed run
/// has left in the tree.
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
