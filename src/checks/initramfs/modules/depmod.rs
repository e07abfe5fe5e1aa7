// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the copies of depmod's lists in the initramfs, which udev and modprobe read.

use std::collections::{BTreeSet, HashSet};

use super::{Inside, REBUILD};
use crate::checks::{Answer, Finding, Subject, show};
use crate::initramfs::{Facts, Inventory, List, Node};
use crate::kernel::modules::{Aliases, ModuleList, ModuleName, ModulesDep, Needs};

/// Programs whose presence shows that libkmod loads the modules: kmod itself, and systemd, whose udevd uses libkmod.
/// libkmod reads the indexes, busybox the text files.
const READERS: [&[u8]; 5] = [
    b"usr/bin/kmod",
    b"usr/sbin/kmod",
    b"bin/kmod",
    b"sbin/kmod",
    b"usr/lib/systemd/systemd",
];

/// Returns whether an included program reads the indexes instead of the text files.
pub(super) fn reads_indexes(inventory: &Inventory) -> bool {
    let mut readers = READERS.iter();
    readers.any(|path| inventory.resolve(path).is_ok())
}

/// A function of [`Facts`] that returns the list in a file.
type Learnt<T> = for<'f> fn(&'f Facts, &Inventory, &Node) -> Option<&'f List<T>>;

/// Returns depmod's list `name` in the initramfs, with its place for findings. `Err` is the finding about a missing or
/// damaged list.
pub(super) fn own<'s, T>(
    subject: &'s Subject,
    name: &str,
    learnt: Learnt<T>,
) -> Result<(String, &'s T), Finding> {
    let path = format!("{}/{name}", subject.kver.dir());
    let place = format!("{path} in the initramfs");
    let found = || {
        let (inventory, facts) = (subject.unpacked().ok()?, subject.facts().ok()?);
        let (_, node) = inventory.resolve(path.as_bytes()).ok()?;
        Some(learnt(facts, inventory, node))
    };
    let why = match found() {
        Some(Some(Ok(own))) => return Ok((place, own)),
        Some(Some(Err(why))) => why.clone(),
        Some(None) => format!("{name} is not a file, or is empty"),
        None => "no such file".to_owned(),
    };
    let expected = "depmod's output; otherwise modprobe and udev find no modules";
    Err(Finding::new(place, why, expected, REBUILD))
}

/// Returns a finding if the included list `own` at `path` has no line for the module `relative`, or has dependencies
/// other than `needs`, the dependencies in the tree's list. Built-in modules among the dependencies are not compared.
pub(super) fn own_line(
    relative: &[u8],
    needs: &Needs,
    own: &ModulesDep,
    builtin: &ModuleList,
    path: &str,
) -> Option<Finding> {
    let found = own.needs(relative);
    if found == Some(needs) {
        return None;
    }
    let names = |needs: &Needs| -> BTreeSet<_> {
        let names = needs.iter().filter_map(ModuleName::of_path);
        names.filter(|name| !builtin.contains(name)).collect()
    };
    let join = |names: &BTreeSet<ModuleName>| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        match names.as_slice() {
            [] => "nothing".to_owned(),
            names => names.join(","),
        }
    };
    let Some(found) = found else {
        let found = format!("no line for {}", show(relative));
        return Some(Finding::new(
            path,
            found,
            "a line, so that modprobe finds the module",
            REBUILD,
        ));
    };
    let (found, expected) = (names(found), names(needs));
    (found != expected).then(|| {
        let module = show(relative);
        let found = format!("{module} needs {}", join(&found));
        Finding::new(
            path,
            found,
            format!("it needs {}", join(&expected)),
            REBUILD,
        )
    })
}

/// Returns findings about included modules that have aliases in the tree's `modules.alias`, and none in the index
/// `modules.alias.bin` of the initramfs: udev does not load these modules. A missing or damaged index is a finding,
/// too. Empty if no included program reads indexes.
pub(super) fn aliases(subject: &Subject, inside: &Inside) -> Result<Vec<Finding>, Answer> {
    if !inside.by_index {
        return Ok(Vec::new());
    }
    let (path, own) = match own(subject, "modules.alias.bin", Facts::aliased) {
        Ok(own) => own,
        Err(finding) => return Ok(vec![finding]),
    };
    let Some(tree) = subject.tree else {
        return Ok(Vec::new());
    };
    let of_tree = tree.lists.alias.as_ref();
    let of_tree = of_tree.map_err(|why| Answer::CouldNotRun(why.clone()))?;
    let without: HashSet<_> = inside.names.difference(own).collect();
    let served = of_tree.iter().flat_map(Aliases::iter);
    let lost: BTreeSet<_> = served
        .map(|(_, name)| name)
        .filter(|name| without.contains(name))
        .collect();
    let finding = |name: &ModuleName| {
        let expected =
            "the aliases in the tree's modules.alias; without them udev does not load it";
        Finding::new(&path, format!("no alias of {name}"), expected, REBUILD)
    };
    Ok(lost.into_iter().map(finding).collect())
}
