// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the kernel that is there now, on disk and in the rpmdb.

use anyhow::{Context, Result, bail};

use super::survey::module_dirs;
use super::transact::Settled;
use crate::kernel::kver::Kver;
use crate::sys::exec::Exec;
use crate::tools::{cliwrap, rpm};

/// The one kernel of the tree.
pub struct Kernel {
    /// What `uname -r` will say; its directory is there and holds a regular `vmlinuz`.
    pub kver: Kver,
    /// The package that owns `vmlinuz`.
    pub package: String,
}

/// Exactly one directory with a `vmlinuz`, its name the promised kver, owned by a package.
///
/// # Errors
/// When it is not so; the transaction did not do what it was asked for, whatever it returned.
pub fn locate(exec: &Exec, promised: &Kver, _: Settled) -> Result<Kernel> {
    let kernels: Vec<_> = module_dirs(exec.root())?
        .into_iter()
        .filter(|dir| dir.has_vmlinuz)
        .map(|dir| dir.name)
        .collect();
    if kernels != [promised.as_str()] {
        let found = match kernels.as_slice() {
            [] => "no kernel".to_owned(),
            kernels => kernels.join(", "),
        };
        bail!(
            "usr/lib/modules holds {found}, expected {promised} only: the transaction did not do what it was asked for, whatever it returned. Run again with -v to read what it printed"
        );
    }
    let path = format!("{}/vmlinuz", promised.dir());
    let program = cliwrap::real(exec.root(), "rpm")?;
    let owners = rpm::owners(exec, &program, &path).context("asking who owns vmlinuz")?;
    let Some(package) = owners.first() else {
        bail!(
            "no package owns /{path}, expected the kernel's: the rpmdb and the tree do not tell the same story"
        );
    };
    Ok(Kernel {
        kver: promised.clone(),
        package: package.to_string(),
    })
}
