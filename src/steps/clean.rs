// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes what the old kernel left, before the verification: what is verified is what is committed.

use anyhow::{Context, Result};

use super::locate::Kernel;
use super::tree::{legacy, module_dirs};
use crate::kernel::MODULES;
use crate::sys::exec::Exec;
use crate::sys::root;
use crate::tools::{cliwrap, rpm};

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
