// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of checks.

use super::{Check, Severity, image, init, kernel, modules, tree};

/// The registry, in the order in which findings are shown.
pub static CHECKS: [Check; 14] = [
    Check {
        name: "kernel-single",
        severity: Severity::Fatal,
        about: "one directory in usr/lib/modules has a vmlinuz",
        issue: "ublue-os/aurora#1286",
        look: kernel::single,
    },
    Check {
        name: "kernel-release",
        severity: Severity::Fatal,
        about: "the release string inside vmlinuz is its directory's name",
        issue: "okd-project/okd#1908",
        look: kernel::release,
    },
    Check {
        name: "kernel-rpmdb",
        severity: Severity::Fatal,
        about: "one package owns vmlinuz and provides kernel-uname-r of it",
        issue: "osbuild/osbuild#2049",
        look: kernel::rpmdb,
    },
    Check {
        name: "uki-shadow",
        severity: Severity::Fatal,
        about: "no unified kernel image would be booted instead",
        issue: "blue-build/modules#276",
        look: kernel::uki_shadow,
    },
    Check {
        name: "initramfs-present",
        severity: Severity::Fatal,
        about: "initramfs.img is a file and not empty, so no legacy kernel wins",
        issue: "coreos/rpm-ostree#5261",
        look: image::present,
    },
    Check {
        name: "initramfs-mode",
        severity: Severity::Warning,
        about: "nobody but root may read initramfs.img (0600)",
        issue: "CVE-2012-4453",
        look: image::mode,
    },
    Check {
        name: "initramfs-readable",
        severity: Severity::Fatal,
        about: "every segment decodes to its trailer, as the kernel reads it",
        issue: "coreos/layering-examples#57",
        look: image::readable,
    },
    Check {
        name: "initramfs-kver",
        severity: Severity::Fatal,
        about: "modules of this kernel are inside, and of no other",
        issue: "okd-project/okd#1908",
        look: image::kver,
    },
    Check {
        name: "initramfs-modules",
        severity: Severity::Fatal,
        about: "modules inside are the tree's, with all that they need",
        issue: "coreos/rpm-ostree#4451",
        look: modules::modules,
    },
    Check {
        name: "initramfs-init",
        severity: Severity::Fatal,
        about: "every program inside finds its libraries, and /init is one",
        issue: "coreos/layering-examples#57",
        look: init::init,
    },
    Check {
        name: "initramfs-ostree",
        severity: Severity::Fatal,
        about: "ostree-prepare-root, its unit and etc/initrd-release are inside",
        issue: "coreos/rpm-ostree#4451",
        look: image::ostree,
    },
    Check {
        name: "initramfs-wrappers",
        severity: Severity::Fatal,
        about: "systemctl, useradd, groupadd, usermod inside are programs",
        issue: "coreos/fedora-coreos-tracker#1870",
        look: image::wrappers,
    },
    Check {
        name: "modules-depmod",
        severity: Severity::Fatal,
        about: "every module has a line in modules.dep, every line a file",
        issue: "coreos/rpm-ostree#5578",
        look: tree::depmod,
    },
    Check {
        name: "leftovers",
        severity: Severity::Warning,
        about: "nothing is left of an old kernel, a killed run or cliwrap",
        issue: "bootc-dev/bootc#2198",
        look: tree::leftovers,
    },
];
