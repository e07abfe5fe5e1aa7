// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user types: one file per command, its arguments and the page that tells its story.

mod build;
pub mod inspect;
pub mod rebuild;
pub mod replace;
pub mod sources;
pub mod status;
pub mod verify;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::checks::{Baseline, Severity, Wanted};
use crate::cli::{self, Format, Global};
use crate::kernel::kver::Kver;
use crate::plan::{Backend, Change, Kind, change};
use crate::report::{
    After, Before, FindingReport, HostReport, KernelReport, Labels, Outcome, PackageReport, Report,
    SCHEMA, checks, tool,
};
use crate::steps::generate::Wants;
use crate::steps::locate::Kernel;
use crate::steps::verify::{Options, Reading, Verdict};
use crate::steps::workspace::Workspace;
use crate::steps::{clean, commit};
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec};
use crate::sys::root::Root;
use crate::sys::stop::{self, Stopped};

/// The second half of `replace` and `rebuild`: from a located kernel to a committed tree.
struct Job<'a> {
    start: Instant,
    command: &'static str,
    kind: Kind,
    backend: Option<Backend>,
    before: Option<Kver>,
    packages: Vec<PackageReport>,
    changes: Vec<Change>,
    /// Packages of the sources that are not taken.
    left_out: Vec<String>,
    warnings: Vec<String>,
    commit: Vec<Cmd>,
    ending: &'a Ending,
}

/// Options of both jobs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Initramfs and commit")]
pub struct Ending {
    /// Put the initramfs in place, but clean no caches and commit nothing
    #[arg(long)]
    pub no_commit: bool,
    /// Reject an initramfs without this driver, inside or built in
    #[arg(long, value_name = "NAME")]
    pub require_driver: Vec<String>,
    /// Let dracut choose its modules anew, without those that the base's
    /// initramfs has
    #[arg(long)]
    pub no_inherit: bool,
    /// How dracut packs the initramfs, in place of what its configuration says: a
    /// compressor with its options, as 'zstd -9 -T0'
    #[arg(long, value_name = "COMMAND")]
    pub compress: Option<String>,
    /// Build the initramfs twice and fail if the two differ in any byte
    #[arg(long)]
    pub prove: bool,
    /// Write the report to FILE too
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// End a program that runs longer than this, and fail
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub timeout: u64,
    /// Keep downloads in DIR; mount a cache there to share them between builds
    #[arg(long, value_name = "DIR", default_value = "/var/cache/ostree-kernel")]
    pub cache_dir: PathBuf,
    /// Arguments for dracut, after --
    #[arg(
        last = true,
        value_name = "DRACUT-ARGUMENT",
        help_heading = "Arguments"
    )]
    pub dracut: Vec<String>,
}

impl Ending {
    /// What both jobs do before they start any program.
    fn begin(&self, exec: &Exec) -> Result<()> {
        exec.limit_to(Duration::from_secs(self.timeout));
        stop::listen().context("asking for signals")
    }

    /// What is asked of dracut.
    fn wants(&self, root: &Root, base: Option<&Baseline>) -> Result<Wants> {
        let base = base.filter(|_| !self.no_inherit);
        Wants::new(root, base, &self.for_dracut())
    }

    /// The user's arguments for dracut.
    fn for_dracut(&self) -> Vec<String> {
        let compress = self.compress.iter();
        let compress = compress.flat_map(|command| ["--compress".to_owned(), command.clone()]);
        compress.chain(self.dracut.iter().cloned()).collect()
    }
}

