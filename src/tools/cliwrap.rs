// SPDX-License-Identifier: MIT OR Apache-2.0
//! cliwrap: the shell scripts that `rpm-ostree cliwrap install-to-root` puts in the place of
//! programs.
//!
//! It is undone, never done. A wrapped dracut waits 5 seconds, drops its privileges and builds
//! nothing; a wrapper whose original was overwritten by a second `install-to-root` (rpm-ostree
//! before 2024.4) runs itself for ever. Source: rpm-ostree `rust/src/cliwrap.rs`;
//! coreos/fedora-coreos-tracker#1679, okd-project/okd#1908.

use crate::plan::Cliwrap;
use crate::sys::root::{self, Root};

/// Where the originals wait.
pub const WRAPPED: &str = "usr/libexec/rpm-ostree/wrapped";

/// A wrapper is a few hundred bytes; a real program that is a script (dracut: 90 KiB) is not read.
const WRAPPER_MAX: u64 = 4096;

/// What rpm-ostree wraps, and creates where it is absent (`yum`, `dnf`).
const NAMES: [&str; 6] = ["rpm", "dracut", "grubby", "kernel-install", "yum", "dnf"];

/// Where programs are. `usr/sbin` may be a link to `usr/bin`.
const BINS: [&str; 2] = ["usr/bin", "usr/sbin"];

/// Whether the file is one of rpm-ostree's wrapper scripts.
///
/// # Errors
/// When it cannot be read.
pub fn is_wrapper(root: &Root, path: &str) -> Result<bool, root::Error> {
    let small = root
        .stat(path)?
        .is_some_and(|meta| meta.kind == root::Kind::File && meta.size <= WRAPPER_MAX);
    if !small {
        return Ok(false);
    }
    let text = root.read(path, WRAPPER_MAX)?.unwrap_or_default();
    let mark = b"rpm-ostree cliwrap";
    Ok(text.starts_with(b"#!") && text.windows(mark.len()).any(|window| window == mark))
}

/// Looks at every program that cliwrap touches.
///
/// # Errors
/// When a file cannot be read.
pub fn survey(root: &Root) -> Result<Cliwrap, root::Error> {
    let mut cliwrap = Cliwrap::default();
    for name in NAMES {
        let original = format!("{WRAPPED}/{name}");
        let is_there = root.is_file(&original)?;
        let has_loop = is_there && is_wrapper(root, &original)?;
        let mut wrapper = None;
        for bin in BINS {
            let path = format!("{bin}/{name}");
            if wrapper.is_none() && is_wrapper(root, &path)? {
                wrapper = Some(path);
            }
        }
        match wrapper {
            Some(wrapper) if is_there && !has_loop => cliwrap.wrapped.push((wrapper, original)),
            // A killed transaction left it, and its original beside it: `rpm_ostree::heal`.
            Some(wrapper) if root.lstat(format!("{wrapper}.rpmostreesave"))?.is_some() => {}
            // rpm-ostree creates yum and dnf where there is none; the others were programs once.
            Some(wrapper) if name == "yum" || name == "dnf" => cliwrap.created.push(wrapper),
            Some(wrapper) => cliwrap.lost.push(wrapper),
            None => {}
        }
    }
    Ok(cliwrap)
}

/// The real program of that name: the original, where a wrapper or nothing stands in its place. An
/// original that a package has overtaken since is older than the program.
///
/// # Errors
/// When a file cannot be read.
pub fn real(root: &Root, name: &str) -> Result<String, root::Error> {
    for bin in BINS {
        let path = format!("{bin}/{name}");
        if root.is_file(&path)? && !is_wrapper(root, &path)? {
            return Ok(name.to_owned());
        }
    }
    let original = format!("{WRAPPED}/{name}");
    if root.is_file(&original)? && !is_wrapper(root, &original)? {
        return Ok(format!("/{original}"));
    }
    Ok(name.to_owned())
}

/// Puts every original back, removes the wrappers that have none, and the directory when nothing of
/// ours or theirs is left in it.
///
/// # Errors
/// When a file cannot be moved or removed.
pub fn undo(root: &Root, cliwrap: &Cliwrap) -> Result<(), root::Error> {
    for (wrapper, original) in &cliwrap.wrapped {
        root.rename(original, wrapper)?;
    }
    for wrapper in &cliwrap.created {
        root.remove_file(wrapper)?;
    }
    // What is left is a wrapper, or older than the program that a package has put in its place.
    for name in NAMES {
        root.remove_file(format!("{WRAPPED}/{name}"))?;
    }
    if root.is_dir(WRAPPED)? && root.list(WRAPPED)?.is_empty() {
        root.remove_tree(WRAPPED)?;
    }
    Ok(())
}
