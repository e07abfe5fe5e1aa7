// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why nothing was done. Each refusal says what was found, what was expected and what to type.

use std::collections::BTreeSet;

use super::{Backend, Kmod};
use crate::kernel::kver::Kver;
use crate::package::Nevra;

/// What to type where a user may not do what is needed. A mounted image of rootless podman or buildah is
/// the user's own, and in its user name space every command works.
pub const AS_ROOT: &str = "Run as root; or, with an image that you have mounted with podman or buildah as yourself, in podman unshare or buildah unshare";

/// Why nothing was done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// `replace` on a running system.
    #[error(
        "this is a booted ostree host, and its /usr is read-only; ostree-kernel works in a container build. On this host type: rpm-ostree override replace FILE…"
    )]
    BootedHost,
    /// `replace` on a running system that is no ostree host.
    #[error(
        "this is a running system, not a container build: replacing its kernel and emptying its /run, /tmp and /var/cache would harm it. Run ostree-kernel in a RUN line of a Containerfile, or on a mounted image with --root DIR"
    )]
    RunningSystem,
    /// cliwrap destroyed a program.
    #[error(
        "{} is an rpm-ostree wrapper whose real program is gone: an rpm-ostree before 2024.4 ran `cliwrap install-to-root` twice on this base. Use a base image that was built without it: this image does not contain the program any more", .0.join(", ")
    )]
    LostPrograms(Vec<String>),
    /// Programs that every job needs.
    #[error("{} not found in the image (looked in /usr/sbin, /usr/bin), and this command needs it. Install its package in an earlier RUN line", .0.join(", "))]
    MissingPrograms(Vec<String>),
    /// A directory for temporary files that is none.
    #[error(
        "/{0} is {1}, and dracut and rpm write there. Make it a directory in an earlier RUN line: rm /{0} && mkdir -m 1777 /{0}"
    )]
    NoDirectory(String, String),
    /// A file in dracut's place.
    #[error(
        "/{0} is {1}, not dracut: probably a build script replaced it to skip dracut. Reinstall the package dracut in an earlier RUN line, then run the same command again"
    )]
    NotDracut(String, String),
    /// A UKI.
    #[error("the image boots a unified kernel image ({}), so a replaced vmlinuz would never be started. Use a base image without a UKI", .0.join(", "))]
    Uki(Vec<String>),
    /// UKIs and no `vmlinuz`.
    #[error("the image has its kernel and initramfs in a unified kernel image only ({}), and no vmlinuz in usr/lib/modules. Replace the kernel in the stage that builds the UKI, before it is built", .0.join(", "))]
    OnlyUki(Vec<String>),
    /// No kernel.
    #[error(
        "no directory in usr/lib/modules holds a vmlinuz; expected one kernel. Start from a bootable base image; if a transaction was killed here, build the layer again"
    )]
    NoKernel,
    /// Two kernels, each with what removes it.
    #[error("usr/lib/modules holds {} kernels; expected one, since ostree boots whichever it reads first. If a transaction was killed here, build the layer again; else remove all but one in an earlier RUN line. Type:{}", .0.len(), removals(.0))]
    SeveralKernels(Vec<(String, String)>),
    /// A directory name that is no release string.
    #[error("usr/lib/modules: {0}")]
    BadKernelDir(String),
    /// An rpmdb that `--dry-run` does not read.
    #[error(
        "the rpmdb was not read: {0}, which only the image's own rpm reads, and --dry-run starts no program of the image. Run replace without --dry-run on a copy of the image"
    )]
    ForeignRpmdb(String),
    /// Both kernels' packages are installed.
    #[error(
        "the packages of {} are installed, and beside them those of a kernel that is not there: {}. A transaction was cut short. Build the layer again, or remove them by rpm -e in an earlier RUN line", .0, .1.join(", ")
    )]
    OldPackages(Kver, Vec<String>),
    /// `--dry-run` with a repository.
    #[error(
        "--from {0} asks dnf of the image for the packages, and --dry-run starts no program of the image. Download the packages first and name the files, or run replace without --dry-run on a copy of the image"
    )]
    FromInDryRun(String),
    /// No package belongs to the old kernel.
    #[error(
        "no installed package belongs to the kernel {0}: the rpmdb and usr/lib/modules disagree. Start from a base image whose kernel was installed as packages; if a transaction was killed here, build the layer again"
    )]
    NoPackages(Kver),
    /// The backend asked for is not here.
    #[error(
        "the backend {0} cannot be used here: {1}. Leave --backend out to have it chosen, or use another base image"
    )]
    Backend(Backend, String),
    /// There is none.
    #[error(
        "nothing here can replace packages: found neither rpm-ostree in an ostree container nor dnf5 nor dnf. Use a base image that has one of them"
    )]
    NoBackend,
    /// `--from` without dnf.
    #[error(
        "there is neither dnf5 nor dnf in this image, and --from {0} downloads with one of them; rpm-ostree cannot take a kernel from a repository here. Download the RPMs in a stage of an image that has dnf (`dnf download --repo={0} --resolve --destdir=/rpms kernel`), mount them with `RUN --mount=type=bind,from=STAGE,source=/rpms,target=/rpms`, and give that directory"
    )]
    NoDnf(String),
    /// Not one RPM.
    #[error(
        "{0}: a directory without any *.rpm file; expected kernel-core and its sub-packages. Where it is mounted, compare the mount's source= with the build context and its .dockerignore"
    )]
    NoRpms(String),
    /// A file is not what it should be.
    #[error("{file}: {why}")]
    BadFile {
        /// As the user named it.
        file: String,
        /// The reason, with what was expected.
        why: String,
    },
    /// A download did not come.
    #[error("downloading {url}: {why}")]
    Download {
        /// The URL.
        url: String,
        /// The reason, with what was expected.
        why: String,
    },
    /// No package of the sources is a kernel.
    #[error("none of the packages is a kernel: expected one that owns lib/modules/*/vmlinuz, found {}. Add the RPM of the kernel itself (kernel-core, kernel-rt-core, …)", .0.join(", "))]
    NoKernelPackage(Vec<String>),
    /// A kernel package of an older shape.
    #[error(
        "{package} brings its kernel as {path} only; expected /usr/lib/modules/KVER/vmlinuz, a regular file: ostree boots nothing else. Packages of the kernel's own `make binrpm-pkg` have it there since Linux 6.9; build it with such a version, or with a spec that installs it there"
    )]
    KernelInBoot {
        /// The package.
        package: String,
        /// Where its kernel lies.
        path: String,
    },
    /// A kernel package with a link in the place of its kernel, as Azure Linux's.
    #[error(
        "{package} has {link} as a link{}; expected a regular file: ostree copies the link, which leads nowhere then. Build the package with the kernel itself in /usr/lib/modules, and the link or a copy in /boot", to_boot(.path.as_deref())
    )]
    KernelIsLink {
        /// The package.
        package: String,
        /// The link.
        link: String,
        /// The kernel that it brings in `/boot`.
        path: Option<String>,
    },
    /// Several kernels among the sources; whether each is the one that is installed.
    #[error("the sources hold {} kernels; expected one. Choose one, or give the packages of one build only:{}", .0.len(), choices(.0))]
    SeveralKernelPackages(Vec<(Nevra, Kver, bool)>),
    /// Another build.
    #[error("the packages are not of one build: the kernel is {core}, and of another build: {}. Give all packages of one build", .others.join(", "))]
    MixedBuilds {
        /// The kver of the package that owns `vmlinuz`.
        core: String,
        /// The others.
        others: Vec<String>,
    },
    /// Another architecture.
    #[error(
        "{package} is for {found}, and the image is {expected}. Take the {expected} packages of the same build"
    )]
    WrongArch {
        /// The package.
        package: String,
        /// Its architecture.
        found: String,
        /// The image's.
        expected: String,
    },
    /// A requirement that nothing meets.
    #[error("the set of packages is not complete: {}. Add the missing RPMs of the same build", .0.join("; "))]
    Incomplete(Vec<String>),
    /// Sub-packages without a counterpart.
    #[error("the base has {}, and the sources have no counterpart of {kver}. Add the missing RPMs, or allow the removal: {}", .names.join(", "), removes(.names.iter()))]
    NoCounterpart {
        /// The new kernel.
        kver: Kver,
        /// The sub-packages.
        names: Vec<String>,
    },
    /// `--remove` of something else.
    #[error(
        "--remove {0}: no package of that name belongs to the base's kernel or requires it. Type: ostree-kernel status"
    )]
    NothingToRemove(String),
    /// Packages that would go with the old kernel.
    #[error("these packages require the old kernel, and would be removed with it: {}. Add their builds for the new kernel to the sources, or allow the removal: {}", dependants(.0), removes(.0.iter().map(|(name, _)| name)))]
    Dependants(Vec<(String, String)>),
    /// Out-of-tree modules that nothing brings.
    #[error("the base has out-of-tree modules for {old}, and nothing brings them for {kver}: {}. Add the RPMs of their build for {kver} to the sources{}", modules(.kmods), way_out(.kmods))]
    NoKmods {
        /// The kernel that is there.
        old: Kver,
        /// The new kernel.
        kver: Kver,
        /// The modules.
        kmods: Vec<Kmod>,
    },
    /// Some packages of the set are there, and some are not.
    #[error(
        "of the kernel {kver} these packages are installed: {}; and these are not: {}. If a transaction was killed here, build the layer again; else install them in a RUN line of their own", .there.join(", "), .missing.join(", ")
    )]
    HalfInstalled {
        /// The kernel of the set.
        kver: Kver,
        /// Packages that have come.
        there: Vec<String>,
        /// Packages that have not.
        missing: Vec<String>,
    },
    /// The same version, built again, and rpm-ostree.
    #[error(
        "{} is installed already, from another build of the same version and release, and rpm-ostree replaces no package by one of the same version. Build the kernel with another release{}", .names.join(", "), or_dnf(*.dnf)
    )]
    SameVersion {
        /// The packages.
        names: Vec<String>,
        /// A backend of the image that can do it.
        dnf: Option<Backend>,
    },
    /// `--kver`.
    #[error(
        "--kver says {expected}, and {package} holds the kernel {found}. Correct --kver, or give the other RPMs"
    )]
    OtherKver {
        /// The option as the user typed it.
        expected: Kver,
        /// What the header says.
        found: Kver,
        /// Which package.
        package: String,
    },
    /// A signature that cannot be accepted.
    #[error("{file}: {why}")]
    Signature {
        /// As the user named it.
        file: String,
        /// What was found, what was expected and what to type.
        why: String,
    },
    /// Unsigned packages from the network.
    #[error(
        "{} came over the network and are not signed. To accept them, pin their digests. This trusts the bytes of this download (trust on first use); other bytes are refused from then on. Type:\n\n  {command}\n", .names.join(", ")
    )]
    Unsigned {
        /// The packages.
        names: Vec<String>,
        /// The command line with all digests.
        command: String,
    },
    /// Unsigned packages that dnf downloaded.
    #[error("{} came from a repository and are not signed. Accept them unverified with --allow-unsigned, or pin them with --sha256sums FILE", .0.join(", "))]
    UnsignedInRepository(Vec<String>),
    /// Bytes that are not the pinned ones.
    #[error(
        "{file}: its sha256 is {found}, and {expected} was asked for: the file was changed or tampered with. Compare it with the publisher's digest, and correct the digest only if you trust the file"
    )]
    Pin {
        /// As the user named it.
        file: String,
        /// What the bytes give.
        found: String,
        /// What the user wrote.
        expected: String,
    },
    /// A compressor that cannot be used.
    #[error(
        "the compressor \"{command}\" cannot be used: {why}. dracut would take another one, or fail after the packages are replaced. Correct --compress{}", compressors(.there)
    )]
    NoCompressor {
        /// The option as the user typed it.
        command: String,
        /// The reason.
        why: String,
        /// Compressors that the image has.
        there: Vec<String>,
    },
    /// Modules of dracut that are not there.
    #[error(
        "the image has no dracut module {} in /usr/lib/dracut/modules.d, and dracut would fail. Correct the name after --add, or install the package that has the module in an earlier RUN line", .0.join(", ")
    )]
    NoDracutModule(Vec<String>),
    /// A file for `--include` that is not there.
    #[error(
        "--include {0}: no such file or directory in the image. Correct the path, or copy the file in an earlier line"
    )]
    NotThere(String),
    /// Drivers that no kernel has.
    #[error(
        "no driver is called {}: neither the packages of {kver} nor the kernel that is there have such a module, and none of that name is built in there. Correct the name, or remove the option", .names.join(", ")
    )]
    NoDriver {
        /// The drivers.
        names: Vec<String>,
        /// The kernel that is to have them.
        kver: Kver,
    },
    /// Programs cannot run inside the root.
    #[error(
        "cannot run programs inside {0}: {1}. {as_root}; or inside the image itself",
        as_root = AS_ROOT
    )]
    CannotEnter(String, String),
    /// The private directory of a run cannot be made.
    #[error("{0}; replace and rebuild write there first, with --dry-run too. {as_root}", as_root = AS_ROOT)]
    CannotWrite(String),
    /// `--report`.
    #[error(
        "--report {file} cannot be written: {why}. Nothing was started; give a path in a directory that exists and that you may write to"
    )]
    Report {
        /// As the user named it.
        file: String,
        /// The reason.
        why: String,
    },
    /// Another run.
    #[error(
        "another ostree-kernel is running on this tree (it holds the lock {0}). Wait until it ends, then run the same command again"
    )]
    Locked(String),
}

