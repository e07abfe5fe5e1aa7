// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine: the storage of its root and of `/boot`, the space on `/boot`, Secure Boot, and the kernel arguments of
//! the deployment that is verified.
//!
//! `site::machine` reads these facts from `/sys`, `/proc` and `/boot`.

use std::collections::BTreeSet;

use crate::signing::VmlinuzSigner;

/// The facts about a machine and the deployment that it may boot next.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The storage of the root file system, or the reason why it is not known.
    pub root: Result<Storage, String>,
    /// The storage of `/boot`, if it is another file system.
    pub boot: Option<Storage>,
    /// The space on `/boot`; `None` if the deployment is finalised already.
    pub space: Option<Boot>,
    /// Secure Boot.
    pub secure_boot: SecureBoot,
    /// The kernel arguments; `None` if they are not known.
    pub kargs: Option<Vec<String>>,
}

/// A mounted file system and the devices that it is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// The mount point.
    pub mount: String,
    /// The type of the file system, as in `/proc/mounts`.
    pub filesystem: String,
    /// The block device; empty if there is none.
    pub block: String,
    /// All devices between the file system and the processor that have a driver.
    pub devices: Vec<Device>,
    /// Layers between the file system and the disks.
    pub layers: BTreeSet<Layer>,
}

/// A device with a driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its directory in `/sys`.
    pub path: String,
    /// The name of its driver.
    pub driver: String,
    /// The driver's module; `None` if it is built into the running kernel.
    pub module: Option<String>,
    /// The alias by which a driver is found.
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
    /// Software RAID, with the name of its level.
    Raid(String),
    /// Another target of the device mapper.
    DeviceMapper,
    /// A transport of the network or of a host adapter, by the name of its module.
    Transport(String),
}

/// The file system of `/boot`, and the effect of the finalisation on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// Free bytes.
    pub free: u64,
    /// The size of a block.
    pub block: u64,
    /// Whether `/boot` is a separate file system. ostree frees space before it writes only in this case.
    pub is_separate: bool,
    /// Whether this version of ostree frees space before it writes.
    pub prunes_early: bool,
    /// Whether `/boot` already has the directory of the deployment's kernel and initramfs.
    pub has_kernel: bool,
    /// Bytes of additional initramfs files that `/boot` does not have yet.
    pub overlays: u64,
    /// Bytes of directories on `/boot` that no deployment uses; ostree removes them first.
    pub unused: u64,
    /// Bytes of directories on `/boot` that are used only by deployments that the finalisation drops.
    pub dropped: u64,
}

/// The state of Secure Boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecureBoot {
    /// Whether the firmware enforces it; `None` if that is not known.
    pub is_on: Option<bool>,
    /// The signer of the deployment's kernel. Trusted certificates are those in the firmware's `db`, those in shim's
    /// list (the owner's and the vendor's), and the signers of the booted kernel. `None` if no list or no kernel can be
    /// read.
    pub signer: Option<VmlinuzSigner>,
    /// Whether the lists have digests of images, too.
    pub has_digests: bool,
}

impl Boot {
    /// Rounds a file's size up to whole blocks.
    pub fn blocks(&self, size: u64) -> u64 {
        size.checked_next_multiple_of(self.block.max(1))
            .unwrap_or(u64::MAX)
    }
}
