// SPDX-License-Identifier: MIT OR Apache-2.0
//! Determines which drivers the initramfs and its kernel have: included in the initramfs, built in or on disk. An
//! included driver can be blocked by modprobe's configuration or by kernel arguments.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::blocked::Modprobe;
use super::wanted::Need;
use super::{Answer, Remedy, Subject};
use crate::checks::initramfs::modules::{builtin, list};
use crate::initramfs::{EntryType, Inventory};
use crate::kernel::modules::{ModuleList, ModuleName};

pub(super) const ADD: Remedy = Remedy::RebuildOr("name it in add_drivers in /etc/dracut.conf.d");

pub(super) const INSTALL: Remedy = Remedy::ThenRebuild(
    "install the sub-package of the kernel that has it (kernel-modules-core, kernel-modules, kernel-modules-extra)",
);

/// The drivers that the initramfs and its kernel have.
pub(super) struct Able<'a> {
    /// Modules of this kernel in the initramfs.
    pub(super) inside: BTreeSet<ModuleName>,
    pub(super) modprobe: Modprobe<'a>,
    /// Built-in drivers; an empty list if `modules.builtin` does not exist.
    pub(super) builtin: Cow<'a, ModuleList>,
    /// `modules.order`; `None` if the file does not exist.
    pub(super) order: Option<Cow<'a, ModuleList>>,
    /// Modules on disk; `None` without a tree.
    pub(super) on_disk: Option<BTreeSet<ModuleName>>,
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

    /// Returns whether the kernel was built with this driver as a module: `modules.order` lists the driver. Without
    /// that file, a driver on disk counts, and without a tree any driver. `modules.order` does not list out-of-tree
    /// modules.
    pub(super) fn exists(&self, name: &ModuleName) -> bool {
        match &self.order {
            Some(order) => order.contains(name),
            None => self.is_on_disk(name),
        }
    }

    /// Returns whether the module's file is on disk; `true` without a tree.
    pub(super) fn is_on_disk(&self, name: &ModuleName) -> bool {
        self.on_disk
            .as_ref()
            .is_none_or(|names| names.contains(name))
    }

    /// Returns whether the kernel has this driver as a module, built with the kernel or out-of-tree; `true` without a
    /// tree.
    pub(super) fn is_anywhere(&self, name: &ModuleName) -> bool {
        self.exists(name) || self.is_on_disk(name)
    }

    pub(super) fn meets(&self, inventory: &Inventory, need: &Need) -> bool {
        let mut drivers = need.drivers.iter();
        let mut programs = need.programs.iter();
        drivers.any(|driver| self.has_named(driver))
            || programs.any(|path| {
                let found = inventory.resolve(path.as_bytes());
                found.is_ok_and(|(_, node)| node.kind == EntryType::File)
            })
    }

    /// Returns whether the driver is included or built in, and not blocked.
    pub(super) fn has_named(&self, name: &str) -> bool {
        let loads = |name| self.has(&name) && self.why_blocked(&name).is_none();
        ModuleName::new(name.as_bytes()).is_some_and(loads)
    }

    /// Returns whether a driver with this alias is included or built in, and not blocked. The aliases are those in the
    /// tree's lists, so the result is `false` without a tree.
    pub(super) fn serves(&self, alias: &str) -> bool {
        let serve = self.modprobe.serving(alias.as_bytes());
        serve
            .iter()
            .any(|name| self.has(name) && self.why_blocked(name).is_none())
    }

    pub(super) fn why_blocked(&self, name: &ModuleName) -> Option<String> {
        if self.builtin.contains(name) {
            None
        } else {
            self.modprobe.why_not(name, &self.builtin)
        }
    }

    /// Returns the state and the remedy for a finding about missing drivers, of which one would suffice.
    pub(super) fn state_of_missing(&self, names: &[&str]) -> (&'static str, Remedy) {
        let names = names.iter();
        let names: Vec<_> = names
            .filter_map(|name| ModuleName::new(name.as_bytes()))
            .collect();
        if self.on_disk.is_none() || names.iter().any(|name| self.is_on_disk(name)) {
            ("neither in the initramfs nor built in", ADD)
        } else if names.iter().any(|name| self.exists(name)) {
            ("a module of this kernel, but not on disk", INSTALL)
        } else {
            let take =
                "use a kernel that has it, or install the module that was built for this kernel";
            (
                "neither in the initramfs nor built in, and not a module of this kernel",
                Remedy::from(take),
            )
        }
    }

    /// Returns the reason why the first of these drivers that is in the initramfs and blocked cannot be loaded. `None`
    /// if there is no such driver.
    pub(super) fn why_not(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| {
            let driver = ModuleName::new(name.as_bytes())?;
            let why = self.why_blocked(&driver).filter(|_| self.has(&driver))?;
            Some(format!("{name} is in the initramfs, but {why}"))
        })
    }
}
