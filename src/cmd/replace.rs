// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel replace`: installs another kernel, builds and verifies its initramfs, and commits.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::job::{Ending, Job, step};
use super::page::{self, Global, OutputFormat};
use super::result::deliver;
use super::sources::{self, Sources};
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::package::signature::Signature;
use crate::plan::{self, Backend, Host, Plan, Refusal, Wishes};
use crate::report::documents::{DryRun, DryRunOutcome, NewKernel, OldKernel, PlannedKernel};
use crate::report::{Command, Outcome, PackageReport, SchemaVersion};
use crate::site::done;
use crate::site::journal::Journal;
use crate::site::workspace::Workspace;
use crate::steps::sign::Signing;
use crate::steps::survey::{self, Permission, asked};
use crate::steps::verify::Reading;
use crate::steps::{commit, generate, locate, resolve, transact, unwrap};
use crate::sys::exec::Exec;
use crate::sys::root::Root;
use crate::text::plain;
use crate::tools::{depmod, dnf};

/// Replaces the kernel with that of the RPMs in one transaction without
/// cliwrap, runs depmod and dracut once, verifies the initramfs, cleans caches
/// and commits the container. A failure is reported with its remedy.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Options of the sources.
    #[command(flatten)]
    pub sources: Sources,
    /// Print the plan with its command lines, and leave the tree unchanged; sources
    /// are downloaded
    #[arg(long, help_heading = "Plan")]
    pub dry_run: bool,
    /// Program that replaces the packages [default: detected]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Plan")]
    pub backend: Option<Backend>,
    /// Require this kernel release
    #[arg(long, value_name = "KVER", help_heading = "Plan")]
    pub kver: Option<Kver>,
    /// Use only kernels of this flavour: default, rt, 64k, debug … [default: any; of
    /// several, that of the base's kernel]
    #[arg(long, value_name = "NAME", help_heading = "Plan")]
    pub flavour: Option<String>,
    /// Allow removing this package, which nothing in the sources replaces: a
    /// sub-package, a kmod, or a package that requires the kernel
    #[arg(long, value_name = "NAME", help_heading = "Plan")]
    pub remove: Vec<String>,
    /// Leave dnf's version locks of the old kernel unchanged
    #[arg(long, help_heading = "Plan")]
    pub no_versionlock: bool,
    /// Hide the image's repositories from rpm-ostree during the transaction
    #[arg(long, help_heading = "Plan")]
    pub no_repos: bool,
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
    let may = if args.dry_run {
        Permission::ReadFiles
    } else {
        Permission::StartPrograms
    };
    let survey = || survey::admitted(&exec, may);
    let host = step("survey", survey, |host| host.summary())?;
    asked::compressor(&exec, may, &args.ending.for_dracut())?;
    if let (true, Some(repo)) = (args.dry_run, &args.sources.from) {
        return Err(Refusal::FromInDryRun(repo.clone()).into());
    }
    let signing = args.ending.signing(&root)?;
    if let Some(report) = done_by_headers(&exec, &host, args, &signing) {
        return unchanged(report, global, args.ending.report.as_deref());
    }
    let workspace = Workspace::open(&root)?;
    // The base's initramfs is read on another thread while the packages are fetched and checked.
    let base = args.ending.baseline(&root, &host)?;
    let has_no_baseline = base.is_none();
    let base = base.unwrap_or_else(|| None.into());
    let resolve = || resolve::resolve(&exec, &host, &workspace, &args.request());
    let sources = step("resolve", resolve, |sources| sources::summary(sources))?;
    let wishes = Wishes {
        has_no_baseline,
        ..args.wishes(&sources)
    };
    let set = plan::select(sources, &host, &wishes)?;
    args.ending
        .admit(&exec, &host, &set.kver, &set.sources, &signing)?;
    let mut plan = plan::plan(&host, set, &wishes)?;
    if args.dry_run {
        if !args.no_versionlock {
            let locks = dnf::moved_locks(&root, &plan.leaving.changes)?;
            plan.locks = locks.iter().map(|lock| lock.file).collect();
        }
        return dry_run(&exec, &plan, base, args, &signing, global);
    }
    announce(&plan);
    if let Some(report) = done(&exec, &plan, &args.ending, &signing)? {
        return unchanged(report, global, args.ending.report.as_deref());
    }
    resolve::tidy(&args.request(), &plan.set.sources);
    let journal = begin(&exec, &host, &plan, base)?;
    workspace.log(&exec)?;
    let unwrapped = unwrap::unwrap(&root, &host)?;
    // Leftovers of a killed run may have hidden facts from the first survey. `unwrap` has removed these leftovers, so
    // the survey and the plan are repeated.
    let (host, plan) = if host.leftovers.is_empty() {
        (host, plan)
    } else {
        let host = survey::admitted(&exec, Permission::StartPrograms)?;
        let plan = plan::plan(&host, plan.set, &wishes)?;
        (host, plan)
    };
    let settled = if plan.settled {
        unwrapped.settled()
    } else {
        let transact = || transact::transact(&exec, &host, &plan, &workspace, unwrapped);
        step("transact", transact, |_| {
            format!("{} packages", plan.set.sources.len())
        })?
    };
    let locate = || locate::locate(&exec, &plan.set.kver, Some(&plan), settled);
    let kernel = step("locate", locate, |kernel| kernel.to_string())?;
    let job = Job {
        backend: Some(plan.backend),
        before: journal.before,
        packages: packages(&plan),
        changes: journal.changes,
        stays: journal.stays,
        left_out: left_out(&plan),
        warnings: plan.warnings.clone(),
        moves_locks: !args.no_versionlock,
        ..Job::new(
            Command::Replace,
            start,
            &exec,
            plan.kind,
            &args.ending,
            signing,
        )?
    };
    job.finish(&exec, workspace, kernel, journal.base.into(), global)
}

