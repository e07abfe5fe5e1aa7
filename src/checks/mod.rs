// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks: a name, a severity, a line that describes it, the public issue that it comes from,
//! and a pure function.
//!
//! A check looks at values that somebody else read: it opens no file and starts no program. Its
//! answer is one of four: good; looked and it is wrong; could not look; not applicable. The names
//! are stable, since people write them into pipelines.

mod image;
mod kernel;
mod tree;

use crate::initramfs::{Inventory, Segment};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModulesDep;
use crate::kernel::package::Nevra;
use crate::kernel::vmlinuz::Release;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The image would not boot; nothing is committed.
    Fatal,
    /// It boots, and somebody should look.
    Warning,
}

impl Severity {
    /// `fatal`, `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Warning => "warning",
        }
    }
}

/// One check of the registry.
#[derive(Debug)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// How bad its findings are.
    pub severity: Severity,
    /// What must hold, in one line.
    pub about: &'static str,
    /// The public issue that it comes from: `owner/repository#number` or a CVE.
    pub issue: &'static str,
    /// Looks. `Err` is the answer where there is nothing to look at.
    pub look: fn(&Subject) -> Result<Vec<Finding>, Answer>,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Good,
    /// It does not.
    Found(Vec<Finding>),
    /// It could not be looked at, and why.
    CouldNotLook(String),
    /// There is nothing that it applies to, and why.
    NotApplicable(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file: relative to the root, or inside the initramfs.
    pub path: String,
    /// What was found there.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
        }
    }
}

/// Everything that checks may look at.
pub struct Subject<'a> {
    /// The kernel that is meant to boot.
    pub kver: &'a Kver,
    /// The tree around it; `None` for a lone image.
    pub tree: Option<&'a Tree>,
    /// Its initramfs.
    pub image: &'a Image,
}

/// The tree, as far as checks look at it.
#[derive(Debug)]
pub struct Tree {
    /// Directories of `usr/lib/modules` that hold a regular `vmlinuz`.
    pub kernels: Vec<String>,
    /// Directories without one and without any module: what an old kernel leaves.
    pub stale_dirs: Vec<String>,
    /// What `vmlinuz` says that it is, or why it cannot be told.
    pub release: Result<Release, String>,
    /// Who owns `vmlinuz`.
    pub owner: Owner,
    /// UKIs that would be booted instead.
    pub ukis: Vec<String>,
    /// The file that is, or will be, `initramfs.img`.
    pub initramfs: Option<ImageFile>,
    /// Kernels in `usr/lib/ostree-boot` and `boot`, where ostree looks when there is no
    /// `initramfs.img`.
    pub legacy: Vec<String>,
    /// Other leftovers: saved programs, wrappers.
    pub leftovers: Vec<String>,
    /// The modules on disk, relative to the kernel's directory.
    pub modules: Vec<Vec<u8>>,
    /// `modules.dep`; `Ok(None)` where there is none.
    pub modules_dep: Result<Option<ModulesDep>, String>,
}

/// What the rpmdb says of `vmlinuz`.
#[derive(Debug)]
pub enum Owner {
    /// There is no rpmdb here, or no rpm that may be asked; why.
    NoRpmdb(String),
    /// rpm failed.
    Failed(String),
    /// These packages own it; each with the kvers that it provides as `kernel-uname-r`.
    Packages(Vec<(Nevra, Vec<String>)>),
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
    /// It cannot be read as the kernel would; why and where.
    Unreadable(String),
    /// It can.
    Read {
        /// What is in it.
        inventory: Box<Inventory>,
        /// What it is made of.
        segments: Vec<Segment>,
    },
}

impl Subject<'_> {
    /// The tree.
    ///
    /// # Errors
    /// The answer that a check gives without one.
    fn tree(&self) -> Result<&Tree, Answer> {
        self.tree
            .ok_or_else(|| Answer::NotApplicable("a lone image has no tree around it".into()))
    }

    /// The contents of the initramfs.
    ///
    /// # Errors
    /// The answer that a check gives when there is nothing to look into; the checks
    /// `initramfs-present` and `initramfs-readable` say what is wrong.
    fn inventory(&self) -> Result<&Inventory, Answer> {
        match self.image {
            Image::Read { inventory, .. } => Ok(inventory),
            Image::Missing => Err(Answer::NotApplicable("there is no initramfs".into())),
            Image::Unreadable(_) => {
                Err(Answer::NotApplicable("the initramfs cannot be read".into()))
            }
        }
    }
}

/// The registry, in the order in which findings are shown.
pub static CHECKS: [Check; 12] = [
    Check {
        name: "kernel-single",
        severity: Severity::Fatal,
        about: "one directory in usr/lib/modules has a vmlinuz",
        issue: "ublue-os/aurora#1286",
        look: kernel::single,
    },
    Check {
        name: "kernel-release",
        severity: Severity::Fatal,
        about: "the release string inside vmlinuz is its directory's name",
        issue: "okd-project/okd#1908",
        look: kernel::release,
    },
    Check {
        name: "kernel-rpmdb",
        severity: Severity::Fatal,
        about: "one package owns vmlinuz and provides kernel-uname-r of it",
        issue: "osbuild/osbuild#2049",
        look: kernel::rpmdb,
    },
    Check {
        name: "uki-shadow",
        severity: Severity::Fatal,
        about: "no unified kernel image would be booted instead",
        issue: "blue-build/modules#276",
        look: kernel::uki_shadow,
    },
    Check {
        name: "initramfs-present",
        severity: Severity::Fatal,
        about: "initramfs.img is a file and not empty, so no legacy kernel wins",
        issue: "coreos/rpm-ostree#5261",
        look: image::present,
    },
    Check {
        name: "initramfs-mode",
        severity: Severity::Warning,
        about: "nobody but root may read initramfs.img (0600)",
        issue: "CVE-2012-4453",
        look: image::mode,
    },
    Check {
        name: "initramfs-readable",
        severity: Severity::Fatal,
        about: "every segment decodes to its trailer, as the kernel reads it",
        issue: "coreos/layering-examples#57",
        look: image::readable,
    },
    Check {
        name: "initramfs-kver",
        severity: Severity::Fatal,
        about: "modules of this kernel are inside, and of no other",
        issue: "okd-project/okd#1908",
        look: image::kver,
    },
    Check {
        name: "initramfs-ostree",
        severity: Severity::Fatal,
        about: "ostree-prepare-root, its unit and etc/initrd-release are inside",
        issue: "coreos/rpm-ostree#4451",
        look: image::ostree,
    },
    Check {
        name: "initramfs-wrappers",
        severity: Severity::Fatal,
        about: "systemctl, useradd, groupadd, usermod inside are programs",
        issue: "coreos/fedora-coreos-tracker#1870",
        look: image::wrappers,
    },
    Check {
        name: "modules-depmod",
        severity: Severity::Fatal,
        about: "every module has a line in modules.dep, every line a file",
        issue: "coreos/rpm-ostree#5578",
        look: tree::depmod,
    },
    Check {
        name: "leftovers",
        severity: Severity::Warning,
        about: "nothing is left of an old kernel, a killed run or cliwrap",
        issue: "bootc-dev/bootc#2198",
        look: tree::leftovers,
    },
];

/// Runs all checks.
pub fn run(subject: &Subject) -> Vec<(&'static Check, Answer)> {
    let look = |check: &'static Check| match (check.look)(subject) {
        Ok(findings) if findings.is_empty() => (check, Answer::Good),
        Ok(findings) => (check, Answer::Found(findings)),
        Err(answer) => (check, answer),
    };
    CHECKS.iter().map(look).collect()
}
