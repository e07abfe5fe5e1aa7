// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deployments that are good in general, but wrong for the machine on which they are staged, and deployments that are
//! good for it.

use super::super::case::{Case, CaseKind};
use super::super::draft::Draft;
use super::super::good::{early, sign};
use super::super::node::Machine;
use super::super::products::Base::TrixieNew;
use super::broken;
use super::modules::forget_inside;
use crate::sysroot::{self, Disk, NVME, SCSI, VIRTIO};

const DRIVERS: &str = "node-root-drivers";
const SPACE: &str = "node-boot-space";
const SECURE: &str = "node-secure-boot";
const MIB: u64 = 1 << 20;
const CERTIFICATE: &str = include_str!("../../../../src/signing/testing/certificate.pem");

pub fn cases() -> Vec<Case> {
    let rooms = [drivers(), space(), secure_boot()];
    rooms.into_iter().flatten().collect()
}

fn good(name: &str, change: impl Fn(&mut Draft) + Send + Sync + 'static) -> Case {
    let special = "staged on a machine";
    Case::new(CaseKind::Good, name, TrixieNew, special, &[], change)
}

fn on(draft: &mut Draft, disk: &Disk, filesystem: &str) {
    let machine = Machine::of(draft, None);
    sysroot::root_on(&machine.system, disk, filesystem);
}

fn drivers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, disk, filesystem, lost, comes_of) in [
        (
            "node-btrfs-gone",
            &VIRTIO,
            "btrfs",
            "btrfs",
            "CachyOS/copr-linux-cachyos#71",
        ),
        (
            "node-virtio_scsi-gone",
            &SCSI,
            "ext4",
            "virtio_scsi",
            "okd-project/okd#1908",
        ),
        (
            "node-virtio_blk-gone",
            &VIRTIO,
            "ext4",
            "virtio_blk",
            "tuna-os/tunaOS#1503",
        ),
        (
            "node-xfs-gone",
            &VIRTIO,
            "xfs",
            "xfs",
            "coreos/rpm-ostree#4451",
        ),
    ] {
        cases.push(broken(
            name,
            TrixieNew,
            comes_of,
            &[DRIVERS],
            move |draft| {
                forget_inside(draft, &[lost]);
                on(draft, disk, filesystem);
            },
        ));
    }
    cases.push(broken(
        "node-luks-without-dm_crypt",
        TrixieNew,
        "void-linux/void-packages#720",
        &[DRIVERS],
        |draft| {
            forget_inside(draft, &["dm-crypt"]);
            let machine = Machine::of(draft, None);
            sysroot::root_on_luks(&machine.system, &VIRTIO, "ext4");
        },
    ));
    for (name, disk, filesystem) in [
        ("node-on-nvme", &NVME, "ext4"),
        ("node-on-scsi", &SCSI, "xfs"),
        ("node-on-virtio", &VIRTIO, "ext4"),
    ] {
        cases.push(good(name, move |draft| on(draft, disk, filesystem)));
    }
    cases
}

/// Stages the draft on a machine whose `/boot` is `more` bytes larger than the draft's kernel and initramfs (smaller if
/// `more` is negative). Returns the machine and the size of the two files.
fn with_boot(draft: &mut Draft, more: i64) -> (Machine, u64) {
    let needed = draft.size_on_boot();
    let size = needed.checked_add_signed(more).unwrap();
    let machine = Machine::of(draft, Some(size));
    sysroot::root_on(&machine.system, &VIRTIO, "ext4");
    (machine, needed)
}

fn space() -> Vec<Case> {
    let small = -(8 * MIB as i64);
    let large = 8 * MIB as i64;
    vec![
        broken(
            "node-boot-too-small",
            TrixieNew,
            "ostreedev/ostree#1648",
            &[SPACE],
            move |draft| drop(with_boot(draft, small)),
        ),
        broken(
            "node-boot-full-of-a-pinned-deployment",
            TrixieNew,
            "fedora-silverblue/issue-tracker#701",
            &[SPACE],
            move |draft| {
                let (machine, needed) = with_boot(draft, large);
                machine.older(needed as usize / 2, true);
            },
        ),
        broken(
            "node-boot-too-small-for-an-overlay",
            TrixieNew,
            "coreos/fedora-coreos-tracker#1637",
            &[SPACE],
            move |draft| {
                let (machine, _) = with_boot(draft, large);
                let sum = "e".repeat(64);
                machine.stage(&["root=UUID=1"], &[&sum]);
                let mut overlay = early();
                overlay.resize(16 * MIB as usize, 0);
                machine.write(&format!("run/ostree/staged-initrds/{sum}"), overlay);
            },
        ),
        good("node-boot-with-room", move |draft| {
            drop(with_boot(draft, large))
        }),
        good("node-boot-full-of-a-rollback", move |draft| {
            let (machine, needed) = with_boot(draft, large);
            machine.older(needed as usize / 2, false);
        }),
    ]
}

fn secure_boot() -> Vec<Case> {
    const COMES_OF: &str = "secureblue/secureblue#2366";
    let on = |draft: &mut Draft, certificates: &[Vec<u8>]| {
        let machine = Machine::of(draft, None);
        sysroot::root_on(&machine.system, &VIRTIO, "ext4");
        machine.secure_boot(certificates);
    };
    vec![
        broken(
            "node-kernel-without-a-signature",
            TrixieNew,
            COMES_OF,
            &[SECURE],
            move |draft| {
                without_signature(draft);
                on(draft, &[certificate()]);
            },
        ),
        broken(
            "node-kernel-of-another-vendor",
            TrixieNew,
            COMES_OF,
            &[SECURE],
            move |draft| {
                on(draft, &[certificate()]);
            },
        ),
        broken(
            "node-signature-is-noise",
            TrixieNew,
            COMES_OF,
            &[SECURE],
            move |draft| {
                let path = draft.of_kernel("vmlinuz");
                let mut vmlinuz = draft.read(&path);
                sign(&mut vmlinuz);
                draft.write(&path, vmlinuz);
                on(draft, &[certificate()]);
            },
        ),
    ]
}

/// Clears the entry of the signature in the PE header, which makes the kernel an unsigned one.
fn without_signature(draft: &Draft) {
    let path = draft.of_kernel("vmlinuz");
    let mut vmlinuz = draft.read(&path);
    let header = u32::from_le_bytes(vmlinuz[0x3c..0x40].try_into().unwrap()) as usize;
    let entry = header + 24 + 112 + 4 * 8;
    vmlinuz[entry..entry + 8].fill(0);
    draft.write(&path, vmlinuz);
}

/// Returns the certificate of the tests, decoded from PEM to DER.
fn certificate() -> Vec<u8> {
    let lines = CERTIFICATE.lines().filter(|line| !line.starts_with('-'));
    let (mut der, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in lines.flat_map(str::bytes).filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            der.push((bits >> count) as u8);
        }
    }
    der
}
