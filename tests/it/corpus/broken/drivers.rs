// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers for the root that are missing or blocked, and other losses compared with the base.

use super::broken;
use super::modules::forget_inside;
use crate::corpus::archive::FILE;
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::products::Base::{BookwormOld, TrixieBootc, TrixieNew, TrixieOld, TrixieSlim};

const ROOT: &str = "initramfs-root-drivers";
const REGRESSION: &str = "initramfs-regression";

pub fn cases() -> Vec<Case> {
    let rooms = [lost(), sub_packages(), wanted(), blocked(), regression()];
    rooms.into_iter().flatten().collect()
}

fn lost() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, modules, comes_of) in [
        (
            "driver-virtio_blk-gone",
            &["virtio_blk"][..],
            "okd-project/okd#1908",
        ),
        ("driver-xfs-gone", &["xfs"], "coreos/rpm-ostree#4451"),
        (
            "driver-sd_mod-gone",
            &["sd_mod"],
            "coreos/layering-examples#57",
        ),
        (
            "driver-overlay-gone",
            &["overlay"],
            "coreos/rpm-ostree#5483",
        ),
        (
            "driver-dm-crypt-gone",
            &["dm-crypt"],
            "coreos/rpm-ostree#5483",
        ),
    ] {
        cases.push(broken(name, TrixieNew, comes_of, &[ROOT], move |draft| {
            draft.against(TrixieOld);
            forget_inside(draft, modules);
        }));
    }
    cases.push(broken(
        "driver-gone-059",
        BookwormOld,
        "okd-project/okd#1908",
        &[ROOT],
        |draft| {
            draft.against(BookwormOld);
            forget_inside(draft, &["virtio_scsi"]);
        },
    ));
    cases
}

/// Removes modules from the tree and from the initramfs, as if their package were not installed.
pub fn never_installed(draft: &mut Draft, modules: &[&str]) {
    draft.against(TrixieOld);
    forget_inside(draft, modules);
    let is_one = |path: &str| {
        let file = path.rsplit('/').next().unwrap();
        modules.contains(&file.split(".ko").next().unwrap())
    };
    for path in draft.modules().into_iter().filter(|path| is_one(path)) {
        draft.remove(&path);
    }
    let list = draft.of_kernel("modules.dep");
    draft.keep_lines(&list, |line| !is_one(line.split(':').next().unwrap()));
}

fn sub_packages() -> Vec<Case> {
    vec![
        broken(
            "kernel-modules-core-forgotten",
            TrixieNew,
            "crc-org/snc#727",
            &[ROOT],
            |draft| {
                never_installed(draft, &["virtio_blk", "overlay", "erofs"]);
            },
        ),
        broken(
            "kernel-modules-forgotten",
            TrixieNew,
            "crc-org/snc#727",
            &[ROOT],
            |draft| {
                never_installed(draft, &["xfs", "virtio_scsi"]);
            },
        ),
    ]
}

fn wanted() -> Vec<Case> {
    let missing = |name: &str,
                   option: &'static str,
                   value: &'static str,
                   modules: &'static [&'static str]| {
        broken(
            name,
            TrixieSlim,
            "okd-project/okd#1908",
            &[ROOT],
            move |draft| {
                draft.option(option, value);
                if !modules.is_empty() {
                    forget_inside(draft, modules);
                }
            },
        )
    };
    vec![
        missing(
            "no-root-device",
            "--root-device",
            "virtio",
            &["virtio_blk", "virtio_scsi"],
        ),
        missing("no-multipath", "--root-device", "multipath", &[]),
        missing("no-root-fs", "--root-fs", "xfs", &["xfs"]),
        missing("no-required-driver", "--require-driver", "mpt3sas", &[]),
        broken(
            "composefs-without-erofs",
            TrixieSlim,
            "boot: ostree-prepare-root: composefs: No such device",
            &[ROOT],
            |draft| {
                let archive = draft.archive();
                archive.replace(
                    "usr/lib/ostree/prepare-root.conf",
                    "[composefs]\nenabled = yes\n",
                );
                forget_inside(draft, &["erofs"]);
            },
        ),
        broken(
            "driver-blocked",
            TrixieSlim,
            "secureblue/secureblue#2366",
            &[ROOT],
            |draft| {
                let lines = "install virtio_blk /bin/false\nblacklist virtio_scsi\n";
                let archive = draft.archive();
                archive.put("etc/modprobe.d/hardening.conf", FILE, lines);
                draft.option("--root-device", "virtio");
            },
        ),
        broken(
            "driver-options-refused",
            TrixieSlim,
            "mutation: a character changed in a file of modprobe.d",
            &[ROOT],
            |draft| {
                let lines = "options virtio_blk num_request_queues=many\n";
                let archive = draft.archive();
                archive.put("etc/modprobe.d/tuning.conf", FILE, lines);
                draft.option("--root-device", "virtio");
            },
        ),
        broken(
            "no-driver-at-all",
            TrixieSlim,
            "okd-project/okd#1908",
            &[ROOT],
            |draft| {
                let builtin = draft.of_kernel("modules.builtin");
                draft.keep_lines(&builtin, |line| {
                    let built_in = ["nvme", "ext4", "virtiofs"];
                    !built_in.iter().any(|name| line.contains(name))
                });
                let mut modules = vec![
                    "virtio_blk",
                    "virtio_scsi",
                    "sd_mod",
                    "xen-blkfront",
                    "nbd",
                    "rbd",
                ];
                // virtiofs is a module in some kernels, and is built into others.
                if draft
                    .modules()
                    .iter()
                    .any(|path| path.contains("/virtiofs.ko"))
                {
                    modules.push("virtiofs");
                }
                forget_inside(draft, &modules);
            },
        ),
    ]
}

