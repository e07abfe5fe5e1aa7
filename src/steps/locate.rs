// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the installed kernel, on disk and in the rpmdb. In `replace`, also checks that the transaction installed and
//! removed exactly the planned packages.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::transact::Settled;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::package::rpmdb::{Record, Rpmdb, Scope};
use crate::plan::{Plan, Source};
use crate::site::kernels::module_dirs;
use crate::site::owner;
use crate::sys::exec::Exec;

/// The kernel whose initramfs is built.
#[derive(Clone)]
pub struct Kernel {
    /// The kernel release, as in `uname -r`. `usr/lib/modules/KVER` holds `vmlinuz`, a regular file or a link to one.
    pub kver: Kver,
    /// The NEVRA of the package that owns `vmlinuz`; never `None` in `replace`.
    pub package: Option<String>,
    /// The rpmdb, read when the kernel was located, and again after the programs of `--before-dracut`.
    pub rpmdb: Arc<Rpmdb>,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.package {
            Some(package) => write!(f, "{} of {package}", self.kver),
            None => write!(f, "{}, which no package owns", self.kver),
        }
    }
}

/// Requires that `expected` is the only directory of `usr/lib/modules` with a `vmlinuz`. With a plan, also requires
/// that a package owns this `vmlinuz`, and that the transaction installed and removed exactly the planned packages.
///
/// # Errors
/// When the tree cannot be read, or one of these requirements is not met, even if the transaction exited with status 0.
pub fn locate(exec: &Exec, expected: &Kver, plan: Option<&Plan>, _: Settled) -> Result<Kernel> {
    find(exec, expected, plan, false)
}

/// Requires that the directory of `kver` has a `vmlinuz`. Other kernels are an error unless `has_others` is set. The
/// rpmdb is not compared with a plan: if kernel-install's plug-in started this program, the transaction is still
/// running.
///
/// # Errors
/// When the tree does not hold the kernel, or holds another one without `has_others`.
pub fn locate_among(exec: &Exec, kver: &Kver, has_others: bool, _: Settled) -> Result<Kernel> {
    find(exec, kver, None, has_others)
}

fn find(exec: &Exec, expected: &Kver, plan: Option<&Plan>, has_others: bool) -> Result<Kernel> {
    let kernels: Vec<_> = module_dirs(exec.root())?
        .into_iter()
        .filter(|dir| dir.has_vmlinuz)
        .map(|dir| dir.name)
        .filter(|name| !has_others || name == expected.as_str())
        .collect();
    if kernels != [expected.as_str()] {
        let found = match kernels.as_slice() {
            [] => "no kernel".to_owned(),
            kernels => kernels.join(", "),
        };
        let cause = match plan {
            Some(_) => format!(
                "the transaction did not install the planned kernel, even if it exited with status 0. Run again with -v to read what it printed{}",
                exec.last_lines()
            ),
            None => "another program changed the directory during this run. Run again".to_owned(),
        };
        bail!("usr/lib/modules holds {found}, expected {expected} only: {cause}");
    }
    let path = format!("{}/vmlinuz", expected.dir());
    let rpmdb = owner::packages(exec, Scope::All)?;
    let package = rpmdb.owners_of(&path).next();
    let package = package.map(|(package, _)| package.nevra.to_string());
    if let Some(plan) = plan {
        if package.is_none() {
            bail!(
                "no package owns /{path}, expected the kernel's package: the rpmdb and the tree do not agree. Build the layer again"
            );
        }
        require_complete(exec, rpmdb.packages(), plan)?;
    }
    Ok(Kernel {
        kver: expected.clone(),
        package,
        rpmdb: Arc::new(rpmdb),
    })
}

/// Requires that the transaction installed and removed exactly the planned packages. An interrupted transaction can
/// leave the new `vmlinuz`, too, and dnf also removes packages that depend on a removed package.
fn require_complete(exec: &Exec, installed: &[Record], plan: &Plan) -> Result<()> {
    let is_there = |source: &&Source| {
        installed.iter().any(|it| {
            let digest = it.header_sha256.as_ref();
            it.nevra == source.package.nevra
                && digest.is_none_or(|digest| *digest == source.package.header_sha256)
        })
    };
    let missing = plan.set.sources.iter().filter(|source| !is_there(source));
    let missing: Vec<_> = missing
        .map(|source| source.package.nevra.to_string())
        .collect();
    let there = |old: &&Nevra| installed.iter().any(|it| it.nevra == **old);
    let stayed = plan.leaving.gone.iter().filter(there);
    let stayed: Vec<_> = stayed.map(ToString::to_string).collect();
    let lost = plan.leaving.stays.iter().filter(|old| !there(old));
    let lost: Vec<_> = lost.map(ToString::to_string).collect();
    if missing.is_empty() && stayed.is_empty() {
        if lost.is_empty() {
            return Ok(());
        }
        bail!(
            "the transaction removed packages without --remove: {}. The new kernel does not meet their requirements; -v shows what the transaction printed. Build the layer again, and remove them in an earlier RUN line if they are not needed",
            lost.join(", ")
        );
    }
    let or_none = |names: Vec<String>| match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    bail!(
        "the transaction is incomplete, whatever its exit status. Not installed: {}. Not removed: {}. Build the layer again; -v shows what the transaction printed{}",
        or_none(missing),
        or_none(stayed),
        exec.last_lines()
    );
}
