// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds drivers that the base has, in its initramfs or built in, and that this initramfs or this kernel lacks. Drivers
//! that a root may need are reported separately from the others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::able::{ADD, Able, INSTALL};
use super::wanted::{ANY_FILESYSTEM, Need, RootDevice};
use super::{Baseline, Finding, Omitted, Severity, Subject, show};
use crate::kernel::modules::ModuleName;

/// Directories of drivers for block devices and for their buses, relative to `kernel/drivers`.
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

/// Drivers of block devices that are never a root.
const NO_DISK: [&str; 5] = ["brd", "drbd", "floppy", "null_blk", "zram"];

/// File systems that composefs and live media use besides the root's own.
const IMAGES: [&str; 3] = ["erofs", "overlay", "squashfs"];

/// A driver and its path, relative to the kernel's directory.
type Driver<'a> = (&'a ModuleName, &'a Vec<u8>);

/// The facts that decide whether a driver that only the base has is reported.
pub(super) struct Lost<'s, 'a> {
    base: &'s Baseline,
    able: &'s Able<'s>,
    subject: &'s Subject<'a>,
    omitted: Cow<'s, Omitted>,
    /// The included modules of dracut.
    included: Vec<String>,
    /// The names of file systems that a root can have.
    roots: BTreeSet<String>,
    /// Modules that omitted drivers and the drivers of omitted dracut modules depend on. Empty if no dracut module is
    /// omitted.
    left_out: BTreeSet<ModuleName>,
}

impl<'s, 'a> Lost<'s, 'a> {
    pub(super) fn of(subject: &'s Subject<'a>, base: &'s Baseline, able: &'s Able) -> Self {
        let inventory = subject.unpacked().ok();
        let included = inventory.and_then(|inventory| inventory.dracut_modules());
        let mut lost = Self {
            base,
            able,
            subject,
            omitted: subject.omitted(),
            included: included.unwrap_or_default(),
            roots: roots(subject),
            left_out: BTreeSet::new(),
        };
        lost.left_out = lost.left_out();
        lost
    }

    /// Returns findings about root drivers that the base has and this initramfs lacks, although this kernel has them as
    /// modules and they are not omitted. Of the drivers that are built into the base's kernel, only those of root file
    /// systems, in `kernel/drivers/block` and for NVMe count.
    pub(super) fn of_roots(&self) -> Vec<Finding> {
        let inside = self.base.drivers.iter();
        let inside = inside.filter(|(_, path)| self.may_be_for_root(path));
        let built_in = self.base.builtin.iter().filter(|(_, path)| {
            let path = path.as_slice();
            self.is_root_filesystem(path)
                || path.starts_with(b"kernel/drivers/block/")
                || path.starts_with(b"kernel/drivers/nvme/host/")
        });
        let lost = inside.chain(built_in).filter(|(name, path)| {
            let is_excused = self.omitted.has_driver(name) || self.is_left_out(name, path);
            !self.able.has(name) && !is_excused && self.able.exists(name)
        });
        lost.map(|(name, _)| self.finding(name)).collect()
    }

