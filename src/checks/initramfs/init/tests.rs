// SPDX-License-Identifier: MIT OR Apache-2.0
//! Initramfs images whose programs, udev rules and directories allow a boot, and images in which one of them is broken.

use crate::checks::testing::{Bench, Dynamic, LINKER};
use crate::initramfs::testing::item;

const CHECK: &str = "initramfs-init";

/// A drop-in of `initrd.target`, which tests use to add units to the boot.
const REACHING: &str = "usr/lib/systemd/system/initrd.target.d/site.conf";

fn findings(break_it: impl FnOnce(&mut Bench)) -> Vec<String> {
    let mut bench = Bench::good();
    // This hook names the programs `a` and `true`, so they count as used.
    bench.put("usr/lib/dracut/hooks/cmdline/01-site.sh", b"a; true\n");
    break_it(&mut bench);
    bench.findings(CHECK)
}

/// Returns only the fatal findings.
fn fatal(break_it: impl FnOnce(&mut Bench)) -> Vec<String> {
    let mut found = findings(break_it);
    found.retain(|it| it.starts_with("fatal "));
    found
}

fn program(bench: &mut Bench, path: &str, needed: &[&str]) {
    bench.put(path, &Dynamic::program(needed).elf());
}

fn library(bench: &mut Bench, path: &str, dynamic: &Dynamic) {
    bench.put(path, &dynamic.elf());
}

#[test]
fn the_good_one() {
    assert_eq!(findings(|_| ()), [""; 0]);
    assert_eq!(findings(|bench| bench.alone = true), [""; 0]);
}

#[test]
fn faults_of_init() {
    type Break = fn(&mut Bench);
    let cases: [(&str, Break); 8] = [
        ("`init` is not in the image", |bench| {
            bench.inside.remove("init");
        }),
        ("is not in the image", |bench| {
            bench.link("init", "usr/lib/gone")
        }),
        ("not an executable file", |bench| {
            bench
                .inside
                .insert("init".into(), item("init", 0o100_644, b"\x7fELF"));
        }),
        ("init, no program", |bench| {
            bench
                .inside
                .insert("init".into(), item("init", 0o100_755, b"hello"));
        }),
        ("for the ELF machine 183", |bench| {
            let dynamic = Dynamic::program(&[]).machine(183);
            bench.put("init", &dynamic.elf());
        }),
        ("without the dynamic section at", |bench| {
            let mut cut = Dynamic::program(&["libgone.so.1"]).elf();
            cut.truncate(cut.len() - 20);
            bench.put("init", &cut);
        }),
        ("unknown class", |bench| {
            bench.put("init", b"\x7fELF\x09\x09")
        }),
        ("a script for /bin/csh", |bench| {
            bench.put("init", b"#!/bin/csh -f\n")
        }),
    ];
    for (expected, break_it) in cases {
        let found = fatal(break_it);
        assert!(
            found.iter().any(|it| it.contains(expected)),
            "{expected}: {found:#?}"
        );
    }
    let shell = |bench: &mut Bench| {
        program(bench, "usr/bin/sh", &["libc.so.6"]);
        bench.put("init", b"#! /usr/bin/sh -e\nexec something\n");
    };
    assert_eq!(findings(shell), [""; 0]);
}

