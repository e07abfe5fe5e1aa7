// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detects whether an earlier run already did what is requested, by the report of that run and the digests of `vmlinuz`
//! and `initramfs.img`. Changes nothing.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::plan::{Earlier, KernelSet};
use crate::report::{PATH, SCHEMA, SigningReport};
use crate::sys::digest::Digesting;
use crate::sys::exec::Cmd;
use crate::sys::root::{self, Root};

/// Upper bound of a report (bytes); typical ones have about ten KiB.
const REPORT_MAX: u64 = 4 << 20;

/// The parts of this run's request that are compared with the report of an earlier run.
pub struct RunRequest<'a> {
    /// The kernel and its packages.
    pub set: &'a KernelSet,
    /// The user's arguments for dracut.
    pub dracut: &'a [String],
    /// The programs of `--before-dracut`.
    pub programs: &'a [String],
    /// The requested signing. Only the digests of the certificates and the choice of modules are compared.
    pub signing: &'a SigningReport,
    /// The checks that this run skips; the earlier run must not have skipped others.
    pub skip: &'a [String],
    /// The commands with which the commit step cleans the tree.
    pub cleaning: &'a [Cmd],
}

/// Returns the report in the tree if it is that of a run that did what is requested, and if `vmlinuz` and the initramfs
/// have not changed since that run.
///
/// # Errors
/// When a file cannot be read.
pub fn report(root: &Root, asked: &RunRequest) -> Result<Option<Value>> {
    let Some(json) = root.read(PATH, REPORT_MAX)? else {
        return Ok(None);
    };
    let report: Value = serde_json::from_slice(&json).unwrap_or_default();
    let kver = &asked.set.kver;
    let text = |pointer: &str| report.pointer(pointer).and_then(Value::as_str);
    let is_it = report["schema"] == SCHEMA
        && text("/outcome") == Some("committed")
        && text("/kernel/after/kver") == Some(kver.as_str())
        && has_installed(&report, asked.set)
        && skipped(&report).all(|check| asked.skip.iter().any(|it| it == check))
        && is_cleaned(&report, asked.cleaning)
        && texts(&report["dracut"]["arguments"]).eq(asked.dracut)
        && texts(&report["before_dracut"]["programs"]).eq(asked.programs)
        && is_signed(&report, asked.signing);
    let files = [
        ("vmlinuz", "/kernel/after/vmlinuz_sha256"),
        ("initramfs.img", "/kernel/after/initramfs_sha256"),
    ];
    for (name, pointer) in files {
        if !is_it || sha256(root, &format!("{}/{name}", kver.dir()))?.as_deref() != text(pointer) {
            return Ok(None);
        }
    }
    Ok(Some(report))
}

/// Returns whether the packages that the reported run installed are all in the set, and include those of the set that
/// belong to the set's kernel. Other packages of the set (kernel-tools) may have been installed before that run.
fn has_installed(report: &Value, set: &KernelSet) -> bool {
    let packages: BTreeSet<_> = packages(report).collect();
    let sources = set.sources.iter().map(|it| &it.package);
    let all: BTreeSet<_> = sources.clone().map(|it| it.nevra.to_string()).collect();
    let mut own = sources.filter(|it| it.belongs_to(&set.kver));
    packages.is_subset(&all) && own.all(|it| packages.contains(&it.nevra.to_string()))
}

fn skipped(report: &Value) -> impl Iterator<Item = &str> {
    let checks = report["checks"].as_array().into_iter().flatten();
    let skipped = checks.filter(|check| check["answer"] == "skipped");
    skipped.map(|check| check["check"].as_str().unwrap_or_default())
}

/// Returns whether the reported run signed everything that is requested, with the requested certificates.
fn is_signed(report: &Value, asked: &SigningReport) -> bool {
    let signed = |what: &str, field: &str| report["signing"][what][field].as_str();
    let is_same = |what, sha256: &str| signed(what, "certificate_sha256") == Some(sha256);
    let kernel = asked.kernel.as_ref();
    let modules = asked.modules.as_ref();
    kernel.is_none_or(|it| is_same("kernel", &it.certificate_sha256))
        && modules.is_none_or(|it| {
            is_same("modules", &it.certificate_sha256)
                && signed("modules", "which") == Some(it.which)
        })
}

/// Returns the strings in a JSON array; none if `list` is not an array.
fn texts(list: &Value) -> impl Iterator<Item = &str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str)
}

fn packages(report: &Value) -> impl Iterator<Item = String> {
    let packages = report["packages"].as_array().into_iter().flatten();
    packages.map(|package| package["nevra"].as_str().unwrap_or_default().to_owned())
}

/// Returns the run that the report in the tree describes, if it was a `replace` that committed its result.
///
/// # Errors
/// When the report cannot be read.
pub fn earlier(root: &Root) -> Result<Option<Earlier>, root::Error> {
    let Some(json) = root.read(PATH, REPORT_MAX)? else {
        return Ok(None);
    };
    let report: Value = serde_json::from_slice(&json).unwrap_or_default();
    let kver = report.pointer("/kernel/after/kver").and_then(Value::as_str);
    let left_out = texts(&report["left_out"]).map(str::to_owned);
    let is_replace = report["command"] == "replace" && report["outcome"] == "committed";
    Ok(kver.filter(|_| is_replace).map(|kver| Earlier {
        kver: kver.to_owned(),
        sources: packages(&report).chain(left_out).collect(),
    }))
}

/// Returns whether the reported run executed all commands of `cleaning`.
fn is_cleaned(report: &Value, cleaning: &[Cmd]) -> bool {
    let ran: Vec<_> = texts(&report["commands"]).collect();
    let mut cleaning = cleaning.iter();
    cleaning.all(|cmd| ran.contains(&cmd.to_string().as_str()))
}

fn sha256(root: &Root, path: &str) -> Result<Option<String>> {
    let Some(file) = root.open_file(path)? else {
        return Ok(None);
    };
    Ok(Some(Digesting::new(file).finish()?.0))
}
