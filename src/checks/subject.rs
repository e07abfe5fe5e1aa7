// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts that checks examine.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::initramfs::image;
use super::{
    AlteredElf, Answer, Baseline, DracutConf, Finding, Hmac, KernelFiles, Kmod, ModuleParameters,
    Omitted, OsRelease, Setups, Severity, SignerFacts, SymbolVersions, Userland, Wanted,
};
use crate::boot::Trace;
use crate::initramfs::{Facts, Inventory, Segment};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModuleName, ModulesDep, Softdeps};
use crate::kernel::packing::{Config, Packing};
use crate::kernel::vmlinuz::Release;
use crate::node::Machine;
use crate::package::rpmdb::Rpmdb;

/// All facts for the checks.
pub struct Subject<'a> {
    /// The kernel to boot.
    pub kver: &'a Kver,
    /// The tree that contains the kernel; `None` if only an initramfs is verified.
    pub tree: Option<&'a TreeFacts>,
    /// The initramfs of the kernel.
    pub image: &'a Initramfs,
    /// The facts about an earlier initramfs to compare with, usually the base's; `None` if there is none.
    pub base: Option<&'a Baseline>,
    /// The user's requirements.
    pub wanted: &'a Wanted,
    /// The machine that may boot the deployment next; `None` if the tree is not a deployment on such a machine.
    pub machine: Option<&'a Machine>,
    /// The trace of the boot, created when the first check needs it.
    trace: OnceLock<Trace<'a>>,
}

/// A module that cannot be loaded, since it requires a symbol that does not exist.
#[derive(Debug, Clone)]
pub struct Lacking {
    /// The path of the module, as depmod prints it.
    pub module: String,
    /// The missing symbol; if there are several, one of them.
    pub symbol: String,
}

/// The modules that cannot be loaded, according to depmod.
#[derive(Debug, Clone, Default)]
pub struct AllLacking {
    /// The first of these modules, at most 20.
    pub first: Vec<Lacking>,
    /// The number of further modules.
    pub more: usize,
}

impl AllLacking {
    /// Upper bound of stored modules; thousands can be affected.
    const KEPT: usize = 20;

    /// Adds a module, or only counts it if [`KEPT`](Self::KEPT) modules are stored.
    pub fn push(&mut self, lacking: Lacking) {
        if self.first.len() < Self::KEPT {
            self.first.push(lacking);
        } else {
            self.more += 1;
        }
    }
}

/// The error that the release of `vmlinuz` cannot be read.
#[derive(Debug, Clone)]
pub struct NoRelease {
    /// The reason.
    pub why: String,
    /// Whether the file is damaged, not just of an unknown format.
    pub damaged: bool,
}

