// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds, in `/sys`, the devices that a mounted file system needs: disks, controllers, and layers such as LUKS.

use std::path::{Component, Path, PathBuf};

use crate::node::machine::{Device, Layer, Storage};
use crate::node::mounts::Mount;
use crate::sys::root::{self, FileType, Root};

/// Upper bound of the block devices that are read for one file system; further ones are ignored.
const BLOCKS_MAX: usize = 256;

/// Upper bound of a file in `/sys` (bytes).
const ATTRIBUTE_MAX: u64 = 64 << 10;

/// Reads the storage of a mount. The inner `Err` is the reason why its block device is not known.
pub(super) fn storage(root: &Root, mount: &Mount) -> Result<Result<Storage, String>, root::Error> {
    let mut storage = Storage {
        mount: mount.point.clone(),
        filesystem: mount.filesystem.clone(),
        ..Storage::default()
    };
    let Some(block) = block_device(root, mount)? else {
        // A network file system, or one that a hypervisor shares with the machine, has no block device.
        return Ok(if mount.source.starts_with("/dev/") {
            Err(format!("/sys has no block device for {}", mount.source))
        } else {
            Ok(storage)
        });
    };
    storage.block = name_of(&block);
    let mut walk = Walk {
        root,
        storage,
        seen: Vec::new(),
    };
    walk.block(&block)?;
    let mut storage = walk.storage;
    storage.devices.sort();
    storage.devices.dedup();
    Ok(Ok(storage))
}

/// Returns the directory of a mount's block device in `/sys`; `None` if it has none, or if it is not found.
fn block_device(root: &Root, mount: &Mount) -> Result<Option<PathBuf>, root::Error> {
    let mut numbers = Vec::new();
    if !mount.device.starts_with("0:") {
        numbers.push(mount.device.clone());
    }
    // The device number of a btrfs mount is not that of its block device, so the number of the device node is tried,
    // too.
    if mount.source.starts_with("/dev/")
        && let Some(meta) = root.stat(&mount.source)?
        && meta.kind == FileType::BlockDevice
    {
        let (major, minor) = (
            nix::sys::stat::major(meta.rdev),
            nix::sys::stat::minor(meta.rdev),
        );
        numbers.push(format!("{major}:{minor}"));
    }
    for number in numbers {
        if let Some(dir) = follow(root, &Path::new("sys/dev/block").join(number))? {
            return Ok(Some(dir));
        }
    }
    // If `/sys` has none of the numbers, the name of the device node may be the kernel's name of the device.
    let name = mount.source.strip_prefix("/dev/");
    match name.filter(|name| !name.contains('/')) {
        Some(name) => follow(root, &Path::new("sys/class/block").join(name)),
        None => Ok(None),
    }
}

/// Returns the target of a link in `/sys`, relative to the root. `None` if `link` does not exist, is not a relative
/// link, or leads out of `/sys`.
fn follow(root: &Root, link: &Path) -> Result<Option<PathBuf>, root::Error> {
    let Some(target) = root.read_link(link)? else {
        return Ok(None);
    };
    let mut path = link.parent().map(Path::to_owned).unwrap_or_default();
    for part in target.components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Ok(None),
        }
    }
    Ok(path.starts_with("sys").then_some(path))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

struct Walk<'r> {
    root: &'r Root,
    storage: Storage,
    seen: Vec<PathBuf>,
}

