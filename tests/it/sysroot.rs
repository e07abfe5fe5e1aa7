// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a machine with deployments: ostree's state in `/run`, and the files in `/proc` and `/sys` about the
//! disks that hold its root file system.

use std::os::unix::fs::symlink;
use std::path::Path;

/// A device, and the driver that is bound to it.
pub struct Driver {
    /// The device's directory below `/sys/devices`.
    pub device: &'static str,
    pub bus: &'static str,
    pub name: &'static str,
    pub alias: &'static str,
}

/// A disk with the root on one of its partitions.
pub struct Disk {
    pub drivers: &'static [Driver],
    /// The partition's directory below `/sys/devices`.
    pub partition: &'static str,
}

pub const VIRTIO: Disk = Disk {
    drivers: &[Driver {
        device: "pci0000:00/0000:00:04.0/virtio1",
        bus: "virtio",
        name: "virtio_blk",
        alias: "virtio:d00000002v00001AF4",
    }],
    partition: "pci0000:00/0000:00:04.0/virtio1/block/vda/vda4",
};

pub const NVME: Disk = Disk {
    drivers: &[Driver {
        device: "pci0000:00/0000:00:05.0",
        bus: "pci",
        name: "nvme",
        alias: "pci:v00008086d00005845sv00001AF4sd00001100bc01sc08i02",
    }],
    partition: "pci0000:00/0000:00:05.0/nvme/nvme0/nvme0n1/nvme0n1p4",
};

pub const SCSI: Disk = Disk {
    drivers: &[
        Driver {
            device: "pci0000:00/0000:00:06.0/virtio2",
            bus: "virtio",
            name: "virtio_scsi",
            alias: "virtio:d00000008v00001AF4",
        },
        Driver {
            device: "pci0000:00/0000:00:06.0/virtio2/host0/target0:0:0/0:0:0:0",
            bus: "scsi",
            name: "sd_mod",
            alias: "scsi:t-0x00",
        },
    ],
    partition: "pci0000:00/0000:00:06.0/virtio2/host0/target0:0:0/0:0:0:0/block/sda/sda4",
};

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// Creates a link to `target`, which is a path below `/sys`. The link is relative, as the kernel's links are.
fn link(root: &Path, path: &str, target: &str) {
    let place = root.join(path);
    fs_err::create_dir_all(place.parent().unwrap()).unwrap();
    let up = "../".repeat(path.matches('/').count() - 1);
    let _ = fs_err::remove_file(&place);
    symlink(format!("{up}{target}"), place).unwrap();
}

/// Writes the files in /proc and /sys of a machine whose root is on a partition of the disk.
pub fn root_on(root: &Path, disk: &Disk, filesystem: &str) {
    let block = disk.partition.rsplit('/').next().unwrap();
    mount(root, "252:4", filesystem, &format!("/dev/{block}"));
    write(
        root,
        &format!("sys/devices/{}/partition", disk.partition),
        "4\n",
    );
    link(
        root,
        "sys/dev/block/252:4",
        &format!("devices/{}", disk.partition),
    );
    for driver in disk.drivers {
        let Driver {
            device,
            bus,
            name,
            alias,
        } = driver;
        let of_bus = format!("bus/{bus}/drivers/{name}");
        write(
            root,
            &format!("sys/devices/{device}/modalias"),
            format!("{alias}\n"),
        );
        write(root, &format!("sys/{of_bus}/bind"), "");
        write(root, &format!("sys/module/{name}/initstate"), "live\n");
        link(root, &format!("sys/devices/{device}/driver"), &of_bus);
        link(
            root,
            &format!("sys/{of_bus}/module"),
            &format!("module/{name}"),
        );
    }
}

/// Writes the files in /proc and /sys of a machine whose root is on LUKS, on a partition of the disk.
pub fn root_on_luks(root: &Path, disk: &Disk, filesystem: &str) {
    root_on(root, disk, filesystem);
    mount(root, "253:0", filesystem, "/dev/mapper/root");
    let dm = "devices/virtual/block/dm-0";
    write(
        root,
        &format!("sys/{dm}/dm/uuid"),
        "CRYPT-LUKS2-0123-root\n",
    );
    let block = disk.partition.rsplit('/').next().unwrap();
    link(
        root,
        &format!("sys/{dm}/slaves/{block}"),
        &format!("devices/{}", disk.partition),
    );
    link(root, "sys/dev/block/253:0", dm);
}

fn mount(root: &Path, device: &str, filesystem: &str, source: &str) {
    let line = format!("60 1 {device} / /sysroot rw - {filesystem} {source} rw\n");
    write(root, "proc/1/mountinfo", line);
}

/// Returns the content of ostree's file about a staged deployment, a GVariant of the type `a{sv}`.
pub fn staged(osname: &str, name: &str, kargs: &[&str], overlays: &[&str]) -> Vec<u8> {
    let target = [
        string("name", name),
        string("osname", osname),
        string("bootcsum", &"b".repeat(64)),
    ];
    let mut entries = vec![
        entry("target", "a{sv}", &array(&target, 8)),
        strings("kargs", kargs),
    ];
    if !overlays.is_empty() {
        entries.push(strings("overlay-initrds", overlays));
    }
    array(&entries, 8)
}

fn array(elements: &[Vec<u8>], alignment: usize) -> Vec<u8> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for element in elements {
        bytes.resize(bytes.len().next_multiple_of(alignment), 0);
        bytes.extend(element);
        ends.push(bytes.len());
    }
    offsets(bytes, &ends)
}

fn offsets(mut bytes: Vec<u8>, ends: &[usize]) -> Vec<u8> {
    let width = if bytes.len() + ends.len() <= 0xff {
        1
    } else {
        2
    };
    for end in ends {
        bytes.extend(&end.to_le_bytes()[..width]);
    }
    bytes
}

fn entry(key: &str, kind: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = [key.as_bytes(), b"\0"].concat();
    let end = bytes.len();
    bytes.resize(end.next_multiple_of(8), 0);
    offsets([&bytes, data, b"\0", kind.as_bytes()].concat(), &[end])
}

fn string(key: &str, value: &str) -> Vec<u8> {
    entry(key, "s", &[value.as_bytes(), b"\0"].concat())
}

fn strings(key: &str, values: &[&str]) -> Vec<u8> {
    let values = values.iter().map(|it| [it.as_bytes(), b"\0"].concat());
    entry(key, "as", &array(&values.collect::<Vec<_>>(), 1))
}