    /// Returns warnings about drivers of root file systems and of the types in [`RootDevice`] that the base has and
    /// this kernel lacks. The loss can be intended, or can prevent some machines from booting. Omitted drivers, and
    /// file systems that another driver serves, are left out.
    pub(super) fn of_kernel(&self) -> Vec<Finding> {
        let has = |name: &ModuleName| {
            self.base.drivers.contains_key(name) || self.base.builtin.contains_key(name)
        };
        let named = |names: &[&'static str]| -> Vec<(&'static str, ModuleName)> {
            let names = names.iter();
            names
                .filter_map(|&it| Some((it, ModuleName::new(it.as_bytes())?)))
                .collect()
        };
        let mut lost = BTreeMap::new();
        for (name, path) in self.base.drivers.iter().chain(&self.base.builtin) {
            let is_gone = !self.able.has(name) && !self.able.is_anywhere(name);
            // ext4 also serves ext2 and ext3.
            let is_served = self.able.serves(&format!("fs-{name}"));
            let is_excused = is_served || self.omitted.has_driver(name);
            if is_gone && self.is_root_filesystem(path) && !is_excused {
                let filesystem = name.to_string();
                lost.insert(filesystem.clone(), format!("--root-fs {filesystem}"));
            }
        }
        for (device, Need { drivers, .. }) in RootDevice::all().flat_map(|device| {
            let needs = device.needs().iter();
            needs.map(move |need| (device, need))
        }) {
            // Another driver of the same device type does not help the machines that need this one.
            for (driver, name) in named(drivers) {
                let is_there = self.able.has(&name) || self.able.is_anywhere(&name);
                if has(&name) && !is_there && !self.omitted.has_driver(&name) {
                    let option = format!("--root-device {}", device.as_str());
                    lost.entry(driver.to_owned()).or_insert(option);
                }
            }
        }
        let finding = |(names, option): (String, String)| {
            let path = format!("{names} in {}", self.subject.kver.dir());
            let found = "neither a module of this kernel nor built in";
            let expected = "a driver, which the base's kernel has; without it, a root that needs it cannot be mounted";
            let remedy = format!(
                "use a kernel that has it if a machine's root needs it; {option} makes this fatal"
            );
            Finding::new(path, found, expected, remedy).only(Severity::Warning)
        };
        lost.into_iter().map(finding).collect()
    }

    /// Returns warnings about the remaining drivers of the base's initramfs: no root needs them, and this initramfs
    /// lacks them although this kernel has them as modules.
    pub(super) fn others(&self) -> Vec<Finding> {
        let lost = self.base.drivers.iter().filter(|(name, path)| {
            let is_excused = self.omitted.has_driver(name)
                || self.is_left_out_with_others(name, path)
                || !self.able.exists(name);
            !self.able.has(name) && !is_excused && !self.may_be_for_root(path)
        });
        let warning = |(name, _): Driver| self.finding(name).only(Severity::Warning);
        lost.map(warning).collect()
    }

    fn finding(&self, name: &ModuleName) -> Finding {
        let path = format!("{name} in the initramfs");
        if self.able.is_on_disk(name) {
            return Finding::new(
                path,
                "missing",
                "in the initramfs or built in, as in the base",
                ADD,
            );
        }
        let found = "a module of this kernel, but not on disk";
        Finding::new(
            path,
            found,
            "on disk and in the initramfs, as in the base",
            INSTALL,
        )
    }

    /// Returns whether a root may need the module at `path`.
    fn may_be_for_root(&self, path: &[u8]) -> bool {
        self.is_root_filesystem(path) || is_disk(path)
    }

    /// Returns whether the module at `path` is for a file system that a root can have. dracut includes all of
    /// `kernel/fs`, so an included module may be for another file system.
    fn is_root_filesystem(&self, path: &[u8]) -> bool {
        let path = show(path);
        let Some(below) = path.strip_prefix("kernel/fs/") else {
            return false;
        };
        let name = ModuleName::of_path(below.as_bytes()).map(|name| name.to_string());
        let mut dirs = below.split('/').rev().skip(1);
        name.is_some_and(|name| self.roots.contains(&name))
            || dirs.any(|dir| self.roots.contains(dir))
    }

    /// Returns whether an omitted module of dracut installs the driver, and no included module does.
    fn is_left_out(&self, name: &ModuleName, path: &[u8]) -> bool {
        let Some(tree) = self.subject.tree else {
            return false;
        };
        let omitted = &self.omitted.dracut_modules;
        tree.setups.installs(omitted, name, path, false)
            && !tree.setups.installs(&self.included, name, path, false)
    }

    /// Returns whether an omitted module of dracut may install the driver at `path`, or a driver that depends on this
    /// one. Used only for drivers that no root needs: unlike in [`is_left_out`](Self::is_left_out), it does not matter
    /// whether an included module installs the driver, too.
    fn is_left_out_with_others(&self, name: &ModuleName, path: &[u8]) -> bool {
        let omitted = &self.omitted.dracut_modules;
        let tree = self.subject.tree;
        self.left_out.contains(name)
            || tree.is_some_and(|tree| tree.setups.installs(omitted, name, path, true))
    }

