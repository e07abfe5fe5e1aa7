// SPDX-License-Identifier: MIT OR Apache-2.0
//! What checks look at, as values that somebody else read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::{
    Answer, Baseline, DracutConf, Hmac, KernelFiles, Omitted, OsRelease, Setups, Wanted, image,
};
use crate::boot::{RootSetup, Trace};
use crate::initramfs::{Facts, Inventory, Segment};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModuleName, ModulesDep, Softdeps};
use crate::kernel::packing::Packing;
use crate::kernel::vmlinuz::Release;
use crate::package::rpmdb::Rpmdb;

/// Everything that checks may look at.
pub struct Subject<'a> {
    /// The kernel that is meant to boot.
    pub kver: &'a Kver,
    /// The tree around it; `None` for a lone image.
    pub tree: Option<&'a Tree>,
    /// Its initramfs.
    pub image: &'a Image,
    /// What the base had, where that is known.
    pub base: Option<&'a Baseline>,
    /// What the user says that the root needs.
    pub wanted: &'a Wanted,
    /// The boot, followed through the initramfs when the first check asks.
    trace: OnceLock<Trace<'a>>,
}

/// A module that cannot be loaded.
#[derive(Debug, Clone)]
pub struct Lacking {
    /// Its path.
    pub module: String,
    /// A symbol that it needs and no one has.
    pub symbol: String,
}

/// The modules that depmod says cannot be loaded.
#[derive(Debug, Clone, Default)]
pub struct AllLacking {
    /// The first of them.
    pub first: Vec<Lacking>,
    /// How many there are beside the first ones.
    pub more: usize,
}

impl AllLacking {
    /// At most this many are kept: a kernel has thousands of modules.
    const KEPT: usize = 20;

    /// Adds one.
    pub fn push(&mut self, lacking: Lacking) {
        if self.first.len() < Self::KEPT {
            self.first.push(lacking);
        } else {
            self.more += 1;
        }
    }
}

/// Why `vmlinuz` does not tell what it is.
#[derive(Debug, Clone)]
pub struct NoRelease {
    /// In words.
    pub why: String,
    /// Whether it is broken, and not only unknown.
    pub damaged: bool,
}

