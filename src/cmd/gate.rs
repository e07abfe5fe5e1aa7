// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel gate`: keeps ostree from finalising a staged deployment that this machine would not boot.
//!
//! The gate locks the finalisation (if at all) before it writes its record, and writes the record before the message at
//! login. If it is killed between lock and record, the next run finds no record and verifies the deployment again. If
//! the gate at shutdown is killed, its unit runs `gate --after`, which applies the policy.

mod text;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::deployed;
use super::page::{self, Global, OutputFormat};
use super::result::publish;
use super::verify::{Subject, report, verify_tree};
use crate::checks::Severity;
use crate::node::Deployment;
use crate::node::record::{Judgement, Record, RecordedFinding, Verdict, utc};
use crate::node::staged;
use crate::plan::Refusal;
use crate::report::{AnswerWord, Command, Outcome, Report};
use crate::site::deployments::{self, System};
use crate::site::gate::{self, Lock};
use crate::steps::verify;
use crate::sys::exec::Exec;
use crate::sys::root::Root;
use crate::tools::ostree;

/// Timeout of `ostree admin lock-finalization`.
const OSTREE_TIMEOUT: Duration = Duration::from_secs(10);

/// Verifies the staged deployment, and locks its finalisation if this machine would
/// not boot it, so that the machine reboots into the running deployment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Policy if the deployment cannot be verified
    #[arg(long, value_enum, value_name = "POLICY", default_value = "allow")]
    pub on_error: OnError,
    /// Report fatal findings, but never lock finalisation; --on-error has no effect
    #[arg(long)]
    pub warn_only: bool,
    /// Unlock a refused deployment, so that ostree finalises it
    #[arg(long, conflicts_with_all = ["on_error", "warn_only"])]
    pub release: bool,
    /// Do not verify, but apply the policy after a run that ended with this $SERVICE_RESULT (systemd.exec(5));
    /// "success" does nothing
    #[arg(long, value_name = "RESULT", conflicts_with = "release")]
    pub after: Option<String>,
}

/// The value of systemd's `$SERVICE_RESULT` for a run that ended with exit status 0.
const SUCCESS: &str = "success";

/// The policy for a deployment that cannot be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Let ostree finalise the deployment.
    Allow,
    /// Lock the finalisation of the deployment.
    Refuse,
}

/// Runs the command.
///
/// # Errors
/// A [`Refusal`] when the system has no deployments. Otherwise when the root, the deployments or the gate's files
/// cannot be read, or a file of the gate cannot be locked or written. With `--on-error
/// refuse`, `lock_unread` handles these errors, except the refusal and an error about the root. A deployment that
/// cannot be verified is not an error.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    if args.after.as_deref() == Some(SUCCESS) {
        return Ok(Outcome::Passed);
    }
    let root = Root::open(&global.root)?;
    match on_staged(args, global, &root) {
        Err(error) if args.locks_unknown() && error.downcast_ref::<Refusal>().is_none() => {
            lock_unread(global, &root, error)
        }
        done => done,
    }
}

/// Releases or verifies the staged deployment, applies its recorded verdict again, or applies the policy (`--after`).
/// Without a staged deployment, updates the message at login.
fn on_staged(args: &Args, global: &Global, root: &Root) -> Result<Outcome> {
    let system = deployments::read(root)?;
    let _lock = gate::lock_out_others(root).context("waiting for another gate")?;
    let staged = system.staged().cloned();
    if let Some(staged) = &staged
        && args.locks_unknown()
    {
        // The lock comes first, so that ostree does not finalise the deployment if the gate is killed.
        lock(root, staged)?;
    }
    let mut record = gate::record(root)?;
    let Some(staged) = staged else {
        return without_staged(args, global, &system, record);
    };
    let gate = Gate {
        identity: gate::identity(&system, &staged)?,
        system: &system,
        staged: &staged,
        args,
        global,
    };
    if args.release {
        return gate.release(&mut record);
    }
    match record.of(&gate.identity).cloned() {
        Some(known) if gate.is_final(&known) => gate.repeat(&known),
        _ => match &args.after {
            Some(result) => gate.after(&mut record, result),
            None => gate.judge(&mut record),
        },
    }
}

