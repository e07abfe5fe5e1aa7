// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that this machine can mount its root and `/boot`. The drivers of the root's file system, and of all devices
//! and layers below it, must be in the initramfs or built in. `/boot` is mounted later, when modules on disk can be
//! loaded, too.

use std::collections::BTreeSet;

use super::super::able::Able;
use super::super::wanted::{Need, RootDevice};
use super::super::{Answer, Finding, Remedy, Subject, listed, show};
use crate::initramfs::Inventory;
use crate::kernel::modules::ModuleName;
use crate::node::{Device, Layer, Storage};

const UNBLOCK: Remedy = Remedy::ThenRebuild("remove the line from that file (on disk)");

/// Prefixes of the modaliases of disks and their controllers. A device of another kind, such as a bridge, may need no
/// driver.
const DISKS: [&str; 6] = ["virtio:", "scsi:", "vmbus:", "xen:", "mmc:", "css:"];

/// The class of a PCI mass-storage controller, as in its modalias.
const PCI_STORAGE: &str = "bc01";

pub fn root_drivers(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let machine = subject.machine()?;
    let inventory = subject.inventory()?;
    let root = &machine.root;
    let root = root
        .as_ref()
        .map_err(|why| Answer::CouldNotRun(why.clone()))?;
    let able = Able::of(subject, inventory)?;
    let mut findings = Reach {
        able: &able,
        storage: root,
        is_root: true,
    }
    .findings(inventory);
    if let Some(boot) = &machine.boot {
        let reach = Reach {
            able: &able,
            storage: boot,
            is_root: false,
        };
        findings.extend(reach.findings(inventory));
    }
    let mut paths = BTreeSet::new();
    findings.retain(|it| paths.insert(it.path.clone()));
    Ok(listed(findings))
}

/// A file system of the machine, with the drivers and programs that are available when it is mounted.
struct Reach<'s> {
    able: &'s Able<'s>,
    storage: &'s Storage,
    /// Whether the file system is the root, for which modules on disk do not count.
    is_root: bool,
}

