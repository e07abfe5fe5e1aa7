// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a run, as values and as JSON.
//!
//! A report holds no time, duration or random name, so that equal inputs give equal trees.

pub mod github;
pub mod human;

use std::fmt;

use serde::Serialize;

use crate::checks::verdict::severity;
pub use crate::checks::verdict::{Answers, Outcome};
use crate::checks::{Answer, Severity, Situation};
use crate::node::deployment::{Name, Place};
use crate::package::Nevra;
use crate::plan::{Backend, Change, TreeKind};

/// The version of the JSON schema. It grows by one when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// The path of the report in the image, relative to the root.
pub const PATH: &str = "usr/share/ostree-kernel/report.json";

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `ostree-kernel 0.1.0`.
    pub tool: String,
    /// `replace`, `rebuild`, `verify`.
    pub command: &'static str,
    /// The outcome.
    pub outcome: Outcome,
    /// The image that was read where it lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageReport>,
    /// The deployment; only with `--staged` and `--deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentReport>,
    /// The tree and the backend; absent in `verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostReport>,
    /// The kernel before and after.
    pub kernel: KernelReport,
    /// The installed packages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageReport>,
    /// The kernel's packages before and after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Packages of the old kernel's build that stay in their version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<Nevra>,
    /// Packages of the sources that were not installed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The programs of `--before-dracut`, and what they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_dracut: Option<ProgramsReport>,
    /// The files that were signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningReport>,
    /// The command lines that changed the tree, in order, quoted for a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// dracut's version and modules in the initramfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dracut: Option<DracutReport>,
    /// Every check and its answer.
    pub checks: Vec<CheckReport>,
    /// The findings of all checks.
    pub findings: Vec<FindingReport>,
    /// Warnings of the plan and of dracut.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Values for image labels.
    pub labels: Labels,
}

/// An image that was read where it lies.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// The reference, as a user types it.
    pub reference: String,
    /// The digest of the manifest; absent in an archive of Docker, which has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// The digest of the config.
    pub config_digest: String,
    /// The platform of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Bytes that were fetched from a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_fetched: Option<u64>,
    /// Requests to registries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

/// The reports of several images.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReports<'r> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `ostree-kernel 0.1.0`.
    pub tool: String,
    /// `verify`.
    pub command: &'static str,
    /// The worst outcome.
    pub outcome: Outcome,
    /// The images, in the order of the command line.
    pub images: &'r [ImageEntry],
}

/// One of several images.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ImageEntry {
    /// An image with a verdict.
    Verified(Box<Report>),
    /// An image that could not be read.
    Failed(FailedImage),
}

/// An image that could not be read, so that there is no verdict.
#[derive(Debug, Clone, Serialize)]
pub struct FailedImage {
    schema: u32,
    tool: String,
    outcome: &'static str,
    image: FailedReference,
    error: String,
}

#[derive(Debug, Clone, Serialize)]
struct FailedReference {
    reference: String,
}

impl FailedImage {
    /// Returns the entry of an image that could not be read.
    pub fn new(reference: &str, error: String) -> Self {
        Self {
            schema: SCHEMA,
            tool: tool(),
            outcome: "failed",
            image: FailedReference {
                reference: reference.to_owned(),
            },
            error,
        }
    }
}

impl ImageEntry {
    /// Returns the outcome; without a verdict it is unknown.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Verified(report) => report.outcome,
            Self::Failed(_) => Outcome::Unknown,
        }
    }
}

/// The deployment that was verified.
#[derive(Debug, Clone, Serialize)]
pub struct DeploymentReport {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its place in the order of `ostree admin status`.
    pub place: Place,
}

/// The tree and the backend.
#[derive(Debug, Clone, Serialize)]
pub struct HostReport {
    /// The kind of tree.
    pub kind: TreeKind,
    /// The program that replaced the packages; absent in `rebuild`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

/// The kernel before and after.
#[derive(Debug, Clone, Serialize)]
pub struct KernelReport {
    /// Before the run; absent if nothing was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// After the run.
    pub after: After,
}

/// The kernel before the run.
#[derive(Debug, Clone, Serialize)]
pub struct Before {
    /// `uname -r`.
    pub kver: String,
}

/// The kernel after the run.
#[derive(Debug, Clone, Serialize)]
pub struct After {
    /// `uname -r`.
    pub kver: String,
    /// Returns the package that owns `vmlinuz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// SHA-256 of `vmlinuz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmlinuz_sha256: Option<String>,
    /// SHA-256 of the initramfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs_sha256: Option<String>,
    /// The size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs_size: Option<u64>,
}

/// An installed package.
#[derive(Debug, Clone, Serialize)]
pub struct PackageReport {
    /// Name, epoch, version, release, architecture.
    pub nevra: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The fingerprint of the key that signed it; `null` without a signature of a known key.
    pub signer: Option<String>,
}

/// The programs that ran before dracut, and the files below `usr/lib/modules` that they changed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProgramsReport {
    /// The command lines as the user typed them.
    pub programs: Vec<String>,
    /// New files.
    pub added: Vec<String>,
    /// Changed files.
    pub changed: Vec<String>,
    /// Removed files.
    pub removed: Vec<String>,
}