impl Job<'_> {
    fn finish(
        mut self,
        exec: &Exec,
        workspace: Workspace,
        kernel: Kernel,
        base: Reading,
        global: &Global,
    ) -> Result<Outcome> {
        let base = base.done();
        let mut wants = self.ending.wants(exec.root(), base.as_ref())?;
        let mut options = Options {
            base,
            wanted: Wanted {
                drivers: self.ending.require_driver.clone(),
                ..Wanted::default()
            },
            lacking: Vec::new(),
            selection: None,
            digests: true,
        };
        let package = kernel.package.clone();
        let kver = kernel.kver.clone();
        let clean = step(
            "clean",
            || clean::clean(exec, kernel),
            |clean| match clean.removed.as_slice() {
                [] => "nothing was left".to_owned(),
                removed => format!("removed {}", removed.join(", ")),
            },
        )?;
        let verified = self.build(exec, &workspace, &clean, &mut wants, &mut options)?;
        let report = |verdict: &_, outcome| self.report(exec, &kver, &package, verdict, outcome);
        let verified = match verified {
            Ok(verified) => verified,
            Err(verdict) => {
                let outcome = verdict.outcome();
                publish(
                    &report(&verdict, outcome),
                    global,
                    self.ending.report.as_deref(),
                )?;
                return Ok(outcome);
            }
        };
        let report = report(&verified.verdict, Outcome::Committed);
        let commit = || {
            commit::commit(
                exec,
                self.kind,
                self.ending.no_commit,
                workspace,
                verified,
                &report,
            )
        };
        step("commit", commit, |()| {
            "the tree is as it was verified".to_owned()
        })?;
        let total = self.start.elapsed();
        tracing::info!(
            "total    {:5.1}s  of which {:.2}s ostree-kernel itself",
            total.as_secs_f64(),
            total.saturating_sub(exec.waited()).as_secs_f64()
        );
        publish(&report, global, self.ending.report.as_deref())
            .context("the tree is committed; only the report is missing")?;
        Ok(Outcome::Committed)
    }

    fn report(
        &self,
        exec: &Exec,
        kver: &Kver,
        package: &str,
        verdict: &Verdict,
        outcome: Outcome,
    ) -> Report {
        // The commit's own commands run after the report is written, and belong to it all the same.
        let mut commands = exec.ran();
        if outcome == Outcome::Committed && !self.ending.no_commit {
            commands.extend(self.commit.iter().map(ToString::to_string));
        }
        let (checks, findings, _) = checks(&verdict.answers);
        Report {
            schema: SCHEMA,
            tool: tool(),
            command: self.command,
            outcome,
            host: Some(HostReport {
                kind: self.kind,
                backend: self.backend,
            }),
            kernel: KernelReport {
                before: self.before.as_ref().map(|kver| Before {
                    kver: kver.to_string(),
                }),
                after: after(kver, Some(package), verdict),
            },
            packages: self.packages.clone(),
            changes: self.changes.clone(),
            left_out: self.left_out.clone(),
            commands,
            dracut: verdict.dracut.clone(),
            checks,
            findings,
            warnings: self.warnings.clone(),
            labels: Labels {
                ostree_linux: kver.to_string(),
            },
        }
    }
}

/// The kernel that is there, as a report has it.
fn after(kver: &Kver, package: Option<&str>, verdict: &Verdict) -> After {
    After {
        kver: kver.to_string(),
        package: package.map(str::to_owned),
        vmlinuz_sha256: verdict.vmlinuz_sha256.clone(),
        initramfs_sha256: verdict.initramfs_sha256.clone(),
        initramfs_size: verdict.initramfs_size,
    }
}

/// Runs one step and says how long it took.
fn step<T>(
    name: &str,
    run: impl FnOnce() -> Result<T>,
    say: impl FnOnce(&T) -> String,
) -> Result<T> {
    let start = Instant::now();
    stop::check()?;
    let shown = console::step(name);
    let done = run();
    drop(shown);
    let done = done.map_err(|error| match error.is::<Stopped>() {
        true => error.context(format!("{name} is unfinished: {}", unfinished(name))),
        false => error,
    })?;
    let seconds = start.elapsed().as_secs_f64();
    tracing::info!("{name:<9}{seconds:5.1}s  {}", say(&done));
    Ok(done)
}

/// What a step leaves that was stopped.
fn unfinished(name: &str) -> &'static str {
    match name {
        "survey" | "resolve" => "nothing was changed",
        "transact" => "packages may be half replaced; build the layer again",
        "commit" => "the tree is whole, and not yet cleaned; run the same line again",
        _ => "the kernel is there without its new initramfs; run the same line again",
    }
}

/// Prints a report in the format asked for, and to `--report`.
fn publish(report: &Report, global: &Global, file: Option<&Path>) -> Result<()> {
    let json = || serde_json::to_string_pretty(report).context("writing the report");
    if let Some(file) = file {
        fs_err::write(file, json()? + "\n").context("writing the report")?;
    }
    let text = match global.format {
        Format::Json => console::plain(&(json()? + "\n")),
        Format::Human => human(report, global),
    };
    if console::is_read_by_github() {
        console::write(&console::plain(&annotations(report)));
    }
    let printed = cli::print_with(|out| out.write_all(text.as_bytes()));
    printed.context("printing the result")
}

