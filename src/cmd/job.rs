// SPDX-License-Identifier: MIT OR Apache-2.0
//! The second half of `replace` and `rebuild`, and the options that these commands share.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::demands::{Demands, words};
use super::page::Global;
use super::reading::Reading as ImageReading;
use super::result::publish;
use super::signing::SigningOptions;
use crate::checks::{Baseline, Selection, Situation};
use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::plan::{Backend, Change, Host, Source, TreeKind};
use crate::report::{
    After, Before, Command, DracutReport, HostReport, KernelReport, Labels, Outcome, PackageReport,
    ProgramsReport, Report, SchemaVersion, SigningReport, checks, tool,
};
use crate::site::workspace::Workspace;
use crate::steps::generate::{self, Wants};
use crate::steps::locate::Kernel;
use crate::steps::sign::Signing;
use crate::steps::survey::asked;
use crate::steps::verify::{self, Options, Reading, Verdict};
use crate::steps::{clean, commit};
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec};
use crate::sys::root::Root;
use crate::sys::stop::{self, Stopped};

/// The second half of `replace` and `rebuild`: from a located kernel to a committed tree.
pub(super) struct Job<'a> {
    pub(super) start: Instant,
    pub(super) command: Command,
    pub(super) kind: TreeKind,
    pub(super) backend: Option<Backend>,
    pub(super) before: Option<Kver>,
    pub(super) packages: Vec<PackageReport>,
    pub(super) changes: Vec<Change>,
    /// Packages of the old kernel's build that stay.
    pub(super) stays: Vec<Nevra>,
    /// Whether dnf's version locks of replaced packages are changed to the new versions.
    pub(super) moves_locks: bool,
    /// Packages of the sources that are not installed.
    pub(super) left_out: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// The programs of `--before-dracut`, and the files that they changed.
    pub(super) programs: Option<ProgramsReport>,
    /// The keys and certificates to sign with.
    pub(super) signing: Signing,
    /// The report of the step `sign`; `None` before that step, and if it has nothing to sign.
    pub(super) signed: Option<SigningReport>,
    /// The command lines of the step `commit`, for the report.
    pub(super) commit: Vec<Cmd>,
    pub(super) ending: &'a Ending,
}

/// Options of `replace` and `rebuild`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Initramfs and commit")]
pub struct Ending {
    /// Install the initramfs, but clean no caches and do not commit
    #[arg(long)]
    pub no_commit: bool,
    /// Requirements on the initramfs.
    #[command(flatten)]
    pub demands: Demands,
    /// Do not add the dracut modules that the base's initramfs has
    #[arg(long)]
    pub no_inherit: bool,
    /// Run this program in the tree after the packages are installed, before depmod
    /// and dracut, with KVER in its environment; may be repeated
    #[arg(long, value_name = "PROGRAM", value_parser = words)]
    pub before_dracut: Vec<String>,
    /// Compare with this earlier initramfs, image or tree instead of the base's
    #[arg(long, value_name = "FILE|IMAGE|DIR")]
    pub against: Option<OsString>,
    /// Options for reading the image of `--against`.
    #[command(flatten)]
    pub reading: ImageReading,
    /// Compress the initramfs with this command, for example 'zstd -9 -T0'
    /// [default: from dracut.conf]
    #[arg(long, value_name = "COMMAND")]
    pub compress: Option<String>,
    /// Build the initramfs twice and fail if the two differ in any byte
    #[arg(long)]
    pub prove: bool,
    /// Also write the report to FILE
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Kill a program that runs longer than this, and fail
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Options that sign.
    #[command(flatten)]
    pub signing: SigningOptions,
    /// Arguments for dracut, after --
    #[arg(
        last = true,
        value_name = "DRACUT-ARGUMENT",
        help_heading = "Arguments"
    )]
    pub dracut: Vec<String>,
}

impl Ending {
    /// Sets the timeout of programs and installs the signal handlers. Must be called before any program is started.
    pub(super) fn begin(&self, exec: &Exec) -> Result<()> {
        exec.limit_to(Duration::from_secs(self.timeout));
        stop::listen().context("installing the signal handlers")
    }

