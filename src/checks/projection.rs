// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the files of the initramfs are those of the tree. dracut copies nearly all of them from there, so that a
//! file with other bytes, or a program that may not be executed, is damaged or of another build.

mod needed;

use super::{Answer, Finding, Remedy, Severity, Subject, listed, show};
use crate::initramfs::{Difference, Facts, Inventory, Kind, Node, Origin, Source};

/// Files whose bytes `initramfs-intent` and `initramfs-modules` compare, or that a generator of dracut writes.
const OTHERS: [&[u8]; 3] = [b"etc/", b"usr/lib/modules/", b"lib/modules/"];

/// Where the files of dracut's modules are, and the rest of dracut.
const DRACUT: &[u8] = b"usr/lib/dracut/";

pub fn projection(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.unpacked()?;
    let tree = subject.tree()?;
    let facts = subject.facts()?;
    if !tree.has_sources {
        let why = "the tree has neither systemd nor dracut, so there is nothing to compare with";
        return Err(Answer::NotApplicable(why.into()));
    }
    let needed = needed::files(inventory, facts);
    let older = OtherBuilds::of(inventory, facts);
    let mut fatal = Vec::new();
    let mut others = Vec::new();
    for (path, node) in inventory.nodes() {
        let finding = match facts.origin(inventory, node) {
            Some(Origin::Differs(source, difference)) => {
                let is_other = OTHERS.iter().any(|dir| path.starts_with(dir));
                if is_other || tree.setups.edits(path) {
                    continue;
                }
                let older = older.is_older(path, source, *difference);
                let finding = differing(path, source, *difference);
                if older {
                    finding.only(Severity::Warning)
                } else {
                    finding
                }
            }
            Some(Origin::Copy(source)) if lost_execution(node, source) => {
                let place = format!("{} in the initramfs", show(path));
                let found = format!("a file of mode {:04o}", node.mode & 0o7777);
                let expected = format!(
                    "mode {:04o}, as the tree's has, or it cannot be executed",
                    source.mode
                );
                Finding::new(place, found, expected, Remedy::Rebuild)
            }
            _ => continue,
        };
        if finding.milder.is_none() && needed.contains(&path) {
            fatal.push(finding);
        } else {
            others.push(finding.only(Severity::Warning));
        }
    }
    let mut findings = listed(fatal);
    findings.extend(listed(others));
    Ok(findings)
}

/// Whether a program was made a file that is none.
fn lost_execution(node: &Node, source: &Source) -> bool {
    node.kind == Kind::File && source.mode & 0o111 != 0 && node.mode & 0o111 == 0
}

fn differing(path: &[u8], source: &Source, difference: Difference) -> Finding {
    let place = format!("{} in the initramfs", show(path));
    let of = source.path.as_deref().unwrap_or(path);
    let found = match difference {
        Difference::Cut(bytes) => format!("only the first {bytes} bytes"),
        Difference::OtherBuild => "an ELF file of another build".to_owned(),
        Difference::Bytes(at) => format!("other bytes, from offset {at} on"),
    };
    let expected = format!("a copy of the tree's /{}", show(of));
    Finding::new(place, found, expected, Remedy::Rebuild)
}

/// Where the tree is newer than the image: an upgrade changes all programs of a package together.
struct OtherBuilds {
    /// Whether most programs and libraries inside are of another build than the tree's.
    programs: bool,
    /// Whether dracut is of another version.
    dracut: bool,
}

impl OtherBuilds {
    fn of(inventory: &Inventory, facts: &Facts) -> Self {
        let mut same = 0;
        let mut other = 0;
        for (_, node) in inventory.nodes() {
            match facts.origin(inventory, node) {
                Some(Origin::Copy(_)) if facts.elf(inventory, node).is_some() => same += 1,
                Some(Origin::Differs(_, Difference::OtherBuild)) => other += 1,
                _ => {}
            }
        }
        Self {
            programs: other > same,
            dracut: false,
        }
    }

    fn is_older(&self, path: &[u8], source: &Source, difference: Difference) -> bool {
        let is_dracut = source.path.as_deref().unwrap_or(path).starts_with(DRACUT);
        match difference {
            _ if is_dracut => self.dracut,
            Difference::OtherBuild | Difference::Bytes(_) => self.programs,
            Difference::Cut(_) => false,
        }
    }
}
