// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts about a tree that the survey found, and conclusions from them: the kernel that is replaced, and the
//! packages of a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::locks::Exclusion;
use super::{Oddities, Refusal};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::package::Nevra;
use crate::package::capability::{Capability, tie_to};

/// The kind of tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TreeKind {
    /// A container image with an ostree repository, as rpm-ostree detects one.
    OstreeContainer,
    /// A container image or root directory without an ostree repository.
    Container,
    /// A running ostree host, whose `/usr` is read-only.
    OstreeHost,
    /// Another running system.
    RunningSystem,
}

impl fmt::Display for TreeKind {
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// rpm-ostree's version: a year and a number. The order is chronological.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RpmOstreeVersion(pub u32, pub u32);

impl RpmOstreeVersion {
    /// The first version that wraps `kernel-install` during a container transaction.
    pub const WRAPS_KERNEL_INSTALL: Self = Self(2024, 6);
    /// The first version that does not wrap `kernel-install` if `usr/lib/kernel/install.conf` has `layout=ostree`.
    pub const HONOURS_LAYOUT: Self = Self(2025, 1);
    /// The first version that also reads the layout from `/etc/kernel` and from drop-ins.
    pub const HONOURS_DROP_INS: Self = Self(2026, 1);
}

impl fmt::Display for RpmOstreeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The state of cliwrap: rpm-ostree's shell wrappers of programs. Paths are relative to the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cliwrap {
    /// Wrappers whose original is in `usr/libexec/rpm-ostree/wrapped`: (wrapper, original).
    pub wrapped: Vec<(String, String)>,
    /// Wrappers that rpm-ostree created where no program existed.
    pub created: Vec<String>,
    /// Wrappers whose original is lost: it does not exist, or it is also a wrapper, which then runs itself forever.
    pub lost: Vec<String>,
}

impl Cliwrap {
    /// Returns whether there is any wrapper.
    pub fn is_on(&self) -> bool {
        !(self.wrapped.is_empty() && self.created.is_empty() && self.lost.is_empty())
    }
}

/// A directory of `usr/lib/modules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleDir {
    /// The directory's name: a kver, if it belongs to a kernel.
    pub name: String,
    /// Whether the directory holds a `vmlinuz` that is a regular file or a link to one.
    pub has_vmlinuz: bool,
    /// All modules in the directory if it has no `vmlinuz`, since they may be kmods that were installed before their
    /// kernel; otherwise empty.
    pub kmods: BTreeSet<ModuleName>,
}

/// An earlier run of `replace`, from its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The kernel that the run installed.
    pub kver: String,
    /// The NEVRAs of all packages of the run's sources, taken or left out.
    pub sources: BTreeSet<String>,
}

/// An out-of-tree module of the installed kernel: `modules.order` does not list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kmod {
    /// The module's name.
    pub name: ModuleName,
    /// The module's file, relative to the root.
    pub path: String,
    /// The names of the packages that own the file; empty if there are none.
    pub owners: Vec<String>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name, epoch, version, release and architecture.
    pub nevra: Nevra,
    /// The capabilities that it provides and through which the replacement of a kernel can affect a package.
    pub provides: Vec<Capability>,
    /// The capabilities that it requires and through which the replacement of a kernel can affect it.
    pub requires: Vec<Capability>,
    /// SHA-256 of its header, if the rpmdb contains the digest.
    pub header_sha256: Option<String>,
    /// Whether it has files; a meta package has none.
    pub has_files: bool,
    /// The kernels whose `vmlinuz` it owns: names of directories in `usr/lib/modules`.
    pub kernels: BTreeSet<String>,
    /// The kernel modules that it owns: the directory in `usr/lib/modules` and the module's name.
    pub modules: BTreeSet<(String, ModuleName)>,
}

impl Installed {
    /// Returns whether the package belongs to this kernel: by a capability `…uname-r = KVER`, or as the owner of the
    /// kernel's `vmlinuz`. Packages of the kernel's own `make binrpm-pkg` provide no `…uname-r`.
    pub fn belongs_to(&self, kver: &str) -> bool {
        tie_to(self.capabilities(), kver) || self.kernels.contains(kver)
    }

    /// Returns whether the package belongs to any kernel.
    pub fn is_of_a_kernel(&self) -> bool {
        self.capabilities().any(Capability::is_uname_r) || !self.kernels.is_empty()
    }

