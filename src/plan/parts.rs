// SPDX-License-Identifier: MIT OR Apache-2.0
//! Assigns packages to the parts of a kernel, and packages of the set to the base's packages that they replace.

use super::{Host, Installed, KernelSet};
use crate::kernel::kver::Kver;
use crate::package::Package;
use crate::package::capability::Capability;

/// The role of a package in a kernel, independent of the kernel's flavour and release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// The owner of `vmlinuz`.
    Core,
    /// A sub-package: the rest of its name after the flavour (`-modules`; empty for the meta package).
    Part(String),
    /// Any other package, for example one with out-of-tree modules: its name without the kver that akmods appends.
    Kmod(String),
}

/// The flavour of a kernel, which determines the names of its packages.
pub(super) struct Flavour {
    kver: String,
    /// The name of the package that owns `vmlinuz`: `kernel-core`, `kernel-rt-core`, `kernel-lt`. Empty if there is
    /// none.
    core: String,
}

impl Flavour {
    /// Returns the flavour of the base's kernel `old`.
    pub fn of_base(host: &Host, old: &Kver) -> Self {
        Self {
            kver: old.to_string(),
            core: host
                .core_of(old)
                .map_or_else(String::new, |it| it.nevra.name.clone()),
        }
    }

    /// Returns the flavour of the base's kernel; an empty one, which matches no package, if the base has no kernel.
    pub fn of_old(host: &Host, old: Option<&Kver>) -> Self {
        let none = || Self {
            kver: String::new(),
            core: String::new(),
        };
        old.map_or_else(none, |old| Self::of_base(host, old))
    }

    /// Returns the flavour of packages, one of which owns the `vmlinuz` of `kver`.
    pub fn of_set<'a>(mut packages: impl Iterator<Item = &'a Package>, kver: &Kver) -> Self {
        let core = packages.find(|package| package.vmlinuz.as_ref() == Some(kver));
        Self {
            kver: kver.to_string(),
            core: core.map_or_else(String::new, |package| package.nevra.name.clone()),
        }
    }

    /// Returns the short name of the flavour, as `--flavour` takes it; `None` if the package that owns `vmlinuz` is not
    /// known.
    pub fn short(&self) -> Option<&str> {
        (!self.core.is_empty()).then(|| short(&self.core))
    }

    /// Returns whether the package's name is not that of a part of this kernel. If such a package belongs to the
    /// kernel, it holds out-of-tree modules.
    pub fn is_kmod(&self, package: &Package) -> bool {
        matches!(self.role(&package.nevra.name), Role::Kmod(_))
    }

    /// Returns the role of the package `name`.
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

/// The short name of the flavour whose packages are named `kernel`, `kernel-core` …
const DEFAULT: &str = "default";

/// Returns the short name of a flavour from the name of the package that owns `vmlinuz`: `rt` for `kernel-rt-core`,
/// `default` for `kernel-core` and for `kernel`. If the name does not begin with `kernel`, only `-core` is removed.
pub(super) fn short(core: &str) -> &str {
    let flavour = core.strip_suffix("-core").unwrap_or(core);
    match flavour.strip_prefix("kernel") {
        Some("") => DEFAULT,
        Some(rest) => rest.strip_prefix('-').unwrap_or(flavour),
        None => flavour,
    }
}

/// Returns the package of the set that replaces an installed package. It is the first of these that exists:
///
/// - A package with the same role.
/// - A package that provides or obsoletes the installed package's name.
/// - A package that brings more than half of the installed package's modules. A kernel can be one package, and
///   distributions divide modules differently.
/// - The set's core, if the installed package is a sub-package that the base's core requires: kernel-modules-core was
///   split off the core in Fedora 38.
pub(super) fn counterpart<'a>(
    installed: &Installed,
    host: &Host,
    old: &Kver,
    set: &'a KernelSet,
) -> Option<&'a Package> {
    let packages = || set.sources.iter().map(|source| &source.package);
    let (old_flavour, new_flavour) = (
        Flavour::of_base(host, old),
        Flavour::of_set(packages(), &set.kver),
    );
    let name = &installed.nevra.name;
    let role = old_flavour.role(name);
    let of_role = packages().find(|package| new_flavour.role(&package.nevra.name) == role);
    let of_capability = || {
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
        .or_else(of_capability)
        .or_else(of_modules)
        .or_else(of_core)
}

/// Returns whether a package of the kernel `kver` brings more than half of the installed package's modules for the
/// kernel `old`.
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

/// Returns whether the package is the base's core, or is required by it through a `…uname-r`, directly or indirectly.
fn is_part_of_core(installed: &Installed, host: &Host, old: &Kver) -> bool {
    let Some(core) = host.core_of(old) else {
        return false;
    };
    let mut parts = vec![core];
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        // Requirements that the parts found so far meet are skipped: kernel-uki-virt meets some of them, too, and is no
        // part.
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
