// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps between `clean` and `commit`: run the user's programs, sign the kernel and its modules, build the
//! initramfs, and verify it.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::job::{Job, step};
use crate::kernel::kver::Kver;
use crate::package::rpmdb::Scope;
use crate::site::owner;
use crate::site::workspace::Workspace;
use crate::steps::clean::Clean;
use crate::steps::generate::{self, Candidate, Wants};
use crate::steps::sign;
use crate::steps::verify::{Options, Verdict, Verified, verify};
use crate::sys::exec::Exec;

impl Job<'_> {
    /// Runs the programs of `--before-dracut`.
    pub(super) fn run_programs(&mut self, exec: &Exec, clean: &mut Clean) -> Result<()> {
        let asked = &self.ending.before_dracut;
        if asked.is_empty() {
            return Ok(());
        }
        let kver = &clean.kernel.kver;
        let run = || generate::run_programs(exec, kver, asked);
        self.programs = step("programs", run, |report| {
            report
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        })?;
        // A program may have installed packages, so the rpmdb is read again.
        clean.kernel.rpmdb = Arc::new(owner::packages(exec, Scope::All)?);
        Ok(())
    }

    /// Signs `vmlinuz`, modules or both, according to the given keys. Does nothing without a key.
    pub(super) fn sign(&mut self, exec: &Exec, workspace: &Workspace, kver: &Kver) -> Result<()> {
        if self.signing.is_empty() {
            return Ok(());
        }
        let sign = || sign::sign(exec, workspace, kver, &self.signing);
        self.signed = step("sign", sign, |report| {
            report
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        })?;
        Ok(())
    }

    /// Builds and verifies the initramfs; with `--prove`, builds it twice. The inner `Err` holds the verdict if a check
    /// has a fatal finding, a fatal check could not run, or no check ran.
    pub(super) fn build(
        &mut self,
        exec: &Exec,
        workspace: &Workspace,
        clean: &Clean,
        wants: &mut Wants,
        options: &mut Options,
    ) -> Result<Result<Verified, Verdict>> {
        let generate = || generate::generate(exec, workspace, clean, wants);
        let mut candidate = step("generate", generate, |_| "depmod, dracut".to_owned())?;
        if self.ending.prove {
            let prove = || prove(exec, workspace, candidate, wants);
            candidate = step("prove", prove, |_| "a second build is identical".to_owned())?;
        }
        options.lacking.clone_from(&candidate.lacking);
        self.warnings.append(&mut candidate.warnings());
        step(
            "verify",
            || verify(exec.root(), candidate, options),
            |verified| match verified {
                Ok(_) => "no fatal findings".to_owned(),
                Err(_) => "not fit to boot".to_owned(),
            },
        )
    }
}

/// Builds the initramfs a second time, and returns the second candidate. Fails if the two initramfs files differ.
fn prove(
    exec: &Exec,
    workspace: &Workspace,
    mut first: Candidate,
    wants: &mut Wants,
) -> Result<Candidate> {
    let difference = match generate::prove(exec, workspace, &mut first, wants)? {
        Ok(second) => return Ok(second),
        Err(difference) => difference,
    };
    bail!(
        "two builds of the initramfs for {} differ, and nothing was committed. Look in dracut's modules and configuration for a file or a date that changes with each run:\n{difference}",
        first.kernel.kver
    );
}