    fn capabilities(&self) -> impl Iterator<Item = &Capability> {
        self.provides.iter().chain(&self.requires)
    }
}

/// The facts that the survey found.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kind of tree.
    pub kind: TreeKind,
    /// The available backends, the preferred one first.
    pub backends: Vec<Backend>,
    /// Whether rpm-ostree is installed.
    pub has_rpm_ostree: bool,
    /// The version of rpm-ostree, if known.
    pub rpm_ostree: Option<RpmOstreeVersion>,
    /// cliwrap's state.
    pub cliwrap: Cliwrap,
    /// Whether kernel-install's layout is `ostree` in a file that this version of rpm-ostree reads.
    pub layout_ostree: bool,
    /// The directories of `usr/lib/modules`, sorted by name.
    pub module_dirs: Vec<ModuleDir>,
    /// An rpmdb that was not read, as "/PATH has the format FORMAT": only the image's rpm can read it, and this command
    /// starts no program of the image.
    pub foreign_rpmdb: Option<String>,
    /// Installed packages that belong to a kernel: kernels, their sub-packages, kmods.
    pub packages: Vec<Installed>,
    /// All other installed packages.
    pub others: Vec<Installed>,
    /// All modules of the kernels on disk, whether a package owns them or not.
    pub modules: BTreeSet<ModuleName>,
    /// The out-of-tree modules of the kernels on disk, without the links of weak-modules.
    pub kmods: Vec<Kmod>,
    /// The earlier run of `replace` whose report is in the tree.
    pub earlier: Option<Earlier>,
    /// The new kernel of a run that was killed after it had begun its transaction.
    pub unfinished: Option<Kver>,
    /// Files of the image that exclude packages from dnf's transactions.
    pub holds_back: Vec<Exclusion>,
    /// Whether dnf 4's plugin versionlock is installed.
    pub versionlock: bool,
    /// Whether weak-modules is installed, a program that links modules of one kernel into another kernel's directory.
    pub weak_modules: bool,
    /// The unified kernel images (UKIs) that would be booted instead of a `vmlinuz`; all UKIs if there is no `vmlinuz`.
    /// Paths are relative to the root.
    pub ukis: Vec<String>,
    /// Required programs that the tree lacks.
    pub missing_programs: Vec<&'static str>,
    /// Paths, relative to the root, that a killed transaction left: programs that rpm-ostree saved (`*.rpmostreesave`,
    /// `systemctl.backup`), and files and directories of a hold.
    pub leftovers: Vec<String>,
    /// Other facts to refuse or to warn about.
    pub oddities: Oddities,
}

impl Host {
    /// Returns a summary in one line.
    pub fn summary(&self) -> String {
        let kernels: Vec<_> = self.kernels().map(|dir| dir.name.as_str()).collect();
        let cliwrap = if self.cliwrap.is_on() {
            ", cliwrapped"
        } else {
            ""
        };
        let kernels = match kernels.as_slice() {
            [] => "no kernel".to_owned(),
            kernels => format!("kernel {}", kernels.join(", ")),
        };
        format!("{}{cliwrap}, {kernels}", self.kind)
    }

    /// Returns the kernels on disk: directories that hold a `vmlinuz`.
    pub fn kernels(&self) -> impl Iterator<Item = &ModuleDir> {
        self.module_dirs.iter().filter(|dir| dir.has_vmlinuz)
    }

    /// Returns the only kernel on disk.
    ///
    /// # Errors
    /// When there is no kernel, there are several, or the name of the kernel's directory is not a kver.
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

    /// Disregards all kernels on disk except `kver`. Returns a sentence for each other kernel, with the command that
    /// removes the kernel.
    pub fn keep_only(&mut self, kver: &Kver) -> Vec<String> {
        let is_other = |dir: &&ModuleDir| dir.has_vmlinuz && dir.name != kver.as_str();
        let sentence = |dir: &ModuleDir| {
            let removal = self.removal(&dir.name);
            let mut dnf = self.backends.iter().filter(|it| **it != Backend::RpmOstree);
            let removal = match dnf.next() {
                Some(dnf) => removal.replacen("rpm -e", &format!("{dnf} -y remove"), 1),
                None => removal,
            };
            format!(
                "usr/lib/modules holds another kernel, {}, and ostree boots whichever it reads first. Add to the RUN line: {removal}",
                dir.name
            )
        };
        let dirs = self.module_dirs.iter();
        let sentences = dirs.filter(is_other).map(sentence).collect();
        self.module_dirs
            .retain(|dir| !dir.has_vmlinuz || dir.name == kver.as_str());
        sentences
    }

