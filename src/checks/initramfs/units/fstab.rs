// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks `etc/fstab` of the initramfs: systemd-fstab-generator creates a mount unit for each line, and
//! `local-fs.target` requires these units (`fstab-generator.c`, v257). If a line's device does not exist, the boot ends
//! in the emergency shell.

use super::REMEDY;
use crate::checks::{Finding, Severity, listed};
use crate::initramfs::Inventory;

/// Mount options with which the boot does not wait for the device of a line.
const OPTIONAL: [&str; 3] = ["nofail", "noauto", "x-systemd.automount"];

/// Returns findings about devices that `etc/fstab` requires, except swap. For a device that is named by `TAG=` (such as
/// `UUID=`), in `/dev/disk/by-*` or in `/dev/mapper` the finding is a warning, since every machine may have a device
/// with such a name.
pub(super) fn devices(inventory: &Inventory) -> Vec<Finding> {
    let text = inventory.data(b"etc/fstab").unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let finding = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [device, place, kind, rest @ ..] = fields.as_slice() else {
            return None;
        };
        let options = rest.first().copied().unwrap_or_default();
        let is_optional = options.split(',').any(|it| OPTIONAL.contains(&it));
        let is_named = device.contains('=')
            || device.starts_with("/dev/disk/by-")
            || device.starts_with("/dev/mapper/");
        let is_device = is_named || device.starts_with("/dev/");
        if device.starts_with('#') || !is_device || is_optional || *kind == "swap" {
            return None;
        }
        let found = format!(
            "the device {device} for {place}; the boot waits for it, and other machines do not have it"
        );
        let expected = "no such line, or the option nofail; without the device the boot ends in the emergency shell";
        let finding = Finding::new("etc/fstab in the initramfs", found, expected, REMEDY);
        Some(if is_named {
            finding.only(Severity::Warning)
        } else {
            finding
        })
    };
    listed(text.lines().filter_map(finding).collect())
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::Bench;

    #[test]
    fn lines_that_a_boot_waits_for() {
        let severity = |line: &str| {
            let mut bench = Bench::good();
            bench.put("etc/fstab", line.as_bytes());
            let found = bench.findings("initramfs-units");
            let found = found.iter().find(|it| it.contains("etc/fstab"));
            found.map(|it| it.split(' ').next().unwrap().to_owned())
        };
        for (line, expected) in [
            ("/dev/nosuch /mnt ext4 defaults 0 0\n", Some("fatal")),
            ("  /dev/sdz1 /x vfat\n", Some("fatal")),
            ("UUID=1-2 /x vfat ro\n", Some("warning")),
            ("/dev/mapper/x /x ext4 ro\n", Some("warning")),
            ("/dev/nosuch /mnt ext4 ro,nofail\n", None),
            ("/dev/nosuch /mnt ext4 noauto\n", None),
            ("#/dev/nosuch /mnt ext4 ro\n", None),
            ("tmpfs /tmp tmpfs rw\n", None),
            ("/dev/nosuch none swap sw\n", None),
        ] {
            assert_eq!(severity(line).as_deref(), expected, "{line}");
        }
    }
}
