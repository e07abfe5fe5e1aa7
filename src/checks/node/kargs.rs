// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the initramfs supports the devices in the deployment's kernel arguments: LUKS, LVM, RAID, multipath,
//! iSCSI, NFS, NBD, a file system or a kind of disk.

use super::super::able::Able;
use super::super::wanted::{Need, RootDevice, driver, program};
use super::super::{Answer, Finding, Remedy, Subject, listed};

const ADD: Remedy = Remedy::ThenRebuild(
    "add dracut's module for it (crypt, lvm, mdraid, multipath, iscsi) with add_dracutmodules in /etc/dracut.conf.d",
);

const ISCSI: &[Need] = &[
    driver(&[
        "iscsi_tcp",
        "be2iscsi",
        "bnx2i",
        "cxgb4i",
        "qedi",
        "qla4xxx",
        "iscsi_ibft",
    ]),
    program(&[
        "usr/sbin/iscsid",
        "usr/bin/iscsid",
        "usr/sbin/iscsistart",
        "usr/bin/iscsistart",
    ]),
];

const NFS: &[Need] = &[driver(&["nfs", "nfsv4", "nfsv3"])];

const NBD: &[Need] = &[driver(&["nbd"])];

/// Prefixes of arguments, and the device type that each requires.
const DEVICES: [(&str, RootDevice); 22] = [
    ("rd.luks.uuid=", RootDevice::Luks),
    ("rd.luks.name=", RootDevice::Luks),
    ("luks.uuid=", RootDevice::Luks),
    ("luks.name=", RootDevice::Luks),
    ("rd.luks.partuuid=", RootDevice::Luks),
    ("rd.lvm.lv=", RootDevice::Lvm),
    ("rd.lvm.vg=", RootDevice::Lvm),
    ("rd.md.uuid=", RootDevice::Raid),
    ("rd.multipath=default", RootDevice::Multipath),
    ("rd.multipath=1", RootDevice::Multipath),
    ("rd.zfcp=", RootDevice::Zfcp),
    ("rd.dasd=", RootDevice::Dasd),
    ("root=/dev/vd", RootDevice::Virtio),
    ("root=/dev/sd", RootDevice::Scsi),
    ("root=/dev/nvme", RootDevice::Nvme),
    ("root=/dev/mmcblk", RootDevice::Mmc),
    ("root=/dev/xvd", RootDevice::Xen),
    ("root=/dev/dasd", RootDevice::Dasd),
    ("root=/dev/md", RootDevice::Raid),
    ("root=/dev/mapper/mpath", RootDevice::Multipath),
    ("root=/dev/mapper/luks", RootDevice::Luks),
    ("root=/dev/disk/by-id/dm-uuid-LVM", RootDevice::Lvm),
];

/// Prefixes of arguments for a root on the network, and the drivers and programs that each requires.
const NETWORK: [(&str, &[Need]); 7] = [
    ("netroot=iscsi", ISCSI),
    ("rd.iscsi.", ISCSI),
    ("iscsi_firmware", ISCSI),
    ("root=iscsi:", ISCSI),
    ("root=nfs", NFS),
    ("root=/dev/nfs", NFS),
    ("root=nbd:", NBD),
];

pub fn kargs(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let Some(kargs) = &subject.machine()?.kargs else {
        let why = "the deployment's kernel arguments are not known";
        return Err(Answer::NotApplicable(why.into()));
    };
    let inventory = subject.inventory()?;
    let able = Able::of(subject, inventory)?;
    if able.builtin.paths().is_empty() {
        return Ok(Vec::new());
    }
    let mut findings: Vec<Finding> = Vec::new();
    for karg in kargs {
        let mut missing = Vec::new();
        for need in needs(karg) {
            if !able.meets(inventory, need) {
                missing.push([need.drivers, need.programs].concat().join(" or "));
            }
        }
        if let Some(names) = karg.strip_prefix("rootfstype=") {
            let mut names = names.split(',');
            let has = |name: &str| able.has_named(name) || able.serves(&format!("fs-{name}"));
            if !names.any(|name| name == "auto" || has(name)) {
                missing.push(karg["rootfstype=".len()..].to_owned());
            }
        }
        let expected = format!("in the initramfs, for the kernel argument {karg}");
        for name in missing {
            let path = format!("{name} in the initramfs");
            if !findings.iter().any(|it| it.path == path) {
                let found = "neither in the initramfs nor built in";
                findings.push(Finding::new(path, found, &*expected, ADD));
            }
        }
    }
    Ok(listed(findings))
}

fn needs(karg: &str) -> impl Iterator<Item = &'static Need> {
    let devices = DEVICES.into_iter();
    let devices = devices.filter(move |(start, _)| karg.starts_with(start));
    let devices = devices.flat_map(|(_, device)| device.needs());
    let network = NETWORK.into_iter();
    let network = network.filter(move |(start, _)| karg.starts_with(start));
    let network = network.flat_map(|(_, needs)| needs);
    devices.chain(network)
}
