// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the kernel can decode the segments of the initramfs, and the modules that kmod passes to the kernel
//! without decoding them.

use std::collections::BTreeMap;

use crate::bytes::basename;
use crate::checks::{Answer, Finding, Initramfs, Remedy, Severity, Subject, TreeFacts, show};
use crate::initramfs::{Compression, Inventory, Segment};
use crate::kernel::modules::ModuleName;
use crate::kernel::packing::{Config, Packing};

const CHOOSE: Remedy = Remedy::ThenRebuild("choose another with compress= in /etc/dracut.conf.d");

/// Modules with the same compression: the path of the first one, and their number.
type Group = (Vec<u8>, usize);

pub fn compression(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let (segments, inventory) = match subject.image {
        Initramfs::Read {
            segments,
            inventory,
            ..
        } => (segments, inventory),
        Initramfs::Closed(why) => return Err(Answer::CouldNotRun(why.clone())),
        Initramfs::Missing | Initramfs::Unreadable(_) => {
            let why = "there is no initramfs to read".to_owned();
            return Err(Answer::NotApplicable(why));
        }
    };
    let path = format!("{}/config", subject.kver.dir());
    let tree = subject.tree()?;
    let config = match &tree.config {
        Ok(Some(config)) => Config(config),
        Ok(None) => return Err(Answer::NotApplicable(format!("there is no {path}"))),
        Err(why) => return Err(Answer::CouldNotRun(why.clone())),
    };
    let mut findings = Vec::new();
    if !config.is_on("CONFIG_BLK_DEV_INITRD") {
        let found = "CONFIG_BLK_DEV_INITRD is not set";
        let remedy = "install a kernel with support for an initramfs";
        findings.push(Finding::new(&path, found, "=y", remedy));
    }
    findings.extend(segments.iter().filter_map(|it| undecoded(it, &config)));
    if !decodes_all(inventory) {
        findings.extend(modules(subject, tree, inventory, &config));
    }
    Ok(findings)
}

/// Returns a finding if the kernel cannot decode a segment.
fn undecoded(segment: &Segment, config: &Config) -> Option<Finding> {
    let place = format!("the segment at byte {} of the initramfs", segment.offset);
    let option = match segment.compression {
        Compression::None => return None,
        Compression::Lzop => "CONFIG_RD_LZO".to_owned(),
        other => format!("CONFIG_RD_{}", other.name().to_uppercase()),
    };
    if !config.is_on(&option) {
        let found = format!("compressed with {}", segment.compression);
        let expected = format!("a compression that the kernel supports ({option} is not set)");
        return Some(Finding::new(place, found, expected, CHOOSE));
    }
    let why = segment.xz.as_ref()?.why_not(config)?;
    let expected = "xz data that the kernel can decode";
    Some(Finding::new(place, why, expected, CHOOSE))
}

/// Returns findings about modules that kmod passes to the kernel compressed and that the kernel cannot decode, one for
/// each group: fatal for the kernel's own modules in the initramfs, warnings for other modules.
fn modules(
    subject: &Subject,
    tree: &TreeFacts,
    inventory: &Inventory,
    config: &Config,
) -> Vec<Finding> {
    let (own, others) = inside(tree, inventory);
    let mut findings = Vec::new();
    for (groups, milder) in [(&own, None), (&others, Some(Severity::Warning))] {
        for (packing, group) in groups {
            let place = |path: &[u8]| format!("{} in the initramfs", show(path));
            let finding = unloaded(packing, group, config, place);
            findings.extend(finding.map(|finding| Finding { milder, ..finding }));
        }
    }
    let dir = subject.kver.dir();
    for (packing, group) in &tree.packings {
        if own.contains_key(packing) || others.contains_key(packing) {
            continue;
        }
        let place = |path: &[u8]| format!("{dir}/{}", show(path));
        let finding = unloaded(packing, group, config, place);
        findings.extend(finding.map(|finding| finding.only(Severity::Warning)));
    }
    findings
}

fn unloaded(
    packing: &Packing,
    (first, count): &Group,
    config: &Config,
    place: impl Fn(&[u8]) -> String,
) -> Option<Finding> {
    let why = config.why_not_loaded(packing)?;
    let found = match count {
        1 => format!("compressed with {packing} in a way that the kernel does not support: {why}"),
        many => format!(
            "{many} modules like this one, compressed with {packing} in a way that the kernel does not support: {why}"
        ),
    };
    let expected = format!(
        "{packing} data that the kernel can decode: kmod passes the compressed file to the kernel (CONFIG_MODULE_DECOMPRESS)"
    );
    let remedy = Remedy::ThenRebuild(match packing {
        Packing::Xz(_) => "compress the modules with xz --check=crc32 --lzma2=dict=1MiB",
        _ => "compress the modules with gzip -n",
    });
    Some(Finding::new(place(first), found, expected, remedy))
}

/// Returns the paths of the compressed modules in the initramfs, each with its compression.
pub(super) fn compressed(inventory: &Inventory) -> impl Iterator<Item = (&[u8], Packing)> {
    let modules = inventory.kernel_modules().into_iter();
    let packings = modules.filter_map(|path| {
        let (_, node) = inventory.resolve(path).ok()?;
        Some((path, Packing::of(&inventory.content(node)?.head)))
    });
    packings.filter(|(_, packing)| *packing != Packing::None)
}

type Groups = BTreeMap<Packing, Group>;

/// Returns the compressed modules in the initramfs, grouped by compression: the kernel's own, and others. Without
/// `modules.order`, all count as the kernel's own.
fn inside(tree: &TreeFacts, inventory: &Inventory) -> (Groups, Groups) {
    let (mut own, mut others) = (Groups::new(), Groups::new());
    let order = tree.lists.order.as_ref().ok().and_then(Option::as_ref);
    for (path, packing) in compressed(inventory) {
        let name = ModuleName::of_path(path);
        let is_own = order.is_none_or(|order| name.is_some_and(|name| order.contains(&name)));
        let groups = if is_own { &mut own } else { &mut others };
        let group = groups.entry(packing);
        group.or_insert_with(|| (path.to_vec(), 0)).1 += 1;
    }
    (own, others)
}

/// Returns whether the initramfs's kmod decodes all modules itself. Since version 31 (`libkmod.so.2.4.1`), kmod passes
/// a compressed module to the kernel if the kernel supports the compression.
fn decodes_all(inventory: &Inventory) -> bool {
    inventory.nodes().any(|(path, _)| {
        let version = basename(path).strip_prefix(b"libkmod.so.2.");
        let numbers = version.and_then(|it| match it {
            [minor, b'.', patch] => Some([*minor, *patch]),
            _ => None,
        });
        numbers.is_some_and(|numbers| numbers < *b"41")
    })
}

#[cfg(test)]
mod tests;
