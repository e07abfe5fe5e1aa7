// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own binary as the process that enters a root, and then becomes a program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use super::program_command;
use crate::sys::root::{self, Root};

/// The first argument that makes our own binary the doorman.
pub const ENTER_ROOT: &str = "__enter-root";

/// Becomes `program` inside `root`: a mount namespace of its own in which `/proc`, `/sys` and
/// `/dev` are those of the host, then chroot and exec. It returns only when that failed. With
/// `--probe` as the program it does all but the exec. `parent` is who started it.
///
/// # Errors
/// Names the step and the privilege that it needs; when the parent is dead.
pub fn enter_root(args: &[OsString]) -> Result<()> {
    let [parent, root, program, args @ ..] = args else {
        bail!("{ENTER_ROOT} PARENT ROOT PROGRAM [ARGUMENT…] is for ostree-kernel itself");
    };
    // Who is killed takes its children along, those too that have not come to this line yet.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("binding the child to its parent")?;
    if *parent != *std::os::unix::process::parent_id().to_string() {
        bail!("who asked for {} is dead", Path::new(program).display());
    }
    if root != "/" {
        enter(Path::new(root))?;
    }
    if program == "--probe" {
        return Ok(());
    }
    // `exec` of the library gives SIGPIPE its default action back, which our own start took.
    Err(program_command(Path::new(program)).args(args).exec())
        .with_context(|| format!("starting {}", Path::new(program).display()))
}

fn enter(root: &Path) -> Result<()> {
    let none: Option<&str> = None;
    let needs = "changing the root directory needs CAP_SYS_ADMIN and CAP_SYS_CHROOT";
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context(needs)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context(needs)?;
    let door = Root::open(root)?;
    for dir in ["proc", "sys", "dev"] {
        let meta = door.lstat(dir)?;
        if meta.is_some_and(|meta| meta.kind == root::Kind::Dir) {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(
                Some(&Path::new("/").join(dir)),
                &root.join(dir),
                none,
                flags,
                none,
            )
            .with_context(|| format!("mounting /{dir} in {}", root.display()))?;
        }
    }
    nix::unistd::chroot(root).context(needs)?;
    nix::unistd::chdir("/").context("entering the root")?;
    Ok(())
}
