// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes what the old kernel left, before the verification: what is verified is what is committed.

use anyhow::{Context, Result};

use super::locate::Kernel;
use super::survey::module_dirs;
use crate::kernel::MODULES;
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, rpm};

/// Where kernels of older layouts are. ostree boots one of these when the new directory has no
/// initramfs.
const LEGACY_DIRS: [&str; 2] = ["usr/lib/ostree-boot", "boot"];

/// Names of kernels and of what goes with them there. Boot loaders and their directories (`efi`,
/// `grub2`, `loader`) are somebody else's.
const KERNEL_FILES: [&str; 7] = [
    "vmlinuz-",
    "initramfs-",
    "initrd-",
    ".vmlinuz-",
    "symvers-",
    "System.map-",
    "config-",
];

/// A tree that holds one kernel and nothing of another.
pub struct Clean {
    /// That kernel.
    pub kernel: Kernel,
    /// What was removed, relative to the root.
    pub removed: Vec<String>,
}

/// Cleans.
///
/// # Errors
/// When something cannot be removed, or rpm cannot be asked.
pub fn clean(exec: &Exec, kernel: Kernel) -> Result<Clean> {
    let root = exec.root();
    let mut removed = legacy(root)?;
    for path in &removed {
        root.remove_file(path)?;
    }
    let program = cliwrap::real(root, "rpm")?;
    for dir in module_dirs(root)? {
        if dir.name == kernel.kver.as_str() || dir.has_vmlinuz {
            continue;
        }
        let path = format!("{MODULES}/{}", dir.name);
        if is_owned(exec, &program, &path).with_context(|| format!("asking who owns /{path}"))? {
            tracing::info!("keeping /{path}: a package owns files in it");
        } else {
            root.remove_tree(&path)?;
            removed.push(path);
        }
    }
    Ok(Clean { kernel, removed })
}

/// Kernel files in `boot` and `usr/lib/ostree-boot`.
///
/// # Errors
/// When a directory cannot be read.
pub fn legacy(root: &Root) -> Result<Vec<String>, root::Error> {
    let mut found = Vec::new();
    for dir in LEGACY_DIRS {
        for (name, kind) in root.list(dir)? {
            let name = name.to_string_lossy();
            let is_kernel = KERNEL_FILES.iter().any(|start| name.starts_with(start));
            if is_kernel && kind != root::Kind::Dir {
                found.push(format!("{dir}/{name}"));
            }
        }
    }
    Ok(found)
}

/// Whether a package owns a file in it.
fn is_owned(exec: &Exec, rpm: &str, dir: &str) -> Result<bool> {
    let files: Vec<_> = exec
        .root()
        .walk(dir)?
        .into_iter()
        .filter(|walked| walked.meta.kind != root::Kind::Dir)
        .map(|walked| format!("{dir}/{}", walked.path.to_string_lossy()))
        .collect();
    rpm::owns_any(exec, rpm, &files)
}
