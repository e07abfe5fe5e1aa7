// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel verify`: whether the tree would boot.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{after, publish};
use crate::checks::CHECKS;
use crate::cli::{self, Global};
use crate::kernel::kver::Kver;
use crate::plan::ModuleDir;
use crate::report::{KernelReport, Labels, Outcome, Report, SCHEMA, checks, tool};
use crate::steps::{survey, verify};
use crate::sys::exec::Exec;
use crate::sys::root::Root;

/// Looks at the kernel, its initramfs and the tree around them, and says what
/// is wrong, where, what was expected and what to do. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The kernel release to look at; needed only where there are several
    #[arg(value_name = "KVER")]
    pub kver: Option<Kver>,
    /// Print the checks with their severities, and look at nothing
    #[arg(long)]
    pub list: bool,
    /// Write the report to FILE too
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// The page that tells the story.
///
/// # Errors
/// When the tree cannot be read at all.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    if args.list {
        cli::print(&list())?;
        return Ok(Outcome::Passed);
    }
    let root = Root::open(&global.root)?;
    let exec = Exec::new(&root);
    let kver = match &args.kver {
        Some(kver) => kver.clone(),
        None => a_kernel(survey::module_dirs(&root)?)?,
    };
    let verdict = verify::look(&exec, &kver, &format!("{}/initramfs.img", kver.dir()))?;
    let (checks, findings, outcome) = checks(&verdict.answers);
    let report = Report {
        schema: SCHEMA,
        tool: tool(),
        command: "verify",
        outcome,
        host: None,
        kernel: KernelReport {
            before: None,
            after: after(&kver, None, &verdict),
        },
        packages: Vec::new(),
        commands: Vec::new(),
        dracut: verdict.dracut,
        checks,
        findings,
        warnings: Vec::new(),
        labels: Labels {
            ostree_linux: kver.to_string(),
        },
    };
    publish(&report, global, args.report.as_deref())?;
    Ok(outcome)
}

/// The first kernel: where there are several, `kernel-single` says so.
fn a_kernel(dirs: Vec<ModuleDir>) -> Result<Kver> {
    let kernel = dirs.into_iter().find(|dir| dir.has_vmlinuz);
    let kernel = kernel.context("no directory in usr/lib/modules holds a vmlinuz; expected one kernel. To look for a certain one type: ostree-kernel verify KVER")?;
    Kver::new(&kernel.name).context("reading usr/lib/modules")
}

fn list() -> String {
    let line = |check: &crate::checks::Check| {
        let severity = check.severity.as_str();
        format!(
            "{:<20}{severity:<9}{} ({})\n",
            check.name, check.about, check.issue
        )
    };
    CHECKS.iter().map(line).collect()
}
