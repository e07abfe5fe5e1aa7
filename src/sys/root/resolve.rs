// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves a path to a file descriptor inside the root.
//!
//! There are two implementations of one behaviour: `openat2` with `RESOLVE_IN_ROOT`, and a walk component by component
//! for kernels and seccomp profiles that refuse that call. Absolute links start at the root, and `..` stops there. This
//! file must not open anything by a path that starts outside the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};

/// Upper bound of links in one resolution, as in the kernel.
const MAX_LINKS: usize = 40;

/// Upper bound of attempts at a resolution that races with a rename (`EAGAIN`) or is interrupted.
const MAX_RACES: usize = 64;

/// The implementation for one opened root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathResolver {
    /// `openat2` with `RESOLVE_IN_ROOT`.
    Openat2,
    /// The walk, because the kernel or a sandbox refuses `openat2`.
    Walk,
}

impl PathResolver {
    /// Detects whether `openat2` works. Opening the root itself fails only if the call is refused.
    pub(super) fn probe(root: BorrowedFd<'_>) -> Self {
        match open_in_root(root, Path::new("."), OFlag::O_PATH) {
            Ok(_) => Self::Openat2,
            Err(_) => Self::Walk,
        }
    }

    /// Opens `path`. Links are resolved inside `root`. A link as the last component is followed, unless `flags` has
    /// `O_NOFOLLOW`. `O_CLOEXEC` is always added; `flags` must not create a file.
    pub(super) fn open(
        self,
        root: BorrowedFd<'_>,
        path: &Path,
        flags: OFlag,
    ) -> Result<OwnedFd, Errno> {
        let path = inside(path);
        match self {
            Self::Openat2 => open_in_root(root, &path, flags),
            Self::Walk => walk(root, &path, flags),
        }
    }

    /// Returns whether the entry `name` of `dir` is a mount point. The walk compares mount IDs from `/proc`. Without
    /// `/proc` it compares device numbers of directories only (for a file, overlayfs can report the number of the
    /// layer), and does not detect a bind mount of the same file system.
    pub(super) fn is_mount(self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
        if self == Self::Openat2 {
            let how = OpenHow::new()
                .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
                .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_BENEATH);
            return match openat2(dir, name, how) {
                Ok(_) => Ok(false),
                Err(Errno::EXDEV) => Ok(true),
                Err(errno) => Err(errno),
            };
        }
        let entry = open_entry(dir, name, OFlag::O_PATH)?;
        if let (Some(inner), Some(outer)) = (mount_number(entry.as_fd()), mount_number(dir)) {
            return Ok(inner != outer);
        }
        let stat = fstat(entry)?;
        let is_dir = file_type(stat.st_mode) == SFlag::S_IFDIR;
        Ok(is_dir && stat.st_dev != fstat(dir)?.st_dev)
    }
}

/// Returns the line with the mount ID in the descriptor's file below `/proc/self/fdinfo`; `None` without `/proc`.
fn mount_number(fd: BorrowedFd<'_>) -> Option<String> {
    let info = fs_err::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let line = info.lines().find(|line| line.starts_with("mnt_id:"))?;
    Some(line.to_string())
}

/// Returns the path without its leading `/` and `.` components; `.` for the root itself.
pub(super) fn inside(path: &Path) -> PathBuf {
    let kept: PathBuf = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .collect();
    if kept.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        kept
    }
}

/// Returns the file type bits of a mode.
pub(super) fn file_type(mode: nix::libc::mode_t) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    for _ in 0..MAX_RACES {
        match openat2(root, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let follow_last = !flags.contains(OFlag::O_NOFOLLOW);
    let mut todo = parts(path.as_os_str());
    // The directories from the root (not included) to the current one. `..` pops one, and stops at the root.
    let mut dirs: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == "." {
            continue;
        }
        if name == ".." {
            dirs.pop();
            continue;
        }
        let here = dirs.last().map_or(root, AsFd::as_fd);
        let seen = fstatat(here, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_last = todo.is_empty();
        if file_type(seen.st_mode) == SFlag::S_IFLNK && (follow_last || !is_last) {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP);
            }
            let target = readlinkat(here, name.as_os_str())?;
            if target.as_bytes().starts_with(b"/") {
                dirs.clear();
            }
            let mut rest = parts(&target);
            rest.append(&mut todo);
            todo = rest;
        } else if is_last {
            return open_entry(here, &name, flags);
        } else {
            dirs.push(open_entry(here, &name, OFlag::O_PATH | OFlag::O_DIRECTORY)?);
        }
    }
    open_entry(
        dirs.last().map_or(root, AsFd::as_fd),
        OsStr::new("."),
        flags,
    )
}

/// Opens one entry. If it has been replaced with a link in the meantime, the link is not followed.
fn open_entry(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat(
        dir,
        name,
        flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Splits a path or link target. An empty component becomes `.`, so that a trailing slash requires a directory.
fn parts(path: &OsStr) -> VecDeque<OsString> {
    path.as_bytes()
        .split(|&byte| byte == b'/')
        .map(|part| if part.is_empty() { b"." } else { part })
        .map(|part| OsStr::from_bytes(part).to_os_string())
        .collect()
}