    /// Refuses dracut modules and drivers that neither the tree nor the packages in `sources` contain, programs and
    /// files that the tree lacks, arguments that dracut does not accept, and keys without a program that signs.
    pub(super) fn admit(
        &self,
        exec: &Exec,
        host: &Host,
        kver: &Kver,
        sources: &[Source],
        signing: &Signing,
    ) -> Result<()> {
        let drivers = &self.demands.require_driver;
        asked::programs(exec, &generate::programs(&self.before_dracut, kver))?;
        asked::signer(exec.root(), signing, kver)?;
        asked::names(exec, host, kver, sources, &self.for_dracut(), drivers)
    }

    /// Reads the keys and certificates. `cli::usage` has already read and checked them, so this fails only if a file
    /// has changed since.
    pub(super) fn signing(&self, root: &Root) -> Result<Signing> {
        self.signing
            .read(root.path())
            .map_err(|why| anyhow!("{why}"))
    }

    /// Returns the baseline. Without `--against`, this is the initramfs of the installed kernel, or else one that a
    /// removed kernel left. It is read on another thread; `None` if the tree has neither a kernel nor such an
    /// initramfs.
    ///
    /// With `--against`, the baseline is read before this function returns. The kmods and the signature of `vmlinuz`
    /// are still those of the tree, unless the tree has no readable baseline.
    pub(super) fn baseline(&self, root: &Root, host: &Host) -> Result<Option<Reading>> {
        let has_initramfs = |name: &String| {
            let path = format!("{MODULES}/{name}/initramfs.img");
            root.is_file(path).unwrap_or(false)
        };
        // The initramfs of a removed kernel stays, since no package owns it.
        let own = host.kernel().ok();
        let mut names = own.iter().map(|kver| kver.as_str().to_owned());
        let dirs = host.module_dirs.iter().map(|dir| dir.name.clone());
        let found = names.next().into_iter().chain(dirs).find(has_initramfs);
        let kver = found.and_then(|name| Kver::new(&name).ok()).or(own);
        let of_tree = kver.map(|kver| verify::baseline(root, &kver));
        let Some(against) = &self.against else {
            return Ok(of_tree);
        };
        let named = self.reading.baseline(against)?;
        let base = match of_tree.and_then(Reading::done) {
            None => named,
            Some(of_tree) => Baseline {
                signed: of_tree.signed,
                kmods: of_tree.kmods,
                ..named
            },
        };
        Ok(Some(Some(base).into()))
    }

    /// Returns the request to dracut: the user's arguments, and the dracut modules of `base` unless `--no-inherit` is
    /// given.
    pub(super) fn wants(&self, root: &Root, base: Option<&Baseline>) -> Result<Wants> {
        let base = base.filter(|_| !self.no_inherit);
        Wants::new(root, base, &self.for_dracut())
    }

    /// Returns the user's arguments for dracut: `--compress`, then those after `--`.
    pub(super) fn for_dracut(&self) -> Vec<String> {
        let compress = self.compress.iter();
        let compress = compress.flat_map(|command| ["--compress".to_owned(), command.clone()]);
        compress.chain(self.dracut.iter().cloned()).collect()
    }
}

impl<'a> Job<'a> {
    /// Returns a job for a run without a transaction. `replace` also sets the fields about packages.
    pub(super) fn new(
        command: Command,
        start: Instant,
        exec: &Exec,
        kind: TreeKind,
        ending: &'a Ending,
        signing: Signing,
    ) -> Result<Self> {
        Ok(Self {
            start,
            command,
            kind,
            backend: None,
            before: None,
            packages: Vec::new(),
            changes: Vec::new(),
            stays: Vec::new(),
            moves_locks: false,
            left_out: Vec::new(),
            warnings: Vec::new(),
            programs: None,
            signing,
            signed: None,
            commit: commit::commands(exec, kind)?,
            ending,
        })
    }
}

