// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks directories and links that the kernel, systemd, kmod and dracut require.

use super::super::{Finding, Remedy, Severity, show};
use crate::boot::{CannotRun, run};
use crate::initramfs::{EntryType, Facts, Inventory};
use crate::kernel::kver::Kver;

const REMEDY: Remedy = Remedy::RebuildOr("remove the named entry; dracut did not create it");

/// Mount points. systemd creates missing ones.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "sysroot"];

/// The program with which the kernel loads a file system's driver (`CONFIG_MODPROBE_PATH`).
const MODPROBE: &[u8] = b"/sbin/modprobe";

/// Returns findings about directories that a boot requires.
pub(super) fn wrong(inventory: &Inventory, facts: &Facts, kver: &Kver) -> Vec<Finding> {
    let mut findings: Vec<_> = MOUNT_POINTS
        .into_iter()
        .filter_map(|path| mount_point(inventory, path))
        .collect();
    findings.extend(modules(inventory, kver));
    findings.extend(modprobe(inventory, facts));
    findings
}

fn mount_point(inventory: &Inventory, path: &str) -> Option<Finding> {
    let (_, node) = inventory.resolve_link(path.as_bytes()).ok()?;
    let found = match (node.kind, inventory.resolve(path.as_bytes())) {
        (EntryType::Directory, _) => return None,
        (EntryType::Symlink, Ok((_, node))) if node.kind == EntryType::Directory => return None,
        (EntryType::Symlink, _) => {
            format!("a link to {}, which is not a directory", show(&node.target))
        }
        _ => "not a directory".to_owned(),
    };
    let expected = "a directory, since a file system is mounted there";
    Some(Finding::new(
        format!("{path} in the initramfs"),
        found,
        expected,
        REMEDY,
    ))
}

/// kmod looks for modules in `/lib/modules`, whatever the distribution's directory is.
fn modules(inventory: &Inventory, kver: &Kver) -> Option<Finding> {
    let path = kver.dir();
    let (real, _) = inventory.resolve(path.as_bytes()).ok()?;
    let below = path.strip_prefix("usr/").unwrap_or(&path);
    let found = match inventory.resolve(below.as_bytes()) {
        Ok((other, _)) if other == real => return None,
        Ok(_) => "a directory of its own",
        Err(_) => "no such directory, or a link that does not lead to it",
    };
    let expected = format!("the same directory as /{path}, since kmod and dracut look there");
    let place = format!("{below} in the initramfs");
    Some(Finding::new(place, found, expected, REMEDY))
}

/// The kernel starts modprobe for the file system of a mount.
fn modprobe(inventory: &Inventory, facts: &Facts) -> Option<Finding> {
    let is_fs = |path: &&[u8]| path.windows(11).any(|it| it == b"/kernel/fs/");
    let modules = inventory.kernel_modules();
    let filesystem = modules.iter().find(|path| is_fs(path))?;
    let why = run(inventory, facts, MODPROBE).err()?;
    if matches!(why, CannotRun::Interpreter { .. }) {
        return None;
    }
    let expected = format!(
        "a program, since the kernel loads {} with it",
        show(filesystem)
    );
    let remedy = Remedy::ThenRebuild("install the package that has it (kmod)");
    let place = "sbin/modprobe in the initramfs";
    // The first file systems can be built in, and udev loads modules through libkmod.
    let finding = Finding::new(place, why.to_string(), expected, remedy);
    Some(finding.only(Severity::Warning))
}
