// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks. Each has a name, a severity, a description in one line, the public issue of its origin, and a pure
//! function.
//!
//! A check examines facts; it opens no file and starts no program. Its answer is one of: good, found, could not run,
//! not applicable. The names are stable, since users write them into pipelines.

mod able;
mod baseline;
mod blocked;
mod budget;
mod compression;
mod dracut_conf;
mod drivers;
mod early;
mod files;
mod hmac;
mod image;
mod init;
mod intent;
mod kernel;
mod kmods;
mod lost;
mod modules;
mod node;
mod omitted;
mod prepare_root;
mod projection;
mod registry;
mod regression;
mod release;
mod remedy;
mod setups;
mod signers;
mod squash;
mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod userland;
pub mod verdict;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::{iter, panic, thread};

pub use baseline::{Baseline, plain_firmware};
pub use dracut_conf::DracutConf;
pub use drivers::DRIVER_CHECK;
pub use early::kinds as early_kinds;
pub use files::{InnerKernel, KernelFiles, ModuleState, OtherModule, VmlinuzState};
pub use hmac::{Hmac, is_read as reads_hmac};
pub use intent::{COPIED_DIRS, copies};
pub use kmods::{Kmod, is_foreign, is_out_of_tree};
pub use omitted::Omitted;
pub use registry::CHECKS;
pub use release::OsRelease;
pub use remedy::{Remedy, Situation};
pub use setups::Setups;
pub use signers::{ModuleSigners, SignerFacts};
pub use subject::{
    AllLacking, BootedBy, Database, ImageFile, Initramfs, Lacking, Lists, NoRelease, Shadow,
    Subject, TreeFacts,
};
pub use userland::{Userland, firmware_dirs};
pub use wanted::{Artefact, Budget, RootDevice, Wanted};

/// The severity of a finding, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The image does not boot; nothing is committed.
    Fatal,
    /// The image boots, but should be corrected.
    Warning,
    /// Information; real images that boot have it, too.
    Note,
}

impl Severity {
    /// Returns `fatal`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One check of the registry.
#[derive(Debug)]
pub struct Check {
    /// The stable name.
    pub name: &'static str,
    /// The severity of its findings.
    pub severity: Severity,
    /// The condition that must hold, in one line.
    pub about: &'static str,
    /// The public issue of its origin: `owner/repository#number` or a CVE.
    pub issue: &'static str,
    /// Whether its answer depends on an earlier initramfs, if there is one.
    pub compares: bool,
    /// The function. `Err` is the answer if there is nothing to examine.
    pub look: fn(&Subject) -> Result<Vec<Finding>, Answer>,
}

/// The answer of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The condition holds.
    Good,
    /// The condition does not hold.
    Found(Vec<Finding>),
    /// The check could not run, with the reason.
    CouldNotRun(String),
    /// The check does not apply, with the reason.
    NotApplicable(String),
    /// The user excluded the check.
    Skipped,
}

/// A defect that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file: relative to the root, or inside the initramfs.
    pub path: String,
    /// The state that was found.
    pub found: String,
    /// The state that was expected.
    pub expected: String,
    /// The remedy.
    pub remedy: Remedy,
    /// The severity, if it is lower than the check's.
    pub milder: Option<Severity>,
    /// The number of defects that this finding counts; above 1 only if it replaces the rest of a long list.
    pub count: usize,
}

impl Finding {
    fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) -> Self {
        Self {
            path: path.into(),
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
            milder: None,
            count: 1,
        }
    }

    /// Returns a finding that replaces the rest of a long list: `count` more defects of this kind.
    fn others(self, count: usize) -> Self {
        Self {
            found: format!("{count} more like the one above"),
            count,
            ..self
        }
    }

    /// Lowers the severity of the finding.
    fn only(self, severity: Severity) -> Self {
        Self {
            milder: Some(severity),
            ..self
        }
    }
}

/// Upper bound of listed findings of the same kind.
const LISTED: usize = 10;

/// Returns at most [`LISTED`] of the findings of each severity, and one with the number of the others.
fn listed(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.milder);
    let mut listed = Vec::new();
    for same in findings.chunk_by(|a, b| a.milder == b.milder) {
        let more = same.len().saturating_sub(LISTED);
        let shown = if more > 1 { LISTED } else { same.len() };
        listed.extend_from_slice(&same[..shown]);
        listed.extend(same.get(shown).map(|next| next.clone().others(more)));
    }
    listed
}

/// Returns bytes as text, with replacement characters for invalid UTF-8.
fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The checks to run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these, if the list is not empty.
    pub only: Vec<String>,
    /// All but these, which the report lists as skipped.
    pub skip: Vec<String>,
}

/// Runs the selected checks, two at a time: `initramfs-modules` takes half of the total time.
pub fn run(subject: &Subject, selection: &Selection) -> Vec<(&'static Check, Answer)> {
    let named = |names: &[String], check: &Check| names.iter().any(|name| name == check.name);
    let look = |check: &'static Check| {
        if named(&selection.skip, check) {
            return (check, Answer::Skipped);
        }
        match (check.look)(subject) {
            Ok(findings) if findings.is_empty() => (check, Answer::Good),
            Ok(findings) => (check, Answer::Found(findings)),
            Err(answer) => (check, answer),
        }
    };
    let selected = CHECKS
        .iter()
        .filter(|check| selection.only.is_empty() || named(&selection.only, check));
    let next = Mutex::new(selected.enumerate());
    let looked = || {
        let one = || next.lock().ok()?.next();
        iter::from_fn(one)
            .map(|(number, check)| (number, look(check)))
            .collect::<Vec<_>>()
    };
    let mut answers = thread::scope(|scope| {
        let other = scope.spawn(looked);
        let mut answers = looked();
        match other.join() {
            Ok(others) => answers.extend(others),
            Err(panicked) => panic::resume_unwind(panicked),
        }
        answers
    });
    answers.sort_by_key(|(number, _)| *number);
    let mut answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
    once(&mut answers);
    answers
}

/// Removes the findings of `initramfs-projection` about files for which another check reports the same or worse: both
/// have one cause.
fn once(answers: &mut [(&'static Check, Answer)]) {
    const COPIES: &str = "initramfs-projection";
    let mut known: BTreeMap<String, Severity> = BTreeMap::new();
    for (check, answer) in answers.iter().filter(|(check, _)| check.name != COPIES) {
        let Answer::Found(findings) = answer else {
            continue;
        };
        for finding in findings {
            let severity = finding.milder.unwrap_or(check.severity);
            let worst = known.entry(finding.path.clone()).or_insert(severity);
            *worst = severity.min(*worst);
        }
    }
    for (check, answer) in answers.iter_mut().filter(|(check, _)| check.name == COPIES) {
        let Answer::Found(findings) = answer else {
            continue;
        };
        findings.retain(|finding| {
            let severity = finding.milder.unwrap_or(check.severity);
            known
                .get(&finding.path)
                .is_none_or(|worst| *worst > severity)
        });
        if findings.is_empty() {
            *answer = Answer::Good;
        }
    }
}
