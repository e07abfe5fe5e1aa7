// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides which packages are removed with the old kernel, and whether the user allows it.

use std::collections::BTreeSet;

use super::parts::{Flavour, counterpart};
use super::{Change, Host, Installed, KernelSet, ModuleDir, Refusal, Wishes};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::package::capability::Capability;
use crate::package::{Nevra, Package};

/// The packages that are removed or stay.
#[derive(Debug, Clone, Default)]
pub struct Leaving {
    /// The old kernel's packages that are removed or replaced, and the packages that are removed because they require
    /// these. A package of no kernel that a namesake replaces is not in the list.
    pub gone: Vec<Nevra>,
    /// Packages in `gone` that no package of the same name replaces. The backend must be told to remove them.
    pub remove: Vec<Nevra>,
    /// Installed packages that are neither removed nor replaced.
    pub stays: Vec<Nevra>,
    /// Each removed, replaced or newly installed package, with its counterpart if it has one.
    pub changes: Vec<Change>,
    /// Packages of the old kernel's build that stay in their version, without meta packages.
    pub behind: Vec<Nevra>,
    /// Out-of-tree modules whose removal the user allows.
    pub kmods: BTreeSet<ModuleName>,
}

impl Leaving {
    /// Returns a result in which no package is removed, and the packages in `again` are installed again.
    pub(super) fn nothing(host: &Host, again: &[Nevra]) -> Self {
        let is_again = |nevra: &&Nevra| again.contains(nevra);
        let change = |nevra: &Nevra| Change {
            before: Some(nevra.clone()),
            after: Some(nevra.clone()),
        };
        let installed = host.installed().map(|it| &it.nevra);
        Self {
            changes: again.iter().map(change).collect(),
            stays: installed.filter(|it| !is_again(it)).cloned().collect(),
            ..Self::default()
        }
    }
}

/// Decides which packages go with the old kernel: its own packages, except those that may stay, and all packages with a
/// requirement that is then not met.
///
/// # Errors
/// A [`Refusal`] if a package or an out-of-tree module that the user has not named would be lost, or if a package that
/// the user has named would not be removed.
pub(super) fn leave(
    host: &Host,
    old: Option<&Kver>,
    set: &KernelSet,
    wishes: &Wishes,
) -> Result<Leaving, Refusal> {
    let mut replaced: Vec<_> = old
        .into_iter()
        .flat_map(|it| host.packages_of(it))
        .collect();
    replaced.retain(|it| wishes.remove.contains(&it.nevra.name) || !may_stay(it, host, old, set));
    let dependants = dependants(host, &replaced, set);
    let gone: Vec<_> = replaced
        .iter()
        .copied()
        .chain(dependants.iter().map(|(package, _)| *package))
        .collect();
    let may_go = |it: &Installed| wishes.remove.contains(&it.nevra.name);
    let is_there = |name: &&String| gone.iter().any(|it| it.nevra.name == **name);
    if let Some(unknown) = wishes.remove.iter().find(|name| !is_there(name)) {
        return Err(Refusal::NothingToRemove(unknown.clone()));
    }
    // A package without files is only a list of requirements, so nothing is lost with it.
    let lost = replaced
        .iter()
        .filter(|it| it.has_files && !may_go(it) && old_counterpart(it, host, old, set).is_none());
    let names: Vec<_> = lost.map(|it| it.nevra.name.clone()).collect();
    if !names.is_empty() {
        return Err(Refusal::NoCounterpart {
            kver: set.kver.clone(),
            names,
        });
    }
    // A meta package of the old kernel's build, for example kernel-devel-matched.
    let core = old.and_then(|old| host.core_of(old)).map(|it| &it.nevra);
    let is_meta = |it: &Installed| {
        let is_of_build =
            |core: &Nevra| core.version == it.nevra.version && core.release == it.nevra.release;
        !it.has_files && core.is_some_and(is_of_build)
    };
    let unasked: Vec<_> = dependants
        .iter()
        .filter(|(it, _)| !may_go(it) && !is_meta(it))
        .collect();
    if !unasked.is_empty() {
        let name =
            |(it, wanted): &&(&Installed, &Capability)| (it.nevra.name.clone(), wanted.to_string());
        return Err(Refusal::Dependants(unasked.iter().map(name).collect()));
    }
    let coming = |name: &str| set.sources.iter().any(|it| it.package.nevra.name == name);
    let goes = |it: &Installed| gone.iter().any(|gone| gone.nevra == it.nevra);
    Ok(Leaving {
        kmods: kmods(host, old, set, &gone, wishes)?,
        behind: behind(host, core, &gone, set),
        changes: changes(host, old, set, &gone),
        remove: gone
            .iter()
            .map(|it| &it.nevra)
            .filter(|it| !coming(&it.name))
            .cloned()
            .collect(),
        stays: host
            .installed()
            .filter(|it| !goes(it) && !coming(&it.nevra.name))
            .map(|it| it.nevra.clone())
            .collect(),
        gone: gone.iter().map(|it| it.nevra.clone()).collect(),
    })
}

