// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns facts and the user's requests into a [`Plan`] or a [`Refusal`].
//!
//! All functions are pure. [`Refusal`] also has the refusals of the steps, of `site` and of `cmd`.

mod along;
pub mod change;
mod host;
mod installed;
mod leave;
pub mod locks;
mod oddities;
mod parts;
pub mod pin;
mod refusal;
mod select;
mod set;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::BTreeSet;
use std::fmt;

pub use change::Change;
pub use host::{
    Backend, Cliwrap, Earlier, Host, Installed, Kmod, ModuleDir, RpmOstreeVersion, TreeKind,
};
pub use installed::installed;
pub use leave::Leaving;
pub use oddities::Oddities;
pub use refusal::{AS_ROOT, Refusal};
pub use select::select;
pub use set::{KernelSet, PackageOrigin, Source};

use self::locks::Exclusion;
use crate::kernel::kver::Kver;
use crate::package::Nevra;
use crate::package::capability::{tie_to, with_modules};

/// The user's options besides the sources, and facts about the run that follow from them.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// `--backend`.
    pub backend: Option<Backend>,
    /// `--kver`.
    pub kver: Option<Kver>,
    /// `--flavour`.
    pub flavour: Option<String>,
    /// `--remove`.
    pub remove: Vec<String>,
    /// `--require-signature`.
    pub require_signature: bool,
    /// `--allow-unsigned`.
    pub allow_unsigned: bool,
    /// `--no-repos`.
    pub no_repos: bool,
    /// Whether there is no initramfs of an earlier kernel to compare with.
    pub has_no_baseline: bool,
    /// Whether programs of the user run after the transaction (`--before-dracut`). They may build modules.
    pub builds_modules: bool,
    /// The command line with the digests of the downloaded files, quoted for a shell.
    pub pinned_command: String,
}

/// The way to prevent inner dracut runs from building an initramfs during the transaction. Tested with rpm-ostree
/// 2025.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// `KERNEL_INSTALL_BYPASS=1`: systemd's own kernel-install runs, and does nothing.
    Bypass,
    /// `KERNEL_INSTALL_BYPASS=1`, and `layout=ostree` is written temporarily to a file that the installed rpm-ostree
    /// reads. With another layout, rpm-ostree would run its own kernel-install.
    BypassWithLayout {
        /// The file, relative to the root.
        file: &'static str,
    },
    /// dracut is replaced temporarily with a script that only creates an empty output file. Module directories without
    /// `vmlinuz` are moved away temporarily, since the installed rpm-ostree would delete them.
    Shim,
}

impl Hold {
    fn choose(host: &Host, backend: Backend) -> Self {
        if backend != Backend::RpmOstree {
            return Self::Bypass;
        }
        // An unknown version is assumed to be new enough.
        let version = host
            .rpm_ostree
            .unwrap_or(RpmOstreeVersion::HONOURS_DROP_INS);
        if version < RpmOstreeVersion::WRAPS_KERNEL_INSTALL {
            Self::Bypass
        } else if version < RpmOstreeVersion::HONOURS_LAYOUT {
            Self::Shim
        } else if host.layout_ostree {
            Self::Bypass
        } else if version < RpmOstreeVersion::HONOURS_DROP_INS {
            Self::BypassWithLayout {
                file: "usr/lib/kernel/install.conf",
            }
        } else {
            Self::BypassWithLayout {
                file: "etc/kernel/install.conf.d/zz-ostree-kernel.conf",
            }
        }
    }
}

