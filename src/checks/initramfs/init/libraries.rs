// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds programs that the dynamic linker cannot start: a library, a symbol version or a symbol is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{REMEDY, is_data};
use crate::boot::{CannotRun, Graph, Loader, Unbound, run};
use crate::bytes::basename;
use crate::checks::{Finding, Severity, listed, show};
use crate::initramfs::{Elf, ElfError, EntryType, Facts, Inventory, Machine, Node};

/// An ELF file of the initramfs, with the number of its entry.
struct ElfFile<'a> {
    path: &'a [u8],
    entry: u64,
    elf: &'a Elf,
}

/// Returns findings about missing libraries, symbol versions, symbols and dynamic linkers. A finding is fatal if a boot
/// uses a program that requires the missing part, and a warning if it uses no such program. If only libraries that no
/// program loads require a missing library, the finding is a note.
///
/// With a tree, symbols are compared only for programs without which the root is not reached: the check
/// `initramfs-projection` finds a library of another build, because it differs from the tree's file.
pub(super) fn unmet(
    inventory: &Inventory,
    facts: &Facts,
    machine: Machine,
    graph: &Graph,
    has_tree: bool,
) -> Vec<Finding> {
    let loader = Loader::new(inventory, facts, machine);
    let (programs, others) = files(inventory, facts, machine);
    let of_used = |finding: Finding, programs: &[&[u8]]| {
        if programs.iter().any(|it| graph.has(it)) {
            finding
        } else {
            finding.only(Severity::Warning)
        }
    };
    let mut reached = HashSet::new();
    let mut missing = BTreeMap::<_, (_, Vec<&[u8]>)>::new();
    let mut unbound = BTreeMap::<Vec<u8>, (Unbound, Vec<u8>, Vec<&[u8]>)>::new();
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
        reached.extend(loaded.objects.iter().map(|it| it.object.entry));
        let with_symbols = !has_tree || graph.needs(program.path);
        if let Some((fault, asked_by)) = loader.unbound(&loaded, with_symbols) {
            let place = match &fault {
                Unbound::Version { library, .. } => library.clone(),
                Unbound::Symbol { object, .. } => object.clone(),
            };
            // All programs that a fault in the same file affects have one finding.
            let known = unbound.entry(place);
            let (_, _, programs) = known.or_insert_with(|| (fault, asked_by.to_vec(), Vec::new()));
            programs.push(program.path);
        }
        for missed in loaded.missing {
            let asked_by = missed.asked_by;
            let known = missing.entry(missed.library);
            let (_, programs) = known.or_insert_with(|| (asked_by, Vec::new()));
            programs.push(program.path);
        }
    }
    let linkers = linkers.into_iter().map(|(linker, (found, programs))| {
        let path = format!("{} in the initramfs", show(linker).trim_start_matches('/'));
        let expected = format!("the dynamic linker of {}", some(&programs));
        of_used(Finding::new(path, found, expected, REMEDY), &programs)
    });
    let damaged = damaged(inventory, facts);
    let missing = missing.into_iter().map(|(library, (asked_by, programs))| {
        let (programs_of, asked_by) = (some(&programs), show(&asked_by));
        let why = format!("{programs_of} cannot start without it ({asked_by} requires it)");
        let finding = match damaged.get(basename(&library)) {
            Some((path, error)) => {
                let path = format!("{} in the initramfs", show(path));
                let expected = format!("a whole library: {why}");
                Finding::new(path, error.to_string(), expected, REMEDY)
            }
            None => {
                let path = format!("{} in the initramfs", show(&library));
                let found = "not found in the library search path";
                let expected = format!("present in the initramfs: {why}");
                Finding::new(path, found, expected, REMEDY)
            }
        };
        of_used(finding, &programs)
    });
    let unbound = unbound
        .into_iter()
        .map(|(path, (fault, asked_by, programs))| {
            let found = match fault {
                Unbound::Version { version, .. } => {
                    format!("a library without the symbol version {}", show(&version))
                }
                Unbound::Symbol { symbol, .. } => {
                    format!("the symbol {}, which no library defines", show(&symbol))
                }
            };
            let expected = format!(
                "programs and libraries of the same build: {} cannot start ({} requires it)",
                some(&programs),
                show(&asked_by)
            );
            let place = format!("{} in the initramfs", show(&path));
            of_used(Finding::new(place, found, expected, REMEDY), &programs)
        });
    let mut findings = listed(linkers.chain(missing).chain(unbound).collect());
    let mut notes = Vec::new();
    for library in others.iter().filter(|it| !reached.contains(&it.entry)) {
        for missed in loader
            .load(library.path, library.entry, library.elf)
            .missing
        {
            let path = format!("{} in the initramfs", show(&missed.library));
            let expected = format!(
                "present in the initramfs, if a program loads {} at run time",
                show(library.path)
            );
            let found = "not found in the library search path";
            let finding = Finding::new(path, found, expected, REMEDY);
            notes.push(finding.only(Severity::Note));
        }
    }
    let mut paths = BTreeSet::new();
    notes.retain(|it| paths.insert(it.path.clone()));
    findings.extend(listed(notes));
    findings
}

/// Returns the damaged ELF files by their file names and by the names of links to them, each with its path and error.
fn damaged<'a>(
    inventory: &'a Inventory,
    facts: &'a Facts,
) -> HashMap<&'a [u8], (&'a [u8], &'a ElfError)> {
    let names = inventory.nodes().filter_map(|(path, node)| {
        let (file, node) = match node.kind {
            EntryType::Symlink => inventory.resolve(path).ok()?,
            _ => (path, node),
        };
        let error = facts.elf(inventory, node)?.as_ref().err()?;
        Some((basename(path), (file, error)))
    });
    names.collect()
}

/// Formats programs: `usr/bin/x`, or `usr/bin/x and 3 other programs`.
fn some(programs: &[&[u8]]) -> String {
    let first = programs.first().map(|path| show(path)).unwrap_or_default();
    match programs.len() {
        0 | 1 => first,
        2 => format!("{first} and 1 other program"),
        many => format!("{first} and {} other programs", many - 1),
    }
}

/// Returns the ELF files for this machine, each once, without modules and firmware: the programs with a dynamic linker,
/// and the others.
fn files<'a>(
    inventory: &'a Inventory,
    facts: &'a Facts,
    machine: Machine,
) -> (Vec<ElfFile<'a>>, Vec<ElfFile<'a>>) {
    let mut seen = HashSet::new();
    let mut file = |(path, node): (&'a [u8], &'a Node)| {
        if is_data(path) {
            return None;
        }
        let elf = facts.elf(inventory, node)?.as_ref().ok()?;
        let entry = inventory.content(node)?.entry;
        let wanted = elf.machine == machine && seen.insert(entry);
        wanted.then_some(ElfFile { path, entry, elf })
    };
    let files = inventory.nodes().filter_map(&mut file);
    files.partition(|file| file.elf.interpreter.is_some())
}
