// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the packages of one kernel from the sources: those that replace installed packages or modules, kmods for the
//! kernel, and those that the selected packages require.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{Flavour, short};
use super::refusal::Choice;
use super::set::{KernelSet, Sides, Source, ties};
use super::{Host, Refusal, Wishes, along};
use crate::kernel::kver::Kver;
use crate::package::capability::Capability;
use crate::package::{Nevra, Package};

/// Selects the packages of a kernel from the sources. The set is complete, of one build and of the image's
/// architecture.
///
/// # Errors
/// A [`Refusal`].
pub fn select(sources: Vec<Source>, host: &Host, wishes: &Wishes) -> Result<KernelSet, Refusal> {
    let kernels = kernels(&sources);
    let kver = choose(&kernels, &sources, host, wishes)?;
    refuse_several_builds(&sources, &kver)?;
    let old = host.replaced()?;
    let mut packages = sources.iter().map(|source| &source.package);
    let core = packages.find(|it| it.vmlinuz.as_ref() == Some(&kver));
    let sides = Sides {
        host,
        old: old.as_ref(),
        old_flavour: Flavour::of_old(host, old.as_ref()),
        kver: &kver,
        new_flavour: Flavour::of_set(sources.iter().map(|source| &source.package), &kver),
        build: core.map_or_else(Default::default, |it| {
            let Nevra {
                version, release, ..
            } = it.nevra.clone();
            (version, release, it.source.clone())
        }),
    };
    refuse_strangers(&sources, &sides, &kernels)?;
    let (of_build, others): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .partition(|source| sides.is_of_build(&source.package));
    refuse_mixed(&of_build, &others, &sides)?;
    let (mut taken, mut rest): (Vec<_>, Vec<_>) = of_build.into_iter().partition(|source| {
        let package = &source.package;
        let is_kmod = package.belongs_to(&kver) && sides.new_flavour.is_kmod(package);
        let is_wanted = source.named && along::modules(package, &kver).next().is_some();
        let is_of_kernel = sides.is_installed(package) || sides.is_of_first(package);
        package.vmlinuz.is_some() || is_kmod || is_wanted || is_of_kernel
    });
    complete(&mut taken, &mut rest, &sides);
    along::companions(&mut taken, &mut rest, &sides);
    refuse_arch(&taken, host, old.as_ref())?;
    refuse_incomplete(&taken)?;
    taken.sort_by(|a, b| a.package.nevra.cmp(&b.package.nevra));
    let warnings = along::warn_left_out(&rest, &kver);
    let unused = rest.into_iter().chain(others);
    let mut unused: Vec<_> = unused.map(|source| source.package.nevra).collect();
    unused.sort();
    Ok(KernelSet {
        sources: taken,
        unused,
        warnings,
        kver,
    })
}

/// Also takes packages that a taken package requires through a `…uname-r`, and packages with modules that the base has
/// on disk and no taken package has.
fn complete(taken: &mut Vec<Source>, rest: &mut Vec<Source>, sides: &Sides) {
    loop {
        let is_needed = |source: &Source| {
            is_required(source, taken) || along::is_missed(&source.package, taken, sides)
        };
        let Some(at) = rest.iter().position(is_needed) else {
            return;
        };
        taken.push(rest.remove(at));
    }
}

/// Returns the kernels among the sources: each kver with the first package that owns its `vmlinuz`. The provides are
/// not considered, since packages of ELRepo and of `make binrpm-pkg` do not provide `kernel-uname-r`.
fn kernels(sources: &[Source]) -> Vec<(Kver, Nevra)> {
    let mut kernels: Vec<(Kver, Nevra)> = Vec::new();
    for source in sources {
        if let Some(kver) = &source.package.vmlinuz
            && !kernels.iter().any(|(other, _)| other == kver)
        {
            kernels.push((kver.clone(), source.package.nevra.clone()));
        }
    }
    kernels
}

