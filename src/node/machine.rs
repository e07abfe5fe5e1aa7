// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine: the storage of its root and of `/boot`, the space on `/boot`, Secure Boot, and the kernel arguments of
//! the deployment that is verified.
//!
//! `site::machine` reads these facts from `/sys`, `/proc` and `/boot`.

use std::collections::BTreeSet;

use crate::signing::VmlinuzSigner;

/// The facts about a machine and about the deployment that is verified for it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The storage of the root file system, or the reason why it is not known.
    pub root: Result<Storage, String>,
    /// The storage of `/boot`; `None` if `/boot` is on the root file system, or if its storage is not known.
    pub boot: Option<Storage>,
    /// The space on `/boot`; `None` if the deployment is not staged, or if there is no `/boot`.
    pub space: Option<Boot>,
    /// The state of Secure Boot.
    pub secure_boot: SecureBoot,
    /// The kernel arguments of the deployment; `None` if they are not known.
    pub kargs: Option<Vec<String>>,
}

/// A mounted file system and the devices that it is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// The mount point.
    pub mount: String,
    /// The type of the file system, as in `/proc/mounts`.
    pub filesystem: String,
    /// The kernel's name of the block device, such as `dm-0`; empty if there is no block device.
    pub block: String,
    /// The devices with a driver (disks, adapters, buses) on the paths from the file system's disks to the root of the
    /// device tree, sorted.
    pub devices: Vec<Device>,
    /// Layers between the file system and the disks.
    pub layers: BTreeSet<Layer>,
}

/// A device with a driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// The directory of the device in `/sys`.
    pub path: String,
    /// The name of the driver.
    pub driver: String,
    /// The driver's module; `None` if the driver is built into the running kernel.
    pub module: Option<String>,
    /// The alias with which udev requests the module of a driver for the device; `None` if the device has no alias.
    pub modalias: Option<String>,
}

/// A layer between a file system and its disks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// LUKS encryption.
    Luks,
    /// LVM.
    Lvm,
    /// Several paths to one disk.
    Multipath,
    /// Software RAID of the kernel (md), with the name of its level.
    Raid(String),
    /// Another target of the device mapper.
    DeviceMapper,
    /// A transport that is not a device on a bus, such as iSCSI or NVMe over TCP, by the name of its kernel module.
    Transport(String),
}

/// The file system of `/boot`, and the effect on it when ostree finalises the staged deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// Free bytes.
    pub free: u64,
    /// The size of a block (bytes).
    pub block: u64,
    /// Whether `/boot` is a separate file system. If not, ostree does not free space before it writes.
    pub is_separate: bool,
    /// Whether the running system's version of ostree frees space on a separate `/boot` before it writes.
    pub prunes_early: bool,
    /// Whether `/boot` already has the directory of the deployment's kernel and initramfs.
    pub has_kernel: bool,
    /// Bytes of additional initramfs files that `/boot` does not have yet.
    pub overlays: u64,
    /// Bytes of directories on `/boot` that no deployment uses. ostree removes these directories before it writes.
    pub unused: u64,
    /// Bytes of directories on `/boot` that are used only by deployments that the finalisation drops.
    pub dropped: u64,
}

/// The state of Secure Boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecureBoot {
    /// Whether the firmware enforces Secure Boot; `None` if this is not known.
    pub is_on: Option<bool>,
    /// The signer of the deployment's kernel. The trusted certificates are those in the firmware's `db`, those in
    /// shim's list (the owner's and the vendor's), and those of the booted kernel's signers. `None` if Secure Boot is
    /// not on, if both lists are unreadable, or if the kernel is unreadable.
    pub signer: Option<VmlinuzSigner>,
    /// Whether the lists have entries other than certificates, such as digests of images.
    pub has_digests: bool,
}

impl Boot {
    /// Returns the size of a file (bytes), rounded up to whole blocks.
    pub fn blocks(&self, size: u64) -> u64 {
        size.checked_next_multiple_of(self.block.max(1))
            .unwrap_or(u64::MAX)
    }
}
