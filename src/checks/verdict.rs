// SPDX-License-Identifier: MIT OR Apache-2.0
//! The outcome of a run, computed from the answers of the checks.

use serde::Serialize;

use super::{Answer, Check, Finding, Severity};

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The new initramfs is installed, and the tree is cleaned.
    Committed,
    /// An earlier run did the work; nothing was changed.
    Unchanged,
    /// `verify` or `gate` had no fatal finding. Also the outcome of commands that run no checks.
    Passed,
    /// A finding is fatal, so nothing was committed.
    Rejected,
    /// A fatal check could not run, or no check ran.
    Unknown,
}

impl Outcome {
    /// Returns whether the image is not fit to boot, or could not be verified.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Rejected | Self::Unknown)
    }
}

/// The answers of the selected checks, in the order of the registry. Skipped checks are included.
pub type Answers = Vec<(&'static Check, Answer)>;

/// Returns the severity of a finding of `check`: the finding's own, or the check's.
pub fn severity(check: &Check, finding: &Finding) -> Severity {
    finding.milder.unwrap_or(check.severity)
}

/// Returns the outcome of these answers: rejected if a finding is fatal; otherwise unknown if a check of fatal severity
/// could not run, or if no check has the answer good or found; otherwise passed.
pub fn outcome(answers: &Answers) -> Outcome {
    let is_fatal = |(check, answer): &(&Check, Answer)| match answer {
        Answer::Found(found) => found
            .iter()
            .any(|it| severity(check, it) == Severity::Fatal),
        _ => false,
    };
    let is_unknown = |(check, answer): &(&Check, Answer)| {
        check.severity == Severity::Fatal && matches!(answer, Answer::CouldNotRun(_))
    };
    let ran = |(_, answer): &(&Check, Answer)| matches!(answer, Answer::Good | Answer::Found(_));
    if answers.iter().any(is_fatal) {
        Outcome::Rejected
    } else if answers.iter().any(is_unknown) || !answers.iter().any(ran) {
        Outcome::Unknown
    } else {
        Outcome::Passed
    }
}