/// A line for each kernel, with what removes it.
fn removals(kernels: &[(String, String)]) -> String {
    let line = |(name, removal): &(String, String)| format!("\n  {removal}  (removes {name})");
    kernels.iter().map(line).collect()
}

/// A line for each kernel, with what chooses it.
fn choices(kernels: &[(Nevra, Kver, bool)]) -> String {
    let line = |(nevra, kver, is_there): &(Nevra, Kver, bool)| {
        let there = if *is_there { ", installed now" } else { "" };
        format!("\n  --kver {kver}  ({nevra}{there})")
    };
    kernels.iter().map(line).collect()
}

fn compressors(there: &[String]) -> String {
    match there {
        [] => String::new(),
        there => format!(" (the image has {})", there.join(", ")),
    }
}

fn to_boot(path: Option<&str>) -> String {
    path.map_or_else(String::new, |path| {
        format!(", and its kernel as {path} only")
    })
}

fn or_dnf(dnf: Option<Backend>) -> String {
    dnf.map_or_else(String::new, |dnf| {
        format!("; or have {dnf} reinstall it: --backend {dnf}")
    })
}

fn removes<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let options: Vec<_> = names.map(|name| format!("--remove {name}")).collect();
    options.join(" ")
}

fn dependants(packages: &[(String, String)]) -> String {
    let one = |(name, wanted): &(String, String)| format!("{name} (requires {wanted})");
    packages.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn modules(kmods: &[Kmod]) -> String {
    let one = |kmod: &Kmod| match kmod.owners.as_slice() {
        [] => format!("{} (of no package)", kmod.name),
        owners => format!("{} (of {})", kmod.name, owners.join(", ")),
    };
    kmods.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn way_out(kmods: &[Kmod]) -> String {
    let owners: BTreeSet<_> = kmods.iter().flat_map(|kmod| &kmod.owners).collect();
    let unowned = kmods.iter().filter(|kmod| kmod.owners.is_empty());
    let paths: Vec<_> = unowned.map(|kmod| format!("/{}", kmod.path)).collect();
    let mut ways = String::new();
    if !owners.is_empty() {
        ways += &format!(", or allow the removal: {}", removes(owners.into_iter()));
    }
    if !paths.is_empty() {
        ways += &format!(
            "; remove files that no package owns in an earlier RUN line: rm {}",
            paths.join(" ")
        );
    }
    ways
}
