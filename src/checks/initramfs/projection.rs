// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the files of the initramfs equal those of the tree, from which dracut copies nearly all of them. Finds
//! files with other bytes, which are damaged or of another build, programs that are not executable, and dangling links
//! in the place of files.

use crate::checks::{Answer, Finding, Remedy, Severity, Subject, TreeFacts, listed, show};
use crate::initramfs::{Difference, EntryType, Facts, Inventory, Node, Origin, TreeFile};

/// Prefixes of the paths of files whose bytes this check does not compare: the checks `initramfs-intent` and
/// `initramfs-modules` compare them, or dracut itself writes them.
const OTHERS: [&[u8]; 4] = [
    b"etc/",
    b"usr/lib/modules/",
    b"lib/modules/",
    b"usr/lib/ostree/prepare-root.conf",
];

/// The directory of dracut and its modules.
const DRACUT: &[u8] = b"usr/lib/dracut/";

pub fn projection(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.unpacked()?;
    let tree = subject.tree()?;
    let facts = subject.facts()?;
    if !tree.has_sources {
        let why = "the tree has neither systemd nor dracut, so there is nothing to compare with";
        return Err(Answer::NotApplicable(why.into()));
    }
    let graph = &subject.trace()?.graph;
    let older = Older::of(tree, inventory, facts);
    let mut fatal = Vec::new();
    let mut others = Vec::new();
    for (path, node) in inventory.nodes() {
        let finding = match facts.origin(inventory, node) {
            // The tree has a wrapper in the place of the program. The check `leftovers` reports the wrapper.
            Some(Origin::Differs(_, Difference::OnlyElf)) => continue,
            Some(Origin::Differs(source, difference)) => {
                let is_other = OTHERS.iter().any(|dir| path.starts_with(dir));
                if is_other || tree.setups.edits(path) {
                    continue;
                }
                let finding = differing(path, source, *difference);
                if older.explains(path, source, *difference) {
                    finding.only(Severity::Warning)
                } else {
                    finding
                }
            }
            Some(Origin::Copy(source))
                if lost_execution(node, source) && !is_library(inventory, facts, node) =>
            {
                let place = format!("{} in the initramfs", show(path));
                let found = format!("a file of mode {:04o}", node.mode & 0o7777);
                let expected = format!(
                    "mode {:04o}, as in the tree; otherwise it cannot be executed",
                    source.mode
                );
                Finding::new(place, found, expected, Remedy::Rebuild)
            }
            _ if tree.under_links.contains(path) => {
                let place = format!("{} in the initramfs", show(path));
                let found = format!(
                    "a link to {}, which is not a file in the initramfs",
                    show(&node.target)
                );
                let expected = format!("a copy of the tree's /{}", show(path));
                Finding::new(place, found, expected, Remedy::Rebuild)
            }
            _ => continue,
        };
        if finding.milder.is_none() && graph.has(path) {
            fatal.push(finding);
        } else {
            others.push(finding.only(Severity::Warning));
        }
    }
    let mut findings = listed(fatal);
    findings.extend(listed(others));
    Ok(findings)
}

fn lost_execution(node: &Node, source: &TreeFile) -> bool {
    node.kind == EntryType::File && source.mode & 0o111 != 0 && node.mode & 0o111 == 0
}

/// Returns whether the file is an ELF file without a dynamic linker. It counts as a library, whose mode does not matter
/// because it is not executed.
fn is_library(inventory: &Inventory, facts: &Facts, node: &Node) -> bool {
    let elf = facts.elf(inventory, node);
    elf.is_some_and(|elf| {
        let elf = elf.as_ref();
        elf.is_ok_and(|elf| elf.interpreter.is_none() && elf.is_library)
    })
}

fn differing(path: &[u8], source: &TreeFile, difference: Difference) -> Finding {
    let place = format!("{} in the initramfs", show(path));
    let of = source.path.as_deref().unwrap_or(path);
    let expected = format!("a copy of the tree's /{}", show(of));
    Finding::new(place, difference.to_string(), expected, Remedy::Rebuild)
}

/// Upgrades of the tree since the initramfs was built. An older initramfs boots if all its files are from before the
/// upgrade, so differences that an upgrade explains are only warnings.
struct Older {
    /// Whether most programs and libraries in the initramfs are from another build than the tree's.
    programs: bool,
    /// Whether the tree has another version of dracut than the one that built the initramfs.
    dracut: bool,
}

