// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs and udev rules that a boot needs and that are missing, and programs that cannot start because the library,
//! linker or interpreter is not in the image.

use std::ops::Range;

use super::broken;
use crate::corpus::archive::{FILE, LINK, PROGRAM};
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::products::Base::{self, BookwormOmit, InitramfsTools, TrixieSlim};

const INIT: &str = "initramfs-init";
const LIB: &str = "usr/lib/x86_64-linux-gnu";
const SYSTEMD: &str = "usr/lib/systemd/systemd";

pub fn cases() -> Vec<Case> {
    let rooms = [
        first(),
        no_program(),
        clobbering(),
        libraries(),
        scripts(),
        torn(),
        promised(),
        units(),
    ];
    rooms.into_iter().flatten().collect()
}

fn of(name: &str, base: Base, comes_of: &'static str, change: fn(&mut Draft)) -> Case {
    broken(name, base, comes_of, &[INIT], change)
}

fn first() -> Vec<Case> {
    const NO_INIT: &str = "boot: Kernel panic: No working init found";
    let base = TrixieSlim;
    vec![
        of("no-init", base, NO_INIT, |draft| {
            draft.archive().remove("init")
        }),
        of("init-dangles", base, "coreos/rpm-ostree#5483", |draft| {
            draft.archive().remove(SYSTEMD)
        }),
        of("init-is-a-loop", base, NO_INIT, |draft| {
            let archive = draft.archive();
            archive.put_link("init", "sbin/init");
            archive.put_link("usr/sbin/init", "../../init");
        }),
        of(
            "init-is-not-executable",
            base,
            "dracut-ng/dracut-ng#443",
            |draft| draft.archive().set_mode(SYSTEMD, FILE),
        ),
        of("init-is-a-directory", base, NO_INIT, |draft| {
            let archive = draft.archive();
            archive.remove("init");
            archive.put("init/systemd", PROGRAM, "");
        }),
    ]
}

/// The link that enables the unit site-setup.service, which some cases add.
const WANTED: &str = "usr/lib/systemd/system/initrd.target.wants/site-setup.service";

/// Returns cases in which /init exists, but the kernel cannot execute it.
fn no_program() -> Vec<Case> {
    let base = TrixieSlim;
    vec![
        of(
            "init-is-empty",
            base,
            "coreos/fedora-coreos-tracker#1247",
            |draft| draft.archive().replace(SYSTEMD, ""),
        ),
        of(
            "init-is-cut",
            base,
            "coreos/fedora-coreos-tracker#1247",
            |draft| {
                let archive = draft.archive();
                let half = archive.get(SYSTEMD)[..40].to_vec();
                archive.replace(SYSTEMD, half);
            },
        ),
        of(
            "init-of-another-machine",
            base,
            "boot: Failed to execute /init (error -8)",
            |draft| {
                let archive = draft.archive();
                let mut elf = archive.get(SYSTEMD).to_vec();
                elf[18..20].copy_from_slice(&183_u16.to_le_bytes());
                archive.replace(SYSTEMD, elf);
            },
        ),
        of(
            "init-is-text",
            base,
            "boot: Failed to execute /init (error -8)",
            |draft| {
                let archive = draft.archive();
                archive.put("init", PROGRAM, "exec /usr/lib/systemd/systemd\n");
            },
        ),
        of(
            "shell-init-without-a-shell",
            base,
            "boot: Failed to execute /init (error -2)",
            |draft| {
                draft.archive().put(
                    "init",
                    PROGRAM,
                    "#!/bin/busybox sh\nexec /usr/lib/systemd/systemd\n",
                );
            },
        ),
        of(
            "shell-init-of-initramfs-tools-without-a-shell",
            InitramfsTools,
            "boot: Failed to execute /init (error -2)",
            |draft| {
                draft
                    .archive()
                    .remove_all(|name| name == "usr/bin/sh" || name == "bin/sh");
            },
        ),
    ]
}

