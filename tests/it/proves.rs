// SPDX-License-Identifier: MIT OR Apache-2.0
//! Equal inputs give equal trees, and `rebuild --prove` checks that dracut is reproducible.

use crate::bed::Bed;
use crate::image::Fault;
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;

#[test]
fn two_runs_come_to_the_same_tree() {
    for base in [Bed::new, || Bed::dnf("dnf5")] {
        let run = || {
            let bed = base();
            let ran = bed.run(&["replace", &bed.source()]);
            ran.ends_with(0);
            ran
        };
        let (one, two) = (run(), run());
        let differs = one.after.differs(&two.after);
        two.require(differs.is_empty(), &format!("another tree: {differs:#?}"));
    }
}

/// Returns a base whose dracut builds the initramfs of the installed kernel.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.write("stub/kver", OLD.kver);
    bed.dracut_makes(OLD, Fault::None);
    bed
}

fn dracuts(ran: &Ran) -> Vec<&str> {
    let order = ran.order().into_iter();
    order.filter(|line| line.starts_with("dracut ")).collect()
}

#[test]
fn two_builds_that_are_the_same_are_committed() {
    let bed = bed();
    let ran = bed.run(&["rebuild", "--prove"]);
    ran.ends_with(0)
        .complains(&["a second build is identical"])
        .prints(&["no fatal findings"]);
    let built = dracuts(&ran);
    ran.require(
        built.len() == 2 && built[0] == built[1],
        "dracut's arguments are in the image, and are the same",
    );
    let dir = format!("usr/lib/modules/{}", OLD.kver);
    ran.changes(&[
        &format!("~{dir}/initramfs.img"),
        &format!("~{dir}/modules.dep"),
        "+usr/share/ostree-kernel",
    ]);
    let mode = ran.after.mode(&format!("{dir}/initramfs.img"));
    ran.require(mode == Some(0o600), "0600");
}

#[test]
fn two_builds_that_differ_are_not_committed_and_the_difference_is_said() {
    let image = OLD.initramfs(Fault::None);
    let mut dated = image.clone();
    // These bytes are the date of the archive's first entry.
    dated[46..54].copy_from_slice(b"0000002a");
    let table = [
        (
            OLD.initramfs(Fault::NoOstree),
            "  - usr/lib/ostree/ostree-prepare-root",
        ),
        (OLD.initramfs(Fault::Wrapper), "  ~ usr/bin/systemctl"),
        (
            dated,
            "The dates of 1 names differ, the first of usr: 0 and 42, in seconds since 1970.",
        ),
    ];
    for (second, says) in table {
        let bed = bed();
        bed.write("stub/initramfs-2.img", second);
        bed.behave("dracut", "unsteady");
        let ran = bed.run(&["rebuild", "--prove"]);
        ran.ends_with(1).complains(&[
            "differ, and nothing was committed",
            "--- the first build\n+++ the second build",
            says,
        ]);
        ran.require(dracuts(&ran).len() == 2, "dracut ran twice");
        ran.changes(&[&format!("~usr/lib/modules/{}/modules.dep", OLD.kver)]);
    }
}

#[test]
fn a_failed_second_build_is_an_error() {
    let bed = bed();
    bed.behave("dracut", "unsteady");
    let ran = bed.run(&["rebuild", "--prove"]);
    ran.ends_with(1).complains(&[&format!(
        "error: generating the initramfs for {} a second time: dracut exited with status 1",
        OLD.kver
    )]);
    ran.changes(&[&format!("~usr/lib/modules/{}/modules.dep", OLD.kver)]);
    assert_ne!(OLD.kver, NEW.kver);
}
