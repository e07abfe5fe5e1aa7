// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the kernel and the initramfs fit into the space that the user declares for the machines. Without a
//! declaration nothing is checked, because no limit fits all machines.

use std::collections::BTreeMap;

use super::lost::is_disk;
use super::{Answer, Finding, Initramfs, Severity, Subject, show};
use crate::initramfs::{Compression, EntryType, Inventory};
use crate::kernel::modules::ModuleName;

/// Number of the largest parts that a finding names.
const NAMED: usize = 3;

/// Bytes of boot loader files and entries on `/boot` or the EFI system partition.
const LOADER: u64 = 16 << 20;

pub(super) fn space(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let budget = &subject.wanted.budget;
    if budget.is_empty() {
        return Ok(Vec::new());
    }
    let Some(file) = tree.initramfs.as_ref().filter(|file| file.is_file) else {
        return Err(Answer::NotApplicable("there is no initramfs".into()));
    };
    let one = file.size.saturating_add(tree.beside_initramfs);
    let all = one.saturating_mul(budget.deployments);
    let mut findings = Vec::new();
    for (size, place, option) in [
        (budget.boot, "/boot", "--boot-size"),
        (budget.esp, "the EFI system partition", "--esp-size"),
    ] {
        let Some(size) = size else { continue };
        // The file system uses about a sixteenth for its own data.
        let reserve = LOADER.saturating_add(size / 16);
        if all.saturating_add(reserve) > size {
            let found = format!(
                "{} with vmlinuz and device trees, {} deployments of it and {} for the boot loader and the file system: {}",
                mib(one),
                budget.deployments,
                mib(reserve),
                mib(all.saturating_add(reserve))
            );
            let expected = format!("at most the {} of {place} ({option})", mib(size));
            findings.push(Finding::new(
                &file.path,
                found,
                expected,
                leaner(subject, file.size),
            ));
        }
    }
    if let Some(most) = budget.grub.filter(|most| file.size > *most) {
        let expected = format!(
            "at most {} (--grub-memory): GRUB loads the initramfs into one block of memory, and on many machines fails with \"out of memory\" if it is larger (ublue-os/bluefin#4764: 233 MiB boots, 329 MiB does not)",
            mib(most)
        );
        let finding = Finding::new(
            &file.path,
            mib(file.size),
            expected,
            leaner(subject, file.size),
        );
        findings.push(finding.only(Severity::Warning));
    }
    Ok(findings)
}

pub(super) fn mib(size: u64) -> String {
    format!("{:.1} MiB", size as f64 / f64::from(1 << 20))
}

/// A part of the initramfs that could be left out, and its unpacked bytes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A driver and the firmware in the directory of its name.
    Driver(String, bool),
    /// Other files, by their directory.
    Files(String),
}

/// Names the largest parts of the initramfs, and the configuration that leaves drivers out, with the bytes that it
/// saves.
pub(super) fn leaner(subject: &Subject, size: u64) -> String {
    const AGAIN: &str = "build the initramfs again";
    let Ok(inventory) = subject.unpacked() else {
        return format!("omit drivers with omit_drivers in /etc/dracut.conf.d, then {AGAIN}");
    };
    let parts = parts(inventory);
    let whole: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    // The compressor's ratio is assumed to be the same for all parts.
    let packed = |bytes: u64| match u128::from(whole) {
        0 => 0,
        whole => (u128::from(bytes) * u128::from(size) / whole) as u64,
    };
    let largest = parts.iter().take(NAMED);
    let named = largest.clone().map(|(part, bytes)| {
        let name = match part {
            Part::Driver(name, _) => format!("driver {name} with its firmware"),
            Part::Files(dir) => format!("{dir}/"),
        };
        format!("{name} {} of {}", mib(packed(*bytes)), mib(size))
    });
    let mut text = format!(
        "the largest parts are {}",
        named.collect::<Vec<_>>().join(", ")
    );
    let omitted = largest.filter_map(|(part, bytes)| match part {
        Part::Driver(name, true) => Some((name.as_str(), packed(*bytes))),
        _ => None,
    });
    let (names, saved): (Vec<_>, Vec<_>) = omitted.unzip();
    if !names.is_empty() {
        text += &format!(
            ". If the machines do not need them, omit_drivers+=\" {} \" in a file of /etc/dracut.conf.d saves about {}",
            names.join(" "),
            mib(saved.into_iter().sum())
        );
    }
    if let Initramfs::Read { segments, .. } = subject.image
        && !segments
            .iter()
            .any(|it| matches!(it.compression, Compression::Zstd | Compression::Xz))
    {
        text += ". --compress 'zstd -19 -T0' saves more than the current compression";
    }
    format!("{text}. Then {AGAIN}")
}