impl Reach<'_> {
    fn findings(&self, inventory: &Inventory) -> Vec<Finding> {
        // Without a list of built-in drivers, a driver that is missing cannot be told from a built-in one.
        if self.able.builtin.paths().is_empty() {
            return Vec::new();
        }
        let mut findings: Vec<_> = self.filesystem().into_iter().collect();
        findings.extend(self.storage.devices.iter().filter_map(|it| self.device(it)));
        findings.extend(self.storage.layers.iter().flat_map(|layer| {
            let (needs, named) = needs(layer);
            let unmet = needs.iter().filter(|need| !self.meets(inventory, need));
            let unmet = unmet.map(|need| [need.drivers, need.programs].concat());
            let unmet = unmet.chain(
                named
                    .filter(|name| !self.has_alias_or_module(name))
                    .map(|it| vec![it]),
            );
            let unmet: Vec<_> = unmet.collect();
            unmet
                .into_iter()
                .map(|names| self.missing(&names, &title(layer)))
        }));
        findings
    }

    fn meets(&self, inventory: &Inventory, need: &Need) -> bool {
        self.able.meets(inventory, need) || (!self.is_root && self.is_on_disk(need.drivers))
    }

    /// Returns whether a driver is available when the file system is mounted.
    fn has(&self, name: &str) -> bool {
        self.able.has_named(name) || (!self.is_root && self.is_on_disk(&[name]))
    }

    /// Returns whether one of these modules is on disk; `true` if `names` is empty: such a need is only for programs,
    /// and programs on disk are not examined.
    fn is_on_disk(&self, names: &[&str]) -> bool {
        let mut modules = names
            .iter()
            .filter_map(|name| ModuleName::new(name.as_bytes()));
        names.is_empty() || modules.any(|name| self.able.is_on_disk(&name))
    }

    fn has_alias_or_module(&self, name: &str) -> bool {
        self.has(name) || self.has_alias(name)
    }

    fn has_alias(&self, alias: &str) -> bool {
        let serving = || self.able.modprobe.serving(alias.as_bytes());
        self.able.serves(alias)
            || (!self.is_root && serving().iter().any(|it| self.able.is_on_disk(it)))
    }

    fn filesystem(&self) -> Option<Finding> {
        const OF_NETWORKS: [&str; 6] = ["nfs", "nfs4", "virtiofs", "9p", "ceph", "cifs"];
        let name = self.storage.filesystem.as_str();
        let needs_driver = !self.storage.block.is_empty() || OF_NETWORKS.contains(&name);
        let has = !needs_driver || self.has(name) || self.has_alias(&format!("fs-{name}"));
        (!has).then(|| self.missing(&[name], "the file system"))
    }

    fn device(&self, device: &Device) -> Option<Finding> {
        let alias = device.modalias.as_deref();
        if alias.is_some_and(|alias| self.has_alias(alias)) {
            return None;
        }
        let what = format!("the device {}", device.path);
        if let Some(module) = &device.module {
            return (!self.has(module)).then(|| self.missing(&[module], &what));
        }
        // The running kernel has the driver built in. The deployment's kernel can have it as a module, or lack it.
        let serving = self.able.modprobe.serving(alias?.as_bytes());
        let driver = device.driver.replace('-', "_");
        let mut own = serving
            .iter()
            .map(|it| show(it.as_bytes()))
            .filter(|name| name.starts_with(&driver));
        if let Some(module) = own.next() {
            return Some(self.missing(&[&module], &what));
        }
        let knows_builtin = self.able.modprobe.knows_builtin_aliases();
        (serving.is_empty() && knows_builtin && is_disk(alias?))
            .then(|| self.missing(&[&device.driver], &what))
    }

    fn missing(&self, names: &[&str], what: &str) -> Finding {
        let storage = self.storage;
        let block = match storage.block.as_str() {
            "" => String::new(),
            block => format!(" ({block})"),
        };
        let mount = match storage.mount.as_str() {
            "/sysroot" => "the root",
            mount => mount,
        };
        let place = if self.is_root {
            "in the initramfs or built in"
        } else {
            "in the initramfs, on disk or built in"
        };
        let path = format!("{} in the initramfs", names.join(" or "));
        let expected = format!("{place}: {what} of {mount}{block} on this machine needs it");
        if let Some(why) = self.able.why_not(names) {
            return Finding::new(path, why, expected, UNBLOCK);
        }
        let (found, remedy) = self.able.state_of_missing(names);
        let is_program = names.iter().any(|name| name.contains('/'));
        let remedy = if is_program { ADD_MODULE } else { remedy };
        Finding::new(path, found, expected, remedy)
    }
}

const ADD_MODULE: Remedy = Remedy::ThenRebuild(
    "add dracut's module for it (crypt, lvm, multipath, mdraid, iscsi) with add_dracutmodules in /etc/dracut.conf.d",
);

/// Returns the requirements of a layer: needs, or the name or an alias of a kernel module.
fn needs(layer: &Layer) -> (&'static [Need], impl Iterator<Item = &str>) {
    let (needs, named): (&[Need], Option<&str>) = match layer {
        Layer::Luks => (RootDevice::Luks.needs(), None),
        Layer::Lvm => (RootDevice::Lvm.needs(), None),
        Layer::Multipath => (RootDevice::Multipath.needs(), None),
        Layer::Raid(_) => (RootDevice::Raid.needs(), None),
        Layer::DeviceMapper => (&[], Some("dm_mod")),
        Layer::Transport(module) => (&[], Some(module)),
    };
    (needs, named.into_iter())
}

fn title(layer: &Layer) -> String {
    match layer {
        Layer::Luks => "the LUKS encryption".to_owned(),
        Layer::Lvm => "the logical volume".to_owned(),
        Layer::Multipath => "the multipath device".to_owned(),
        Layer::Raid(level) => format!("the RAID ({level})"),
        Layer::DeviceMapper => "the device-mapper device".to_owned(),
        Layer::Transport(_) => "the host adapter".to_owned(),
    }
}

fn is_disk(alias: &str) -> bool {
    let is_storage = alias.starts_with("pci:") && alias.contains(PCI_STORAGE);
    is_storage || DISKS.iter().any(|prefix| alias.starts_with(prefix))
}
