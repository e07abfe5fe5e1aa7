// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gathers the facts for the checks, and runs the checks on the tree as it will be committed, with the candidate as
//! `initramfs.img`.

mod around;
mod base;
mod equal;
mod files;
mod gather;
mod image;
mod signers;
mod sources;
mod symbols;
mod vmlinuz;

pub use base::{Reading, against, baseline, of_root};
pub use image::{Disk, open as open_image};
pub use signers::Trusted;

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::generate::Candidate;
use crate::checks::verdict::{self, Answers, Outcome};
use crate::checks::{
    self, AllLacking, Baseline, Database, Hmac, Initramfs, Selection, Subject, TreeFacts, Wanted,
};
use crate::kernel::kver::Kver;
use crate::node::Machine;
use crate::report::DracutReport;
use crate::site::vmlinuz::why;
use crate::sys::nice;
use crate::sys::root::Root;

/// The result of verifying one tree, or one initramfs alone.
pub struct Verdict {
    /// Every check and its answer.
    pub answers: Answers,
    /// SHA-256 of `vmlinuz`, if requested and readable.
    pub vmlinuz_sha256: Option<String>,
    /// SHA-256 of the initramfs, if requested and readable.
    pub initramfs_sha256: Option<String>,
    /// Bytes of the initramfs, if readable.
    pub initramfs_size: Option<u64>,
    /// dracut's version and modules in the initramfs; `None` if the initramfs cannot be read or does not list them.
    pub dracut: Option<DracutReport>,
}

impl Verdict {
    /// Returns the outcome of the answers.
    pub fn outcome(&self) -> Outcome {
        verdict::outcome(&self.answers)
    }
}

/// Options of a verification.
#[derive(Default)]
pub struct Options<'a> {
    /// Facts of the base, to compare with.
    pub base: Option<Baseline>,
    /// The user's requirements, for example device types of the root and the space on `/boot`.
    pub wanted: Wanted,
    /// Modules that cannot be loaded, according to depmod.
    pub lacking: AllLacking,
    /// The checks to run; `None` for all.
    pub selection: Option<&'a Selection>,
    /// The machine that may boot the tree next, if the tree is a deployment.
    pub machine: Option<Machine>,
    /// Additional initramfs files that the boot loader loads after the tree's initramfs.
    pub overlays: Vec<File>,
    /// The certificates of signers that the user trusts.
    pub trusted: Trusted,
    /// Whether to compute digests. Only reports show digests, and computing them takes as long as all checks together.
    pub digests: bool,
}

/// A candidate whose verification passed: no finding is fatal, no fatal check failed to run, and at least one check
/// ran. Only a verified candidate can be committed.
pub struct Verified {
    /// The candidate.
    pub candidate: Candidate,
    /// The result of its verification.
    pub verdict: Verdict,
}

/// Verifies the candidate. If the outcome is not [`Outcome::Passed`], the inner `Err` holds the verdict, and the
/// candidate's file is removed.
///
/// # Errors
/// When the tree or the candidate cannot be read at all.
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

/// Upper bound on how long the tree reader yields while kernel modules are compared. An image may store them last.
const MODULES_TIMEOUT: Duration = Duration::from_millis(50);