/// Returns a case whose last entry is a program with the name `path`, which resolves to the path of systemd. The kernel
/// unpacks the entry over systemd; other programs that extract archives may write it elsewhere.
fn clobbered(path: &'static str, name: &'static str) -> Case {
    let cve = if path.starts_with('/') {
        "CVE-2023-7207"
    } else {
        "CVE-2015-1197"
    };
    broken(name, TrixieSlim, cve, &[INIT], move |draft| {
        draft.archive().append(path, PROGRAM, "sh -i\n");
    })
}

/// Returns cases with entries that replace a file outside of the directory in their name: through `..`, a leading slash
/// or a link.
fn clobbering() -> Vec<Case> {
    vec![
        clobbered("usr/lib/systemd/../systemd/systemd", "traversal-over-init"),
        clobbered("../../usr/lib/systemd/systemd", "traversal-above-the-root"),
        clobbered("/usr/lib/systemd/systemd", "absolute-name-over-init"),
        of(
            "link-then-through-it",
            TrixieSlim,
            "CVE-2015-1197",
            |draft| {
                let archive = draft.archive();
                archive.append("tmp/out", LINK, "/usr/lib/systemd");
                archive.append("tmp/out/systemd", PROGRAM, "sh -i\n");
            },
        ),
    ]
}

fn libraries() -> Vec<Case> {
    let mut cases = Vec::new();
    for (library, base, comes_of) in [
        ("libc.so.6", TrixieSlim, "coreos/layering-examples#57"),
        ("libmount.so.1.1.0", TrixieSlim, "coreos/rpm-ostree#4451"),
        ("libcrypto.so.3", TrixieSlim, "dracut-ng/dracut-ng#1561"),
        (
            "systemd/libsystemd-shared-257.so",
            TrixieSlim,
            "coreos/rpm-ostree#5483",
        ),
        ("libkmod.so.2", BookwormOmit, "dracut-ng/dracut-ng#561"),
    ] {
        let name = format!("library-{}-gone", library.rsplit('/').next().unwrap());
        cases.push(broken(name, base, comes_of, &[INIT], move |draft| {
            let start = format!("{LIB}/{library}");
            draft.archive().remove_all(|name| name.starts_with(&start));
        }));
    }
    cases.extend([
        of(
            "systemctl-of-another-systemd",
            TrixieSlim,
            "coreos/rpm-ostree#4938",
            |draft| {
                const PATH: &str = "usr/bin/systemctl";
                let mut program = draft.archive().get(PATH).to_vec();
                let needed = b"libsystemd-shared-257.so";
                let at = program.windows(needed.len()).position(|it| it == needed);
                program[at.unwrap()..][..needed.len()].copy_from_slice(b"libsystemd-shared-256.so");
                draft.archive().replace(PATH, program);
            },
        ),
        of(
            "linker-gone",
            TrixieSlim,
            "coreos/rpm-ostree#5483",
            |draft| {
                draft
                    .archive()
                    .remove_all(|name| name.contains("ld-linux-x86-64"));
            },
        ),
        of(
            "library-of-another-machine",
            TrixieSlim,
            "boot: error while loading shared libraries: wrong ELF class",
            |draft| {
                let path = format!("{LIB}/libc.so.6");
                let archive = draft.archive();
                let mut elf = archive.get(&path).to_vec();
                elf[18..20].copy_from_slice(&183_u16.to_le_bytes());
                archive.replace(&path, elf);
            },
        ),
        // libkmod opens liblzma at run time, to decode the modules.
        of(
            "decoder-of-modules-gone",
            TrixieSlim,
            "boot: Timed out waiting for the root device",
            |draft| {
                let archive = draft.archive();
                archive.remove_all(|path| path.contains("/liblzma.so"));
            },
        ),
        // fsck runs e2fsck, whose exit status 127 counts as uncorrected errors.
        of(
            "library-of-e2fsck-gone",
            BookwormOmit,
            "boot: Failed to start systemd-fsck-root",
            |draft| {
                let archive = draft.archive();
                archive.remove_all(|path| path.contains("/libcom_err.so"));
            },
        ),
        of(
            "library-is-a-dangling-link",
            TrixieSlim,
            "dracut-ng/dracut-ng#443",
            |draft| {
                draft
                    .archive()
                    .put_link(&format!("{LIB}/libc.so.6"), "libc-2.40.so");
            },
        ),
        of(
            "library-is-text",
            TrixieSlim,
            "boot: error while loading shared libraries: invalid ELF header",
            |draft| {
                draft
                    .archive()
                    .replace(&format!("{LIB}/libc.so.6"), "/* GNU ld script */\n");
            },
        ),
    ]);
    cases
}

