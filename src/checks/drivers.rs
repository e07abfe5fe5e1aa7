// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the drivers that bring the root up are inside or built in: those that the user names,
//! those that every root needs, and all that the base could do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::blocked::blocked;
use super::modules::{builtin, list};
use super::squash::without_driver;
use super::wanted::{ANY_DEVICE, ANY_FILESYSTEM, Need};
use super::{Answer, Baseline, Finding, Remedy, Severity, Subject, listed, show};
use crate::initramfs::{Inventory, Kind};
use crate::kernel::modules::{ModuleList, ModuleName};

/// The check that options for the root and for drivers are about.
pub const DRIVER_CHECK: &str = "initramfs-root-drivers";

const ADD: Remedy = Remedy::RebuildOr("name it in add_drivers in /etc/dracut.conf.d");

const UNBLOCK: Remedy = Remedy::ThenRebuild("remove the line from that file (on disk)");

/// Where the drivers of block devices are, and what they hang on.
const BLOCK: [&str; 23] = [
    "ata",
    "block",
    "cdrom",
    "dax",
    "firewire",
    "hv",
    "md",
    "memstick",
    "message",
    "mmc",
    "nvdimm",
    "nvme/host",
    "pci/controller",
    "s390/block",
    "s390/cio",
    "s390/scsi",
    "scsi",
    "ufs",
    "usb/host",
    "usb/storage",
    "virtio",
    "xen",
    "acpi/nfit",
];

/// What lies among the file systems and is none.
const NO_FILESYSTEM: [&str; 10] = [
    "9p_common",
    "cachefiles",
    "configfs",
    "dlm",
    "fscache",
    "lockd",
    "netfs",
    "nls",
    "pstore",
    "quota",
];

/// Block devices that no root is on.
const NO_DISK: [&str; 5] = ["brd", "drbd", "floppy", "null_blk", "zram"];

/// File systems that a root may be, which counts where they were built in.
const ROOTS: [&str; 8] = [
    "bcachefs", "btrfs", "erofs", "ext4", "f2fs", "overlay", "squashfs", "xfs",
];

/// Whether the module at `path`, relative to its kernel's directory, may bring a root up.
fn brings_root_up(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path);
    let Some(below) = path.strip_prefix("kernel/") else {
        return false;
    };
    let in_dir = |rest: &str, dirs: &[&str]| {
        dirs.iter().any(|dir| {
            rest.strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    match below.split_once('/') {
        Some(("drivers", rest)) => {
            let name = ModuleName::of_path(rest.as_bytes());
            let is = |no: &&str| {
                name.as_ref()
                    .is_some_and(|it| it.as_bytes() == no.as_bytes())
            };
            in_dir(rest, &BLOCK) && !NO_DISK.iter().any(is)
        }
        Some(("fs", rest)) => {
            let is_file_of_fs = !rest.contains('/');
            !is_file_of_fs && !in_dir(rest, &NO_FILESYSTEM) && !rest.contains("_common/")
        }
        _ => false,
    }
}

/// What the initramfs and its kernel can do.
pub(super) struct Able<'a> {
    inside: BTreeSet<ModuleName>,
    /// Those that modprobe's configuration inside blocks, and the file that does.
    blocked: BTreeMap<ModuleName, String>,
    builtin: Cow<'a, ModuleList>,
    order: Option<Cow<'a, ModuleList>>,
    on_disk: Option<BTreeSet<ModuleName>>,
}

impl<'a> Able<'a> {
    pub(super) fn of(subject: &'a Subject, inventory: &Inventory) -> Result<Self, Answer> {
        let dir = format!("lib/modules/{}/", subject.kver);
        let modules = inventory.kernel_modules();
        let of_kver = |path: &&[u8]| {
            let below = path.strip_prefix(b"usr/").unwrap_or(path);
            below.starts_with(dir.as_bytes())
        };
        let parse = ModuleList::parse_order;
        let on_disk = subject.tree.map(|tree| {
            let names = tree.modules.iter();
            names.filter_map(|path| ModuleName::of_path(path)).collect()
        });
        Ok(Self {
            inside: modules
                .into_iter()
                .filter(of_kver)
                .filter_map(ModuleName::of_path)
                .collect(),
            blocked: blocked(inventory),
            builtin: builtin(subject, inventory)?,
            order: list(
                subject,
                inventory,
                "modules.order",
                |lists| &lists.order,
                parse,
            )?,
            on_disk,
        })
    }

    pub(super) fn has(&self, name: &ModuleName) -> bool {
        self.inside.contains(name) || self.builtin.contains(name)
    }

    /// Whether the kernel was built with it as a module. Modules from elsewhere are in no list.
    pub(super) fn exists(&self, name: &ModuleName) -> bool {
        match &self.order {
            Some(order) => order.contains(name),
            None => self.is_on_disk(name),
        }
    }

    fn is_on_disk(&self, name: &ModuleName) -> bool {
        self.on_disk
            .as_ref()
            .is_none_or(|names| names.contains(name))
    }

    fn meets(&self, inventory: &Inventory, need: &Need) -> bool {
        let mut drivers = need.drivers.iter();
        let mut programs = need.programs.iter();
        drivers.any(|driver| self.has_named(driver))
            || programs.any(|path| {
                let found = inventory.resolve(path.as_bytes());
                found.is_ok_and(|(_, node)| node.kind == Kind::File)
            })
    }

    /// Whether it is there, and nothing blocks it.
    pub(super) fn has_named(&self, name: &str) -> bool {
        let loads = |name| self.has(&name) && self.blocks(&name).is_none();
        ModuleName::new(name.as_bytes()).is_some_and(loads)
    }

    fn blocks(&self, name: &ModuleName) -> Option<&String> {
        let by = self.blocked.get(name)?;
        (!self.builtin.contains(name)).then_some(by)
    }

    /// Of the first of the drivers that are there, what blocks it.
    pub(super) fn why_not(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| {
            let driver = ModuleName::new(name.as_bytes())?;
            let by = self.blocks(&driver).filter(|_| self.has(&driver))?;
            Some(format!(
                "{name} is inside, and {by} keeps it from being loaded"
            ))
        })
    }
}

