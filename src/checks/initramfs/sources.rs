// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the tree's programs and libraries, from which dracut copied those of the initramfs, are as in their
//! packages. If a file was damaged before dracut ran, the copy equals it, and no other check sees the damage.
//!
//! A file with the size of the package's file and other bytes is damaged: a page was lost. A file of another size was
//! replaced on purpose, or it is truncated, which the check `initramfs-init` reports.

use crate::checks::{Answer, Finding, Remedy, Severity, Subject, listed, show};

/// A program or library of the tree that differs from its package's file.
#[derive(Debug, Clone)]
pub struct AlteredElf {
    /// The path of the copy in the initramfs.
    pub path: Vec<u8>,
    /// The path in the tree, relative to the root.
    pub source: Vec<u8>,
    /// The NEVRA of the package.
    pub package: String,
    /// Whether the size in bytes is that of the package's file.
    pub has_size_of_package: bool,
}

pub fn sources(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    const RESTORE: Remedy = Remedy::ThenRebuild("reinstall the package");
    let tree = subject.tree()?;
    tree.rpmdb.packages()?;
    let graph = &subject.trace()?.graph;
    let findings = tree.altered.iter().map(|altered| {
        let place = show(&altered.source);
        let package = &altered.package;
        if altered.has_size_of_package {
            let found = "other bytes than its package's file, which has the same size";
            let expected = format!("the file of {package}, which dracut copies");
            let finding = Finding::new(place, found, expected, RESTORE);
            if graph.has(&altered.path) {
                finding
            } else {
                finding.only(Severity::Warning)
            }
        } else {
            let expected = format!("the file of {package}, unless you replaced it on purpose");
            let found = "another file than its package's";
            Finding::new(place, found, expected, RESTORE).only(Severity::Note)
        }
    });
    Ok(listed(findings.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    #[test]
    fn the_size_tells_damage_from_another_build() {
        let bench = Bench::good();
        let altered = |path: &str, has_size_of_package| AlteredElf {
            path: path.as_bytes().to_vec(),
            source: path.as_bytes().to_vec(),
            package: "systemd-257-1.x86_64".to_owned(),
            has_size_of_package,
        };
        let found = bench.findings_with("initramfs-sources", |tree| {
            tree.altered = vec![
                altered("usr/lib/systemd/systemd", true),
                altered("usr/lib/systemd/systemd", false),
                altered("usr/bin/nothing-uses-it", true),
            ];
        });
        let severities: Vec<_> = found
            .iter()
            .map(|it| it.split(' ').next().unwrap())
            .collect();
        assert_eq!(severities, ["fatal", "warning", "note"], "{found:?}");
    }
}
