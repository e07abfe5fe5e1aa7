// SPDX-License-Identifier: MIT OR Apache-2.0
//! Steps that fail: no later step runs, and temporary files are removed. Leftovers of earlier failures are repaired.

use crate::bed::{Bed, PROGRAMS};
use crate::image::Fault;
use crate::kernels::{NEW, OLD};

const TRANSACTION: &str =
    "rpm-ostree override replace /run/ostree-kernel/packages/kernel-6.9.4-200.fc40.x86_64.rpm";
const INNER: &str = "kernel-install add";
const DEPMOD: &str = "depmod -a 6.9.4-200.fc40.x86_64";
const DRACUT: &str = "dracut --no-hostonly --kver 6.9.4-200.fc40.x86_64";
const OLD_DIR: &str = "usr/lib/modules/6.1.7-100.fc40.x86_64";
const NEW_DIR: &str = "usr/lib/modules/6.9.4-200.fc40.x86_64";

/// Returns a base with cliwrap and without `layout=ostree`, so that `replace` makes all of its temporary changes and
/// must undo them.
fn wrapped(version: &str) -> Bed {
    let bed = Bed::rpm_ostree(version);
    bed.cliwrap();
    bed.remove("usr/lib/kernel/install.conf");
    bed
}

/// The changes of the tree when `replace` turns cliwrap off.
const UNWRAPPED: [&str; 4] = [
    "~usr/bin/dracut",
    "~usr/bin/rpm",
    "-usr/bin/yum",
    "-usr/libexec/rpm-ostree/wrapped",
];

#[test]
fn a_transaction_that_changes_nothing() {
    let table: [(&str, &[&str]); 4] = [
        (
            "fail-before",
            &[
                "error: replacing the kernel with 6.9.4-200.fc40.x86_64: rpm-ostree exited with status 1",
                "Could not depsolve transaction",
                "\nThe kernel 6.1.7-100.fc40.x86_64 is still in place: correct the reported error, then run the same line again\n",
            ],
        ),
        ("killed", &["rpm-ostree was killed by signal 9 (SIGKILL)"]),
        (
            "nothing",
            &[
                "error: usr/lib/modules holds 6.1.7-100.fc40.x86_64, expected 6.9.4-200.fc40.x86_64 only",
                "Run again with -v to read what it printed. Its last lines:\n    | No packages in transaction.\n",
            ],
        ),
        ("silent", &["Run again with -v to read what it printed\n"]),
    ];
    for version in ["2023.5", "2024.8", "2025.6", "2026.2"] {
        for (how, says) in table {
            println!("rpm-ostree {version}: {how}");
            let bed = wrapped(version);
            bed.behave("rpm-ostree", how);
            let ran = bed.run(&["replace", &bed.source()]);
            ran.ends_with(1).in_order(&[TRANSACTION]).complains(says);
            ran.changes(&UNWRAPPED);
        }
    }
}

#[test]
fn dnf_that_changes_nothing() {
    for name in ["dnf", "dnf5"] {
        let transaction = format!("{name} -y");
        for (how, says) in [
            (
                "fail-before",
                format!(
                    "replacing the kernel with {}: {name} exited with status 1",
                    NEW.kver
                ),
            ),
            (
                "nothing",
                format!("holds {}, expected {} only", OLD.kver, NEW.kver),
            ),
        ] {
            let bed = Bed::dnf(name);
            bed.behave(name, how);
            let ran = bed.run(&["replace", &bed.source()]);
            ran.ends_with(1)
                .in_order(&[&transaction])
                .complains(&[&says])
                .changes(&[]);
        }
    }
}

#[test]
fn an_exit_status_proves_nothing() {
    for (bed, backend) in [(Bed::new(), "rpm-ostree"), (Bed::dnf("dnf"), "dnf")] {
        bed.behave(backend, "fail-after");
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0).prints(&["no fatal findings"]).complains(&[
            &format!("warning: {backend} exited with status 1"),
            "warning: the new kernel is installed nevertheless, so the run continues; the tree will be verified",
        ]);
        let order = ran.order();
        ran.require(order[2..4] == [DEPMOD, order[3]], "it went on");
    }
}

