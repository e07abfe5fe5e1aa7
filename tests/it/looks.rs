// SPDX-License-Identifier: MIT OR Apache-2.0
//! `status` and `verify`: they look, and change nothing.

use std::os::unix::fs::PermissionsExt;

use crate::bed::Bed;
use crate::image::{self, Fault};
use crate::kernels::{NEW, OLD};

const DIR: &str = "usr/lib/modules/6.1.7-100.fc40.x86_64";

#[test]
fn status_of_a_good_tree() {
    let bed = Bed::new();
    let ran = bed.run(&["status"]);
    ran.ends_with(0).in_order(&[]).untouched().prints(&[
        "tree       ostree container\n",
        "backend    rpm-ostree\n",
        "cliwrap    off\n",
        "layout     ostree\n",
        "rpm-ostree 2025.6\n",
        "kernel     6.1.7-100.fc40.x86_64 (initramfs 0.0 MiB)\n",
        "package    kernel-core-6.1.7-100.fc40.x86_64\n",
    ]);
    let ran = bed.run(&["status", "--format", "json"]);
    ran.ends_with(0).untouched();
    let json = ran.json();
    for (pointer, expected) in [
        ("/schema", serde_json::json!(1)),
        ("/kind", "ostree-container".into()),
        ("/backends", serde_json::json!(["rpm-ostree"])),
        ("/rpm_ostree", "2025.6".into()),
        ("/layout_ostree", true.into()),
        ("/kernels/0/kver", OLD.kver.into()),
        ("/kernels/0/vmlinuz", true.into()),
        ("/leftovers", serde_json::json!([])),
        ("/labels/ostree.linux", OLD.kver.into()),
    ] {
        let found = json.pointer(pointer);
        ran.require(
            found == Some(&expected),
            &format!("{pointer}: expected {expected}"),
        );
    }
}

#[test]
fn status_of_a_bad_tree() {
    let bed = Bed::dnf("dnf");
    bed.cliwrap();
    bed.write("usr/bin/useradd.rpmostreesave", "\x7fELF");
    bed.write("usr/lib/modules/6.2.0/kernel/x.ko", "");
    bed.remove("usr/bin/depmod");
    bed.run(&["status"])
        .ends_with(0)
        .in_order(&[])
        .untouched()
        .prints(&[
            "tree       container without an ostree repository\n",
            "backend    dnf\n",
            "cliwrap    on\n",
            "layout     other\n",
            "kernel     6.2.0 (no vmlinuz)\n",
            "leftover   /usr/bin/useradd.rpmostreesave\n",
            "missing    depmod\n",
        ]);
}

#[test]
fn verify_of_a_good_tree() {
    for bed in [Bed::new(), Bed::dnf("dnf5")] {
        for args in [
            &["verify"][..],
            &["verify", OLD.kver],
            &["kernel", "verify"],
        ] {
            if args[0] == "kernel" {
                // Only the first argument of all may be that.
                bed.run(args).ends_with(2).untouched();
                continue;
            }
            let ran = bed.run(args);
            ran.ends_with(0).in_order(&[]).untouched();
            ran.prints(&[
                "kernel 6.1.7-100.fc40.x86_64: initramfs 0.0 MiB",
                "nothing fatal",
            ]);
        }
        let file = bed.beside("out").join("report.json");
        let ran = bed.run(&[
            "verify",
            "--format",
            "json",
            "--report",
            file.to_str().unwrap(),
        ]);
        ran.ends_with(0).untouched();
        let json = ran.json();
        ran.require(
            json["command"] == "verify" && json["outcome"] == "passed",
            "it passed",
        );
        ran.require(json["findings"] == serde_json::json!([]), "no finding");
        ran.require(
            fs_err::read_to_string(file).unwrap() == ran.stdout,
            "--report is the same",
        );
    }
}