impl Args {
    fn request(&self) -> resolve::SourceRequest<'_> {
        self.sources.request()
    }

    fn wishes(&self, sources: &[plan::Source]) -> Wishes {
        Wishes {
            backend: self.backend,
            kver: self.kver.clone(),
            flavour: self.flavour.clone(),
            remove: self.remove.clone(),
            require_signature: self.sources.require_signature,
            allow_unsigned: self.sources.allow_unsigned,
            no_repos: self.no_repos,
            has_no_baseline: false,
            builds_modules: !self.ending.before_dracut.is_empty(),
            pinned_command: sources::pinned_command(sources),
        }
    }
}

fn announce(plan: &Plan) {
    let backend = if plan.settled {
        "already installed".to_owned()
    } else {
        format!("with {}", plan.backend)
    };
    let (old, new) = (plan.old_name(), &plan.set.kver);
    tracing::info!("plan           {old} -> {new} {backend}");
    for nevra in &plan.set.unused {
        tracing::info!(
            "not installing {nevra}: the kernel {} does not require it",
            plan.set.kver
        );
    }
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
}

/// Returns the report of an earlier run as [`done`] does, but reads only the headers of the packages. Returns `None`
/// with `--dry-run`, for sources that are not local files, and after an error, which the later steps report.
fn done_by_headers(exec: &Exec, host: &Host, args: &Args, signing: &Signing) -> Option<Value> {
    if args.dry_run {
        return None;
    }
    let sources = resolve::read_headers(exec.root(), &args.request()).ok()??;
    let wishes = args.wishes(&sources);
    let set = plan::select(sources, host, &wishes).ok()?;
    let plan = plan::plan(host, set, &wishes).ok()?;
    done(exec, &plan, &args.ending, signing).ok()?
}

/// Returns the report of an earlier run that finished the same job, if there is one. Returns `None` if packages are
/// still to be installed, if a journal shows an unfinished run, and with `--no-inherit`, `--prove`, `--against` or
/// requirements on the initramfs.
fn done(exec: &Exec, plan: &Plan, ending: &Ending, signing: &Signing) -> Result<Option<Value>> {
    let unfinished = || Journal::of(exec.root(), &plan.set.kver);
    if !plan.settled
        || ending.no_inherit
        || ending.prove
        || !ending.demands.is_empty()
        || ending.against.is_some()
        || unfinished()?.is_some()
    {
        return Ok(None);
    }
    let cleaning = if ending.no_commit {
        Vec::new()
    } else {
        commit::commands(exec, plan.kind)?
    };
    let asked = done::RunRequest {
        set: &plan.set,
        dracut: &ending.for_dracut(),
        programs: &ending.before_dracut,
        signing: &signing.expected(),
        skip: &ending.demands.skip,
        cleaning: &cleaning,
    };
    done::report(exec.root(), &asked)
}

/// Returns the journal of an interrupted run that has already installed this kernel; fails if packages of its plan are
/// missing. If there is no such journal, writes a new one with the state of the base, which the transaction then
/// changes.
fn begin(exec: &Exec, host: &Host, plan: &Plan, base: Reading) -> Result<Journal> {
    let root = exec.root();
    if let Some(journal) = Journal::of(root, &plan.set.kver)?.filter(|_| plan.settled) {
        refuse_missing(&journal, host)?;
        let after = &journal.after;
        tracing::info!("continuing an interrupted run: the kernel {after} is already installed");
        for command in &journal.commands {
            exec.record(command.clone());
        }
        return Ok(journal);
    }
    let mut base = base.done();
    if let Some(base) = &mut base {
        base.kmods.retain(|name| !plan.leaving.kmods.contains(name));
    }
    let journal = Journal {
        before: plan.old.clone(),
        after: plan.set.kver.clone(),
        commands: transact::command_lines(plan),
        changes: plan.leaving.changes.clone(),
        stays: plan.leaving.behind.clone(),
        base,
    };
    journal
        .write(root)
        .context("writing the journal of this run")?;
    Ok(journal)
}