#[test]
fn leftovers_of_a_transaction_are_repaired() {
    let bed = Bed::new();
    bed.behave("rpm-ostree", "leave-saves");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    for program in PROGRAMS {
        let path = format!("usr/bin/{program}");
        ran.complains(&[&format!("restoring /{path} from /{path}.rpmostreesave")]);
        ran.require(
            ran.before.file(&path) == ran.after.file(&path),
            &format!("{path} is itself"),
        );
    }
}

#[test]
fn programs_that_rpm_ostree_saved_are_found_by_their_suffix() {
    let saved = "usr/sbin/sss_cache.rpmostreesave";
    let program = "\x7fELF sss_cache";
    for command in ["rebuild", "replace"] {
        let bed = Bed::new();
        bed.program(saved, program);
        bed.run(&["status"]).ends_with(0).prints(&[saved]);
        let ran = bed.run(&["verify"]);
        ran.ends_with(0).prints(&["leftovers", saved]);
        let source = bed.source();
        let ran = match command {
            "replace" => bed.run(&["replace", &source]),
            _ => {
                bed.dracut_makes(OLD, Fault::None);
                bed.run(&["rebuild"])
            }
        };
        ran.ends_with(0);
        let is_back = ran.after.file("usr/sbin/sss_cache") == Some(program.as_bytes());
        ran.require(is_back && ran.after.file(saved).is_none(), "it is back");
    }
}

#[test]
fn a_wrapper_that_was_not_finished_is_no_program() {
    let bed = Bed::new();
    let systemctl = "usr/bin/systemctl";
    let real = fs_err::read(bed.path(systemctl)).unwrap();
    let saved = bed.path(&format!("{systemctl}.rpmostreesave"));
    fs_err::rename(bed.path(systemctl), saved).unwrap();
    bed.write(systemctl, "");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    ran.require(
        ran.after.file(systemctl) == Some(&real[..]),
        "systemctl is itself",
    );
}

#[test]
fn leftovers_of_a_killed_run_are_repaired() {
    // These files are left by runs with rpm-ostree 2024.8 and 2025.6 that were killed during their transactions.
    let bed = Bed::new();
    bed.behave("rpm-ostree", "nothing");
    let layout = "# Put here by ostree-kernel for the time of one transaction.\nlayout=ostree\n";
    let conf = "usr/lib/kernel/install.conf";
    fs_err::rename(
        bed.path(conf),
        bed.path(&format!("{conf}.ostree-kernel-saved")),
    )
    .unwrap();
    bed.write(conf, layout);
    bed.write("etc/kernel/install.conf.d/zz-ostree-kernel.conf", layout);
    let quiet = "usr/lib/dracut/dracut.conf.d/zzz-ostree-kernel.conf";
    bed.write(
        quiet,
        "# Put here by ostree-kernel for the time of one dracut run.\nsysloglvl=0\nkmsgloglvl=0\nfileloglvl=0\n",
    );
    bed.write(
        "usr/lib/.ostree-kernel-aside/6.9.4-kmods/extra/zfs.ko",
        "zfs",
    );
    bed.write("usr/lib/.ostree-kernel/dracut.x/half", "half");
    bed.write("run/ostree-kernel/packages/000.rpm", "half");
    bed.write("run/ostree-kernel/lock", "");
    bed.program("usr/bin/useradd.rpmostreesave", "\x7fELF the real useradd");
    bed.program("usr/bin/useradd", "#!/bin/sh\n");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).in_order(&[TRANSACTION]).changes(&[
        "-etc/kernel",
        "-run/ostree-kernel/lock",
        "-run/ostree-kernel/packages",
        "~usr/bin/useradd",
        "-usr/bin/useradd.rpmostreesave",
        "-usr/lib/.ostree-kernel",
        "-usr/lib/.ostree-kernel-aside",
        "-usr/lib/dracut/dracut.conf.d/zzz-ostree-kernel.conf",
        "~usr/lib/kernel/install.conf",
        "-usr/lib/kernel/install.conf.ostree-kernel-saved",
        "+usr/lib/modules/6.9.4-kmods",
    ]);
    ran.require(
        ran.after.file(conf) == Some(b"layout=ostree\n"),
        "the base's own is back",
    );
}

