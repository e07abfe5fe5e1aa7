// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots that reach the real root, and boots that do not.

use crate::checks::Answer;
use crate::checks::testing::{Bench, Dynamic};

const VENDOR: &str = "usr/lib/systemd/system";
const ETC: &str = "etc/systemd/system";

fn findings(break_it: impl FnOnce(&mut Bench)) -> Vec<String> {
    let mut bench = Bench::good();
    break_it(&mut bench);
    bench.findings("initramfs-units")
}

fn unit(bench: &mut Bench, name: &str, text: &str) {
    bench.put(&format!("{VENDOR}/{name}"), text.as_bytes());
}

fn etc(bench: &mut Bench, name: &str, text: &str) {
    bench.put(&format!("{ETC}/{name}"), text.as_bytes());
}

fn want(bench: &mut Bench, link: &str) {
    let name = link.rsplit('/').next().unwrap();
    bench.link(&format!("{ETC}/{link}"), &format!("/{VENDOR}/{name}"));
}

#[test]
fn the_good_one() {
    assert_eq!(findings(|_| ()), [""; 0]);
}

type Break = fn(&mut Bench);

/// Adds ostree's program and its unit.
fn with_ostree(bench: &mut Bench) {
    let program = bench.inside["usr/bin/true"].data.clone();
    bench.put("usr/lib/ostree/ostree-prepare-root", &program);
    bench.put("etc/initrd-release", b"NAME=x\n");
    let name = "ostree-prepare-root.service";
    let text = "[Unit]\nDefaultDependencies=no\nRequires=sysroot.mount\nAfter=sysroot.mount\n[Service]\nType=oneshot\nExecStart=/usr/lib/ostree/ostree-prepare-root /sysroot\n";
    unit(bench, name, text);
    want(bench, &format!("initrd-root-fs.target.wants/{name}"));
}

/// Adds ostree and the programs for which systemd-fstab-generator writes a unit that checks the root's file system.
fn checked_root(bench: &mut Bench) {
    for path in ["usr/lib/systemd/systemd-fsck", "usr/sbin/fsck"] {
        bench.link(path, "/usr/bin/true");
    }
    with_ostree(bench);
}

#[test]
fn fsck_of_the_root() {
    let mut bench = Bench::good();
    checked_root(&mut bench);
    assert_eq!(bench.findings("initramfs-ostree"), [""; 0]);
    assert_eq!(bench.findings("initramfs-units"), [""; 0]);
    assert_eq!(bench.findings("initramfs-init"), [""; 0]);
    // fsck runs the program for the type of the file system.
    bench.put(
        "usr/sbin/fsck.ext4",
        &Dynamic::program(&["libgone.so.1"]).elf(),
    );
    let found = bench.findings("initramfs-init");
    assert!(found[0].starts_with("fatal libgone.so.1 in"), "{found:?}");
    bench.inside.remove("usr/sbin/fsck.ext4");
    // systemd-fsck runs fsck. If a signal ends it, the boot fails.
    let mut cut = bench.inside["usr/bin/true"].data.clone();
    cut.truncate(cut.len() / 2);
    bench.put("usr/sbin/fsck", &cut);
    let found = bench.findings("initramfs-init");
    assert!(found[0].starts_with("fatal usr/sbin/fsck in"), "{found:?}");
    bench.link("usr/sbin/fsck", "/usr/bin/true");
    bench.inside.remove("usr/lib/systemd/systemd-fsck");
    let found = bench.findings("initramfs-init");
    let expected = "fatal usr/lib/systemd/systemd-fsck in the initramfs: no such program; present in the initramfs: systemd-fsck-root.service runs it";
    assert!(found[0].starts_with(expected), "{found:?}");
    // Without fsck, the generator does not write the unit that runs systemd-fsck.
    bench.inside.remove("usr/sbin/fsck");
    assert_eq!(bench.findings("initramfs-init"), [""; 0]);
}

