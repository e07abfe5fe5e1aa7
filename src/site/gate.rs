// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of the gate: its record in `/var`, its message at login, and the lock that keeps ostree from finalising the
//! staged deployment.
//!
//! Links in the paths of these files are not followed, and only root can write to their directories, so that no other
//! user can make the gate refuse a deployment or accept one.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::deployments::System;
use super::kernels;
use crate::node::deployment::Deployment;
use crate::node::record::Record;
use crate::node::staged;
use crate::report::tool;
use crate::sys::root::{FileType, Meta, Root};

/// The directory of the record, relative to the root.
const STATE: &str = "var/lib/ostree-kernel";

/// The path of the record, relative to the root.
pub const RECORD: &str = "var/lib/ostree-kernel/gate.json";

/// The directory of messages that are shown at login (pam_motd(8)).
const MESSAGES: &str = "run/motd.d";

/// The path of the message at login, relative to the root.
pub const MESSAGE: &str = "run/motd.d/ostree-kernel-gate";

/// The directory of the lock file that excludes a second gate. Any user who can open the lock file could block the
/// gate, so only root can enter this directory. `/run/ostree-kernel` cannot be used: `status` must be able to read it
/// as an ordinary user.
const RUN: &str = "run/ostree-kernel-gate";

/// The content of `staged::LOCK`, ostree's lock file, if the gate created the file. Other programs create an empty
/// file.
const OWN: &[u8] = b"ostree-kernel gate\n";

/// Upper bound of the record (bytes).
const RECORD_MAX: u64 = 1 << 20;

/// The state of the lock on the staged deployment's finalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// The finalisation is not locked.
    Open,
    /// The gate has locked the finalisation.
    Own,
    /// Another program or the administrator has locked the finalisation.
    Other,
}

/// Reads the record; returns an empty one without the file. A file that is not a regular file, that cannot be parsed,
/// or that another user owns or can write to, is ignored with a warning.
///
/// # Errors
/// When the file cannot be read.
pub fn record(root: &Root) -> Result<Record> {
    let Some(meta) = root.lstat(RECORD)? else {
        return Ok(Record::default());
    };
    // In a rootless toolbox, files of the host's root have another user ID than 0, so the record must have the owner of
    // `/`.
    let owner = root.stat("/")?.map_or(0, |it| it.uid);
    if meta.kind != FileType::File || !is_only_of(owner, &meta) {
        tracing::warn!(
            "ignoring /{RECORD}: it is not a regular file, or other users can write to it. Remove it; the gate writes a new one"
        );
        return Ok(Record::default());
    }
    let bytes = root.read(RECORD, RECORD_MAX)?.unwrap_or_default();
    Ok(Record::parse(&bytes).unwrap_or_else(|| {
        tracing::warn!("ignoring /{RECORD}: it is not a record of this version");
        Record::default()
    }))
}

/// Writes the record.
///
/// # Errors
/// When the record cannot be written, or when another user could write to its directory.
pub fn save(root: &Root, record: &Record) -> Result<()> {
    own_directory(root, STATE, 0o755)?;
    let json = serde_json::to_string_pretty(record).context("writing the gate's record")?;
    Ok(root.write(RECORD, (json + "\n").as_bytes(), 0o644)?)
}

/// Writes the message at login, or removes the message if `text` is `None`.
///
/// # Errors
/// When the message cannot be written or removed, or when another user could write to its directory.
pub fn show(root: &Root, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) => {
            own_directory(root, MESSAGES, 0o755)?;
            root.write(MESSAGE, text.as_bytes(), 0o644)?;
        }
        None if root.lstat(MESSAGE)?.is_some() => {
            own_directory(root, MESSAGES, 0o755)?;
            root.remove_file(MESSAGE)?;
        }
        None => {}
    }
    Ok(())
}

/// Takes the lock against a second gate, and waits for it if necessary. The lock is released on drop.
///
/// # Errors
/// When the file cannot be created or locked, or when another user could write to its directory.
pub fn lock_out_others(root: &Root) -> Result<Flock<File>> {
    own_directory(root, RUN, 0o700)?;
    let path = format!("{RUN}/gate.lock");
    let file = match root.append_to(&path) {
        Ok(file) => file,
        Err(_) => root.create_file(&path, 0o600)?,
    };
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("locking /{path}"))
}