#[test]
fn partial_files_of_a_killed_rpm_or_depmod_are_removed() {
    let good = Bed::new();
    let good = good.run(&["replace", &good.source()]);
    for base in [Bed::new, || wrapped("2024.8"), || Bed::dnf("dnf")] {
        let bed = base();
        let module = format!("{NEW_DIR}/kernel/fs/overlayfs/overlay.ko");
        bed.write(&format!("{module};6b05e707"), "half");
        bed.write(&module, "half");
        bed.write(
            &format!("{NEW_DIR}/modules.symbols.bin.199.544824.1795550183"),
            "",
        );
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0);
        let is_left = |path: &&str| path.contains(';') || path.contains("bin.199");
        let left = ran.after.paths().find(is_left);
        ran.require(left.is_none(), "what was half made is gone");
        let same = ran.after.file(&module) == good.after.file(&module);
        ran.require(same, "the module is the package's");
    }
}

#[test]
fn a_transaction_that_loses_the_kernel() {
    let table = [
        (
            "lose-vmlinuz",
            "error: usr/lib/modules holds no kernel, expected 6.9.4-200.fc40.x86_64 only",
        ),
        (
            "keep-old",
            "holds 6.1.7-100.fc40.x86_64, 6.9.4-200.fc40.x86_64, expected 6.9.4-200.fc40.x86_64 only",
        ),
        (
            "half",
            "the transaction is incomplete, whatever its exit status. Not installed: kernel-modules-6.9.4-200.fc40.x86_64.",
        ),
    ];
    for (how, says) in table {
        println!("{how}");
        let bed = Bed::new();
        let stay = format!("stub/stay/{OLD_DIR}/vmlinuz");
        bed.write(&stay, crate::image::vmlinuz(OLD.kver));
        bed.behave("rpm-ostree", how);
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(1)
            .in_order(&[TRANSACTION, INNER])
            .complains(&[says]);
        let has_initramfs = ran.after.file(&format!("{NEW_DIR}/initramfs.img"));
        ran.require(has_initramfs.is_none(), "no initramfs was made");
    }
}

#[test]
fn a_transaction_that_fails_half_way() {
    let bed = Bed::new();
    bed.behave("rpm-ostree", "lose-vmlinuz fail-after");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).in_order(&[TRANSACTION, INNER]).complains(&[
        "rpm-ostree exited with status 1",
        "\n    | error: Error -1 running transaction\nPackages may be half replaced: build the layer again\n",
    ]);
}

#[test]
fn a_kernel_that_no_package_owns() {
    let bed = Bed::new();
    fs_err::write(bed.path("stub/come/usr/share/rpm/kernel-core.files"), "").unwrap();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).in_order(&[TRANSACTION, INNER]);
    ran.complains(&["no package owns /usr/lib/modules/6.9.4-200.fc40.x86_64/vmlinuz"]);
}

#[test]
fn removed_and_kept_leftovers() {
    let bed = Bed::new();
    let legacy = [
        "boot/vmlinuz-6.1.7-100.fc40.x86_64",
        "boot/.vmlinuz-6.1.7-100.fc40.x86_64.hmac",
        "boot/initramfs-6.1.7-100.fc40.x86_64.img",
        "boot/symvers-6.1.7-100.fc40.x86_64.xz",
        "usr/lib/ostree-boot/vmlinuz-6.1.7-100.fc40.x86_64-0123",
        "usr/lib/ostree-boot/initramfs-6.1.7-100.fc40.x86_64.img-0123",
    ];
    for path in legacy {
        bed.write(path, "old");
    }
    bed.write("boot/efi/EFI/fedora/shim.efi", "somebody else's");
    bed.write("boot/loader/entries/x.conf", "somebody else's");
    bed.write("usr/lib/modules/5.19.0-nobody/kernel/stale.ko", "stale");
    // An administrator's keys, which dracut's module modsign copies, and files of RHEL's kernel-abi-stablelists.
    bed.write("usr/lib/modules/keys/my.der", "key");
    bed.write("usr/lib/modules/kabi-rhel90/kabi_stablelist_x86_64", "list");
    bed.write("usr/lib/modules/notes/README", "of the administrator");
    bed.write("usr/lib/modules/6.9.0-kmods/extra/zfs.ko", "zfs");
    bed.write("usr/lib/modules/6.8.0-lists/modules.order", "");
    bed.write(
        "usr/share/rpm/zfs.files",
        "/usr/lib/modules/6.9.0-kmods/extra/zfs.ko\n/usr/lib/modules/6.8.0-lists\n\
         /usr/lib/modules/kabi-rhel90\n",
    );
    bed.write("usr/share/rpm/zfs.pkg", "N\tzfs\t0\t2\t1\tx86_64\t(none)\n");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0).prints(&["kernel "]).complains(&[
        "keeping /usr/lib/modules/6.9.0-kmods: a package owns files in it",
        "keeping /usr/lib/modules/6.8.0-lists: a package owns files in it",
    ]);
    // These directories do not belong to kernels: they stay, and no line about them is printed.
    for name in ["keys", "kabi-rhel90", "notes"] {
        let kept = format!("keeping /usr/lib/modules/{name}");
        ran.require(!ran.stderr.contains(&kept), "a line without use");
    }
    let mut changes: Vec<_> = legacy.iter().map(|path| format!("-{path}")).collect();
    changes.extend(
        [
            "-usr/lib/modules/5.19.0-nobody",
            "-usr/lib/modules/6.1.7-100.fc40.x86_64",
            "+usr/lib/modules/6.9.4-200.fc40.x86_64",
            "+usr/share/ostree-kernel",
            "~usr/share/rpm",
        ]
        .map(str::to_owned),
    );
    changes.sort_by(|a, b| a[1..].cmp(&b[1..]));
    let changes: Vec<_> = changes.iter().map(String::as_str).collect();
    ran.changes(&changes);
}

