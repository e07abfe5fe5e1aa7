// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel replace`: the whole job.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::sources::{self, Sources};
use super::{Ending, Job, step};
use crate::cli::{self, Format, Global};
use crate::kernel::kver::Kver;
use crate::package::signature::Signature;
use crate::plan::{self, Backend, Host, Plan, Wishes};
use crate::report::{Outcome, PackageReport, SCHEMA};
use crate::steps::journal::Journal;
use crate::steps::verify::{self, Reading};
use crate::steps::workspace::Workspace;
use crate::steps::{commit, done, locate, resolve, survey, transact, unwrap};
use crate::sys::exec::Exec;
use crate::sys::root::Root;
use crate::tools::depmod;

/// Replaces the kernel by that of the RPMs: one transaction, cliwrap off, the
/// real dracut once, the initramfs verified, caches cleaned and the container
/// committed. Or it fails, and says what to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where packages come from.
    #[command(flatten)]
    pub sources: Sources,
    /// Print the plan with its exact command lines, and change nothing
    #[arg(long, help_heading = "Plan")]
    pub dry_run: bool,
    /// The program that replaces packages; found out by itself otherwise
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Plan")]
    pub backend: Option<Backend>,
    /// Refuse any other kernel than this release
    #[arg(long, value_name = "KVER", help_heading = "Plan")]
    pub kver: Option<Kver>,
    /// Let this package go with the old kernel, which nothing replaces: a
    /// sub-package, a kmod, a package that requires it
    #[arg(long, value_name = "NAME", help_heading = "Plan")]
    pub remove: Vec<String>,
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
    if let Some(report) = at_a_glance(&exec, &host, args) {
        return unchanged(report, global, args.ending.report.as_deref());
    }
    let workspace = Workspace::open(&root)?;
    // The base's initramfs is read while packages are fetched and checked.
    let base = verify::baseline(&root, &host.kernel()?);
    let resolve = || resolve::resolve(&exec, &host, &workspace, &args.request());
    let sources = step("resolve", resolve, |sources| sources::summary(sources))?;
    let wishes = args.wishes(&sources);
    let set = plan::select(sources, &host, &wishes)?;
    let plan = plan::plan(&host, set, &wishes)?;
    if args.dry_run {
        return dry_run(&exec, &plan, base, args, global);
    }
    announce(&plan);
    if let Some(report) = done(&exec, &plan, &args.ending)? {
        return unchanged(report, global, args.ending.report.as_deref());
    }
    let journal = begin(&exec, &plan, base)?;
    workspace.log(&exec)?;
    let unwrapped = unwrap::unwrap(&root, &host)?;
    // What a killed run left is healed, and may have hidden what the plan is made of.
    let (host, plan) = if host.leftovers.is_empty() {
        (host, plan)
    } else {
        let host = survey::admitted(&exec)?;
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
    let kernel = step("locate", locate, |kernel| {
        format!("{} of {}", kernel.kver, kernel.package)
    })?;
    let job = Job {
        start,
        command: "replace",
        kind: plan.kind,
        backend: Some(plan.backend),
        before: Some(journal.before),
        packages: packages(&plan),
        changes: journal.changes,
        left_out: left_out(&plan),
        warnings: plan.warnings.clone(),
        commit: commit::commands(&exec, plan.kind)?,
        ending: &args.ending,
    };
    job.finish(&exec, workspace, kernel, journal.base.into(), global)
}

impl Args {
    fn request(&self) -> resolve::Request<'_> {
        self.sources.request(&self.ending.cache_dir)
    }

    fn wishes(&self, sources: &[plan::Source]) -> Wishes {
        Wishes {
            backend: self.backend,
            kver: self.kver.clone(),
            remove: self.remove.clone(),
            require_signature: self.sources.require_signature,
            allow_unsigned: self.sources.allow_unsigned,
            pinned_command: sources::pinned_command(sources),
        }
    }
}

fn announce(plan: &Plan) {
    let how = match plan.settled {
        true => "installed already".to_owned(),
        false => format!("with {}", plan.backend),
    };
    tracing::info!("plan           {} -> {} {how}", plan.old, plan.set.kver);
    for nevra in &plan.set.unused {
        tracing::info!(
            "leaving out {nevra}: not installed here, and {} does without",
            plan.set.kver
        );
    }
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
}

