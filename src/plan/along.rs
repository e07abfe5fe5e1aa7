// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which packages come along with a kernel although it does not require them: those whose modules the
//! base has on disk, and those of its build that the base has (kernel-tools, kernel-headers).

use super::set::{Sides, Source};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::package::capability::Capability;
use crate::package::{Nevra, Package};

/// How many names of modules a warning has.
const NAMES: usize = 5;

/// The modules of K that a package owns.
pub(super) fn modules<'a>(
    package: &'a Package,
    kver: &'a Kver,
) -> impl Iterator<Item = &'a ModuleName> {
    let of_kernel = package.modules.iter();
    let of_kernel = of_kernel.filter(|(dir, _)| dir == kver.as_str());
    of_kernel.map(|(_, name)| name)
}

/// Whether it owns a module that the base has on disk, and that no taken package brings.
pub(super) fn is_missed(package: &Package, taken: &[Source], sides: &Sides) -> bool {
    let comes = |name: &ModuleName| {
        let built = (sides.kver.to_string(), name.clone());
        let mut taken = taken.iter();
        taken.any(|source| source.package.modules.contains(&built))
    };
    let mut modules = modules(package, sides.kver);
    modules.any(|name| sides.host.modules.contains(name) && !comes(name))
}

/// What is left out of the kernel's own modules: the base has none of them.
pub(super) fn left_out(rest: &[Source], kver: &Kver) -> Vec<String> {
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
                "{} is left out: the base has none of the modules in it ({some}). To take it, name its file as a source too",
                source.package.nevra
            )
        })
    };
    rest.iter().filter_map(warning).collect()
}

/// Takes packages that are tied to no kernel, and were built with this one, where the base has a
/// package of that name, and where all requirements are met afterwards.
pub(super) fn companions(taken: &mut Vec<Source>, rest: &mut Vec<Source>, sides: &Sides) {
    let host = sides.host;
    let is_there = |nevra: &Nevra| host.installed().any(|it| it.nevra == *nevra);
    // Of a kernel that is installed they were taken before, and are there in the same version.
    let mut cores = taken.iter().map(|source| &source.package);
    let is_settled = cores.any(|it| it.vmlinuz.is_some() && is_there(&it.nevra));
    let is_companion = |source: &Source| {
        let package = &source.package;
        let mut installed = host.installed();
        !package.belongs_to(sides.kver)
            && installed.any(|it| it.nevra.name == package.nevra.name)
            && is_settled == is_there(&package.nevra)
    };
    let mut chosen: Vec<Source> = rest.extract_if(.., |it| is_companion(it)).collect();
    while let Some(at) = unfit(&chosen, taken, sides) {
        rest.push(chosen.remove(at));
    }
    taken.append(&mut chosen);
}

/// A companion that cannot come: it requires what will not be there, or another package requires the
/// one in whose place it would come.
fn unfit(chosen: &[Source], taken: &[Source], sides: &Sides) -> Option<usize> {
    let host = sides.host;
    let coming = || chosen.iter().chain(taken).map(|source| &source.package);
    let goes = |nevra: &Nevra| {
        coming().any(|it| it.nevra.name == nevra.name)
            || host.packages_of(sides.old).any(|it| it.nevra == *nevra)
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
    // Of a name that no package of the image provides nothing is known: files are such names.
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
