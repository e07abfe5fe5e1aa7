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
    let target = resolved(&subject.kver.dir(), target);
    let legacy = tree
        .legacy
        .iter()
        .filter(|path| !is_owned(path) && **path != target);
    let others = legacy.chain(&tree.leftovers).map(|path| {
        let remedy = Remedy::RebuildOr("remove it in an earlier RUN line");
        Finding::new(path, "a leftover", "no such file", remedy)
    });
    let mut findings = listed(stale.collect());
    findings.extend(listed(others.collect()));
    Ok(findings)
}

/// Returns the path (relative to the root) that a link in the directory `dir` leads to.
fn resolved(dir: &str, target: &str) -> String {
    let start = if target.starts_with('/') { "" } else { dir };
    let mut path: Vec<&str> = start.split('/').filter(|it| !it.is_empty()).collect();
    for name in target.split('/').filter(|it| !matches!(*it, "" | ".")) {
        if name == ".." {
            path.pop();
        } else {
            path.push(name);
        }
    }
    path.join("/")
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::{Bench, K};

    #[test]
    fn the_target_of_a_link_is_no_leftover() {
        for (target, count) in [
            ("../../ostree-boot/vmlinuz-1", 0),
            ("/usr/lib/ostree-boot/vmlinuz-1", 0),
            ("../../../../usr/lib/ostree-boot/./vmlinuz-1", 0),
            ("../../ostree-boot/vmlinuz-2", 1),
        ] {
            let found = Bench::good().findings_with("leftovers", |tree| {
                tree.legacy = vec!["usr/lib/ostree-boot/vmlinuz-1".to_owned()];
                tree.vmlinuz_link = Some(target.to_owned());
            });
            assert_eq!(found.len(), count, "{target} of {K}: {found:?}");
        }
    }
}
