// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks: a name, a severity, a line that describes it, the public issue that it comes from,
//! and a pure function.
//!
//! A check looks at values that somebody else read: it opens no file and starts no program. Its
//! answer is one of four: good; looked and it is wrong; could not look; not applicable. The names
//! are stable, since people write them into pipelines.

mod able;
mod baseline;
mod blocked;
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
mod omitted;
mod prepare_root;
mod projection;
mod registry;
mod regression;
mod release;
mod remedy;
mod setups;
mod squash;
mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod units;
pub mod verdict;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::{iter, panic, thread};

pub use baseline::{Baseline, plain_firmware};
pub use dracut_conf::DracutConf;
pub use drivers::DRIVER_CHECK;
pub use early::kinds as early_kinds;
pub use files::{Inner, KernelFiles, ModuleState, OtherModule, Vmlinuz};
pub use hmac::Hmac;
pub use intent::{COPIED_DIRS, copies};
pub use kmods::{is_foreign, is_out_of_tree};
pub use omitted::Omitted;
pub use registry::CHECKS;
pub use release::OsRelease;
pub use remedy::{Remedy, Situation};
pub use setups::Setups;
pub use subject::{
    AllLacking, BootedBy, Database, Image, ImageFile, Kmod, Lacking, Lists, NoRelease, Shadow,
    Subject, Tree,
};
pub use wanted::{RootDevice, Wanted};

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The image would not boot; nothing is committed.
    Fatal,
    /// It boots, and somebody should look.
    Warning,
    /// Worth knowing; real images that boot have it too.
    Note,
}

impl Severity {
    /// `fatal`, `warning`, `note`.
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
    /// Its stable name.
    pub name: &'static str,
    /// How bad its findings are.
    pub severity: Severity,
    /// What must hold, in one line.
    pub about: &'static str,
    /// The public issue that it comes from: `owner/repository#number` or a CVE.
    pub issue: &'static str,
    /// Whether its answer depends on an earlier initramfs, where there is one.
    pub compares: bool,
    /// Looks. `Err` is the answer where there is nothing to look at.
    pub look: fn(&Subject) -> Result<Vec<Finding>, Answer>,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Good,
    /// It does not.
    Found(Vec<Finding>),
    /// It could not be looked at, and why.
    CouldNotLook(String),
    /// There is nothing that it applies to, and why.
    NotApplicable(String),
    /// The user asked not to look.
    Skipped,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file: relative to the root, or inside the initramfs.
    pub path: String,
    /// What was found there.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub remedy: Remedy,
    /// How bad it is, where that is milder than its check.
    pub milder: Option<Severity>,
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
        }
    }

    /// The same finding, milder than its check.
    fn only(self, severity: Severity) -> Self {
        Self {
            milder: Some(severity),
            ..self
        }
    }
}

/// At most this many findings of one kind are listed.
const LISTED: usize = 10;

/// At most [`LISTED`] of `findings`, and one that says how many more there are.
fn listed(mut findings: Vec<Finding>) -> Vec<Finding> {
    // What is cut must not be what is fatal.
    findings.sort_by_key(|finding| finding.milder.is_some());
    let more = findings.len().saturating_sub(LISTED);
    if more > 1 {
        findings.truncate(LISTED);
        if let Some(last) = findings.last().cloned() {
            let found = format!("{more} more of the kind before");
            findings.push(Finding { found, ..last });
        }
    }
    findings
}

/// Bytes as text; what is not UTF-8 is shown as such.
fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Which checks look.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these, if there are any.
    pub only: Vec<String>,
    /// Not these; they are in the report as skipped.
    pub skip: Vec<String>,
}

/// Runs the checks that are selected, two at a time: half of their time is that of `initramfs-modules`.
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

/// Removes the findings of `initramfs-projection` about files of which another check reports the same or worse: both have
/// one cause.
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
