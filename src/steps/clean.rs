// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes leftovers of the old kernel, moves dnf's version locks, and corrects files that packages write differently
//! than ostree expects. The step runs before the verification, so that the verified tree is the committed tree.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use super::locate::Kernel;
use crate::kernel::kver::Kver;
use crate::kernel::{MODULES, hmac};
use crate::plan::Change;
use crate::site::hmac_file;
use crate::site::kernels::{LEGACY_DIRS, leftover_dirs, legacy};
use crate::site::vmlinuz::VMLINUZ_MAX;
use crate::sys::root::{self, Root};
use crate::tools::dnf;

/// The tree's kernel after the cleaning, and the changes. Leftovers of other kernels remain only if a package owns
/// them.
pub struct Clean {
    /// The kernel.
    pub kernel: Kernel,
    /// The removed paths, relative to the root.
    pub removed: Vec<String>,
    /// Files of the kernel that were links and are regular files now, relative to the root.
    pub copied: Vec<String>,
    /// dnf's files in which version locks were changed to the new versions, relative to the root.
    pub relocked: Vec<String>,
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = [
            ("removed", &self.removed),
            ("replaced links with files:", &self.copied),
            ("version locks follow the new kernel in", &self.relocked),
        ];
        let done = done.into_iter().filter(|(_, paths)| !paths.is_empty());
        let done: Vec<_> = done
            .map(|(what, paths)| format!("{what} {}", paths.join(", ")))
            .collect();
        match done.as_slice() {
            [] => f.write_str("nothing to remove"),
            done => f.write_str(&done.join("; ")),
        }
    }
}

/// Cleans the tree, and moves dnf's version locks of the replaced packages in `changes` to the new versions. `before`
/// is the replaced kernel.
///
/// # Errors
/// When something cannot be removed, copied or written.
pub fn clean(
    root: &Root,
    kernel: Kernel,
    before: Option<&Kver>,
    changes: &[Change],
) -> Result<Clean> {
    let copied = put_into_place(root, &kernel.kver)?;
    let relocked = dnf::move_locks(root, changes).context("updating dnf's version locks")?;
    let (kept, mut removed): (Vec<_>, Vec<_>) = legacy(root)?
        .into_iter()
        .partition(|path| kernel.rpmdb.owns_content(path));
    for path in kept {
        tracing::info!("keeping /{path}: a package owns it");
    }
    for path in &removed {
        root.remove_file(path)?;
    }
    let dirs = leftover_dirs(root, &kernel.kver, before, Some(&kernel.rpmdb))?;
    for dir in dirs.owned {
        tracing::info!("keeping /{MODULES}/{dir}: a package owns files in it");
    }
    for dir in dirs.stale {
        let path = format!("{MODULES}/{dir}");
        root.remove_tree(&path)?;
        removed.push(path);
    }
    name_kernel_as_ostree_does(root, &kernel.kver)?;
    Ok(Clean {
        kernel,
        removed,
        copied,
        relocked,
    })
}

/// Replaces each link in the kernel's directory for which [`is_needed`] holds with a copy of its target. Returns the
/// paths of the copies. Otherwise the links would dangle: ostree copies the link `vmlinuz` instead of its target, and
/// [`clean`] removes targets in [`LEGACY_DIRS`].
fn put_into_place(root: &Root, kver: &Kver) -> Result<Vec<String>> {
    let dir = kver.dir();
    let mut copied = Vec::new();
    for (name, kind) in root.list(&dir)? {
        let name = name.to_string_lossy();
        let path = format!("{dir}/{name}");
        if kind != root::FileType::Symlink || !is_needed(root, &path, &name)? {
            continue;
        }
        let Some(mut file) = root.open_file(&path)? else {
            continue;
        };
        root.replace(&mut file, &path, VMLINUZ_MAX)?;
        tracing::info!("replaced the link /{path} with a copy of its target");
        copied.push(path);
    }
    Ok(copied)
}

/// Returns whether a link in the kernel's directory must become a file: a link to a regular file that is `vmlinuz`
/// itself, or that leads into one of [`LEGACY_DIRS`], from which [`clean`] removes files. `initramfs.img` may stay a
/// link, since it is rebuilt.
fn is_needed(root: &Root, path: &str, name: &str) -> Result<bool, root::Error> {
    if name == "initramfs.img" || !root.is_file(path)? {
        return Ok(false);
    }
    let target = root.read_link(path)?.unwrap_or_default();
    let mut dirs = LEGACY_DIRS.iter();
    Ok(name == "vmlinuz"
        || dirs.any(|dir| {
            let parent = target.parent().unwrap_or(Path::new(""));
            parent.ends_with(dir)
        }))
}

/// Changes the name of the kernel in `.vmlinuz.hmac` to the name under which ostree installs `vmlinuz`. Packages write
/// a path in `/boot`, but ostree installs `vmlinuz` into another directory, so that a boot in FIPS mode would fail.
/// rpm-ostree rewrites the name when it composes a tree, but not in a container build (coreos/rpm-ostree#1934,
/// coreos/fedora-coreos-tracker#302).
fn name_kernel_as_ostree_does(root: &Root, kver: &Kver) -> Result<(), root::Error> {
    let path = format!("{}/.vmlinuz.hmac", kver.dir());
    let Some((meta, text)) = hmac_file::read(root, &path)? else {
        return Ok(());
    };
    if let Some(line) = hmac::renamed(&text, kver) {
        tracing::info!(
            "/{path}: changed the name in it to {}, as ostree installs vmlinuz; previous content: {}",
            hmac::name(kver),
            text.trim_end()
        );
        root.write(&path, line.as_bytes(), meta.mode)?;
    }
    Ok(())
}
