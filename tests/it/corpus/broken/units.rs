// SPDX-License-Identifier: MIT OR Apache-2.0
//! Units that a boot needs from initrd.target to the real root, and that are missing, masked, overridden, truncated, or
//! in an ordering cycle. Also programs, udev rules, directories and settings without which these units fail.

use super::broken;
use crate::corpus::archive::{FILE, PROGRAM};
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::products::Base::{self, BookwormOmit, TrixieBootc, TrixieSlim};

const UNITS: &str = "usr/lib/systemd/system";
const ETC: &str = "etc/systemd/system";
const CHECK: &str = "initramfs-units";
const INIT: &str = "initramfs-init";

/// The origin of these cases: changed images that passed all checks of their time and did not boot.
const BOOTED: &str = "boot: passed every check and did not come up";

/// The origin of cases with settings of bootc. No boot of the test bed covers them, because the bed's stand-in for
/// bootc does not read settings.
const SOURCE: &str = "bootc-dev/bootc: crates/initramfs/src/lib.rs";

pub fn cases() -> Vec<Case> {
    let rooms = [
        gone(),
        overridden(),
        cut(),
        required(),
        modes(),
        rules(),
        scripts(),
        places(),
        configuration(),
    ];
    rooms.into_iter().flatten().collect()
}

fn of(name: &str, base: Base, comes_of: &'static str, change: fn(&mut Draft)) -> Case {
    broken(name, base, comes_of, &[CHECK], change)
}

fn gone() -> Vec<Case> {
    vec![
        of(
            "initrd-target-gone",
            TrixieSlim,
            "dracutdevs/dracut#2278",
            |draft| draft.archive().remove(&format!("{UNITS}/initrd.target")),
        ),
        of(
            "udevd-unit-gone",
            BookwormOmit,
            "dracut-ng/dracut-ng#1561",
            |draft| {
                draft
                    .archive()
                    .remove(&format!("{UNITS}/systemd-udevd.service"))
            },
        ),
        of(
            "switch-root-masked",
            TrixieSlim,
            "boot: nothing starts initrd-switch-root.service",
            |draft| {
                let unit = format!("{UNITS}/initrd-switch-root.service");
                draft.archive().put_link(&unit, "/dev/null")
            },
        ),
        of("sysinit-target-gone", TrixieSlim, BOOTED, |draft| {
            draft.archive().remove(&format!("{UNITS}/sysinit.target"))
        }),
    ]
}

/// Returns cases in which the intact unit in usr/lib is hidden, or its settings are replaced.
fn overridden() -> Vec<Case> {
    let base = TrixieSlim;
    vec![
        of("prepare-root-masked-in-etc", base, BOOTED, |draft| {
            let unit = format!("{ETC}/ostree-prepare-root.service");
            draft.archive().put_link(&unit, "/dev/null")
        }),
        of(
            "bootc-root-setup-masked-in-etc",
            TrixieBootc,
            BOOTED,
            |draft| {
                let unit = format!("{ETC}/bootc-root-setup.service");
                draft.archive().put_link(&unit, "/dev/null")
            },
        ),
        of(
            "initrd-cleanup-empty-in-etc",
            BookwormOmit,
            BOOTED,
            |draft| {
                draft
                    .archive()
                    .put(&format!("{ETC}/initrd-cleanup.service"), FILE, "")
            },
        ),
        of("drop-in-runs-nothing", base, BOOTED, |draft| {
            let path = format!("{ETC}/ostree-prepare-root.service.d/site.conf");
            draft.archive().put(&path, FILE, "[Service]\nExecStart=\n")
        }),
        of("drop-in-condition-is-false", base, BOOTED, |draft| {
            let path = format!("{ETC}/initrd-switch-root.service.d/site.conf");
            let text = "[Unit]\nConditionPathExists=/nonexistent\n";
            draft.archive().put(&path, FILE, text)
        }),
        of("drop-in-for-old-kernels", base, BOOTED, |draft| {
            let path = format!("{ETC}/initrd-switch-root.service.d/site.conf");
            let text = "[Unit]\nConditionKernelVersion=<4.0\n";
            draft.archive().put(&path, FILE, text)
        }),
        of("drop-in-of-the-type", BookwormOmit, BOOTED, |draft| {
            let text = "[Unit]\nConditionPathExists=!/etc/initrd-release\n";
            let path = format!("{ETC}/service.d/site.conf");
            draft.archive().put(&path, FILE, text)
        }),
    ]
}

fn keep(draft: &mut Draft, unit: &str, until: &str) {
    let path = format!("{UNITS}/{unit}");
    let archive = draft.archive();
    let text = String::from_utf8(archive.get(&path).to_vec()).unwrap();
    let end = text.find(until).unwrap();
    archive.replace(&path, &text.as_bytes()[..end]);
}

