// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether what runs in the initramfs can run: `/init`, every program, the scripts that something
//! names.
//!
//! It starts from programs, since "every library resolves" is false for every good image.

mod config;
mod loader;
mod opened;
mod places;
mod promised;
mod reached;
mod rules;
mod scripts;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{BTreeMap, HashSet};

use super::{Answer, Finding, Remedy, Severity, Subject, listed, show, squash};
use crate::boot::{CannotRun, run};
use crate::initramfs::{Elf, Facts, Inventory, Kind, Machine, Node};
use crate::kernel::vmlinuz::Arch;
pub(super) use loader::Loader;
pub(super) use scripts::used;

const REMEDY: Remedy = Remedy::RebuildOr("add the file with install_items in /etc/dracut.conf.d");

/// An ELF file inside.
struct File<'a> {
    path: &'a [u8],
    entry: u64,
    elf: &'a Elf,
}

pub fn init(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.unpacked()?;
    let facts = subject.facts()?;
    let mut findings = Vec::new();
    let (init, machine) = match first(subject, inventory, facts) {
        Ok(first) => first,
        Err(finding) => return Ok(vec![finding]),
    };
    findings.extend(init);
    findings.extend(scripts::last_act_of_init(inventory, facts, &REMEDY));
    let used = used(inventory);
    if let Some(machine) = machine {
        findings.extend(libraries(inventory, facts, machine, &used));
    }
    if inventory.root_image().is_none() {
        findings.extend(promised::not_kept(inventory));
        findings.extend(opened::missing(inventory, facts));
        findings.extend(places::wrong(inventory, facts, subject.kver));
    }
    findings.extend(squash::without_end(inventory));
    findings.extend(rules::rules(subject, inventory));
    findings.extend(listed(units::that_cannot_start(subject, inventory, facts)));
    let mut others = damaged(inventory, facts, &used);
    others.extend(scripts::that_cannot_run(inventory, facts, &REMEDY));
    let (fatal, notes): (Vec<_>, Vec<_>) = others.into_iter().partition(|it| it.milder.is_none());
    findings.extend(listed(fatal));
    findings.extend(listed(scripts::wants(inventory)));
    findings.extend(listed(notes));
    Ok(findings)
}

/// What is wrong with `/init`, and the machine of the programs. `Err` where nothing would run.
fn first(
    subject: &Subject,
    inventory: &Inventory,
    facts: &Facts,
) -> Result<(Option<Finding>, Option<Machine>), Finding> {
    let wrong = |found: String, expected: &str| {
        Finding::new("init in the initramfs", found, expected, REMEDY)
    };
    let expected = "the program that the kernel starts first";
    let (path, node) = inventory
        .resolve(b"init")
        .map_err(|error| wrong(error.to_string(), expected))?;
    if node.kind != Kind::File || node.mode & 0o111 == 0 {
        let found = format!("{}, which is not an executable file", show(path));
        return Err(wrong(found, expected));
    }
    let content = inventory.content(node);
    let line = content.and_then(|content| content.interpreter());
    let elf = match line {
        // That the interpreter of the script is there is looked at with the others.
        Some(line) => {
            let interpreter = line.split(u8::is_ascii_whitespace).next();
            let interpreter = inventory.resolve(interpreter.unwrap_or_default()).ok();
            interpreter.and_then(|(_, node)| facts.elf(inventory, node))
        }
        None => match facts.elf(inventory, node) {
            None => return Err(wrong(format!("{}, no program", show(path)), expected)),
            elf => elf,
        },
    };
    match elf {
        None => Ok((None, None)),
        Some(Err(error)) => Err(wrong(error.to_string(), expected)),
        Some(Ok(elf)) => Ok((other_machine(subject, elf, &wrong), Some(elf.machine))),
    }
}

fn other_machine(
    subject: &Subject,
    elf: &Elf,
    wrong: &dyn Fn(String, &str) -> Finding,
) -> Option<Finding> {
    let arch = subject.tree?.release.as_ref().ok()?.arch;
    let number = match arch {
        Arch::X86 => 3,
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
        Arch::Ppc64le => 21,
        Arch::Riscv64 => 243,
        Arch::S390x => 22,
    };
    // A 64-bit kernel may run 32-bit programs, if it was built so.
    let runs = elf.machine.number == number || (number == 62 && elf.machine.number == 3);
    let found = format!("a program for the ELF machine {}", elf.machine.number);
    (!runs).then(|| wrong(found, &format!("one for the kernel's {arch} ({number})")))
}