/// Chooses a kernel of the sources. If a flavour is requested, only its kernels are considered. The first of these that
/// exists is chosen:
///
/// - The kernel of `--kver`.
/// - The only kernel. If it is not that of `--kver`, [`plan`](super::plan) refuses it.
/// - The kernel that an earlier run installed from these sources, or that a killed run was installing.
/// - Without `--kver`, the only kernel that is not on disk and has the requested flavour or, by default, the base's.
///
/// Of several versions of one flavour, none is preferred.
fn choose(
    kernels: &[(Kver, Nevra)],
    sources: &[Source],
    host: &Host,
    wishes: &Wishes,
) -> Result<Kver, Refusal> {
    if kernels.is_empty() {
        let nevras = sources.iter().map(|it| it.package.nevra.to_string());
        return Err(match sources.iter().find_map(in_boot) {
            Some(refusal) => refusal,
            None => Refusal::NoKernelPackage(nevras.collect()),
        });
    }
    let is_there = |kver: &Kver| host.kernels().any(|dir| dir.name == kver.as_str());
    let is_of = |flavour: Option<&str>| {
        let kernels = kernels.iter();
        let kernels = kernels.filter(move |(_, core)| flavour == Some(short(&core.name)));
        kernels.map(|(kver, _)| kver).collect::<Vec<_>>()
    };
    let asked = wishes.flavour.as_deref();
    let fits = match asked {
        Some(_) => is_of(asked),
        None => kernels.iter().map(|(kver, _)| kver).collect(),
    };
    let fits_too = |kver: &Kver| fits.contains(&kver);
    if let Some(kver) = wishes.kver.as_ref().filter(|kver| fits_too(kver)) {
        return Ok(kver.clone());
    }
    match fits.as_slice() {
        [] => {
            let flavour = asked.unwrap_or_default().to_owned();
            let there = choices(kernels, is_there);
            return Err(Refusal::NoSuchFlavour { flavour, there });
        }
        [kver] => return Ok((*kver).clone()),
        _ => {}
    }
    let done = earlier(sources, host).or_else(|| unfinished(sources, host));
    if let Some(kver) = done.filter(fits_too) {
        return Ok(kver);
    }
    let base = Flavour::of_old(host, host.replaced()?.as_ref());
    let mut new = is_of(asked.or(base.short()));
    new.retain(|kver| !is_there(kver));
    match new.as_slice() {
        [kver] if wishes.kver.is_none() => Ok((*kver).clone()),
        _ => {
            let fits = kernels.iter().filter(|(kver, _)| fits_too(kver));
            let fits: Vec<_> = fits.cloned().collect();
            Err(Refusal::SeveralKernelPackages(choices(&fits, is_there)))
        }
    }
}

/// Returns the kernels, each with the option that chooses it: `--flavour` if the flavour has only one kernel, else
/// `--kver`. A command line with `--flavour` also works when the sources later have another version.
fn choices(kernels: &[(Kver, Nevra)], is_there: impl Fn(&Kver) -> bool) -> Vec<Choice> {
    let choice = |(kver, core): &(Kver, Nevra)| {
        let flavour = short(&core.name);
        let mut others = kernels.iter().filter(|(other, _)| other != kver);
        Choice {
            option: if others.any(|(_, other)| short(&other.name) == flavour) {
                format!("--kver {kver}")
            } else {
                format!("--flavour {flavour}")
            },
            core: core.clone(),
            is_there: is_there(kver),
        }
    };
    kernels.iter().map(choice).collect()
}

/// Refuses several builds of one kernel release, as `make binrpm-pkg` leaves them: they own the same files, and none is
/// preferred.
fn refuse_several_builds(sources: &[Source], kver: &Kver) -> Result<(), Refusal> {
    let packages = sources.iter().map(|source| &source.package);
    let cores = packages.filter(|it| it.vmlinuz.as_ref() == Some(kver));
    let cores: BTreeSet<_> = cores.map(|it| it.nevra.to_string()).collect();
    if cores.len() < 2 {
        return Ok(());
    }
    Err(Refusal::SeveralBuilds {
        kver: kver.to_string(),
        cores: cores.into_iter().collect(),
    })
}

fn in_boot(source: &Source) -> Option<Refusal> {
    let package = source.package.nevra.to_string();
    let path = source.package.in_boot.clone();
    match source.package.vmlinuz_link.clone() {
        Some(link) => Some(Refusal::KernelIsLink {
            package,
            link,
            path,
        }),
        None => path.map(|path| Refusal::KernelInBoot { package, path }),
    }
}

