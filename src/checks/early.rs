// SPDX-License-Identifier: MIT OR Apache-2.0
//! Early microcode and ACPI tables, which the kernel reads before it unpacks the initramfs. They are in uncompressed
//! archives at the start of the initramfs.

use std::collections::BTreeSet;

use super::{Finding, Remedy, Severity};
use crate::initramfs::{Compression, Inventory, Segment};

/// The kinds of files that the kernel reads before it unpacks the initramfs, each with its directory (`lib/earlycpio.c`
/// and its callers).
const KINDS: [(&str, &str); 2] = [
    ("microcode", "kernel/x86/microcode/"),
    ("ACPI tables", "kernel/firmware/acpi/"),
];

/// Returns whether the kernel reads files with this path before it unpacks the initramfs.
pub(super) fn is_read_by_name(path: &[u8]) -> bool {
    KINDS
        .iter()
        .any(|(_, place)| path.starts_with(place.as_bytes()))
}

/// Returns the kinds of early files that the kernel finds: those before the first compressed segment. The kernel
/// searches the archives, not the unpacked tree, so a file counts even if its directory has no entry.
pub fn kinds(inventory: &Inventory, segments: &[Segment]) -> BTreeSet<String> {
    let is_plain = |segment: &&Segment| segment.compression == Compression::None;
    let plain = segments.iter().take_while(is_plain).count();
    let unpacked = inventory.nodes().map(|(path, node)| (path, node.segment));
    let dropped = inventory.dropped().iter();
    let dropped = dropped.map(|it| (it.path.as_slice(), it.segment));
    let early: Vec<&[u8]> = unpacked
        .chain(dropped)
        .filter(|(_, segment)| (*segment as usize) < plain)
        .map(|(path, _)| path)
        .filter(|path| is_read_by_name(path))
        .collect();
    let is_early = |place: &str| early.iter().any(|path| path.starts_with(place.as_bytes()));
    let kinds = KINDS.into_iter().filter(|(_, place)| is_early(place));
    kinds.map(|(kind, _)| kind.to_owned()).collect()
}

/// Returns a warning for each kind that only the base's initramfs has.
pub(super) fn lost(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<Finding> {
    let finding = |kind: &String| {
        let found = format!("no {kind} before the compressed archive");
        let remedy = Remedy::ThenRebuild(match kind.as_str() {
            "microcode" => {
                "install the packages that have it (microcode_ctl, linux-firmware) and set early_microcode=yes in /etc/dracut.conf.d"
            }
            _ => "set acpi_override=yes and acpi_table_dir= in /etc/dracut.conf.d",
        });
        let place = "the start of the initramfs";
        Finding::new(place, found, "as in the base", remedy).only(Severity::Warning)
    };
    before.difference(now).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::Bench;
    use crate::initramfs::testing::{archive, dir, file, pack};
    use crate::initramfs::{Compression, Inventory, Limits, read};

    fn kinds(images: &[Vec<u8>]) -> Vec<String> {
        let mut inventory = Inventory::new(&Limits::default());
        let image = images.concat();
        let segments = read(image.as_slice(), &Limits::default(), &mut inventory).unwrap();
        super::kinds(&inventory, &segments).into_iter().collect()
    }

    fn with(dirs: &[&str], path: &str) -> Vec<u8> {
        let mut items: Vec<_> = dirs.iter().map(|it| dir(it)).collect();
        items.push(file(path, b"x"));
        archive(&items)
    }

    #[test]
    fn only_archives_at_the_start_are_found() {
        let x86 = ["kernel", "kernel/x86", "kernel/x86/microcode"];
        let acpi = ["kernel", "kernel/firmware", "kernel/firmware/acpi"];
        let microcode = with(&x86, "kernel/x86/microcode/GenuineIntel.bin");
        let tables = with(&acpi, "kernel/firmware/acpi/dsdt.aml");
        let main = pack(Compression::Zstd, &archive(&[file("init", b"")]));
        let all = kinds(&[microcode.clone(), tables.clone(), main.clone()]);
        assert_eq!(all, ["ACPI tables", "microcode"]);
        // `find kernel/x86/microcode -type f | cpio -o -H newc` writes no directories.
        let bare = with(&[], "kernel/x86/microcode/GenuineIntel.bin");
        assert_eq!(kinds(&[bare, main.clone()]), ["microcode"]);
        let packed = pack(Compression::Zstd, &microcode);
        assert_eq!(
            kinds(&[tables.clone(), packed, main.clone()]),
            ["ACPI tables"]
        );
        let mut late = main;
        late.resize(late.len().next_multiple_of(4), 0);
        assert_eq!(kinds(&[late, tables, microcode]), [""; 0]);
    }

    #[test]
    fn early_archives_of_the_base_that_are_missing() {
        let mut bench = Bench::good();
        let mut base = bench.baseline();
        bench.base = Some(base.clone());
        assert_eq!(bench.findings("initramfs-firmware"), [""; 0]);
        base.early.insert("microcode".to_owned());
        bench.base = Some(base);
        let found = bench.findings("initramfs-firmware");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("warning the start of the initramfs: no microcode"));
    }
}
