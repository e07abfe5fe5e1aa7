// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel verify`: checks whether a tree, an image, a deployment or an initramfs would boot.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use super::demands::{Demands, names};
use super::deployed::{self, Deployed};
use super::job::after;
use super::page::{self, Global, OutputFormat};
use super::reading::{Reading, first_kernel};
use super::result::{publish, publish_all};
use super::signing::TrustedOptions;
use crate::checks::verdict::outcome;
use crate::checks::{AllLacking, CHECKS, Check, Selection, Severity, Situation};
use crate::kernel::kver::Kver;
use crate::node::Which;
use crate::pool;
use crate::report::documents::{CheckList, ListedCheck};
use crate::report::{
    AnswerWord, Command, DeploymentReport, FailedImage, ImageEntry, ImageReport, KernelReport,
    Labels, Outcome, Report, SchemaVersion, checks, tool,
};
use crate::site::image::{FoundImage, OpenImage};
use crate::site::{deployments, owner};
use crate::steps::verify::{self, Verdict};
use crate::sys::root::Root;
use crate::sys::stop;

/// Checks whether a tree or an initramfs would boot. Prints each problem with
/// its path, the expected state and the remedy. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images, each with its transport: docker://, oci:, oci-archive:, docker-archive:,
    /// dir: or containers-storage:
    #[arg(value_name = "IMAGE")]
    pub images: Vec<OsString>,
    /// Options that choose a deployment.
    #[command(flatten)]
    pub deployed: Deployed,
    /// Verify only this initramfs, without a tree
    #[arg(long, value_name = "FILE")]
    pub initramfs: Option<PathBuf>,
    /// Kernel release to verify [default: the first one in the tree or IMAGE, the
    /// only one in FILE]
    #[arg(long, value_name = "KVER")]
    pub kver: Option<Kver>,
    /// Compare with an earlier initramfs, image or tree: report drivers, dracut modules
    /// and units that are missing now
    #[arg(long, value_name = "FILE|IMAGE|DIR")]
    pub against: Option<OsString>,
    /// How to read images.
    #[command(flatten)]
    pub reading: Reading,
    /// Verify up to N images at the same time [default: 2]
    #[arg(long, value_name = "N", requires = "images")]
    pub jobs: Option<NonZeroUsize>,
    /// Requirements on the initramfs.
    #[command(flatten)]
    pub demands: Demands,
    /// Options that name trusted certificates.
    #[command(flatten)]
    pub trusted: TrustedOptions,
    /// Run only this check; may be repeated
    #[arg(long, value_name = "CHECK", value_parser = names(), hide_possible_values = true)]
    pub only: Vec<String>,
    /// Treat warnings as fatal
    #[arg(long)]
    pub fatal_warnings: bool,
    /// List the checks and their severities without running them
    #[arg(long)]
    pub list: bool,
    /// Also write the report to FILE
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the tree, the deployment, the initramfs, the only image, a trusted certificate or the baseline of `--against`
/// cannot be read, or the result cannot be written. If several images are given, the error of an image is in that
/// image's entry of the report.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    if args.list {
        page::print(&list(global.format)?)?;
        return Ok(Outcome::Passed);
    }
    let selection = Selection {
        only: args.only.clone(),
        skip: args.demands.skip.clone(),
    };
    let options = verify::Options {
        base: args
            .against
            .as_deref()
            .map(|it| args.reading.baseline(it))
            .transpose()?,
        wanted: args.demands.wanted(),
        lacking: AllLacking::default(),
        selection: Some(&selection),
        machine: None,
        overlays: Vec::new(),
        trusted: args.trusted.read().map_err(|why| anyhow!("{why}"))?,
        digests: global.format == OutputFormat::Json || args.report.is_some(),
    };
    if !args.images.is_empty() {
        return images(args, global, &options);
    }
    if let Some(which) = args.deployed.which() {
        return verify_deployment(args, global, options, &which);
    }
    let (kver, verdict) = match &args.initramfs {
        Some(file) => verify::look_alone(file, args.kver.as_ref(), &options)?,
        None => verify_tree(&Root::open(&global.root)?, args.kver.as_ref(), &options)?,
    };
    let report = report(
        Command::Verify,
        &kver,
        verdict,
        Subject::Tree,
        args.fatal_warnings,
    );
    publish(&report, global, args.report.as_deref())?;
    Ok(report.outcome)
}

/// Verifies images, `--jobs` at a time, and prints their reports together. If only one image is given, its error is
/// returned. If several are given, an error becomes the entry of its image, and the other images are still verified. A
/// layer that several of them have in a registry is fetched once.
fn images(args: &Args, global: &Global, options: &verify::Options) -> Result<Outcome> {
    if let [only] = args.images.as_slice() {
        let report = image(only, args.reading.open(only), args, options)?;
        publish(&report, global, args.report.as_deref())?;
        return Ok(report.outcome);
    }
    let found: Vec<_> = args.images.iter().map(|it| args.reading.find(it)).collect();
    let shared = FoundImage::shared(found.iter().filter_map(|it| it.as_ref().ok()));
    let threads = args.jobs.map_or(2, NonZeroUsize::get);
    let threads = threads.min(args.images.len());
    let entries = pool::try_map(args.images.iter().zip(found), threads, |(word, found)| {
        let opened = found.and_then(|it| it.read(&shared));
        let report = image(word, opened, args, options);
        stop::check()?;
        anyhow::Ok(match report {
            Ok(report) => ImageEntry::Verified(Box::new(report)),
            Err(error) => {
                let reference = word.to_string_lossy();
                ImageEntry::Failed(FailedImage::new(&reference, format!("{error:#}")))
            }
        })
    })?;
    publish_all(&entries, global, args.report.as_deref())
}

