// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's requirements, and tables of drivers and programs: those that a requirement implies, and those of which
//! every root needs one.

use clap::ValueEnum;

/// Device type of the root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RootDevice {
    /// virtio disk of a virtual machine, virtio_blk (for virtio_scsi use `scsi`).
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

/// An artefact that is made from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Artefact {
    /// A disk image; adds no requirement.
    Disk,
    /// A live ISO image.
    Iso,
    /// A live image that is booted from the network (PXE, HTTP).
    Pxe,
}

impl Artefact {
    /// Returns the value of the option `--for`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Iso => "iso",
            Self::Pxe => "pxe",
        }
    }

    /// Returns the modules of dracut that the artefact requires.
    pub(super) fn dracut_modules(self) -> &'static [&'static str] {
        match self {
            Self::Disk => &[],
            Self::Iso => &["dmsquash-live"],
            Self::Pxe => &["dmsquash-live", "livenet"],
        }
    }

    /// Returns the drivers that the artefact requires for the medium and for the file system image on the medium.
    pub(super) fn drivers(self) -> &'static [&'static str] {
        match self {
            Self::Disk => &[],
            Self::Iso => &["loop", "squashfs", "overlay", "isofs", "sr_mod"],
            Self::Pxe => &["loop", "squashfs", "overlay"],
        }
    }
}

/// A requirement that one of these drivers or one of these programs is available.
pub(super) struct Need {
    pub(super) drivers: &'static [&'static str],
    pub(super) programs: &'static [&'static str],
}

pub(super) const fn driver(drivers: &'static [&'static str]) -> Need {
    let programs = &[];
    Need { drivers, programs }
}

pub(super) const fn program(programs: &'static [&'static str]) -> Need {
    let drivers = &[];
    Need { drivers, programs }
}

impl RootDevice {
    /// Returns all device types.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Returns the value of the option `--root-device`.
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

    /// Returns the requirements, all of which must be met.
    pub(super) fn needs(self) -> &'static [Need] {
        const SD: Need = driver(&["sd_mod"]);
        const DM: Need = driver(&["dm_mod"]);
        match self {
            Self::Virtio => {
                const {
                    &[
                        driver(&["virtio_blk"]),
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
                        driver(&["usb_storage"]),
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

/// The space on the machines, as the user declares it. A size is `None` if it is not declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Bytes of the file system of `/boot`.
    pub boot: Option<u64>,
    /// Bytes of the EFI system partition, if it holds the kernels.
    pub esp: Option<u64>,
    /// The number of deployments whose kernels are on one of these file systems at the same time.
    pub deployments: u64,
    /// Bytes that GRUB can allocate for the initramfs.
    pub grub: Option<u64>,
}

impl Budget {
    /// Returns whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.boot.is_none() && self.esp.is_none() && self.grub.is_none()
    }

    /// Returns whether an initramfs of `size` bytes exceeds a declared space. A file system holds the initramfs and
    /// `beside` bytes of other files once for each deployment. GRUB's memory holds only one initramfs.
    pub fn is_exceeded(&self, size: u64, beside: u64) -> bool {
        let needed = |space: u64| {
            let one = size.saturating_add(beside);
            one.saturating_mul(self.deployments)
                .saturating_add(reserve(space))
                > space
        };
        self.boot.is_some_and(needed)
            || self.esp.is_some_and(needed)
            || self.grub.is_some_and(|most| size > most)
    }
}

/// Bytes that are reserved for boot loader files and entries on `/boot` or the EFI system partition.
const LOADER: u64 = 16 << 20;

/// Returns the bytes of a file system of `size` bytes that are not available for kernels.
pub(super) fn reserve(size: u64) -> u64 {
    // The metadata of the file system takes about a sixteenth.
    LOADER.saturating_add(size / 16)
}

/// The user's requirements.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The device types of the root.
    pub devices: Vec<RootDevice>,
    /// The file systems of the root.
    pub filesystems: Vec<String>,
    /// Other required drivers.
    pub drivers: Vec<String>,
    /// The artefacts that are made from the image.
    pub artefacts: Vec<Artefact>,
    /// The declared space.
    pub budget: Budget,
}

/// Drivers for disks, and for roots on a network or on the host of a virtual machine. Every initramfs needs one of them
/// to find a root.
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

/// File systems. Every initramfs needs one of them to mount a root.
pub(super) const ANY_FILESYSTEM: Need = driver(&[
    "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "ext3", "ext2", "virtiofs", "9p", "nfs",
]);
