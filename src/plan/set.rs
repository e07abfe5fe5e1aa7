// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages that the user named, and the kernel that is chosen from them.

use super::Host;
use super::parts::Flavour;
use crate::kernel::kver::Kver;
use crate::package::{Nevra, Package};

/// One RPM: its header, and the file that was checked.
#[derive(Debug, Clone)]
pub struct Source {
    /// What its header says.
    pub package: Package,
    /// The checked copy, relative to the root.
    pub path: String,
    /// SHA-256 of the whole file (hexadecimal).
    pub sha256: String,
    /// As the user named it.
    pub origin: String,
    /// Where its bytes come from.
    pub from: Origin,
    /// Whether they are those that the user named by their digest.
    pub pinned: bool,
    /// Whether it was named itself, rather than found in a directory.
    pub named: bool,
}

/// Where the bytes of a package come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The network.
    Url,
    /// A repository of the image, by dnf.
    Repository,
    /// A file, which somebody has put there.
    File,
}

/// A complete kernel of one build.
#[derive(Debug, Clone)]
pub struct KernelSet {
    /// What `uname -r` will say.
    pub kver: Kver,
    /// Its packages, sorted by name.
    pub sources: Vec<Source>,
    /// Packages of the directories that are not taken.
    pub unused: Vec<Nevra>,
    /// What the user should know of those.
    pub warnings: Vec<String>,
}

impl KernelSet {
    /// The package that owns `vmlinuz`.
    pub fn core(&self) -> Option<&Package> {
        self.sources
            .iter()
            .map(|source| &source.package)
            .find(|package| package.vmlinuz.is_some())
    }
}

/// The names of the base's kernel and of the one that comes.
pub(super) struct Sides<'a> {
    pub host: &'a Host,
    pub old: &'a Kver,
    pub was: Flavour,
    pub kver: &'a Kver,
    pub is: Flavour,
    /// The version, release and source package of the one that comes.
    pub build: (String, String, String),
}

impl Sides<'_> {
    /// Whether the base's kernel has a package of the same role.
    pub fn is_installed(&self, package: &Package) -> bool {
        let role = self.is.role(&package.nevra.name);
        let mut installed = self.host.packages_of(self.old);
        installed.any(|it| self.was.role(&it.nevra.name) == role)
    }

    /// Whether the name is that of a part of either kernel.
    pub fn is_part(&self, package: &Package) -> bool {
        !self.is.is_kmod(package) || !self.was.is_kmod(package)
    }

    /// Whether it was built with the kernel, or for it.
    pub fn is_of_build(&self, package: &Package) -> bool {
        if package.belongs_to(self.kver) {
            return true;
        }
        let (version, release, source) = &self.build;
        let has_source = !source.is_empty() && package.source == *source;
        let has_version = package.nevra.version == *version && package.nevra.release == *release;
        ties(package).next().is_none() && (has_source || (has_version && self.is_part(package)))
    }
}

/// The kernels that a package is tied to, by a `…uname-r`, or by modules that it owns.
pub(super) fn ties(package: &Package) -> impl Iterator<Item = &str> {
    let caps = package.provides.iter().chain(&package.requires);
    let caps = caps.filter(|cap| cap.is_uname_r() && !cap.version.is_empty());
    let dirs = package.modules.iter().map(|(dir, _)| dir.as_str());
    let own = package.vmlinuz.iter().map(Kver::as_str);
    caps.map(|cap| cap.version.as_str()).chain(dirs).chain(own)
}
