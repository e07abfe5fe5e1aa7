// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the checks whose name begins with `node-`.

use crate::checks::Answer;
use crate::checks::testing::Bench;
use crate::node::{Boot, Device, Layer, Machine, SecureBoot, Storage};
use crate::signing::VmlinuzSigner;

const DRIVERS: &str = "node-root-drivers";
const SPACE: &str = "node-boot-space";
const KARGS: &str = "node-kargs";
const SECURE: &str = "node-secure-boot";

/// Returns a machine whose root is an ext4 file system on a virtio disk. The bench's initramfs has both drivers.
fn machine() -> Machine {
    Machine {
        root: Ok(storage("/sysroot", "ext4", &[virtio()])),
        boot: None,
        space: None,
        secure_boot: SecureBoot::default(),
        kargs: None,
    }
}

fn storage(mount: &str, filesystem: &str, devices: &[Device]) -> Storage {
    Storage {
        mount: mount.into(),
        filesystem: filesystem.into(),
        block: "vda4".into(),
        devices: devices.to_vec(),
        ..Storage::default()
    }
}

fn device(driver: &str, module: Option<&str>, modalias: &str) -> Device {
    Device {
        path: "/sys/devices/x".into(),
        driver: driver.into(),
        module: module.map(str::to_owned),
        modalias: Some(modalias.into()),
    }
}

fn virtio() -> Device {
    device(
        "virtio_blk",
        Some("virtio_blk"),
        "virtio:d00000002v00001AF4",
    )
}

fn bench(machine: Machine) -> Bench {
    let mut bench = Bench::good();
    bench.machine = Some(machine);
    bench
}

fn with_root(storage: Storage) -> Vec<String> {
    let root = Ok(storage);
    bench(Machine { root, ..machine() }).findings(DRIVERS)
}

#[test]
fn without_a_machine_the_checks_do_not_apply() {
    for check in [DRIVERS, SPACE, KARGS, SECURE] {
        let answer = Bench::good().answer(check);
        assert!(matches!(answer, Answer::NotApplicable(_)), "{check}");
    }
}

#[test]
fn drivers_below_the_root() {
    assert_eq!(bench(machine()).findings(DRIVERS), [""; 0]);
    let mut bench = bench(machine());
    bench.remove_module("kernel/drivers/block/virtio_blk.ko");
    let found = bench.findings(DRIVERS);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("fatal virtio_blk in the initramfs:"),
        "{found:?}"
    );
    assert!(found[0].contains("(vda4) on this machine needs it"));
    // A driver with another name serves the device.
    let renamed = device("old", Some("old"), "virtio:d00000002v00001AF4");
    bench = Bench::good();
    let alias = b"alias virtio:d00000002v* virtio_blk\n".to_vec();
    bench.disk.insert("modules.alias".into(), alias);
    bench.machine = Some(Machine {
        root: Ok(storage("/sysroot", "ext4", &[renamed])),
        ..machine()
    });
    assert_eq!(bench.findings(DRIVERS), [""; 0]);
}

#[test]
fn drivers_that_are_built_into_the_running_kernel() {
    let disk = device("virtio_blk", None, "virtio:d00000002v00001AF4");
    let bridge = device("pcieport", None, "pci:v1d1sv1sd1bc06sc04i00");
    let mut bench = bench(Machine {
        root: Ok(storage("/sysroot", "ext4", &[disk, bridge])),
        ..machine()
    });
    let alias = "alias virtio:d00000002v* virtio_blk\nalias pci:v*d*sv*sd*bc06sc04i00* shpchp\n";
    let put = |bench: &mut Bench, alias: &str| {
        bench.disk.insert("modules.alias".into(), alias.into());
    };
    put(&mut bench, alias);
    assert_eq!(bench.findings(DRIVERS), [""; 0]);
    bench.remove_module("kernel/drivers/block/virtio_blk.ko");
    assert_eq!(bench.findings(DRIVERS).len(), 1);
    // The kernel has no driver for the disk.
    put(&mut bench, "");
    let builtin = b"ext4.alias=fs-ext4\0".to_vec();
    bench.disk.insert("modules.builtin.modinfo".into(), builtin);
    let found = bench.findings(DRIVERS);
    assert!(
        found.len() == 1 && found[0].contains("virtio_blk"),
        "{found:?}"
    );
}