impl Job<'_> {
    pub(super) fn finish(
        mut self,
        exec: &Exec,
        workspace: Workspace,
        kernel: Kernel,
        base: Reading,
        global: &Global,
    ) -> Result<Outcome> {
        let base = base.done();
        let mut wants = self.ending.wants(exec.root(), base.as_ref())?;
        let selection = Selection {
            skip: self.ending.demands.skip.clone(),
            ..Selection::default()
        };
        let mut options = Options {
            base,
            wanted: self.ending.demands.wanted(),
            selection: Some(&selection),
            trusted: self.signing.trusted(),
            digests: true,
            ..Options::default()
        };
        let package = kernel.package.clone();
        let kver = kernel.kver.clone();
        let replaced = self.moves_locks.then_some(self.changes.as_slice());
        let replaced = replaced.unwrap_or_default();
        let mut clean = step(
            "clean",
            || clean::clean(exec.root(), kernel, self.before.as_ref(), replaced),
            |clean| clean.to_string(),
        )?;
        self.run_programs(exec, &mut clean)?;
        self.sign(exec, &workspace, &kver)?;
        let verified = self.build(exec, &workspace, &clean, &mut wants, &mut options)?;
        let package = package.as_deref();
        let report = |verdict: &_, outcome| self.report(exec, &kver, package, verdict, outcome);
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
            "committed the verified tree".to_owned()
        })?;
        let total = self.start.elapsed();
        tracing::info!(
            "total    {:5.1}s  of which {:.2}s ostree-kernel itself",
            total.as_secs_f64(),
            total.saturating_sub(exec.waited()).as_secs_f64()
        );
        publish(&report, global, self.ending.report.as_deref())
            .context("the tree is committed, and only the report is missing")?;
        Ok(Outcome::Committed)
    }

    /// Returns the situation, on which the wording of remedies depends.
    fn situation(&self) -> Situation {
        match self.command {
            Command::Rebuild => Situation::Rebuilt,
            _ => Situation::Replaced,
        }
    }

    fn report(
        &self,
        exec: &Exec,
        kver: &Kver,
        package: Option<&str>,
        verdict: &Verdict,
        outcome: Outcome,
    ) -> Report {
        // The commands of the commit run after the report is written, but the report lists them.
        let mut commands = exec.ran();
        if outcome == Outcome::Committed && !self.ending.no_commit {
            commands.extend(self.commit.iter().map(ToString::to_string));
        }
        let (checks, findings) = checks(&verdict.answers, self.situation());
        Report {
            schema: SchemaVersion,
            tool: tool(),
            command: self.command,
            outcome,
            image: None,
            deployment: None,
            host: Some(HostReport {
                kind: self.kind,
                backend: self.backend,
            }),
            kernel: KernelReport {
                before: self.before.as_ref().map(|kver| Before {
                    kver: kver.to_string(),
                }),
                after: after(kver, package, verdict),
            },
            packages: self.packages.clone(),
            changes: self.changes.clone(),
            stays: self.stays.clone(),
            left_out: self.left_out.clone(),
            before_dracut: self.programs.clone(),
            signing: self.signed.clone(),
            commands,
            dracut: verdict.dracut.clone().map(|dracut| DracutReport {
                arguments: Some(self.ending.for_dracut()),
                ..dracut
            }),
            checks,
            findings,
            warnings: self.warnings.clone(),
            labels: Labels {
                ostree_linux: Some(kver.to_string()),
            },
        }
    }
}

/// Returns the report's entry for the kernel after the run.
pub(super) fn after(kver: &Kver, package: Option<&str>, verdict: &Verdict) -> After {
    After {
        kver: kver.to_string(),
        package: package.map(str::to_owned),
        vmlinuz_sha256: verdict.vmlinuz_sha256.clone(),
        initramfs_sha256: verdict.initramfs_sha256.clone(),
        initramfs_size: verdict.initramfs_size,
    }
}

/// Runs one step. If it succeeds, logs its duration and the description of its result that `say` returns. If a signal
/// stops the step, the error describes the state in which it leaves the tree. After a signal, no step is started.
pub(super) fn step<T>(
    name: &str,
    run: impl FnOnce() -> Result<T>,
    say: impl FnOnce(&T) -> String,
) -> Result<T> {
    let start = Instant::now();
    stop::check()?;
    let shown = console::step(name);
    let done = run();
    drop(shown);
    let done = done.map_err(|error| {
        if error.is::<Stopped>() {
            error.context(format!("{name} is unfinished: {}", unfinished(name)))
        } else {
            error
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    tracing::info!("{name:<9}{seconds:5.1}s  {}", say(&done));
    Ok(done)
}

/// Describes the state in which an interrupted step leaves the tree.
fn unfinished(name: &str) -> &'static str {
    match name {
        "survey" | "resolve" => "nothing was changed",
        "transact" => "packages may be half replaced; build the layer again",
        "commit" => "the tree is complete but not cleaned; run the same line again",
        _ => "the kernel's new initramfs is not in place; run the same line again",
    }
}
