// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the included kernel modules are the tree's, that their dependencies and soft dependencies are included,
//! and that the included lists of depmod have them.

mod depmod;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use self::depmod::{aliases, own, own_line, reads_indexes};
use crate::checks::omitted;
use crate::checks::{Answer, Finding, Remedy, Severity, Subject, listed, show};
use crate::initramfs::{Comparison, EntryType, Facts, Inventory, ModuleFacts, Told};
use crate::kernel::modules::{
    Aliases, ModuleList, ModuleName, ModulesDep, Needs, ParseError, Softdeps,
};

const REBUILD: Remedy = Remedy::Rebuild;
const DANGLING: Remedy = Remedy::ThenRebuild(
    "remove the link on disk, or install the package with the module that it leads to",
);
const REINSTALL: Remedy = Remedy::Reinstall;

/// The modules of the kernel in the initramfs.
struct Inside<'a> {
    /// The path of each module relative to the kernel's directory, and the whole path.
    paths: Vec<(&'a [u8], &'a [u8])>,
    /// The names of the modules that are not dangling links.
    names: HashSet<ModuleName>,
    /// Whether an included program reads depmod's indexes instead of the text files.
    by_index: bool,
}

pub fn modules(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.unpacked()?;
    let inside = Inside::of(subject, inventory);
    if inside.paths.is_empty() {
        if let Some(finding) = promised(subject, inventory)? {
            return Ok(vec![finding]);
        }
        let why = format!("the initramfs has no modules of {}", subject.kver);
        return Err(Answer::NotApplicable(why));
    }
    let mut findings = listed(bodies(subject, inventory, &inside)?);
    findings.extend(listed(dependencies(subject, inventory, &inside)?));
    findings.extend(listed(aliases(subject, &inside)?));
    findings.extend(listed(softdeps(subject, inventory, &inside)?));
    Ok(findings)
}

/// Returns a finding if dracut was to include drivers for any machine (`--no-hostonly` and its module kernel-modules),
/// and the kernel has modules. The caller calls this only if the initramfs has none: without `modules.dep.bin` in the
/// tree, dracut finds no module, and exits with status 0.
fn promised(subject: &Subject, inventory: &Inventory) -> Result<Option<Finding>, Answer> {
    const PROMISE: &str = "kernel-modules";
    let order = list(
        subject,
        inventory,
        "modules.order",
        |lists| &lists.order,
        ModuleList::parse_order,
    )?;
    let included = inventory.dracut_modules().unwrap_or_default();
    let arguments = inventory.dracut_arguments().unwrap_or_default();
    let mut arguments = omitted::split(&arguments).into_iter();
    let is_generic = arguments.any(|it| matches!(it.as_str(), "--no-hostonly" | "-N"));
    let is_promised = is_generic && included.iter().any(|module| module == PROMISE);
    let has_modules = order.is_some_and(|order| !order.paths().is_empty());
    // The check `initramfs-kver` reports a missing directory.
    let has_directory = inventory.resolve(subject.kver.dir().as_bytes()).is_ok();
    Ok((is_promised && has_modules && has_directory).then(|| {
        let path = format!("{} in the initramfs", subject.kver.dir());
        let expected = format!("modules, because it contains dracut's module {PROMISE}");
        let remedy = Remedy::RebuildOr("run depmod, which writes the lists of modules");
        Finding::new(path, "no modules", expected, remedy)
    }))
}

impl<'a> Inside<'a> {
    fn of(subject: &Subject, inventory: &'a Inventory) -> Self {
        let dir = format!("lib/modules/{}/", subject.kver);
        let relative = |path: &'a [u8]| {
            let below = path.strip_prefix(b"usr/").unwrap_or(path);
            Some((below.strip_prefix(dir.as_bytes())?, path))
        };
        let modules = inventory.kernel_modules();
        let paths: Vec<_> = modules.into_iter().filter_map(relative).collect();
        // A dangling link is left out: `bodies` reports it, and depmod's lists do not contain it.
        let names = paths
            .iter()
            .filter(|(_, path)| inventory.resolve(path).is_ok())
            .filter_map(|(path, _)| ModuleName::of_path(path));
        Self {
            names: names.collect(),
            paths,
            by_index: reads_indexes(inventory),
        }
    }
}

