// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the rpmdb says of `vmlinuz`.

use anyhow::{Context, Result};

use crate::checks::Owner;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::plan::Installed;
use crate::sys::exec::Exec;
use crate::tools::{cliwrap, rpm};

/// The packages that own a kernel's `vmlinuz`, each with the kvers that it provides as
/// `kernel-uname-r`.
///
/// # Errors
/// When rpm cannot be asked.
pub fn of_vmlinuz(database: &rpm::Database, kver: &Kver) -> Result<Vec<(Nevra, Vec<String>)>> {
    let owners = database
        .owners(&format!("{}/vmlinuz", kver.dir()))
        .context("asking who owns vmlinuz")?;
    let provided = |owner: Installed| {
        let caps = owner.provides.into_iter();
        let kvers = caps.filter(|cap| cap.name == "kernel-uname-r");
        (owner.nevra, kvers.map(|cap| cap.version).collect())
    };
    Ok(owners.into_iter().map(provided).collect())
}

/// Asks a tree that may have no rpmdb.
pub fn ask(exec: &Exec, kver: &Kver) -> Owner {
    asked(exec, kver).unwrap_or_else(|error| Owner::Failed(format!("{error:#}")))
}

fn asked(exec: &Exec, kver: &Kver) -> Result<Owner> {
    let program = cliwrap::real(exec.root(), "rpm")?;
    if !exec.has(&program) {
        return Ok(Owner::NoRpmdb("there is no rpm in the tree".into()));
    }
    let database = rpm::Database::open(exec, &program);
    let owners = of_vmlinuz(&database, kver).map(Owner::Packages);
    owners.or_else(|error| match exec.probe() {
        Ok(()) => Err(error),
        Err(why) => Ok(Owner::NoRpmdb(format!(
            "the tree's rpm cannot be asked: {why:#}"
        ))),
    })
}
