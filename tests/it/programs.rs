// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--before-dracut`: programs that run between the transaction and dracut.

use crate::bed::Bed;
use crate::kernels::{NEW, OLD};

fn program(bed: &Bed, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = format!("usr/libexec/{name}");
    bed.write(&path, format!("#!/bin/sh\n{text}\n"));
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(bed.path(&path), mode).unwrap();
}

#[test]
fn its_changes_are_in_the_report_and_its_leftovers_are_removed() {
    let bed = Bed::new();
    let text = "cd /usr/lib/modules/$KVER && echo $1 >new && rm modules.order && mkdir -p /var/lib/left/over && \
                echo x >/var/lib/left/over/x && echo x >/tmp/x && echo $KVER >/usr/lib/seen";
    program(&bed, "change", text);
    let line = "/usr/libexec/change argument";
    let dry = bed.run(&[
        "replace",
        "--dry-run",
        "--before-dracut",
        line,
        &bed.source(),
    ]);
    dry.ends_with(0).untouched();
    dry.prints(&["/usr/libexec/change argument"]);
    let ran = bed.run(&["replace", "--before-dracut", line, &bed.source()]);
    ran.ends_with(0);
    let dir = format!("usr/lib/modules/{}", NEW.kver);
    let report = &ran.report()["before_dracut"];
    assert_eq!(report["programs"][0], line);
    assert_eq!(report["added"][0], format!("{dir}/new"));
    assert_eq!(report["removed"][0], format!("{dir}/modules.order"));
    ran.require(ran.after.file("usr/lib/seen").is_some(), "it ran");
    for path in ["var/lib/left", "tmp/x"] {
        ran.require(!bed.path(path).exists(), "it is removed");
    }
    // A second run has nothing to do only if it has the same `--before-dracut`.
    let again = bed.run(&["replace", "--before-dracut", line, &bed.source()]);
    again.ends_with(0).in_order(&[]).untouched();
    let without = bed.run(&["replace", &bed.source()]);
    without.ends_with(0);
    assert!(!without.order().is_empty());
}

#[test]
fn a_program_that_is_missing_or_fails() {
    let bed = Bed::new();
    let missing = bed.run(&[
        "replace",
        "--before-dracut",
        "/usr/libexec/none",
        &bed.source(),
    ]);
    missing.ends_with(3).in_order(&[]).untouched();
    missing.complains(&["--before-dracut /usr/libexec/none: no such program"]);
    program(&bed, "fails", "exit 7");
    let failed = bed.run(&[
        "replace",
        "--before-dracut",
        "/usr/libexec/fails",
        &bed.source(),
    ]);
    failed
        .ends_with(1)
        .complains(&["running fails before dracut", "status 7"]);
    let order = failed.order();
    failed.require(
        !order.iter().any(|it| it.starts_with("dracut")),
        "dracut does not run",
    );
}

#[test]
fn modules_that_a_program_builds_need_no_package() {
    let bed = Bed::new();
    let module = |kver: &str| crate::image::module(kver, "zfs");
    let old = format!("usr/lib/modules/{}/updates/dkms/zfs.ko", OLD.kver);
    bed.write(&old, module(OLD.kver));
    bed.run(&["replace", &bed.source()]).ends_with(3);
    bed.write("usr/libexec/zfs.ko", module(NEW.kver));
    let build = "mkdir -p /usr/lib/modules/$KVER/extra && cp /usr/libexec/zfs.ko /usr/lib/modules/$KVER/extra/";
    program(&bed, "build", build);
    let line = [
        "replace",
        "--before-dracut",
        "/usr/libexec/build",
        &bed.source(),
    ];
    bed.run(&line).ends_with(0);
}
