// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the drivers that bring the root up are inside or built in: those that the user names,
//! those that every root needs, and all that the base could do.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::blocked::Modprobe;
use super::image::uses_bootc;
use super::lost::Lost;
use super::modules::{builtin, list};
use super::prepare_root::{Composefs, PrepareRoot};
use super::squash::without_driver;
use super::wanted::{ANY_DEVICE, ANY_FILESYSTEM, Need, RootDevice};
use super::{Answer, Finding, Remedy, Subject, listed};
use crate::initramfs::{Inventory, Kind};
use crate::kernel::modules::{ModuleList, ModuleName};

/// The check that options for the root and for drivers are about.
pub const DRIVER_CHECK: &str = "initramfs-root-drivers";

pub(super) const ADD: Remedy = Remedy::RebuildOr("name it in add_drivers in /etc/dracut.conf.d");

const UNBLOCK: Remedy = Remedy::ThenRebuild("remove the line from that file (on disk)");

pub(super) const INSTALL: Remedy = Remedy::ThenRebuild(
    "install the sub-package of the kernel that has it (kernel-modules-core, kernel-modules, kernel-modules-extra)",
);

/// What the initramfs and its kernel can do.
pub(super) struct Able<'a> {
    inside: BTreeSet<ModuleName>,
    modprobe: Modprobe<'a>,
    builtin: Cow<'a, ModuleList>,
    order: Option<Cow<'a, ModuleList>>,
    on_disk: Option<BTreeSet<ModuleName>>,
}

impl<'a> Able<'a> {
    pub(super) fn of(subject: &'a Subject, inventory: &Inventory) -> Result<Self, Answer> {
        let dir = format!("lib/modules/{}/", subject.kver);
        let modules = inventory.kernel_modules();
        let of_kver = |path: &&[u8]| {
            let below = path.strip_prefix(b"usr/").unwrap_or(path);
            below.starts_with(dir.as_bytes())
        };
        let parse = ModuleList::parse_order;
        let on_disk = subject.tree.map(|tree| {
            let names = tree.modules.iter();
            names.filter_map(|path| ModuleName::of_path(path)).collect()
        });
        Ok(Self {
            inside: modules
                .into_iter()
                .filter(of_kver)
                .filter_map(ModuleName::of_path)
                .collect(),
            modprobe: Modprobe::of(subject, inventory)?,
            builtin: builtin(subject, inventory)?,
            order: list(
                subject,
                inventory,
                "modules.order",
                |lists| &lists.order,
                parse,
            )?,
            on_disk,
        })
    }

    pub(super) fn has(&self, name: &ModuleName) -> bool {
        self.inside.contains(name) || self.builtin.contains(name)
    }

    /// Whether the kernel was built with it as a module. Modules from elsewhere are in no list.
    pub(super) fn exists(&self, name: &ModuleName) -> bool {
        match &self.order {
            Some(order) => order.contains(name),
            None => self.is_on_disk(name),
        }
    }

    /// Whether its file is on disk; true where there is no tree.
    pub(super) fn is_on_disk(&self, name: &ModuleName) -> bool {
        self.on_disk
            .as_ref()
            .is_none_or(|names| names.contains(name))
    }

    /// Whether this kernel has it as a module, wherever it comes from.
    pub(super) fn is_anywhere(&self, name: &ModuleName) -> bool {
        self.exists(name) || self.is_on_disk(name)
    }

    fn meets(&self, inventory: &Inventory, need: &Need) -> bool {
        let mut drivers = need.drivers.iter();
        let mut programs = need.programs.iter();
        drivers.any(|driver| self.has_named(driver))
            || programs.any(|path| {
                let found = inventory.resolve(path.as_bytes());
                found.is_ok_and(|(_, node)| node.kind == Kind::File)
            })
    }

    /// Whether it is there, and nothing blocks it.
    pub(super) fn has_named(&self, name: &str) -> bool {
        let loads = |name| self.has(&name) && self.why_blocked(&name).is_none();
        ModuleName::new(name.as_bytes()).is_some_and(loads)
    }

    /// Whether a driver that is there serves an alias, and nothing blocks it.
    pub(super) fn serves(&self, alias: &str) -> bool {
        let serve = self.modprobe.serving(alias.as_bytes());
        serve
            .iter()
            .any(|name| self.has(name) && self.why_blocked(name).is_none())
    }

    fn why_blocked(&self, name: &ModuleName) -> Option<String> {
        match self.builtin.contains(name) {
            true => None,
            false => self.modprobe.why_not(name, &self.builtin),
        }
    }

    /// Where drivers are that are not inside, and how they come there.
    fn where_are(&self, names: &[&str]) -> (&'static str, Remedy) {
        let names = names.iter();
        let names: Vec<_> = names
            .filter_map(|name| ModuleName::new(name.as_bytes()))
            .collect();
        if self.on_disk.is_none() || names.iter().any(|name| self.is_on_disk(name)) {
            ("neither inside nor built in", ADD)
        } else if names.iter().any(|name| self.exists(name)) {
            ("a module of this kernel that is not on disk", INSTALL)
        } else {
            let take =
                "take a kernel that has it, or install the module that was built for this one";
            (
                "neither inside nor built in, and no module of this kernel",
                Remedy::from(take),
            )
        }
    }