/// Fails if the journal's transaction was killed before it had installed all packages of its plan. The kernel itself
/// can be complete even then: for example, only its meta package is missing.
fn refuse_missing(journal: &Journal, host: &Host) -> Result<(), Refusal> {
    let planned = journal.changes.iter().filter_map(|it| it.after.as_ref());
    let (there, missing): (Vec<_>, Vec<_>) =
        planned.partition(|nevra| host.installed().any(|it| it.nevra == **nevra));
    if missing.is_empty() {
        return Ok(());
    }
    let names = |nevras: Vec<&Nevra>| nevras.into_iter().map(ToString::to_string).collect();
    Err(Refusal::HalfInstalled {
        kver: journal.after.clone(),
        there: names(there),
        missing: names(missing),
    })
}

/// Reports that an earlier run has done everything: prints a sentence (nothing with `--quiet`) or, with `--format
/// json`, the earlier report, and writes that report to `file`. The outcome in the report becomes "unchanged".
fn unchanged(mut report: Value, global: &Global, file: Option<&Path>) -> Result<Outcome> {
    report["outcome"] = serde_json::json!(Outcome::Unchanged);
    let json = format!("{report:#}\n");
    let text = match global.format {
        OutputFormat::Json => json.clone(),
        OutputFormat::Human if global.quiet => String::new(),
        OutputFormat::Human => format!(
            "kernel {}: an earlier run installed it, and built and verified its initramfs; nothing was changed\n",
            report["kernel"]["after"]["kver"]
                .as_str()
                .unwrap_or_default()
        ),
    };
    deliver(&plain(&text), &json, file)?;
    Ok(Outcome::Unchanged)
}

fn dry_run(
    exec: &Exec,
    plan: &Plan,
    base: Reading,
    args: &Args,
    signing: &Signing,
    global: &Global,
) -> Result<Outcome> {
    let kver = &plan.set.kver;
    let mut commands = Vec::new();
    let wants = args.ending.wants(exec.root(), base.done().as_ref())?;
    // The command lines assume that the new kernel has a System.map if the old kernel has one.
    let map = plan.old.as_ref();
    let map = map
        .map(|old| depmod::has_map(exec.root(), old))
        .transpose()?;
    let with_map = map.unwrap_or(false);
    commands.extend(generate::programs(&args.ending.before_dracut, kver));
    commands.extend(signing.command(exec.root(), kver)?);
    // cliwrap is off when dracut runs, so `dracut` is the real program.
    commands.extend(wants.commands("dracut", kver, with_map));
    if !args.ending.no_commit {
        commands.extend(commit::commands(exec, plan.kind)?);
    }
    let commands = commands.iter().map(ToString::to_string);
    let commands: Vec<_> = transact::command_lines(plan)
        .into_iter()
        .chain(commands)
        .collect();
    let json = page::json(&DryRun {
        schema: SchemaVersion,
        command: Command::Replace,
        outcome: DryRunOutcome::Planned,
        root: exec.root().path(),
        backend: plan.backend,
        kernel: PlannedKernel {
            before: OldKernel {
                kver: plan.old.as_ref(),
            },
            after: NewKernel { kver },
        },
        packages: packages(plan),
        changes: &plan.leaving.changes,
        stays: &plan.leaving.behind,
        left_out: left_out(plan),
        commands: &commands,
        warnings: &plan.warnings,
    })?;
    let text = match global.format {
        OutputFormat::Human if global.quiet => String::new(),
        OutputFormat::Human => {
            format!("{plan}\ncommands, in order:\n  {}\n", commands.join("\n  "))
        }
        OutputFormat::Json => json.clone(),
    };
    deliver(&plain(&text), &json, args.ending.report.as_deref())?;
    Ok(Outcome::Passed)
}

fn packages(plan: &Plan) -> Vec<PackageReport> {
    let report = |source: &plan::Source| PackageReport {
        nevra: source.package.nevra.to_string(),
        sha256: source.sha256.clone(),
        signer: match &source.package.signature {
            Signature::Good(key) => Some(key.clone()),
            _ => None,
        },
    };
    plan.set.sources.iter().map(report).collect()
}

fn left_out(plan: &Plan) -> Vec<String> {
    plan.set.unused.iter().map(ToString::to_string).collect()
}