/// Locks the finalisation, unless the gate or another program has already locked it.
fn lock(root: &Root, staged: &Deployment) -> Result<()> {
    if gate::lock_state(root, staged)? == Lock::Open {
        gate::lock_finalisation(root).context("locking the finalisation")?;
    }
    Ok(())
}

/// Locks the finalisation of the staged deployment after `error`, usually because the deployment cannot be identified:
/// for example, ostree's file about it is damaged. Also sets the message at login. Returns `error` if nothing is staged
/// and, so that it is printed as JSON, also with `--format json`.
fn lock_unread(global: &Global, root: &Root, error: anyhow::Error) -> Result<Outcome> {
    if root.lstat(staged::PATH)?.is_none() {
        return Err(error);
    }
    if root.lstat(staged::LOCK)?.is_none() {
        gate::lock_finalisation(root).context("locking the finalisation")?;
    }
    let why = format!("{error:#}");
    if let Err(error) = gate::show(root, Some(&text::unread_message(&why))) {
        tracing::warn!("the message at login is not written: {error:#}");
    }
    if global.format == OutputFormat::Json {
        return Err(error.context(text::UNREAD));
    }
    tracing::error!("{}: {why}", text::UNREAD);
    Ok(Outcome::Rejected)
}

/// Logs the error of an output. The verdict has taken effect already, and the output does not change it.
fn logged(printed: Result<()>) {
    if let Err(error) = printed {
        tracing::warn!("{error:#}");
    }
}

/// Updates the message at login if nothing is staged: shows the last verdict if it refuses a deployment that is neither
/// released nor booted, else removes the message. With `--release`, records the release of the refused deployment and
/// removes the message.
fn without_staged(
    args: &Args,
    global: &Global,
    system: &System,
    mut record: Record,
) -> Result<Outcome> {
    let booted = system.booted().map(|it| &it.name);
    let refused = record
        .current
        .as_mut()
        .filter(|it| it.holds_back() && booted != Some(&it.deployment));
    match refused {
        Some(refused) if args.release => {
            refused.released = true;
            let sentence = text::forgotten(refused);
            gate::save(&system.root, &record)?;
            gate::show(&system.root, None)?;
            say(global, &sentence)?;
        }
        Some(refused) => {
            gate::show(&system.root, Some(&text::message(refused, false)))?;
            say(global, "no deployment is staged; the last one was refused")?;
        }
        None => {
            gate::show(&system.root, None)?;
            say(global, "no deployment is staged")?;
        }
    }
    Ok(Outcome::Passed)
}

/// The context in which one staged deployment is verified.
struct Gate<'a> {
    system: &'a System,
    staged: &'a Deployment,
    identity: String,
    args: &'a Args,
    global: &'a Global,
}

impl Args {
    /// Returns whether a deployment that cannot be verified is refused.
    fn locks_unknown(&self) -> bool {
        self.on_error == OnError::Refuse && !self.warn_only && !self.release
    }
}

