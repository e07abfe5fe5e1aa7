// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the drivers for the root are included or built in, and not blocked: the drivers that the user's options
//! require, those of which every root requires one, those for composefs, and the base's drivers for a root.

use super::image::root_setup;
use crate::boot::RootSetup;
use crate::checks::able::{ADD, Able};
use crate::checks::lost::Lost;
use crate::checks::prepare_root::{Composefs, PrepareRoot};
use crate::checks::squash::without_driver;
use crate::checks::wanted::{ANY_DEVICE, ANY_FILESYSTEM, RootDevice};
use crate::checks::{Answer, Finding, Remedy, Severity, Subject, listed};
use crate::initramfs::Inventory;

/// The name of the check that uses the options `--root-device`, `--root-fs`, `--require-driver` and `--for`.
pub const DRIVER_CHECK: &str = "initramfs-root-drivers";

const UNBLOCK: Remedy = Remedy::ThenRebuild("remove the line from that file (on disk)");

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
    findings.extend(artefacts(subject, inventory, &able));
    findings.extend(every_root(inventory, &able));
    findings.extend(composefs(subject, inventory, &able));
    let blocked = common_blocked(&able, &findings);
    findings.extend(blocked);
    if let Some(base) = subject.base {
        let lost = Lost::of(subject, base, &able);
        findings.extend(listed(subject.losses(lost.of_roots())));
        findings.extend(listed(lost.of_kernel()));
    }
    Ok(findings)
}

fn no_driver(able: &Able, names: &[&str], expected: &str) -> Finding {
    let path = format!("{} in the initramfs", names.join(" or "));
    match able.why_not(names) {
        Some(why) => Finding::new(path, why, expected, UNBLOCK),
        None => {
            let (found, remedy) = able.state_of_missing(names);
            Finding::new(path, found, expected, remedy)
        }
    }
}

/// Returns findings about drivers that the user requires (`--root-device`, `--root-fs`, `--require-driver`) and that
/// are missing or blocked.
fn wanted(subject: &Subject, inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let mut findings = Vec::new();
    for device in &subject.wanted.devices {
        for need in device
            .needs()
            .iter()
            .filter(|need| !able.meets(inventory, need))
        {
            let names = [need.drivers, need.programs].concat();
            let expected = format!("in the initramfs, for --root-device {}", device.as_str());
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
        // ext4 serves ext3, which the kernel requests as fs-ext3.
        let is_served = option == "--root-fs" && able.serves(&format!("fs-{name}"));
        if !able.has_named(name) && !is_served {
            let expected = format!("in the initramfs, for {option} {name}");
            findings.push(no_driver(able, &[name], &expected));
        }
    }
    findings
}

/// Returns findings about dracut modules and drivers that the user's artefacts require.
fn artefacts(subject: &Subject, inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    // dracut's modules are checked only if the initramfs has a list of them.
    let included = inventory.dracut_modules();
    for artefact in &subject.wanted.artefacts {
        let expected = format!("in the initramfs, for --for {}", artefact.as_str());
        let is_known = |path: &str| findings.iter().any(|it| it.path == path);
        let mut new = Vec::new();
        if let Some(included) = &included {
            let modules = artefact.dracut_modules().iter();
            for module in modules.filter(|module| !included.iter().any(|it| it == *module)) {
                let remedy = Remedy::ThenRebuild(
                    "install the package that has it (dracut-live), and add it with add_dracutmodules in /etc/dracut.conf.d",
                );
                let path = format!("dracut's module {module}");
                new.push(Finding::new(
                    path,
                    "not in the initramfs",
                    &*expected,
                    remedy,
                ));
            }
        }
        let drivers = artefact.drivers().iter();
        let missing = drivers.filter(|name| !able.has_named(name));
        new.extend(missing.map(|name| no_driver(able, &[name], &expected)));
        new.retain(|it| !is_known(&it.path));
        findings.append(&mut new);
    }
    findings
}

/// Returns findings about blocked drivers of the device type that the user declares for the root, even if another
/// driver meets the same need: some machines need the blocked one. USB is excluded.
fn blocked(able: &Able, device: RootDevice, before: &[Finding]) -> Vec<Finding> {
    let needs = device.needs().iter().filter(|_| device != RootDevice::Usb);
    let drivers = needs.flat_map(|need| need.drivers);
    let expected = format!("loadable, for --root-device {}", device.as_str());
    blocked_of(able, drivers, &expected, before)
}

/// Returns findings about included drivers that are blocked, except those that a finding in `before` already names.
fn blocked_of<'d>(
    able: &Able,
    drivers: impl Iterator<Item = &'d &'d str>,
    expected: &str,
    before: &[Finding],
) -> Vec<Finding> {
    let is_known = |name: &str| before.iter().any(|it| it.path.contains(name));
    let finding = |name: &&str| {
        let why = able.why_not(&[*name])?;
        let path = format!("{name} in the initramfs");
        Some(Finding::new(path, why, expected, UNBLOCK))
    };
    let drivers = drivers.filter(|name| !is_known(name));
    drivers.filter_map(finding).collect()
}

