// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds parts of the base's initramfs that this initramfs lacks, and compares the sizes of the two.

use std::collections::BTreeSet;

use crate::checks::able::Able;
use crate::checks::baseline::{Baseline, programs, units, unpacked_size};
use crate::checks::early;
use crate::checks::leaner::{leaner, mib};
use crate::checks::lost::Lost;
use crate::checks::{Answer, Finding, Initramfs, Remedy, Severity, Subject, listed, show};
use crate::initramfs::Inventory;

const OMIT: Remedy = Remedy::ThenRebuild(
    "add it with add_dracutmodules in /etc/dracut.conf.d, or exclude it with omit_dracutmodules",
);

pub fn regression(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let base = subject.base()?;
    let able = Able::of(subject, inventory)?;
    let mut findings = listed(subject.losses(dracut_modules(subject, base)?));
    findings.extend(listed(subject.losses(lost_units(subject, base)?)));
    findings.extend(listed(Lost::of(subject, base, &able).others()));
    Ok(findings)
}

fn dracut_modules(subject: &Subject, base: &Baseline) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let now = inventory.dracut_modules().unwrap_or_default();
    let omitted = &subject.omitted().dracut_modules;
    let is_left_out = |module: &str| {
        let setups = subject.tree.map(|tree| &tree.setups);
        omitted.contains(module) || setups.is_some_and(|it| it.depends_on(module, omitted))
    };
    let has_new = now
        .iter()
        .any(|module| !base.dracut_modules.contains(module));
    let is_renamed = |module: &str| {
        let on_disk = subject
            .tree
            .is_some_and(|tree| tree.dracut_modules.contains(module));
        !on_disk && has_new && is_carried_on(base, inventory, module)
    };
    let gone = base
        .dracut_modules
        .iter()
        .filter(|module| !now.contains(module) && !is_left_out(module) && !is_renamed(module));
    let finding = |module: &String| {
        let path = format!("dracut's module {module}");
        let on_disk = subject
            .tree
            .is_none_or(|tree| tree.dracut_modules.contains(module));
        let expected = "in the initramfs, as in the base";
        if on_disk {
            Finding::new(path, "not in the initramfs", expected, OMIT)
        } else {
            let found = "neither in the initramfs nor on disk";
            let remedy = "install the package that has it, if the system needs it";
            Finding::new(path, found, expected, remedy).only(Severity::Warning)
        }
    };
    Ok(gone.map(finding).collect())
}

/// Returns whether the base has units or programs that are named after the dracut module `module`, and all of them are
/// still included. Another module then installs them, as systemd-pcrextend does for systemd-pcrphase.
fn is_carried_on(base: &Baseline, inventory: &Inventory, module: &str) -> bool {
    let is_part = |name: &str| {
        let rest = name.strip_prefix(module);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let all_of = |had: &BTreeSet<String>, now: &BTreeSet<String>| {
        let mut parts = had.iter().filter(|name| is_part(name));
        parts.all(|name| now.contains(name))
    };
    let mut names = base.units.iter().chain(&base.programs);
    names.any(|name| is_part(name))
        && all_of(&base.units, &units(inventory))
        && all_of(&base.programs, &programs(inventory))
}

/// Returns findings about units that the base has and this initramfs lacks. The finding about a unit that is not on
/// disk is a warning, because dracut cannot install it. All findings are warnings if dracut's version changed or a
/// dracut module of the base is omitted, because the set of units then changes, too.
fn lost_units(subject: &Subject, base: &Baseline) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let now = units(inventory);
    let omitted = subject.omitted();
    let left_out = base
        .dracut_modules
        .iter()
        .any(|module| omitted.dracut_modules.contains(module));
    let comparable = !left_out && base.dracut_version == inventory.dracut_version();
    let finding = |unit: &String| {
        let path = format!("usr/lib/systemd/system/{unit} in the initramfs");
        let expected = "in the initramfs, as in the base";
        let finding = Finding::new(path, "no such unit", expected, OMIT);
        let on_disk = subject.tree.is_none_or(|tree| tree.units.contains(unit));
        if comparable && on_disk {
            finding
        } else {
            finding.only(Severity::Warning)
        }
    };
    Ok(base.units.difference(&now).map(finding).collect())
}

pub fn lost_firmware(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let base = subject.base()?;
    let tree = subject.tree()?;
    let lost = base.lost_firmware(inventory);
    let gone = lost.iter().filter_map(|file| {
        let driver = tree.firmware_of.get(file)?;
        let path = format!("usr/lib/firmware/{} in the initramfs", show(file));
        let expected = format!("in the initramfs, as in the base: {driver} requests it");
        let remedy = Remedy::ThenRebuild("install the linux-firmware sub-package that has it");
        Some(Finding::new(path, "no such file", expected, remedy))
    });
    let mut findings = listed(gone.collect());
    if let Initramfs::Read { segments, .. } = subject.image {
        findings.extend(early::lost(&base.early, &early::kinds(inventory, segments)));
    }
    Ok(findings)
}

pub fn size(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let Some(file) = tree.initramfs.as_ref().filter(|file| file.is_file) else {
        return Err(Answer::NotApplicable("there is no initramfs".into()));
    };
    let before = subject.base.map_or(0, |base| base.unpacked);
    let unpacked = subject.unpacked().map_or(0, unpacked_size);
    // The unpacked sizes are compared, because the size of the file depends on the compression.
    if before == 0 || unpacked <= before.saturating_mul(2) {
        return Ok(vec![]);
    }
    let found = format!("{} unpacked", mib(unpacked));
    let expected = format!("about {} unpacked, as in the base", mib(before));
    let remedy = leaner(subject, file.size);
    Ok(vec![Finding::new(&file.path, found, expected, remedy)])
}
