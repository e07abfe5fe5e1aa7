// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads what the checks look at, and lets them look: at the tree as it will be, with the candidate
//! standing for `initramfs.img`.

mod around;
mod base;
mod files;
mod gather;
mod image;
mod vmlinuz;

pub use base::{Reading, against, baseline};
pub use image::{Disk, open as open_image};

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::generate::Candidate;
use crate::checks::verdict::{self, Answers, Outcome};
use crate::checks::{
    self, AllLacking, Baseline, Database, Image, Selection, Subject, Tree, Wanted,
};
use crate::kernel::kver::Kver;
use crate::plan::AS_ROOT;
use crate::report::DracutReport;
use crate::sys::nice;
use crate::sys::root::{self, Root};

/// What looking at one tree came to.
pub struct Verdict {
    /// Every check and its answer.
    pub answers: Answers,
    /// SHA-256 of `vmlinuz`, where it was asked for and could be read.
    pub vmlinuz_sha256: Option<String>,
    /// SHA-256 of the initramfs, where it was asked for and could be read.
    pub initramfs_sha256: Option<String>,
    /// Bytes of the initramfs, where it could be read.
    pub initramfs_size: Option<u64>,
    /// What dracut wrote into the image about itself.
    pub dracut: Option<DracutReport>,
}

impl Verdict {
    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        verdict::outcome(&self.answers)
    }
}

/// What the user asks for, and what there is to compare with.
#[derive(Default)]
pub struct Options<'a> {
    /// What the base had.
    pub base: Option<Baseline>,
    /// What the root needs.
    pub wanted: Wanted,
    /// Modules that depmod said cannot be loaded.
    pub lacking: AllLacking,
    /// Which checks look.
    pub selection: Option<&'a Selection>,
    /// Whether the verdict has digests. Only reports show them, and they cost as much as all checks together.
    pub digests: bool,
}

/// A candidate without a fatal finding, all fatal checks having looked. Nothing else can be
/// committed.
pub struct Verified {
    /// The candidate.
    pub candidate: Candidate,
    /// What was looked at.
    pub verdict: Verdict,
}

/// Looks at the candidate in its place. The inner `Err` holds the verdict when it is not good
/// enough, and the candidate is gone.
///
/// # Errors
/// When something cannot be read at all.
pub fn verify(
    root: &Root,
    candidate: Candidate,
    options: &Options,
) -> Result<Result<Verified, Verdict>> {
    let kernel = &candidate.kernel;
    let rpmdb = || Database::Read(kernel.rpmdb.clone());
    let verdict = look(root, &kernel.kver, &candidate.path, rpmdb, options)?;
    Ok(match verdict.outcome() {
        Outcome::Passed => Ok(Verified { candidate, verdict }),
        _ => Err(verdict),
    })
}

/// How long the tree waits for the modules of the image. It is about what that takes; an image may have them last.
const PATIENCE: Duration = Duration::from_millis(50);

/// Looks at the tree, with the file `initramfs` (relative to the root) as the kernel's initramfs.
/// The tree and the rpmdb are read meanwhile, on a low-priority thread: comparing modules keeps two processors busy, and
/// decoding the rest leaves one free.
///
/// # Errors
/// When something cannot be read at all; what a check cannot look at is an answer.
pub fn look(
    root: &Root,
    kver: &Kver,
    initramfs: &str,
    rpmdb: impl FnOnce() -> Database + Send,
    options: &Options,
) -> Result<Verdict> {
    let (around, read) = thread::scope(|scope| {
        let (comparing, compared) = mpsc::channel();
        let tree = scope.spawn(move || {
            nice::stand_back();
            let _ = compared.recv_timeout(PATIENCE);
            gather::tree(root, kver, initramfs, rpmdb(), options)
        });
        let read = image::of_tree(root, initramfs, options.digests, comparing);
        (tree.join(), read)
    });
    let read = read?;
    let image = read.image;
    let around = around.map_err(|_| anyhow!("the thread that reads the tree has panicked"))?;
    let (mut tree, vmlinuz_sha256) = around.context("reading the tree")?;
    if let Some(base) = &options.base {
        tree.firmware_of = around::firmware_of(root, &image, base);
    }
    if let Image::Read { inventory, .. } = &image {
        tree.files = around::copied(root, inventory)?;
        tree.under_links = around::under_links(root, inventory);
    }
    let answers = answers(kver, Some(&tree), &image, options);
    Ok(Verdict {
        answers,
        vmlinuz_sha256,
        initramfs_sha256: read.sha256,
        initramfs_size: read.size,
        dracut: dracut(&image),
    })
}

/// Verifies one initramfs without a tree, as that of `kver`; without one, of the only kernel that it has modules of.
///
/// # Errors
/// When the file cannot be opened or read, or when it does not tell the kernel.
pub fn look_alone(file: &Path, kver: Option<&Kver>, options: &Options) -> Result<(Kver, Verdict)> {
    let read = image::alone(file, options.digests)?;
    let kver = match kver {
        Some(kver) => kver.clone(),
        None => only_kver(file, &read.image)?,
    };
    let verdict = Verdict {
        answers: answers(&kver, None, &read.image, options),
        vmlinuz_sha256: None,
        initramfs_sha256: read.sha256,
        initramfs_size: read.size,
        dracut: dracut(&read.image),
    };
    Ok((kver, verdict))
}

/// Returns the kernel that an image has modules of.
fn only_kver(file: &Path, image: &Image) -> Result<Kver> {
    let file = file.display();
    let inventory = match image {
        Image::Read { inventory, .. } => inventory,
        Image::Unreadable(why) | Image::Closed(why) => {
            bail!("reading {file}: {why}. To verify what can be read, add --kver KVER")
        }
        Image::Missing => bail!("reading {file}: no such file"),
    };
    let kvers = inventory.kernel_versions();
    let mut kvers = kvers.iter().map(|kver| String::from_utf8_lossy(kver));
    match (kvers.next(), kvers.next()) {
        (Some(kver), None) => {
            Kver::new(&kver).with_context(|| format!("reading the kernel release in {file}"))
        }
        (None, _) => {
            bail!("{file} holds no kernel modules, so its kernel is not known. Add --kver KVER")
        }
        (Some(one), Some(other)) => bail!(
            "{file} holds modules of several kernels ({one}, {other}, …). Choose one with --kver KVER"
        ),
    }
}

/// Why a check could not look, and what to type where that is a matter of the user.
fn why(error: &root::Error) -> String {
    match error.is_denied() {
        true => format!("{error}. {AS_ROOT}"),
        false => error.to_string(),
    }
}

fn answers(kver: &Kver, tree: Option<&Tree>, image: &Image, options: &Options) -> Answers {
    let subject = Subject::new(kver, tree, image, options.base.as_ref(), &options.wanted);
    checks::run(&subject, options.selection.unwrap_or(&Selection::default()))
}

fn dracut(image: &Image) -> Option<DracutReport> {
    let Image::Read { inventory, .. } = image else {
        return None;
    };
    Some(DracutReport {
        version: inventory.dracut_version(),
        modules: inventory.dracut_modules()?,
    })
}