/// The facts about the tree.
#[derive(Debug)]
pub struct TreeFacts {
    /// Names of the directories in `usr/lib/modules` whose `vmlinuz` is a regular file, or a link to one.
    pub kernels: Vec<String>,
    /// The target of `vmlinuz`, if it is a link.
    pub vmlinuz_link: Option<String>,
    /// Names of the directories in `usr/lib/modules` without a `vmlinuz` that an old kernel left and no package owns.
    pub stale_dirs: Vec<String>,
    /// Modules that cannot be loaded, according to depmod.
    pub lacking: AllLacking,
    /// The release of `vmlinuz`, or the reason why it cannot be read.
    pub release: Result<Release, NoRelease>,
    /// The rpmdb.
    pub rpmdb: Database,
    /// Files that would be booted instead of `vmlinuz`.
    pub shadows: Vec<Shadow>,
    /// The file that is, or will become, `initramfs.img`.
    pub initramfs: Option<ImageFile>,
    /// Bytes of the files that ostree copies to `/boot` besides the initramfs: `vmlinuz`, and `devicetree` or `dtb`.
    pub beside_initramfs: u64,
    /// Kernel files such as `vmlinuz-*` in `usr/lib/ostree-boot` and `boot`. ostree boots a kernel from there if there
    /// is no `initramfs.img`.
    pub legacy: Vec<String>,
    /// Other leftovers: programs that rpm-ostree saved, cliwrap's wrappers, files of a hold.
    pub leftovers: Vec<String>,
    /// The modules on disk, relative to the kernel's directory.
    pub modules: Vec<Vec<u8>>,
    /// The lists in the kernel's directory, such as `modules.dep`.
    pub lists: Lists,
    /// The kernel's configuration, from `config` in the kernel's directory.
    pub config: FileRead<String>,
    /// The compression formats of modules on disk, each with the path of the first such module (relative to the
    /// kernel's directory) and the number of such modules. Empty if the kernel decodes no modules itself.
    pub packings: BTreeMap<Packing, (Vec<u8>, usize)>,
    /// The content of `.vmlinuz.hmac`, and the actual HMAC of `vmlinuz`.
    pub hmac: Hmac,
    /// Whether `vmlinuz` has a Secure Boot signature, or the reason why this is not known.
    pub signed: Result<bool, String>,
    /// The comparison of the kernel's files with their packages.
    pub kernel_files: KernelFiles,
    /// The signers of the kernel and its modules, if certificates were given.
    pub signers: SignerFacts,
    /// The modules on disk that may have been built elsewhere.
    pub kmods: Vec<Kmod>,
    /// The file names in the directories of libraries, and in the directories of the firmware that `kmods` request.
    /// Empty if none of `kmods` has a version.
    pub userland: Userland,
    /// The dracut modules and drivers that dracut's configuration omits.
    pub omitted: Omitted,
    /// dracut's configuration in the tree.
    pub conf: DracutConf,
    /// The paths of `install_items` in dracut's configuration that exist on disk.
    pub items: BTreeSet<String>,
    /// Facts from the module-setup.sh of dracut's modules on disk.
    pub setups: Setups,
    /// Types of the root's file system that files of the tree, such as `etc/fstab`, name.
    pub root_filesystems: BTreeSet<String>,
    /// The kernel arguments that bootc takes from the tree, as pairs of a file's path and an argument in that file.
    pub kernel_arguments: Vec<(String, String)>,
    /// The parameters of the modules that [`with_options`](super::with_options) returns.
    pub parameters: ModuleParameters,
    /// The programs and libraries that the initramfs has copies of, and that differ from their packages; `None` if the
    /// rpmdb has no digests of programs.
    pub altered: Option<Vec<AlteredElf>>,
    /// The versions of the symbols that the modules of [`modules_for_root`](super::modules_for_root) import.
    pub symbols: SymbolVersions,
    /// The contents of configuration files that dracut copies, by path: the paths that [`copies`](super::copies)
    /// returns, and those in [`COPIED_DIRS`](super::COPIED_DIRS). Large and unreadable files are left out.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The names of dracut's modules on disk.
    pub dracut_modules: BTreeSet<String>,
    /// The os-release file that ostree reads.
    pub os_release: OsRelease,
    /// Whether the tree has systemd or dracut, so that an initramfs has copies of the tree's files.
    pub has_sources: bool,
    /// The version of dracut in the tree; `None` if it is not known.
    pub dracut_version: Option<String>,
    /// Paths that are dangling links in the initramfs and regular files in the tree.
    pub under_links: BTreeSet<Vec<u8>>,
    /// The names of systemd's units on disk, and of units in dracut's modules. Empty without a base.
    pub units: BTreeSet<String>,
    /// Firmware files that the base's initramfs has and this one lacks, each with a driver in this initramfs that
    /// requests the file. Empty without a base.
    pub firmware_of: BTreeMap<Vec<u8>, ModuleName>,
}

/// The result of reading a file: `Ok(None)` if it does not exist, `Err` with the reason if it cannot be read.
pub type FileRead<T> = Result<Option<T>, String>;

/// The lists of modules in a kernel's directory.
#[derive(Debug)]
pub struct Lists {
    /// `modules.dep`.
    pub dep: FileRead<ModulesDep>,
    /// `modules.builtin`.
    pub builtin: FileRead<ModuleList>,
    /// `modules.order`: the modules that the kernel was built with.
    pub order: FileRead<ModuleList>,
    /// `modules.softdep`.
    pub softdep: FileRead<Softdeps>,
    /// `modules.alias`.
    pub alias: FileRead<Aliases>,
    /// The aliases of built-in modules, from `modules.builtin.modinfo`.
    pub builtin_alias: FileRead<Aliases>,
}

