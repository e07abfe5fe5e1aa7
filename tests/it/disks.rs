// SPDX-License-Identifier: MIT OR Apache-2.0
//! Full file systems: for the copies of packages, the journal, downloads and the report. `fault.rs` tests a full root.

use crate::bed::Bed;
use crate::kernels::{NEW, OLD};
use crate::server::Server;

const FULL: &str = "No space left on device";

/// The size of a page in bytes, which is the smallest size of a tmpfs.
const PAGE: u64 = 4096;

fn initramfs(kver: &str) -> String {
    format!("usr/lib/modules/{kver}/initramfs.img")
}

#[test]
fn no_space_for_the_packages() {
    let bed = Bed::new();
    let disk = bed.small_disk("run", 2 * PAGE);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).untouched().in_order(&[]).complains(&[
        FULL,
        "error: storing ",
        ".rpm: no space left in /run of the tree or in the cache directory",
        "Free space there",
    ]);
    drop(disk);
    bed.run(&["replace", &bed.source()]).ends_with(0);
}

#[test]
fn no_space_for_the_journal() {
    let bed = Bed::new();
    let sizes = NEW.packages();
    let sizes = sizes.iter().map(|it| it.rpm().len() as u64);
    let packages: u64 = sizes.map(|size| size.next_multiple_of(PAGE)).sum();
    let disk = bed.small_disk("run", packages);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1)
        .untouched()
        .in_order(&[])
        .complains(&[FULL, "error: writing the journal of this run"]);
    drop(disk);
    bed.run(&["replace", &bed.source()]).ends_with(0);
}

#[test]
fn no_space_for_a_download() {
    let bed = Bed::new();
    let disk = bed.small_disk("cache", PAGE);
    let bytes = NEW.packages()[1].rpm();
    let server = Server::start(200, "application/x-rpm", move |_| bytes.clone());
    let cache = format!("--cache-dir={}", bed.path("cache").display());
    let ran = bed.run(&["replace", &cache, &server.url("kernel-core.rpm")]);
    ran.ends_with(1).changes(&[]).in_order(&[]).complains(&[
        FULL,
        "kernel-core.rpm: no space left in /run of the tree or in the cache directory",
    ]);
    ran.require(
        !ran.stderr.contains("Check the address"),
        "nothing is wrong with the address",
    );
    drop(disk);
}

#[test]
fn the_report_does_not_fit_into_the_image() {
    let bed = Bed::new();
    let disk = bed.small_disk("usr/share/ostree-kernel", PAGE);
    bed.write("usr/share/ostree-kernel/full", [0; PAGE as usize]);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).complains(&[
        FULL,
        "error: the new initramfs is in place, and its report could not be written into the image",
        "Run the same line again",
    ]);
    ran.require(
        ran.after
            .file("usr/share/ostree-kernel/report.json")
            .is_none(),
        "no half report",
    );
    let found = ran.after.file(&initramfs(NEW.kver)).unwrap_or_default();
    let whole = NEW.initramfs(crate::image::Fault::None);
    ran.require(found.starts_with(&whole), "the initramfs is whole");
    drop(disk);
    let again = bed.run(&["replace", &bed.source()]);
    again.ends_with(0);
    again.require(
        again.report()["kernel"]["before"]["kver"] == OLD.kver,
        "it goes on with the first run",
    );
}

#[test]
fn the_report_that_the_user_asked_for_does_not_fit() {
    for args in [&["replace"][..], &["rebuild"], &["verify"]] {
        let bed = Bed::new();
        let source = bed.source();
        let mut args = [args, &["--report", "/dev/full"]].concat();
        if args[0] == "replace" {
            args.push(&source);
        } else {
            bed.write("stub/kver", OLD.kver);
            bed.dracut_makes(OLD, crate::image::Fault::None);
        }
        let ran = bed.run(&args);
        ran.ends_with(1).complains(&[FULL, "/dev/full"]);
        if args[0] != "verify" {
            ran.complains(&["the tree is committed, and only the report is missing"]);
        }
    }
}