fn image(
    word: &OsStr,
    opened: Result<OpenImage>,
    args: &Args,
    options: &verify::Options,
) -> Result<Report> {
    let opened = opened?;
    let (kver, verdict) = verify_tree(&opened.root, args.kver.as_ref(), options)
        .with_context(|| format!("verifying {}", word.display()))?;
    let of = Subject::Image(opened.facts());
    Ok(report(
        Command::Verify,
        &kver,
        verdict,
        of,
        args.fatal_warnings,
    ))
}

/// Verifies a deployment on the machine that boots it.
fn verify_deployment(
    args: &Args,
    global: &Global,
    mut options: verify::Options,
    which: &Which,
) -> Result<Outcome> {
    let system = deployments::read(&Root::open(&global.root)?)?;
    let opened = deployed::open(&system, system.find(which)?)?;
    options.base = options.base.or(opened.base);
    options.machine = opened.machine;
    options.overlays = opened.overlays;
    let (kver, verdict) = verify_tree(&opened.root, args.kver.as_ref(), &options)?;
    let of = Subject::Deployment(opened.report);
    let report = report(Command::Verify, &kver, verdict, of, args.fatal_warnings);
    publish(&report, global, args.report.as_deref())?;
    Ok(report.outcome)
}

/// The subject of a verification, for the report.
pub(super) enum Subject {
    /// A tree, or an initramfs alone.
    Tree,
    /// An image.
    Image(ImageReport),
    /// A deployment.
    Deployment(DeploymentReport),
}

/// Returns the report of a verification. With `fatal_warnings`, a warning makes the outcome rejected. If there is no
/// warning, but any check could not run, a passed outcome becomes unknown.
pub(super) fn report(
    command: Command,
    kver: &Kver,
    verdict: Verdict,
    of: Subject,
    fatal_warnings: bool,
) -> Report {
    let situation = match of {
        Subject::Deployment(_) => Situation::Deployed,
        Subject::Tree | Subject::Image(_) => Situation::Verified,
    };
    let (image, deployment) = match of {
        Subject::Image(image) => (Some(image), None),
        Subject::Deployment(deployment) => (None, Some(deployment)),
        Subject::Tree => (None, None),
    };
    let (checks, findings) = checks(&verdict.answers, situation);
    let mut outcome = outcome(&verdict.answers);
    if fatal_warnings {
        let warned = findings.iter().any(|it| it.severity == Severity::Warning);
        let unknown = checks.iter().any(|it| it.answer == AnswerWord::CouldNotRun);
        outcome = match outcome {
            _ if warned => Outcome::Rejected,
            Outcome::Passed if unknown => Outcome::Unknown,
            other => other,
        };
    }
    Report {
        schema: SchemaVersion,
        tool: tool(),
        command,
        outcome,
        image,
        deployment,
        host: None,
        kernel: KernelReport {
            before: None,
            after: after(kver, None, &verdict),
        },
        packages: Vec::new(),
        changes: Vec::new(),
        stays: Vec::new(),
        left_out: Vec::new(),
        before_dracut: None,
        signing: None,
        commands: Vec::new(),
        dracut: verdict.dracut,
        checks,
        findings,
        warnings: Vec::new(),
        labels: Labels {
            ostree_linux: Some(kver.to_string()),
        },
    }
}

/// Verifies the tree in `root` with the kernel `kver` or, if it is `None`, with the tree's first kernel. Returns the
/// kernel release and the verdict.
pub(super) fn verify_tree(
    root: &Root,
    kver: Option<&Kver>,
    options: &verify::Options,
) -> Result<(Kver, Verdict)> {
    let kver = match kver {
        Some(kver) => kver.clone(),
        None => first_kernel(root)?,
    };
    let path = format!("{}/initramfs.img", kver.dir());
    let rpmdb = || owner::for_checks(root);
    let verdict = verify::look(root, &kver, &path, rpmdb, options)?;
    Ok((kver, verdict))
}

fn list(format: OutputFormat) -> Result<String> {
    let line = |check: &Check| {
        let severity = check.severity.as_str();
        format!(
            "{:<24}{severity:<9}{} ({})\n",
            check.name, check.about, check.issue
        )
    };
    if format == OutputFormat::Human {
        return Ok(CHECKS.iter().map(line).collect());
    }
    let listed = |check: &Check| ListedCheck {
        check: check.name,
        severity: check.severity,
        about: check.about,
        issue: check.issue,
    };
    let list = CheckList {
        schema: SchemaVersion,
        checks: CHECKS.iter().map(listed).collect(),
    };
    page::json(&list)
}
