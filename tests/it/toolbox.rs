// SPDX-License-Identifier: MIT OR Apache-2.0
//! An ordinary user verifies an image before it is shipped: readable files are verified, and checks of unreadable files
//! are reported as unknown.

use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::bed::Bed;
use crate::privilege::has_user;
use crate::ran::Ran;

const USER: u32 = 54_321;
const DIR: &str = "usr/lib/modules/6.1.7-100.fc40.x86_64";
const WHAT_TO_TYPE: &str = "Run as root. If you mounted the image with podman or buildah as an ordinary user, run in podman unshare or buildah unshare";

/// Runs the program as a user who owns no file of the tree.
#[track_caller]
fn as_user(bed: &Bed, args: &[&str]) -> Ran {
    let program = bed.copy_of_program();
    let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
    bed.run_program(&program, &args, None, |command| {
        command.uid(USER).gid(USER);
    })
}

fn set_mode(bed: &Bed, path: &str, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(bed.path(path), mode).unwrap();
}

#[test]
fn unreadable_files_are_unknown_not_broken() {
    let bed = Bed::new();
    if !has_user(USER) {
        return;
    }
    let root = bed.root();
    let args = ["verify", "--root", root.to_str().unwrap()];
    let ran = as_user(&bed, &args);
    ran.ends_with(1).in_order(&[]).untouched().prints(&[
        "unknown initramfs-readable, initramfs-compression, initramfs-kver, initramfs-modules,",
        &format!("could not run: opening /{DIR}/initramfs.img in "),
        &format!("Permission denied. {WHAT_TO_TYPE}\n"),
        " could not run, ",
    ]);
    ran.require(!ran.stdout.contains("fatal initramfs"), "nothing was found");
    let json = as_user(&bed, &[&args[..], &["--format", "json"]].concat()).json();
    assert_eq!(json["outcome"], "unknown");
    assert_eq!(json["findings"], serde_json::json!([]));

    set_mode(&bed, &format!("{DIR}/vmlinuz"), 0o600);
    as_user(&bed, &args).ends_with(1).untouched().prints(&[
        "unknown kernel-release: could not run: usr/lib/modules/",
        &format!(
            "vmlinuz in {}: Permission denied. {WHAT_TO_TYPE}\n",
            root.display()
        ),
    ]);
}

#[test]
fn readable_files_suffice() {
    let bed = Bed::new();
    if !has_user(USER) {
        return;
    }
    let root = bed.root().display().to_string();
    let image = bed
        .path(&format!("{DIR}/initramfs.img"))
        .display()
        .to_string();
    set_mode(&bed, &format!("{DIR}/initramfs.img"), 0o644);
    as_user(&bed, &["verify", "--root", &root])
        .ends_with(0)
        .untouched()
        .prints(&["warning initramfs-mode", "no fatal findings"]);
    let kver = "6.1.7-100.fc40.x86_64";
    as_user(&bed, &["verify", "--initramfs", &image, "--kver", kver])
        .ends_with(0)
        .untouched();
    as_user(&bed, &["inspect", &image])
        .ends_with(0)
        .untouched()
        .prints(&[kver]);
}

#[test]
fn files_of_root_are_refused_in_a_sentence() {
    let bed = Bed::new();
    if !has_user(USER) {
        return;
    }
    let image = bed
        .path(&format!("{DIR}/initramfs.img"))
        .display()
        .to_string();
    let root = bed.root().display().to_string();
    let kver = "6.1.7-100.fc40.x86_64";
    let inside = format!("/{DIR}/initramfs.img");
    for args in [
        &["inspect", &image][..],
        &["inspect", "--root", &root, &inside],
        &["verify", "--initramfs", &image, "--kver", kver],
        &["verify", "--root", &root, "--against", &image],
    ] {
        let ran = as_user(&bed, args);
        ran.ends_with(1).untouched();
        ran.complains(&[
            "error: ",
            "Permission denied",
            &format!(". {WHAT_TO_TYPE}\n"),
        ]);
        ran.require(ran.stderr.lines().count() == 1, "one line");
    }
}

#[test]
fn refused_jobs_start_nothing() {
    let bed = Bed::new();
    if !has_user(USER) {
        return;
    }
    let (root, source) = (bed.root().display().to_string(), bed.source());
    for args in [
        &["replace", "--dry-run", "--root", &root, &source][..],
        &["replace", "--root", &root, &source],
        &["rebuild", "--root", &root],
    ] {
        as_user(&bed, args)
            .ends_with(3)
            .in_order(&[])
            .untouched()
            .complains(&[WHAT_TO_TYPE]);
    }
    as_user(&bed, &["status", "--root", &root])
        .ends_with(0)
        .in_order(&[])
        .untouched()
        .prints(&["kernel-core-6.1.7-100.fc40.x86_64"]);
}

/// Runs the program as root of a user namespace of an ordinary user; returns `None` if this machine does not allow it.
#[track_caller]
fn in_a_name_space(bed: &Bed, args: &[&str]) -> Option<Ran> {
    let unshare = |args: &[&str]| {
        let program = bed.copy_of_program();
        let all = ["--user", "--map-root-user", program.to_str().unwrap()];
        let args: Vec<_> = all.iter().chain(args).map(|&arg| arg.to_owned()).collect();
        bed.run_program(Path::new("/usr/bin/unshare"), &args, None, |command| {
            command.uid(USER).gid(USER);
        })
    };
    if unshare(&["--version"]).status == Some(0) {
        return Some(unshare(args));
    }
    println!("ignored: ordinary users cannot create user namespaces on this machine");
    None
}

fn give(bed: &Bed, path: &str) {
    for entry in walkdir::WalkDir::new(bed.path(path)).contents_first(true) {
        lchown(entry.unwrap().path(), Some(USER), Some(USER)).unwrap();
    }
}

#[test]
fn in_a_user_name_space_a_tree_of_ones_own_is_like_any_other() {
    let bed = Bed::new();
    if !has_user(USER) {
        return;
    }
    give(&bed, "");
    let (root, source) = (bed.root().display().to_string(), bed.source());
    if let Some(ran) = in_a_name_space(&bed, &["verify", "--root", &root]) {
        ran.ends_with(0).prints(&["no fatal findings"]);
        let args = ["replace", "--dry-run", "--root", &root, &source];
        let ran = in_a_name_space(&bed, &args).unwrap();
        ran.ends_with(0).prints(&["commands, in order:"]);
    }
}

#[test]
fn a_tree_that_belongs_to_another_is_not_begun() {
    let bed = Bed::new();
    if !has_user(USER) {
        return;
    }
    // The stubs write their logs into this directory.
    give(&bed, "stub");
    let (root, source) = (bed.root().display().to_string(), bed.source());
    for args in [
        &["replace", "--dry-run", "--root", &root, &source][..],
        &["rebuild", "--root", &root],
    ] {
        if let Some(ran) = in_a_name_space(&bed, args) {
            ran.ends_with(3).in_order(&[]).untouched().complains(&[
                "error: creating the directory /run/ostree-kernel in ",
                "Permission denied; replace and rebuild write there first, also with --dry-run. ",
                WHAT_TO_TYPE,
            ]);
        }
    }
}