#[test]
fn faults_that_prevent_the_switch_to_the_root() {
    let cases: [(&str, Break); 23] = [
        (
            "etc/systemd/system/initrd-cleanup.service in the initramfs: a masked unit",
            |it| it.link(&format!("{ETC}/initrd-cleanup.service"), "/dev/null"),
        ),
        (
            "etc/systemd/system/initrd.target in the initramfs: a masked unit",
            |it| etc(it, "initrd.target", ""),
        ),
        (
            "initrd-root-fs.target in the initramfs: no such unit",
            |it| {
                it.inside.remove(&format!("{VENDOR}/initrd-root-fs.target"));
            },
        ),
        ("systemd refuses: it has no ExecStart=", |it| {
            unit(
                it,
                "initrd-switch-root.service",
                "[Unit]\nDescription=Switch\n",
            )
        }),
        (
            "initrd-cleanup.service in the initramfs: a unit that systemd refuses: line 2 starts",
            |it| unit(it, "initrd-cleanup.service", "[Unit]\n[Servi"),
        ),
        (
            "no ExecStart=: etc/systemd/system/systemd-udevd.service.d/a.conf resets it",
            |it| {
                etc(
                    it,
                    "systemd-udevd.service.d/a.conf",
                    "[Service]\nExecStart=\n",
                )
            },
        ),
        (
            "initrd-cleanup.service in the initramfs: a unit that systemd refuses: it has more",
            |it| {
                etc(
                    it,
                    "initrd-.service.d/a.conf",
                    "[Service]\nType=simple\nExecStart=/usr/bin/true\n",
                );
            },
        ),
        ("ConditionPathExists=!/usr/bin/true, which is false", |it| {
            etc(
                it,
                "service.d/a.conf",
                "[Unit]\nConditionPathExists=!/usr/bin/true\n",
            )
        }),
        (
            "AssertFileIsExecutable=/usr/bin/gone, which is false",
            |it| {
                etc(
                    it,
                    "initrd.target.d/a.conf",
                    "[Unit]\nAssertFileIsExecutable=/usr/bin/gone\n",
                )
            },
        ),
        ("gone.service in the initramfs: no such unit", |it| {
            want(it, "basic.target.requires/gone.service")
        }),
        (
            "gone.target in the initramfs: no such unit; gone.target, which basic.target requires",
            |it| {
                etc(
                    it,
                    "basic.target.d/a.conf",
                    "[Unit]\nRequires=gone.target\n",
                )
            },
        ),
        ("dev-gone.device in the initramfs: a device", |it| {
            want(it, "initrd.target.requires/dev-gone.device")
        }),
        (
            "an ordering cycle of units: initrd.target, basic.target",
            |it| {
                etc(
                    it,
                    "initrd.target.d/a.conf",
                    "[Unit]\nBefore=basic.target\nAfter=basic.target\n",
                );
            },
        ),
        (
            "service.d/a.conf in the initramfs: User=gone, which etc/passwd does",
            |it| {
                etc(
                    it,
                    "systemd-udevd.service.d/a.conf",
                    "[Service]\nUser=gone\n",
                )
            },
        ),
        (
            "PrivateMounts=yes, so that its mounts exist only in a namespace",
            |it| {
                with_ostree(it);
                etc(
                    it,
                    "ostree-prepare-root.service.d/a.conf",
                    "[Service]\nPrivateMounts=yes\n",
                );
            },
        ),
        (
            "it has Restart=always or on-success, which Type=oneshot",
            |it| {
                etc(it, "service.d/a.conf", "[Service]\nRestart=always\n");
            },
        ),
        ("dbus.socket in the initramfs: no such unit", |it| {
            let text = "[Service]\nType=dbus\nBusName=a.b\n";
            etc(it, "systemd-udevd.service.d/a.conf", text);
        }),
        (
            "it has no AllowIsolate=yes, and initrd-cleanup.service isolates it",
            |it| {
                unit(
                    it,
                    "initrd-switch-root.target",
                    "[Unit]\nWants=initrd-switch-root.service\n",
                )
            },
        ),
        (
            "it has RefuseManualStart=yes, and initrd-cleanup.service starts it",
            |it| {
                let text = "[Unit]\nRefuseManualStart=yes\n";
                etc(it, "initrd-switch-root.target.d/a.conf", text);
            },
        ),
        ("initramfs: Conflicts=systemd-udev-trigger.service", |it| {
            let text = "[Unit]\nConflicts=systemd-udev-trigger.service\n";
            etc(it, "systemd-udevd.service.d/a.conf", text);
        }),
        ("ConditionArchitecture=arm64, which is false", |it| {
            etc(
                it,
                "initrd-cleanup.service.d/a.conf",
                "[Unit]\nConditionArchitecture=arm64\n",
            )
        }),
        (
            "systemd-fsck-root.service in the initramfs: a masked unit",
            |it| {
                checked_root(it);
                it.link(&format!("{ETC}/systemd-fsck-root.service"), "/dev/null");
            },
        ),
        (
            "a unit that initrd.target starts neither directly nor indirectly",
            |it| unit(it, "initrd.target", "[Unit]\nRequires=basic.target\n"),
        ),
    ];
    for (expected, break_it) in cases {
        let found = findings(break_it);
        let fatal = found.iter().filter(|it| it.starts_with("fatal "));
        let fits = fatal.filter(|it| it.contains(expected)).count();
        assert!(fits > 0, "{expected}: {found:#?}");
    }
}