/// The rpmdb of the tree.
#[derive(Debug, Clone)]
pub enum Database {
    /// The tree has no rpmdb, or its format is not supported, with the reason.
    Unread(String),
    /// The rpmdb could not be read, with the reason.
    Failed(String),
    /// The packages.
    Read(Arc<Rpmdb>),
}

impl Database {
    /// Returns the packages.
    ///
    /// # Errors
    /// If the rpmdb was not read, the answer of the check that calls this.
    pub(super) fn packages(&self) -> Result<&Rpmdb, Answer> {
        match self {
            Self::Unread(why) => Err(Answer::NotApplicable(why.clone())),
            Self::Failed(why) => Err(Answer::CouldNotRun(why.clone())),
            Self::Read(rpmdb) => Ok(rpmdb),
        }
    }
}

/// A file that would be booted instead of `vmlinuz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The path of the file, relative to the root.
    pub path: String,
    /// The programs that boot it.
    pub boots: BootedBy,
}

/// The programs that boot a file instead of `vmlinuz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootedBy {
    /// bootc with either of its backends, and systemd-boot.
    All,
    /// Only bootc with its composefs backend, which uses composefs-rs.
    ComposefsRs,
}

/// The file of the initramfs.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// The path, relative to the root.
    pub path: String,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// The permission bits.
    pub mode: u32,
    /// The size in bytes.
    pub size: u64,
}

/// The content of the initramfs.
pub enum Initramfs {
    /// There is no initramfs.
    Missing,
    /// The initramfs could not be opened, with the reason.
    Closed(String),
    /// The kernel cannot unpack the initramfs, with the reason and the place.
    Unreadable(String),
    /// The initramfs was read.
    Read {
        /// The unpacked names and files.
        inventory: Box<Inventory>,
        /// The segments.
        segments: Vec<Segment>,
        /// Facts that were read from whole files during unpacking, such as the libraries of programs.
        facts: Box<Facts>,
    },
}

impl TreeFacts {
    /// Returns the packages that own the file at `path`, as " (of NEVRA, …)". Empty if none is known: only the owners
    /// of paths in `usr/lib/modules`, `boot` and `usr/lib/ostree-boot` are read.
    pub(super) fn of_package(&self, path: &str) -> String {
        let Database::Read(rpmdb) = &self.rpmdb else {
            return String::new();
        };
        let owners = rpmdb.owners_of(path).map(|(it, _)| it.nevra.to_string());
        let owners: Vec<_> = owners.collect();
        match owners.as_slice() {
            [] => String::new(),
            owners => format!(" (of {})", owners.join(", ")),
        }
    }

    /// Returns the content of one of the tree's [`files`](Self::files); `None` if the tree does not have it.
    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }
}

impl<'a> Subject<'a> {
    /// Returns a subject without a machine, whose trace is not created yet.
    pub fn new(
        kver: &'a Kver,
        tree: Option<&'a TreeFacts>,
        image: &'a Initramfs,
        base: Option<&'a Baseline>,
        wanted: &'a Wanted,
    ) -> Self {
        Self {
            kver,
            tree,
            image,
            base,
            wanted,
            machine: None,
            trace: OnceLock::new(),
        }
    }

    /// Sets a trace that [`into_trace`](Self::into_trace) has returned for the same initramfs.
    pub fn with_trace(mut self, trace: Option<Trace<'a>>) -> Self {
        self.trace = trace.map_or_else(OnceLock::new, OnceLock::from);
        self
    }

