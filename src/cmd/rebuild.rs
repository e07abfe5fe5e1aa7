// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel rebuild`: builds and verifies the initramfs of the installed kernel, and commits.

use std::time::Instant;

use anyhow::Result;

use super::job::{Ending, Job, step};
use super::page::Global;
use crate::kernel::kver::Kver;
use crate::plan;
use crate::report::{Command, Outcome};
use crate::site::workspace::Workspace;
use crate::steps::survey::{self, Permission, asked};
use crate::steps::{locate, unwrap};
use crate::sys::exec::Exec;
use crate::sys::root::Root;

/// Rebuilds the initramfs of the installed kernel after a change of
/// dracut.conf, multipath.conf or a module, verifies it and commits.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kernel release whose initramfs is rebuilt [default: the only one in the tree]
    #[arg(long, value_name = "KVER")]
    pub kver: Option<Kver>,
    /// Options of `replace` and `rebuild`.
    #[command(flatten)]
    pub ending: Ending,
}

/// Runs the command.
///
/// # Errors
/// A refusal, or the error of the step that failed.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    let start = Instant::now();
    let root = Root::open(&global.root)?;
    let exec = Exec::new(&root);
    args.ending.begin(&exec)?;
    let survey = || survey::survey(&exec, Permission::StartPrograms);
    let mut host = step("survey", survey, |host| host.summary())?;
    if let Some(kver) = &args.kver {
        for line in host.keep_only(kver) {
            tracing::warn!("{line}");
        }
    }
    let base = args.ending.baseline(&root, &host)?;
    plan::admit(&host)?;
    let kver = host.kernel()?;
    asked::compressor(&exec, Permission::StartPrograms, &args.ending.for_dracut())?;
    let signing = args.ending.signing(&root)?;
    args.ending.admit(&exec, &host, &kver, &[], &signing)?;
    for warning in host.oddities.warnings() {
        tracing::warn!("{warning}");
    }
    let base = base.unwrap_or_else(|| None.into());
    let workspace = Workspace::open(&root)?;
    workspace.log(&exec)?;
    let settled = unwrap::unwrap(&root, &host)?.settled();
    let locate = || locate::locate_among(&exec, &kver, args.kver.is_some(), settled);
    let kernel = step("locate", locate, |kernel| kernel.to_string())?;
    let job = Job {
        warnings: host.oddities.warnings(),
        ..Job::new(
            Command::Rebuild,
            start,
            &exec,
            host.kind,
            &args.ending,
            signing,
        )?
    };
    job.finish(&exec, workspace, kernel, base, global)
}