impl Gate<'_> {
    /// Returns whether an earlier verdict still holds with the options of this run.
    fn is_final(&self, known: &Judgement) -> bool {
        match known.verdict {
            Verdict::Verified => true,
            Verdict::Refused => known.released || !self.args.warn_only,
            Verdict::Warned => self.args.warn_only,
            // A file that could not be read before may be readable now.
            Verdict::Unknown => false,
        }
    }

    /// Applies an earlier verdict again, since its lock may be missing: a program that finalises updates itself, such
    /// as Zincati, can remove the lock.
    fn repeat(&self, known: &Judgement) -> Result<Outcome> {
        if known.holds_back() {
            lock(&self.system.root, self.staged)?;
        } else {
            self.unlock()?;
        }
        self.end(known)
    }

    /// Applies the policy after a run of the gate that failed and recorded no verdict that is still valid. `result` is
    /// the `$SERVICE_RESULT` of that run.
    fn after(&self, record: &mut Record, result: &str) -> Result<Outcome> {
        let mut judgement = self.not_verified(text::failed_run(result));
        // The gate's own lock remains if the failed run was started with `--on-error refuse`. It also remains if that
        // run refused the deployment and could not record the verdict, for example because /var is full.
        let is_own = gate::lock_state(&self.system.root, self.staged)? == Lock::Own;
        if is_own && !self.args.warn_only {
            judgement.verdict = Verdict::Refused;
        }
        self.conclude(record, judgement, None)
    }

    /// Verifies the deployment, locks or unlocks the finalisation, and records and prints the verdict.
    fn judge(&self, record: &mut Record) -> Result<Outcome> {
        match self.verify() {
            Ok(report) => self.conclude(record, self.judgement(&report), Some(&report)),
            Err(error) => self.conclude(record, self.not_verified(format!("{error:#}")), None),
        }
    }

    /// Locks or unlocks the finalisation, and records and prints the verdict.
    fn conclude(
        &self,
        record: &mut Record,
        judgement: Judgement,
        report: Option<&Report>,
    ) -> Result<Outcome> {
        if judgement.holds_back() {
            lock(&self.system.root, self.staged)?;
            self.lock_with_ostree();
        }
        record.set(judgement.clone());
        // The verdict takes effect even if it cannot be recorded.
        if let Err(error) = gate::save(&self.system.root, record) {
            tracing::warn!(
                "the verdict is not recorded, and the next run verifies again: {error:#}"
            );
        }
        if !judgement.holds_back() {
            self.unlock()?;
        }
        if let Some(report) = report
            && (report.outcome.is_bad() || self.global.verbose > 0)
            && self.global.format == OutputFormat::Human
        {
            logged(publish(report, self.global, None));
        }
        self.end(&judgement)
    }

    fn verify(&self) -> Result<Report> {
        let opened = deployed::open(self.system, self.staged)?;
        let options = verify::Options {
            base: opened.base,
            machine: opened.machine,
            overlays: opened.overlays,
            ..verify::Options::default()
        };
        let (kver, verdict) = verify_tree(&opened.root, None, &options)?;
        let of = Subject::Deployment(opened.report);
        Ok(report(Command::Gate, &kver, verdict, of, false))
    }

    fn judgement(&self, report: &Report) -> Judgement {
        let verdict = match report.outcome {
            Outcome::Rejected if self.args.warn_only => Verdict::Warned,
            Outcome::Rejected => Verdict::Refused,
            Outcome::Unknown => {
                let unknown = report
                    .checks
                    .iter()
                    .filter(|it| it.answer == AnswerWord::CouldNotRun);
                let why = unknown.map(|it| {
                    let why = it.why.as_deref().unwrap_or_default();
                    format!("{}: {why}", it.check)
                });
                let mut judgement = self.not_verified(why.collect::<Vec<_>>().join("; "));
                judgement.kver = Some(report.kernel.after.kver.clone());
                return judgement;
            }
            _ => Verdict::Verified,
        };
        let fatal = report.findings.iter();
        let fatal = fatal.filter(|it| it.severity == Severity::Fatal);
        let findings = fatal.map(|it| RecordedFinding {
            check: it.check.to_owned(),
            path: it.path.clone(),
            found: it.found.clone(),
            expected: it.expected.clone(),
            remedy: it.remedy.clone(),
        });
        Judgement {
            kver: Some(report.kernel.after.kver.clone()),
            findings: findings.collect(),
            ..self.blank(verdict)
        }
    }

    /// Returns the verdict on a deployment that could not be verified because of `why`: refused with `--on-error
    /// refuse` and without `--warn-only`, otherwise unknown.
    fn not_verified(&self, why: String) -> Judgement {
        let verdict = if self.args.locks_unknown() {
            Verdict::Refused
        } else {
            Verdict::Unknown
        };
        Judgement {
            error: Some(why),
            ..self.blank(verdict)
        }
    }

    fn blank(&self, verdict: Verdict) -> Judgement {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Judgement {
            deployment: self.staged.name.clone(),
            identity: self.identity.clone(),
            kver: None,
            verdict,
            time: utc(now.unwrap_or_default().as_secs()),
            findings: Vec::new(),
            error: None,
            released: false,
        }
    }

    /// Sets or removes the message at login, prints the verdict, and returns the outcome.
    fn end(&self, judgement: &Judgement) -> Result<Outcome> {
        let message = (judgement.holds_back() || judgement.verdict == Verdict::Warned)
            .then(|| text::message(judgement, true));
        if let Err(error) = gate::show(&self.system.root, message.as_deref()) {
            tracing::warn!("the message at login is not written: {error:#}");
        }
        let sentence = text::verdict(judgement, self.system.booted());
        let outcome = match judgement.verdict {
            _ if judgement.released => Outcome::Passed,
            Verdict::Refused => Outcome::Rejected,
            Verdict::Unknown => Outcome::Unknown,
            Verdict::Verified | Verdict::Warned => Outcome::Passed,
        };
        match (self.global.format, outcome) {
            (OutputFormat::Json, _) => {
                let json = page::json(judgement)?;
                logged(page::print(&json).context("printing the verdict"));
            }
            (OutputFormat::Human, Outcome::Passed) => logged(say(self.global, &sentence)),
            (OutputFormat::Human, _) => tracing::error!("{sentence}"),
        }
        Ok(outcome)
    }

    /// Locks the finalisation with ostree's own command, too, so that `ostree admin status` shows the lock. An error is
    /// only logged, since the lock file suffices: older versions of ostree do not have the command, and a service's
    /// sandbox can forbid it.
    fn lock_with_ostree(&self) {
        if let Err(error) = self.ostree(true) {
            tracing::debug!("ostree admin lock-finalization: {error:#}");
        }
    }

    /// Removes the gate's lock. A lock of another program stays.
    fn unlock(&self) -> Result<()> {
        if gate::lock_state(&self.system.root, self.staged)? != Lock::Own {
            return Ok(());
        }
        if self.staged.is_locked {
            self.ostree(false).context("unlocking the finalisation")?;
        }
        gate::unlock_finalisation(&self.system.root).context("unlocking the finalisation")
    }

    /// Runs `ostree admin lock-finalization`, to lock or to unlock. Does nothing unless the root is `/` of the running
    /// system and has the program ostree.
    fn ostree(&self, is_locked: bool) -> Result<()> {
        let exec = Exec::new(&self.system.root);
        if !self.system.root.is_host() || exec.find("ostree").is_none() {
            return Ok(());
        }
        exec.limit_to(OSTREE_TIMEOUT);
        exec.query(&ostree::lock_finalization(is_locked)).map(drop)
    }

    /// Releases a refused deployment: records the release, and removes the gate's lock and the message at login. If the
    /// deployment is not refused, only removes the message, and a lock that an interrupted gate left.
    fn release(&self, record: &mut Record) -> Result<Outcome> {
        let root = &self.system.root;
        let lock = gate::lock_state(root, self.staged)?;
        let current = record.current.as_mut();
        let refused = current.filter(|it| it.identity == self.identity && it.holds_back());
        let sentence = match (refused, lock) {
            (None, Lock::Other) => text::locked_by_others(self.staged),
            (None, Lock::Open) => text::not_held_back(self.staged),
            (None, Lock::Own) => text::not_judged(self.staged),
            (Some(refused), lock) => {
                refused.released = true;
                let sentence = text::released(refused, lock == Lock::Other);
                // The record is written first, so that the gate at shutdown does not lock the deployment again.
                gate::save(root, record)?;
                sentence
            }
        };
        self.unlock()?;
        gate::show(root, None)?;
        say(self.global, &sentence)?;
        Ok(Outcome::Passed)
    }
}

fn say(global: &Global, sentence: &str) -> Result<()> {
    if global.format == OutputFormat::Human && !global.quiet {
        page::print(&format!("{sentence}\n")).context("printing the result")?;
    }
    Ok(())
}
