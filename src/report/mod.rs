// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a run, as values and as JSON.
//!
//! A report contains no time, duration or random name: it becomes a file of the tree, and equal inputs should give
//! equal trees.

pub mod documents;
pub mod github;
pub mod human;
mod images;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Serialize, Serializer};

pub use self::images::{FailedImage, ImageEntry, ImageReports};
use crate::checks::verdict::severity;
pub use crate::checks::verdict::{Answers, Outcome};
use crate::checks::{Answer, Severity, Situation};
use crate::node::deployment::{Name, Place};
use crate::package::Nevra;
use crate::plan::{Backend, Change, TreeKind};

/// The version of the JSON schema. It is increased when a field changes its meaning or is removed.
pub const SCHEMA: u32 = 1;

/// The field `schema` of a document. Its value is always [`SCHEMA`].
#[derive(Debug, Clone, Copy)]
pub struct SchemaVersion;

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(SCHEMA)
    }
}

/// The command that wrote a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// `replace`.
    Replace,
    /// `rebuild`.
    Rebuild,
    /// `verify`.
    Verify,
    /// `gate`.
    Gate,
}

/// The path of the report in the image, relative to the root.
pub const PATH: &str = "usr/share/ostree-kernel/report.json";

/// The output of `verify`, `replace` and `rebuild`, and `/usr/share/ostree-kernel/report.json`. It contains no time,
/// duration or random name.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The program and its version: `ostree-kernel 0.1.0`.
    pub tool: String,
    /// The command.
    pub command: Command,
    /// The outcome.
    pub outcome: Outcome,
    /// The image that was read without being mounted; absent for a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageReport>,
    /// The deployment; only with `--staged` or `--deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentReport>,
    /// The tree and the backend; absent in `verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostReport>,
    /// The kernel before and after the run.
    pub kernel: KernelReport,
    /// The packages of the sources that are installed after the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageReport>,
    /// The kernel's packages before and after: each removed or installed package, with its counterpart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Packages of the old kernel's build that stay in their version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<Nevra>,
    /// Packages of the sources that were not needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The programs of `--before-dracut`, and the files that they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_dracut: Option<ProgramsReport>,
    /// The files that were signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningReport>,
    /// The command lines that change the tree, in order, quoted for a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// The initramfs that dracut built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dracut: Option<DracutReport>,
    /// The selected checks, in the order of `verify --list`.
    pub checks: Vec<CheckReport>,
    /// The findings of all checks.
    pub findings: Vec<FindingReport>,
    /// Warnings of the plan and of dracut.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Values for image labels.
    pub labels: Labels,
}

/// The image that `verify` read without mounting it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImageReport {
    /// The image with its transport, as it can be typed again.
    pub reference: String,
    /// The digest of the manifest; absent for `docker-archive:` and `containers-storage:`, whose manifest is generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// The digest of the config.
    pub config_digest: String,
    /// The platform, for example `linux/amd64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Bytes that were fetched from registries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_fetched: Option<u64>,
    /// The number of requests to registries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

/// The deployment that was verified.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeploymentReport {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its place in the order of `ostree admin status`.
    pub place: Place,
}

/// The tree and the backend.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostReport {
    /// The kind of tree.
    pub kind: TreeKind,
    /// The program that replaced the packages; absent in `rebuild`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

/// The kernel before and after the run.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelReport {
    /// The kernel before the run; absent if no kernel was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The kernel after the run.
    pub after: After,
}

/// The kernel before the run.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Before {
    /// The kernel's release string, `uname -r`.
    pub kver: String,
}

/// The kernel after the run.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct After {
    /// The kernel's release string, `uname -r`.
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
    /// The size of the initramfs in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs_size: Option<u64>,
}

/// A package of the sources.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PackageReport {
    /// Name, epoch, version, release, architecture.
    pub nevra: String,
    /// SHA-256 of the package file, in lower-case hexadecimal.
    pub sha256: String,
    /// The fingerprint of the key that signed the package; `null` without a signature by a known key.
    pub signer: Option<String>,
}

/// The programs that ran before dracut, and the files below `usr/lib/modules` that they changed.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// The files that `--sign-kernel-key` and `--sign-modules-key` signed. Absent without these options.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SignedKernel {
    /// The name of the certificate.
    pub certificate: String,
    /// SHA-256 of the certificate in DER.
    pub certificate_sha256: String,
    /// The program that signed `vmlinuz`; absent if `vmlinuz` already had a signature by this certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// The signatures of modules.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SignedModules {
    /// The name of the certificate.
    pub certificate: String,
    /// SHA-256 of the certificate in DER.
    pub certificate_sha256: String,
    /// `out-of-tree` or `all`.
    pub which: &'static str,
    /// The number of modules that were signed.
    pub signed: usize,
    /// The number of modules that already had a signature by this certificate.
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

/// The initramfs that dracut built.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DracutReport {
    /// The version of dracut, from the initramfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The dracut modules in the initramfs.
    pub modules: Vec<String>,
    /// The user's arguments that dracut got: those after `--`, and `--compress`. Absent in `verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Vec<String>>,
}

/// One check and its answer; `verify --list` describes the checks.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckReport {
    /// The name of the check, which never changes.
    pub check: &'static str,
    /// The answer.
    pub answer: AnswerWord,
    /// The reason why the check could not run, does not apply or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The finding of a check.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindingReport {
    /// The check that reports the finding.
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
    /// The number of defects that this finding counts, if it replaces the rest of a long list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

impl FindingReport {
    /// Returns the number of defects that this finding counts: 1, unless it replaces the rest of a long list.
    pub fn defects(&self) -> usize {
        self.count.unwrap_or(1)
    }
}

/// Values for image labels.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Labels {
    /// The release string of the kernel that was verified. In `status`, `null` unless there is exactly one kernel.
    #[serde(rename = "ostree.linux")]
    pub ostree_linux: Option<String>,
}

/// The answer of a check, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AnswerWord {
    /// There is no finding.
    Good,
    /// There are findings.
    Found,
    /// The check could not run.
    CouldNotRun,
    /// The check does not apply.
    NotApplicable,
    /// `--skip` excluded the check.
    Skipped,
}

/// Returns a report's entries for checks and findings. The remedies are worded for `situation`.
pub fn checks(answers: &Answers, situation: Situation) -> (Vec<CheckReport>, Vec<FindingReport>) {
    let mut checks = Vec::new();
    let mut findings = Vec::new();
    for (check, answer) in answers {
        let (word, why) = match answer {
            Answer::Good => (AnswerWord::Good, None),
            Answer::NotApplicable(why) => (AnswerWord::NotApplicable, Some(why.clone())),
            Answer::Skipped => (AnswerWord::Skipped, Some("excluded with --skip".to_owned())),
            Answer::CouldNotRun(why) => (AnswerWord::CouldNotRun, Some(why.clone())),
            Answer::Found(found) => {
                findings.extend(found.iter().map(|finding| FindingReport {
                    check: check.name,
                    severity: severity(check, finding),
                    path: finding.path.clone(),
                    found: finding.found.clone(),
                    expected: finding.expected.clone(),
                    remedy: finding.remedy.after(situation),
                    count: (finding.count > 1).then_some(finding.count),
                }));
                (AnswerWord::Found, None)
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

/// Returns the program and its version, for example `ostree-kernel 0.1.0`.
pub fn tool() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