#[test]
fn verify_finds() {
    type Spoil = fn(&Bed);
    let table: [(i32, &str, &str, Spoil); 14] = [
        (
            4,
            "fatal kernel-single",
            "2 directories with a vmlinuz: 6.1.7-100.fc40.x86_64, 6.2.0",
            |bed| {
                bed.write("usr/lib/modules/6.2.0/vmlinuz", image::vmlinuz("6.2.0"));
            },
        ),
        (
            4,
            "fatal kernel-release",
            "a kernel that calls itself 6.9.4-200.fc40.x86_64",
            |bed| {
                bed.write(&format!("{DIR}/vmlinuz"), image::vmlinuz(NEW.kver));
            },
        ),
        (1, "unknown kernel-release", "could not look", |bed| {
            bed.write(&format!("{DIR}/vmlinuz"), "hello")
        }),
        (4, "fatal kernel-rpmdb", "no package owns it", |bed| {
            bed.write("usr/share/rpm/kernel-core.files", "")
        }),
        (1, "unknown kernel-rpmdb", "could not look", |bed| {
            bed.behave("rpm", "fail")
        }),
        (
            0,
            "skipped kernel-rpmdb",
            "there is no rpm in the tree",
            |bed| bed.remove("usr/bin/rpm"),
        ),
        (4, "fatal initramfs-present", "no such file", |bed| {
            bed.remove(&format!("{DIR}/initramfs.img"))
        }),
        (4, "fatal initramfs-present", "an empty file", |bed| {
            bed.write(&format!("{DIR}/initramfs.img"), "")
        }),
        (0, "warning initramfs-mode", "mode 0644", |bed| {
            let mode = std::fs::Permissions::from_mode(0o644);
            fs_err::set_permissions(bed.path(&format!("{DIR}/initramfs.img")), mode).unwrap();
        }),
        (
            4,
            "fatal initramfs-readable",
            "archives that the kernel can unpack",
            |bed| {
                bed.write(
                    &format!("{DIR}/initramfs.img"),
                    OLD.initramfs(Fault::Truncated),
                );
            },
        ),
        (
            4,
            "fatal initramfs-kver",
            "6.1.7-100.fc40.x86_64 and no other",
            |bed| {
                bed.write(&format!("{DIR}/initramfs.img"), NEW.initramfs(Fault::None));
            },
        ),
        (4, "fatal initramfs-ostree", "ostree-prepare-root", |bed| {
            bed.write(
                &format!("{DIR}/initramfs.img"),
                OLD.initramfs(Fault::NoOstree),
            );
        }),
        (4, "fatal modules-depmod", "no such file", |bed| {
            bed.remove(&format!("{DIR}/modules.dep"))
        }),
        (0, "warning leftovers", "boot/vmlinuz-5", |bed| {
            bed.write("boot/vmlinuz-5", "")
        }),
    ];
    for (status, check, says, spoil) in table {
        println!("{check}: {says}");
        let bed = Bed::new();
        spoil(&bed);
        let ran = bed.run(&["verify"]);
        ran.ends_with(status).in_order(&[]).untouched();
        let line = ran.stdout.lines().find(|line| line.starts_with(check));
        let is_said = line.is_some_and(|line| line.contains(says));
        ran.require(is_said, &format!("a line was expected: {check} … {says}"));
        let (severity, name) = check.split_once(' ').unwrap();
        if severity == "fatal" || severity == "warning" {
            let ran = bed.run(&["verify", "--format", "json"]);
            let findings = ran.ends_with(status).json()["findings"].clone();
            let found =
                findings.as_array().unwrap().iter().any(|it| {
                    it["check"] == name && it["severity"] == severity && it["remedy"] != ""
                });
            ran.require(found, "the same as JSON");
        }
    }
}

#[test]
fn verify_without_a_kernel() {
    let bed = Bed::new();
    bed.remove(DIR);
    let ran = bed.run(&["verify"]);
    ran.ends_with(1).in_order(&[]).untouched();
    ran.complains(&["error: no directory in usr/lib/modules holds a vmlinuz"]);
}

#[test]
fn verify_lists_its_checks() {
    let ran = Bed::new().run(&["verify", "--list"]);
    ran.ends_with(0).untouched();
    ran.prints(&[
        "kernel-single",
        "initramfs-kver",
        "initramfs-mode",
        "fatal",
        "warning",
    ]);
    ran.require(ran.ran.is_empty(), "it looks at nothing");
}