/// The changes of a run that ends after its transaction and before its commit.
const UP_TO_GENERATE: [&str; 3] = [
    "-usr/lib/modules/6.1.7-100.fc40.x86_64",
    "+usr/lib/modules/6.9.4-200.fc40.x86_64",
    "~usr/share/rpm",
];

#[test]
fn generate_fails() {
    let generating = "error: generating the initramfs for 6.9.4-200.fc40.x86_64: ";
    let table: [(&str, &str, &[&str]); 10] = [
        (
            "dracut",
            "skipping",
            &[
                "the kernel is built without support for an initramfs (CONFIG_BLK_DEV_INITRD in /usr/lib/modules/6.9.4-200.fc40.x86_64/config)",
            ],
        ),
        (
            "dracut",
            "not-included",
            &[
                "dracut exited with status 0, but reported missing parts:",
                "/etc/mine doesn't exist",
            ],
        ),
        (
            "dracut",
            "harmful fail",
            &[
                "dracut exited with status 1",
                "\nBefore that it reported missing parts:\n    | dracut[E]: FAILED: ",
                "-a mount.nfs\nInstall what is missing in an earlier RUN line",
            ],
        ),
        (
            "dracut",
            "full fail",
            &[
                "dracut exited with status 1",
                "No space left on device\nFree space on the file system of /usr/lib",
            ],
        ),
        (
            "depmod",
            "fail",
            &["depmod exited with status 1", "could not open directory"],
        ),
        (
            "dracut",
            "fail",
            &["dracut exited with status 1", "dracut[F]: Creation of"],
        ),
        (
            "dracut",
            "killed",
            &["dracut was killed by signal 9 (SIGKILL)"],
        ),
        (
            "dracut",
            "harmful",
            &[
                "dracut exited with status 0, but reported missing parts:",
                "-a mount.nfs",
                "omit_dracutmodules",
            ],
        ),
        (
            "dracut",
            "no-file",
            &["dracut exited with status 0, but wrote no file"],
        ),
        (
            "dracut",
            "empty",
            &["dracut exited with status 0, but its output file is empty"],
        ),
    ];
    for (program, how, says) in table {
        println!("{program}: {how}");
        for bed in [Bed::new(), wrapped("2025.6"), wrapped("2024.8")] {
            bed.behave(program, how);
            let is_wrapped = bed.path("usr/bin/yum").exists();
            let ran = bed.run(&["replace", &bed.source()]);
            ran.ends_with(1)
                .complains(&[generating])
                .complains(says)
                .prints(&[]);
            let order = ran.order();
            let last = if program == "depmod" { DEPMOD } else { DRACUT };
            ran.require(
                order.last().is_some_and(|line| line.starts_with(last)),
                "nothing after it",
            );
            let dracuts = order
                .iter()
                .filter(|line| line.starts_with("dracut"))
                .count();
            ran.require(
                dracuts == usize::from(program == "dracut"),
                "dracut at most once",
            );
            let mut changes = UP_TO_GENERATE.to_vec();
            if is_wrapped {
                changes.extend(UNWRAPPED);
            }
            changes.sort_by(|a, b| a[1..].cmp(&b[1..]));
            ran.changes(&changes);
            // During the transaction, a script replaces dracut. rpm-ostree 2024.8 installs its output as the initramfs:
            // an empty file.
            let initramfs = ran
                .after
                .file(&format!("{NEW_DIR}/initramfs.img"))
                .unwrap_or_default();
            ran.require(initramfs.is_empty(), "no half initramfs");
        }
    }
}

