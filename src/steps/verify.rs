// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads what the checks look at, and lets them look: at the tree as it will be, with the candidate
//! standing for `initramfs.img`.

use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::clean::legacy;
use super::digest::Digesting;
use super::generate::Candidate;
use super::survey::{module_dirs, ukis};
use crate::checks::{self, Image, ImageFile, Owner, Subject, Tree};
use crate::initramfs::{self, Inventory, Limits};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{ModuleName, ModulesDep};
use crate::kernel::package::hex;
use crate::kernel::{MODULES, vmlinuz};
use crate::report::{self, Answers, Outcome};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, rpm, rpm_ostree};

/// The largest vmlinuz that is read (bytes).
const VMLINUZ_MAX: u64 = 512 * 1024 * 1024;

/// The largest modules.dep that is read (bytes); Fedora's is below 1 MiB.
const MODULES_DEP_MAX: u64 = 64 * 1024 * 1024;

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
    let (image, initramfs_digest) = read_image(root, initramfs)?;
    let (release, vmlinuz_sha256) = read_vmlinuz(root, kver);
    let tree = tree(exec, kver, initramfs, release).context("reading the tree")?;
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

/// Reads an image to its end, through the reader of the archives and a digest.
fn read_image(root: &Root, path: &str) -> Result<(Image, Option<(String, u64)>)> {
    let file = match root.open_file(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok((Image::Missing, None)),
        Err(error) => return Ok((Image::Unreadable(error.to_string()), None)),
    };
    let limits = Limits::default();
    let mut input = Digesting::new(file);
    let mut inventory = Inventory::new(&limits);
    let image = match initramfs::read(&mut input, &limits, &mut inventory) {
        Ok(segments) => Image::Read {
            inventory: Box::new(inventory),
            segments,
        },
        Err(error) => Image::Unreadable(error.to_string()),
    };
    // An image that could not be understood has a digest all the same.
    let digest = input.finish().with_context(|| format!("reading /{path}"))?;
    Ok((image, Some(digest)))
}

type Told = Result<vmlinuz::Release, String>;

fn read_vmlinuz(root: &Root, kver: &Kver) -> (Told, Option<String>) {
    match root.read(format!("{}/vmlinuz", kver.dir()), VMLINUZ_MAX) {
        Ok(Some(bytes)) => {
            let release = vmlinuz::release(&bytes).map_err(|error| error.to_string());
            (release, Some(hex(&Sha256::digest(&bytes))))
        }
        Ok(None) => (Err("no such file".to_owned()), None),
        Err(error) => (Err(error.to_string()), None),
    }
}

fn tree(exec: &Exec, kver: &Kver, initramfs: &str, release: Told) -> Result<Tree> {
    let root = exec.root();
    let mut kernels = Vec::new();
    let mut stale_dirs = Vec::new();
    for dir in module_dirs(root)? {
        if dir.has_vmlinuz {
            kernels.push(dir.name);
        } else if modules_on_disk(root, &format!("{MODULES}/{}", dir.name))?.is_empty() {
            stale_dirs.push(dir.name);
        }
    }
    let initramfs = root.lstat(initramfs)?.map(|meta| ImageFile {
        path: initramfs.to_owned(),
        is_file: meta.kind == root::Kind::File,
        mode: meta.mode,
        size: meta.size,
    });
    Ok(Tree {
        owner: owner(exec, kver).unwrap_or_else(|error| Owner::Failed(format!("{error:#}"))),
        ukis: ukis(root)?,
        legacy: legacy(root)?,
        leftovers: leftovers(root)?,
        modules: modules_on_disk(root, &kver.dir())?,
        modules_dep: modules_dep(root, kver),
        kernels,
        stale_dirs,
        release,
        initramfs,
    })
}

fn owner(exec: &Exec, kver: &Kver) -> Result<Owner> {
    let program = cliwrap::real(exec.root(), "rpm")?;
    if !program.starts_with('/') && exec.find(&program).is_none() {
        return Ok(Owner::NoRpmdb("there is no rpm in the tree".into()));
    }
    if let Err(why) = exec.probe() {
        return Ok(Owner::NoRpmdb(format!(
            "the tree's rpm cannot be asked: {why:#}"
        )));
    }
    let installed = rpm::kernel_packages(exec, &program)?;
    let provided = |nevra| {
        let packages = installed.iter().filter(|package| package.nevra == nevra);
        let caps = packages.flat_map(|package| &package.provides);
        let kvers = caps.filter(|cap| cap.name == "kernel-uname-r");
        let kvers = kvers.map(|cap| cap.version.clone()).collect();
        (nevra, kvers)
    };
    let owners = rpm::owners(exec, &program, &format!("{}/vmlinuz", kver.dir()))?;
    Ok(Owner::Packages(owners.into_iter().map(provided).collect()))
}

fn leftovers(root: &Root) -> Result<Vec<String>> {
    let cliwrap = cliwrap::survey(root)?;
    let wrappers = cliwrap.wrapped.into_iter().map(|(wrapper, _)| wrapper);
    let saved = rpm_ostree::leftovers(root)?
        .into_iter()
        .map(|(saved, _)| saved);
    Ok(wrappers
        .chain(cliwrap.created)
        .chain(cliwrap.lost)
        .chain(saved)
        .chain(super::hold::leftovers(root)?)
        .collect())
}

/// The modules below a directory, relative to it.
fn modules_on_disk(root: &Root, dir: &str) -> Result<Vec<Vec<u8>>> {
    Ok(root
        .walk(dir)?
        .into_iter()
        .filter(|walked| walked.meta.kind != root::Kind::Dir)
        .map(|walked| walked.path.as_os_str().as_bytes().to_vec())
        .filter(|path| ModuleName::of_path(path).is_some())
        .collect())
}

fn modules_dep(root: &Root, kver: &Kver) -> Result<Option<ModulesDep>, String> {
    let read = root.read(format!("{}/modules.dep", kver.dir()), MODULES_DEP_MAX);
    match read.map_err(|error| error.to_string())? {
        None => Ok(None),
        Some(bytes) => match ModulesDep::parse(&bytes) {
            Ok(dep) => Ok(Some(dep)),
            Err(error) => Err(error.to_string()),
        },
    }
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
