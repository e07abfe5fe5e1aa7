// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks mount points, the directory of the kernel's modules, and the program that the kernel runs to load modules.

use super::settings;
use crate::boot::run;
use crate::checks::able::Able;
use crate::checks::wanted::ANY_FILESYSTEM;
use crate::checks::{Finding, Remedy, Severity, Subject, show};
use crate::initramfs::{EntryType, Facts, Inventory};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;

const REMEDY: Remedy = Remedy::RebuildOr("remove the named entry; dracut did not create it");

/// Mount points of every boot. systemd creates missing ones.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "sysroot"];

/// The default of `CONFIG_MODPROBE_PATH`, used if the kernel's configuration is not known.
const MODPROBE: &str = "/sbin/modprobe";

/// Returns findings about directories and links in the place of directories, and about modprobe.
pub(super) fn wrong(subject: &Subject, inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<_> = MOUNT_POINTS
        .into_iter()
        .filter_map(|path| mount_point(inventory, path))
        .collect();
    findings.extend(modules(inventory, subject.kver));
    findings.extend(modprobe(subject, inventory, facts));
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

/// Returns a finding if `/lib/modules/KVER` does not lead to the kernel's directory `/usr/lib/modules/KVER`: kmod and
/// dracut look there. `None` if the kernel's directory is missing, which `initramfs-kver` reports.
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

/// Returns a finding if the initramfs has a file system as a module, and the kernel cannot start the program with which
/// it loads such modules. This is the program in the kernel parameter `kernel.modprobe`, by default that in the
/// kernel's configuration. The finding is a warning if the root can be mounted without the program.
fn modprobe(subject: &Subject, inventory: &Inventory, facts: &Facts) -> Option<Finding> {
    let is_fs = |path: &&[u8]| path.windows(11).any(|it| it == b"/kernel/fs/");
    let modules = inventory.kernel_modules();
    let filesystem = modules.iter().find(|path| is_fs(path))?;
    let default = subject
        .config()
        .and_then(|it| it.text("CONFIG_MODPROBE_PATH"));
    let default = default.unwrap_or(MODPROBE);
    let (place, program, remedy) = match settings::parameter(inventory, "kernel.modprobe") {
        Some((file, program)) => (file, program, REMEDY),
        None => (
            default.trim_start_matches('/').to_owned(),
            default.to_owned(),
            Remedy::ThenRebuild("install the package that has it (kmod)"),
        ),
    };
    let why = match run(inventory, facts, program.as_bytes()).err() {
        _ if program.is_empty() && place.is_empty() => "CONFIG_MODPROBE_PATH is empty".to_owned(),
        _ if program.is_empty() => "kernel.modprobe is empty".to_owned(),
        None => return None,
        Some(why) if why.is_of_another_file() => return None,
        Some(why) if place.ends_with(".conf") => format!("kernel.modprobe={program}: {why}"),
        Some(why) => why.to_string(),
    };
    let expected = format!(
        "a program, since the kernel loads {} with it",
        show(filesystem)
    );
    let place = if place.is_empty() {
        "the kernel's configuration".to_owned()
    } else {
        format!("{place} in the initramfs")
    };
    let finding = Finding::new(place, why, expected, remedy);
    Some(if mounts_without_modprobe(subject, inventory) {
        finding.only(Severity::Warning)
    } else {
        finding
    })
}

/// Returns whether the root can be mounted with file systems that are built in or loaded by `modules-load.d`. Without
/// `--root-fs`, one file system suffices. `true` if the built-in drivers cannot be read.
fn mounts_without_modprobe(subject: &Subject, inventory: &Inventory) -> bool {
    let Ok(able) = Able::of(subject, inventory) else {
        return true;
    };
    let loaded = settings::loaded_modules(inventory);
    let is_there = |name: &str| {
        ModuleName::new(name.as_bytes())
            .is_none_or(|it| able.builtin.contains(&it) || loaded.contains(&it))
    };
    match subject.wanted.filesystems.as_slice() {
        [] => ANY_FILESYSTEM.drivers.iter().any(|name| is_there(name)),
        declared => declared.iter().all(|name| is_there(name)),
    }
}