/// Returns the package in `set` that replaces the installed package `it`; `None` without an old kernel.
fn old_counterpart<'a>(
    it: &Installed,
    host: &Host,
    old: Option<&Kver>,
    set: &'a KernelSet,
) -> Option<&'a Package> {
    old.and_then(|old| counterpart(it, host, old, set))
}

/// Returns whether a package of the kernel `old` can stay (kernel-devel): it has no counterpart, and it does not change
/// what is booted. It has files, but neither a kernel nor modules, and requires no `…uname-r`. Without an old kernel,
/// returns `true`.
fn may_stay(it: &Installed, host: &Host, old: Option<&Kver>, set: &KernelSet) -> bool {
    let Some(old) = old else { return true };
    let is_core = host.core_of(old).is_some_and(|core| core.nevra == it.nevra);
    let mut requires = it.requires.iter();
    // kernel-uki-virt contains a kernel, but no `vmlinuz`.
    let is_kernel = it.provides.iter().any(|cap| cap.name == "kernel-uname-r");
    it.has_files
        && !is_kernel
        && !is_core
        && it.kernels.is_empty()
        && it.modules.is_empty()
        && !requires.any(|cap| cap.is_uname_r())
        && counterpart(it, host, old, set).is_none()
}

/// Returns the packages of the build of `core` that have files and stay, sorted by NEVRA.
fn behind(host: &Host, core: Option<&Nevra>, gone: &[&Installed], set: &KernelSet) -> Vec<Nevra> {
    let is_of_build = |it: &Nevra| {
        core.is_some_and(|core| core.version == it.version && core.release == it.release)
    };
    let stays = |it: &Nevra| {
        !gone.iter().any(|gone| gone.nevra == *it)
            && !set
                .sources
                .iter()
                .any(|source| source.package.nevra.name == it.name)
    };
    let installed = host
        .installed()
        .filter(|it| it.has_files)
        .map(|it| &it.nevra);
    let mut behind: Vec<_> = installed
        .filter(|it| is_of_build(it) && stays(it))
        .cloned()
        .collect();
    behind.sort();
    behind
}