#[test]
fn filesystems_and_layers() {
    let found = with_root(storage("/sysroot", "xfs", &[virtio()]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("fatal xfs in the initramfs:"));
    let tmpfs = Storage {
        block: String::new(),
        ..storage("/", "tmpfs", &[])
    };
    assert_eq!(with_root(tmpfs), [""; 0]);
    for (layer, expected) in [
        (Layer::Luks, "dm_crypt"),
        (Layer::Lvm, "usr/sbin/lvm"),
        (Layer::Multipath, "multipathd"),
        (Layer::Raid("raid1".into()), "mdadm"),
        (Layer::Transport("iscsi_tcp".into()), "iscsi_tcp"),
        (Layer::DeviceMapper, "dm_mod"),
    ] {
        let mut storage = storage("/sysroot", "ext4", &[]);
        storage.layers.insert(layer.clone());
        let found = with_root(storage);
        assert!(
            found
                .iter()
                .any(|it| it.starts_with("fatal ") && it.contains(expected)),
            "{layer:?}: {found:?}"
        );
    }
}

#[test]
fn boot_can_load_modules_from_the_root() {
    let mut bench = bench(Machine {
        boot: Some(storage("/boot", "vfat", &[])),
        ..machine()
    });
    let found = bench.findings(DRIVERS);
    assert!(
        found.len() == 1 && found[0].contains("of /boot"),
        "{found:?}"
    );
    bench
        .disk
        .insert("kernel/fs/fat/vfat.ko".into(), Vec::new());
    assert_eq!(bench.findings(DRIVERS), [""; 0]);
}

#[test]
fn a_root_that_is_not_known() {
    let root = Err("no device".to_owned());
    let answer = bench(Machine { root, ..machine() }).answer(DRIVERS);
    assert_eq!(answer, Answer::CouldNotRun("no device".into()));
}

#[test]
fn room_on_boot() {
    // The bench's kernel and initramfs have 11 MiB.
    const MIB: u64 = 1 << 20;
    let good = Boot {
        free: 13 * MIB,
        block: 4096,
        is_separate: true,
        prunes_early: true,
        ..Boot::default()
    };
    let found = |space: Boot| {
        bench(Machine {
            space: Some(space),
            ..machine()
        })
        .findings(SPACE)
    };
    assert_eq!(found(good.clone()), [""; 0]);
    let small = Boot {
        free: 5 * MIB,
        ..good
    };
    assert_eq!(found(small.clone()).len(), 1);
    let rollback = Boot {
        dropped: 10 * MIB,
        ..small.clone()
    };
    assert_eq!(found(rollback.clone()), [""; 0]);
    for older in [
        Boot {
            prunes_early: false,
            ..rollback.clone()
        },
        Boot {
            is_separate: false,
            ..rollback
        },
    ] {
        let found = found(older);
        assert!(found[0].contains("frees only afterwards"), "{found:?}");
    }
    let same_kernel = Boot {
        has_kernel: true,
        ..small.clone()
    };
    assert_eq!(found(same_kernel.clone()), [""; 0]);
    let overlay = Boot {
        overlays: 9 * MIB,
        ..same_kernel
    };
    assert_eq!(found(overlay).len(), 1);
}

#[test]
fn kernel_arguments_and_the_required_drivers() {
    let found = |kargs: &[&str]| {
        let kargs = kargs.iter().map(|it| (*it).to_owned()).collect();
        bench(Machine {
            kargs: Some(kargs),
            ..machine()
        })
        .findings(KARGS)
    };
    let good = [
        "root=UUID=1",
        "rw",
        "quiet",
        "rootfstype=ext4",
        "rd.luks=0",
        "ip=dhcp",
    ];
    assert_eq!(found(&good), [""; 0]);
    for (karg, expected) in [
        ("rd.luks.uuid=1", "dm_crypt"),
        ("rd.lvm.lv=a/b", "lvm"),
        ("rd.md.uuid=1", "mdadm"),
        ("rd.multipath=default", "multipathd"),
        ("netroot=iscsi:1.2.3.4::::x", "iscsid"),
        ("root=/dev/nvme0n1p4", "nvme"),
        ("root=nfs:1.2.3.4:/x", "nfs"),
        ("rootfstype=xfs", "xfs"),
    ] {
        let found = found(&[karg]);
        let is_expected = |it: &String| it.starts_with("warning ") && it.contains(expected);
        assert!(found.iter().any(is_expected), "{karg}: {found:?}");
    }
}

#[test]
fn signatures_that_the_machine_trusts() {
    let on = SecureBoot {
        is_on: Some(true),
        signer: Some(VmlinuzSigner::Trusted),
        ..SecureBoot::default()
    };
    let found = |secure_boot: &SecureBoot, signed: fn(&mut crate::checks::TreeFacts)| {
        bench(Machine {
            secure_boot: secure_boot.clone(),
            ..machine()
        })
        .findings_with(SECURE, signed)
    };
    assert_eq!(found(&on, |_| ()), [""; 0]);
    let unsigned = found(&on, |tree| tree.signed = Ok(false));
    assert!(unsigned[0].starts_with("fatal "), "{unsigned:?}");
    let other = SecureBoot {
        signer: Some(VmlinuzSigner::Others(vec!["signed by somebody".to_owned()])),
        ..on.clone()
    };
    let by_other = found(&other, |_| ());
    assert!(
        by_other[0].starts_with("fatal ") && by_other[0].contains("signed by somebody"),
        "{by_other:?}"
    );
    let unread = SecureBoot {
        signer: None,
        ..other.clone()
    };
    assert_eq!(found(&unread, |_| ()), [""; 0]);
    let with_digests = SecureBoot {
        has_digests: true,
        ..other
    };
    assert!(found(&with_digests, |_| ())[0].starts_with("warning "));
    for off in [Some(false), None] {
        let secure_boot = SecureBoot {
            is_on: off,
            ..on.clone()
        };
        let answer = bench(Machine {
            secure_boot,
            ..machine()
        })
        .answer(SECURE);
        assert!(matches!(answer, Answer::NotApplicable(_)));
    }
}