    /// Returns the trace of the boot, for a subject with the same initramfs and a tree. `None` without a complete
    /// [`inventory`](Self::inventory), or if dracut did not build the initramfs, since the trace then depends on the
    /// tree.
    pub fn into_trace(self) -> Option<Trace<'a>> {
        if !image::is_of_dracut(self.inventory().ok()?) {
            return None;
        }
        self.trace().ok()?;
        self.trace.into_inner()
    }

    /// Returns the trace of the boot.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked).
    pub(super) fn trace(&self) -> Result<&Trace<'a>, Answer> {
        self.unpacked()?;
        let Initramfs::Read {
            inventory, facts, ..
        } = self.image
        else {
            return Err(Answer::NotApplicable("there is no initramfs".into()));
        };
        Ok(self.trace.get_or_init(|| {
            // If a part of the root's setup is missing, only the check `initramfs-ostree` reports that: the trace then
            // does not require the setup.
            let is_whole = image::ostree(self).is_ok_and(|findings| findings.is_empty());
            let setup = image::root_setup(self, inventory);
            Trace::new(inventory, facts, is_whole.then_some(setup))
        }))
    }

    /// Returns the tree.
    ///
    /// # Errors
    /// Without a tree, the answer of the check that calls this.
    pub(super) fn tree(&self) -> Result<&TreeFacts, Answer> {
        self.tree
            .ok_or_else(|| Answer::NotApplicable("there is no tree, only an initramfs".into()))
    }

    /// Returns the kernel's configuration, if it is known.
    pub(super) fn config(&self) -> Option<Config<'a>> {
        self.tree?.config.as_ref().ok()?.as_deref().map(Config)
    }

    /// Returns the facts about the earlier initramfs.
    ///
    /// # Errors
    /// Without these facts, the answer of the check that calls this.
    pub(super) fn base(&self) -> Result<&'a Baseline, Answer> {
        let why = "there is no earlier initramfs to compare with (--against FILE or IMAGE)";
        self.base.ok_or_else(|| Answer::NotApplicable(why.into()))
    }

    /// Returns the machine.
    ///
    /// # Errors
    /// Without a machine, the answer of the check that calls this.
    pub(super) fn machine(&self) -> Result<&'a Machine, Answer> {
        let why = "it applies only to a deployment on the machine that boots it";
        self.machine
            .ok_or_else(|| Answer::NotApplicable(why.into()))
    }

    /// Returns `findings` about losses in comparison with the base. On a machine, fatal ones are lowered to warnings:
    /// the checks `node-*` report missing parts that this machine needs to boot, and other losses are no reason to
    /// refuse an update.
    pub(super) fn losses(&self, findings: Vec<Finding>) -> Vec<Finding> {
        if self.machine.is_none() {
            return findings;
        }
        let warning = |it: Finding| match it.milder {
            Some(_) => it,
            None => it.only(Severity::Warning),
        };
        findings.into_iter().map(warning).collect()
    }

    /// Returns the unpacked initramfs. Most of its files may be in a file system image inside it, as with dracut's
    /// squash modules.
    ///
    /// # Errors
    /// Without an unpacked initramfs, the answer of the check that calls this. The checks `initramfs-present` and
    /// `initramfs-readable` report the reason.
    pub(super) fn unpacked(&self) -> Result<&Inventory, Answer> {
        match self.image {
            Initramfs::Read { inventory, .. } => Ok(inventory),
            Initramfs::Missing => Err(Answer::NotApplicable("there is no initramfs".into())),
            Initramfs::Closed(why) => Err(Answer::CouldNotRun(why.clone())),
            Initramfs::Unreadable(_) => {
                Err(Answer::NotApplicable("the initramfs cannot be read".into()))
            }
        }
    }

    /// Returns the unpacked initramfs, if no files are in a file system image inside it.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked), or that most files are in a file system image inside the initramfs.
    pub(super) fn inventory(&self) -> Result<&Inventory, Answer> {
        let inventory = self.unpacked()?;
        match inventory.root_image() {
            None => Ok(inventory),
            Some(root) => Err(Answer::NotApplicable(format!(
                "most files are in a file system image inside the initramfs, {}",
                root.path
            ))),
        }
    }

    /// Returns the facts that were read from whole files during unpacking.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked).
    pub(super) fn facts(&self) -> Result<&Facts, Answer> {
        self.unpacked()?;
        match self.image {
            Initramfs::Read { facts, .. } => Ok(facts),
            _ => Err(Answer::NotApplicable("there is no initramfs".into())),
        }
    }

    /// Returns the dracut modules and drivers that dracut omits, by the tree's configuration and by dracut's arguments
    /// that the initramfs records.
    pub(super) fn omitted(&self) -> Cow<'_, Omitted> {
        let conf = self.tree.map(|tree| &tree.omitted);
        let arguments = match self.image {
            Initramfs::Read { inventory, .. } => inventory.dracut_arguments(),
            _ => None,
        };
        let Some(arguments) = arguments else {
            return conf.map_or_else(|| Cow::Owned(Omitted::default()), Cow::Borrowed);
        };
        let mut omitted = conf.cloned().unwrap_or_default();
        omitted.read_arguments(&arguments);
        Cow::Owned(omitted)
    }
}