/// Returns the kernel that an earlier run installed from exactly these sources, if the same build of the package that
/// owns its `vmlinuz` is still installed.
fn earlier(sources: &[Source], host: &Host) -> Option<Kver> {
    let earlier = host.earlier.as_ref()?;
    let nevras: BTreeSet<_> = sources
        .iter()
        .map(|it| it.package.nevra.to_string())
        .collect();
    let core = sources.iter().map(|source| &source.package).find(|it| {
        let kver = it.vmlinuz.as_ref();
        kver.is_some_and(|kver| kver.as_str() == earlier.kver)
    })?;
    let is_core = host
        .installed()
        .any(|it| it.nevra == core.nevra && it.header_sha256.as_ref() == Some(&core.header_sha256));
    (nevras == earlier.sources && is_core).then(|| core.vmlinuz.clone())?
}

/// Returns the kernel that a killed run was installing; `None` if there is none, or if the sources lack it.
fn unfinished(sources: &[Source], host: &Host) -> Option<Kver> {
    let kvers = sources.iter().filter_map(|it| it.package.vmlinuz.as_ref());
    let mut kvers = kvers.filter(|kver| host.unfinished.as_ref() == Some(kver));
    kvers.next().cloned()
}

/// Refuses a package that the user named and that has no relation to a kernel of the sources. A package that belongs to
/// kernels is related if one of them is in the sources. Any other package is related if it was built with a kernel of
/// the sources, or has the name of a part of the old or the new kernel. The base need not have the package: `DIR/*.rpm`
/// also names kernel-devel.
fn refuse_strangers(
    sources: &[Source],
    sides: &Sides,
    kernels: &[(Kver, Nevra)],
) -> Result<(), Refusal> {
    let is_kernel = |name: &str| kernels.iter().any(|(kver, _)| kver.as_str() == name);
    let cores = || sources.iter().filter(|it| it.package.vmlinuz.is_some());
    let is_known = |package: &Package| {
        let mut ties = ties(package).peekable();
        if ties.peek().is_some() {
            return ties.any(is_kernel);
        }
        let mut sources = cores().map(|core| &core.package.source);
        sides.is_part(package)
            || (!package.source.is_empty() && sources.any(|it| *it == package.source))
    };
    let mut named = sources.iter().filter(|source| source.named);
    match named.find(|source| !is_known(&source.package)) {
        None => Ok(()),
        Some(stranger) => Err(Refusal::BadFile {
            file: stranger.origin.clone(),
            why: format!(
                "{} is not a package of the kernel {}. Leave it out, and install it in a RUN line of its own",
                stranger.package.nevra, sides.kver
            ),
        }),
    }
}

/// Refuses packages of another build that would replace parts of the base's kernel, if the chosen build has no package
/// of the same name. The user probably expects these packages to be installed.
fn refuse_mixed(of_build: &[Source], others: &[Source], sides: &Sides) -> Result<(), Refusal> {
    let has = |name: &str| {
        let mut names = of_build.iter().map(|source| &source.package.nevra.name);
        names.any(|it| it == name)
    };
    let strays: Vec<_> = others
        .iter()
        .map(|source| &source.package)
        .filter(|package| !sides.new_flavour.is_kmod(package) && sides.is_installed(package))
        .filter(|package| !has(&package.nevra.name))
        .map(|package| package.nevra.to_string())
        .collect();
    if strays.is_empty() {
        return Ok(());
    }
    Err(Refusal::MixedBuilds {
        core: sides.kver.to_string(),
        others: strays,
    })
}

/// Returns the requirements `…uname-r` that have a version, so that exactly one kernel meets them.
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

fn refuse_arch(taken: &[Source], host: &Host, old: Option<&Kver>) -> Result<(), Refusal> {
    let of_kernel = old.into_iter().flat_map(|old| host.packages_of(old));
    let mut of_kernel = of_kernel.map(|installed| installed.nevra.arch.as_str());
    let of_kernel = of_kernel.find(|arch| *arch != "noarch");
    let Some(expected) = of_kernel.or_else(|| host.arch()) else {
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
            "nothing provides {wanted}, which is required by {}",
            by.join(", ")
        )
    };
    Err(Refusal::Incomplete(missing.into_iter().map(line).collect()))
}