    /// Returns the kernel that a new kernel replaces: the only kernel on disk, else the only kernel of the rpmdb, whose
    /// `vmlinuz` was removed. `None` if there is no kernel in either place.
    ///
    /// # Errors
    /// When there are several kernels, or the name of the only one is not a kver. Also when no kernel is on disk, and a
    /// run was killed after it had begun its transaction.
    pub fn replaced(&self) -> Result<Option<Kver>, Refusal> {
        if self.kernels().next().is_some() {
            return self.kernel().map(Some);
        }
        if self.unfinished.is_some() {
            return Err(Refusal::NoKernel);
        }
        let packages = self.installed().flat_map(|it| {
            let caps = it.provides.iter();
            let provided = caps.filter(|cap| cap.name == "kernel-uname-r");
            let provided = provided.map(|cap| cap.version.clone());
            provided.chain(it.kernels.iter().cloned())
        });
        let kernels: BTreeSet<_> = packages.collect();
        match kernels.into_iter().collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            [one] => match Kver::new(one) {
                Ok(kver) => Ok(Some(kver)),
                Err(error) => Err(Refusal::BadKernelDir(error.to_string())),
            },
            _ => Err(Refusal::NoKernel),
        }
    }

    /// Returns the most frequent architecture of the installed packages, apart from `noarch`; `None` if no package has
    /// one.
    pub(super) fn arch(&self) -> Option<&str> {
        let mut counts = BTreeMap::new();
        // Packages without files are skipped: a key in the rpmdb (gpg-pubkey) has the architecture "(none)".
        for it in self
            .installed()
            .filter(|it| it.has_files && it.nevra.arch != "noarch")
        {
            *counts.entry(it.nevra.arch.as_str()).or_insert(0) += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(arch, _)| arch)
    }

    /// Returns a command that removes the kernel in the directory `name`. If `name` is not a kver and the kernel has no
    /// packages, returns a sentence instead.
    fn removal(&self, name: &str) -> String {
        let packages = self.of_kernel(name);
        let packages: Vec<_> = packages.map(|it| it.nevra.to_string()).collect();
        match Kver::new(name) {
            _ if !packages.is_empty() => format!("rpm -e {}", packages.join(" ")),
            Ok(kver) => format!("rm -r /{}", kver.dir()),
            // An unchecked name must not be part of a command that is pasted into a shell.
            Err(_) => "remove its directory".to_owned(),
        }
    }

    /// Returns all installed packages.
    pub fn installed(&self) -> impl Iterator<Item = &Installed> {
        self.packages.iter().chain(&self.others)
    }

    /// Returns the installed packages of a kernel: those that belong to it, and those of the same build that own some
    /// of its modules.
    pub fn packages_of<'a>(&'a self, kver: &'a Kver) -> impl Iterator<Item = &'a Installed> {
        self.of_kernel(kver.as_str())
    }

    /// Returns the packages that belong to a kernel, and the packages that own modules of this kernel and have the
    /// version and release of the package that owns its `vmlinuz`.
    fn of_kernel<'a>(&'a self, kver: &'a str) -> impl Iterator<Item = &'a Installed> {
        let build = |it: &'a Installed| (&it.nevra.version, &it.nevra.release);
        let owner = self.installed().find(|it| it.kernels.contains(kver));
        let owner = owner.map(build);
        self.installed().filter(move |it| {
            let owns_modules = || it.modules.iter().any(|(dir, _)| dir == kver);
            it.belongs_to(kver) || (owner == Some(build(it)) && owns_modules())
        })
    }

    /// Returns the installed package that owns the `vmlinuz` of a kernel. If no package owns it, returns the kernel's
    /// package that provides `kernel-uname-r`. Packages with `-uki-` in the name, such as kernel-uki-virt, provide it,
    /// too, but hold no `vmlinuz`.
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
