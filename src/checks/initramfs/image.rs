// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the initramfs as a whole: its file, its entries' names, its kernel release, the setup of the root, and
//! rpm-ostree's wrappers.

use std::collections::BTreeSet;

use crate::boot::{RootSetup, UNIT_DIRS};
use crate::checks::prepare_root::PrepareRoot;
use crate::checks::setup_root::{self, PLACE};
use crate::checks::{Answer, Finding, Initramfs, Remedy, Severity, Subject, early, listed, show};
use crate::initramfs::{EntryType, Inventory, NameProblem};
use crate::kernel::kver::Kver;

type Checked = Result<Vec<Finding>, Answer>;

pub fn present(subject: &Subject) -> Checked {
    let tree = subject.tree()?;
    let found = match &tree.initramfs {
        None => "no such file",
        Some(file) if !file.is_file => "not a regular file",
        Some(file) if file.size == 0 => "an empty file",
        Some(_) => return Ok(vec![]),
    };
    // Without `initramfs.img`, ostree boots a kernel in an older layout (`vmlinuz-*`) if there is an initramfs for it
    // (`initramfs-*`).
    let of_kind = |prefix: &str| {
        let mut paths = tree.legacy.iter();
        paths.find(|path| path.rsplit('/').next().unwrap_or(path).starts_with(prefix))
    };
    let older = of_kind("vmlinuz-").filter(|_| of_kind("initramfs-").is_some());
    let expected = match older {
        None => "a regular file, not empty".to_owned(),
        Some(vmlinuz) => format!("a regular file, not empty; without it ostree boots {vmlinuz}"),
    };
    let path = format!("{}/initramfs.img", subject.kver.dir());
    Ok(vec![Finding::new(path, found, expected, Remedy::Rebuild)])
}

pub fn mode(subject: &Subject) -> Checked {
    let Some(file) = &subject.tree()?.initramfs else {
        return Err(Answer::NotApplicable("there is no initramfs".into()));
    };
    if file.mode & 0o077 == 0 {
        return Ok(vec![]);
    }
    Ok(vec![Finding::new(
        &file.path,
        format!("mode {:04o}", file.mode),
        "0600, since it may hold keys and password hashes",
        format!("chmod 0600 /{}", file.path),
    )])
}

/// The remedy for a file that cannot be read as an initramfs: dracut's configuration can request a unified kernel image
/// instead.
const UNREADABLE: Remedy = Remedy::RebuildOr(
    "remove uefi=\"yes\" from /etc/dracut.conf.d if it is there, and run again with -v for dracut's messages",
);

pub fn readable(subject: &Subject) -> Checked {
    match subject.image {
        Initramfs::Read { inventory, .. } => Ok(odd_names(inventory)),
        Initramfs::Missing => Err(Answer::NotApplicable("there is no initramfs".into())),
        Initramfs::Closed(why) => Err(Answer::CouldNotRun(why.clone())),
        Initramfs::Unreadable(why) => Ok(vec![Finding::new(
            "initramfs.img",
            why,
            "archives that the kernel can unpack to their end",
            UNREADABLE,
        )]),
    }
}

/// Returns warnings about entries that the kernel silently drops, and about names that other programs may unpack
/// elsewhere (CVE-2015-1197, CVE-2023-7207). An image may boot with them, but dracut writes none. Entries that the
/// kernel reads before it unpacks the initramfs are no defect, even if it then drops them.
fn odd_names(inventory: &Inventory) -> Vec<Finding> {
    let finding = |path: &[u8], found: String, expected: &str| {
        let place = format!("{} in the initramfs", show(path));
        let remedy = "find its origin: an appended archive, or a program other than dracut";
        Finding::new(place, found, expected, remedy).only(Severity::Warning)
    };
    let dropped = inventory.dropped().iter();
    let dropped = dropped.filter(|it| !early::is_read_by_name(&it.path));
    let dropped = dropped.map(|dropped| {
        let found = format!("an entry that the kernel drops: {}", dropped.reason);
        finding(&dropped.path, found, "an entry that the kernel unpacks")
    });
    let problems = inventory.name_problems().iter();
    let names = problems.filter_map(|(path, problem)| match problem {
        NameProblem::Absolute | NameProblem::Traversal => Some(finding(
            path,
            problem.to_string(),
            "a relative name without . and .. components",
        )),
        // The kernel drops entries with these names, so they are reported above.
        NameProblem::Empty | NameProblem::TooLong => None,
    });
    listed(dropped.chain(names).collect())
}