    fn left_out(&self) -> BTreeSet<ModuleName> {
        let omitted = &self.omitted.dracut_modules;
        let Some(tree) = self.subject.tree.filter(|_| !self.omitted.is_empty()) else {
            return BTreeSet::new();
        };
        let dep = tree.lists.dep.as_ref().ok().and_then(Option::as_ref);
        let left_out = dep
            .into_iter()
            .flat_map(|dep| dep.iter())
            .filter(|(path, _)| {
                let name = ModuleName::of_path(path);
                name.is_some_and(|name| {
                    self.omitted.has_driver(&name)
                        || tree.setups.installs(omitted, &name, path, true)
                })
            });
        let needs = left_out.flat_map(|(_, needs)| needs.iter());
        needs.filter_map(ModuleName::of_path).collect()
    }
}

/// Returns the file systems that a root can have: the usual ones ([`ANY_FILESYSTEM`] and [`IMAGES`]), those that the
/// tree names for its root, and those that the user names.
fn roots(subject: &Subject) -> BTreeSet<String> {
    let usual = ANY_FILESYSTEM.drivers.iter().chain(&IMAGES);
    let mut roots: BTreeSet<_> = usual.map(|&name| name.to_owned()).collect();
    roots.extend(subject.wanted.filesystems.iter().cloned());
    if let Some(tree) = subject.tree {
        roots.extend(tree.root_filesystems.iter().cloned());
    }
    roots
}

