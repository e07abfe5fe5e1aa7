// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that nothing is left of an old kernel, a killed run or cliwrap.

use super::{Answer, Finding, Remedy, Subject, listed};
use crate::kernel::MODULES;

pub fn leftovers(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let stale = tree.stale_dirs.iter().map(|dir| {
        let path = format!("{MODULES}/{dir}");
        let remedy = "run ostree-kernel rebuild, which removes it";
        let found = "a kernel's directory without vmlinuz that no package owns";
        Finding::new(path, found, "no files of an old kernel", remedy)
    });
    // A file that a package owns is no leftover: the step `clean` keeps it.
    let packages = tree.rpmdb.packages().ok();
    let is_owned = |path: &&String| packages.is_some_and(|rpmdb| rpmdb.owns_content(path));
    // If `vmlinuz` is a link, the check `kernel-single` reports the link. Its target is the kernel, not a leftover.
    let target = tree.vmlinuz_link.as_deref().unwrap_or_default();
    let target = target.trim_start_matches("../").trim_start_matches('/');
    let legacy = tree
        .legacy
        .iter()
        .filter(|path| !is_owned(path) && *path != target);
    let others = legacy.chain(&tree.leftovers).map(|path| {
        let remedy = Remedy::RebuildOr("remove it in an earlier RUN line");
        Finding::new(path, "a leftover", "no such file", remedy)
    });
    let mut findings = listed(stale.collect());
    findings.extend(listed(others.collect()));
    Ok(findings)
}