impl Walk<'_> {
    /// Adds the layers and the hardware of a block device and of all block devices below it.
    fn block(&mut self, dir: &Path) -> Result<(), root::Error> {
        if self.seen.len() == BLOCKS_MAX || self.seen.iter().any(|it| it == dir) {
            return Ok(());
        }
        self.seen.push(dir.to_owned());
        self.layers(dir)?;
        for (name, _) in self.root.list(dir.join("slaves"))? {
            if let Some(slave) = follow(self.root, &dir.join("slaves").join(name))? {
                self.block(&slave)?;
            }
        }
        // The disk that a partition is on can be a stacked device, too.
        if self.root.is_file(dir.join("partition"))?
            && let Some(disk) = dir.parent()
        {
            return self.block(disk);
        }
        self.parents(dir)
    }

    /// Adds the layer that a block device implements, if the device is one of the device mapper or of md (RAID).
    fn layers(&mut self, dir: &Path) -> Result<(), root::Error> {
        let layer = if let Some(uuid) = self.attribute(&dir.join("dm/uuid"))? {
            Some(match uuid.split('-').next().unwrap_or_default() {
                "CRYPT" if uuid.starts_with("CRYPT-LUKS") => Layer::Luks,
                "LVM" => Layer::Lvm,
                "mpath" => Layer::Multipath,
                _ => Layer::DeviceMapper,
            })
        } else {
            self.attribute(&dir.join("md/level"))?.map(Layer::Raid)
        };
        self.storage.layers.extend(layer);
        Ok(())
    }

    /// Adds the device and those above it in `sys/devices`, as far as they have a driver, and the modules of
    /// transports.
    fn parents(&mut self, dir: &Path) -> Result<(), root::Error> {
        let before = self.storage.devices.len();
        let devices = Path::new("sys/devices");
        let parents = dir
            .ancestors()
            .take_while(|it| it.starts_with(devices) && *it != devices);
        let mut host = None;
        for dir in parents {
            let name = name_of(dir);
            if let Some(device) = self.device(dir)? {
                self.storage.devices.push(device);
            }
            if name.starts_with("nvme-subsys") {
                self.controllers(dir)?;
            }
            if is_numbered(&name, "nvme") {
                self.transport(dir)?;
            }
            if is_numbered(&name, "host") {
                let path = dir.join("scsi_host").join(&name).join("proc_name");
                // The devices that were added until now belong to the disk, later ones to the adapter.
                host = self
                    .attribute(&path)?
                    .map(|it| (it, self.storage.devices.len()));
            }
        }
        // If no device was added for the host adapter, it is not on a bus (iSCSI, for example). Its module is then
        // known only from `proc_name`.
        if let Some((driver, known)) = host
            && self.storage.devices.len() == known.max(before)
        {
            let module = driver.replace('-', "_");
            let state = Path::new("sys/module").join(&module).join("initstate");
            if !module.contains('/') && self.root.is_file(state)? {
                self.storage.layers.insert(Layer::Transport(module));
            }
        }
        Ok(())
    }

    /// Adds the controllers of an NVMe subsystem. A subsystem's disks are virtual devices, which are not below a
    /// controller in `/sys`.
    fn controllers(&mut self, dir: &Path) -> Result<(), root::Error> {
        for (name, _) in self.root.list(dir)? {
            let is_controller = is_numbered(&name.to_string_lossy(), "nvme");
            if is_controller && let Some(controller) = follow(self.root, &dir.join(name))? {
                self.block(&controller)?;
            }
        }
        Ok(())
    }

    /// Adds the module of an NVMe controller's network transport; nothing for other transports, such as PCI.
    fn transport(&mut self, dir: &Path) -> Result<(), root::Error> {
        let transport = self.attribute(&dir.join("transport"))?;
        let module = match transport.as_deref() {
            Some("tcp") => "nvme_tcp",
            Some("rdma") => "nvme_rdma",
            Some("fc") => "nvme_fc",
            _ => return Ok(()),
        };
        let layer = Layer::Transport(module.to_owned());
        self.storage.layers.insert(layer);
        Ok(())
    }

    /// Returns the device in this directory, if it has a driver.
    fn device(&self, dir: &Path) -> Result<Option<Device>, root::Error> {
        let Some(driver) = follow(self.root, &dir.join("driver"))? else {
            return Ok(None);
        };
        let module = follow(self.root, &driver.join("module"))?;
        Ok(Some(Device {
            path: format!("/{}", dir.display()),
            driver: name_of(&driver),
            module: module.map(|it| name_of(&it)),
            modalias: self.attribute(&dir.join("modalias"))?,
        }))
    }

    /// Reads a file of one line. `None` if it does not exist or is empty.
    fn attribute(&self, path: &Path) -> Result<Option<String>, root::Error> {
        let bytes = self.root.read(path, ATTRIBUTE_MAX)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// Returns whether a name is `prefix` followed by a number.
fn is_numbered(name: &str, prefix: &str) -> bool {
    let number = name.strip_prefix(prefix);
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}