/// Verifies the tree, with the file `initramfs` (relative to the root) as the kernel's initramfs. While the initramfs
/// is read, a low-priority thread reads the rest of the tree and the rpmdb. The thread begins once the kernel modules
/// have been compared, or after a timeout: comparing modules keeps two processors busy, decoding the rest of the
/// initramfs leaves one free.
///
/// # Errors
/// When a file or directory of the tree cannot be read. An initramfs that cannot be read is not an error, nor are most
/// facts about the kernel's files: the checks receive the reason instead.
pub fn look(
    root: &Root,
    kver: &Kver,
    initramfs: &str,
    rpmdb: impl FnOnce() -> Database + Send,
    options: &Options,
) -> Result<Verdict> {
    thread::scope(|scope| {
        let (comparing, compared) = mpsc::channel();
        let around = scope.spawn(move || {
            nice::lower_priority();
            let _ = compared.recv_timeout(MODULES_TIMEOUT);
            gather::tree(root, kver, initramfs, rpmdb(), options)
        });
        let read = image::of_tree(root, kver, initramfs, options, comparing)?;
        let image = &read.image;
        let inventory = match image {
            Initramfs::Read { inventory, .. } => Some(inventory),
            _ => None,
        };
        // The facts up to `join` do not depend on those that the other thread still reads.
        let files = inventory.map(|it| around::copied(root, it)).transpose()?;
        let under_links = inventory.map(|it| around::under_links(root, it));
        let trace = match options.selection {
            None => subject(kver, None, image, options).into_trace(),
            Some(_) => None,
        };
        let around = around.join();
        let around = around.map_err(|_| anyhow!("the thread that reads the tree has panicked"))?;
        let (mut tree, vmlinuz_sha256) = around.context("reading the tree")?;
        tree.files = files.unwrap_or_default();
        tree.under_links = under_links.unwrap_or_default();
        if let Database::Read(rpmdb) = &tree.rpmdb
            && rpmdb.has_elves()
        {
            tree.altered = Some(sources::altered(root, rpmdb, image));
        }
        if let Some(base) = &options.base {
            tree.firmware_of = around::firmware_of(root, image, base);
        }
        if let Some(inventory) = inventory {
            let hmac = &mut tree.hmac;
            if checks::reads_hmac(inventory) && matches!(hmac, Hmac::Read { actual: None, .. }) {
                vmlinuz::add_digest(hmac, root, kver);
            }
            let modules = checks::with_options(kver, &tree, inventory);
            tree.parameters = around::parameters(root, &modules);
            let modules = checks::modules_for_root(kver, &tree, inventory, &options.wanted.drivers);
            tree.symbols.is_one_build = checks::is_one_build(kver, &tree, &modules);
            if !tree.symbols.is_one_build && checks::compares_versions(&tree) {
                tree.symbols = symbols::read(root, kver, &modules);
            }
        }
        let subject = subject(kver, Some(&tree), image, options).with_trace(trace);
        Ok(Verdict {
            answers: answers(&subject, options),
            vmlinuz_sha256,
            initramfs_sha256: read.sha256.clone(),
            initramfs_size: read.size,
            dracut: dracut(image),
        })
    })
}

/// Verifies one initramfs without a tree, for `kver` or, by default, for the only kernel whose modules it has.
///
/// # Errors
/// When the file cannot be opened or read, or when its kernel is not known.
pub fn look_alone(file: &Path, kver: Option<&Kver>, options: &Options) -> Result<(Kver, Verdict)> {
    let read = image::alone(file, options.digests)?;
    let kver = match kver {
        Some(kver) => kver.clone(),
        None => only_kver(file, &read.image)?,
    };
    let verdict = Verdict {
        answers: answers(&subject(&kver, None, &read.image, options), options),
        vmlinuz_sha256: None,
        initramfs_sha256: read.sha256,
        initramfs_size: read.size,
        dracut: dracut(&read.image),
    };
    Ok((kver, verdict))
}

/// Returns the only kernel whose modules an image has.
fn only_kver(file: &Path, image: &Initramfs) -> Result<Kver> {
    let file = file.display();
    let inventory = match image {
        Initramfs::Read { inventory, .. } => inventory,
        Initramfs::Unreadable(why) | Initramfs::Closed(why) => {
            bail!("reading {file}: {why}. To verify what can be read, add --kver KVER")
        }
        Initramfs::Missing => bail!("reading {file}: no such file"),
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

fn subject<'a>(
    kver: &'a Kver,
    tree: Option<&'a TreeFacts>,
    image: &'a Initramfs,
    options: &'a Options,
) -> Subject<'a> {
    let mut subject = Subject::new(kver, tree, image, options.base.as_ref(), &options.wanted);
    subject.machine = options.machine.as_ref();
    subject
}

fn answers(subject: &Subject, options: &Options) -> Answers {
    checks::run(subject, options.selection.unwrap_or(&Selection::default()))
}

fn dracut(image: &Initramfs) -> Option<DracutReport> {
    let Initramfs::Read { inventory, .. } = image else {
        return None;
    };
    Some(DracutReport {
        version: inventory.dracut_version(),
        modules: inventory.dracut_modules()?,
        arguments: None,
    })
}
