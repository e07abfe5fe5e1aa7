// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the survey saw, as values.

use std::collections::BTreeSet;
use std::fmt;

use super::locks::Exclusion;
use super::{Oddities, Refusal};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::package::Nevra;
use crate::package::capability::Capability;

/// What kind of tree this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// rpm-ostree's own test for a container image with an ostree repository says yes.
    OstreeContainer,
    /// A container image or root without one.
    Container,
    /// A running ostree host, whose `/usr` is read-only.
    OstreeHost,
    /// Another running system.
    RunningSystem,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OstreeContainer => "ostree container",
            Self::Container => "container without an ostree repository",
            Self::OstreeHost => "booted ostree host",
            Self::RunningSystem => "running system",
        })
    }
}

/// A program that can replace packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// `rpm-ostree override replace`, in an ostree container.
    RpmOstree,
    /// dnf 5.
    Dnf5,
    /// dnf 4.
    Dnf,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RpmOstree => "rpm-ostree",
            Self::Dnf5 => "dnf5",
            Self::Dnf => "dnf",
        })
    }
}

/// rpm-ostree's version: the year and the release in it. The order is the order in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RpmOstreeVersion(pub u32, pub u32);

impl RpmOstreeVersion {
    /// From here on `kernel-install` is wrapped during a container transaction.
    pub const WRAPS_KERNEL_INSTALL: Self = Self(2024, 6);
    /// From here on it is not wrapped where `usr/lib/kernel/install.conf` says `layout=ostree`.
    pub const HONOURS_LAYOUT: Self = Self(2025, 1);
    /// From here on `/etc/kernel` and the drop-ins count too.
    pub const HONOURS_DROP_INS: Self = Self(2026, 1);
}

impl fmt::Display for RpmOstreeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// cliwrap: rpm-ostree's shell wrappers in the place of real programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cliwrap {
    /// Wrappers whose original waits in `usr/libexec/rpm-ostree/wrapped`: (wrapper, original).
    pub wrapped: Vec<(String, String)>,
    /// Wrappers that rpm-ostree created where there was no program.
    pub created: Vec<String>,
    /// Wrappers whose original is gone: it is itself a wrapper, which runs itself for ever, or it
    /// is not there.
    pub lost: Vec<String>,
}

impl Cliwrap {
    /// Whether any wrapper is there.
    pub fn is_on(&self) -> bool {
        !(self.wrapped.is_empty() && self.created.is_empty() && self.lost.is_empty())
    }
}

/// A directory of `usr/lib/modules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleDir {
    /// Its name.
    pub name: String,
    /// Whether it holds a regular `vmlinuz`.
    pub has_vmlinuz: bool,
    /// Out-of-tree modules in it, where it holds none: built before their kernel came.
    pub kmods: BTreeSet<ModuleName>,
}

/// An earlier run of `replace`, by its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The kernel that it installed.
    pub kver: String,
    /// All packages of its sources, taken or left out: NEVRAs.
    pub sources: BTreeSet<String>,
}

/// An out-of-tree module of the kernel that is there: `modules.order` does not list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kmod {
    /// Its name.
    pub name: ModuleName,
    /// The file, relative to the root.
    pub path: String,
    /// The packages that own it, by name.
    pub owners: Vec<String>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name, epoch, version, release and architecture.
    pub nevra: Nevra,
    /// What it provides that has to do with a kernel: by name a `…uname-r`, or what a package with
    /// one of those provides.
    pub provides: Vec<Capability>,
    /// What it requires, likewise.
    pub requires: Vec<Capability>,
    /// SHA-256 of its header, where rpm keeps it.
    pub header_sha256: Option<String>,
    /// Whether it has files at all; a meta package has none.
    pub has_files: bool,
    /// The kernels whose `vmlinuz` it owns: names of directories in `usr/lib/modules`.
    pub kernels: BTreeSet<String>,
    /// The kernel modules that it owns: the directory in `usr/lib/modules`, and the name.
    pub modules: BTreeSet<(String, ModuleName)>,
}

impl Installed {
    /// Whether it is tied to the kernel K: by a `…uname-r = K`, or as the owner of its `vmlinuz`
    /// (the package of the kernel's own `make binrpm-pkg` provides no `…uname-r`).
    pub fn belongs_to(&self, kver: &str) -> bool {
        self.uname_rs().any(|cap| cap.version == kver) || self.kernels.contains(kver)
    }

    /// Whether it belongs to any kernel.
    pub fn is_of_a_kernel(&self) -> bool {
        self.uname_rs().next().is_some() || !self.kernels.is_empty()
    }

    fn uname_rs(&self) -> impl Iterator<Item = &Capability> {
        let all = self.provides.iter().chain(&self.requires);
        all.filter(|cap| cap.is_uname_r())
    }
}

