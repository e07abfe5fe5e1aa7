// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that find their libraries, and programs that do not.

use crate::checks::testing::{Bench, Dynamic, LINKER};
use crate::initramfs::testing::item;

const CHECK: &str = "initramfs-init";

fn findings(break_it: impl FnOnce(&mut Bench)) -> Vec<String> {
    let mut bench = Bench::good();
    break_it(&mut bench);
    bench.findings(CHECK)
}

/// Only what is fatal.
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
fn init_itself() {
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
        found[0].contains("libc.so.6 in the initramfs: no such library"),
        "{found:?}"
    );
    let found = fatal(|bench| {
        bench.inside.remove(LINKER);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("the dynamic linker that usr/bin/true and 1 other program"),
        "{found:?}"
    );
    // One that needs one that is not there.
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
    // For another machine it is not there either.
    let found = fatal(|bench| {
        let other = Dynamic::library("libx.so.1", &[]).machine(3);
        library(bench, "usr/lib64/libx.so.1", &other);
        program(bench, "usr/bin/a", &["libx.so.1"]);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn where_libraries_are_found() {
    let private = |soname: &str, needed: &[&str]| Dynamic::library(soname, needed);
    type Break = Box<dyn Fn(&mut Bench)>;
    let with = |path: &'static str, program: fn(Dynamic) -> Dynamic| -> Break {
        Box::new(move |bench: &mut Bench| {
            library(bench, path, &private("libp.so.1", &[]));
            let dynamic = program(Dynamic::program(&["libp.so.1"]));
            bench.put("usr/libexec/tool/a", &dynamic.elf());
        })
    };
    let good: [Break; 6] = [
        with("usr/lib/priv/libp.so.1", |it| it.runpath("/usr/lib/priv")),
        with("usr/libexec/lib/libp.so.1", |it| {
            it.runpath("$ORIGIN/../lib")
        }),
        with("usr/lib64/priv/libp.so.1", |it| {
            it.rpath("/nowhere:/usr/${LIB}/priv")
        }),
        with("usr/lib64/glibc-hwcaps/x86-64-v3/libp.so.1", |it| it),
        with("usr/lib/x86_64-linux-gnu/libp.so.1", |it| it),
        Box::new(|bench| {
            // Without a cache, what ldconfig would have read.
            bench.put("etc/ld.so.conf", b"# all\ninclude ld.so.conf.d/*.conf\n");
            bench.put("etc/ld.so.conf.d/x.conf", b"/opt/lib\n");
            library(
                bench,
                "opt/lib/libp.so.1",
                &Dynamic::library("libp.so.1", &[]),
            );
            program(bench, "usr/bin/a", &["libp.so.1"]);
        }),
    ];
    for (n, good) in good.iter().enumerate() {
        assert_eq!(fatal(good), [""; 0], "{n}");
    }
    let bad = with("usr/lib/priv/libp.so.1", |it| it);
    assert_eq!(fatal(bad).len(), 1);
}

#[test]
fn what_loading_order_decides() {
    let parts = |bench: &mut Bench, shared_first: bool| {
        // `libcore` needs `libshared`, which only the program's RUNPATH finds.
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
    // A RPATH is inherited, a RUNPATH is not.
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
    let whole = cache("libp.so.1", "/opt/lib/libp.so.1");
    for end in 0..whole.len() {
        super::config::cache(&whole[..end], false);
    }
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
        }
    };
    let unnamed = findings(script(b"# helper\nExecStart=/usr/bin/other\n"));
    assert!(
        unnamed[0].starts_with("note usr/bin/helper"),
        "{unnamed:#?}"
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
fn torn_programs() {
    let whole = Dynamic::program(&["libc.so.6"]).runpath("/x").elf();
    for end in 0..whole.len() {
        // Any answer will do.
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
