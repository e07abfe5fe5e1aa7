// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel verify`: whether the tree would boot.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;

use super::{COULD_NOT, after, publish};
use crate::checks::{CHECKS, RootDevice, Selection, Severity, Wanted};
use crate::cli::{self, Format, Global};
use crate::kernel::kver::Kver;
use crate::plan::ModuleDir;
use crate::report::{KernelReport, Labels, Outcome, Report, SCHEMA, checks, tool};
use crate::steps::verify::{self, Verdict};
use crate::steps::{owner, tree};
use crate::sys::exec::Exec;
use crate::sys::root::Root;

/// Looks at the kernel, its initramfs and the tree around them, and says what
/// is wrong, where, what was expected and what to do. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The kernel release to look at; needed only where there are several
    #[arg(value_name = "KVER", conflicts_with = "of_kver")]
    pub kver: Option<Kver>,
    /// Look at this file alone, and at no tree
    #[arg(
        long,
        value_name = "FILE",
        requires = "of_kver",
        conflicts_with = "root"
    )]
    pub image: Option<PathBuf>,
    /// The kernel release that the file of --image is for
    #[arg(long = "kver", id = "of_kver", value_name = "KVER")]
    pub of_kver: Option<Kver>,
    /// Also look for what this earlier initramfs has and this one lost
    #[arg(long, value_name = "IMAGE")]
    pub against: Option<PathBuf>,
    /// What the root lies on; may be given several times
    #[arg(long, value_enum, value_name = "KIND")]
    pub root_device: Vec<RootDevice>,
    /// The file system of the root; may be given several times
    #[arg(long, value_name = "NAME")]
    pub root_fs: Vec<String>,
    /// A driver that has to be inside or built in; may be given several times
    #[arg(long, value_name = "NAME")]
    pub require_driver: Vec<String>,
    /// Let only this check look; may be given several times
    #[arg(long, value_name = "CHECK", value_parser = names(), hide_possible_values = true)]
    pub only: Vec<String>,
    /// Do not let this check look; the report says so
    #[arg(long, value_name = "CHECK", value_parser = names(), hide_possible_values = true)]
    pub skip: Vec<String>,
    /// Take warnings for fatal
    #[arg(long)]
    pub fatal_warnings: bool,
    /// Print the checks with their severities, and look at nothing
    #[arg(long)]
    pub list: bool,
    /// Write the report to FILE too
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.iter().map(|check| check.name))
}

/// The page that tells the story.
///
/// # Errors
/// When the tree or the file cannot be read at all.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    if args.list {
        cli::print(&list())?;
        return Ok(Outcome::Passed);
    }
    let selection = Selection {
        only: args.only.clone(),
        skip: args.skip.clone(),
    };
    let options = verify::Options {
        base: args.against.as_deref().map(verify::against).transpose()?,
        wanted: Wanted {
            devices: args.root_device.clone(),
            filesystems: args.root_fs.clone(),
            drivers: args.require_driver.clone(),
        },
        lacking: Vec::new(),
        selection: Some(&selection),
        digests: global.format == Format::Json || args.report.is_some(),
    };
    let (kver, verdict) = match (&args.image, &args.of_kver) {
        (Some(image), Some(kver)) => (kver.clone(), verify::look_alone(image, kver, &options)?),
        _ => look(args, global, &options)?,
    };
    let (checks, findings, mut outcome) = checks(&verdict.answers);
    let warned = findings.iter().any(|it| it.severity == Severity::Warning);
    let unknown = checks.iter().any(|it| it.answer == COULD_NOT);
    if args.fatal_warnings {
        outcome = match outcome {
            _ if warned => Outcome::Rejected,
            Outcome::Passed if unknown => Outcome::Unknown,
            other => other,
        };
    }
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
        changes: Vec::new(),
        left_out: Vec::new(),
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

/// Looks at the tree.
fn look(args: &Args, global: &Global, options: &verify::Options) -> Result<(Kver, Verdict)> {
    let root = Root::open(&global.root)?;
    let exec = Exec::new(&root);
    let kver = match args.kver.as_ref().or(args.of_kver.as_ref()) {
        Some(kver) => kver.clone(),
        None => a_kernel(tree::module_dirs(&root)?)?,
    };
    let path = format!("{}/initramfs.img", kver.dir());
    let owner = {
        let kver = kver.clone();
        move || owner::ask(&exec, &kver)
    };
    let verdict = verify::look(&root, &kver, &path, owner, options)?;
    Ok((kver, verdict))
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
            "{:<24}{severity:<9}{} ({})\n",
            check.name, check.about, check.issue
        )
    };
    CHECKS.iter().map(line).collect()
}