#[test]
fn faults_that_do_not_prevent_the_switch_to_the_root() {
    let cases: [(&str, Break); 12] = [
        // A masked unit that no unit requires.
        ("", |it| it.link(&format!("{ETC}/a.service"), "/dev/null")),
        // A link to /dev/null in etc/ masks the drop-in with the same name in usr/lib/.
        ("", |it| {
            unit(
                it,
                "systemd-udevd.service.d/a.conf",
                "[Service]\nExecStart=\n",
            );
            it.link(
                &format!("{ETC}/systemd-udevd.service.d/a.conf"),
                "/dev/null",
            );
        }),
        ("", |it| {
            let text = "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-udevd \\\n  -d\n";
            etc(it, "systemd-udevd.service.d/a.conf", text);
        }),
        // An alias of a unit.
        ("", |it| {
            it.link(
                &format!("{ETC}/other.target"),
                "/usr/lib/systemd/system/initrd-root-fs.target",
            );
            let text = "[Unit]\nRequires=other.target\nAfter=other.target\n";
            etc(it, "initrd-parse-etc.service.d/a.conf", text);
        }),
        // Conditions that hold, are reset, or are only known at run time.
        ("", |it| {
            let text = "[Unit]\nConditionPathExists=/usr/gone\nConditionPathExists=\n\
                        ConditionPathExists=|/usr/gone\nConditionPathExists=|/usr/bin/true\n\
                        ConditionKernelCommandLine=x\nConditionPathExists=/run/x\n";
            etc(it, "initrd-switch-root.service.d/a.conf", text);
        }),
        ("", |it| {
            let text = "[Unit]\nConditionKernelVersion=|<3.0\nConditionKernelVersion=|>=4.0\n";
            etc(it, "initrd-switch-root.service.d/a.conf", text);
        }),
        // Units that conflict, but are not in the same transaction.
        ("", |it| {
            etc(
                it,
                "systemd-udevd.service.d/a.conf",
                "[Unit]\nConflicts=initrd-switch-root.target\n",
            )
        }),
        // A missing program whose failure systemd ignores.
        ("", |it| {
            etc(
                it,
                "initrd-cleanup.service.d/a.conf",
                "[Service]\nExecStartPre=-/usr/bin/gone\n",
            )
        }),
        // Mounts and slices without a file, which generators and systemd create.
        ("", |it| {
            let text = "[Unit]\nRequires=sysroot.mount x.slice\n[Service]\nSlice=x.slice\n";
            etc(it, "initrd-cleanup.service.d/a.conf", text);
        }),
        (
            "warning dev-disk-by\\x2dlabel-root.device in the initramfs: a device",
            |it| {
                want(
                    it,
                    "initrd.target.requires/dev-disk-by\\x2dlabel-root.device",
                )
            },
        ),
        (
            "warning usr/lib/systemd/system/initrd.target in the initramfs: an ordering cycle of units: initrd.target, a.service",
            |it| {
                let text = "[Unit]\nAfter=initrd.target\n[Service]\nExecStart=/usr/bin/true\n";
                unit(it, "a.service", text);
                unit(it, "sysinit.target", "[Unit]\n");
                etc(
                    it,
                    "initrd.target.d/a.conf",
                    "[Unit]\nWants=a.service\nAfter=a.service\n",
                );
            },
        ),
        (
            "warning usr/lib/systemd/system/a.service in the initramfs: line 3 has no `=`",
            |it| {
                unit(
                    it,
                    "a.service",
                    "[Service]\nExecStart=/usr/bin/true\nRemainAf",
                );
                unit(it, "sysinit.target", "[Unit]\n");
                etc(it, "initrd.target.d/a.conf", "[Unit]\nWants=a.service\n");
            },
        ),
    ];
    for (expected, change) in cases {
        let found = findings(change);
        match expected {
            "" => assert_eq!(found, [""; 0]),
            _ => {
                assert_eq!(found.len(), 1, "{expected}: {found:#?}");
                assert!(found[0].starts_with(expected), "{expected}: {found:#?}");
            }
        }
    }
}

#[test]
fn hostile_units() {
    // More edges than the limit, links in a loop, names that are too long.
    let mut bench = Bench::good();
    let names: String = (0..20_000).map(|n| format!(" u{n}.service")).collect();
    for n in 0..5 {
        unit(
            &mut bench,
            &format!("m{n}.target"),
            &format!("[Unit]\nWants={names}\n"),
        );
    }
    let all = "[Unit]\nWants=m0.target m1.target m2.target m3.target m4.target\n";
    etc(&mut bench, "initrd.target.d/a.conf", all);
    let answer = bench.answer("initramfs-units");
    assert!(matches!(answer, Answer::CouldNotRun(_)), "{answer:?}");
    let found = findings(|it| {
        it.link(&format!("{ETC}/a.service"), "b.service");
        it.link(&format!("{ETC}/b.service"), "a.service");
        let long = "x".repeat(1 << 16);
        let text = format!("[Unit]\nWants=a.service {long}.service\nAfter={long}\n");
        etc(it, "initrd.target.d/a.conf", &text);
    });
    assert_eq!(found, [""; 0]);
}
