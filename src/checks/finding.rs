// SPDX-License-Identifier: MIT OR Apache-2.0
//! Findings, and the answer of a check.

use super::Remedy;

/// The severity of a finding, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The image does not boot, cannot be deployed or has lost an out-of-tree module of the base; nothing is committed.
    Fatal,
    /// The image boots, but should be corrected.
    Warning,
    /// Information: real images that boot have such findings, too.
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

/// The answer of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The rule of the check holds.
    Good,
    /// The rule does not hold, with the defects.
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
    /// The place of the defect: a path relative to the root, `PATH in the initramfs`, or a description.
    pub path: String,
    /// The state that was found.
    pub found: String,
    /// The state that was expected.
    pub expected: String,
    /// The way to correct the defect.
    pub remedy: Remedy,
    /// The severity, if it is lower than the check's.
    pub milder: Option<Severity>,
    /// The number of findings that this one replaces at the end of a long list; 1 for any other finding.
    pub count: usize,
}

impl Finding {
    pub(super) fn new(
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

    /// Returns a finding that replaces the rest of a long list: `count` findings like this one.
    pub(super) fn others(self, count: usize) -> Self {
        Self {
            found: format!("{count} more like the one above"),
            count,
            ..self
        }
    }

    /// Lowers the severity of the finding to `severity`.
    pub(super) fn only(self, severity: Severity) -> Self {
        Self {
            milder: Some(severity),
            ..self
        }
    }
}

/// Maximum number of findings of one severity in a list. A check can return several lists.
const LISTED: usize = 10;

/// Sorts a list by severity, keeps at most [`LISTED`] findings of each severity, and replaces the rest by one finding
/// with their number. If the rest is a single finding, it is kept.
pub(super) fn listed(mut findings: Vec<Finding>) -> Vec<Finding> {
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
pub(super) fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