pub fn kver(subject: &Subject) -> Checked {
    let inventory = subject.unpacked()?;
    let kvers = inventory.kernel_versions().into_iter();
    let names: Vec<_> = kvers
        .filter(|kver| !is_for_weak_updates(inventory, kver, subject.kver))
        .map(|kver| String::from_utf8_lossy(kver).into_owned())
        .collect();
    if names == [subject.kver.as_str()] {
        return Ok(vec![]);
    }
    let found = match names.as_slice() {
        [] => "no kernel modules".to_owned(),
        names => names.join(", "),
    };
    Ok(vec![Finding::new(
        "usr/lib/modules in the initramfs",
        found,
        format!("{} and no other", subject.kver),
        Remedy::Rebuild,
    )])
}

/// Returns whether another kernel's directory contains only targets of links that weak-modules created in the directory
/// of `kver`. dracut includes these targets.
fn is_for_weak_updates(inventory: &Inventory, other: &[u8], kver: &Kver) -> bool {
    let below = |dir: &[u8]| [b"usr/lib/modules/", dir, b"/"].concat();
    let (other, links) = (below(other), below(kver.as_str().as_bytes()));
    let links = [links.as_slice(), b"weak-updates/"].concat();
    let modules = inventory.kernel_modules().into_iter();
    let targets: BTreeSet<_> = modules
        .filter(|path| path.starts_with(&links))
        .filter_map(|path| Some(inventory.resolve(path).ok()?.0))
        .filter(|path| path.starts_with(&other))
        .collect();
    let mut inside = inventory
        .nodes()
        .filter(|(path, node)| path.starts_with(&other) && node.kind != EntryType::Directory);
    !targets.is_empty() && inside.all(|(path, _)| targets.contains(path))
}

pub fn ostree(subject: &Subject) -> Checked {
    let inventory = subject.inventory()?;
    if subject.tree.is_none() && !is_of_dracut(inventory) {
        let why = "dracut did not build this initramfs (perhaps initramfs-tools did); without a tree it is assumed not to be for ostree";
        return Err(Answer::NotApplicable(why.into()));
    }
    let setup = root_setup(subject, inventory);
    let (program_path, unit) = (setup.program(), setup.unit());
    const REMEDY: Remedy =
        Remedy::RebuildOr("install the package with ostree's dracut module (50ostree)");
    let finding = |path: &str, found: &str, expected: &str| {
        Finding::new(format!("{path} in the initramfs"), found, expected, REMEDY)
    };
    let mut findings = Vec::new();
    let program = "the program that mounts the deployment";
    if !is_there(inventory, program_path) {
        findings.push(finding(program_path, "no such file", program));
    } else if !starts_with(inventory, program_path, b"\x7fELF") {
        findings.push(finding(program_path, "not an ELF program", program));
    }
    let wants = format!("initrd-root-fs.target.wants/{}", unit);
    for (name, expected) in [
        (unit, "its unit"),
        (&wants, "the link that enables its unit"),
    ] {
        // A masked unit is a link to /dev/null, which is no regular file, so the unit counts as missing.
        let is_in = |dir: &&str| is_file(inventory, &format!("{dir}/{name}"));
        if !UNIT_DIRS.iter().any(is_in) {
            findings.push(finding(
                &format!("usr/lib/systemd/system/{name}"),
                "no such file",
                expected,
            ));
        }
    }
    if !is_there(inventory, "etc/initrd-release") {
        let expected = "the file by which systemd detects an initramfs";
        findings.push(finding("etc/initrd-release", "no such file", expected));
    }
    match setup {
        RootSetup::Ostree => findings.extend(configuration(inventory)),
        RootSetup::Bootc => findings.extend(bootc_configuration(inventory)),
    }
    Ok(findings)
}