#[test]
fn a_missing_library() {
    let found = fatal(|bench| {
        bench.inside.remove("usr/lib64/libc.so.6");
        program(bench, "usr/bin/a", &["libc.so.6"]);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("libc.so.6 in the initramfs: not found in the library search path"),
        "{found:?}"
    );
    let found = fatal(|bench| {
        bench.inside.remove(LINKER);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("the dynamic linker of usr/bin/true and 1 other program"),
        "{found:?}"
    );
    // A library requires another library, which is missing.
    let found = fatal(|bench| {
        library(
            bench,
            "usr/lib64/libx.so.1",
            &Dynamic::library("libx.so.1", &["liby.so.1"]),
        );
        program(bench, "usr/bin/a", &["libx.so.1"]);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("usr/bin/a cannot start without it (usr/lib64/libx.so.1"));
    // A library for another machine counts as missing.
    let found = fatal(|bench| {
        let other = Dynamic::library("libx.so.1", &[]).machine(3);
        library(bench, "usr/lib64/libx.so.1", &other);
        program(bench, "usr/bin/a", &["libx.so.1"]);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn directories_in_which_libraries_are_found() {
    let private = |soname: &str, needed: &[&str]| Dynamic::library(soname, needed);
    type Break = Box<dyn Fn(&mut Bench)>;
    let with = |path: &'static str, program: fn(Dynamic) -> Dynamic| -> Break {
        Box::new(move |bench: &mut Bench| {
            library(bench, path, &private("libp.so.1", &[]));
            let dynamic = program(Dynamic::program(&["libp.so.1"]));
            bench.put("usr/libexec/tool/a", &dynamic.elf());
        })
    };
    let good: [Break; 5] = [
        with("usr/lib/priv/libp.so.1", |it| it.runpath("/usr/lib/priv")),
        with("usr/libexec/lib/libp.so.1", |it| {
            it.runpath("$ORIGIN/../lib")
        }),
        with("usr/lib64/priv/libp.so.1", |it| {
            it.rpath("/nowhere:/usr/${LIB}/priv")
        }),
        with("usr/lib64/glibc-hwcaps/x86-64-v3/libp.so.1", |it| it),
        with("usr/lib/x86_64-linux-gnu/libp.so.1", |it| it),
    ];
    for (n, good) in good.iter().enumerate() {
        assert_eq!(fatal(good), [""; 0], "{n}");
    }
    let bad = with("usr/lib/priv/libp.so.1", |it| it);
    assert_eq!(fatal(bad).len(), 1);
    // Without a cache, the dynamic linker does not search the directories of etc/ld.so.conf.
    let bad = fatal(|bench| {
        bench.put("etc/ld.so.conf", b"/opt/lib\n");
        let path = "opt/lib/libp.so.1";
        library(bench, path, &Dynamic::library("libp.so.1", &[]));
        program(bench, "usr/bin/a", &["libp.so.1"]);
    });
    assert_eq!(bad.len(), 1, "{bad:#?}");
}

#[test]
fn the_loading_order_decides_which_library_is_used() {
    let parts = |bench: &mut Bench, shared_first: bool| {
        // `libcore` requires `libshared`, which only the program's RUNPATH finds.
        let priv_dir = "usr/lib/systemd";
        library(
            bench,
            &format!("{priv_dir}/libshared.so"),
            &Dynamic::library("libshared.so", &[]),
        );
        let core = Dynamic::library("libcore.so", &["libshared.so"]);
        library(bench, &format!("{priv_dir}/libcore.so"), &core);
        let needed: &[&str] = if shared_first {
            &["libshared.so", "libcore.so"]
        } else {
            &["libcore.so"]
        };
        bench.put(
            "usr/bin/a",
            &Dynamic::program(needed).runpath("/usr/lib/systemd").elf(),
        );
    };
    assert_eq!(fatal(|bench| parts(bench, true)), [""; 0]);
    assert_eq!(fatal(|bench| parts(bench, false)).len(), 1);
    // An RPATH is inherited, a RUNPATH is not.
    let inherited = fatal(|bench| {
        parts(bench, false);
        let program = Dynamic::program(&["libcore.so"]).rpath("/usr/lib/systemd");
        bench.put("usr/bin/a", &program.elf());
    });
    assert_eq!(inherited, [""; 0]);
}

#[test]
fn the_cache() {
    let with_cache = |path: &'static str| {
        move |bench: &mut Bench| {
            library(
                bench,
                "opt/lib/libp.so.1",
                &Dynamic::library("libp.so.1", &[]),
            );
            bench.put("etc/ld.so.conf", b"/opt/lib\n");
            bench.put("etc/ld.so.cache", &cache("libp.so.1", path));
            program(bench, "usr/bin/a", &["libp.so.1"]);
        }
    };
    assert_eq!(fatal(with_cache("/opt/lib/libp.so.1")), [""; 0]);
    assert_eq!(fatal(with_cache("/gone/libp.so.1")).len(), 1);
}

fn cache(name: &str, path: &str) -> Vec<u8> {
    let mut out = b"glibc-ld.so.cache1.1".to_vec();
    let strings = format!("{name}\0{path}\0");
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.extend_from_slice(&(strings.len() as u32).to_le_bytes());
    out.resize(48, 0);
    for number in [0x303, 72, 72 + name.len() as u32 + 1, 0, 0, 0_u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(strings.as_bytes());
    out
}

#[test]
fn notes_and_warnings() {
    let found = findings(|bench| {
        let unreached = Dynamic::library("libplugin.so", &["libgone.so.1"]);
        library(bench, "usr/lib64/plugins/libplugin.so", &unreached);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("note libgone.so.1"), "{found:?}");
    let script = |unit: &'static [u8]| {
        move |bench: &mut Bench| {
            let script = item("usr/bin/helper", 0o100_755, b"#!/usr/bin/python3\n");
            bench.inside.insert("usr/bin/helper".into(), script);
            bench.put("usr/lib/systemd/system/a.service", unit);
            bench.put(REACHING, b"[Unit]\nWants=a.service\n");
        }
    };
    let unnamed = findings(script(b"# helper\nExecStart=/usr/bin/other\n"));
    assert!(
        unnamed[0].starts_with("note usr/bin/helper"),
        "{unnamed:#?}"
    );
    let with_env = fatal(|bench| {
        script(b"ExecStart=/usr/bin/helper\n")(bench);
        program(bench, "usr/bin/env", &[]);
        bench.put("usr/bin/helper", b"#!/usr/bin/env -S python3 -u\n");
    });
    assert!(
        with_env[0].contains("a script for python3"),
        "{with_env:#?}"
    );
    let named = findings(script(b"[Service]\nExecStart=-/bin/helper --now\n"));
    assert!(named[0].starts_with("fatal usr/bin/helper"), "{named:#?}");
    let wants = findings(|bench| {
        let dir = "etc/systemd/system/basic.target.wants";
        bench.link(
            &format!("{dir}/gone.service"),
            "/usr/lib/systemd/system/gone.service",
        );
        bench.link(&format!("{dir}/a@x.service"), "../a@.service");
        bench.put("usr/lib/systemd/system/a@.service", b"");
    });
    assert_eq!(wants.len(), 1, "{wants:#?}");
    assert!(wants[0].starts_with("warning etc/systemd/system/basic.target.wants/gone"));
}

#[test]
fn truncated_programs_do_not_panic() {
    let whole = Dynamic::program(&["libc.so.6"]).runpath("/x").elf();
    for end in 0..whole.len() {
        // Any result is allowed, except a panic.
        let _ = crate::initramfs::Elf::parse(&whole[..end]);
    }
    for at in 0..whole.len().min(400) {
        let mut torn = whole.clone();
        torn[at] = !torn[at];
        let _ = crate::initramfs::Elf::parse(&torn);
    }
}

#[test]
fn seeds_are_current() {
    let program = Dynamic::program(&["libc.so.6", "libm.so.6"]).runpath("$ORIGIN/../lib");
    let library = Dynamic::library("libm.so.6", &["libc.so.6"]).rpath("/usr/lib:/lib");
    let seeds = [("program", program.elf()), ("library", library.elf())];
    crate::kernel::testing::seeds("elf", &seeds);
}

/// A unit whose program exists.
const RUNS: &[u8] = b"[Service]\nExecStart=/usr/bin/true\n";

/// Returns a program whose last loaded segment is `length` bytes longer than the file.
fn cut(length: u64) -> Vec<u8> {
    let mut elf = Dynamic::program(&["libc.so.6"]).elf();
    let size = elf.len() as u64 + length;
    elf[64 + 32..64 + 40].copy_from_slice(&size.to_le_bytes());
    elf
}

#[test]
fn damaged_libraries_that_programs_open() {
    let found = |program_path: &str, damaged: &str| {
        findings(|bench| {
            program(bench, program_path, &["libopener.so"]);
            let libraries = [
                (
                    "libopener.so",
                    Dynamic::library("libopener.so", &[]).opens("x", "libopened.so"),
                ),
                (
                    "libopened.so",
                    Dynamic::library("libopened.so", &["libneeded.so"]),
                ),
                ("libneeded.so", Dynamic::library("libneeded.so", &[])),
            ];
            for (name, library) in libraries {
                let bytes = if name == damaged {
                    cut(1)
                } else {
                    library.elf()
                };
                bench.put(&format!("usr/lib64/{name}"), &bytes);
            }
        })
    };
    let needed = "usr/bin/mount";
    assert_eq!(found(needed, ""), [""; 0]);
    for damaged in ["libopened.so", "libneeded.so"] {
        let all = found(needed, damaged);
        let by_itself = format!("fatal usr/lib64/{damaged} in the initramfs: an ELF file without");
        let fatal = all.iter().find(|it| it.starts_with(&by_itself));
        let fatal = fatal.unwrap_or_else(|| panic!("{all:#?}"));
        assert!(fatal.contains("usr/lib64/libopener.so opens it"), "{fatal}");
        let all = found("usr/bin/other", damaged);
        assert!(all.iter().all(|it| !it.starts_with("fatal")), "{all:#?}");
    }
}

#[test]
fn truncated_programs_are_found() {
    let found = findings(|bench| bench.put("usr/bin/mount", &cut(1)));
    assert_eq!(found.len(), 1, "{found:#?}");
    let expected =
        "fatal usr/bin/mount in the initramfs: an ELF file without the end of the segment at 0x0";
    assert!(found[0].starts_with(expected), "{found:?}");
    assert_eq!(
        findings(|bench| bench.put("usr/bin/mount", &cut(0))),
        [""; 0]
    );
    let firmware = |bench: &mut Bench| bench.put("usr/lib/firmware/x/modem.mdt", &cut(1));
    assert_eq!(findings(firmware), [""; 0]);
    // A truncated library has two findings: as the missing library of a program, and as a damaged file.
    let found = findings(|bench| {
        bench.put("usr/lib64/libx.so.1", &cut(1));
        program(bench, "usr/bin/a", &["libx.so.1"]);
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    let expected = "fatal usr/lib64/libx.so.1 in the initramfs: an ELF file without";
    assert!(found[0].starts_with(expected), "{found:?}");
    assert!(
        found[1].starts_with("note usr/lib64/libx.so.1"),
        "{found:?}"
    );
    let empty = |unit: &'static str| {
        move |bench: &mut Bench| {
            let empty = item("usr/bin/helper", 0o100_755, b"");
            bench.inside.insert("usr/bin/helper".into(), empty);
            bench.put("usr/lib/systemd/system/a.service", unit.as_bytes());
            bench.put(REACHING, b"[Unit]\nWants=a.service\n");
        }
    };
    let found = findings(empty("ExecStart=/usr/bin/helper\n"));
    assert!(
        found[0].starts_with("fatal usr/bin/helper in the initramfs: an empty"),
        "{found:?}"
    );
    assert_eq!(findings(empty("ExecStart=/usr/bin/other\n")), [""; 0]);
}

#[test]
fn scripts_that_env_starts_and_generators() {
    let with = |line: &'static str, there: &'static str| {
        move |bench: &mut Bench| {
            program(bench, "usr/bin/env", &[]);
            program(bench, there, &[]);
            let place = "usr/lib/systemd/system-generators/site";
            bench.put(place, line.as_bytes());
        }
    };
    for (line, there) in [
        ("#!/usr/bin/env bash\n", "usr/bin/bash"),
        ("#!/usr/bin/env -S A=1 python3 -u\n", "usr/sbin/python3"),
        ("#!/usr/bin/env\n", "usr/bin/bash"),
    ] {
        assert_eq!(findings(with(line, there)), [""; 0], "{line}");
    }
    for (line, expected) in [
        (
            "#!/usr/bin/env bash\n",
            "a script for bash, which the initramfs does not have",
        ),
        (
            "#!/bin/bash\n",
            "a script for /bin/bash, which the initramfs does not have",
        ),
    ] {
        let found = findings(with(line, "usr/bin/python3"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
        assert!(found[0].starts_with("warning "), "{found:?}");
    }
}

#[test]
fn programs_that_every_boot_requires() {
    const UDEVD: &str = "usr/lib/systemd/system/systemd-udevd.service";
    const GONE: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/usr/lib/systemd/systemd-udevd\n";
    type Break = fn(&mut Bench);
    let cases: [(&str, Break); 5] = [
        (
            "usr/lib/systemd/systemd-udevd in the initramfs: no such program",
            |bench| {
                bench.inside.remove("usr/lib/systemd/systemd-udevd");
            },
        ),
        (
            "systemctl in the initramfs: no such program; present in the initramfs: usr/lib",
            |bench| {
                bench.inside.remove("usr/bin/systemctl");
            },
        ),
        (
            "udevadm in the initramfs: mode 0644, which is not executable; present in the initramfs",
            |bench| {
                let path = "usr/bin/udevadm";
                let elf = Dynamic::program(&["libc.so.6"]).elf();
                bench
                    .inside
                    .insert(path.into(), item(path, 0o100_644, &elf));
            },
        ),
        ("usr/bin/gone in the initramfs: no such program", |bench| {
            let more = "ExecStart=-/usr/bin/other\nExecStart=@/usr/bin/gone name\n";
            bench.put(UDEVD, [GONE, more].concat().as_bytes());
        }),
        ("usr/bin/text in the initramfs: neither an ELF", |bench| {
            let text = item("usr/bin/text", 0o100_755, b"exit 0\n");
            bench.inside.insert("usr/bin/text".into(), text);
            let more = "ExecStartPre=!/usr/bin/text\n";
            bench.put(UDEVD, [GONE, more].concat().as_bytes());
        }),
    ];
    for (expected, break_it) in cases {
        let found = fatal(break_it);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{expected}: {found:?}");
    }
    let found = fatal(|bench| {
        bench.inside.remove("usr/bin/mount");
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    for (library, wrong) in [
        ("libsystemd-shared-254.5-1.fc39.so", 0),
        ("libsystemd-shared-255.4-1.fc40.so", 1),
        ("libsystemd-shared-257.so", 1),
        ("libsystemd-shared-.so", 0),
    ] {
        let found = fatal(|bench| bench.put(&format!("usr/lib64/systemd/{library}"), b"x"));
        assert_eq!(found.len(), wrong, "{library}: {found:?}");
    }
    // If another program is /init, its requirements are not known.
    let other = findings(|bench| {
        program(bench, "usr/bin/busybox", &["libc.so.6"]);
        bench.link("init", "usr/bin/busybox");
        bench.inside.remove(UDEVD);
    });
    assert_eq!(other, [""; 0]);
}

#[test]
fn units_that_are_started_and_cannot() {
    let wanted = |unit: &'static [u8]| {
        move |bench: &mut Bench| {
            let dir = "usr/lib/systemd/system";
            bench.put(&format!("{dir}/a.service"), unit);
            bench.link(
                &format!("{dir}/basic.target.wants/a.service"),
                "../a.service",
            );
        }
    };
    for good in [
        RUNS,
        b"[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=-/usr/bin/gone\n",
        b"[Unit]\nDefaultDependencies=no\nConditionPathIsDirectory=!/usr/lib/modules/%v\n[Service]\nExecStart=/bin/false\n",
        b"[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/%H\n",
        b"[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=\n",
    ] {
        assert_eq!(findings(wanted(good)), [""; 0], "{}", good.escape_ascii());
    }
    let bad = b"[Unit]\nDefaultDependencies=no\nConditionPathExists=/etc/initrd-release\n[Service]\nExecStart=/usr/bin/gone\n";
    let found = findings(|bench| {
        bench.put("etc/initrd-release", b"ID=x\n");
        wanted(bad)(bench);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("warning usr/bin/gone in the initramfs"),
        "{found:?}"
    );
    // No unit starts a.service, so its program is not reported.
    let idle = findings(|bench| bench.put("usr/lib/systemd/system/a.service", bad));
    assert_eq!(idle, [""; 0]);
}

#[test]
fn rules_that_every_boot_requires() {
    const DRIVERS: &str = "usr/lib/udev/rules.d/80-drivers.rules";
    const STORAGE: &str = "usr/lib/udev/rules.d/60-persistent-storage.rules";
    const SYSTEMD: &str = "usr/lib/udev/rules.d/99-systemd.rules";
    type Break = fn(&mut Bench);
    let cases: [(&str, Break); 8] = [
        (DRIVERS, |bench| bench.link(DRIVERS, "/dev/null")),
        (SYSTEMD, |bench| {
            bench.inside.remove(SYSTEMD);
        }),
        (STORAGE, |bench| {
            bench.put("etc/udev/rules.d/60-persistent-storage.rules", b"#\n");
        }),
        (DRIVERS, |bench| {
            bench.put("dev/null", b"");
            bench.link("etc/udev/rules.d/80-drivers.rules", "/dev/null");
        }),
        // The file is truncated in the middle of the rule.
        (STORAGE, |bench| {
            bench.put(
                STORAGE,
                b"IMPORT{builtin}=\"blkid\"\nSYMLINK+=\"disk/by-uuid/$env{ID_FS_UUI",
            );
        }),
        // The rule applies only to devices of device-mapper.
        (STORAGE, |bench| {
            bench.inside.remove(STORAGE);
            let rule = b"KERNEL!=\"dm-*\", GOTO=\"x\"\nIMPORT{builtin}=\"blkid\"\nSYMLINK+=\"disk/by-uuid/a disk/by-label/b\"\nLABEL=\"x\"\n";
            bench.put("usr/lib/udev/rules.d/13-dm.rules", rule);
        }),
        (STORAGE, |bench| {
            bench.inside.remove(STORAGE);
            let rule = b"ENV{DM_X}!=\"?*\", GOTO=\"x\"\nIMPORT{builtin}=\"blkid\"\nSYMLINK+=\"disk/by-uuid/a disk/by-label/b\"\nLABEL=\"x\"\n";
            bench.put("usr/lib/udev/rules.d/60-dm.rules", rule);
        }),
        (SYSTEMD, |bench| {
            let rule = b"GOTO=\"x\"\nSUBSYSTEM==\"block\", TAG+=\"systemd\"\nLABEL=\"x\"\n";
            bench.put(SYSTEMD, rule);
        }),
    ];
    for (path, break_it) in cases {
        let found = fatal(break_it);
        assert_eq!(found.len(), 1, "{path}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("fatal {path} in")),
            "{found:?}"
        );
    }
    // Another file can contain the rule, for example an administrator's copy.
    for good in [
        (|bench| {
            bench.inside.remove(DRIVERS);
            let rule = b"ENV{MODALIAS}==\"?*\", RUN+=\"/usr/sbin/modprobe -b $env{MODALIAS}\"\n";
            bench.put("etc/udev/rules.d/10-site.rules", rule);
        }) as Break,
        |bench| {
            bench.inside.remove(SYSTEMD);
            bench.put(
                "etc/udev/rules.d/99-systemd.rules",
                b"SUBSYSTEM==\"block|net\", TAG+=\"systemd\"\n",
            );
        },
    ] {
        assert_eq!(findings(good), [""; 0]);
    }
    let found = findings(|bench| {
        bench.put(
            "usr/lib/udev/rules.d/90-site.rules",
            b"ACTIN==\"add\", RUN+=\"x\"\nGOTO=\"gone\"\n",
        );
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found
            .iter()
            .all(|it| it.starts_with("warning usr/lib/udev/rules.d/90-site.rules")),
        "{found:?}"
    );
}

#[test]
fn directories_that_every_boot_requires() {
    type Break = fn(&mut Bench);
    let cases: [(&str, Break); 5] = [
        ("proc in the initramfs: not a directory", |it| {
            it.put("proc", b"x")
        }),
        ("run in the initramfs: a link to gone", |it| {
            it.link("run", "gone")
        }),
        ("sysroot in the initramfs: a link to usr/bin/true", |it| {
            it.link("sysroot", "usr/bin/true")
        }),
        ("in the initramfs: no such directory, or a link", |it| {
            it.inside.remove("lib");
        }),
        ("in the initramfs: no such directory, or a link", |it| {
            it.link("lib", "usr/lib64")
        }),
    ];
    for (expected, break_it) in cases {
        let found = fatal(break_it);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{expected}: {found:#?}"
        );
    }
    // systemd creates missing mount points, and a link to a directory is accepted.
    let good = |it: &mut Bench| {
        it.put("var/run/x", b"");
        it.link("run", "var/run");
    };
    assert_eq!(findings(good), [""; 0]);
}

#[test]
fn programs_that_nothing_starts() {
    let found = findings(|bench| {
        program(bench, "usr/bin/idle", &["libgone.so.1"]);
        let mut cut = Dynamic::program(&["libc.so.6"]).elf();
        cut.truncate(cut.len() - 20);
        bench.put("usr/share/site/cut", &cut);
        program(bench, "usr/share/site/linker", &[]);
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found.iter().all(|it| it.starts_with("warning ")),
        "{found:#?}"
    );
    // A dracut script names the program through a link.
    let found = fatal(|bench| {
        program(bench, "usr/bin/idle", &["libgone.so.1"]);
        bench.link("usr/bin/tool", "idle");
        bench.put(
            "usr/bin/dracut-initqueue",
            b"#!/usr/bin/true\n/usr/bin/tool --now\n",
        );
    });
    assert_eq!(found.len(), 1, "{found:#?}");
}

/// Returns a bench whose `usr/bin/mount` is `program` and whose `libx.so.1` is `library`. It has no tree, so that
/// symbols of all programs are compared.
fn with_library(program: Dynamic, library: Dynamic) -> Bench {
    let mut bench = Bench::good();
    bench.alone = true;
    bench.put("usr/lib64/libx.so.1", &library.elf());
    let program = item("usr/bin/mount", 0o100_755, &program.elf());
    bench.inside.insert("usr/bin/mount".into(), program);
    bench
}

#[test]
fn libraries_of_another_build() {
    let program = || Dynamic::program(&["libx.so.1"]);
    let library = || Dynamic::library("libx.so.1", &[]);
    let found = |program, library| {
        let mut found = with_library(program, library).findings("initramfs-init");
        found.retain(|it| it.contains("libx.so.1") || it.contains("usr/bin/mount"));
        found
    };
    let versioned = || {
        program()
            .requires("libx.so.1", "X_1")
            .requires("libx.so.1", "X_2")
    };
    let whole = library().defines_version("X_1").defines_version("X_2");
    assert_eq!(found(versioned(), whole), [""; 0]);
    // ld.so accepts a library that defines no versions, whatever version is required.
    assert_eq!(found(versioned(), library()), [""; 0]);
    let old = found(versioned(), library().defines_version("X_1"));
    assert_eq!(old.len(), 1, "{old:#?}");
    assert!(
        old[0].starts_with(
            "fatal usr/lib64/libx.so.1 in the initramfs: a library without the symbol version X_2"
        ),
        "{old:#?}"
    );

    let calls = || program().symbol("x_open", false);
    assert_eq!(found(calls(), library().symbol("x_open", true)), [""; 0]);
    let other = found(calls(), library().symbol("x_close", true));
    assert_eq!(other.len(), 1, "{other:#?}");
    assert!(
        other[0].starts_with(
            "fatal usr/bin/mount in the initramfs: the symbol x_open, which no library defines"
        ),
        "{other:#?}"
    );
}

#[test]
fn the_program_with_which_the_kernel_loads_drivers() {
    const SYSCTL: &str = "etc/sysctl.d/a.conf";
    let with = |bench: &mut Bench, line: &[u8]| {
        bench.link("usr/lib/systemd/systemd-sysctl", "/usr/bin/true");
        bench.put(SYSCTL, line);
    };
    let gone = |bench: &mut Bench| {
        bench.inside.remove("usr/sbin/modprobe");
    };
    let found = findings(gone);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("fatal sbin/modprobe in the initramfs: no such program"),
        "{found:?}"
    );
    // The driver of the root's file system is loaded without modprobe, so the finding is only a warning.
    let found = findings(|bench| {
        gone(bench);
        bench.put("etc/modules-load.d/root.conf", b"# the root\next4\n");
    });
    assert!(found[0].starts_with("warning sbin/modprobe"), "{found:?}");
    for (line, expected) in [
        (&b"kernel.modprobe = /sbin/modprobe\n"[..], None),
        (
            b"kernel.modprobe=/usr/bin/nothing\n",
            Some("kernel.modprobe=/usr/bin/nothing: no such program"),
        ),
        (b"kernel.modprobe=\n", Some("kernel.modprobe is empty")),
    ] {
        let found = findings(|bench| with(bench, line));
        let expected = expected.map(|why| format!("fatal {SYSCTL} in the initramfs: {why}"));
        assert_eq!(found.len(), expected.iter().count(), "{found:#?}");
        assert!(
            found.iter().zip(&expected).all(|(a, b)| a.starts_with(b)),
            "{found:?}"
        );
    }
}