/// What the survey saw.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kind of tree.
    pub kind: Kind,
    /// The backends whose programs are here, the preferred one first.
    pub backends: Vec<Backend>,
    /// Whether rpm-ostree is here.
    pub has_rpm_ostree: bool,
    /// Its version, where that is known.
    pub rpm_ostree: Option<RpmOstreeVersion>,
    /// cliwrap's state.
    pub cliwrap: Cliwrap,
    /// Whether kernel-install's layout is `ostree` where the rpm-ostree of this image reads it.
    pub layout_ostree: bool,
    /// The directories of `usr/lib/modules`.
    pub module_dirs: Vec<ModuleDir>,
    /// The rpmdb that was not read, as "/PATH is FORMAT": only the image's own rpm reads it, and this
    /// command starts no program of the image.
    pub foreign_rpmdb: Option<String>,
    /// Installed packages that provide or require a `…uname-r`: kernels, their sub-packages, kmods.
    pub packages: Vec<Installed>,
    /// All other installed packages.
    pub others: Vec<Installed>,
    /// The modules of the kernel that are on disk, whoever brought them.
    pub modules: BTreeSet<ModuleName>,
    /// Those of them that are out-of-tree.
    pub kmods: Vec<Kmod>,
    /// The run of this program that installed the kernel, where its report is in the tree.
    pub earlier: Option<Earlier>,
    /// Files of the image that hold packages back from dnf.
    pub holds_back: Vec<Exclusion>,
    /// Whether dnf 4's plugin versionlock is there.
    pub versionlock: bool,
    /// Whether there is a program weak-modules, which links modules of one kernel to another.
    pub weak_modules: bool,
    /// UKIs that would be booted in place of a `vmlinuz`.
    pub ukis: Vec<String>,
    /// Programs needed for every job that are not in the tree.
    pub missing_programs: Vec<&'static str>,
    /// What a killed transaction left: `*.rpmostreesave`, `systemctl.backup`.
    pub leftovers: Vec<String>,
    /// Other things to refuse or to mention.
    pub oddities: Oddities,
}

impl Host {
    /// In one line.
    pub fn summary(&self) -> String {
        let kernels: Vec<_> = self.kernels().map(|dir| dir.name.as_str()).collect();
        let cliwrap = if self.cliwrap.is_on() {
            ", cliwrapped"
        } else {
            ""
        };
        format!("{}{cliwrap}, kernel {}", self.kind, kernels.join(", "))
    }

    /// The kernels: directories that hold a `vmlinuz`.
    pub fn kernels(&self) -> impl Iterator<Item = &ModuleDir> {
        self.module_dirs.iter().filter(|dir| dir.has_vmlinuz)
    }

    /// The one kernel there is.
    ///
    /// # Errors
    /// None, or several.
    pub fn kernel(&self) -> Result<Kver, Refusal> {
        let names: Vec<_> = self.kernels().map(|dir| dir.name.clone()).collect();
        match names.as_slice() {
            [one] => Kver::new(one).map_err(|error| Refusal::BadKernelDir(error.to_string())),
            [] => Err(Refusal::NoKernel),
            _ => {
                let removal = |name: &String| (name.clone(), self.removal(name));
                Err(Refusal::SeveralKernels(names.iter().map(removal).collect()))
            }
        }
    }

    /// What removes the kernel of that directory.
    fn removal(&self, name: &str) -> String {
        let packages = self.of_kernel(name);
        let packages: Vec<_> = packages.map(|it| it.nevra.to_string()).collect();
        match Kver::new(name) {
            _ if !packages.is_empty() => format!("rpm -e {}", packages.join(" ")),
            Ok(kver) => format!("rm -r /{}", kver.dir()),
            // Nothing of its name is to be pasted.
            Err(_) => "remove its directory".to_owned(),
        }
    }

    /// All installed packages.
    pub fn installed(&self) -> impl Iterator<Item = &Installed> {
        self.packages.iter().chain(&self.others)
    }

    /// Installed packages of the kernel K.
    pub fn packages_of<'a>(&'a self, kver: &'a Kver) -> impl Iterator<Item = &'a Installed> {
        self.of_kernel(kver.as_str())
    }

    /// Those that are tied to it, and those of the same build as its `vmlinuz` that own modules of it.
    fn of_kernel<'a>(&'a self, kver: &'a str) -> impl Iterator<Item = &'a Installed> {
        let build = |it: &'a Installed| (&it.nevra.version, &it.nevra.release);
        let owner = self.installed().find(|it| it.kernels.contains(kver));
        let owner = owner.map(build);
        self.installed().filter(move |it| {
            let owns_modules = || it.modules.iter().any(|(dir, _)| dir == kver);
            it.belongs_to(kver) || (owner == Some(build(it)) && owns_modules())
        })
    }

    /// The installed package that owns `vmlinuz` of K; where no owner is known, the one that provides
    /// `kernel-uname-r` (as kernel-uki-virt does, too, which holds no `vmlinuz`).
    pub fn core_of<'a>(&'a self, kver: &'a Kver) -> Option<&'a Installed> {
        let owns = |it: &&Installed| it.kernels.contains(kver.as_str());
        let provides = |it: &&Installed| {
            let mut caps = it.provides.iter();
            caps.any(|cap| cap.name == "kernel-uname-r" && cap.version == kver.as_str())
                && !it.nevra.name.contains("-uki-")
        };
        let mut packages = self.installed();
        packages
            .find(owns)
            .or_else(|| self.packages_of(kver).find(provides))
    }
}