/// The tree, as far as checks look at it.
#[derive(Debug)]
pub struct Tree {
    /// Directories of `usr/lib/modules` that hold a regular `vmlinuz`.
    pub kernels: Vec<String>,
    /// Where `vmlinuz` points, if it is a link.
    pub vmlinuz_link: Option<String>,
    /// Directories without one that an old kernel left: no package owns them.
    pub stale_dirs: Vec<String>,
    /// Modules that depmod says cannot be loaded.
    pub lacking: AllLacking,
    /// What `vmlinuz` says that it is, or why it cannot be told.
    pub release: Result<Release, NoRelease>,
    /// The rpmdb.
    pub rpmdb: Database,
    /// What would be booted instead.
    pub shadows: Vec<Shadow>,
    /// The file that is, or will be, `initramfs.img`.
    pub initramfs: Option<ImageFile>,
    /// Bytes of what ostree copies to `/boot` beside the initramfs: `vmlinuz`, and `devicetree` or `dtb`.
    pub beside_initramfs: u64,
    /// Kernels in `usr/lib/ostree-boot` and `boot`, where ostree looks when there is no
    /// `initramfs.img`.
    pub legacy: Vec<String>,
    /// Other leftovers: saved programs, wrappers.
    pub leftovers: Vec<String>,
    /// The modules on disk, relative to the kernel's directory.
    pub modules: Vec<Vec<u8>>,
    /// The lists beside the modules.
    pub lists: Lists,
    /// The kernel's configuration.
    pub config: Read<String>,
    /// How modules on disk are compressed; for each way, the path of one relative to the kernel's
    /// directory, and how many there are. Empty if the kernel leaves decoding to kmod.
    pub packings: BTreeMap<Packing, (Vec<u8>, usize)>,
    /// `.vmlinuz.hmac`.
    pub hmac: Hmac,
    /// Whether `vmlinuz` is signed.
    pub signed: Result<bool, String>,
    /// The kernel's files beside those of its packages.
    pub kernel_files: KernelFiles,
    /// Out-of-tree modules, relative to the kernel's directory, and their vermagic.
    pub kmods: Vec<Kmod>,
    /// What dracut's configuration leaves out.
    pub omitted: Omitted,
    /// dracut's configuration in the tree.
    pub conf: DracutConf,
    /// Files on disk that it asks for.
    pub items: BTreeSet<String>,
    /// Facts from the module-setup.sh of dracut's modules on disk.
    pub setups: Setups,
    /// File systems that the tree names as its root's.
    pub root_filesystems: BTreeSet<String>,
    /// Arguments of the kernel that the tree brings, each after the path of the file that has it.
    pub kernel_arguments: Vec<(String, String)>,
    /// Configuration that dracut copies: the paths of [`copies`](super::copies), and the files of
    /// [`COPIED_DIRS`](super::COPIED_DIRS).
    pub files: BTreeMap<String, Vec<u8>>,
    /// dracut's modules on disk.
    pub dracut_modules: BTreeSet<String>,
    /// The os-release file that ostree reads.
    pub os_release: OsRelease,
    /// Whether systemd or dracut are in the tree, of which the files of an initramfs are copies.
    pub has_sources: bool,
    /// Version of dracut in the tree.
    pub dracut_version: Option<String>,
    /// Paths of links in the initramfs that lead to no file there, where the tree has a regular file.
    pub under_links: BTreeSet<Vec<u8>>,
    /// systemd's units on disk, and those that dracut's modules bring.
    pub units: BTreeSet<String>,
    /// Firmware that the base's initramfs had and this one lacks, with a driver inside that asks
    /// for it.
    pub firmware_of: BTreeMap<Vec<u8>, ModuleName>,
}

/// A file that was read; `Ok(None)` where there is none.
pub type Read<T> = Result<Option<T>, String>;

/// A module's path and the vermagic that it tells, or why it tells none.
pub type Kmod = (Vec<u8>, Result<Vec<u8>, String>);

/// What the files beside the modules say.
#[derive(Debug)]
pub struct Lists {
    /// `modules.dep`.
    pub dep: Read<ModulesDep>,
    /// `modules.builtin`.
    pub builtin: Read<ModuleList>,
    /// `modules.order`: what the kernel was built with.
    pub order: Read<ModuleList>,
    /// `modules.softdep`.
    pub softdep: Read<Softdeps>,
    /// `modules.alias`.
    pub alias: Read<Aliases>,
    /// The aliases of what is built in, from `modules.builtin.modinfo`.
    pub builtin_alias: Read<Aliases>,
}

/// The rpmdb of the tree.
#[derive(Debug, Clone)]
pub enum Database {
    /// There is none, or one of a format that is not read here; why.
    Unread(String),
    /// It could not be read; why.
    Failed(String),
    /// Its packages.
    Read(Arc<Rpmdb>),
}

impl Database {
    /// The packages.
    ///
    /// # Errors
    /// The answer that a check gives without them.
    pub(super) fn packages(&self) -> Result<&Rpmdb, Answer> {
        match self {
            Self::Unread(why) => Err(Answer::NotApplicable(why.clone())),
            Self::Failed(why) => Err(Answer::CouldNotLook(why.clone())),
            Self::Read(rpmdb) => Ok(rpmdb),
        }
    }
}

/// A file that would be booted in place of `vmlinuz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Its path, relative to the root.
    pub path: String,
    /// What boots it.
    pub boots: BootedBy,
}

/// What boots a file in place of `vmlinuz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootedBy {
    /// bootc with any backend, or systemd-boot.
    All,
    /// composefs-rs only, that is, bootc with its composefs backend.
    ComposefsRs,
}

/// The file that is the initramfs.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// Its place, relative to the root.
    pub path: String,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Permission bits.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
}