/// Returns the installed packages with a requirement that is no longer met once the packages `replaced` are removed,
/// then the packages that require these packages, and so on. Each package is returned with its first unmet requirement.
fn dependants<'a>(
    host: &'a Host,
    replaced: &[&Installed],
    set: &KernelSet,
) -> Vec<(&'a Installed, &'a Capability)> {
    let coming: Vec<_> = set.sources.iter().map(|source| &source.package).collect();
    let mut stays: Vec<_> = host
        .installed()
        .filter(|it| !replaced.iter().any(|gone| gone.nevra == it.nevra))
        .filter(|it| !coming.iter().any(|new| new.nevra.name == it.nevra.name))
        .collect();
    let mut found = Vec::new();
    loop {
        let is_met = |wanted: &Capability| {
            let stay = stays.iter().flat_map(|it| &it.provides);
            let come = coming.iter().flat_map(|it| &it.provides);
            stay.chain(come).any(|cap| cap.meets(wanted))
        };
        let was_met = |wanted: &Capability| {
            let mut caps = host.installed().flat_map(|it| &it.provides);
            caps.any(|cap| cap.meets(wanted))
        };
        let broken: Vec<_> = stays
            .iter()
            .filter_map(|it| {
                let mut wanted = it.requires.iter();
                Some((*it, wanted.find(|cap| !is_met(cap) && was_met(cap))?))
            })
            .collect();
        if broken.is_empty() {
            return found;
        }
        stays.retain(|it| !broken.iter().any(|(gone, _)| gone.nevra == it.nevra));
        found.extend(broken);
    }
}

fn changes(host: &Host, old: Option<&Kver>, set: &KernelSet, gone: &[&Installed]) -> Vec<Change> {
    let packages = || set.sources.iter().map(|source| &source.package);
    let change = |it: &&Installed| Change {
        before: Some(it.nevra.clone()),
        after: old_counterpart(it, host, old, set).map(|package| package.nevra.clone()),
    };
    let mut changes: Vec<_> = gone.iter().map(change).collect();
    let old_flavour = old.map(|old| Flavour::of_base(host, old));
    let new_flavour = Flavour::of_set(packages(), &set.kver);
    let is_new = |package: &&Package| {
        let role = new_flavour.role(&package.nevra.name);
        !gone.iter().any(|it| {
            let flavour = old_flavour.as_ref();
            flavour.is_some_and(|flavour| flavour.role(&it.nevra.name) == role)
        })
    };
    let namesake = |package: &Package| {
        let mut stays = host
            .installed()
            .filter(|it| !gone.iter().any(|gone| gone.nevra == it.nevra));
        stays.find(|it| it.nevra.name == package.nevra.name)
    };
    changes.extend(packages().filter(is_new).map(|package| Change {
        before: namesake(package).map(|it| it.nevra.clone()),
        after: Some(package.nevra.clone()),
    }));
    changes
}

/// Returns the out-of-tree modules whose removal the user allows, since `--remove` names all their packages. Refuses to
/// lose other out-of-tree modules.
///
/// The program weak-modules, if installed, may link modules of packages that stay into the new kernel's directory. Such
/// modules are not refused here; the check `kmods` verifies whether the program did.
fn kmods(
    host: &Host,
    old: Option<&Kver>,
    set: &KernelSet,
    gone: &[&Installed],
    wishes: &Wishes,
) -> Result<BTreeSet<ModuleName>, Refusal> {
    let Some(old) = old else {
        return Ok(BTreeSet::new());
    };
    let (mut allowed, mut missing) = (BTreeSet::new(), Vec::new());
    for kmod in &host.kmods {
        let built = (set.kver.to_string(), kmod.name.clone());
        let comes = set
            .sources
            .iter()
            .any(|it| it.package.modules.contains(&built));
        let holds_it = |dir: &ModuleDir| dir.name == built.0 && dir.kmods.contains(&kmod.name);
        let is_asked = |owner: &String| wishes.remove.contains(owner);
        let goes = |owner: &String| gone.iter().any(|it| it.nevra.name == *owner);
        if comes || host.module_dirs.iter().any(holds_it) {
            continue;
        }
        if !kmod.owners.is_empty() && kmod.owners.iter().all(is_asked) {
            allowed.insert(kmod.name.clone());
        } else if kmod.owners.is_empty() || !host.weak_modules || kmod.owners.iter().any(goes) {
            missing.push(kmod.clone());
        }
    }
    // Programs of the user may build the missing modules; the check `kmods` verifies this.
    if missing.is_empty() || wishes.builds_modules {
        return Ok(allowed);
    }
    Err(Refusal::NoKmods {
        old: old.clone(),
        kver: set.kver.clone(),
        kmods: missing,
    })
}
