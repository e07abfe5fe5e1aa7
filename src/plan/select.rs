// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the packages that the user named are the kernel: chosen by what is installed and by
//! what they require.

use std::collections::BTreeMap;

use super::parts::Flavour;
use super::{Host, Refusal, Wishes};
use crate::kernel::kver::Kver;
use crate::package::capability::Capability;
use crate::package::{Nevra, Package};

/// The capability that every kernel package of Fedora and CentOS provides, whatever its flavour.
const UNAME_R: &str = "kernel-uname-r";

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

/// Chooses, and sees that the set is of one build, of the image's architecture, and complete.
///
/// # Errors
/// A [`Refusal`].
pub fn select(sources: Vec<Source>, host: &Host, wishes: &Wishes) -> Result<KernelSet, Refusal> {
    let kver = kernel_of(&sources, wishes)?;
    let old = host.kernel()?;
    let (was, is) = (
        Flavour::of_base(host, &old),
        Flavour::of_set(sources.iter().map(|source| &source.package), &kver),
    );
    let is_installed = |package: &Package| {
        let role = is.role(&package.nevra.name);
        host.packages_of(&old)
            .any(|it| was.role(&it.nevra.name) == role)
    };
    let (of_kver, others): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .partition(|source| source.package.belongs_to(&kver));
    let parts = others.iter().filter(|it| !is.is_kmod(&it.package));
    refuse_mixed(&of_kver, parts, &kver, &is_installed)?;
    let (mut taken, mut rest): (Vec<_>, Vec<_>) = of_kver.into_iter().partition(|source| {
        let package = &source.package;
        source.named || package.vmlinuz.is_some() || is.is_kmod(package) || is_installed(package)
    });
    // What a taken package requires, and another package of the sources provides, comes too.
    while let Some(at) = rest.iter().position(|source| is_required(source, &taken)) {
        taken.push(rest.remove(at));
    }
    refuse_arch(&taken, host, &old)?;
    refuse_incomplete(&taken)?;
    let mut unused: Vec<_> = rest.into_iter().chain(others).collect();
    if let Some(named) = unused.iter().find(|source| source.named) {
        return Err(Refusal::BadFile {
            file: named.origin.clone(),
            why: format!(
                "{} is not a package of the kernel {kver}. Leave it out, and install it in a RUN line of its own",
                named.package.nevra
            ),
        });
    }
    taken.sort_by(|a, b| a.package.nevra.cmp(&b.package.nevra));
    unused.sort_by(|a, b| a.package.nevra.cmp(&b.package.nevra));
    Ok(KernelSet {
        kver,
        unused: unused
            .into_iter()
            .map(|source| source.package.nevra)
            .collect(),
        sources: taken,
    })
}

/// The one kver that a package of the sources owns the `vmlinuz` of.
fn kernel_of(sources: &[Source], wishes: &Wishes) -> Result<Kver, Refusal> {
    let mut kernels: Vec<(&Kver, &Nevra)> = Vec::new();
    for source in sources {
        if let Some(kver) = &source.package.vmlinuz
            && source.package.provides(UNAME_R, kver.as_str())
            && !kernels.iter().any(|(other, _)| *other == kver)
        {
            kernels.push((kver, &source.package.nevra));
        }
    }
    // Several kernels in a directory are fine for who says which one.
    if let Some(wish) = &wishes.kver
        && kernels.iter().any(|(kver, _)| *kver == wish)
    {
        return Ok(wish.clone());
    }
    match kernels.as_slice() {
        [(kver, _)] => Ok((*kver).clone()),
        [] => Err(Refusal::NoKernelPackage(
            sources
                .iter()
                .map(|source| source.package.nevra.to_string())
                .collect(),
        )),
        _ => Err(Refusal::SeveralKernelPackages(
            kernels
                .into_iter()
                .map(|(kver, nevra)| (nevra.clone(), kver.clone()))
                .collect(),
        )),
    }
}

/// A package that the base's kernel has too, but of another build, was meant to belong.
fn refuse_mixed<'a>(
    of_kver: &[Source],
    others: impl Iterator<Item = &'a Source>,
    kver: &Kver,
    is_installed: &dyn Fn(&Package) -> bool,
) -> Result<(), Refusal> {
    let has = |name: &str| {
        of_kver
            .iter()
            .any(|source| source.package.nevra.name == name)
    };
    let strays: Vec<_> = others
        .map(|source| &source.package)
        .filter(|package| is_installed(package) && !has(&package.nevra.name))
        .map(|package| package.nevra.to_string())
        .collect();
    if strays.is_empty() {
        return Ok(());
    }
    Err(Refusal::MixedBuilds {
        core: kver.to_string(),
        others: strays,
    })
}

/// The `…uname-r` of one exact kernel that a package requires.
fn uname_rs(package: &Package) -> impl Iterator<Item = &Capability> {
    package
        .requires
        .iter()
        .filter(|cap| cap.is_uname_r() && !cap.version.is_empty())
}

fn provides(package: &Package, wanted: &Capability) -> bool {
    package.provides(&wanted.name, &wanted.version)
}

fn is_required(source: &Source, taken: &[Source]) -> bool {
    taken
        .iter()
        .flat_map(|taken| uname_rs(&taken.package))
        .filter(|wanted| !taken.iter().any(|taken| provides(&taken.package, wanted)))
        .any(|wanted| provides(&source.package, wanted))
}

fn refuse_arch(taken: &[Source], host: &Host, old: &Kver) -> Result<(), Refusal> {
    let Some(expected) = host
        .packages_of(old)
        .map(|installed| installed.nevra.arch.as_str())
        .find(|arch| *arch != "noarch")
    else {
        return Ok(());
    };
    for source in taken {
        let nevra = &source.package.nevra;
        if nevra.arch != expected && nevra.arch != "noarch" {
            return Err(Refusal::WrongArch {
                package: nevra.to_string(),
                found: nevra.arch.clone(),
                expected: expected.to_owned(),
            });
        }
    }
    Ok(())
}

fn refuse_incomplete(taken: &[Source]) -> Result<(), Refusal> {
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for source in taken {
        for wanted in uname_rs(&source.package) {
            if !taken.iter().any(|other| provides(&other.package, wanted)) {
                let wanted = format!("{} = {}", wanted.name, wanted.version);
                let by = missing.entry(wanted).or_default();
                by.push(&source.package.nevra.name);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let line = |(wanted, by): (String, Vec<&str>)| {
        format!(
            "nothing provides {wanted}, which {} require(s)",
            by.join(", ")
        )
    };
    Err(Refusal::Incomplete(missing.into_iter().map(line).collect()))
}
