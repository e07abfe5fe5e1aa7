// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holds inner dracut runs off during the transaction: what rpm-ostree, kernel-install or a
//! scriptlet would build is thrown away, and costs as much as everything else together. And holds
//! dracut's messages off other logs than the one that is read.
//!
//! What is put in place can be told from the tree alone, so letting go, undoing after a failure and
//! healing after a kill are the same function.

use std::path::Path;

use anyhow::{Context, Result};

use crate::kernel::MODULES;
use crate::plan::{Hold, ModuleDir};
use crate::sys::root::{self, Root};
use crate::tools::cliwrap::WRAPPED;

/// The program in dracut's place: it makes the file that it was asked for, and nothing else.
const SHIM: &[u8] = b"#!/bin/sh
# Put here by ostree-kernel for the time of one transaction; the real dracut runs after it.
while [ $# -gt 1 ]; do
    if [ \"$1\" = -f ]; then : > \"$2\"; fi
    shift
done
";

/// Our file that says `layout=ostree`, wherever it lies.
const LAYOUT: &[u8] =
    b"# Put here by ostree-kernel for the time of one transaction.\nlayout=ostree\n";

/// Where [`LAYOUT`] may lie.
const LAYOUT_FILES: [&str; 2] = [
    "usr/lib/kernel/install.conf",
    "etc/kernel/install.conf.d/zz-ostree-kernel.conf",
];

/// Beside a file of somebody else's that we replaced.
const SAVED: &str = ".ostree-kernel-saved";

/// Where rpm-ostree finds repositories, and how their files end. It fetches the metadata of all that are
/// enabled, although nothing is needed from them, and fails where one cannot be reached.
const REPOSITORIES: &str = "etc/yum.repos.d";
const REPOSITORY: &str = ".repo";

/// Where module directories wait that rpm-ostree would delete.
const ASIDE: &str = "usr/lib/.ostree-kernel-aside";

/// Our configuration of dracut. Fedora's has `sysloglvl=5`: without a syslog dracut then formats
/// every debug message for `/dev/kmsg`, which takes nearly as long as all the rest.
const QUIET: &[u8] = b"# Put here by ostree-kernel for the time of one dracut run.
sysloglvl=0
kmsgloglvl=0
fileloglvl=0
";

/// Where it lies: dracut reads configuration in the order of names, whatever their directories.
const QUIET_FILE: &str = "usr/lib/dracut/dracut.conf.d/zzz-ostree-kernel.conf";

/// While this lives, dracut prints to standard error only.
pub struct Quiet(Root);

/// Puts [`QUIET`] in place, where dracut has a directory for it.
///
/// # Errors
/// When the file cannot be written.
pub fn quieten(root: &Root) -> Result<Quiet, root::Error> {
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
            tracing::error!("removing our configuration of dracut: {error:#}");
        }
    }
}

/// While this lives, inner runs are held off.
pub struct Held {
    root: Root,
    let_go: bool,
}

/// Puts in place what the plan says.
///
/// # Errors
/// When a file cannot be written; what was put in place by then is undone.
pub fn hold(root: &Root, hold: Hold, dirs: &[ModuleDir], no_repos: bool) -> Result<Held> {
    let held = Held {
        root: root.clone(),
        let_go: false,
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

/// Whether there are repositories that rpm-ostree may ask.
///
/// # Errors
/// When the directory cannot be read.
pub fn has_repositories(root: &Root) -> Result<bool, root::Error> {
    Ok(!repositories(root, REPOSITORY)?.is_empty())
}

/// The files in the directory of repositories that end so. A rename of each, since overlayfs cannot
/// rename a directory of a lower layer.
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
    /// Puts everything back.
    ///
    /// # Errors
    /// When something cannot be put back.
    pub fn let_go(mut self) -> Result<()> {
        self.let_go = true;
        heal(&self.root).context("putting back what held dracut off")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.let_go
            && let Err(error) = heal(&self.root)
        {
            tracing::error!("putting back what held dracut off: {error:#}");
        }
    }
}

/// Undoes whatever a hold has put in place, of this run or of one that was killed.
///
/// # Errors
/// When something cannot be put back.
pub fn heal(root: &Root) -> Result<(), root::Error> {
    let conf = "usr/lib/dracut/dracut.conf.d";
    for dir in ["usr/lib/kernel", "etc/kernel/install.conf.d", WRAPPED, conf] {
        root.remove_temporaries(dir)?;
    }
    if is(root, QUIET_FILE, QUIET)? {
        root.remove_file(QUIET_FILE)?;
    }
    for file in LAYOUT_FILES {
        if is(root, file, LAYOUT)? {
            root.remove_file(file)?;
            // usr/lib/kernel holds rpm-ostree's own plug-in; these may have been made for us.
            remove_if_empty(root, "etc/kernel/install.conf.d")?;
            remove_if_empty(root, "etc/kernel")?;
        }
        let saved = format!("{file}{SAVED}");
        // The transaction may have written the file anew; then that is the newer one.
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
    if is(root, &shim, SHIM)? {
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

/// Moves what is in `from` to `to`, file by file: overlayfs cannot rename a directory of a lower
/// layer, and the transaction may have made `to`, whose files are the newer ones.
fn merge(root: &Root, from: &Path, to: &Path) -> Result<(), root::Error> {
    let mode = root.lstat(from)?.map_or(0o755, |meta| meta.mode);
    root.create_dir_all(to, mode)?;
    for (name, kind) in root.list(from)? {
        let (here, there) = (from.join(&name), to.join(&name));
        if kind == root::Kind::Dir {
            merge(root, &here, &there)?;
        } else if root.lstat(&there)?.is_none() {
            root.rename(&here, &there)?;
        }
    }
    root.remove_tree(from)?;
    Ok(())
}

/// What a killed run left of its hold.
///
/// # Errors
/// When a file cannot be read.
pub fn leftovers(root: &Root) -> Result<Vec<String>, root::Error> {
    let mut found = Vec::new();
    for file in LAYOUT_FILES {
        if is(root, file, LAYOUT)? {
            found.push(file.to_owned());
        }
        let saved = format!("{file}{SAVED}");
        if root.lstat(&saved)?.is_some() {
            found.push(saved);
        }
    }
    found.extend(repositories(root, SAVED)?);
    let shim = format!("{WRAPPED}/dracut");
    if is(root, &shim, SHIM)? {
        found.push(shim);
    }
    if is(root, QUIET_FILE, QUIET)? {
        found.push(QUIET_FILE.to_owned());
    }
    if root.is_dir(ASIDE)? {
        found.push(ASIDE.to_owned());
    }
    Ok(found)
}

fn is(root: &Root, path: &str, content: &[u8]) -> Result<bool, root::Error> {
    let same_size = root
        .lstat(path)?
        .is_some_and(|meta| meta.kind == root::Kind::File && meta.size == content.len() as u64);
    Ok(same_size && root.read(path, content.len() as u64)?.as_deref() == Some(content))
}
