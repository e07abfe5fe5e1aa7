// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run found and did, as values and as JSON.
//!
//! A report holds no time, duration or random name, so that equal inputs give equal trees.

use serde::Serialize;

use crate::checks::{Answer, Check, Finding, Severity};
use crate::plan::{Backend, Change, Kind};

/// The version of the JSON schema. It grows by one when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// Where the report lies in the image, relative to the root.
pub const PATH: &str = "usr/share/ostree-kernel/report.json";

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The tree has the new initramfs and is cleaned.
    Committed,
    /// An earlier run has done it; nothing was changed.
    Unchanged,
    /// `verify`: no fatal finding.
    Passed,
    /// A fatal finding; nothing was committed.
    Rejected,
    /// A fatal check could not look.
    Unknown,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `ostree-kernel 0.1.0`.
    pub tool: String,
    /// `replace`, `rebuild`, `verify`.
    pub command: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// The tree and the backend; absent in `verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostReport>,
    /// The kernel before and after.
    pub kernel: KernelReport,
    /// The packages that came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageReport>,
    /// The kernel's packages before and after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Packages of the sources that the kernel does without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The command lines that made the tree what it is, in order, as a shell would take them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// What dracut made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dracut: Option<DracutReport>,
    /// Every check and its answer.
    pub checks: Vec<CheckReport>,
    /// The findings of all checks.
    pub findings: Vec<FindingReport>,
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Values for image labels.
    pub labels: Labels,
}

/// The tree and the backend.
#[derive(Debug, Clone, Serialize)]
pub struct HostReport {
    /// The kind of tree.
    pub kind: Kind,
    /// The program that replaced the packages; absent in `rebuild`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

/// The kernel before and after.
#[derive(Debug, Clone, Serialize)]
pub struct KernelReport {
    /// Before the run; absent where nothing was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// Now.
    pub after: After,
}

/// The kernel that was there.
#[derive(Debug, Clone, Serialize)]
pub struct Before {
    /// `uname -r`.
    pub kver: String,
}

/// The kernel that is there.
#[derive(Debug, Clone, Serialize)]
pub struct After {
    /// `uname -r`.
    pub kver: String,
    /// The package that owns `vmlinuz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// SHA-256 of `vmlinuz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmlinuz_sha256: Option<String>,
    /// SHA-256 of the initramfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs_sha256: Option<String>,
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs_size: Option<u64>,
}

/// A package that came.
#[derive(Debug, Clone, Serialize)]
pub struct PackageReport {
    /// Name, epoch, version, release, architecture.
    pub nevra: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The fingerprint of the key that signed it, `null` where none that is known did.
    pub signer: Option<String>,
}

/// What dracut made.
#[derive(Debug, Clone, Serialize)]
pub struct DracutReport {
    /// Its version, as it writes it into the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its modules in the image.
    pub modules: Vec<String>,
}

/// One check's answer.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// The check's name.
    pub check: &'static str,
    /// `good`, `found`, `could-not-look`, `not-applicable`, `skipped`.
    pub answer: &'static str,
    /// Why it could not look or does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub struct FindingReport {
    /// The check that found it.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the root or inside the initramfs.
    pub path: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

/// Values for image labels.
#[derive(Debug, Clone, Serialize)]
pub struct Labels {
    /// The kver, as `ostree.linux` carries it.
    #[serde(rename = "ostree.linux")]
    pub ostree_linux: String,
}

/// The answers of all checks, in the order of the registry.
pub type Answers = Vec<(&'static Check, Answer)>;

/// The checks' part of a report, and what it comes to.
pub fn checks(answers: &Answers) -> (Vec<CheckReport>, Vec<FindingReport>, Outcome) {
    let mut outcome = Outcome::Passed;
    let mut checks = Vec::new();
    let mut findings = Vec::new();
    for (check, answer) in answers {
        let fatal = check.severity == Severity::Fatal;
        let (word, why) = match answer {
            Answer::Good => ("good", None),
            Answer::NotApplicable(why) => ("not-applicable", Some(why.clone())),
            Answer::Skipped => ("skipped", Some("the user asked not to look".to_owned())),
            Answer::CouldNotLook(why) => {
                if fatal && outcome == Outcome::Passed {
                    outcome = Outcome::Unknown;
                }
                ("could-not-look", Some(why.clone()))
            }
            Answer::Found(found) => {
                let severity = |finding: &Finding| finding.milder.unwrap_or(check.severity);
                if found.iter().any(|it| severity(it) == Severity::Fatal) {
                    outcome = Outcome::Rejected;
                }
                findings.extend(found.iter().map(|finding| FindingReport {
                    check: check.name,
                    severity: severity(finding),
                    path: finding.path.clone(),
                    found: finding.found.clone(),
                    expected: finding.expected.clone(),
                    remedy: finding.remedy.clone(),
                }));
                ("found", None)
            }
        };
        checks.push(CheckReport {
            check: check.name,
            answer: word,
            why,
        });
    }
    (checks, findings, outcome)
}

/// `ostree-kernel 0.1.0`.
pub fn tool() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