fn scripts() -> Vec<Case> {
    vec![
        of(
            "shell-gone",
            TrixieSlim,
            "coreos/layering-examples#57",
            |draft| draft.archive().remove("usr/bin/bash"),
        ),
        of(
            "shell-link-gone",
            TrixieSlim,
            "coreos/layering-examples#57",
            |draft| draft.archive().remove("usr/bin/sh"),
        ),
        of(
            "hook-for-an-interpreter-that-is-not-inside",
            TrixieSlim,
            "dracut-ng/dracut-ng#561",
            |draft| {
                let unit = "[Service]\nExecStart=/usr/bin/site-setup\n";
                let archive = draft.archive();
                archive.put("usr/lib/systemd/system/site-setup.service", FILE, unit);
                archive.put("usr/bin/site-setup", PROGRAM, "#!/usr/bin/python3\n");
                archive.put_link(WANTED, "../site-setup.service");
            },
        ),
        of(
            "hook-that-env-cannot-start",
            TrixieSlim,
            "dracut-ng/dracut-ng#561",
            |draft| {
                let unit = "[Service]\nExecStart=/usr/bin/site-setup\n";
                let archive = draft.archive();
                let any = archive.get("usr/bin/mount").to_vec();
                archive.put("usr/bin/env", PROGRAM, any);
                archive.put("usr/lib/systemd/system/site-setup.service", FILE, unit);
                archive.put("usr/bin/site-setup", PROGRAM, "#!/usr/bin/env python3\n");
                archive.put_link(WANTED, "../site-setup.service");
            },
        ),
    ]
}

/// Returns cases with truncated, partly zeroed or empty files, as on a full disk, and a case without /init beside a
/// squashfs file.
fn torn() -> Vec<Case> {
    const FULL: &str = "coreos/fedora-coreos-tracker#1247";
    const UDEVADM: &str = "usr/bin/udevadm";
    let keep = |draft: &mut Draft, path: &str, part: f64| {
        let archive = draft.archive();
        let bytes = archive.get(path).to_vec();
        let kept = (bytes.len() as f64 * part) as usize;
        archive.replace(path, &bytes[..kept]);
    };
    vec![
        broken("program-cut", TrixieSlim, FULL, &[INIT], move |draft| {
            keep(draft, UDEVADM, 0.6);
        }),
        broken("library-cut", TrixieSlim, FULL, &[INIT], move |draft| {
            keep(draft, &format!("{LIB}/libc.so.6"), 0.6);
        }),
        // systemd and udev open libkmod at run time.
        broken(
            "opened-library-cut",
            TrixieSlim,
            FULL,
            &[INIT],
            move |draft| {
                let path = draft.archive().path_with("/libkmod.so.2.");
                keep(draft, &path, 0.5);
            },
        ),
        // No header shows that a page of the code is lost.
        broken("library-code-zeroed", TrixieSlim, FULL, &[INIT], |draft| {
            let archive = draft.archive();
            // findmnt executes this part.
            let path = archive.path_with("/libsmartcols.so.1.");
            let mut elf = archive.get(&path).to_vec();
            let code = code(&elf);
            let start = code.start + code.len() * 5 / 16;
            elf[start..start + 4096].fill(0);
            archive.replace(&path, elf);
        }),
        broken("program-empty", TrixieSlim, FULL, &[INIT], move |draft| {
            keep(draft, UDEVADM, 0.0);
        }),
        of(
            "broken-beside-a-squashfs",
            TrixieSlim,
            "boot: Kernel panic: No working init found",
            |draft| {
                let archive = draft.archive();
                archive.remove("init");
                archive.put("root.squashfs", FILE, "hsqs");
            },
        ),
    ]
}

