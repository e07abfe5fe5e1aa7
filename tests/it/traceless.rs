// SPDX-License-Identifier: MIT OR Apache-2.0
//! Read-only commands start no program of the tree, and leave no trace in it.

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::bed::Bed;
use crate::kernels::OLD;
use crate::rpmdb;

/// Returns the arguments of every read-only command; each command succeeds on a good tree.
fn looking(bed: &Bed) -> [Vec<String>; 4] {
    let image = format!("/usr/lib/modules/{}/initramfs.img", OLD.kver);
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    [
        words("verify"),
        words("status"),
        ["inspect".to_owned(), image].to_vec(),
        ["replace".to_owned(), "--dry-run".to_owned(), bed.source()].to_vec(),
    ]
}

#[test]
fn no_program_of_the_tree_is_started() {
    for bed in [Bed::new(), Bed::dnf("dnf5")] {
        // Each of these programs leaves a mark if it is started, and [`Bed::run`] fails if there is a mark.
        for name in [
            "rpm",
            "rpm-ostree",
            "dracut",
            "depmod",
            "dnf5",
            "kernel-install",
            "ostree",
            "sh",
        ] {
            bed.remove_if_there(&format!("usr/bin/{name}"));
            bed.program(
                &format!("usr/bin/{name}"),
                &format!(
                    "#!/usr/bin/busybox sh\n# {name}\n/usr/bin/busybox echo ran >>/stub/mark\n"
                ),
            );
        }
        for command in looking(&bed) {
            bed.run(&command).ends_with(0).in_order(&[]).untouched();
        }
    }
}

#[test]
fn a_log_with_data_is_read_and_left_as_it_is() {
    let bed = Bed::new();
    rpmdb::write(&bed.root());
    let dir = bed.path(rpmdb::DIR);
    rpmdb::write_blobs(&dir, &rpmdb::blobs(&bed.root()), true);
    let log = fs_err::metadata(dir.join("rpmdb.sqlite-wal")).unwrap();
    assert!(log.len() > 4096, "{}", log.len());
    for command in looking(&bed) {
        bed.run(&command).ends_with(0).in_order(&[]).untouched();
    }
    // Without the write-ahead log, the rpmdb has no packages.
    fs_err::remove_file(dir.join("rpmdb.sqlite-wal")).unwrap();
    bed.run(&["verify"])
        .ends_with(0)
        .prints(&["no package owns it"]);
}

#[test]
fn a_read_only_mount_can_be_read() {
    let bed = Bed::new();
    rpmdb::write(&bed.root());
    let none: Option<&str> = None;
    let (root, place) = (bed.root(), bed.beside("read-only"));
    mount(Some(&root), &place, none, MsFlags::MS_BIND, none).unwrap();
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let guard = Mounted(&place);
    mount(none, &place, none, flags, none).unwrap();
    for command in ["verify", "status"] {
        let args = [command, "--root", place.to_str().unwrap()].map(str::to_owned);
        let ran = bed.run_exactly(&args, |_| {});
        ran.ends_with(0).in_order(&[]).untouched();
    }
    drop(guard);
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn an_rpmdb_of_another_format_is_for_rpm_and_for_jobs() {
    let bed = Bed::new();
    bed.write("usr/share/rpm/Packages.db", "RpmP");
    let found = "/usr/share/rpm/Packages.db has the format ndb";
    bed.run(&["status"])
        .ends_with(0)
        .in_order(&[])
        .prints(&[found]);
    let dry = bed.run(&["replace", "--dry-run", &bed.source()]);
    dry.ends_with(3)
        .in_order(&[])
        .untouched()
        .complains(&[found]);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    let order = ran.order();
    let questions = order.iter().filter(|line| line.starts_with("rpm -qa --qf"));
    // The steps `survey` and `locate` each run rpm once.
    ran.require(questions.count() == 2, "rpm is asked twice");
}

#[test]
fn a_dry_run_asks_no_repository() {
    let bed = Bed::dnf("dnf5");
    let ran = bed.run(&["replace", "--dry-run", "--from", "updates", "kernel"]);
    ran.ends_with(3).in_order(&[]).untouched();
    ran.complains(&["--dry-run starts no program of the image"]);
}

#[test]
fn packages_that_stayed_are_seen() {
    let bed = Bed::new();
    bed.run(&["replace", &bed.source()]).ends_with(0);
    let text = "N\tkernel-old\t0\t5.0\t1\tx86_64\t(none)\nP\tkernel-uname-r\t=\t5.0\n";
    bed.write("usr/share/rpm/kernel-old.pkg", text);
    bed.write(
        "usr/share/rpm/kernel-old.files",
        "/lib/modules/5.0/vmlinuz\n",
    );
    bed.run(&["replace", &bed.source()])
        .ends_with(3)
        .in_order(&[])
        .complains(&["kernel-old-5.0-1.x86_64", "A transaction was interrupted"]);
    bed.run(&["verify"]).ends_with(0).prints(&[
        "warning kernel-rpmdb: usr/lib/modules/5.0/vmlinuz",
        "installed: kernel-old-5.0-1.x86_64",
    ]);
}