fn bodies(
    subject: &Subject,
    inventory: &Inventory,
    inside: &Inside,
) -> Result<Vec<Finding>, Answer> {
    let facts = subject.facts()?;
    let mut findings = Vec::new();
    for (relative, path) in &inside.paths {
        let wrong = |found: &str, expected: &str, remedy: Remedy| {
            let place = format!("{} in the initramfs", show(path));
            Finding::new(place, found, expected, remedy)
        };
        let node = match inventory.node(path) {
            Some(node) if node.kind != EntryType::Symlink => Some(node),
            _ => inventory.resolve(path).ok().map(|(_, node)| node),
        };
        let known = node.and_then(|node| facts.module(inventory, node));
        let Some((compared, comparison)) = known else {
            // A dangling link of weak-modules is only a warning, since neither depmod nor dracut removes such links. If
            // the root needs the driver, `initramfs-root-drivers` reports the missing driver.
            let found = "nothing, or a dangling link";
            findings.push(if relative.starts_with(b"weak-updates/") {
                wrong(found, "a module", DANGLING).only(Severity::Warning)
            } else {
                wrong(found, "a module", REBUILD)
            });
            continue;
        };
        if compared != *relative && ModuleName::of_path(compared) != ModuleName::of_path(relative) {
            let found = format!("another name of {}", show(compared));
            findings.push(wrong(&found, "a separate module file", REBUILD));
            continue;
        }
        match comparison {
            Comparison::Same => {}
            Comparison::NotOnDisk => {
                let expected = format!("only modules of /{}", subject.kver.dir());
                findings.push(wrong(
                    "a module that the tree does not have",
                    &expected,
                    REBUILD,
                ));
            }
            Comparison::Unread(why) => {
                let why = format!("the tree's {}: {why}", show(compared));
                return Err(Answer::CouldNotRun(why));
            }
            Comparison::Differs {
                maybe_same,
                inside,
                on_disk,
            } => {
                let found = differs(inside, on_disk, &wrong);
                let other = || {
                    wrong(
                        "content that differs from the module on disk",
                        "the tree's module",
                        REBUILD,
                    )
                };
                findings.extend(found.or_else(|| (!maybe_same).then(other)));
            }
            Comparison::Alone(told) => {
                let is_weak = relative.starts_with(b"weak-updates/");
                findings.extend(alone(subject, told, is_weak, &wrong));
            }
        }
    }
    Ok(findings)
}

type Wrong<'a> = &'a dyn Fn(&str, &str, Remedy) -> Finding;

/// Returns a finding if the included module and the one on disk differ in vermagic or dependencies, or if one of them
/// is damaged.
fn differs(inside: &Told, on_disk: &Told, wrong: Wrong) -> Option<Finding> {
    let (inside, on_disk) = match (inside, on_disk) {
        (Ok(inside), Ok(on_disk)) => (inside, on_disk),
        (Err(why), Ok(_)) => return Some(wrong(why, "the tree's module", REBUILD)),
        (_, Err(why)) => {
            let found =
                format!("content that differs from the module on disk, which is damaged: {why}");
            return Some(wrong(&found, "the tree's module", REINSTALL));
        }
    };
    if inside.vermagic != on_disk.vermagic {
        let expected = format!("{}, as on disk", vermagic(on_disk));
        return Some(wrong(&vermagic(inside), &expected, REBUILD));
    }
    if inside.depends != on_disk.depends {
        let names = |facts: &ModuleFacts| {
            let names: Vec<_> = facts.depends.iter().map(ToString::to_string).collect();
            format!("dependencies \"{}\"", names.join(","))
        };
        let expected = format!("{}, as on disk", names(on_disk));
        return Some(wrong(&names(inside), &expected, REBUILD));
    }
    None
}

fn alone(subject: &Subject, told: &Told, is_weak: bool, wrong: Wrong) -> Option<Finding> {
    let expected = format!("a module of {}", subject.kver);
    match told {
        Err(why) => Some(wrong(why, &expected, REBUILD)),
        Ok(facts) => {
            let words = facts.vermagic.as_deref().unwrap_or_default();
            let first = words.split(u8::is_ascii_whitespace).next();
            // A link of weak-modules leads to a module of another kernel with the same symbols, so the vermagic may
            // differ.
            let same = first == Some(subject.kver.as_str().as_bytes()) || is_weak;
            (!same).then(|| wrong(&vermagic(facts), &expected, REBUILD))
        }
    }
}