/// The files that a run signed, or that the same certificate had signed before.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SigningReport {
    /// `vmlinuz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<SignedKernel>,
    /// The modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<SignedModules>,
}

/// The signature of `vmlinuz`.
#[derive(Debug, Clone, Serialize)]
pub struct SignedKernel {
    /// The name of the certificate.
    pub certificate: String,
    /// SHA-256 of the certificate in DER.
    pub certificate_sha256: String,
    /// The program that signed; absent if the signature was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// The signatures of modules.
#[derive(Debug, Clone, Serialize)]
pub struct SignedModules {
    /// The name of the certificate.
    pub certificate: String,
    /// SHA-256 of the certificate in DER.
    pub certificate_sha256: String,
    /// `out-of-tree` or `all`.
    pub which: &'static str,
    /// The number of modules that were signed.
    pub signed: usize,
    /// The number of modules whose signature was there.
    pub unchanged: usize,
}

impl fmt::Display for SigningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = self.kernel.iter().map(|it| match &it.program {
            Some(program) => format!("vmlinuz as {}, with {program}", it.certificate),
            None => format!("vmlinuz is signed by {} already", it.certificate),
        });
        let modules = self.modules.iter().map(|it| {
            let (signed, unchanged) = (it.signed, it.unchanged);
            format!(
                "{signed} modules as {}, {unchanged} are signed already",
                it.certificate
            )
        });
        f.write_str(&kernel.chain(modules).collect::<Vec<_>>().join("; "))
    }
}

impl fmt::Display for ProgramsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (added, changed) = (self.added.len(), self.changed.len());
        let removed = self.removed.len();
        write!(
            f,
            "files of usr/lib/modules: {added} added, {changed} changed, {removed} removed"
        )
    }
}

/// dracut's version and modules in the initramfs.
#[derive(Debug, Clone, Serialize)]
pub struct DracutReport {
    /// The version that dracut wrote into the image.
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
    /// `good`, `found`, `could-not-run`, `not-applicable`, `skipped`.
    pub answer: &'static str,
    /// The reason for which it could not run, does not apply or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub struct FindingReport {
    /// The check that found it.
    pub check: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The file, relative to the root or inside the initramfs.
    pub path: String,
    /// The state that was found.
    pub found: String,
    /// The state that was expected.
    pub expected: String,
    /// The remedy.
    pub remedy: String,
}

/// Values for image labels.
#[derive(Debug, Clone, Serialize)]
pub struct Labels {
    /// The kernel release, the value of the label `ostree.linux`.
    #[serde(rename = "ostree.linux")]
    pub ostree_linux: String,
}

/// The answer of a check that could not run.
pub const COULD_NOT_RUN: &str = "could-not-run";

/// Returns the checks' part of a report, with remedies for a run in this situation.
pub fn checks(answers: &Answers, situation: Situation) -> (Vec<CheckReport>, Vec<FindingReport>) {
    let mut checks = Vec::new();
    let mut findings = Vec::new();
    for (check, answer) in answers {
        let (word, why) = match answer {
            Answer::Good => ("good", None),
            Answer::NotApplicable(why) => ("not-applicable", Some(why.clone())),
            Answer::Skipped => ("skipped", Some("excluded with --skip".to_owned())),
            Answer::CouldNotRun(why) => (COULD_NOT_RUN, Some(why.clone())),
            Answer::Found(found) => {
                findings.extend(found.iter().map(|finding| FindingReport {
                    check: check.name,
                    severity: severity(check, finding),
                    path: finding.path.clone(),
                    found: finding.found.clone(),
                    expected: finding.expected.clone(),
                    remedy: finding.remedy.after(situation),
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
    (checks, findings)
}

/// Returns `ostree-kernel 0.1.0`.
pub fn tool() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