/// Returns the parts of an initramfs, the largest first.
fn parts(inventory: &Inventory) -> Vec<(Part, u64)> {
    let modules = inventory.kernel_modules().into_iter();
    let modules: BTreeMap<_, _> = modules
        .filter_map(|path| Some((ModuleName::of_path(path)?.to_string(), path)))
        .collect();
    let may_go = |path: &[u8]| {
        let relative = super::baseline::relative(path).unwrap_or(path);
        !is_disk(relative) && !relative.starts_with(b"kernel/fs/")
    };
    let mut parts: BTreeMap<Part, u64> = BTreeMap::new();
    for (path, node) in inventory.nodes() {
        let Some(content) = inventory
            .content(node)
            .filter(|_| node.kind == EntryType::File)
        else {
            continue;
        };
        let path = show(path);
        let (dir, _) = path.rsplit_once('/').unwrap_or_default();
        let firmware = path.split_once("lib/firmware/").map(|(_, below)| below);
        let firmware = firmware
            .and_then(|below| below.split_once('/'))
            .map(|(name, _)| name);
        let name = match ModuleName::of_path(path.as_bytes()) {
            Some(name) => Some(name.to_string()),
            None => firmware.map(str::to_owned),
        };
        let part = match name.and_then(|name| modules.get_key_value(&name)) {
            Some((name, module)) => Part::Driver(name.clone(), may_go(module)),
            None => Part::Files(dir.to_owned()),
        };
        *parts.entry(part).or_default() += u64::from(content.size);
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    parts
}

#[cfg(test)]
mod tests {
    use crate::checks::Budget;
    use crate::checks::testing::Bench;

    const CHECK: &str = "boot-space";

    fn bench(budget: Budget) -> Bench {
        let mut bench = Bench::good();
        bench.wanted.budget = Budget {
            deployments: 2,
            ..budget
        };
        bench
    }

    fn found(budget: Budget, initramfs: u64, beside: u64) -> Vec<String> {
        bench(budget).findings_with(CHECK, |tree| {
            if let Some(file) = &mut tree.initramfs {
                file.size = initramfs;
            }
            tree.beside_initramfs = beside;
        })
    }

    #[test]
    fn boot_holds_the_declared_number_of_deployments() {
        // Fedora CoreOS F43, and the size that coreos/fedora-coreos-tracker#1247 is about.
        let boot = Budget {
            boot: Some(384 << 20),
            ..Budget::default()
        };
        assert_eq!(found(boot, 121 << 20, 17 << 20), [""; 0]);
        let text = &found(boot, 180 << 20, 17 << 20)[0];
        assert!(text.starts_with("fatal usr/lib/modules/"), "{text}");
        assert!(
            text.contains("the 384.0 MiB of /boot (--boot-size)"),
            "{text}"
        );
        let esp = Budget {
            esp: Some(200 << 20),
            ..Budget::default()
        };
        assert_eq!(found(esp, 121 << 20, 17 << 20).len(), 1);
        assert_eq!(found(Budget::default(), 900 << 20, 17 << 20), [""; 0]);
    }

    #[test]
    fn grub_loads_the_smaller_image_of_the_public_thread() {
        // ublue-os/bluefin#4764: /boot has 959 MB.
        let budget = Budget {
            boot: Some(959_000_000),
            grub: Some(240 << 20),
            ..Budget::default()
        };
        assert_eq!(found(budget, 244_000_000, 18_000_000), [""; 0]);
        let text = &found(budget, 345_000_000, 18_000_000)[..];
        assert!(
            text.len() == 1 && text[0].starts_with("warning "),
            "{text:?}"
        );
    }

    #[test]
    fn the_largest_parts_are_named_with_the_line_that_saves() {
        let mut bench = bench(Budget {
            grub: Some(1),
            ..Budget::default()
        });
        bench.put(
            &super::super::testing::module_path("kernel/drivers/gpu/drm/amdgpu.ko"),
            &[1; 1000],
        );
        bench.put("usr/lib/firmware/amdgpu/a.bin", &[2; 2_000_000]);
        bench.put("usr/lib/firmware/other/a.bin", &[3; 1_000_000]);
        bench.put("usr/lib/big", &[4; 500_000]);
        let remedy = bench.remedy(CHECK);
        for expected in [
            "driver amdgpu with its firmware",
            "usr/lib/firmware/other/",
            "omit_drivers+=\" amdgpu \"",
        ] {
            assert!(remedy.contains(expected), "{remedy}");
        }
    }
}