impl Older {
    fn of(tree: &TreeFacts, inventory: &Inventory, facts: &Facts) -> Self {
        let mut same = 0;
        let mut other = 0;
        for (_, node) in inventory.nodes() {
            match facts.origin(inventory, node) {
                Some(Origin::Copy(_)) if facts.elf(inventory, node).is_some() => same += 1,
                Some(Origin::Differs(_, Difference::OtherBuild)) => other += 1,
                _ => {}
            }
        }
        let versions = (inventory.dracut_version(), &tree.dracut_version);
        Self {
            programs: other > same,
            dracut: matches!(versions, (Some(inside), Some(there)) if inside != *there),
        }
    }

    fn explains(&self, path: &[u8], source: &TreeFile, difference: Difference) -> bool {
        let is_dracut = source.path.as_deref().unwrap_or(path).starts_with(DRACUT);
        match difference {
            _ if is_dracut => self.dracut,
            Difference::OtherBuild | Difference::Bytes(_) => self.programs,
            Difference::Cut(_) | Difference::OnlyElf => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::{Bench, Dynamic};
    use crate::initramfs::testing::item;

    const CHECK: &str = "initramfs-projection";

    /// Returns a bench with the file `path` in the initramfs, and its source in the tree with the mode 0755.
    fn bench(path: &str, mode: u32, inside: &[u8], source: &[u8]) -> Bench {
        let mut bench = Bench::good();
        bench
            .inside
            .insert(path.to_owned(), item(path, 0o100_000 | mode, inside));
        bench
            .sources
            .insert(path.to_owned(), (0o755, source.to_vec()));
        bench
    }

    #[test]
    fn copies_with_other_bytes() {
        let rules = "usr/lib/udev/rules.d/60-x.rules";
        let data = "usr/share/x";
        for (path, mode, inside, source, expected) in [
            (rules, 0o755, "abc", "abc", None),
            (rules, 0o755, "ab", "abc", Some("fatal")),
            // `initramfs-init` reports the empty file, so this check does not.
            (rules, 0o755, "", "abc", None),
            (rules, 0o755, "abd", "abc", Some("fatal")),
            (rules, 0o755, "abcd", "abc", Some("fatal")),
            (rules, 0o644, "abc", "abc", Some("fatal")),
            (data, 0o755, "ab", "abc", Some("warning")),
            (data, 0o644, "abc", "abc", Some("warning")),
            ("etc/x", 0o755, "ab", "abc", None),
        ] {
            let found = bench(path, mode, inside.as_bytes(), source.as_bytes()).findings(CHECK);
            let severity = found.first().and_then(|it| it.split(' ').next());
            assert_eq!(severity, expected, "{path} {mode:o} {inside}: {found:?}");
        }
    }

    #[test]
    fn files_of_dracuts_modules() {
        let hook = "usr/lib/dracut/hooks/cmdline/30-parse-x.sh";
        let source = "usr/lib/dracut/modules.d/90x/parse-x.sh";
        let found = |text: &str| {
            let mut bench = Bench::good();
            bench
                .inside
                .insert(hook.into(), item(hook, 0o100_644, text.as_bytes()));
            bench
                .sources
                .insert(source.into(), (0o755, b"#!/bin/sh\necho x\n".to_vec()));
            bench.findings(CHECK)
        };
        let whole = found("#!/bin/sh\necho x\n");
        assert_eq!(whole.len(), 1, "{whole:?}");
        assert!(whole[0].contains("mode 0755"), "{whole:?}");
        let cut = found("#!/bin/sh\n");
        assert!(cut[0].contains("only the first 10 bytes"), "{cut:?}");
        assert!(cut[0].contains(source), "{cut:?}");
    }

    #[test]
    fn a_stripped_program_is_a_copy() {
        let whole = Dynamic::library("x", &[]).elf();
        let mut stripped = whole.clone();
        stripped[40..48].fill(0x11);
        let path = "usr/lib/udev/rules.d/x";
        let unstripped = [whole.as_slice(), b"symbols"].concat();
        assert_eq!(
            bench(path, 0o755, &stripped, &unstripped).findings(CHECK),
            [""; 0]
        );
        stripped[70] ^= 1;
        assert_eq!(
            bench(path, 0o755, &stripped, &unstripped)
                .findings(CHECK)
                .len(),
            1
        );
    }
}