#[test]
fn a_driver_that_nothing_has_is_a_warning_and_a_cause_is_shown() {
    let bed = Bed::new();
    bed.behave("dracut", "no-driver");
    // No configuration file requests the missing driver by its name: another module needs it. That is an error.
    bed.run(&["replace", &bed.source()]).ends_with(1).complains(&[
        "reported missing parts:\n    | dracut-install: Failed to find module 'nvidia_peermem'\n    | dracut[E]: FAILED: ",
    ]);
    let bed = Bed::new();
    bed.behave("dracut", "no-driver");
    bed.write(
        "etc/dracut.conf.d/99-nvidia.conf",
        "force_drivers+=\" nvidia_peermem ext4 \"\n",
    );
    let ran = bed.run(&["replace", &bed.source()]);
    let says = "the driver nvidia_peermem, requested by /etc/dracut.conf.d/99-nvidia.conf, exists neither in the kernel nor in the base's initramfs; dracut stopped at it and did not add ext4 from the same list";
    ran.ends_with(0).complains(&[says]);
    let warnings = ran.report()["warnings"].to_string();
    ran.require(warnings.contains("99-nvidia.conf"), &warnings);
}

#[test]
fn harmless_errors_of_dracut_are_ignored() {
    let bed = Bed::new();
    bed.behave("dracut", "harmless");
    bed.run(&["replace", &bed.source()])
        .ends_with(0)
        .prints(&["no fatal findings"]);
}

#[test]
fn verify_rejects() {
    type Prepare = fn(&Bed);
    let table: [(&str, Prepare, &str); 6] = [
        (
            "another kver",
            |bed| bed.dracut_makes(OLD, Fault::None),
            "fatal initramfs-kver: usr/lib/modules in the initramfs: found 6.1.7-100.fc40.x86_64\n  expected: 6.9.4-200.fc40.x86_64 and no other\n",
        ),
        (
            "no ostree",
            |bed| bed.dracut_makes(NEW, Fault::NoOstree),
            "fatal initramfs-ostree: usr/lib/ostree/ostree-prepare-root in the initramfs: found no such file",
        ),
        (
            "a wrapper",
            |bed| bed.dracut_makes(NEW, Fault::Wrapper),
            "fatal initramfs-wrappers: usr/bin/systemctl in the initramfs: found a shell script",
        ),
        (
            "cut off",
            |bed| bed.dracut_makes(NEW, Fault::Truncated),
            "fatal initramfs-readable: ",
        ),
        (
            "no archive",
            |bed| bed.write("stub/initramfs.img", "hello"),
            "fatal initramfs-readable: ",
        ),
        (
            "another vmlinuz",
            |bed| {
                bed.write(
                    &format!("stub/come/{NEW_DIR}/vmlinuz"),
                    crate::image::vmlinuz("6.9.4-200.x86_64"),
                );
            },
            "fatal kernel-release: usr/lib/modules/6.9.4-200.fc40.x86_64/vmlinuz: found a kernel of the release 6.9.4-200.x86_64",
        ),
    ];
    for (name, prepare, says) in table {
        println!("{name}");
        for bed in [Bed::new(), Bed::dnf("dnf5")] {
            bed.write("var/cache/x", "cache");
            prepare(&bed);
            let ran = bed.run(&["replace", &bed.source()]);
            ran.ends_with(4)
                .prints(&[says, "not fit to boot: ", "; nothing was committed"]);
            let last = ran
                .order()
                .last()
                .is_some_and(|line| line.starts_with(DRACUT));
            ran.require(last, "nothing after dracut");
            let advice = ["ostree-kernel rebuild", "reinstall"];
            let is_done = advice.iter().any(|it| ran.stdout.contains(it));
            ran.require(!is_done, "no remedy is what the run has just done");
            ran.changes(&UP_TO_GENERATE);
            let path = format!("{NEW_DIR}/initramfs.img");
            ran.require(ran.after.file(&path).is_none(), "the candidate is gone");
        }
    }
}