/// As [`done`], by the headers of the sources. Whatever stands in the way is said by the steps that
/// look properly.
fn at_a_glance(exec: &Exec, host: &Host, args: &Args) -> Option<Value> {
    if args.dry_run {
        return None;
    }
    let sources = resolve::glance(exec.root(), &args.request()).ok()??;
    let wishes = args.wishes(&sources);
    let set = plan::select(sources, host, &wishes).ok()?;
    let plan = plan::plan(host, set, &wishes).ok()?;
    done(exec, &plan, &args.ending).ok()?
}

/// The report of an earlier run that did all this, to its end.
fn done(exec: &Exec, plan: &Plan, ending: &Ending) -> Result<Option<Value>> {
    let unfinished = || Journal::of(exec.root(), &plan.set.kver);
    if !plan.settled
        || ending.no_inherit
        || ending.prove
        || !ending.require_driver.is_empty()
        || unfinished()?.is_some()
    {
        return Ok(None);
    }
    let asked = done::Asked {
        set: &plan.set,
        kind: plan.kind,
        dracut: &ending.for_dracut(),
        no_commit: ending.no_commit,
    };
    done::report(exec, &asked)
}

/// Goes on with the journal of a run that was killed after its transaction, or begins one: what the
/// base has is written down before it changes.
fn begin(exec: &Exec, plan: &Plan, base: Reading) -> Result<Journal> {
    let root = exec.root();
    if let Some(journal) = Journal::of(root, &plan.set.kver)?.filter(|_| plan.settled) {
        let before = &journal.before;
        tracing::info!("going on after a run that did not end: {before} is replaced");
        for command in &journal.commands {
            exec.has_run(command.clone());
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
        commands: transact::recipe(plan),
        changes: plan.leaving.changes.clone(),
        base,
    };
    journal
        .write(root)
        .context("noting what the base has, for the case that this run does not end")?;
    Ok(journal)
}

/// Says that an earlier run has done it all.
fn unchanged(mut report: Value, global: &Global, file: Option<&Path>) -> Result<Outcome> {
    report["outcome"] = serde_json::json!(Outcome::Unchanged);
    let json = format!("{report:#}\n");
    if let Some(file) = file {
        fs_err::write(file, &json).context("writing the report")?;
    }
    cli::print(&match global.format {
        Format::Json => json,
        Format::Human => format!(
            "kernel {}: installed, built and verified by an earlier run; nothing was changed\n",
            report["kernel"]["after"]["kver"]
                .as_str()
                .unwrap_or_default()
        ),
    })?;
    Ok(Outcome::Unchanged)
}

fn dry_run(
    exec: &Exec,
    plan: &Plan,
    base: Reading,
    args: &Args,
    global: &Global,
) -> Result<Outcome> {
    let kver = &plan.set.kver;
    // cliwrap will be off by then, so dracut is itself.
    let mut commands = Vec::new();
    let wants = args.ending.wants(exec.root(), base.done().as_ref())?;
    // The new kernel's System.map is of the old one's kind.
    let with_map = depmod::has_map(exec.root(), &plan.old)?;
    commands.extend(wants.commands("dracut", kver, with_map));
    if !args.ending.no_commit {
        commands.extend(commit::commands(exec, plan.kind)?);
    }
    let commands = commands.iter().map(ToString::to_string);
    let commands: Vec<_> = transact::recipe(plan).into_iter().chain(commands).collect();
    let json = serde_json::json!({
        "schema": SCHEMA, "command": "replace", "outcome": "planned",
        "root": exec.root().path(), "backend": plan.backend,
        "kernel": {"before": {"kver": plan.old}, "after": {"kver": kver}},
        "packages": packages(plan), "changes": plan.leaving.changes, "left_out": left_out(plan), "commands": commands, "warnings": plan.warnings,
    });
    let json = format!("{json:#}\n");
    if let Some(file) = &args.ending.report {
        fs_err::write(file, &json).context("writing the report")?;
    }
    let text = match global.format {
        Format::Human => format!("{plan}\ncommands, in order:\n  {}\n", commands.join("\n  ")),
        Format::Json => json,
    };
    cli::print(&text)?;
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