/// The initramfs, read.
pub enum Image {
    /// There is none.
    Missing,
    /// It could not be opened, so nothing is known of it; why.
    Closed(String),
    /// It cannot be read as the kernel would; why and where.
    Unreadable(String),
    /// It can.
    Read {
        /// What is in it.
        inventory: Box<Inventory>,
        /// What it is made of.
        segments: Vec<Segment>,
        /// What was learnt from whole files.
        facts: Box<Facts>,
    },
}

impl Tree {
    /// The packages that own a path in `usr/lib/modules`, as " (of NEVRA)"; nothing where that is not known.
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

    /// One of its [`files`](Self::files).
    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }
}

impl<'a> Subject<'a> {
    /// Returns a subject of which nothing was looked at yet.
    pub fn new(
        kver: &'a Kver,
        tree: Option<&'a Tree>,
        image: &'a Image,
        base: Option<&'a Baseline>,
        wanted: &'a Wanted,
    ) -> Self {
        Self {
            kver,
            tree,
            image,
            base,
            wanted,
            trace: OnceLock::new(),
        }
    }

    /// The boot, followed through the initramfs.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked).
    pub(super) fn trace(&self) -> Result<&Trace<'a>, Answer> {
        self.unpacked()?;
        let Image::Read {
            inventory, facts, ..
        } = self.image
        else {
            return Err(Answer::NotApplicable("there is no initramfs".into()));
        };
        Ok(self.trace.get_or_init(|| {
            // Where a part of it is missing, `initramfs-ostree` reports that.
            let is_whole = image::ostree(self).is_ok_and(|findings| findings.is_empty());
            let setup = match image::uses_bootc(self, inventory) {
                true => RootSetup::Bootc,
                false => RootSetup::Ostree,
            };
            Trace::new(inventory, facts, is_whole.then_some(setup))
        }))
    }

    /// The tree.
    ///
    /// # Errors
    /// The answer that a check gives without one.
    pub(super) fn tree(&self) -> Result<&Tree, Answer> {
        self.tree
            .ok_or_else(|| Answer::NotApplicable("a lone image has no tree around it".into()))
    }

    /// The contents of the initramfs, for what must hold of all that the kernel unpacks, whether or
    /// not the rest is in an image inside.
    ///
    /// # Errors
    /// The answer that a check gives when there is nothing to look into; the checks
    /// `initramfs-present` and `initramfs-readable` say what is wrong.
    pub(super) fn unpacked(&self) -> Result<&Inventory, Answer> {
        match self.image {
            Image::Read { inventory, .. } => Ok(inventory),
            Image::Missing => Err(Answer::NotApplicable("there is no initramfs".into())),
            Image::Closed(why) => Err(Answer::CouldNotLook(why.clone())),
            Image::Unreadable(_) => {
                Err(Answer::NotApplicable("the initramfs cannot be read".into()))
            }
        }
    }

    /// The contents of the initramfs, where all of it can be seen.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked), or that the rest is in an image inside.
    pub(super) fn inventory(&self) -> Result<&Inventory, Answer> {
        let inventory = self.unpacked()?;
        match inventory.root_image() {
            None => Ok(inventory),
            Some(root) => Err(Answer::NotApplicable(format!(
                "what matters is in an image inside the image, {}",
                root.path
            ))),
        }
    }

    /// What was learnt from whole files of the initramfs.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked).
    pub(super) fn facts(&self) -> Result<&Facts, Answer> {
        self.unpacked()?;
        match self.image {
            Image::Read { facts, .. } => Ok(facts),
            _ => Err(Answer::NotApplicable("there is no initramfs".into())),
        }
    }

    /// What the user told dracut to leave out: its configuration in the tree, and the arguments
    /// that the image notes.
    pub(super) fn omitted(&self) -> Cow<'_, Omitted> {
        let conf = self.tree.map(|tree| &tree.omitted);
        let arguments = match self.image {
            Image::Read { inventory, .. } => inventory.dracut_arguments(),
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
