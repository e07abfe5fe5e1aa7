// SPDX-License-Identifier: MIT OR Apache-2.0
//! The namespaces of programs in a root other than `/`. The programs cannot signal processes of the host, nor see them
//! (with an exception in [`mount_proc`]). No process outlives the PID namespace. Only `/sys` and `/dev` of the host are
//! mounted.

use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use nix::unistd::{chdir, chroot, pivot_root};

use crate::sys::root::{self, Root};

/// The context of an error that missing capabilities can have caused.
const NEEDS: &str = "changing the root directory needs CAP_SYS_ADMIN and CAP_SYS_CHROOT";

const NONE: Option<&str> = None;

/// Moves this process into new mount, System V IPC and host name namespaces, and its future children into a new PID
/// namespace.
///
/// # Errors
/// When the kernel refuses, for example because a capability is missing.
pub(super) fn unshare() -> Result<()> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    nix::sched::unshare(flags).context(NEEDS)
}

/// Makes `root` the root directory. In `root`, mounts the host's `/sys` and `/dev` and a new `/proc` of this PID
/// namespace, where these directories exist.
///
/// # Errors
/// The error names the step that failed.
pub(super) fn enter(root: &Path) -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NONE, "/", NONE, private, NONE).context(NEEDS)?;
    bind(root, root)?;
    // The root is opened after the bind mount, so that the directories are looked up in the new mount, where the others
    // are mounted.
    let tree = Root::open(root)?;
    for dir in ["proc", "sys", "dev"] {
        let meta = tree.lstat(dir)?;
        if meta.is_some_and(|meta| meta.kind == root::FileType::Dir) {
            let place = root.join(dir);
            match dir {
                "proc" => mount_proc(&place)?,
                _ => bind(&Path::new("/").join(dir), &place)?,
            }
        }
    }
    change(root).context(NEEDS)
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, NONE, flags, NONE)
        .with_context(|| format!("mounting {} at {}", from.display(), to.display()))
}

/// Mounts a `/proc` of this PID namespace. In a container whose own `/proc` is masked, the kernel forbids this
/// (mount_too_revealing in fs/namespace.c of Linux), and programs use the container's `/proc`.
fn mount_proc(place: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(Some("proc"), place, Some("proc"), flags, NONE) {
        Err(Errno::EPERM) => bind(Path::new("/proc"), place),
        done => done.with_context(|| format!("mounting a new /proc at {}", place.display())),
    }
}

/// Changes the root directory, and unmounts the old root, so that a program cannot return to it with another chroot(2).
fn change(root: &Path) -> nix::Result<()> {
    chdir(root)?;
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH)?,
        // pivot_root(2) cannot replace the old root: it is the rootfs (in an initramfs), or not a mount point (in a
        // chroot).
        Err(Errno::EINVAL) => chroot(".")?,
        Err(errno) => return Err(errno),
    }
    chdir("/")
}
