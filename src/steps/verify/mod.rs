// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads what the checks look at, and lets them look: at the tree as it will be, with the candidate
//! standing for `initramfs.img`.

mod gather;
mod image;

use anyhow::{Context, Result};

use super::generate::Candidate;
use crate::checks::{self, Image, Subject};
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
pub fn verify(exec: &Exec, candidate: Candidate) -> Result<Result<Verified, Verdict>> {
    let verdict = look(exec, &candidate.kernel.kver, &candidate.path)?;
    Ok(match verdict.outcome() {
        Outcome::Passed => Ok(Verified { candidate, verdict }),
        _ => Err(verdict),
    })
}

/// Looks at the tree, with the file `initramfs` (relative to the root) as the kernel's initramfs.
///
/// # Errors
/// When something cannot be read at all; what a check cannot look at is an answer.
pub fn look(exec: &Exec, kver: &Kver, initramfs: &str) -> Result<Verdict> {
    let root = exec.root();
    let (image, initramfs_digest) = image::of_tree(root, initramfs)?;
    let (release, vmlinuz_sha256) = gather::vmlinuz(root, kver);
    let tree = gather::tree(exec, kver, initramfs, release).context("reading the tree")?;
    let answers = checks::run(&Subject {
        kver,
        tree: Some(&tree),
        image: &image,
    });
    Ok(Verdict {
        answers,
        vmlinuz_sha256,
        initramfs: initramfs_digest,
        dracut: dracut(&image),
    })
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
