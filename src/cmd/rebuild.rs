// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel rebuild`: the same without a new kernel.

use std::time::Instant;

use anyhow::Result;

use super::{Ending, Job, step};
use crate::cli::Global;
use crate::report::Outcome;
use crate::steps::workspace::Workspace;
use crate::steps::{commit, locate, survey, unwrap, verify};
use crate::sys::exec::Exec;
use crate::sys::root::Root;

/// Builds the initramfs of the installed kernel again (a dracut.conf, a
/// multipath.conf, a module changed), verifies it and commits.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Options of both jobs.
    #[command(flatten)]
    pub ending: Ending,
}

/// The page that tells the story.
///
/// # Errors
/// A refusal, or the step that failed.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    let start = Instant::now();
    let root = Root::open(&global.root)?;
    let exec = Exec::new(&root);
    args.ending.begin(&exec)?;
    let host = step("survey", || survey::admitted(&exec), |host| host.summary())?;
    let kver = host.kernel()?;
    let base = verify::baseline(&root, &kver);
    let workspace = Workspace::open(&root)?;
    workspace.log(&exec)?;
    let settled = unwrap::unwrap(&root, &host)?.settled();
    let locate = || locate::locate(&exec, &kver, None, settled);
    let kernel = step("locate", locate, |kernel| {
        format!("{} of {}", kernel.kver, kernel.package)
    })?;
    let job = Job {
        start,
        command: "rebuild",
        kind: host.kind,
        backend: None,
        before: None,
        packages: Vec::new(),
        changes: Vec::new(),
        left_out: Vec::new(),
        warnings: Vec::new(),
        commit: commit::commands(&exec, host.kind)?,
        ending: &args.ending,
    };
    job.finish(&exec, workspace, kernel, base, global)
}
