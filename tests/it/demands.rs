// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--skip`, `--root-fs` and `--root-device` of `replace` and `rebuild` have the same meaning as in `verify`. Requests
//! that the image cannot fulfil are refused.

use serde_json::Value;

use crate::bed::Bed;
use crate::image::Fault;
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;

/// Returns the entry of a check in a report.
fn entry(report: &Value, check: &str) -> Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|it| it["check"] == check);
    found.unwrap().clone()
}

/// Runs `rebuild`, or `replace` with the new kernel, on a new base, with these options.
fn run(command: &str, options: &[&str]) -> Ran {
    let bed = Bed::new();
    let source = bed.source();
    let mut args = vec![command];
    if command == "rebuild" {
        bed.write("stub/kver", OLD.kver);
        bed.dracut_makes(OLD, Fault::None);
    } else {
        bed.dracut_makes(NEW, Fault::None);
        args.push(&source);
    }
    args.extend(options);
    bed.run(&args)
}

#[test]
fn a_file_system_that_the_image_cannot_mount_is_fatal() {
    for command in ["replace", "rebuild"] {
        for wanted in [["--root-fs", "xfs"], ["--root-device", "nvme"]] {
            let ran = run(command, &wanted);
            ran.ends_with(4)
                .prints(&["fatal initramfs-root-drivers", wanted[1]]);
            run(command, &["--root-fs", "overlay"]).ends_with(0);
        }
    }
}

#[test]
fn a_check_that_is_left_out_is_in_the_report() {
    const CHECK: &str = "initramfs-root-drivers";
    for command in ["replace", "rebuild"] {
        let ran = run(command, &["--root-fs", "xfs", "--skip", CHECK]);
        ran.ends_with(0);
        let skipped = entry(&ran.report(), CHECK);
        ran.require(skipped["answer"] == "skipped", "the report says so");
        ran.require(
            skipped["why"] == "excluded with --skip",
            "the report says why",
        );
        run(command, &["--skip", "no-such-check"]).ends_with(2);
    }
}

#[test]
fn new_requirements_are_checked_after_an_earlier_run() {
    let bed = Bed::new();
    bed.run(&["replace", &bed.source()]).ends_with(0);
    let again = bed.run(&["replace", &bed.source(), "--root-fs", "xfs"]);
    again.ends_with(4).prints(&["fatal initramfs-root-drivers"]);
}

#[test]
fn arguments_that_the_images_dracut_does_not_have_are_refused_first() {
    let script = "#!/bin/bash\n# dracut\nTEMP=$(getopt -o \"a:f\" --long kver: --long add: --long strip -- \"$@\")\n";
    for (argument, says) in [
        (
            "--stripp",
            "--stripp for dracut: the dracut of the image has no such option",
        ),
        (
            "/tmp/out.img",
            "/tmp/out.img for dracut belongs to no option",
        ),
        ("--add", "--add for dracut needs a value"),
        (
            "--no-kernel",
            "the argument --no-kernel for dracut: with it",
        ),
    ] {
        for command in [&["replace", "--dry-run"][..], &["replace"], &["rebuild"]] {
            let bed = Bed::new();
            bed.write("usr/bin/dracut", script);
            let source = bed.source();
            let mut args = command.to_vec();
            if command[0] == "replace" {
                args.push(&source);
            }
            args.extend(["--", argument]);
            let ran = bed.run(&args);
            ran.ends_with(3)
                .in_order(&[])
                .untouched()
                .complains(&[says]);
        }
    }
}

#[test]
fn impossible_requests_are_refused_before_anything_changes() {
    for command in ["replace", "rebuild"] {
        for (options, says) in [
            (
                &["--compress", "zsdt -9"][..],
                "there is no program zsdt in the image",
            ),
            (&["--compress", ""], "it names no program"),
            (
                &["--compress", "zstd --levle=9"],
                "Incorrect parameter: --levle",
            ),
            (&["--", "--lzo"], "there is no program lzo in the image"),
            (
                &["--require-driver", "nonesuch"],
                "no such driver: nonesuch",
            ),
            (
                &["--", "--add-drivers", "overlay btrfz"],
                "no such driver: btrfz",
            ),
            (
                &["--", "--add", "nonesuch"],
                "the image has no dracut module nonesuch",
            ),
            (
                &["--", "--include", "/nowhere", "/etc/x"],
                "--include /nowhere: no such file",
            ),
        ] {
            let ran = run(command, options);
            ran.ends_with(3)
                .in_order(&[])
                .untouched()
                .complains(&[says]);
        }
        for options in [
            &["--compress", "zstd -9"][..],
            &["--require-driver", "overlay"],
        ] {
            run(command, options).ends_with(0);
        }
    }
}

#[test]
fn options_without_effect_are_usage_errors() {
    let bed = Bed::new();
    for (option, check) in [
        (&["--root-fs", "xfs"][..], "initramfs-root-drivers"),
        (&["--for", "iso"], "initramfs-root-drivers"),
        (&["--boot-size", "384M"], "boot-space"),
        (&["--esp-size", "1G"], "boot-space"),
        (&["--grub-memory"], "boot-space"),
    ] {
        let ran = bed.run(&[&["verify", "--only", "os-release"], option].concat());
        ran.ends_with(2)
            .complains(&[&format!("Add --only {check}")]);
    }
    for command in ["verify", "rebuild"] {
        let ran = bed.run(&[command, "--boot-deployments", "3"]);
        ran.ends_with(2).untouched();
    }
    // An option gets an empty argument if a variable in a Containerfile is not set.
    for option in ["--root-fs", "--require-driver", "--before-dracut"] {
        for empty in ["", " "] {
            let ran = bed.run(&["rebuild", option, empty]);
            ran.ends_with(2).untouched();
            ran.complains(&["expected a value that is not empty"]);
        }
    }
}