#[test]
fn a_kernel_that_cannot_be_read_is_not_committed() {
    let bed = Bed::new();
    bed.write(&format!("stub/come/{NEW_DIR}/vmlinuz"), "no kernel");
    let ran = bed.run(&["replace", "--format", "json", &bed.source()]);
    ran.ends_with(1)
        .in_order(&[TRANSACTION, INNER, DEPMOD, DRACUT])
        .changes(&UP_TO_GENERATE);
    ran.require(ran.json()["outcome"] == "unknown", "the outcome is unknown");
}

#[test]
fn rebuild_that_is_rejected_keeps_the_old_initramfs() {
    let bed = Bed::new();
    bed.dracut_makes(NEW, Fault::None);
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(4)
        .in_order(&["depmod -a", "dracut --no-hostonly"]);
    ran.changes(&[&format!("~{OLD_DIR}/modules.dep")]);
}

#[test]
fn commit_fails() {
    let table: [(&str, &str, &[&str], &str); 2] = [
        (
            "rpm-ostree",
            "fail-cleanup",
            &["rpm-ostree cleanup"],
            "error: committing: rpm-ostree exited with status 1",
        ),
        (
            "ostree",
            "fail",
            &["rpm-ostree cleanup", "ostree container commit"],
            "error: committing: ostree exited with status 1",
        ),
    ];
    for (program, how, last, says) in table {
        let bed = Bed::new();
        bed.behave(program, how);
        let ran = bed.run(&["replace", &bed.source()]);
        let order = [&[TRANSACTION, INNER, DEPMOD, DRACUT], last].concat();
        ran.ends_with(1).in_order(&order).complains(&[
            says,
            "\nThe new initramfs is verified and in place, and caches are not cleaned yet: ",
        ]);
        ran.require(
            !ran.stdout.contains("no fatal findings"),
            "no success is told",
        );
    }
}

#[test]
fn every_outcome_has_a_report() {
    type Prepare = fn(&Bed);
    let table: [(i32, &str, &str, Prepare); 6] = [
        (0, "committed", "replace", |_| {}),
        (3, "refused", "replace", |bed| bed.remove("usr/bin/depmod")),
        (1, "failed", "replace", |bed| bed.behave("dracut", "fail")),
        (4, "rejected", "replace", |bed| {
            bed.dracut_makes(OLD, Fault::None)
        }),
        (1, "unknown", "replace", |bed| {
            bed.write(&format!("stub/come/{NEW_DIR}/vmlinuz"), "no kernel");
        }),
        (4, "rejected", "verify", |bed| {
            bed.remove(&format!("{OLD_DIR}/initramfs.img"))
        }),
    ];
    for (status, outcome, command, prepare) in table {
        println!("{command}: {outcome}");
        let bed = Bed::new();
        prepare(&bed);
        let file = bed.beside("out").join("report.json");
        let mut args = vec![
            command.to_owned(),
            "--report".into(),
            file.to_str().unwrap().into(),
        ];
        if command == "replace" {
            args.push(bed.source());
        }
        let ran = bed.run(&args);
        ran.ends_with(status);
        let report = fs_err::read(&file).unwrap_or_default();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap_or_default();
        let says = format!("the report says {outcome}, found {report:#}");
        ran.require(report["outcome"] == outcome, &says);
        let in_image = ran
            .after
            .file("usr/share/ostree-kernel/report.json")
            .is_some();
        ran.require(
            in_image == (status == 0),
            "the image has one when it is committed",
        );
    }
}

#[test]
fn an_unreadable_rpmdb_is_an_error() {
    let bed = Bed::new();
    crate::rpmdb::write(&bed.root());
    bed.write("usr/share/rpm/rpmdb.sqlite", "an rpmdb that somebody cut");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).untouched().complains(&[
        "reading the rpmdb: reading /usr/share/rpm/rpmdb.sqlite as an SQLite file: ",
        "file is not a database",
    ]);
    let bed = Bed::new();
    bed.write("usr/share/rpm/Packages.db", "RpmP");
    bed.behave("rpm", "fail");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).untouched().complains(&[
        "reading /usr/share/rpm/Packages.db (ndb) with rpm: rpm exited with status 1. It printed:",
        "cannot open Packages database",
    ]);
}