/// All decisions of `replace`.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The installed kernel; `None` for a tree without one.
    pub old: Option<Kver>,
    /// The new kernel.
    pub set: KernelSet,
    /// The packages that are removed or stay; empty if the new packages are installed already.
    pub leaving: Leaving,
    /// Whether the packages are installed already, so that no transaction is needed.
    pub settled: bool,
    /// Packages to install again: they are installed in the same version, but are of another build, or the kernel's
    /// `vmlinuz` was removed. If there are any, no other packages are installed.
    pub again: Vec<Nevra>,
    /// Whether the image's repositories are hidden from rpm-ostree during the transaction.
    pub no_repos: bool,
    /// Whether to disable dnf 4's plugin versionlock.
    pub versionlock: bool,
    /// The program that replaces the packages.
    pub backend: Backend,
    /// The way in which inner dracut runs are prevented.
    pub hold: Hold,
    /// cliwrap's wrappers to remove.
    pub cliwrap: Cliwrap,
    /// Leftovers of a killed transaction to repair, as paths relative to the root.
    pub leftovers: Vec<String>,
    /// dnf's files with version locks that will follow the new kernel, relative to the root. Set only for `--dry-run`.
    pub locks: Vec<&'static str>,
    /// The kind of tree, which determines the commands of the commit.
    pub kind: TreeKind,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Refuses a tree that cannot be worked on, whatever the sources are.
///
/// # Errors
/// A [`Refusal`].
pub fn admit(host: &Host) -> Result<(), Refusal> {
    match host.kind {
        TreeKind::OstreeHost => return Err(Refusal::BootedHost),
        TreeKind::RunningSystem => return Err(Refusal::RunningSystem),
        TreeKind::OstreeContainer | TreeKind::Container => {}
    }
    if !host.cliwrap.lost.is_empty() {
        let lost = host.cliwrap.lost.iter().map(|path| format!("/{path}"));
        return Err(Refusal::LostPrograms(lost.collect()));
    }
    if !host.missing_programs.is_empty() {
        let names = host.missing_programs.iter().map(|name| (*name).to_owned());
        return Err(Refusal::MissingPrograms(names.collect()));
    }
    if !host.ukis.is_empty() && host.kernels().next().is_none() {
        return Err(Refusal::OnlyUki(host.ukis.clone()));
    }
    host.oddities.admit()?;
    if !host.ukis.is_empty() {
        return Err(Refusal::Uki(host.ukis.clone()));
    }
    if let Some(format) = &host.foreign_rpmdb {
        return Err(Refusal::ForeignRpmdb(format.clone()));
    }
    host.replaced().map(|_| ())
}

/// The warning about a tree without an initramfs of an earlier kernel.
const NO_BASELINE: &str = "the tree has no initramfs of an earlier kernel, so there is no baseline: a driver or dracut module that is missing by mistake is not found. Name what the root needs with --root-device, --root-fs and --require-driver, or compare with an earlier image or initramfs: --against IMAGE, --against FILE";

/// Makes the plan to replace the installed kernel with `set`.
///
/// # Errors
/// A [`Refusal`].
pub fn plan(host: &Host, set: KernelSet, wishes: &Wishes) -> Result<Plan, Refusal> {
    let old = host.replaced()?;
    if let Some(old) = &old
        && host.packages_of(old).next().is_none()
    {
        return Err(Refusal::NoPackages(old.clone()));
    }
    if let Some(expected) = wishes.kver.as_ref().filter(|kver| **kver != set.kver) {
        return Err(Refusal::OtherKver {
            expected: expected.clone(),
            package: set
                .core()
                .map(|core| core.nevra.to_string())
                .unwrap_or_default(),
            found: set.kver,
        });
    }
    let there = compare(host, &set)?;
    if there == There::All {
        refuse_old(host, &set.kver)?;
    }
    let backend = choose_backend(host, wishes)?;
    let settled = there == There::All;
    let (leaving, again) = match there {
        There::No => (leave::leave(host, old.as_ref(), &set, wishes)?, Vec::new()),
        There::All => (Leaving::default(), Vec::new()),
        There::OtherBuild(names) if backend == Backend::RpmOstree => {
            let mut dnf = host.backends.iter().copied();
            return Err(Refusal::SameVersion {
                names: names.iter().map(Nevra::to_string).collect(),
                dnf: dnf.find(|it| *it != Backend::RpmOstree),
            });
        }
        There::OtherBuild(again) => (Leaving::nothing(host, &again), again),
    };
    let mut warnings = trust::judge(&set.sources, wishes)?;
    warnings.extend(set.warnings.iter().cloned());
    if backend != Backend::RpmOstree && !settled {
        warnings.extend(overridden(host, &set));
    }
    warnings.extend(host.oddities.warnings());
    if wishes.has_no_baseline {
        warnings.push(NO_BASELINE.to_owned());
    }
    Ok(Plan {
        leaving,
        settled,
        again,
        no_repos: wishes.no_repos && backend == Backend::RpmOstree,
        versionlock: host.versionlock,
        hold: Hold::choose(host, backend),
        cliwrap: host.cliwrap.clone(),
        leftovers: host.leftovers.clone(),
        locks: Vec::new(),
        kind: host.kind,
        old,
        set,
        backend,
        warnings,
    })
}