    /// Of the first of the drivers that are there, what blocks it.
    pub(super) fn why_not(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| {
            let driver = ModuleName::new(name.as_bytes())?;
            let why = self.why_blocked(&driver).filter(|_| self.has(&driver))?;
            Some(format!("{name} is inside, and {why}"))
        })
    }
}

pub fn root_drivers(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let unpacked = subject.unpacked()?;
    let able = Able::of(subject, unpacked)?;
    if let Some(root) = unpacked.root_image() {
        let findings = without_driver(&root, &able);
        if !findings.is_empty() {
            return Ok(findings);
        }
    }
    let inventory = subject.inventory()?;
    let mut findings = wanted(subject, inventory, &able);
    findings.extend(every_root(inventory, &able));
    findings.extend(composefs(subject, inventory, &able));
    if let Some(base) = subject.base {
        let lost = Lost::of(subject, base, &able);
        findings.extend(listed(lost.of_roots()));
        findings.extend(listed(lost.of_kernel()));
    }
    Ok(findings)
}

fn no_driver(able: &Able, names: &[&str], expected: &str) -> Finding {
    let path = format!("{} in the initramfs", names.join(" or "));
    match able.why_not(names) {
        Some(why) => Finding::new(path, why, expected, UNBLOCK),
        None => {
            let (found, remedy) = able.where_are(names);
            Finding::new(path, found, expected, remedy)
        }
    }
}

/// What the user asks for.
fn wanted(subject: &Subject, inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let mut findings = Vec::new();
    for device in &subject.wanted.devices {
        for need in device
            .needs()
            .iter()
            .filter(|need| !able.meets(inventory, need))
        {
            let names = [need.drivers, need.programs].concat();
            let expected = format!("inside, for --root-device {}", device.as_str());
            findings.push(no_driver(able, &names, &expected));
        }
        findings.extend(blocked(able, *device, &findings));
    }
    let filesystems = subject
        .wanted
        .filesystems
        .iter()
        .map(|it| (it, "--root-fs"));
    let drivers = subject.wanted.drivers.iter();
    for (name, option) in filesystems.chain(drivers.map(|it| (it, "--require-driver"))) {
        // ext3 is served by ext4, which the kernel asks for as fs-ext3.
        let is_served = option == "--root-fs" && able.serves(&format!("fs-{name}"));
        if !able.has_named(name) && !is_served {
            let expected = format!("inside, for {option} {name}");
            findings.push(no_driver(able, &[name], &expected));
        }
    }
    findings
}

/// Drivers of a root's device that are inside and blocked. Another driver of the list may serve other
/// machines; of USB's two either serves most disks, and uas is blacklisted for many.
fn blocked(able: &Able, device: RootDevice, before: &[Finding]) -> Vec<Finding> {
    let needs = device.needs().iter().filter(|_| device != RootDevice::Usb);
    let drivers = needs.flat_map(|need| need.drivers);
    let is_known = |name: &str| before.iter().any(|it| it.path.contains(name));
    let drivers = drivers.filter(|name| !is_known(name));
    let finding = |name: &&'static str| {
        let why = able.why_not(&[*name])?;
        let expected = format!("loadable, for --root-device {}", device.as_str());
        let path = format!("{name} in the initramfs");
        Some(Finding::new(path, why, expected, UNBLOCK))
    };
    drivers.filter_map(finding).collect()
}

/// Without any of these no root comes up anywhere. A kernel that does not say what is built in
/// is believed.
fn every_root(inventory: &Inventory, able: &Able) -> Vec<Finding> {
    if able.builtin.paths().is_empty() {
        return Vec::new();
    }
    let needs = [
        (ANY_DEVICE, "any driver that a root disk could hang on"),
        (ANY_FILESYSTEM, "any file system that a root could be"),
    ];
    let unmet = needs
        .into_iter()
        .filter(|(need, _)| !able.meets(inventory, need));
    let findings = unmet.map(|(need, what)| {
        let path = "usr/lib/modules in the initramfs";
        let expected = format!("one of {}", need.drivers.join(", "));
        match able.why_not(need.drivers) {
            Some(why) => Finding::new(path, why, expected, UNBLOCK),
            None => Finding::new(path, format!("not {what}"), expected, ADD),
        }
    });
    findings.collect()
}

/// With composefs the deployment is an erofs image with an overlay. bootc's own root set-up knows
/// nothing else, and needs no configuration for it.
fn composefs(subject: &Subject, inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let inside = |path: &str| inventory.data(path.as_bytes());
    let why = if PrepareRoot::read(inside).composefs == Composefs::On {
        "since prepare-root.conf inside enables composefs"
    } else if uses_bootc(subject, inventory) {
        "since bootc sets the root up, with composefs"
    } else {
        return Vec::new();
    };
    let missing = ["erofs", "overlay"]
        .into_iter()
        .filter(|name| !able.has_named(name));
    let expected = format!("inside, {why}");
    missing
        .map(|name| no_driver(able, &[name], &expected))
        .collect()
}