/// The answer of a check that could not look.
const COULD_NOT: &str = "could-not-look";

/// The findings as GitHub's runner takes them from the log, on standard error since it reads both.
fn annotations(report: &Report) -> String {
    let data = |text: &str| {
        let text = text.replace('%', "%25").replace('\r', "%0D");
        text.replace('\n', "%0A")
    };
    let mut text = String::new();
    for finding in &report.findings {
        let level = match finding.severity {
            Severity::Fatal => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let FindingReport {
            check,
            path,
            found,
            expected,
            remedy,
            ..
        } = finding;
        let message = format!("{path}: found {found}; expected {expected}; to do: {remedy}");
        text += &format!("::{level} title={check}::{}\n", data(&message));
    }
    let level = match report.outcome {
        Outcome::Unknown => "error",
        _ => "warning",
    };
    for check in report.checks.iter().filter(|it| it.answer == COULD_NOT) {
        let why = data(check.why.as_deref().unwrap_or_default());
        text += &format!("::{level} title={}::could not look: {why}\n", check.check);
    }
    text
}

/// One line a finding with what to do, then the verdict. Notes are for `-v`.
fn human(report: &Report, global: &Global) -> String {
    let has_colours = global.color.is_on(&io::stdout());
    let mark = |word: &str, colour| match has_colours {
        true => cli::painted(word, colour),
        false => word.to_owned(),
    };
    let mut text = String::new();
    for finding in &report.findings {
        let severity = finding.severity.as_str();
        text += &match finding.severity {
            Severity::Note if global.verbose == 0 => continue,
            Severity::Note => severity.to_owned(),
            Severity::Warning => mark(severity, cli::YELLOW),
            Severity::Fatal => mark(severity, cli::RED),
        };
        let finding = format!(
            " {}: {}: found {}; expected {}; to do: {}",
            finding.check, finding.path, finding.found, finding.expected, finding.remedy
        );
        // A name that ends a line must not look like a line of ours.
        text += &console::plain(&finding).replace('\n', "\\u000a");
        text += "\n";
    }
    for (why, checks) in &by_reason(report, &[COULD_NOT]) {
        text += &mark("unknown", cli::YELLOW);
        text += &console::plain(&format!(" {checks}: could not look: {why}\n"));
    }
    for (why, checks) in &by_reason(report, &["not-applicable", "skipped"]) {
        text += &console::plain(&format!("skipped {checks}: {why}\n"));
    }
    text += &change::table(&report.changes);
    let after = &report.kernel.after;
    let kernel = match &report.kernel.before {
        Some(before) => format!("kernel {} -> {}", before.kver, after.kver),
        None => format!("kernel {}", after.kver),
    };
    let verdict = match report.outcome {
        Outcome::Committed | Outcome::Unchanged | Outcome::Passed => {
            let size = after.initramfs_size.unwrap_or(0) as f64 / f64::from(1 << 20);
            let all = report.checks.len();
            let looked = |answer: &str| ["good", "found"].contains(&answer);
            let looked = report.checks.iter().filter(|it| looked(it.answer)).count();
            format!("initramfs {size:.1} MiB, {looked} of {all} checks looked, nothing fatal")
        }
        Outcome::Rejected if report.command == "verify" => "not fit to boot".to_owned(),
        Outcome::Rejected => "not fit to boot; nothing was committed".to_owned(),
        Outcome::Unknown => "a fatal check could not look".to_owned(),
    };
    text + &format!("{kernel}: {verdict}\n")
}

/// The checks with one of these answers, by the reason for it.
fn by_reason<'a>(report: &'a Report, answers: &[&str]) -> BTreeMap<&'a str, String> {
    let mut checks = BTreeMap::<_, Vec<_>>::new();
    for check in &report.checks {
        if answers.contains(&check.answer) {
            let why = check.why.as_deref().unwrap_or_default();
            checks.entry(why).or_default().push(check.check);
        }
    }
    let joined = checks
        .into_iter()
        .map(|(why, checks)| (why, checks.join(", ")));
    joined.collect()
}
