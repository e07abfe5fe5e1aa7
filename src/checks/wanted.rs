// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user says that the root needs, and what every root needs: tables of drivers and
//! programs.

use clap::ValueEnum;

/// What the root lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RootDevice {
    /// virtio disk of a virtual machine.
    Virtio,
    /// NVMe.
    Nvme,
    /// SCSI disk.
    Scsi,
    /// SATA disk.
    Sata,
    /// USB disk.
    Usb,
    /// SD card or eMMC.
    Mmc,
    /// Xen disk.
    Xen,
    /// Hyper-V disk.
    Hyperv,
    /// DASD of IBM Z.
    Dasd,
    /// zFCP disk of IBM Z.
    Zfcp,
    /// LUKS encryption.
    Luks,
    /// LVM.
    Lvm,
    /// Several paths to one disk (multipath).
    Multipath,
    /// Software RAID.
    Raid,
}

/// One of these drivers, or one of these programs, has to be there.
pub(super) struct Need {
    pub(super) drivers: &'static [&'static str],
    pub(super) programs: &'static [&'static str],
}

const fn driver(drivers: &'static [&'static str]) -> Need {
    let programs = &[];
    Need { drivers, programs }
}

const fn program(programs: &'static [&'static str]) -> Need {
    let drivers = &[];
    Need { drivers, programs }
}

impl RootDevice {
    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// The name on the command line.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Nvme => "nvme",
            Self::Scsi => "scsi",
            Self::Sata => "sata",
            Self::Usb => "usb",
            Self::Mmc => "mmc",
            Self::Xen => "xen",
            Self::Hyperv => "hyperv",
            Self::Dasd => "dasd",
            Self::Zfcp => "zfcp",
            Self::Luks => "luks",
            Self::Lvm => "lvm",
            Self::Multipath => "multipath",
            Self::Raid => "raid",
        }
    }

    /// Each of them has to be met.
    pub(super) fn needs(self) -> &'static [Need] {
        const SD: Need = driver(&["sd_mod"]);
        const DM: Need = driver(&["dm_mod"]);
        match self {
            Self::Virtio => {
                const {
                    &[
                        driver(&["virtio_blk", "virtio_scsi"]),
                        driver(&["virtio_pci", "virtio_mmio", "virtio_ccw"]),
                    ]
                }
            }
            Self::Nvme => const { &[driver(&["nvme", "nvme_apple"])] },
            Self::Scsi => const { &[SD, driver(&["scsi_mod"])] },
            Self::Sata => {
                const {
                    &[
                        SD,
                        driver(&["ahci", "ahci_platform", "ata_piix", "sata_mv", "sata_nv"]),
                    ]
                }
            }
            Self::Usb => {
                const {
                    &[
                        SD,
                        driver(&["usb_storage", "uas"]),
                        driver(&["xhci_hcd", "ehci_hcd"]),
                    ]
                }
            }
            Self::Mmc => const { &[driver(&["mmc_block"])] },
            Self::Xen => const { &[driver(&["xen_blkfront"])] },
            Self::Hyperv => const { &[SD, driver(&["hv_storvsc"]), driver(&["hv_vmbus"])] },
            Self::Dasd => const { &[driver(&["dasd_eckd_mod", "dasd_fba_mod"])] },
            Self::Zfcp => const { &[SD, driver(&["zfcp"])] },
            Self::Luks => {
                const {
                    &[
                        DM,
                        driver(&["dm_crypt"]),
                        program(&[
                            "usr/lib/systemd/systemd-cryptsetup",
                            "usr/bin/systemd-cryptsetup",
                            "usr/sbin/cryptsetup",
                            "usr/bin/cryptsetup",
                        ]),
                    ]
                }
            }
            Self::Lvm => const { &[DM, program(&["usr/sbin/lvm", "usr/bin/lvm"])] },
            Self::Multipath => {
                const {
                    &[
                        DM,
                        driver(&["dm_multipath"]),
                        program(&["usr/sbin/multipathd", "usr/bin/multipathd"]),
                    ]
                }
            }
            Self::Raid => {
                const {
                    &[
                        driver(&["md_mod", "dm_raid"]),
                        program(&["usr/sbin/mdadm", "usr/bin/mdadm"]),
                    ]
                }
            }
        }
    }
}

/// What the user asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What the root lies on.
    pub devices: Vec<RootDevice>,
    /// Its file systems.
    pub filesystems: Vec<String>,
    /// Other drivers.
    pub drivers: Vec<String>,
}

/// One of these has to be there in any image: something to find a root on.
pub(super) const ANY_DEVICE: Need = driver(&[
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "sd_mod",
    "mmc_block",
    "xen_blkfront",
    "dasd_eckd_mod",
    "dasd_fba_mod",
    "virtiofs",
    "9p",
    "nfs",
    "nbd",
    "rbd",
]);

/// And one of these: something that the root is.
pub(super) const ANY_FILESYSTEM: Need = driver(&[
    "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "ext3", "ext2", "virtiofs", "9p", "nfs",
]);
