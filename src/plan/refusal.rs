// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reasons to stop before anything changes. The message of a refusal names the fault and the remedy.

use std::collections::BTreeSet;

use super::{Backend, Kmod};
use crate::kernel::kver::Kver;
use crate::package::Nevra;

/// The remedy for missing permissions. Rootless podman and buildah mount images in a user namespace of their own;
/// `podman unshare` and `buildah unshare` start a command as root of that namespace.
pub const AS_ROOT: &str = "Run as root. If you mounted the image with podman or buildah as an ordinary user, run in podman unshare or buildah unshare";

/// A kernel of the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The option that chooses this kernel.
    pub option: String,
    /// The package that owns `vmlinuz`.
    pub core: Nevra,
    /// Whether this kernel is on disk.
    pub is_there: bool,
}

/// A reason to stop before anything changes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The system has no deployments of ostree: the path of the system's root.
    #[error(
        "{0} has no deployments (no /ostree/deploy). On a machine that ostree manages, type the command on the host; in a toolbox, add --root /run/host"
    )]
    NoDeployments(String),
    /// The system uses bootc's composefs backend: the path of the system's root, and the evidence, for example a staged
    /// deployment.
    #[error(
        "{0} is a system of bootc's composefs backend ({1}), which is not supported: only deployments of the ostree backend are verified, and only their finalisation can be locked. To keep a staged deployment from being booted, type: bootc upgrade --download-only"
    )]
    ComposefsBackend(String, String),
    /// The tree is a booted ostree host.
    #[error(
        "this is a booted ostree host, and its /usr is read-only; ostree-kernel works in a container build. On this host type: rpm-ostree override replace FILE…"
    )]
    BootedHost,
    /// The tree is a running system without ostree.
    #[error(
        "this is a running system, not a container build: replacing its kernel and emptying its /run, /tmp and /var/cache would harm it. Run ostree-kernel in a RUN line of a Containerfile, or on a mounted image with --root DIR"
    )]
    RunningSystem,
    /// The wrappers of programs that cliwrap destroyed.
    #[error(
        "{} is an rpm-ostree wrapper whose real program is gone: an rpm-ostree before 2024.4 ran `cliwrap install-to-root` twice on this base. Use a base image that was built without it: this image does not contain the program any more", .0.join(", ")
    )]
    LostPrograms(Vec<String>),
    /// No program that can sign `vmlinuz` is available: the whole message.
    #[error("{0}")]
    NoSigner(String),
    /// Required programs are missing: their names.
    #[error("{} not found in the image (looked in /usr/sbin, /usr/bin), and this command needs it. Install its package in an earlier RUN line", .0.join(", "))]
    MissingPrograms(Vec<String>),
    /// Something else is in the place of a directory for temporary files: the path, and what is there.
    #[error(
        "/{0} is {1}, and dracut and rpm write there. Make it a directory in an earlier RUN line: rm /{0} && mkdir -m 1777 /{0}"
    )]
    NoDirectory(String, String),
    /// A file under dracut's name that is not dracut: the path, and a description of the file.
    #[error(
        "/{0} is {1}, not dracut: probably a build script replaced it to skip dracut. Reinstall the package dracut in an earlier RUN line, then run the same command again"
    )]
    NotDracut(String, String),
    /// Unified kernel images (UKIs) that are booted instead of `vmlinuz`.
    #[error("the image boots a unified kernel image ({}), so a replaced vmlinuz would never be started. Use a base image without a UKI", .0.join(", "))]
    Uki(Vec<String>),
    /// The UKIs of a tree without a `vmlinuz`.
    #[error("the image has its kernel and initramfs in a unified kernel image only ({}), and no vmlinuz in usr/lib/modules. Replace the kernel in the stage that builds the UKI, before it is built", .0.join(", "))]
    OnlyUki(Vec<String>),
    /// No directory in `usr/lib/modules` holds a kernel.
    #[error(
        "no directory in usr/lib/modules holds a vmlinuz; expected one kernel. Start from a bootable base image; if a transaction was killed here, build the layer again"
    )]
    NoKernel,
    /// Several kernels in `usr/lib/modules`: the name of each one's directory, and the command that removes it.
    #[error("usr/lib/modules holds {} kernels; expected one, since ostree boots whichever it reads first. If a transaction was killed here, build the layer again; else remove all but one in an earlier RUN line. Type:{}", .0.len(), removals(.0))]
    SeveralKernels(Vec<(String, String)>),
    /// The name of the only kernel, in `usr/lib/modules` or in the rpmdb, is not a kver: the error of the parser.
    #[error("usr/lib/modules: {0}")]
    BadKernelDir(String),
    /// An rpmdb that `--dry-run` cannot read, as "/PATH has the format FORMAT".
    #[error(
        "the rpmdb was not read: {0}, which only the image's own rpm can read, and --dry-run starts no program of the image. Run replace without --dry-run on a copy of the image"
    )]
    ForeignRpmdb(String),
    /// Packages of another kernel are installed in addition to those of the kernel on disk: the kernel on disk, and the
    /// packages.
    #[error(
        "besides the packages of {}, packages of a kernel without a vmlinuz are installed: {}. A transaction was interrupted. Build the layer again, or remove them with rpm -e in an earlier RUN line", .0, .1.join(", ")
    )]
    OldPackages(Kver, Vec<String>),
    /// `--dry-run` with `--from`: the repository.
    #[error(
        "--from {0} downloads packages with the image's dnf, and --dry-run starts no program of the image. Download the packages first and name the files, or run replace without --dry-run on a copy of the image"
    )]
    FromInDryRun(String),
    /// No package belongs to the old kernel.
    #[error(
        "no installed package belongs to the kernel {0}: the rpmdb and usr/lib/modules disagree. Start from a base image whose kernel was installed as packages; if a transaction was killed here, build the layer again"
    )]
    NoPackages(Kver),
    /// The requested backend is not available: the backend, and the reason.
    #[error(
        "the backend {0} cannot be used here: {1}. Omit --backend to detect one, or use another base image"
    )]
    Backend(Backend, String),
    /// No backend is available.
    #[error(
        "no program to replace packages: found neither rpm-ostree in an ostree container nor dnf5 nor dnf. Use a base image that has one of them"
    )]
    NoBackend,
    /// `--from` without dnf: the repository.
    #[error(
        "there is neither dnf5 nor dnf in this image, and --from {0} downloads with one of them; rpm-ostree cannot take a kernel from a repository here. Download the RPMs in a stage of an image that has dnf (`dnf download --repo={0} --resolve --destdir=/rpms kernel`), mount them with `RUN --mount=type=bind,from=STAGE,source=/rpms,target=/rpms`, and give that directory"
    )]
    NoDnf(String),
    /// A directory without RPMs.
    #[error(
        "{0}: a directory without any *.rpm file; expected kernel-core and its sub-packages. If it is mounted, compare the mount's source= with the build context and its .dockerignore"
    )]
    NoRpms(String),
    /// A file that cannot be used.
    #[error("{file}: {why}")]
    BadFile {
        /// The file, as the user named it.
        file: String,
        /// The reason, with what was expected.
        why: String,
    },
    /// A download failed.
    #[error("downloading {url}: {why}")]
    Download {
        /// The URL.
        url: String,
        /// The reason, with what was expected.
        why: String,
    },
    /// No package of the sources is a kernel: the packages.
    #[error("none of the packages is a kernel: expected one that owns lib/modules/*/vmlinuz, found {}. Add the RPM of the kernel itself (kernel-core, kernel-rt-core, …)", .0.join(", "))]
    NoKernelPackage(Vec<String>),
    /// A kernel package with its kernel in `/boot` only.
    #[error(
        "{package} has its kernel only as {path}; expected /usr/lib/modules/KVER/vmlinuz, a regular file: ostree boots nothing else. Packages of the kernel's own `make binrpm-pkg` have it there since Linux 6.9; build it with such a version, or with a spec that installs it there"
    )]
    KernelInBoot {
        /// The package.
        package: String,
        /// The path of its kernel.
        path: String,
    },
    /// A kernel package with a link instead of a kernel in `/usr/lib/modules`, as in Azure Linux.
    #[error(
        "{package} has {link} as a link{}; expected a regular file: ostree copies the link, which then dangles. Build the package with the kernel itself in /usr/lib/modules, and the link or a copy in /boot", to_boot(.path.as_deref())
    )]
    KernelIsLink {
        /// The package.
        package: String,
        /// The link.
        link: String,
        /// The kernel's file in `/boot`, if the package has one.
        path: Option<String>,
    },
    /// Several kernels among the sources.
    #[error("the sources hold {} kernels; expected one. Choose one, or give the packages of one build only:{}", .0.len(), choices(.0))]
    SeveralKernelPackages(Vec<Choice>),
    /// Several builds of one kernel release, which own the same files.
    #[error("the sources hold several builds of the kernel {kver}: {}. Give the packages of one of them only", .cores.join(", "))]
    SeveralBuilds {
        /// The kernel release.
        kver: String,
        /// The packages that own its `vmlinuz`.
        cores: Vec<String>,
    },
    /// No kernel of the requested flavour among the sources.
    #[error("--flavour {flavour}: the sources hold no kernel of this flavour. Correct the name, or give the packages of that kernel. The sources hold:{}", choices(.there))]
    NoSuchFlavour {
        /// The value of `--flavour`.
        flavour: String,
        /// The kernels of the sources.
        there: Vec<Choice>,
    },
    /// Packages of several builds.
    #[error("the packages are not of one build: the kernel is {core}; of another build are {}. Give all packages of one build", .others.join(", "))]
    MixedBuilds {
        /// The kver of the package that owns `vmlinuz`.
        core: String,
        /// The packages of other builds.
        others: Vec<String>,
    },
    /// A package of another architecture.
    #[error(
        "{package} is for {found}, and the image is {expected}. Give the {expected} packages of the same build"
    )]
    WrongArch {
        /// The package.
        package: String,
        /// Its architecture.
        found: String,
        /// The image's architecture.
        expected: String,
    },
    /// Requirements that no selected package meets, each with the packages that have it.
    #[error("the set of packages is incomplete: {}. Add the missing RPMs of the same build", .0.join("; "))]
    Incomplete(Vec<String>),
    /// Sub-packages of the base without a counterpart in the sources.
    #[error("the base has {}, and the sources have no such packages of {kver}. Add the missing RPMs, or allow the removal: {}", .names.join(", "), removes(.names.iter()))]
    NoCounterpart {
        /// The new kernel.
        kver: Kver,
        /// The sub-packages.
        names: Vec<String>,
    },
    /// `--remove` names a package that would not be removed.
    #[error(
        "--remove {0}: no package of that name belongs to the base's kernel or requires it. Type: ostree-kernel status"
    )]
    NothingToRemove(String),
    /// Packages that would be removed with the old kernel, each with the requirement that would not be met.
    #[error("these packages require the old kernel, and would be removed with it: {}. Add their builds for the new kernel to the sources, or allow the removal: {}", dependants(.0), removes(.0.iter().map(|(name, _)| name)))]
    Dependants(Vec<(String, String)>),
    /// Out-of-tree modules that no package brings for the new kernel.
    #[error("the base has out-of-tree modules for {old}, and no source has them for {kver}: {}. Add the RPMs of their build for {kver} to the sources{}", modules(.kmods), way_out(.kmods))]
    NoKmods {
        /// The installed kernel.
        old: Kver,
        /// The new kernel.
        kver: Kver,
        /// The modules.
        kmods: Vec<Kmod>,
    },
    /// The set is partly installed.
    #[error(
        "the kernel {kver} is incomplete. Installed: {}. Not installed: {}. If a transaction was killed here, build the layer again; else install them in a RUN line of their own", .there.join(", "), .missing.join(", ")
    )]
    HalfInstalled {
        /// The kernel of the set.
        kver: Kver,
        /// The installed packages.
        there: Vec<String>,
        /// The missing packages.
        missing: Vec<String>,
    },
    /// Packages that are installed in the same version and would have to be installed again, with rpm-ostree as the
    /// backend. They are of another build, or the kernel's `vmlinuz` was removed.
    #[error(
        "another build of the same version and release is installed, and rpm-ostree does not replace a package with one of the same version: {}. Build the kernel with another release{}", .names.join(", "), or_dnf(*.dnf)
    )]
    SameVersion {
        /// The packages.
        names: Vec<String>,
        /// A backend of the image that can replace the packages.
        dnf: Option<Backend>,
    },
    /// The sources do not have the kernel of `--kver`.
    #[error(
        "--kver requires {expected}, but {package} holds the kernel {found}. Correct --kver, or give the other RPMs"
    )]
    OtherKver {
        /// The value of `--kver`.
        expected: Kver,
        /// The kernel of the package.
        found: Kver,
        /// The package.
        package: String,
    },
    /// A signature that is not accepted.
    #[error("{file}: {why}")]
    Signature {
        /// The file, as the user named it.
        file: String,
        /// The fault and the remedy.
        why: String,
    },
    /// Unsigned packages, all from URLs.
    #[error(
        "downloaded packages are not signed: {}. To accept them, pin their digests. This trusts the bytes of this download (trust on first use); other bytes are refused from then on. Type:\n\n  {command}\n", .names.join(", ")
    )]
    Unsigned {
        /// The packages.
        names: Vec<String>,
        /// The command line with all digests.
        command: String,
    },
    /// Unsigned packages, at least one of them from a repository.
    #[error("packages of the repository are not signed: {}. Accept them unverified with --allow-unsigned, or pin them with --sha256sums FILE", .0.join(", "))]
    UnsignedInRepository(Vec<String>),
    /// A file with another digest than the required one.
    #[error(
        "{file}: its sha256 is {found}, expected {expected}: the file was changed or tampered with. Compare it with the publisher's digest, and correct the digest only if you trust the file"
    )]
    Pin {
        /// The file, as the user named it.
        file: String,
        /// Its digest.
        found: String,
        /// The required digest.
        expected: String,
    },
    /// A compressor that cannot be used.
    #[error(
        "the compressor \"{command}\" cannot be used: {why}. dracut would use another one, or fail. Correct --compress{}", compressors(.there)
    )]
    NoCompressor {
        /// The compressor's command line, as the user typed it.
        command: String,
        /// The reason.
        why: String,
        /// Compressors that the image has.
        there: Vec<String>,
    },
    /// dracut modules that do not exist.
    #[error(
        "the image has no dracut module {} in /usr/lib/dracut/modules.d, and dracut would fail. Correct the name after --add, or install the package that has the module in an earlier RUN line", .0.join(", ")
    )]
    NoDracutModule(Vec<String>),
    /// An argument with which dracut would not build the initramfs of the installed kernel.
    #[error(
        "the argument {0} for dracut: with it, dracut would not build the initramfs of the installed kernel. Omit it; --kver and the output file are passed by this program"
    )]
    DracutOption(String),
    /// An argument for dracut that its script would reject: the argument and the reason.
    #[error("the argument {0}")]
    DracutArgument(String),
    /// A file for `--include` that does not exist.
    #[error(
        "--include {0}: no such file or directory in the image. Correct the path, or copy the file in an earlier line of the Containerfile"
    )]
    NotThere(String),
    /// A program for `--before-dracut` that does not exist.
    #[error(
        "--before-dracut {0}: no such program in the image. Correct the path, or copy or mount the program in the RUN line"
    )]
    NoProgram(String),
    /// Drivers that neither the new nor the installed kernel has as a module, and that are not built in.
    #[error(
        "no such driver: {}. Neither the packages of {kver} nor the installed kernel has such a module, and it is not built in. Correct the name, or remove the option", .names.join(", ")
    )]
    NoDriver {
        /// The drivers.
        names: Vec<String>,
        /// The new kernel.
        kver: Kver,
    },
    /// Programs cannot run inside the root: the path of the root, and the reason.
    #[error(
        "cannot run programs inside {0}: {1}. {as_root}, or run ostree-kernel inside the image",
        as_root = AS_ROOT
    )]
    CannotEnter(String, String),
    /// The user may not create the private directory of the run or the lock file in it: the error.
    #[error("{0}; replace and rebuild write there first, also with --dry-run. {as_root}", as_root = AS_ROOT)]
    CannotWrite(String),
    /// The file of `--report` cannot be written.
    #[error(
        "--report {file} cannot be written: {why}. Nothing was started; give a path in a directory that exists and that you may write to"
    )]
    Report {
        /// The file, as the user named it.
        file: String,
        /// The reason.
        why: String,
    },
    /// Another run works on this tree: the path of its lock file.
    #[error(
        "another ostree-kernel is running on this tree (it holds the lock {0}). Wait until it ends, then run the same command again"
    )]
    Locked(String),
}

/// Formats a line per kernel with the command that removes it.
fn removals(kernels: &[(String, String)]) -> String {
    let line = |(name, removal): &(String, String)| format!("\n  {removal}  (removes {name})");
    kernels.iter().map(line).collect()
}

/// Formats a line per kernel with the option that chooses it.
fn choices(kernels: &[Choice]) -> String {
    let line = |it: &Choice| {
        let there = if it.is_there { ", installed now" } else { "" };
        format!("\n  {}  ({}{there})", it.option, it.core)
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
            "; in an earlier RUN line, remove the files that no package owns: rm {}",
            paths.join(" ")
        );
    }
    ways
}
