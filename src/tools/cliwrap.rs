// SPDX-License-Identifier: MIT OR Apache-2.0
//! cliwrap: the shell scripts that `rpm-ostree cliwrap install-to-root` installs instead of programs.
//!
//! This program undoes cliwrap and never installs it. A wrapped dracut waits 5 seconds, drops its privileges and builds
//! nothing. If a second `install-to-root` has overwritten an original (rpm-ostree before 2024.4), its wrapper starts
//! itself in an endless loop. Source: rpm-ostree `rust/src/cliwrap.rs`; coreos/fedora-coreos-tracker#1679,
//! okd-project/okd#1908.

use crate::bytes::contains;
use crate::plan::Cliwrap;
use crate::sys::root::{self, Root};

/// The directory into which cliwrap moves the original programs.
pub const WRAPPED: &str = "usr/libexec/rpm-ostree/wrapped";

/// Maximum size of a wrapper (bytes). Wrappers have a few hundred bytes. A larger file, such as the script `dracut`
/// with 90 KiB, is not read.
const WRAPPER_MAX: u64 = 4096;

/// The programs that rpm-ostree wraps. It creates wrappers for `yum` and `dnf` even if these programs do not exist.
const NAMES: [&str; 6] = ["rpm", "dracut", "grubby", "kernel-install", "yum", "dnf"];

/// The directories of programs. `usr/sbin` can be a link to `usr/bin`.
const BINS: [&str; 2] = ["usr/bin", "usr/sbin"];

/// Returns whether the file is a wrapper script of rpm-ostree.
///
/// # Errors
/// When the file cannot be read.
pub fn is_wrapper(root: &Root, path: &str) -> Result<bool, root::Error> {
    let small = root
        .stat(path)?
        .is_some_and(|meta| meta.kind == root::FileType::File && meta.size <= WRAPPER_MAX);
    if !small {
        return Ok(false);
    }
    let text = root.read(path, WRAPPER_MAX)?.unwrap_or_default();
    let mark = b"rpm-ostree cliwrap";
    Ok(text.starts_with(b"#!") && contains(&text, mark))
}

/// Examines the programs that cliwrap can wrap, and returns the wrappers that it finds.
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
            // A killed transaction left the original next to the wrapper; `rpm_ostree::heal` restores the original.
            Some(wrapper) if root.lstat(format!("{wrapper}.rpmostreesave"))?.is_some() => {}
            // rpm-ostree creates wrappers for yum and dnf even without such a program. Any other wrapper had an
            // original.
            Some(wrapper) if name == "yum" || name == "dnf" => cliwrap.created.push(wrapper),
            Some(wrapper) => cliwrap.lost.push(wrapper),
            None => {}
        }
    }
    Ok(cliwrap)
}

/// Returns the command that starts the real program: the path of the original, if there is one and the program's own
/// path holds a wrapper or nothing, else `name`. If a package has installed the program again, the original is older
/// and is not used.
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

/// Restores the originals whose place holds a wrapper. Removes all other originals, and the wrappers that rpm-ostree
/// created where no program existed. Removes the directory of the originals if it is then empty.
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
    // The originals that remain are wrappers themselves, or older than a program that a package has installed again.
    for name in NAMES {
        root.remove_file(format!("{WRAPPED}/{name}"))?;
    }
    if root.is_dir(WRAPPED)? && root.list(WRAPPED)?.is_empty() {
        root.remove_tree(WRAPPED)?;
    }
    Ok(())
}
