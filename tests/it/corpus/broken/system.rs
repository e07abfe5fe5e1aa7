// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images that lack what an ostree system needs, wrappers in place of programs, and wrong settings of the tree.

use super::broken;
use crate::corpus::archive::PROGRAM;
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::products::Base::{self, BookwormOmit, TrixieBootc, TrixieOld, TrixieSlim};

const OSTREE: &str = "initramfs-ostree";
const WRAPPERS: &str = "initramfs-wrappers";
const PREPARE: &str = "usr/lib/ostree/ostree-prepare-root";
const UNITS: &str = "usr/lib/systemd/system";

/// The wrapper script that rpm-ostree's cliwrap writes in place of a program.
const WRAPPER: &str = "#!/usr/bin/sh\n# Wrapper created by rpm-ostree to override the program\nexec /usr/bin/rpm-ostree cliwrap $0 \"$@\"\n";

pub fn cases() -> Vec<Case> {
    let rooms = [
        ostree(),
        initrd_release(),
        bootc(),
        wrappers(),
        os_release(),
        intent(),
    ];
    rooms.into_iter().flatten().collect()
}

fn of(name: &str, base: Base, comes_of: &'static str, change: fn(&mut Draft)) -> Case {
    broken(name, base, comes_of, &[OSTREE], change)
}

fn ostree() -> Vec<Case> {
    const UNIT: &str = "ostree-prepare-root.service";
    let base = TrixieSlim;
    vec![
        of("no-prepare-root", base, "coreos/rpm-ostree#4451", |draft| {
            draft.archive().remove(PREPARE)
        }),
        of(
            "no-prepare-root-059",
            BookwormOmit,
            "coreos/rpm-ostree#4451",
            |draft| draft.archive().remove(PREPARE),
        ),
        of(
            "no-prepare-root-unit",
            base,
            "coreos/layering-examples#57",
            |draft| {
                draft.archive().remove(&format!("{UNITS}/{UNIT}"));
            },
        ),
        of(
            "no-prepare-root-link",
            base,
            "coreos/layering-examples#57",
            |draft| {
                draft.archive().remove(&format!(
                    "etc/systemd/system/initrd-root-fs.target.wants/{UNIT}"
                ));
            },
        ),
        of(
            "prepare-root-masked",
            base,
            "boot: Unit ostree-prepare-root.service is masked",
            |draft| {
                let unit = format!("{UNITS}/{UNIT}");
                draft.archive().put_link(&unit, "/dev/null");
            },
        ),
        of(
            "prepare-root-is-a-script",
            base,
            "coreos/rpm-ostree#4190",
            |draft| {
                draft.archive().replace(PREPARE, WRAPPER);
            },
        ),
        of(
            "prepare-root-dangles",
            base,
            "coreos/rpm-ostree#5483",
            |draft| {
                draft
                    .archive()
                    .put_link(PREPARE, "/usr/libexec/ostree/ostree-prepare-root");
            },
        ),
        broken(
            "prepare-root-is-empty",
            base,
            "coreos/fedora-coreos-tracker#1247",
            &[OSTREE, "initramfs-init"],
            |draft| {
                draft.archive().replace(PREPARE, "");
            },
        ),
    ]
}

fn initrd_release() -> Vec<Case> {
    let base = TrixieSlim;
    vec![
        of(
            "no-initrd-release",
            base,
            "boot: ConditionPathExists=/etc/initrd-release was not met",
            |draft| {
                draft.archive().remove("etc/initrd-release");
            },
        ),
        of(
            "initrd-release-dangles",
            base,
            "boot: ConditionPathExists=/etc/initrd-release was not met",
            |draft| {
                draft.archive().remove("usr/lib/initrd-release");
            },
        ),
        of(
            "without-add-ostree",
            base,
            "coreos/layering-examples#57",
            |draft| {
                draft.archive().remove_all(|name| name.contains("ostree"));
            },
        ),
    ]
}

fn bootc() -> Vec<Case> {
    const UNIT: &str = "bootc-root-setup.service";
    let base = TrixieBootc;
    vec![
        of(
            "no-bootc-program",
            base,
            "coreos/layering-examples#57",
            |draft| {
                draft.archive().remove("usr/lib/bootc/initramfs-setup");
            },
        ),
        of(
            "no-bootc-unit",
            base,
            "coreos/layering-examples#57",
            |draft| draft.archive().remove(&format!("{UNITS}/{UNIT}")),
        ),
        of(
            "no-bootc-link",
            base,
            "coreos/layering-examples#57",
            |draft| {
                draft
                    .archive()
                    .remove(&format!("{UNITS}/initrd-root-fs.target.wants/{UNIT}"));
            },
        ),
    ]
}

fn wrappers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, base, path, comes_of) in [
        (
            "systemctl-is-a-wrapper",
            TrixieSlim,
            "usr/bin/systemctl",
            "coreos/rpm-ostree#4190",
        ),
        (
            "systemctl-is-a-wrapper-again",
            TrixieOld,
            "usr/bin/systemctl",
            "coreos/fedora-coreos-tracker#1870",
        ),
        (
            "systemctl-is-a-wrapper-059",
            BookwormOmit,
            "usr/bin/systemctl",
            "coreos/rpm-ostree#4938",
        ),
        (
            "useradd-is-a-wrapper",
            TrixieSlim,
            "usr/sbin/useradd",
            "coreos/fedora-coreos-tracker#1870",
        ),
        (
            "groupadd-is-a-wrapper",
            TrixieSlim,
            "usr/sbin/groupadd",
            "coreos/fedora-coreos-tracker#1870",
        ),
        (
            "usermod-is-a-wrapper",
            TrixieSlim,
            "usr/sbin/usermod",
            "coreos/fedora-coreos-tracker#1870",
        ),
    ] {
        cases.push(broken(name, base, comes_of, &[WRAPPERS], move |draft| {
            draft.archive().put(path, PROGRAM, WRAPPER);
        }));
    }
    cases
}

fn os_release() -> Vec<Case> {
    const PLACE: &str = "usr/lib/os-release";
    let of = |name: &str, change: fn(&mut Draft)| {
        let comes_of = "deploy: ostree: Reading /etc/os-release: No such file or directory";
        broken(name, TrixieSlim, comes_of, &["os-release"], change)
    };
    vec![
        of("no-os-release", |draft| draft.remove(PLACE)),
        of("os-release-without-a-title", |draft| {
            draft.write(PLACE, "NAME=Fedora\n");
        }),
        of("os-release-link-to-nothing", |draft| {
            draft.remove(PLACE);
            draft.link(PLACE, "release.d/os-release");
        }),
    ]
}

/// Returns cases in which prepare-root.conf was changed in the tree after the initramfs was built.
fn intent() -> Vec<Case> {
    const CONF: &str = "ostree/prepare-root.conf";
    const ON: &str = "[composefs]\nenabled = yes\n";
    let of = |name: &str, change: fn(&mut Draft)| {
        broken(
            name,
            TrixieSlim,
            "openshift/os#1678",
            &["initramfs-intent"],
            change,
        )
    };
    vec![
        of("composefs-after-the-initramfs", |draft| {
            draft.write(&format!("usr/lib/{CONF}"), ON);
        }),
        of("composefs-after-the-initramfs-in-etc", |draft| {
            draft.write(&format!("etc/{CONF}"), ON);
        }),
        of("composefs-off-inside", |draft| {
            draft.write(&format!("usr/lib/{CONF}"), ON);
            let off = "[composefs]\nenabled = no\n";
            draft.archive().replace(&format!("usr/lib/{CONF}"), off);
        }),
    ]
}