/// Returns cases with drivers that modprobe's configuration blocks, and cases with drivers that are not in the image.
fn blocked() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, conf, filesystem, comes_of) in [
        (
            "dependency-blocked",
            "install raid6_pq /bin/false\n",
            "btrfs",
            "secureblue/secureblue#1052",
        ),
        (
            "dependency-blocked-by-pattern",
            "install raid6* /bin/true\n",
            "btrfs",
            "secureblue/secureblue#1052",
        ),
        (
            "file-system-is-no-alias",
            "alias fs-xfs off\n",
            "xfs",
            "openshift/os#1951",
        ),
    ] {
        cases.push(broken(name, TrixieSlim, comes_of, &[ROOT], move |draft| {
            draft
                .archive()
                .put("etc/modprobe.d/hardening.conf", FILE, conf);
            draft.option("--root-fs", filesystem);
        }));
    }
    cases.push(broken(
        "composefs-driver-blocked",
        TrixieSlim,
        "secureblue/secureblue#1052",
        &[ROOT],
        |draft| {
            let on = "[composefs]\nenabled = yes\n";
            draft
                .archive()
                .replace("usr/lib/ostree/prepare-root.conf", on);
            draft.write("usr/lib/ostree/prepare-root.conf", on);
            let lines = "install erofs /bin/false\n";
            draft
                .archive()
                .put("etc/modprobe.d/hardening.conf", FILE, lines);
        },
    ));
    cases.push(broken(
        "bootc-without-overlay",
        TrixieBootc,
        "secureblue/secureblue#1052",
        &[ROOT],
        |draft| forget_inside(draft, &["overlay"]),
    ));
    // The user requires a root file system that the kernel does not have, as btrfs in the kernels of some vendors.
    cases.push(broken(
        "root-fs-of-no-kernel",
        TrixieSlim,
        "okd-project/okd#1908",
        &[ROOT],
        |draft| {
            draft.option("--root-fs", "reiser4");
        },
    ));
    cases
}

fn regression() -> Vec<Case> {
    let mut cases = Vec::new();
    for (module, comes_of) in [
        ("lvm", "coreos/layering-examples#57"),
        ("crypt", "coreos/rpm-ostree#4451"),
        ("virtiofs", "dracut-ng/dracut-ng#1561"),
        ("systemd-initrd", "coreos/layering-examples#57"),
    ] {
        let name = format!("dracut-module-{module}-lost");
        cases.push(broken(
            name,
            TrixieNew,
            comes_of,
            &[REGRESSION],
            move |draft| {
                draft.against(TrixieOld);
                let list = "usr/lib/dracut/modules.txt";
                let archive = draft.archive();
                let text = String::from_utf8(archive.get(list).to_vec()).unwrap();
                let kept = text.lines().filter(|line| *line != module);
                let kept: String = kept.map(|line| format!("{line}\n")).collect();
                assert!(kept.len() < text.len(), "{module} is not in {list}");
                archive.replace(list, kept);
            },
        ));
    }
    // Without the second or the third of these units no system boots, so `initramfs-units` reports them, too.
    const UNITS: &str = "initramfs-units";
    for (unit, comes_of, expected) in [
        (
            "dracut-initqueue.service",
            "coreos/rpm-ostree#4451",
            &[REGRESSION][..],
        ),
        (
            "systemd-udevd.service",
            "rhinstaller/anaconda#6876",
            &[UNITS, REGRESSION],
        ),
        (
            "initrd-switch-root.service",
            "rhinstaller/kickstart-tests#1593",
            &[UNITS, REGRESSION],
        ),
    ] {
        cases.push(broken(
            format!("unit-{unit}-lost"),
            TrixieNew,
            comes_of,
            expected,
            move |draft| {
                draft.against(TrixieOld);
                draft
                    .archive()
                    .remove(&format!("usr/lib/systemd/system/{unit}"));
            },
        ));
    }
    cases
}
