// SPDX-License-Identifier: MIT OR Apache-2.0
//! The step `clean`: symbolic links in the kernel's directory become files, since ostree copies a link instead of its
//! target.

use std::os::unix::fs::symlink;

use crate::bed::Bed;
use crate::image::Fault;
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;

/// Moves the file `name` of the base's kernel to `place`, and leaves a link to `target`.
fn link_out(bed: &Bed, name: &str, place: &str, target: &str) {
    let path = bed.path(&format!("usr/lib/modules/{}/{name}", OLD.kver));
    bed.write(place, fs_err::read(&path).unwrap());
    fs_err::remove_file(&path).unwrap();
    symlink(target, &path).unwrap();
}

/// Returns a base whose dracut builds the initramfs of the installed kernel, so that `rebuild` succeeds.
fn base() -> Bed {
    let bed = Bed::new();
    bed.write("stub/kver", OLD.kver);
    bed.dracut_makes(OLD, Fault::None);
    bed
}

fn has_bytes(ran: &Ran, path: &str, bytes: &[u8]) {
    ran.require(
        ran.after.file(path) == Some(bytes),
        &format!("/{path} is not a file with these bytes"),
    );
}

#[test]
fn a_linked_vmlinuz_is_copied_into_place() {
    let kernel = crate::image::vmlinuz(OLD.kver);
    let name = format!("vmlinuz-{}", OLD.kver);
    for (place, target, stays) in [
        ("boot", "../../../../boot", false),
        ("boot", "/boot", false),
        ("usr/lib/ostree-boot", "../../ostree-boot", false),
        ("usr/lib/kernel", "/usr/lib/kernel", true),
    ] {
        println!("{target}");
        let bed = base();
        let file = format!("{place}/{name}");
        link_out(&bed, "vmlinuz", &file, &format!("{target}/{name}"));
        let ran = bed.run(&["rebuild"]);
        let path = format!("usr/lib/modules/{}/vmlinuz", OLD.kver);
        ran.ends_with(0).complains(&[&format!(
            "replaced the link /{path} with a copy of its target"
        )]);
        has_bytes(&ran, &path, &kernel);
        ran.require(
            ran.after.file(&file).is_some() == stays,
            "a kernel in a place that ostree reads is removed, and no other",
        );
        bed.run(&["verify"]).ends_with(0);
    }
}

#[test]
fn files_in_boot_that_a_package_owns_are_kept() {
    let bed = base();
    let file = format!("boot/vmlinuz-{}", OLD.kver);
    let target = format!("../../../../{file}");
    link_out(&bed, "vmlinuz", &file, &target);
    bed.write("usr/share/rpm/boot.files", format!("/{file}\n"));
    bed.write(
        "usr/share/rpm/boot.pkg",
        "N\tboot\t0\t2\t1\tx86_64\t(none)\n",
    );
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(0)
        .complains(&[&format!("keeping /{file}: a package owns it")]);
    let kernel = crate::image::vmlinuz(OLD.kver);
    has_bytes(&ran, &file, &kernel);
    let path = format!("usr/lib/modules/{}/vmlinuz", OLD.kver);
    has_bytes(&ran, &path, &kernel);
}

#[test]
fn other_files_are_copied_if_their_target_goes() {
    let bed = base();
    let dir = format!("usr/lib/modules/{}", OLD.kver);
    let file = format!("boot/config-{}", OLD.kver);
    link_out(&bed, "config", &file, &format!("../../../../{file}"));
    let config = fs_err::read(bed.path(&file)).unwrap();
    link_out(
        &bed,
        "symvers.xz",
        "usr/lib/kernel/symvers",
        "/usr/lib/kernel/symvers",
    );
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(0);
    has_bytes(&ran, &format!("{dir}/config"), &config);
    ran.require(
        bed.path(&format!("{dir}/symvers.xz")).is_symlink(),
        "a link stays whose target stays",
    );
}

#[test]
fn a_vmlinuz_that_leads_nowhere_is_no_kernel() {
    let bed = base();
    let path = bed.path(&format!("usr/lib/modules/{}/vmlinuz", OLD.kver));
    fs_err::remove_file(&path).unwrap();
    symlink(format!("../../../../boot/vmlinuz-{}", OLD.kver), &path).unwrap();
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(3)
        .untouched()
        .complains(&["no directory in usr/lib/modules holds a vmlinuz"]);
}

#[test]
fn a_new_kernel_that_is_a_link_is_copied_too() {
    let bed = Bed::new();
    let path = format!("usr/lib/modules/{}/vmlinuz", NEW.kver);
    let file = format!("boot/vmlinuz-{}", NEW.kver);
    let coming = bed.path(&format!("stub/come/{path}"));
    let kernel = fs_err::read(&coming).unwrap();
    bed.write(&format!("stub/come/{file}"), &kernel);
    fs_err::remove_file(&coming).unwrap();
    symlink(format!("../../../../{file}"), &coming).unwrap();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0).complains(&[&format!(
        "replaced the link /{path} with a copy of its target"
    )]);
    has_bytes(&ran, &path, &kernel);
    ran.require(ran.after.file(&file).is_none(), "nothing is left in /boot");
}