fn vermagic(facts: &ModuleFacts) -> String {
    match &facts.vermagic {
        Some(vermagic) => format!("vermagic \"{}\"", show(vermagic).trim_end()),
        None => "no vermagic".to_owned(),
    }
}

/// Reads the list `name` of the kernel's modules in the initramfs; `None` if the file does not exist.
fn inner<T>(
    subject: &Subject,
    inventory: &Inventory,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<T, ParseError>,
) -> Result<Option<T>, String> {
    let path = format!("usr/lib/modules/{}/{name}", subject.kver);
    let Ok((_, node)) = inventory.resolve(path.as_bytes()) else {
        return Ok(None);
    };
    let content = inventory.content(node);
    let data = content.and_then(|content| content.data.as_deref());
    let data = data.ok_or_else(|| format!("{name} is not a file, or is too large"))?;
    parse(data).map(Some).map_err(|error| error.to_string())
}

/// Returns the list `name` of the tree; without a tree, the one in the initramfs. `None` if the file does not exist.
pub(in crate::checks) fn list<'a, T: Clone>(
    subject: &'a Subject,
    inventory: &Inventory,
    name: &str,
    of_tree: impl Fn(&'a crate::checks::Lists) -> &'a crate::checks::subject::FileRead<T>,
    parse: impl Fn(&[u8]) -> Result<T, ParseError>,
) -> Result<Option<Cow<'a, T>>, Answer> {
    match subject.tree {
        Some(tree) => of_tree(&tree.lists)
            .as_ref()
            .map(|list| list.as_ref().map(Cow::Borrowed))
            .map_err(|why| Answer::CouldNotRun(why.clone())),
        None => inner(subject, inventory, name, parse)
            .map(|list| list.map(Cow::Owned))
            .map_err(|why| Answer::CouldNotRun(format!("in the initramfs: {why}"))),
    }
}

/// Returns findings about hard dependencies that are neither in the initramfs nor built in, or that the included
/// `modules.dep` or its index does not list. If one of these lists is missing or damaged, only that is a finding.
fn dependencies(
    subject: &Subject,
    inventory: &Inventory,
    inside: &Inside,
) -> Result<Vec<Finding>, Answer> {
    let builtin = builtin(subject, inventory)?;
    let text = own(subject, "modules.dep", Facts::dep);
    let mut owns = vec![text];
    if inside.by_index {
        owns.push(own(subject, "modules.dep.bin", Facts::dep));
    }
    let mut lists = Vec::new();
    let mut findings = Vec::new();
    for own in owns {
        match own {
            Ok(own) => lists.push(own),
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        return Ok(findings);
    }
    let of_tree = subject.tree.map(|tree| tree.lists.dep.as_ref());
    let dep = match of_tree {
        Some(Ok(dep)) => dep.as_ref(),
        Some(Err(why)) => return Err(Answer::CouldNotRun(why.clone())),
        // Without a tree only the included list is known.
        None => lists.first().map(|&(_, own)| own),
    };
    let Some(dep) = dep else {
        return Ok(Vec::new());
    };
    let nothing = Needs::default();
    let mut missing = BTreeMap::<&[u8], Vec<&[u8]>>::new();
    // Dangling links are left out: `bodies` reports them.
    let there = inside
        .paths
        .iter()
        .filter(|(_, path)| inventory.resolve(path).is_ok());
    for (relative, _) in there {
        // A module whose compression differs from the tree's is looked up by name.
        let by_name = || dep.needs(dep.path_of(&ModuleName::of_path(relative)?)?);
        let needs = dep.needs(relative).or_else(by_name).unwrap_or(&nothing);
        let lacks = |need: &&[u8]| {
            ModuleName::of_path(need)
                .is_some_and(|name| !inside.names.contains(&name) && !builtin.contains(&name))
        };
        let lost: Vec<_> = needs.iter().filter(lacks).collect();
        if !lost.is_empty() {
            for need in lost {
                missing.entry(need).or_default().push(relative);
            }
        } else {
            let mut lists = lists.iter();
            findings.extend(
                lists.find_map(|(path, own)| own_line(relative, needs, own, &builtin, path)),
            );
        }
    }
    let missing = missing.into_iter().map(|(need, users)| {
        let path = format!("{}/{} in the initramfs", subject.kver.dir(), show(need));
        let user = users.first().map(|user| show(user)).unwrap_or_default();
        let others = match users.len() {
            1 => String::new(),
            many => format!(" and {} others", many - 1),
        };
        let expected =
            format!("present in the initramfs: {user}{others} cannot be loaded without it");
        Finding::new(path, "no such module", expected, REBUILD)
    });
    Ok(missing.chain(findings).collect())
}

/// Returns the dependencies that the initramfs's modprobe reads: `modules.dep.bin`, or the text file `modules.dep` if
/// the index is missing or damaged. `None` if both are.
pub(in crate::checks) fn dep_inside<'s>(
    subject: &'s Subject,
    inventory: &Inventory,
) -> Option<&'s ModulesDep> {
    let facts = subject.facts().ok()?;
    ["modules.dep.bin", "modules.dep"].iter().find_map(|name| {
        let path = format!("{}/{name}", subject.kver.dir());
        let (_, node) = inventory.resolve(path.as_bytes()).ok()?;
        facts.dep(inventory, node)?.as_ref().ok()
    })
}

