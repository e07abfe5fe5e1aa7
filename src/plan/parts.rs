// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which part of a kernel a package is, and which package of the set stands for which of the base.

use super::{Host, Installed, KernelSet};
use crate::kernel::kver::Kver;
use crate::package::Package;
use crate::package::capability::Capability;

/// What a package is to its kernel, whatever the flavour and the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// It owns `vmlinuz`.
    Core,
    /// A sub-package: what its name has behind the flavour's (`-modules`; nothing for the meta
    /// package).
    Part(String),
    /// A package of out-of-tree modules: its name, without the kver that akmods puts behind it.
    Kmod(String),
}

/// The names of one kernel's packages.
pub(super) struct Flavour {
    kver: String,
    /// The package that owns `vmlinuz`: `kernel-core`, `kernel-rt-core`, `kernel-lt`.
    core: String,
}

impl Flavour {
    /// The base's.
    pub fn of_base(host: &Host, old: &Kver) -> Self {
        Self {
            kver: old.to_string(),
            core: host
                .core_of(old)
                .map_or_else(String::new, |it| it.nevra.name.clone()),
        }
    }

    /// That of packages, one of which owns the `vmlinuz` of K.
    pub fn of_set<'a>(mut packages: impl Iterator<Item = &'a Package>, kver: &Kver) -> Self {
        let core = packages.find(|package| package.vmlinuz.as_ref() == Some(kver));
        Self {
            kver: kver.to_string(),
            core: core.map_or_else(String::new, |package| package.nevra.name.clone()),
        }
    }

    /// Whether it is no part of the kernel by its name: where it belongs to it all the same, it
    /// holds out-of-tree modules.
    pub fn is_kmod(&self, package: &Package) -> bool {
        matches!(self.role(&package.nevra.name), Role::Kmod(_))
    }

    /// The role of the package with that name.
    pub fn role(&self, name: &str) -> Role {
        if name == self.core {
            return Role::Core;
        }
        let without_kver = name.strip_suffix(&self.kver);
        let name = without_kver
            .and_then(|name| name.strip_suffix('-'))
            .unwrap_or(name);
        let flavour = self.core.strip_suffix("-core").unwrap_or(&self.core);
        match name.strip_prefix(flavour) {
            Some(rest) if rest.is_empty() || rest.starts_with('-') => Role::Part(rest.to_owned()),
            _ => Role::Kmod(name.to_owned()),
        }
    }
}

/// The package of the set that stands for an installed one: of the same role; or one that says so,
/// by providing or obsoleting its name; or one that brings most of its modules (a kernel may be one
/// package, and where modules are differs between distributions); or, for what the base's core itself
/// requires and the set's core does without (kernel-modules-core is such a part since Fedora 38), the
/// core.
pub(super) fn counterpart<'a>(
    installed: &Installed,
    host: &Host,
    old: &Kver,
    set: &'a KernelSet,
) -> Option<&'a Package> {
    let packages = || set.sources.iter().map(|source| &source.package);
    let (was, is) = (
        Flavour::of_base(host, old),
        Flavour::of_set(packages(), &set.kver),
    );
    let name = &installed.nevra.name;
    let role = was.role(name);
    let of_role = packages().find(|package| is.role(&package.nevra.name) == role);
    let says_so = || {
        packages().find(|package| {
            let mut caps = package.provides.iter().chain(&package.obsoletes);
            caps.any(|cap| cap.name == *name)
        })
    };
    let of_core = || {
        let is_split_off = matches!(role, Role::Part(_)) && is_part_of_core(installed, host, old);
        set.core().filter(|_| is_split_off)
    };
    let of_modules = || packages().find(|package| brings_most(package, &set.kver, installed, old));
    of_role
        .or_else(says_so)
        .or_else(of_modules)
        .or_else(of_core)
}

/// Whether a package of the kernel K brings more than half of an installed package's modules.
fn brings_most(package: &Package, kver: &Kver, installed: &Installed, old: &Kver) -> bool {
    let names = installed.modules.iter();
    let names = names.filter(|(dir, _)| dir == old.as_str());
    let (mut all, mut brought) = (0, 0);
    for (_, name) in names {
        all += 1;
        brought += usize::from(package.modules.contains(&(kver.to_string(), name.clone())));
    }
    2 * brought > all
}

/// Whether the base's core requires it, itself or by what it requires.
fn is_part_of_core(installed: &Installed, host: &Host, old: &Kver) -> bool {
    let Some(core) = host.core_of(old) else {
        return false;
    };
    let mut parts = vec![core];
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        // What they provide themselves, others may provide, too: kernel-uki-virt does.
        let has = |wanted: &Capability| {
            let mut caps = parts.iter().flat_map(|part| &part.provides);
            caps.any(|cap| cap.meets(wanted))
        };
        let wanted = part.requires.iter().filter(|cap| cap.is_uname_r());
        let more: Vec<_> = wanted
            .filter(|wanted| !has(wanted))
            .flat_map(|wanted| {
                let provides = |it: &&Installed| it.provides.iter().any(|cap| cap.meets(wanted));
                host.packages_of(old).filter(provides)
            })
            .filter(|it| !parts.iter().any(|part| part.nevra == it.nevra))
            .collect();
        parts.extend(more);
        at += 1;
    }
    parts.iter().any(|part| part.nevra == installed.nevra)
}