/// Returns a finding if no driver in [`ANY_DEVICE`] is available and not blocked, and another if none in
/// [`ANY_FILESYSTEM`] is. Without a list of built-in drivers there is no finding.
fn every_root(inventory: &Inventory, able: &Able) -> Vec<Finding> {
    if able.builtin.paths().is_empty() {
        return Vec::new();
    }
    let needs = [
        (ANY_DEVICE, "driver for a root disk"),
        (ANY_FILESYSTEM, "file system for a root"),
    ];
    let unmet = needs
        .into_iter()
        .filter(|(need, _)| !able.meets(inventory, need));
    let findings = unmet.map(|(need, what)| {
        let path = "usr/lib/modules in the initramfs";
        let expected = format!("one of {}", need.drivers.join(", "));
        match able.why_not(need.drivers) {
            Some(why) => Finding::new(path, why, expected, UNBLOCK),
            None => Finding::new(path, format!("no {what}"), expected, ADD),
        }
    });
    findings.collect()
}

/// Returns warnings about included drivers of local disks and file systems that are blocked. They are only warnings
/// because no option declares that a root needs these drivers.
fn common_blocked(able: &Able, before: &[Finding]) -> Vec<Finding> {
    const NETWORK: [&str; 5] = ["virtiofs", "9p", "nfs", "nbd", "rbd"];
    let common = ANY_DEVICE.drivers.iter().chain(ANY_FILESYSTEM.drivers);
    let local = common.filter(|name| !NETWORK.contains(name));
    let found = blocked_of(able, local, "loadable, if a root needs it", before);
    let found = found.into_iter();
    found.map(|it| it.only(Severity::Warning)).collect()
}

/// Returns findings about missing or blocked drivers for composefs, which mounts a deployment as an erofs image with an
/// overlay, and about missing support for fs-verity. bootc's root setup always uses composefs, even without
/// configuration. Empty if composefs is not required.
fn composefs(subject: &Subject, inventory: &Inventory, able: &Able) -> Vec<Finding> {
    let inside = |path: &str| inventory.data(path.as_bytes());
    let why = if PrepareRoot::read(inside).composefs == Composefs::On {
        "since prepare-root.conf in the initramfs enables composefs"
    } else if root_setup(subject, inventory) == RootSetup::Bootc {
        "since bootc sets up the root, with composefs"
    } else {
        return Vec::new();
    };
    let missing = ["erofs", "overlay"]
        .into_iter()
        .filter(|name| !able.has_named(name));
    let expected = format!("in the initramfs, {why}");
    let mut findings: Vec<_> = missing
        .map(|name| no_driver(able, &[name], &expected))
        .collect();
    // fs-verity cannot be built as a module. ostree does not require it with `composefs.enabled=yes`.
    if let Some(config) = subject.config()
        && PrepareRoot::read(inside).needs_verity
        && !config.is_on("CONFIG_FS_VERITY")
    {
        let path = format!("{}/config", subject.kver.dir());
        let expected =
            "CONFIG_FS_VERITY=y, since prepare-root.conf in the initramfs requires fs-verity";
        let remedy = "use a kernel with fs-verity, or composefs.enabled=yes in prepare-root.conf";
        findings.push(Finding::new(
            path,
            "no CONFIG_FS_VERITY=y",
            expected,
            remedy,
        ));
    }
    findings
}
