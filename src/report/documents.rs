// SPDX-License-Identifier: MIT OR Apache-2.0
//! The documents of `--format json` that are not reports of a verification.

use std::path::Path;

use serde::Serialize;

use super::{Command, Labels, PackageReport, SchemaVersion, tool};
use crate::checks::Severity;
use crate::inspect::{
    Diff, FileEntry, GraphEntry, ModuleEntry, OriginEntry, SegmentEntry, Summary,
};
use crate::kernel::kver::Kver;
use crate::node::deployment::Name;
use crate::node::record::Judgement;
use crate::package::Nevra;
use crate::plan::{Backend, Change, TreeKind};

/// The output of a command that ended without a verdict.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The program and its version: `ostree-kernel 0.1.0`.
    pub tool: String,
    /// The outcome.
    pub outcome: FailureOutcome,
    /// The error, with the whole chain of causes.
    pub error: String,
}

/// The outcome of a command without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FailureOutcome {
    /// Nothing was changed.
    Refused,
    /// A step failed, or the input could not be read.
    Failed,
}

impl Failure {
    /// Returns the document of a command that failed with `error`.
    pub fn new(error: String) -> Self {
        Self {
            schema: SchemaVersion,
            tool: tool(),
            outcome: FailureOutcome::Failed,
            error,
        }
    }
}

/// The output of `replace --dry-run`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DryRun<'p> {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The command: `replace`.
    pub command: Command,
    /// The outcome.
    pub outcome: DryRunOutcome,
    /// The tree's root.
    pub root: &'p Path,
    /// The program that replaces packages.
    pub backend: Backend,
    /// The kernel before and after the transaction.
    pub kernel: PlannedKernel<'p>,
    /// The packages to install.
    pub packages: Vec<PackageReport>,
    /// The kernel's packages before and after the transaction: each removed or installed package, with its counterpart.
    pub changes: &'p [Change],
    /// Packages of the old kernel's build that stay in their version.
    pub stays: &'p [Nevra],
    /// Packages of the sources that were not needed.
    pub left_out: Vec<String>,
    /// The command lines that change the tree, in order, quoted for a shell.
    pub commands: &'p [String],
    /// Warnings of the plan.
    pub warnings: &'p [String],
}

/// The outcome of `replace --dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DryRunOutcome {
    /// There is a plan; nothing was changed.
    Planned,
}

/// The kernel before and after the transaction, in a plan.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedKernel<'p> {
    /// The kernel before the transaction.
    pub before: OldKernel<'p>,
    /// The kernel after the transaction.
    pub after: NewKernel<'p>,
}

/// The kernel that a plan replaces.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OldKernel<'p> {
    /// The kernel's release string, `uname -r`; `null` without a kernel.
    pub kver: Option<&'p Kver>,
}

/// The kernel that a plan installs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NewKernel<'p> {
    /// The kernel's release string, `uname -r`.
    pub kver: &'p Kver,
}

/// The output of `verify --list`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckList {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// Every check, in the order in which findings are reported.
    pub checks: Vec<ListedCheck>,
}

/// One check of the list.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedCheck {
    /// The name of the check, which never changes.
    pub check: &'static str,
    /// The severity of its findings.
    pub severity: Severity,
    /// The condition that it checks, in one line.
    pub about: &'static str,
    /// The public issue that the check comes from.
    pub issue: &'static str,
}

/// The output of `status`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status<'h> {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The kind of tree.
    pub kind: TreeKind,
    /// Paths that the root of every operating system has, and the root of this tree lacks.
    pub lacks: Vec<&'static str>,
    /// The backends that work here, the preferred one first.
    pub backends: &'h [Backend],
    /// The version of rpm-ostree.
    pub rpm_ostree: Option<String>,
    /// The changes of `rpm-ostree cliwrap`.
    pub cliwrap: CliwrapStatus<'h>,
    /// Whether kernel-install has `layout=ostree`.
    pub layout_ostree: bool,
    /// The rpmdb that was not read, as `/PATH has the format FORMAT`: only rpm itself can read ndb and Berkeley DB.
    pub foreign_rpmdb: Option<&'h str>,
    /// The directories of `usr/lib/modules` that belong to a kernel.
    pub kernels: Vec<KernelStatus<'h>>,
    /// The kernel's packages in the rpmdb.
    pub packages: Vec<&'h Nevra>,
    /// Unified kernel images.
    pub ukis: &'h [String],
    /// Files that killed transactions left.
    pub leftovers: &'h [String],
    /// Programs that `replace` needs and the tree lacks.
    pub missing_programs: &'h [&'static str],
    /// Values for image labels.
    pub labels: Labels,
    /// The deployments of a running system, and the verdicts of `gate`; absent elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployments: Option<DeploymentsStatus<'h>>,
}

/// The changes of `rpm-ostree cliwrap`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CliwrapStatus<'h> {
    /// Wrappers whose originals exist.
    pub wrapped: Vec<&'h str>,
    /// Wrappers that cliwrap created for programs that did not exist.
    pub created: &'h [String],
    /// Wrappers whose original program is lost. They run themselves in an endless loop.
    pub lost: &'h [String],
}

/// A kernel of the tree.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelStatus<'h> {
    /// The name of the directory in `usr/lib/modules`.
    pub kver: &'h str,
    /// Whether the directory has a `vmlinuz`.
    pub vmlinuz: bool,
    /// The size of the initramfs in bytes; `null` without an initramfs.
    pub initramfs_size: Option<u64>,
}

/// The deployments of a running system.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeploymentsStatus<'h> {
    /// The booted deployment.
    pub booted: Option<&'h Name>,
    /// The staged deployment.
    pub staged: Option<&'h Name>,
    /// The gate's verdict on the staged deployment; `null` without a verdict, or if the deployment has changed since.
    pub judgement: Option<&'h Judgement>,
    /// Refused deployments, the latest first.
    pub refusals: Vec<&'h Judgement>,
    /// The lock on the finalisation of the staged deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockStatus>,
    /// The reason why the deployments cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'h str>,
}

/// The lock on the finalisation of a staged deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LockStatus {
    /// The finalisation is not locked.
    Open,
    /// `gate` locked the finalisation.
    Gate,
    /// Another program locked the finalisation.
    Other,
}

/// The output of `inspect`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Inspected<'i> {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The summary.
    #[serde(flatten)]
    pub summary: &'i Summary,
    /// The requested listing.
    #[serde(flatten)]
    pub lists: InspectedLists,
}

/// The output of `inspect` for an initramfs that cannot be read to its end.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Damaged<'i> {
    /// The error, which names the damage and its position in the initramfs.
    #[serde(flatten)]
    pub failure: Failure,
    /// The segments before the damage.
    pub segments: &'i [SegmentEntry],
    /// The requested listing.
    #[serde(flatten)]
    pub lists: InspectedLists,
}

/// The listing that the user requested from `inspect`; the other fields are absent.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InspectedLists {
    /// With `--files`: every name of the unpacked initramfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileEntry>>,
    /// With `--modules`: the kernel modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<ModuleEntry>>,
    /// With `--origins`: the origins of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<OriginEntry>>,
    /// With `--graph`: the files that a boot uses. Each file follows the one that uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Vec<GraphEntry>>,
}

/// The output of `inspect --why PATH`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Why {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The program and its version: `ostree-kernel 0.1.0`.
    pub tool: String,
    /// The files from PID 1 to PATH; empty if a boot does not use that file.
    pub why: Vec<GraphEntry>,
}

/// The output of `inspect --diff`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference<'i> {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The differences.
    #[serde(flatten)]
    pub diff: &'i Diff,
}