/// Returns warnings about the image's exclusions that match packages of the set. The transaction overrides these
/// exclusions.
fn overridden(host: &Host, set: &KernelSet) -> Vec<String> {
    let warning = |exclusion: &Exclusion| {
        let names = set.sources.iter().map(|it| it.package.nevra.name.as_str());
        let names: Vec<_> = names.filter(|name| exclusion.concerns(name)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "/{} excludes, locks or protects {}; this is overridden, since you chose the packages",
                exclusion.file,
                names.join(", ")
            )
        })
    };
    host.holds_back.iter().filter_map(warning).collect()
}

fn choose_backend(host: &Host, wishes: &Wishes) -> Result<Backend, Refusal> {
    let Some(asked) = wishes.backend else {
        return host.backends.first().copied().ok_or(Refusal::NoBackend);
    };
    if host.backends.contains(&asked) {
        return Ok(asked);
    }
    let why = match asked {
        Backend::RpmOstree if host.has_rpm_ostree => {
            format!(
                "this is a {}, and rpm-ostree works in an ostree container only",
                host.kind
            )
        }
        _ => "its program is not in the image".to_owned(),
    };
    Err(Refusal::Backend(asked, why))
}

/// The extent to which the set is installed.
#[derive(Debug, PartialEq, Eq)]
enum There {
    No,
    All,
    /// The whole set, but these packages must be installed again: they are of another build of the same version, or the
    /// kernel's `vmlinuz` was removed.
    OtherBuild(Vec<Nevra>),
}

fn compare(host: &Host, set: &KernelSet) -> Result<There, Refusal> {
    let (mut there, mut missing, mut other_build) = (Vec::new(), Vec::new(), Vec::new());
    for Source { package, .. } in &set.sources {
        let nevra = &package.nevra;
        match host.installed().find(|it| it.nevra == *nevra) {
            None => missing.push(nevra.to_string()),
            Some(it) => {
                there.push(nevra.to_string());
                let digest = it.header_sha256.as_ref();
                if digest.is_some_and(|digest| *digest != package.header_sha256) {
                    other_build.push(nevra.clone());
                }
            }
        }
    }
    if there.is_empty() {
        return Ok(There::No);
    }
    if !missing.is_empty() {
        return Err(Refusal::HalfInstalled {
            kver: set.kver.clone(),
            there,
            missing,
        });
    }
    let is_on_disk = host.kernels().next().is_some();
    Ok(if !is_on_disk {
        // The kernel's `vmlinuz` was removed, but the packages are still in the rpmdb.
        let sources = set.sources.iter();
        There::OtherBuild(sources.map(|it| it.package.nevra.clone()).collect())
    } else if other_build.is_empty() {
        There::All
    } else {
        There::OtherBuild(other_build)
    })
}

