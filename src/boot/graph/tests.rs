// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way from PID 1 to the files of a small image.

use super::super::{RootSetup, Trace};
use super::Why;
use crate::initramfs::testing::{dir, inventory, item, link};
use crate::initramfs::{Facts, Inventory};

const SCRIPT: &[u8] = b"#!/bin/sh\n";

fn image() -> Inventory {
    let program = |path: &str| item(path, 0o100_755, SCRIPT);
    let unit = |path: &str, text: &str| item(path, 0o100_644, text.as_bytes());
    let dirs = [
        "usr",
        "usr/bin",
        "usr/share",
        "usr/lib",
        "usr/lib/systemd",
        "usr/lib/systemd/system",
        "usr/lib/ostree",
        "usr/lib/udev",
        "usr/lib/udev/rules.d",
    ];
    let mut items: Vec<_> = dirs.into_iter().map(dir).collect();
    let service = |command: &str| {
        format!("[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart={command}\n")
    };
    let target =
        "[Unit]\nRequires=ostree-prepare-root.service systemd-udevd.service\nWants=helper.service";
    items.extend([
        link("bin", "usr/bin"),
        link("init", "usr/lib/systemd/systemd"),
        program("usr/lib/systemd/systemd"),
        program("usr/lib/systemd/systemd-udevd"),
        program("usr/bin/sh"),
        program("usr/bin/helper"),
        program("usr/bin/blink"),
        program("usr/bin/nobody"),
        program("usr/lib/ostree/ostree-prepare-root"),
        unit("usr/lib/systemd/system/initrd.target", target),
        unit(
            "usr/lib/systemd/system/ostree-prepare-root.service",
            &service("/usr/lib/ostree/ostree-prepare-root /sysroot"),
        ),
        unit(
            "usr/lib/systemd/system/systemd-udevd.service",
            &service("/usr/lib/systemd/systemd-udevd"),
        ),
        unit(
            "usr/lib/systemd/system/helper.service",
            &service("-/bin/helper"),
        ),
        unit("usr/lib/udev/rules.d/60-x.rules", "RUN+=\"blink -a\"\n"),
    ]);
    inventory(&items)
}

#[test]
fn each_file_has_its_way_from_pid_1() {
    let (inventory, facts) = (image(), Facts::default());
    let graph = Trace::new(&inventory, &facts, Some(RootSetup::Ostree)).graph;
    let way = |path: &str| {
        let way = graph.way_to(path.as_bytes()).into_iter();
        let names = way.map(|it| String::from_utf8_lossy(it.path).into_owned());
        names.collect::<Vec<_>>()
    };
    let start = [
        "init",
        "usr/lib/systemd/systemd",
        "usr/lib/systemd/system/initrd.target",
    ];
    let after = |rest: &[&'static str]| [&start[..], rest].concat();
    let unit = "usr/lib/systemd/system/ostree-prepare-root.service";
    let program = "usr/lib/ostree/ostree-prepare-root";
    assert_eq!(way(program), after(&[unit, program]));
    let helper = "usr/lib/systemd/system/helper.service";
    assert_eq!(
        way("usr/bin/helper"),
        after(&[helper, "usr/bin/helper"])[..]
    );
    let (udevd, rules) = (
        "usr/lib/systemd/systemd-udevd",
        "usr/lib/udev/rules.d/60-x.rules",
    );
    let service = "usr/lib/systemd/system/systemd-udevd.service";
    assert_eq!(
        way("usr/bin/blink"),
        after(&[service, udevd, rules, "usr/bin/blink"])
    );
    assert_eq!(way("usr/bin/nobody"), [""; 0]);
}

#[test]
fn files_without_which_the_root_is_not_reached() {
    let (inventory, facts) = (image(), Facts::default());
    let graph = Trace::new(&inventory, &facts, Some(RootSetup::Ostree)).graph;
    let step = |path: &str| *graph.way_to(path.as_bytes()).last().unwrap();
    for (path, is_needed, why) in [
        ("init", true, Why::First),
        (
            "usr/lib/ostree/ostree-prepare-root",
            true,
            Why::Command("ExecStart"),
        ),
        ("bin", true, Why::Interpreter),
        ("usr/bin/sh", true, Why::Interpreter),
        ("usr/bin/helper", false, Why::Command("ExecStart")),
        ("usr/bin/blink", false, Why::Names),
    ] {
        let found = step(path);
        assert_eq!((found.is_needed, found.why), (is_needed, why), "{path}");
    }
    assert!(graph.names(b"usr/bin/blink") && !graph.has(b"usr/bin/nobody"));
}