/// Returns whether the module at `path`, relative to its kernel's directory, is for a block device that can be a root,
/// or for a bus of block devices.
pub(super) fn is_disk(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path);
    let Some(below) = path.strip_prefix("kernel/drivers/") else {
        return false;
    };
    let name = ModuleName::of_path(below.as_bytes());
    let is_none = name.is_some_and(|name| {
        let mut none = NO_DISK.iter();
        none.any(|it| it.as_bytes() == name.as_bytes())
    });
    let in_dir = |dir: &str| {
        let rest = below.strip_prefix(dir);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    BLOCK.iter().any(|dir| in_dir(dir)) && !is_none
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    const ROOT: &str = "initramfs-root-drivers";
    const REGRESSION: &str = "initramfs-regression";

    /// Returns a bench whose base also has the drivers at the paths `base`. The modules at the paths `order` belong to
    /// the bench's kernel (`modules.order`), but are not on disk.
    fn bench(base: &[&str], order: &[&str]) -> Bench {
        let mut bench = Bench::good();
        let mut baseline = bench.baseline();
        for path in base {
            let name = ModuleName::of_path(path.as_bytes()).unwrap();
            baseline.drivers.insert(name, path.as_bytes().to_vec());
        }
        bench.base = Some(baseline);
        let list = bench.disk.get_mut("modules.order").unwrap();
        list.extend(
            order
                .iter()
                .flat_map(|path| format!("{path}\n").into_bytes()),
        );
        bench
    }

    #[test]
    fn disks_and_buses() {
        for (path, expected) in [
            ("kernel/drivers/block/virtio_blk.ko.xz", true),
            ("kernel/drivers/nvme/host/nvme.ko", true),
            ("kernel/drivers/block/zram/zram.ko.xz", false),
            ("kernel/drivers/nvme/target/nvmet.ko", false),
            ("kernel/drivers/md/dm-mod.ko", true),
            ("kernel/fs/xfs/xfs.ko", false),
            ("kernel/drivers/net/tun.ko", false),
            ("extra/zfs.ko", false),
        ] {
            assert_eq!(is_disk(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn file_systems_that_are_no_roots() {
        const OTHERS: [&str; 6] = [
            "kernel/fs/sysv/sysv.ko",
            "kernel/fs/gfs2/gfs2.ko",
            "kernel/fs/ocfs2/ocfs2.ko",
            "kernel/fs/affs/affs.ko",
            "kernel/fs/nls/nls_cp437.ko",
            "kernel/fs/binfmt_misc.ko",
        ];
        const XFS: &str = "kernel/fs/xfs/xfs.ko";
        let all = [&OTHERS[..], &[XFS]].concat();
        let mut bench = bench(&all, &all);
        let found = bench.findings(ROOT);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(
                "fatal xfs in the initramfs: a module of this kernel, but not on disk"
            )
        );
        let found = bench.findings(REGRESSION);
        assert_eq!(found.len(), OTHERS.len(), "{found:?}");
        assert!(
            found.iter().all(|it| it.starts_with("warning ")),
            "{found:?}"
        );
        // The tree names gfs2 for its root, and the user names affs.
        bench.change = |tree| tree.root_filesystems = ["gfs2".to_owned()].into();
        bench.wanted.filesystems = vec!["affs".into()];
        let found = bench.findings(ROOT);
        for fatal in ["fatal xfs", "fatal gfs2", "fatal affs"] {
            assert!(
                found.iter().any(|it| it.starts_with(fatal)),
                "{fatal}: {found:?}"
            );
        }
    }

    #[test]
    fn drivers_that_the_kernel_lacks() {
        let base = [
            "kernel/fs/btrfs/btrfs.ko",
            "kernel/fs/sysv/sysv.ko",
            "kernel/drivers/nvme/host/nvme.ko",
            "kernel/drivers/scsi/rare.ko",
        ];
        let mut bench = bench(&base, &[]);
        let found = bench.findings(ROOT);
        let starts = |start: &str| found.iter().filter(|it| it.starts_with(start)).count();
        assert_eq!(starts("warning btrfs in usr/lib/modules/"), 1, "{found:?}");
        assert_eq!(starts("warning nvme in usr/lib/modules/"), 1, "{found:?}");
        assert_eq!(found.len(), 2, "{found:?}");
        bench.wanted.filesystems = vec!["btrfs".into()];
        let found = bench.findings(ROOT);
        assert!(
            found
                .iter()
                .any(|it| it.starts_with("fatal btrfs in the initramfs")),
            "{found:?}"
        );
        // Drivers that are omitted on purpose are not lost.
        bench.wanted.filesystems = vec![];
        bench.change = |tree| tree.omitted.read_arguments("--omit-drivers 'btrfs nvme'");
        assert_eq!(bench.findings(ROOT), [""; 0]);
    }

    #[test]
    fn another_driver_of_the_type_does_not_help() {
        let mut bench = bench(&["kernel/drivers/nvme/host/nvme-apple.ko"], &[]);
        let found = bench.findings(ROOT);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("warning nvme_apple in usr/lib/modules/"),
            "{found:?}"
        );
        bench.change = |tree| tree.omitted.read_arguments("--omit-drivers nvme_apple");
        assert_eq!(bench.findings(ROOT), [""; 0]);
    }

    #[test]
    fn drivers_of_omitted_modules() {
        const DRM: &str = "installkernel() {\n    dracut_instmods -o -s \"drm_x\" \"=drivers/gpu/drm\"\n    instmods '=drivers/scsi' hyperv_fb\n}\n";
        const MODULES: &str = "installkernel() {\n    instmods '=drivers/scsi/a'\n}\n";
        let paths = [
            "kernel/drivers/gpu/drm/i915/i915.ko",
            "kernel/drivers/video/fbdev/hyperv_fb.ko",
            "kernel/drivers/i2c/algos/i2c-algo-bit.ko",
            "kernel/drivers/scsi/a/a.ko",
            "kernel/drivers/scsi/b.ko",
        ];
        let mut bench = bench(&paths, &paths);
        let dep = bench.disk.get_mut("modules.dep").unwrap();
        dep.extend(format!("{}: {}\n{}:\n", paths[0], paths[2], paths[2]).into_bytes());
        bench.put("usr/lib/dracut/modules.txt", b"kernel-modules\n");
        bench.change = |tree| {
            tree.setups.add("drm", DRM);
            tree.setups.add("kernel-modules", MODULES);
        };
        assert_eq!(bench.findings(REGRESSION).len(), 3);
        assert_eq!(bench.findings(ROOT).len(), 2);
        bench.change = |tree| {
            tree.setups.add("drm", DRM);
            tree.setups.add("kernel-modules", MODULES);
            tree.omitted.read_arguments("-o drm");
        };
        assert_eq!(bench.findings(REGRESSION), [""; 0]);
        // An included module installs a.ko, too, so the loss of a.ko is reported.
        let found = bench.findings(ROOT);
        assert!(
            found.len() == 1 && found[0].starts_with("fatal a in"),
            "{found:?}"
        );
    }
}
