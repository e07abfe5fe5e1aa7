// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads what the checks look at, and lets them look: at the tree as it will be, with the candidate
//! standing for `initramfs.img`.

mod around;
mod base;
mod gather;
mod image;
mod vmlinuz;

pub use base::{against, baseline};

use std::path::Path;

use anyhow::{Context, Result};

use super::generate::Candidate;
use crate::checks::{self, Baseline, Image, Selection, Subject, Tree, Wanted};
use crate::kernel::kver::Kver;
use crate::report::{self, Answers, Outcome};
use crate::sys::exec::Exec;

/// What looking at one tree came to.
pub struct Verdict {
    /// Every check and its answer.
    pub answers: Answers,
    /// SHA-256 of `vmlinuz`, where it could be read.
    pub vmlinuz_sha256: Option<String>,
    /// SHA-256 and size of the initramfs, where it could be read.
    pub initramfs: Option<(String, u64)>,
    /// What dracut wrote into the image about itself.
    pub dracut: Option<report::DracutReport>,
}

impl Verdict {
    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        report::checks(&self.answers).2
    }
}

/// What the user asks for, and what there is to compare with.
#[derive(Default)]
pub struct Options<'a> {
    /// What the base had.
    pub base: Option<Baseline>,
    /// What the root needs.
    pub wanted: Wanted,
    /// Which checks look.
    pub selection: Option<&'a Selection>,
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
    exec: &Exec,
    candidate: Candidate,
    options: &Options,
) -> Result<Result<Verified, Verdict>> {
    let verdict = look(exec, &candidate.kernel.kver, &candidate.path, options)?;
    Ok(match verdict.outcome() {
        Outcome::Passed => Ok(Verified { candidate, verdict }),
        _ => Err(verdict),
    })
}

/// Looks at the tree, with the file `initramfs` (relative to the root) as the kernel's initramfs.
///
/// # Errors
/// When something cannot be read at all; what a check cannot look at is an answer.
pub fn look(exec: &Exec, kver: &Kver, initramfs: &str, options: &Options) -> Result<Verdict> {
    let root = exec.root();
    let (vmlinuz, read) = std::thread::scope(|scope| {
        let vmlinuz = scope.spawn(|| vmlinuz::read(root, kver));
        let read = image::of_tree(root, initramfs);
        (vmlinuz.join(), read)
    });
    let (image, digest) = read?;
    let vmlinuz = vmlinuz.map_err(|_| anyhow::anyhow!("reading vmlinuz: the reader gave up"))?;
    let vmlinuz_sha256 = vmlinuz.sha256.clone();
    let base = options.base.as_ref();
    let tree = gather::tree(exec, kver, initramfs, vmlinuz, &image, base);
    let tree = tree.context("reading the tree")?;
    let answers = answers(kver, Some(&tree), &image, options);
    Ok(Verdict {
        answers,
        vmlinuz_sha256,
        initramfs: digest,
        dracut: dracut(&image),
    })
}

/// Looks at one file that is said to be the initramfs of `kver`, and at no tree.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn look_alone(file: &Path, kver: &Kver, options: &Options) -> Result<Verdict> {
    let (image, digest) = image::alone(file)?;
    Ok(Verdict {
        answers: answers(kver, None, &image, options),
        vmlinuz_sha256: None,
        initramfs: digest,
        dracut: dracut(&image),
    })
}

fn answers(kver: &Kver, tree: Option<&Tree>, image: &Image, options: &Options) -> Answers {
    let subject = Subject {
        kver,
        tree,
        image,
        base: options.base.as_ref(),
        wanted: &options.wanted,
    };
    checks::run(&subject, options.selection.unwrap_or(&Selection::default()))
}

fn dracut(image: &Image) -> Option<report::DracutReport> {
    let Image::Read { inventory, .. } = image else {
        return None;
    };
    Some(report::DracutReport {
        version: inventory.dracut_version(),
        modules: inventory.dracut_modules()?,
    })
}