fn cut() -> Vec<Case> {
    let base = TrixieSlim;
    vec![
        of("switch-root-service-cut", base, BOOTED, |draft| {
            keep(draft, "initrd-switch-root.service", "ExecStart=")
        }),
        of("initrd-target-cut", base, BOOTED, |draft| {
            keep(draft, "initrd.target", "Wants=")
        }),
        of("prepare-root-service-cut", base, BOOTED, |draft| {
            keep(draft, "ostree-prepare-root.service", "rvice]")
        }),
        of(
            "initrd-parse-etc-service-cut",
            BookwormOmit,
            BOOTED,
            |draft| keep(draft, "initrd-parse-etc.service", "]\nType"),
        ),
    ]
}

fn required() -> Vec<Case> {
    let base = TrixieSlim;
    vec![
        of("required-unit-is-absent", base, BOOTED, |draft| {
            let link = format!("{ETC}/initrd.target.requires/site.service");
            draft.archive().put_link(&link, "../site.service")
        }),
        of("required-device-is-absent", base, BOOTED, |draft| {
            let link = format!("{ETC}/initrd.target.requires/dev-site.device");
            draft.archive().put_link(&link, "../dev-site.device")
        }),
        of("units-wait-for-each-other", base, BOOTED, |draft| {
            let path = format!("{ETC}/initrd.target.d/site.conf");
            draft
                .archive()
                .put(&path, FILE, "[Unit]\nBefore=sysinit.target\n")
        }),
        broken(
            "required-unit-without-its-program",
            base,
            BOOTED,
            &[INIT],
            |draft| {
                let archive = draft.archive();
                let unit = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/usr/bin/site\n";
                archive.put(&format!("{UNITS}/site.service"), FILE, unit);
                let link = format!("{ETC}/initrd.target.requires/site.service");
                archive.put_link(&link, "/usr/lib/systemd/system/site.service");
            },
        ),
    ]
}

/// Returns cases with programs that are not executable.
fn modes() -> Vec<Case> {
    let mode = |name: &str, base, path: &'static str| {
        broken(name, base, BOOTED, &[INIT], move |draft| {
            draft.archive().set_mode(path, FILE)
        })
    };
    let mut cases = vec![
        mode(
            "prepare-root-0644",
            TrixieSlim,
            "usr/lib/ostree/ostree-prepare-root",
        ),
        mode("udevadm-0644", TrixieSlim, "usr/bin/udevadm"),
        mode("mount-0644", TrixieSlim, "usr/bin/mount"),
        mode(
            "executor-0644",
            TrixieSlim,
            "usr/lib/systemd/systemd-executor",
        ),
        mode("systemctl-0644", BookwormOmit, "usr/bin/systemctl"),
        mode(
            "fstab-generator-0644",
            TrixieSlim,
            "usr/lib/systemd/system-generators/systemd-fstab-generator",
        ),
        mode(
            "linker-0644",
            TrixieSlim,
            "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        ),
    ];
    cases.push(broken(
        "interpreter-of-init-0644",
        TrixieSlim,
        BOOTED,
        &[INIT],
        |draft| {
            let archive = draft.archive();
            archive.put(
                "init",
                PROGRAM,
                "#!/bin/sh\nexec /usr/lib/systemd/systemd\n",
            );
            archive.set_mode("usr/bin/bash", FILE);
        },
    ));
    cases
}

/// Returns cases with udev rules that are masked, truncated or skipped.
fn rules() -> Vec<Case> {
    const RULES: &str = "usr/lib/udev/rules.d";
    let of = |name: &str, base, change: fn(&mut Draft)| broken(name, base, BOOTED, &[INIT], change);
    vec![
        of("disk-rules-masked-in-etc", TrixieSlim, |draft| {
            let path = "etc/udev/rules.d/60-persistent-storage.rules";
            draft.archive().put_link(path, "/dev/null")
        }),
        of("driver-rules-masked-in-etc", TrixieSlim, |draft| {
            let path = "etc/udev/rules.d/80-drivers.rules";
            draft.archive().put_link(path, "/dev/null")
        }),
        of("systemd-rules-empty-in-etc", BookwormOmit, |draft| {
            draft
                .archive()
                .put("etc/udev/rules.d/99-systemd.rules", FILE, "")
        }),
        of("disk-is-tagged-only-when-new", TrixieSlim, |draft| {
            let rule = "ACTION==\"add\", SUBSYSTEM==\"block\", TAG+=\"systemd\"\n";
            draft
                .archive()
                .put("etc/udev/rules.d/99-systemd.rules", FILE, rule)
        }),
        of("disk-links-only-when-new", TrixieSlim, |draft| {
            let path = format!("{RULES}/60-persistent-storage.rules");
            let archive = draft.archive();
            let text = String::from_utf8(archive.get(&path).to_vec()).unwrap();
            let (from, to) = ("ACTION==\"remove\", GOTO", "ACTION!=\"add\", GOTO");
            assert!(text.contains(from));
            archive.replace(&path, text.replacen(from, to, 1));
        }),
        of("disk-rules-cut", BookwormOmit, |draft| {
            let path = format!("{RULES}/60-persistent-storage.rules");
            let archive = draft.archive();
            let half = archive.get(&path).len() / 2;
            let text = archive.get(&path)[..half].to_vec();
            archive.replace(&path, text);
        }),
        of("driver-rules-cut", TrixieSlim, |draft| {
            let path = format!("{RULES}/80-drivers.rules");
            let archive = draft.archive();
            let text = archive.get(&path).to_vec();
            let end = text.windows(4).position(|it| it == b"RUN{").unwrap();
            archive.replace(&path, &text[..end]);
        }),
        of("driver-rules-end-at-once", TrixieSlim, |draft| {
            let path = format!("{RULES}/80-drivers.rules");
            let archive = draft.archive();
            let text = String::from_utf8(archive.get(&path).to_vec()).unwrap();
            archive.replace(
                &path,
                text.replace("ACTION!=\"add\", GOTO", "ACTION==\"add\", GOTO"),
            );
        }),
    ]
}