/// Refuses a tree that has packages of another kernel in addition to the new packages: a transaction was interrupted
/// after it had installed the new packages. The other kernel has no `vmlinuz` on disk, since [`Host::replaced`] refuses
/// a tree with two kernels.
fn refuse_old(host: &Host, kver: &Kver) -> Result<(), Refusal> {
    let on_disk = host.kernel().unwrap_or_else(|_| kver.clone());
    let kernels = host.packages.iter().flat_map(|it| {
        let named = it
            .provides
            .iter()
            .filter(|cap| cap.name == "kernel-uname-r");
        let named = named.map(|cap| cap.version.as_str());
        let has_modules = |kver: &str| it.modules.iter().any(|(dir, _)| dir == kver);
        named.chain(with_modules(&it.provides, has_modules))
    });
    let kernels: BTreeSet<_> = kernels.filter(|it| *it != on_disk.as_str()).collect();
    let old = host.packages.iter().filter(|it| {
        let mut kernels = kernels.iter();
        kernels.any(|kver| tie_to(it.provides.iter(), kver))
    });
    let old: Vec<_> = old.map(|it| it.nevra.to_string()).collect();
    if old.is_empty() {
        Ok(())
    } else {
        Err(Refusal::OldPackages(on_disk, old))
    }
}

impl Plan {
    /// Returns the kver of the replaced kernel, for a message; the word `none` for a tree without a kernel.
    pub fn old_name(&self) -> &str {
        self.old.as_ref().map_or("none", Kver::as_str)
    }
}

impl fmt::Display for Plan {
    /// Writes the output of `--dry-run` except the command lines, which the steps provide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel   {} -> {}", self.old_name(), self.set.kver)?;
        writeln!(f, "backend  {} ({})", self.backend, self.kind)?;
        writeln!(f)?;
        if self.settled {
            writeln!(f, "packages (already installed):")?;
            for source in &self.set.sources {
                writeln!(f, "  {}", source.package.nevra)?;
            }
        }
        f.write_str(&change::table(&self.leaving.changes, &self.leaving.behind))?;
        if !self.set.unused.is_empty() {
            writeln!(f, "packages of the sources that are not needed:")?;
            for nevra in &self.set.unused {
                writeln!(f, "  {nevra}")?;
            }
        }
        writeln!(f, "\nother files that change:")?;
        let (same, hold) = (
            self.old.as_ref() == Some(&self.set.kver),
            (!self.settled).then_some(self.hold),
        );
        for (wrapper, original) in &self.cliwrap.wrapped {
            writeln!(f, "  {wrapper}  restored from {original}")?;
        }
        for wrapper in &self.cliwrap.created {
            writeln!(f, "  {wrapper}  removed (a wrapper without an original)")?;
        }
        for path in &self.leftovers {
            writeln!(
                f,
                "  {path}  moved back or removed (left by a killed transaction)"
            )?;
        }
        match hold {
            None | Some(Hold::Bypass) => {}
            Some(Hold::BypassWithLayout { file }) => {
                writeln!(f, "  {file}  layout=ostree during the transaction")?;
            }
            Some(Hold::Shim) => writeln!(
                f,
                "  usr/libexec/rpm-ostree/wrapped/dracut  a placeholder during the transaction"
            )?,
        }
        if self.no_repos && !self.settled {
            writeln!(f, "  etc/yum.repos.d/*.repo  hidden during the transaction")?;
        }
        writeln!(f, "  {}/initramfs.img  written", self.set.kver.dir())?;
        if let Some(old) = self.old.as_ref().filter(|_| !same) {
            writeln!(
                f,
                "  {}  removed, if no package owns files in it",
                old.dir()
            )?;
        }
        writeln!(f, "  boot, usr/lib/ostree-boot  old kernels removed")?;
        for file in &self.locks {
            writeln!(f, "  {file}  version locks follow the new kernel")?;
        }
        for warning in &self.warnings {
            writeln!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
