// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the tree's programs and libraries, from which dracut copied those of the initramfs, are as in their
//! packages. If a file was damaged before dracut ran, the copy equals it, and no other check sees the damage.
//!
//! A file with the build-id and the size of the package's file and with other bytes is damaged. A file with another
//! build-id was replaced on purpose. The check `initramfs-init` reports truncated files.

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
    /// The difference.
    pub alteration: Alteration,
}

/// The difference between a file and its package's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    /// Another size.
    Size,
    /// The same size and another build-id.
    Build,
    /// The same size and other bytes; a build-id is not known.
    Bytes,
    /// The same size and build-id, and other bytes.
    Damage,
}

pub fn sources(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    const RESTORE: Remedy = Remedy::ThenRebuild("reinstall the package");
    let tree = subject.tree()?;
    // The check `kernel-rpmdb` reports an rpmdb that cannot be read.
    let altered = tree
        .altered
        .as_ref()
        .ok_or_else(|| Answer::NotApplicable("the rpmdb has no digests of programs".to_owned()))?;
    let graph = &subject.trace()?.graph;
    let findings = altered.iter().map(|altered| {
        let package = &altered.package;
        let found = match altered.alteration {
            Alteration::Size => "a file of another size than its package's",
            Alteration::Build => "another build than its package's file",
            Alteration::Bytes => "other bytes than its package's file, which has the same size",
            Alteration::Damage => {
                "other bytes than its package's file, which has the same build-id"
            }
        };
        let expected = format!("the file of {package}, unless you replaced it on purpose");
        let finding = Finding::new(show(&altered.source), found, expected, RESTORE);
        let path = altered.path.as_slice();
        let is_needed = graph.needs(path) || graph.opened_by(path).is_some();
        match altered.alteration {
            Alteration::Damage if is_needed => finding,
            Alteration::Damage => finding.only(Severity::Warning),
            Alteration::Bytes if graph.has(path) => finding.only(Severity::Warning),
            _ => finding.only(Severity::Note),
        }
    });
    Ok(listed(findings.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    #[test]
    fn the_build_id_tells_damage_from_another_build() {
        let bench = Bench::good();
        let altered = |path: &str, alteration| AlteredElf {
            path: path.as_bytes().to_vec(),
            source: path.as_bytes().to_vec(),
            package: "systemd-257-1.x86_64".to_owned(),
            alteration,
        };
        const INIT: &str = "usr/lib/systemd/systemd";
        for (path, alteration, expected) in [
            (INIT, Alteration::Damage, "fatal"),
            ("usr/bin/nothing-uses-it", Alteration::Damage, "warning"),
            (INIT, Alteration::Bytes, "warning"),
            ("usr/bin/nothing-uses-it", Alteration::Bytes, "note"),
            (INIT, Alteration::Build, "note"),
            (INIT, Alteration::Size, "note"),
        ] {
            let found = bench.findings_with("initramfs-sources", |tree| {
                tree.altered = Some(vec![altered(path, alteration)]);
            });
            assert!(found[0].starts_with(expected), "{found:?}");
        }
    }

    #[test]
    fn an_rpmdb_without_programs() {
        let answer = Bench::good().answer("initramfs-sources");
        assert!(matches!(answer, Answer::NotApplicable(_)), "{answer:?}");
    }
}