pub fn root_drivers(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let unpacked = subject.unpacked()?;
    let able = Able::of(subject, unpacked)?;
    if let Some(root) = unpacked.root_image() {
        let findings = without_driver(&root, &able);
        if !findings.is_empty() {
            return Ok(findings);
        }
    }
    let inventory = subject.inventory()?;
    let mut findings = wanted(subject, inventory, &able);
    findings.extend(every_root(inventory, &able));
    findings.extend(composefs(inventory, &able));
    if let Some(base) = subject.base {
        findings.extend(listed(lost(subject, base, &able)));
    }
    Ok(findings)
}

fn no_driver(able: &Able, names: &[&str], expected: &str) -> Finding {
    let path = format!("{} in the initramfs", names.join(" or "));
    match able.why_not(names) {
        Some(why) => Finding::new(path, why, expected, UNBLOCK),
        None => Finding::new(path, "neither inside nor built in", expected, ADD),
    }
}

/// What the user asks for.
fn wanted(subject: &Subject, inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let mut findings = Vec::new();
    for device in &subject.wanted.devices {
        for need in device
            .needs()
            .iter()
            .filter(|need| !able.meets(inventory, need))
        {
            let names = [need.drivers, need.programs].concat();
            let expected = format!("inside, for --root-device {}", device.as_str());
            findings.push(no_driver(able, &names, &expected));
        }
    }
    let filesystems = subject
        .wanted
        .filesystems
        .iter()
        .map(|it| (it, "--root-fs"));
    let drivers = subject.wanted.drivers.iter();
    for (name, option) in filesystems.chain(drivers.map(|it| (it, "--require-driver"))) {
        if !able.has_named(name) {
            let expected = format!("inside, for {option} {name}");
            findings.push(no_driver(able, &[name], &expected));
        }
    }
    findings
}

/// Without any of these no root comes up anywhere. A kernel that does not say what is built in
/// is believed.
fn every_root(inventory: &Inventory, able: &Able) -> Vec<Finding> {
    if able.builtin.paths().is_empty() {
        return Vec::new();
    }
    let needs = [
        (ANY_DEVICE, "any driver that a root disk could hang on"),
        (ANY_FILESYSTEM, "any file system that a root could be"),
    ];
    let unmet = needs
        .into_iter()
        .filter(|(need, _)| !able.meets(inventory, need));
    let findings = unmet.map(|(need, what)| {
        let path = "usr/lib/modules in the initramfs";
        let expected = format!("one of {}", need.drivers.join(", "));
        match able.why_not(need.drivers) {
            Some(why) => Finding::new(path, why, expected, UNBLOCK),
            None => Finding::new(path, format!("not {what}"), expected, ADD),
        }
    });
    findings.collect()
}

