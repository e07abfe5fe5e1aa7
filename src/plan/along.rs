// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds packages that are installed with a kernel although its packages do not require them. These are packages with
//! modules that the base has on disk, and packages of the kernel's build that the base has, too (kernel-tools,
//! kernel-headers).

use super::set::{Sides, Source};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::package::capability::Capability;
use crate::package::{Nevra, Package};

/// Upper bound of the number of module names in a warning.
const NAMES: usize = 5;

/// Returns the package's modules for the kernel `kver`.
pub(super) fn modules<'a>(
    package: &'a Package,
    kver: &'a Kver,
) -> impl Iterator<Item = &'a ModuleName> {
    let of_kernel = package.modules.iter();
    let of_kernel = of_kernel.filter(|(dir, _)| dir == kver.as_str());
    of_kernel.map(|(_, name)| name)
}

/// Returns whether the package owns a module for the new kernel that the base has on disk for its own kernel, and that
/// no taken package brings.
pub(super) fn is_missed(package: &Package, taken: &[Source], sides: &Sides) -> bool {
    let comes = |name: &ModuleName| {
        let built = (sides.kver.to_string(), name.clone());
        let mut taken = taken.iter();
        taken.any(|source| source.package.modules.contains(&built))
    };
    let mut modules = modules(package, sides.kver);
    modules.any(|name| sides.host.modules.contains(name) && !comes(name))
}

/// Returns warnings about packages with modules of the kernel that are left out because the base has none of their
/// modules.
pub(super) fn warn_left_out(rest: &[Source], kver: &Kver) -> Vec<String> {
    let warning = |source: &Source| {
        let names: Vec<_> = modules(&source.package, kver)
            .map(ToString::to_string)
            .collect();
        let some = names.get(..NAMES).map_or_else(
            || names.join(", "),
            |some| match names.len() - NAMES {
                0 => some.join(", "),
                more => format!("{} and {more} more", some.join(", ")),
            },
        );
        (!names.is_empty()).then(|| {
            format!(
                "{} is left out: the base has none of the modules in it ({some}). To install it, add its file to the sources",
                source.package.nevra
            )
        })
    };
    rest.iter().filter_map(warning).collect()
}

/// Moves companions from `rest`, which has only packages of the new kernel's build, to `taken`. A companion does not
/// belong to the new kernel. The base must have a package of the same name, and all requirements must be met
/// afterwards.
pub(super) fn companions(taken: &mut Vec<Source>, rest: &mut Vec<Source>, sides: &Sides) {
    let host = sides.host;
    let is_there = |nevra: &Nevra| host.installed().any(|it| it.nevra == *nevra);
    // If the kernel is installed already, an earlier run has installed its companions, so a companion must be installed
    // in the same version. Otherwise, it must not be.
    let mut cores = taken.iter().map(|source| &source.package);
    let is_installed = cores.any(|it| it.vmlinuz.is_some() && is_there(&it.nevra));
    let is_companion = |source: &Source| {
        let package = &source.package;
        let mut installed = host.installed();
        !package.belongs_to(sides.kver)
            && installed.any(|it| it.nevra.name == package.nevra.name)
            && is_installed == is_there(&package.nevra)
    };
    let mut chosen: Vec<Source> = rest.extract_if(.., |it| is_companion(it)).collect();
    while let Some(at) = unfit(&chosen, taken, sides) {
        rest.push(chosen.remove(at));
    }
    taken.append(&mut chosen);
}

/// Returns the index of the first companion that cannot be taken: it requires something that nothing would provide, or
/// a remaining package requires something that only the replaced package provides. `None` if all can be taken.
fn unfit(chosen: &[Source], taken: &[Source], sides: &Sides) -> Option<usize> {
    let host = sides.host;
    let coming = || chosen.iter().chain(taken).map(|source| &source.package);
    let goes = |nevra: &Nevra| {
        coming().any(|it| it.nevra.name == nevra.name)
            || sides.old_packages().any(|it| it.nevra == *nevra)
    };
    let stays: Vec<_> = host.installed().filter(|it| !goes(&it.nevra)).collect();
    let was_met = |wanted: &Capability| {
        let mut caps = host.installed().flat_map(|it| &it.provides);
        caps.any(|cap| cap.name == wanted.name)
    };
    let is_met = |wanted: &Capability| {
        let stay = stays.iter().flat_map(|it| &it.provides);
        let come = coming().flat_map(|it| &it.provides);
        stay.chain(come).any(|cap| cap.meets(wanted))
    };
    // Requirements whose names no package of the image provides, such as files, are not checked.
    let lacks = |wanted: &Capability| was_met(wanted) && !is_met(wanted);
    let needed: Vec<_> = stays
        .iter()
        .flat_map(|it| &it.requires)
        .filter(|wanted| lacks(wanted))
        .collect();
    chosen.iter().position(|source| {
        let package = &source.package;
        let mut namesakes = host.installed();
        let is_needed = namesakes.any(|it| {
            it.nevra.name == package.nevra.name
                && it
                    .provides
                    .iter()
                    .any(|cap| needed.iter().any(|wanted| cap.meets(wanted)))
        });
        is_needed || package.requires.iter().any(lacks)
    })
}
