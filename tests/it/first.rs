// SPDX-License-Identifier: MIT OR Apache-2.0
//! A first kernel, for trees whose kernel was removed in an earlier RUN line; and version locks.

use crate::bed::Bed;
use crate::images::make::{Packed, layout, of_tree};
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;

/// Removes the kernel as `dnf remove 'kernel*'` does; with `files`, also the files of the kernel's directory that no
/// package owns.
fn remove_kernel(bed: &Bed, files: bool) {
    for package in OLD.packages() {
        for (path, _) in &package.files {
            let _ = fs_err::remove_file(bed.path(path.trim_start_matches('/')));
        }
        for suffix in ["pkg", "files"] {
            fs_err::remove_file(bed.path(&format!("usr/share/rpm/{}.{suffix}", package.name)))
                .unwrap();
        }
    }
    if files {
        fs_err::remove_dir_all(bed.path(&format!("usr/lib/modules/{}", OLD.kver))).unwrap();
    }
}

fn has_no_baseline(ran: &Ran) -> bool {
    ran.report()["warnings"]
        .to_string()
        .contains("there is no baseline")
}

#[test]
fn a_first_kernel_is_installed_and_verified() {
    for bed in [Bed::new(), Bed::dnf("dnf"), Bed::dnf("dnf5")] {
        remove_kernel(&bed, true);
        let rebuild = bed.run(&["rebuild"]);
        rebuild
            .ends_with(3)
            .complains(&["no directory in usr/lib/modules holds a vmlinuz"]);
        let dry = bed.run(&["replace", "--dry-run", &bed.source()]);
        dry.ends_with(0).untouched();
        dry.prints(&["kernel   none -> 6.9.4-200.fc40.x86_64"]);
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0);
        ran.complains(&["so there is no baseline", "--against FILE"]);
        let report = ran.report();
        assert!(report["kernel"].get("before").is_none());
        assert_eq!(report["kernel"]["after"]["kver"], NEW.kver);
        bed.run(&["replace", &bed.source()])
            .ends_with(0)
            .in_order(&[])
            .untouched();
    }
}

#[test]
fn a_kernel_whose_files_were_removed_is_replaced() {
    for bed in [Bed::new(), Bed::dnf("dnf")] {
        fs_err::remove_dir_all(bed.path("usr/lib/modules")).unwrap();
        bed.run(&["rebuild"]).ends_with(3);
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0);
        assert_eq!(ran.report()["kernel"]["before"]["kver"], OLD.kver);
    }
}

#[test]
fn the_initramfs_that_a_removed_kernel_left_is_the_baseline() {
    let bed = Bed::new();
    remove_kernel(&bed, false);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    ran.require(!has_no_baseline(&ran), "there is a baseline");
    let old = format!("usr/lib/modules/{}/initramfs.img", OLD.kver);
    ran.require(ran.after.file(&old).is_none(), "it is removed");
}

#[test]
fn another_baseline_can_be_named() {
    let bed = Bed::new();
    let image = bed.path("base.img");
    let old = format!("usr/lib/modules/{}/initramfs.img", OLD.kver);
    fs_err::copy(bed.path(&old), &image).unwrap();
    remove_kernel(&bed, true);
    let against = image.to_str().unwrap();
    let ran = bed.run(&["replace", "--against", "/nothing", &bed.source()]);
    ran.ends_with(1).untouched().complains(&["/nothing"]);
    let ran = bed.run(&["replace", "--against", against, &bed.source()]);
    ran.ends_with(0);
    ran.require(!has_no_baseline(&ran), "there is a baseline");
}

#[test]
fn an_image_or_a_tree_can_be_the_baseline() {
    let bed = Bed::new();
    let (layers, diff_ids) = of_tree(&bed.root(), Packed::Gzip);
    layout(&bed.beside("image"), &layers, &diff_ids);
    let image = format!("oci:{}", bed.beside("image").display());
    let other = Bed::new();
    let other = other.root().display().to_string();
    remove_kernel(&bed, true);
    for absent in ["oci:/nothing", "docker://localhost:1/nothing"] {
        let ran = bed.run(&["replace", "--against", absent, &bed.source()]);
        ran.ends_with(1).untouched().complains(&["nothing"]);
    }
    for against in [image, other] {
        let ran = bed.run(&["replace", "--dry-run", "--against", &against, &bed.source()]);
        ran.ends_with(0).untouched();
    }
    let image = format!("oci:{}", bed.beside("image").display());
    let ran = bed.run(&["replace", "--against", &image, &bed.source()]);
    ran.ends_with(0);
    ran.require(!has_no_baseline(&ran), "there is a baseline");
}

#[test]
fn version_locks_follow_unless_they_must_stay() {
    let list = "etc/dnf/plugins/versionlock.list";
    let before = "kernel-core-0:6.1.7-100.fc40.*\nbash-0:5.2-1.fc40.*\n";
    let after = "kernel-core-0:6.9.4-200.fc40.*\nbash-0:5.2-1.fc40.*\n";
    for (args, expected) in [(&[][..], after), (&["--no-versionlock"], before)] {
        let bed = Bed::new();
        bed.write(list, before);
        let source = bed.source();
        let args = [&["replace"], args, &[source.as_str()]].concat();
        let dry = bed.run(&[&args[..], &["--dry-run"]].concat());
        let line = format!("  {list}  version locks follow the new kernel\n");
        dry.require(dry.stdout.contains(&line) == (expected == after), &line);
        bed.run(&args).ends_with(0);
        assert_eq!(fs_err::read_to_string(bed.path(list)).unwrap(), expected);
    }
}