/// With composefs the deployment is an erofs image with an overlay.
fn composefs(inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let places = [
        "etc/ostree/prepare-root.conf",
        "usr/lib/ostree/prepare-root.conf",
    ];
    let Some((path, conf)) = places
        .iter()
        .find_map(|path| Some((*path, inventory.data(path.as_bytes())?)))
    else {
        return Vec::new();
    };
    if !composefs_is_on(&String::from_utf8_lossy(conf)) {
        return Vec::new();
    }
    let missing = ["erofs", "overlay"]
        .into_iter()
        .filter(|name| !able.has_named(name));
    let expected = format!("inside, since /{path} enables composefs");
    missing
        .map(|name| no_driver(able, &[name], &expected))
        .collect()
}

fn composefs_is_on(conf: &str) -> bool {
    let mut section = "";
    let mut on = false;
    for line in conf.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=')
            && section == "composefs"
            && key.trim() == "enabled"
        {
            on = ["yes", "true", "1", "signed", "verity"].contains(&value.trim());
        }
    }
    on
}

/// What the base could bring a root up from, and this one cannot.
fn lost(subject: &Subject, base: &Baseline, able: &Able) -> Vec<Finding> {
    let omitted = subject.omitted();
    let root = |name: &ModuleName| ROOTS.iter().any(|it| it.as_bytes() == name.as_bytes());
    let inside = base.drivers.iter().filter(|(_, path)| brings_root_up(path));
    let built_in = base.builtin.iter().filter(|(name, path)| {
        let path = show(path);
        root(name)
            || path.starts_with("kernel/drivers/block/")
            || path.starts_with("kernel/drivers/nvme/host/")
    });
    let mut findings = Vec::new();
    for (name, _) in inside.chain(built_in) {
        if able.has(name) || omitted.has_driver(name) || !able.exists(name) {
            continue;
        }
        let path = format!("{name} in the initramfs");
        findings.push(if able.is_on_disk(name) {
            Finding::new(path, "not inside", "inside or built in, as in the base", ADD)
        } else {
            let found = "a module of this kernel that is not on disk";
            let remedy = Remedy::ThenRebuild("install the sub-package of the kernel that has it (kernel-modules-core, kernel-modules, kernel-modules-extra)");
            Finding::new(path, found, "on disk and inside, as in the base", remedy)
        });
    }
    findings
}

/// Drivers of other kinds that the base's initramfs had.
pub(super) fn lost_others(subject: &Subject, base: &Baseline, able: &Able) -> Vec<Finding> {
    let omitted = subject.omitted();
    let gone = base.drivers.iter().filter(|(name, path)| {
        let excused = able.has(name) || omitted.has_driver(name) || !able.exists(name);
        !brings_root_up(path) && !excused
    });
    let finding = |(name, _): (&ModuleName, &Vec<u8>)| {
        let path = format!("{name} in the initramfs");
        let expected = "inside or built in, as in the base";
        Finding::new(path, "not inside", expected, ADD).only(Severity::Warning)
    };
    gone.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_bring_a_root_up() {
        for (path, expected) in [
            ("kernel/drivers/block/virtio_blk.ko.xz", true),
            ("kernel/drivers/nvme/host/nvme.ko", true),
            ("kernel/drivers/block/zram/zram.ko.xz", false),
            ("kernel/drivers/nvme/target/nvmet.ko", false),
            ("kernel/drivers/md/dm-mod.ko", true),
            ("kernel/fs/xfs/xfs.ko", true),
            ("kernel/fs/nls/nls_cp437.ko", false),
            ("kernel/fs/smb/common/cifs_md4.ko", true),
            ("kernel/fs/binfmt_misc.ko", false),
            ("kernel/drivers/net/tun.ko", false),
            ("extra/zfs.ko", false),
        ] {
            assert_eq!(brings_root_up(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn composefs_in_its_section() {
        assert!(composefs_is_on(
            "[composefs]\nenabled = yes\n[x]\nenabled=no\n"
        ));
        for off in [
            "",
            "enabled=yes",
            "[composefs]\nenabled=no\n",
            "[sysroot]\nenabled=yes\n",
        ] {
            assert!(!composefs_is_on(off), "{off}");
        }
    }
}