/// Returns the modules that are built into the kernel; an empty list if `modules.builtin` does not exist.
pub(in crate::checks) fn builtin<'a>(
    subject: &'a Subject,
    inventory: &Inventory,
) -> Result<Cow<'a, ModuleList>, Answer> {
    let parse = ModuleList::parse_builtin;
    let builtin = list(
        subject,
        inventory,
        "modules.builtin",
        |lists| &lists.builtin,
        parse,
    )?;
    Ok(builtin.unwrap_or_default())
}

/// Returns warnings about soft dependencies of included modules that are on disk, but neither in the initramfs nor
/// built in. A name that resolves to no module is not a fault. Empty without a tree.
fn softdeps(
    subject: &Subject,
    inventory: &Inventory,
    inside: &Inside,
) -> Result<Vec<Finding>, Answer> {
    let parse = Softdeps::parse;
    let softdeps = list(
        subject,
        inventory,
        "modules.softdep",
        |lists| &lists.softdep,
        parse,
    )?;
    // Without a tree it is not known which modules are on disk.
    let (Some(softdeps), Some(tree)) = (softdeps, subject.tree) else {
        return Ok(Vec::new());
    };
    let builtin = builtin(subject, inventory)?;
    let could_not = |why: &String| Answer::CouldNotRun(why.clone());
    let aliases = tree.lists.alias.as_ref().map_err(could_not)?;
    let builtin_aliases = tree.lists.builtin_alias.as_ref().map_err(could_not)?;
    let on_disk: HashSet<_> = tree
        .modules
        .iter()
        .filter_map(|path| ModuleName::of_path(path))
        .collect();
    let resolve = |aliases: &Option<Aliases>, target: &ModuleName| -> Vec<ModuleName> {
        let aliases = aliases.as_ref();
        aliases
            .map(|aliases| {
                aliases
                    .resolve(target.as_bytes())
                    .into_iter()
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    };
    let is_here = |name: &ModuleName| inside.names.contains(name) || builtin.contains(name);
    let mut findings = Vec::new();
    for (module, softdep) in softdeps
        .iter()
        .filter(|(name, _)| inside.names.contains(name))
    {
        for target in softdep.pre.iter().chain(&softdep.post) {
            if is_here(target) || !resolve(builtin_aliases, target).is_empty() {
                continue;
            }
            let mut serve = resolve(aliases, target);
            serve.push(target.clone());
            serve.retain(|name| on_disk.contains(name));
            if serve.is_empty() || serve.iter().any(is_here) {
                continue;
            }
            let path = format!("{target} in the initramfs");
            let expected = format!("in the initramfs: it is a softdep of {module} and is on disk");
            let remedy = "add it with add_drivers in /etc/dracut.conf.d if the root needs it";
            let finding = Finding::new(path, "no such module", expected, remedy);
            findings.push(finding.only(Severity::Warning));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