/// Libraries that programs ask for and that are not there: warnings where no program of `used` asks for them, notes where
/// no program does.
fn libraries(
    inventory: &Inventory,
    facts: &Facts,
    machine: Machine,
    used: &HashSet<&[u8]>,
) -> Vec<Finding> {
    let loader = Loader::new(inventory, facts, machine);
    let (programs, others) = files(inventory, facts, machine);
    let of_used =
        |finding: Finding, programs: &[&[u8]]| match programs.iter().any(|it| used.contains(it)) {
            true => finding,
            false => finding.only(Severity::Warning),
        };
    let mut reached = HashSet::new();
    let mut missing = BTreeMap::<_, (_, Vec<&[u8]>)>::new();
    let mut linkers = BTreeMap::<&[u8], (String, Vec<&[u8]>)>::new();
    for program in &programs {
        let linker = program.elf.interpreter.as_deref().unwrap_or_default();
        let found = match inventory.resolve(linker) {
            Ok((_, node)) if facts.elf(inventory, node).is_some() => run(inventory, facts, linker),
            _ => Err(CannotRun::Missing),
        };
        if let Err(why) = found {
            let known = linkers.entry(linker);
            let (_, programs) = known.or_insert_with(|| (why.to_string(), Vec::new()));
            programs.push(program.path);
            continue;
        }
        let loaded = loader.load(program.path, program.entry, program.elf);
        reached.extend(loaded.entries);
        for missed in loaded.missing {
            let asked_by = missed.asked_by;
            let known = missing.entry(missed.library);
            let (_, programs) = known.or_insert_with(|| (asked_by, Vec::new()));
            programs.push(program.path);
        }
    }
    let linkers = linkers.into_iter().map(|(linker, (found, programs))| {
        let path = format!("{} in the initramfs", show(linker).trim_start_matches('/'));
        let expected = format!("the dynamic linker that {} ask for", some(&programs));
        of_used(Finding::new(path, found, expected, REMEDY), &programs)
    });
    let missing = missing.into_iter().map(|(library, (asked_by, programs))| {
        let path = format!("{} in the initramfs", show(&library));
        let expected = format!(
            "inside, since {} cannot start without it ({} asks for it)",
            some(&programs),
            show(&asked_by)
        );
        let found = "no such library where it is looked for";
        of_used(Finding::new(path, found, expected, REMEDY), &programs)
    });
    let mut findings = listed(linkers.chain(missing).collect());
    let mut notes = Vec::new();
    for library in others.iter().filter(|it| !reached.contains(&it.entry)) {
        for missed in loader
            .load(library.path, library.entry, library.elf)
            .missing
        {
            let path = format!("{} in the initramfs", show(&missed.library));
            let expected = format!(
                "inside, if anything loads {} at run time; no program needs it to start",
                show(library.path)
            );
            let found = "no such library where it is looked for";
            let finding = Finding::new(path, found, expected, REMEDY);
            notes.push(finding.only(Severity::Note));
        }
    }
    notes.dedup_by(|a, b| a.path == b.path);
    findings.extend(listed(notes));
    findings
}

/// ELF files that are not whole. Of a library a program that needs it tells, as of one that is not
/// there.
fn damaged(inventory: &Inventory, facts: &Facts, used: &HashSet<&[u8]>) -> Vec<Finding> {
    let finding = |(path, node): (&[u8], &Node)| {
        let Err(error) = facts.elf(inventory, node)? else {
            return None;
        };
        let is_library = path.windows(3).any(|part| part == b".so");
        if is_data(path) || !(is_library || node.mode & 0o111 != 0) {
            return None;
        }
        let place = format!("{} in the initramfs", show(path));
        let finding = Finding::new(place, error.to_string(), "a whole one", REMEDY);
        Some(match (is_library, used.contains(path)) {
            (true, _) => finding.only(Severity::Note),
            (false, true) => finding,
            (false, false) => finding.only(Severity::Warning),
        })
    };
    inventory.nodes().filter_map(finding).collect()
}

/// Whether a file is there for the kernel: a module, firmware.
fn is_data(path: &[u8]) -> bool {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    below.starts_with(b"lib/firmware/") || below.starts_with(b"lib/modules/")
}

/// `usr/bin/x`, or `usr/bin/x and 3 other programs`.
fn some(programs: &[&[u8]]) -> String {
    let first = programs.first().map(|path| show(path)).unwrap_or_default();
    match programs.len() {
        0 | 1 => first,
        2 => format!("{first} and 1 other program"),
        many => format!("{first} and {} other programs", many - 1),
    }
}

/// The programs and the other ELF files of this machine: not modules, not firmware.
fn files<'a>(
    inventory: &'a Inventory,
    facts: &'a Facts,
    machine: Machine,
) -> (Vec<File<'a>>, Vec<File<'a>>) {
    let mut seen = HashSet::new();
    let mut file = |(path, node): (&'a [u8], &'a Node)| {
        if is_data(path) {
            return None;
        }
        let elf = facts.elf(inventory, node)?.as_ref().ok()?;
        let entry = inventory.content(node)?.entry;
        let wanted = elf.machine == machine && seen.insert(entry);
        wanted.then_some(File { path, entry, elf })
    };
    let files = inventory.nodes().filter_map(&mut file);
    files.partition(|file| file.elf.interpreter.is_some())
}