/// Returns cases with `#!` lines that the kernel does not accept, and with an `/init` script whose last command is
/// wrong.
fn scripts() -> Vec<Case> {
    let of = |name: &str, change: fn(&mut Draft)| broken(name, TrixieSlim, BOOTED, &[INIT], change);
    vec![
        of("init-with-a-carriage-return", |draft| {
            let text = "#!/bin/sh\r\nexec /usr/lib/systemd/systemd\n";
            draft.archive().put("init", PROGRAM, text)
        }),
        of("init-with-six-nested-interpreters", |draft| {
            let archive = draft.archive();
            archive.put("init", PROGRAM, "#!/s1\n");
            for n in 1..6 {
                let next = if n == 5 {
                    "/bin/sh".to_owned()
                } else {
                    format!("/s{}", n + 1)
                };
                archive.put(&format!("s{n}"), PROGRAM, format!("#!{next}\n"));
            }
        }),
        of("init-ends-in-an-absent-program", |draft| {
            let text = "#!/bin/sh\nmount -t proc proc /proc\nexec /usr/lib/systemd/gone\n";
            draft.archive().put("init", PROGRAM, text)
        }),
        of("init-with-a-long-line", |draft| {
            let text = format!("#!/{}bin/sh\n", "./".repeat(150));
            draft.archive().put("init", PROGRAM, text)
        }),
    ]
}

/// Returns cases in which a directory that every boot needs is a file or a dangling link, or in which libkmod is
/// missing.
fn places() -> Vec<Case> {
    let of = |name: &str, change: fn(&mut Draft)| broken(name, TrixieSlim, BOOTED, &[INIT], change);
    vec![
        of("proc-is-a-file", |draft| {
            let archive = draft.archive();
            archive.remove("proc");
            archive.put("proc", FILE, "")
        }),
        of("sysroot-is-a-file", |draft| {
            let archive = draft.archive();
            archive.remove("sysroot");
            archive.put("sysroot", FILE, "")
        }),
        of("run-dangles", |draft| {
            let archive = draft.archive();
            archive.remove("run");
            archive.put_link("run", "/var/gone")
        }),
        of("kmod-and-libkmod-gone", |draft| {
            let gone = |name: &str| name == "usr/bin/kmod" || name.contains("/libkmod.so");
            draft.archive().remove_all(gone)
        }),
        of("libkmod-gone", |draft| {
            draft
                .archive()
                .remove_all(|name| name.contains("/libkmod.so"))
        }),
    ]
}

/// Returns cases with settings that ostree-prepare-root or bootc does not accept.
fn configuration() -> Vec<Case> {
    const CONF: &str = "usr/lib/ostree/prepare-root.conf";
    const BOOTC: &str = "usr/lib/composefs/setup-root-conf.toml";
    let written =
        |name: &str, base, comes_of: &'static str, path: &'static str, text: &'static str| {
            broken(name, base, comes_of, &["initramfs-ostree"], move |draft| {
                draft.archive().put(path, FILE, text);
                draft.write(path, text);
            })
        };
    let of = |name: &str, text| written(name, TrixieSlim, BOOTED, CONF, text);
    let bootc = |name: &str, text| written(name, TrixieBootc, SOURCE, BOOTC, text);
    vec![
        bootc("setup-root-conf-misspelt", "[etc]\nmount = \"overlayfs\"\n"),
        bootc("setup-root-conf-not-toml", "[root]\ntransient=yes\n"),
        bootc("setup-root-conf-cut", "[etc]\nmount = \"tran"),
        of("prepare-root-conf-misspelt", "[sysroot]\nreadonly=yse\n"),
        of("prepare-root-conf-without-a-section", "readonly=true\n"),
        of(
            "prepare-root-conf-transient-root",
            "[root]\ntransient=true\n",
        ),
        of("prepare-root-conf-cut", "[sysroot]\nreadon"),
    ]
}