/// Returns whether the staged deployment's finalisation is locked, and whether the gate has locked it.
///
/// # Errors
/// When the file cannot be read.
pub fn lock_state(root: &Root, deployment: &Deployment) -> Result<Lock> {
    let Some(meta) = root.lstat(staged::LOCK)? else {
        return Ok(if deployment.is_locked {
            Lock::Other
        } else {
            Lock::Open
        });
    };
    let is_own = meta.kind == FileType::File
        && meta.size == OWN.len() as u64
        && root.read(staged::LOCK, RECORD_MAX)?.as_deref() == Some(OWN);
    Ok(if is_own { Lock::Own } else { Lock::Other })
}

/// Locks the staged deployment's finalisation: writes `staged::LOCK` atomically. ostree looks for this file when it
/// finalises the deployment (`_ostree_sysroot_finalize_staged`).
///
/// # Errors
/// When the file cannot be written.
pub fn lock_finalisation(root: &Root) -> Result<()> {
    Ok(root.write(staged::LOCK, OWN, 0o644)?)
}

/// Unlocks the staged deployment's finalisation: removes `staged::LOCK`, whatever its content.
///
/// # Errors
/// When the file cannot be removed.
pub fn unlock_finalisation(root: &Root) -> Result<()> {
    root.remove_file(staged::LOCK)?;
    Ok(())
}

/// Returns a digest of all facts that identify the verified state of a staged deployment: its name, kernel arguments
/// and directory, and its kernels, initramfs files and additional initramfs files. The digest also depends on the
/// version of this program.
///
/// # Errors
/// When a file or directory of the deployment cannot be read.
pub fn identity(system: &System, deployment: &Deployment) -> Result<String> {
    let root = &system.root;
    let mut facts = vec![tool(), deployment.name.to_string()];
    facts.extend(system.kargs(deployment).unwrap_or_default());
    let dir = deployment.name.dir();
    let meta = root
        .stat(&dir)?
        .with_context(|| format!("reading /{dir}"))?;
    facts.push(format!("{dir} {} {} {}", meta.dev, meta.ino, meta.mtime));
    let inside = system.open(&deployment.name)?;
    for kernel in kernels::module_dirs(&inside)? {
        let files = ["vmlinuz", "initramfs.img"].into_iter();
        for file in files.map(|file| format!("usr/lib/modules/{}/{file}", kernel.name)) {
            facts.push(fact(&inside, &file)?);
        }
    }
    for overlay in &deployment.overlays {
        facts.push(fact(root, &format!("{}/{overlay}", staged::OVERLAYS))?);
    }
    let mut digest = Sha256::new();
    for fact in facts {
        digest.update((fact.len() as u64).to_le_bytes());
        digest.update(fact);
    }
    Ok(hex::encode(digest.finalize()))
}

/// Describes the state of a file: its device, inode, size and change time (ctime); `none` if there is no regular file.
/// No system call sets the change time to a chosen value.
fn fact(root: &Root, path: &str) -> Result<String> {
    let is_file = root.stat(path)?.is_some_and(|it| it.kind == FileType::File);
    let Some(file) = is_file.then(|| root.open_file(path)).transpose()?.flatten() else {
        return Ok(format!("{path} none"));
    };
    let meta = file
        .metadata()
        .with_context(|| format!("reading /{path}"))?;
    Ok(format!(
        "{path} {} {} {} {}.{}",
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.ctime(),
        meta.ctime_nsec()
    ))
}

/// Returns whether the file belongs to `user`, and no other user can write to it.
fn is_only_of(user: u32, meta: &Meta) -> bool {
    meta.uid == user && meta.mode & 0o022 == 0
}

/// Creates the directory `dir` with this mode, and its parents with mode 0755. If `dir` exists, checks that the user of
/// this process owns it and that no other user can write to it. No component of the path may be a link.
fn own_directory(root: &Root, dir: &str, mode: u32) -> Result<()> {
    let mut path = String::new();
    for part in dir.split('/') {
        path = match path.as_str() {
            "" => part.to_owned(),
            path => format!("{path}/{part}"),
        };
        let Some(meta) = root.lstat(&path)? else {
            root.create_dir_all(&path, if path == dir { mode } else { 0o755 })?;
            continue;
        };
        if meta.kind != FileType::Dir {
            bail!(
                "writing below /{path}: it is {}, expected a directory. Remove it",
                meta.kind
            );
        }
        if path == dir && !is_only_of(nix::unistd::geteuid().as_raw(), &meta) {
            bail!(
                "writing below /{path}: other users can write to it (owner {}, mode {:04o}). Type: chown 0:0 /{path} && chmod {mode:o} /{path}",
                meta.uid,
                meta.mode
            );
        }
    }
    Ok(())
}
