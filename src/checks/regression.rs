// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the base's initramfs and kernel had and these have not.

use super::baseline::{Baseline, units};
use super::drivers::{Able, lost_others};
use super::{Answer, Finding, Remedy, Severity, Subject, listed, show};

const OMIT: Remedy = Remedy::ThenRebuild(
    "add it with add_dracutmodules in /etc/dracut.conf.d, or exclude it with omit_dracutmodules",
);

fn base<'a>(subject: &Subject<'a>) -> Result<&'a Baseline, Answer> {
    let why = "there is no earlier initramfs to compare with (verify --against IMAGE)";
    subject
        .base
        .ok_or_else(|| Answer::NotApplicable(why.into()))
}

pub fn regression(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let base = base(subject)?;
    let able = Able::of(subject, inventory)?;
    let mut findings = listed(dracut_modules(subject, base)?);
    findings.extend(listed(lost_units(subject, base)?));
    findings.extend(listed(lost_others(subject, base, &able)));
    Ok(findings)
}

fn dracut_modules(subject: &Subject, base: &Baseline) -> Result<Vec<Finding>, Answer> {
    let now = subject.inventory()?.dracut_modules().unwrap_or_default();
    let omitted = subject.omitted();
    let gone = base
        .dracut_modules
        .iter()
        .filter(|module| !now.contains(module) && !omitted.dracut_modules.contains(*module));
    let finding = |module: &String| {
        let path = format!("dracut's module {module}");
        let on_disk = subject
            .tree
            .is_none_or(|tree| tree.dracut_modules.contains(module));
        let expected = "inside, as in the base";
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

/// A unit that is still on disk was left out; one that is not was given up by its package. Where
/// dracut is another, or the user leaves modules out, units come and go with them.
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
        let expected = "inside, as in the base";
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
    let base = base(subject)?;
    let tree = subject.tree()?;
    let lost = base.lost_firmware(inventory);
    let gone = lost.iter().filter_map(|file| {
        let driver = tree.firmware_of.get(file)?;
        let path = format!("usr/lib/firmware/{} in the initramfs", show(file));
        let expected = format!("inside, as in the base: {driver} asks for it");
        let remedy = Remedy::ThenRebuild("install the linux-firmware sub-package that has it");
        Some(Finding::new(path, "no such file", expected, remedy))
    });
    Ok(listed(gone.collect()))
}

pub fn size(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    /// `/boot` of Fedora CoreOS has 384 MiB, and holds three deployments during an update.
    const MOST: u64 = 128 << 20;
    let tree = subject.tree()?;
    let Some(file) = tree.initramfs.as_ref().filter(|file| file.is_file) else {
        return Err(Answer::NotApplicable("there is no initramfs".into()));
    };
    let mib = |size: u64| format!("{:.1} MiB", size as f64 / f64::from(1 << 20));
    let wrong = |expected: String, remedy: &str| {
        vec![Finding::new(&file.path, mib(file.size), expected, remedy)]
    };
    let leaner = "leave out what the system does not need with omit_dracutmodules, or compress better with compress=\"zstd -19\"";
    if let Some(base) = subject.base.map(|base| base.size).filter(|&size| size > 0) {
        let about = format!("about the {} of the base", mib(base));
        if file.size > base.saturating_mul(2) {
            return Ok(wrong(about, leaner));
        }
        if file.size < base / 2 {
            return Ok(wrong(
                about,
                "look what is lost with ostree-kernel inspect --diff",
            ));
        }
    }
    if file.size > MOST {
        let expected = format!("at most {}: /boot of Fedora CoreOS has 384 MiB", mib(MOST));
        return Ok(wrong(expected, leaner));
    }
    Ok(vec![])
}

pub fn signature(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let Some(was_signed) = base(subject)?.signed else {
        return Err(Answer::NotApplicable(
            "the base's vmlinuz is not known".into(),
        ));
    };
    match &tree.signed {
        Err(why) => Err(Answer::CouldNotLook(why.clone())),
        Ok(false) if was_signed => Ok(vec![Finding::new(
            format!("{}/vmlinuz", subject.kver.dir()),
            "no Secure Boot signature",
            "one, as the base's kernel has",
            "take the vendor's signed packages, or sign it with a key that the machines know",
        )]),
        Ok(_) => Ok(vec![]),
    }
}
