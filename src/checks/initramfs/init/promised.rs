// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the dracut modules in the initramfs have their programs. dracut lists a module even if it could not
//! install the module's program, and exits with status 0.

use crate::boot::program;
use crate::checks::{Finding, Remedy, Severity};
use crate::initramfs::Inventory;

/// dracut modules with their programs. At least one program of each module must be present.
const PROMISED: [(&str, &[&str]); 10] = [
    ("clevis", &["clevis"]),
    (
        "crypt",
        &[
            "usr/lib/systemd/systemd-cryptsetup",
            "systemd-cryptsetup",
            "cryptsetup",
        ],
    ),
    ("ignition", &["ignition"]),
    ("iscsi", &["iscsiadm", "iscsistart", "iscsid"]),
    ("lvm", &["lvm"]),
    ("mdraid", &["mdadm"]),
    ("multipath", &["multipathd", "multipath"]),
    ("network-manager", &["NetworkManager"]),
    ("nvmf", &["nvme"]),
    ("zfs", &["zpool"]),
];

const REMEDY: Remedy = Remedy::ThenRebuild(
    "install the package that has it, or leave the module out with omit_dracutmodules in /etc/dracut.conf.d",
);

/// Returns findings about dracut modules that have none of their programs.
pub(super) fn not_kept(inventory: &Inventory) -> Vec<Finding> {
    let modules = inventory.dracut_modules().unwrap_or_default();
    let empty = PROMISED.into_iter().filter(|(module, programs)| {
        let mut programs = programs.iter();
        modules.iter().any(|it| it == module)
            && !programs.any(|name| program(inventory, name.as_bytes()).is_some())
    });
    let finding = |(module, programs): (&str, &[&str])| {
        let path = format!("{} in the initramfs", programs.join(" or "));
        let expected =
            format!("present in the initramfs, because it contains dracut's module {module}");
        let finding = Finding::new(path, "no such program", expected, REMEDY);
        // Debian has systemd-cryptsetup in a separate package, so dracut can include the module without its programs.
        // Only an encrypted root needs them.
        match module {
            "crypt" => finding.only(Severity::Warning),
            _ => finding,
        }
    };
    empty.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::PROMISED;
    use crate::checks::testing::Bench;

    #[test]
    fn each_module_has_a_program() {
        let mut bench = Bench::good();
        let modules: String = PROMISED
            .iter()
            .map(|(module, _)| format!("{module}\n"))
            .collect();
        bench.put("usr/lib/dracut/modules.txt", modules.as_bytes());
        let found = bench.findings("initramfs-init");
        assert_eq!(found.len(), PROMISED.len(), "{found:#?}");
        let lvm = "fatal lvm in the initramfs: no such program; present in the initramfs, because it contains dracut's module lvm";
        assert!(found.iter().any(|it| it == lvm), "{found:#?}");
        for (_, programs) in PROMISED {
            let last = programs.last().unwrap();
            bench.link(&format!("usr/bin/{last}"), "true");
        }
        assert_eq!(bench.findings("initramfs-init"), [""; 0]);
    }
}
