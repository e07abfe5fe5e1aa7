// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the kernel that is there now, on disk and in the rpmdb.

use anyhow::{Context, Result, bail};

use super::owner;
use super::transact::Settled;
use super::tree::module_dirs;
use crate::checks::Owner;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::plan::{Installed, Plan, Source};
use crate::sys::exec::Exec;
use crate::tools::{cliwrap, rpm};

/// The one kernel of the tree.
#[derive(Clone)]
pub struct Kernel {
    /// What `uname -r` will say; its directory is there and holds a regular `vmlinuz`.
    pub kver: Kver,
    /// The package that owns `vmlinuz`.
    pub package: String,
    /// All that the rpmdb says of `vmlinuz`.
    pub owner: Owner,
}

/// Exactly one directory with a `vmlinuz`, its name the promised kver, owned by a package; and,
/// after a transaction, the rpmdb holds each package of the plan and none that it replaces.
///
/// # Errors
/// When it is not so; the transaction did not do what it was asked for, whatever it returned.
pub fn locate(exec: &Exec, promised: &Kver, plan: Option<&Plan>, _: Settled) -> Result<Kernel> {
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
            "usr/lib/modules holds {found}, expected {promised} only: the transaction did not do what it was asked for, whatever it returned. Run again with -v to read what it printed{}",
            exec.last_lines()
        );
    }
    let path = format!("{}/vmlinuz", promised.dir());
    let program = cliwrap::real(exec.root(), "rpm")?;
    let database = rpm::Database::open(exec, &program);
    let owners = owner::of_vmlinuz(&database, promised)?;
    let Some((package, _)) = owners.first() else {
        bail!(
            "no package owns /{path}, expected the kernel's: the rpmdb and the tree do not tell the same story"
        );
    };
    if let Some(plan) = plan {
        let installed = database.packages();
        let installed = installed.context("asking what is installed now")?;
        is_whole(exec, &installed, plan)?;
    }
    Ok(Kernel {
        kver: promised.clone(),
        package: package.to_string(),
        owner: Owner::Packages(owners),
    })
}

/// A transaction that stopped half-way has a `vmlinuz`, too; and dnf removes what depends on a
/// package that it is told to remove.
fn is_whole(exec: &Exec, installed: &[Installed], plan: &Plan) -> Result<()> {
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
            "the transaction removed packages that nobody let go: {}. Their requirements are not met by the new kernel; with -v the run shows what the transaction printed. Build the layer again, and remove them in an earlier RUN line if they may go",
            lost.join(", ")
        );
    }
    let or_none = |names: Vec<String>| match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    bail!(
        "the transaction stopped half-way, whatever it returned. Packages that did not come: {}. Packages that did not go: {}. Build the layer again; with -v it shows what the transaction printed{}",
        or_none(missing),
        or_none(stayed),
        exec.last_lines()
    );
}
