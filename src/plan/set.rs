// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages of the sources, and the kernel that is chosen from them.

use super::parts::{Flavour, Role};
use super::{Host, Installed};
use crate::kernel::kver::Kver;
use crate::package::{Nevra, Package};

/// One RPM of the sources: its header, and the copy that is installed.
#[derive(Debug, Clone)]
pub struct Source {
    /// The facts from its header, and the result of the signature check.
    pub package: Package,
    /// The path of the copy in the private directory of the run, relative to the root. Empty if only the header was
    /// read.
    pub path: String,
    /// SHA-256 of the whole file (hexadecimal). Empty if only the header was read.
    pub sha256: String,
    /// The URL, path or file name of the package, without `#sha256=HEX`, for messages.
    pub origin: String,
    /// The kind of place from which the bytes come.
    pub from: PackageOrigin,
    /// Whether the user gave the SHA-256 of the file.
    pub pinned: bool,
    /// Whether the user named this package alone, not its directory or a repository.
    pub named: bool,
}

/// The kind of place from which a package's bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageOrigin {
    /// The network.
    Url,
    /// A repository of the image, through dnf.
    Repository,
    /// A local file.
    File,
}

/// A complete kernel of one build.
#[derive(Debug, Clone)]
pub struct KernelSet {
    /// The kernel release, as in `uname -r`.
    pub kver: Kver,
    /// The packages to install: those of the kernel, its kmods, and companions. Sorted by NEVRA.
    pub sources: Vec<Source>,
    /// Packages of the sources that are not taken.
    pub unused: Vec<Nevra>,
    /// Warnings about the packages that are not taken.
    pub warnings: Vec<String>,
}

impl KernelSet {
    /// Returns the package that owns `vmlinuz`.
    pub fn core(&self) -> Option<&Package> {
        self.sources
            .iter()
            .map(|source| &source.package)
            .find(|package| package.vmlinuz.is_some())
    }
}

/// The old and the new kernel.
pub(super) struct Sides<'a> {
    pub host: &'a Host,
    /// The old kernel; `None` for a tree without one.
    pub old: Option<&'a Kver>,
    pub old_flavour: Flavour,
    pub kver: &'a Kver,
    pub new_flavour: Flavour,
    /// The version, the release and the source package of the package that owns the new `vmlinuz`.
    pub build: (String, String, String),
}

impl Sides<'_> {
    /// Returns whether a package of the old kernel has the same role as `package` has in the new kernel.
    pub fn is_installed(&self, package: &Package) -> bool {
        let role = self.new_flavour.role(&package.nevra.name);
        self.old_packages()
            .any(|it| self.old_flavour.role(&it.nevra.name) == role)
    }

    /// Returns the packages of the old kernel.
    pub fn old_packages(&self) -> impl Iterator<Item = &Installed> {
        let old = self.old.into_iter();
        old.flat_map(|old| self.host.packages_of(old))
    }

    /// Returns whether a package is taken because the tree has no kernel: it has modules of the new kernel, or is the
    /// meta package. `false` for a tree with a kernel.
    pub fn is_of_first(&self, package: &Package) -> bool {
        let is_meta = || {
            let role = self.new_flavour.role(&package.nevra.name);
            !package.has_files && role == Role::Part(String::new())
        };
        let has_modules = || {
            let mut modules = package.modules.iter();
            modules.any(|(dir, _)| dir == self.kver.as_str())
        };
        self.old.is_none() && (has_modules() || is_meta())
    }

    /// Returns whether the package's name is that of a part of the old or the new kernel.
    pub fn is_part(&self, package: &Package) -> bool {
        !self.new_flavour.is_kmod(package) || !self.old_flavour.is_kmod(package)
    }

    /// Returns whether the package belongs to the new kernel, or was built with it and belongs to no kernel.
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

/// Returns the kvers of the kernels that a package belongs to, by a capability `…uname-r`, or by the modules or the
/// `vmlinuz` that the package owns. A kver can occur several times.
pub(super) fn ties(package: &Package) -> impl Iterator<Item = &str> {
    let caps = package.provides.iter().chain(&package.requires);
    let caps = caps.filter(|cap| cap.is_uname_r() && !cap.version.is_empty());
    let dirs = package.modules.iter().map(|(dir, _)| dir.as_str());
    let own = package.vmlinuz.iter().map(Kver::as_str);
    caps.map(|cap| cap.version.as_str()).chain(dirs).chain(own)
}