/// Returns whether dracut built the initramfs: it has dracut's list of modules or the file with dracut's version.
pub(in crate::checks) fn is_of_dracut(inventory: &Inventory) -> bool {
    inventory.dracut_modules().is_some() || inventory.dracut_version().is_some()
}

/// Returns findings about settings that ostree-prepare-root does not accept, and about a required key file that is
/// missing or empty.
fn configuration(inventory: &Inventory) -> Vec<Finding> {
    let conf = PrepareRoot::read(|path| inventory.data(path.as_bytes()));
    let wrong = conf.wrong.into_iter().map(|(path, found, expected)| {
        let place = format!("{path} in the initramfs");
        Finding::new(place, found, expected, CONF_REMEDY)
    });
    let mut findings: Vec<_> = wrong.collect();
    let key = conf.key.filter(|path| {
        let found = inventory.resolve(path.as_bytes());
        let content = found.ok().and_then(|(_, node)| inventory.content(node));
        content.is_none_or(|content| content.size == 0)
    });
    findings.extend(key.map(|path| {
        let place = format!("{} in the initramfs", path.trim_start_matches('/'));
        let expected =
            "a key, since prepare-root.conf in the initramfs has composefs.enabled=signed";
        Finding::new(place, "no such file, or no key in it", expected, KEY_REMEDY)
    }));
    findings
}

/// Returns a finding if bootc's setup of the root does not accept its configuration. `None` without a configuration
/// file, and for a file that is too large to be kept in memory.
fn bootc_configuration(inventory: &Inventory) -> Option<Finding> {
    let (_, node) = inventory.resolve(PLACE.as_bytes()).ok()?;
    let found = match inventory.data(PLACE.as_bytes()) {
        Some(data) => setup_root::refusal(data)?,
        None if node.kind == EntryType::File => return None,
        None => "not a file".to_owned(),
    };
    let expected =
        "a TOML file that bootc accepts (etc.mount, var.mount: none, bind, overlay or transient)";
    Some(Finding::new(
        format!("{PLACE} in the initramfs"),
        found,
        expected,
        CONF_REMEDY,
    ))
}

const CONF_REMEDY: Remedy = Remedy::ThenRebuild("correct the file on disk");

const KEY_REMEDY: Remedy =
    Remedy::ThenRebuild("put the key there and name it in install_items in /etc/dracut.conf.d");

pub fn wrappers(subject: &Subject) -> Checked {
    let inventory = subject.inventory()?;
    let mut findings = Vec::new();
    for bin in ["usr/bin", "usr/sbin"] {
        for name in ["systemctl", "useradd", "groupadd", "usermod"] {
            let path = format!("{bin}/{name}");
            if starts_with(inventory, &path, b"#!") {
                findings.push(Finding::new(
                    format!("{path} in the initramfs"),
                    "a shell script",
                    "the program; rpm-ostree's wrapper was copied during its transaction",
                    Remedy::Rebuild,
                ));
            }
        }
    }
    Ok(findings)
}

fn is_there(inventory: &Inventory, path: &str) -> bool {
    inventory.resolve(path.as_bytes()).is_ok()
}

fn is_file(inventory: &Inventory, path: &str) -> bool {
    let leads = inventory.resolve(path.as_bytes());
    leads.is_ok_and(|(_, node)| node.kind == EntryType::File)
}

fn starts_with(inventory: &Inventory, path: &str, start: &[u8]) -> bool {
    let node = inventory
        .resolve(path.as_bytes())
        .ok()
        .map(|(_, node)| node);
    node.and_then(|node| inventory.content(node))
        .is_some_and(|content| content.head.starts_with(start))
}

/// Returns the program that sets up the root of the base; without a base, the one in this initramfs, or ostree's if it
/// has none.
pub(in crate::checks) fn root_setup(subject: &Subject, inventory: &Inventory) -> RootSetup {
    match subject.base {
        Some(base) => base.root_setup,
        None => RootSetup::of(inventory).unwrap_or_default(),
    }
}