/// Returns the place of the first segment with code in a 64-bit ELF file.
pub fn code(elf: &[u8]) -> Range<usize> {
    const EXECUTABLE: u32 = 1;
    let number = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap()) as usize;
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap());
    let mut headers = (number(32)..).step_by(56);
    let is_code = |at: &usize| word(*at) == 1 && word(at + 4) & EXECUTABLE != 0;
    let at = headers.find(is_code).unwrap();
    number(at + 8)..number(at + 8) + number(at + 32)
}

/// Returns cases without a program that a dracut module must install. If dracut does not find the program, it prints
/// FAILED and exits with status 0.
fn promised() -> Vec<Case> {
    const FAILED: &str = "coreos/layering-examples#57";
    let gone = |name: &str, path: &'static str| {
        broken(name, Base::TrixieNew, FAILED, &[INIT], move |draft| {
            draft.archive().remove(path)
        })
    };
    vec![
        gone("lvm-gone", "usr/sbin/lvm"),
        gone("mdadm-gone", "usr/sbin/mdadm"),
        of(
            "ignition-gone",
            TrixieSlim,
            "coreos/fedora-coreos-tracker#1870",
            |draft| {
                const LIST: &str = "usr/lib/dracut/modules.txt";
                let archive = draft.archive();
                let mut modules = archive.get(LIST).to_vec();
                modules.extend(b"ignition\n");
                archive.replace(LIST, modules);
            },
        ),
    ]
}

/// Returns cases without a program or udev rules that systemd needs. `verify` must find this without an earlier image
/// for comparison.
fn units() -> Vec<Case> {
    let base = TrixieSlim;
    let gone = |name: &str, path: &'static str, comes_of| {
        broken(name, base, comes_of, &[INIT], move |draft| {
            draft.archive().remove(path)
        })
    };
    let mut cases = vec![
        gone(
            "disk-rules-gone",
            "usr/lib/udev/rules.d/60-persistent-storage.rules",
            "coreos/rpm-ostree#5483",
        ),
        gone(
            "driver-rules-gone",
            "usr/lib/udev/rules.d/80-drivers.rules",
            "coreos/rpm-ostree#5483",
        ),
        gone(
            "systemd-rules-gone",
            "usr/lib/udev/rules.d/99-systemd.rules",
            "coreos/rpm-ostree#5483",
        ),
        gone(
            "executor-gone",
            "usr/lib/systemd/systemd-executor",
            "systemd/systemd#30067",
        ),
        gone(
            "fstab-generator-gone",
            "usr/lib/systemd/system-generators/systemd-fstab-generator",
            "rhinstaller/anaconda#6876",
        ),
        gone("mount-gone", "usr/bin/mount", "coreos/layering-examples#57"),
    ];
    cases.extend([
        of("udevd-gone", base, "distr1/distri#78", |draft| {
            draft.archive().remove("usr/bin/udevadm")
        }),
        of(
            "sysroot-fstab-check-gone",
            base,
            "rhinstaller/kickstart-tests#1593",
            |draft| {
                draft
                    .archive()
                    .remove("usr/lib/systemd/systemd-sysroot-fstab-check")
            },
        ),
        of("systemctl-gone", base, "coreos/rpm-ostree#4938", |draft| {
            draft.archive().remove("usr/bin/systemctl")
        }),
    ]);
    cases
}
