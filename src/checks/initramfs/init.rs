// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the programs of the initramfs can run: `/init`, every other program, and scripts. Also checks the
//! programs of dracut's modules and of units, udev's rules, and the directories and settings that a boot requires.
//!
//! The search for missing libraries starts from programs, since even good images contain libraries with unresolved
//! dependencies.

mod libraries;
mod opened;
mod places;
mod promised;
mod rules;
mod scripts;
mod settings;
#[cfg(test)]
mod tests;
mod units;

use crate::boot::Graph;
use crate::checks::{Answer, Finding, Remedy, Severity, Subject, listed, show, squash};
use crate::initramfs::{Elf, EntryType, Facts, Inventory, Machine, Node};
use crate::kernel::vmlinuz::Arch;

const REMEDY: Remedy = Remedy::RebuildOr("add the file with install_items in /etc/dracut.conf.d");

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
    let trace = subject.trace()?;
    let graph = &trace.graph;
    if let Some(machine) = machine {
        findings.extend(libraries::unmet(
            inventory,
            facts,
            machine,
            graph,
            subject.tree.is_some(),
        ));
    }
    if inventory.root_image().is_none() {
        findings.extend(promised::not_kept(inventory));
        findings.extend(opened::missing(subject, inventory, facts));
        findings.extend(settings::that_stop_the_boot(inventory));
        findings.extend(places::wrong(subject, inventory, facts));
    }
    findings.extend(squash::without_end(inventory));
    if let Some(booted) = &trace.booted {
        if inventory.root_image().is_none() {
            findings.extend(rules::rules(&trace.rules));
        }
        findings.extend(listed(units::that_cannot_start(inventory, facts, booted)));
    }
    let mut others = damaged(inventory, facts, graph);
    others.extend(scripts::that_cannot_run(inventory, facts, graph, &REMEDY));
    let (fatal, notes): (Vec<_>, Vec<_>) = others.into_iter().partition(|it| it.milder.is_none());
    findings.extend(listed(fatal));
    findings.extend(listed(scripts::wants(inventory)));
    findings.extend(listed(notes));
    Ok(findings)
}

/// Returns a finding if `/init` is for another machine than the kernel, and the ELF machine of `/init` if it is known.
/// If `/init` is a script, the machine is that of its interpreter. `Err` is the finding if `/init` cannot run.
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
    if node.kind != EntryType::File || node.mode & 0o111 == 0 {
        let found = format!("{}, which is not an executable file", show(path));
        return Err(wrong(found, expected));
    }
    let content = inventory.content(node);
    let line = content.and_then(|content| content.interpreter());
    let elf = match line {
        // Whether a script's interpreter can run is checked with the other scripts; here only its machine is used.
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
    // An x86-64 kernel can run 32-bit programs, if it was built with support for them.
    let runs = elf.machine.number == number || (number == 62 && elf.machine.number == 3);
    let found = format!("a program for the ELF machine {}", elf.machine.number);
    (!runs).then(|| wrong(found, &format!("one for the kernel's {arch} ({number})")))
}

/// Returns findings about damaged ELF files, except modules and firmware. The finding is fatal for a program that a
/// boot uses, and a warning for another program. It is also fatal for a library that is opened at run time by a file
/// without which the root is not reached: the program ends by SIGBUS, or by an assertion of the dynamic linker. For any
/// other library it is a note, because the programs that need the library are reported, too.
fn damaged(inventory: &Inventory, facts: &Facts, graph: &Graph) -> Vec<Finding> {
    let finding = |(path, node): (&[u8], &Node)| {
        let Err(error) = facts.elf(inventory, node)? else {
            return None;
        };
        let is_library = path.windows(3).any(|part| part == b".so");
        if is_data(path) || !(is_library || node.mode & 0o111 != 0) {
            return None;
        }
        let place = format!("{} in the initramfs", show(path));
        let opener = graph.opened_by(path);
        let expected = match opener {
            Some(opener) => format!(
                "a whole library, or none: {} opens it at run time",
                show(opener)
            ),
            None => "a whole one".to_owned(),
        };
        let finding = Finding::new(place, error.to_string(), expected, REMEDY);
        Some(match (is_library, graph.has(path)) {
            (true, _) if opener.is_some() => finding,
            (true, _) => finding.only(Severity::Note),
            (false, true) => finding,
            (false, false) => finding.only(Severity::Warning),
        })
    };
    inventory.nodes().filter_map(finding).collect()
}

/// Returns whether a file is data for the kernel: a module or firmware.
fn is_data(path: &[u8]) -> bool {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    below.starts_with(b"lib/firmware/") || below.starts_with(b"lib/modules/")
}
