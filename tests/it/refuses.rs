// SPDX-License-Identifier: MIT OR Apache-2.0
//! Refused runs, with exit status 3: no program of the tree ran, and the tree is unchanged.

use std::os::unix::fs::symlink;

use nix::fcntl::{Flock, FlockArg};

use crate::bed::Bed;
use crate::kernels::{Build, NEW, OLD, Pkg};
use crate::server::Server;

/// A run that is refused: its name, a function that changes the base and returns the arguments of `replace`, and the
/// texts that are expected on stderr.
struct Case {
    name: &'static str,
    prepare: fn(&Bed) -> Vec<String>,
    says: &'static [&'static str],
}

#[track_caller]
fn refused(bed: fn() -> Bed, cases: &[Case]) {
    for Case {
        name,
        prepare,
        says,
    } in cases
    {
        println!("{name}");
        let bed = bed();
        let mut args = vec!["replace".to_owned()];
        args.extend(prepare(&bed));
        let ran = bed.run(&args);
        ran.ends_with(3)
            .in_order(&[])
            .untouched()
            .complains(&["error: "])
            .complains(says);
        ran.require(ran.stdout.is_empty(), "stdout is for results");
        args.extend(["--format", "json"].map(str::to_owned));
        let ran = bed.run(&args);
        ran.ends_with(3).untouched();
        ran.require(ran.json()["outcome"] == "refused", "JSON says so");
    }
}

const fn case(
    name: &'static str,
    prepare: fn(&Bed) -> Vec<String>,
    says: &'static [&'static str],
) -> Case {
    Case {
        name,
        prepare,
        says,
    }
}

fn source(bed: &Bed) -> Vec<String> {
    vec![bed.source()]
}

/// Makes a function for [`Case::prepare`], which runs `$do` on the base and returns the directory of RPMs as the
/// argument.
macro_rules! with {
    ($bed:ident, $do:block) => {
        |$bed: &Bed| {
            $do
            source($bed)
        }
    };
}

#[test]
fn survey() {
    refused(
        Bed::new,
        &[
            case(
                "dracut is missing",
                with!(bed, {
                    bed.remove("usr/bin/dracut");
                }),
                &[
                    "dracut not found in the image",
                    "Install its package in an earlier RUN line",
                ],
            ),
            case(
                "several are missing",
                with!(bed, {
                    bed.remove("usr/bin/rpm");
                    bed.remove("usr/bin/depmod");
                }),
                &["rpm, depmod not found in the image"],
            ),
            case(
                "a booted host",
                with!(bed, {
                    bed.write("run/ostree-booted", "");
                }),
                &["booted ostree host", "rpm-ostree override replace"],
            ),
            case(
                "a UKI",
                with!(bed, {
                    bed.write("boot/EFI/Linux/fedora.efi", "");
                }),
                &[
                    "boot/EFI/Linux/fedora.efi",
                    "Use a base image without a UKI",
                ],
            ),
            case(
                "a UKI in place of vmlinuz and initramfs",
                with!(bed, {
                    bed.remove("usr/lib/modules/6.1.7-100.fc40.x86_64/vmlinuz");
                    bed.write("boot/EFI/Linux/fedora.efi", "");
                    bed.write(
                        "usr/lib/modules/6.1.7-100.fc40.x86_64/6.1.7-100.fc40.x86_64.efi",
                        "",
                    );
                }),
                &[
                    "kernel and initramfs in a unified kernel image only",
                    "boot/EFI/Linux/fedora.efi",
                    "6.1.7-100.fc40.x86_64.efi",
                    "Replace the kernel in the stage that builds the UKI",
                ],
            ),
            case(
                "two kernels",
                with!(bed, {
                    bed.write("usr/lib/modules/6.2.0/vmlinuz", "");
                }),
                &[
                    "holds 2 kernels; expected one",
                    "\n  rpm -e kernel-6.1.7-100.fc40.x86_64 kernel-core-6.1.7-100.fc40.x86_64 kernel-modules-6.1.7-100.fc40.x86_64 kernel-modules-core-6.1.7-100.fc40.x86_64  (removes 6.1.7-100.fc40.x86_64)\n",
                    "\n  rm -r /usr/lib/modules/6.2.0  (removes 6.2.0)\n",
                ],
            ),
            case(
                "two kernels, one of which has a name to stumble over",
                with!(bed, {
                    bed.write("usr/lib/modules/a; reboot/vmlinuz", "");
                }),
                &["\n  remove its directory  (removes a; reboot)\n"],
            ),
            case(
                "a kernel directory that is none",
                with!(bed, {
                    bed.remove("usr/lib/modules/6.1.7-100.fc40.x86_64");
                    bed.write("usr/lib/modules/a b/vmlinuz", "");
                }),
                &["usr/lib/modules: \"a b\" is not a kernel release string"],
            ),
            case(
                "a wrapper that runs itself",
                with!(bed, {
                    bed.cliwrap();
                    bed.wrapper("usr/libexec/rpm-ostree/wrapped/dracut");
                }),
                &[
                    "/usr/bin/dracut is an rpm-ostree wrapper whose real program is gone",
                    "Use a base image",
                ],
            ),
            case(
                "a wrapper without its program",
                with!(bed, {
                    bed.cliwrap();
                    bed.remove("usr/libexec/rpm-ostree/wrapped/rpm");
                }),
                &["/usr/bin/rpm is an rpm-ostree wrapper whose real program is gone"],
            ),
            case(
                "kernel files without packages",
                with!(bed, {
                    bed.remove("usr/share/rpm");
                    bed.write(
                        "usr/share/rpm/bash.pkg",
                        "N\tbash\t0\t5\t1\tx86_64\t(none)\n",
                    );
                }),
                &["no installed package belongs to the kernel 6.1.7-100.fc40.x86_64"],
            ),
        ],
    );
}

#[test]
fn lost_programs_are_not_run_by_any_command() {
    let looped = || {
        let bed = Bed::new();
        bed.cliwrap();
        bed.wrapper("usr/libexec/rpm-ostree/wrapped/rpm");
        bed.wrapper("usr/libexec/rpm-ostree/wrapped/dracut");
        bed
    };
    let ran = looped().run(&["rebuild"]);
    ran.ends_with(3)
        .untouched()
        .complains(&["/usr/bin/rpm, /usr/bin/dracut"]);
    ran.require(ran.order().is_empty(), "nothing was run at all");
    let ran = looped().run(&["status"]);
    ran.ends_with(0)
        .untouched()
        .prints(&["lost       /usr/bin/dracut, a wrapper without its program\n"]);
}

#[test]
fn resolve() {
    refused(
        Bed::new,
        &[
            case(
                "not an RPM",
                with!(bed, {
                    fs_err::write(bed.rpms().join("a.rpm"), "hello, world").unwrap();
                }),
                &["a.rpm: not an RPM file: it starts with 68656c6c, expected edabeedb"],
            ),
            case(
                "an empty file",
                with!(bed, {
                    fs_err::write(bed.rpms().join("a.rpm"), "").unwrap();
                }),
                &["a.rpm: not an RPM file"],
            ),
            case(
                "a cut header",
                with!(bed, {
                    cut(bed, 400);
                }),
                &["kernel-core-6.9.4", "the file is truncated by"],
            ),
            case(
                "a cut payload",
                with!(bed, {
                    let rpm = rpm_of_core(bed);
                    cut(bed, fs_err::metadata(rpm).unwrap().len() - 10);
                }),
                &[
                    "kernel-core-6.9.4",
                    "the payload's SHA-256 digest does not match",
                ],
            ),
            case(
                "a flipped byte in the header",
                with!(bed, {
                    let rpm = rpm_of_core(bed);
                    let mut bytes = fs_err::read(&rpm).unwrap();
                    let at = bytes
                        .windows(5)
                        .rposition(|window| window == b"uname")
                        .unwrap();
                    bytes[at] = b'U';
                    fs_err::write(rpm, bytes).unwrap();
                }),
                &[
                    "kernel-core-6.9.4",
                    "digest does not match",
                    "damaged or was tampered with",
                ],
            ),
            case(
                "an empty directory",
                |bed| vec![bed.beside("empty").to_str().unwrap().to_owned()],
                &["empty: a directory without any *.rpm file"],
            ),
            case(
                "an absent file",
                |_| vec!["/absent/kernel-core.rpm".into()],
                &[
                    "/absent/kernel-core.rpm: ",
                    "no such file",
                    "expected an RPM file",
                ],
            ),
            case(
                "a directory of that name",
                with!(bed, {
                    fs_err::create_dir(bed.rpms().join("b.rpm")).unwrap();
                }),
                &["b.rpm: not a regular file; expected an RPM file"],
            ),
            case(
                "a fifo of that name",
                with!(bed, {
                    let mode = nix::sys::stat::Mode::S_IRWXU;
                    nix::unistd::mkfifo(&bed.rpms().join("b.rpm"), mode).unwrap();
                }),
                &["b.rpm: not a regular file; expected an RPM file"],
            ),
            case(
                "a link to nothing",
                with!(bed, {
                    symlink("/absent", bed.rpms().join("b.rpm")).unwrap();
                }),
                &["b.rpm: ", "No such file"],
            ),
            case(
                "a closed port",
                |_| vec![Server::closed()],
                &["downloading http://127.0.0.1:", "refused"],
            ),
            case(
                "404",
                |_| vec![Server::start(404, "text/html", |_| vec![]).url("kernel-core.rpm")],
                &["downloading http://127.0.0.1:", "404", "Check the address"],
            ),
            case(
                "a page that says 200",
                |_| {
                    vec![
                        Server::start(200, "text/html", |_| b"<!DOCTYPE html><p>Sign in".to_vec())
                            .url("kernel-core.rpm"),
                    ]
                },
                &[
                    "downloading http://127.0.0.1:",
                    "a web page, not an RPM file: it starts with \"<!DOCTYPE html><p>Sign in\"",
                ],
            ),
            case(
                "a scheme that is not supported",
                |_| vec!["ftp://127.0.0.1/kernel-core.rpm".into()],
                &[
                    "ftp://127.0.0.1/kernel-core.rpm: ftp:// is not supported",
                    "expected http://, https:// or file:///",
                ],
            ),
            case(
                "another scheme, pinned",
                |_| vec![format!("s3://bucket/k.rpm#sha256={}", "0".repeat(64))],
                &["s3://bucket/k.rpm: s3:// is not supported"],
            ),
            case(
                "a directory that is not mounted",
                |_| vec!["/ctx/kernel-rpms".into()],
                &[
                    "/ctx/kernel-rpms: no such file or directory",
                    "RUN --mount=type=bind,source=kernel-rpms,target=/ctx/kernel-rpms \\\n      ostree-kernel replace /ctx/kernel-rpms\n",
                ],
            ),
            case(
                "a pattern in a directory that is not mounted",
                |_| vec!["/ctx/rpms/*.rpm".into()],
                &["RUN --mount=type=bind,source=rpms,target=/ctx/rpms \\\n"],
            ),
            case(
                "a pattern that no file has",
                |bed| vec![format!("{}/*.rpm", bed.beside("none").display())],
                &[
                    "/none/*.rpm: no file matches this pattern",
                    "ostree-kernel replace /",
                ],
            ),
            case(
                "a package's name",
                |_| vec!["kernel".into()],
                &[
                    "kernel: no such file",
                    "ostree-kernel replace --from REPO kernel",
                ],
            ),
        ],
    );
}

fn rpm_of_core(bed: &Bed) -> std::path::PathBuf {
    bed.rpms().join("kernel-core-6.9.4-200.fc40.x86_64.rpm")
}

fn cut(bed: &Bed, length: u64) {
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(rpm_of_core(bed))
        .unwrap();
    file.set_len(length).unwrap();
}

/// Returns the packages of NEW whose names `which` accepts.
fn some(which: fn(&str) -> bool) -> Vec<Pkg> {
    NEW.packages()
        .into_iter()
        .filter(|it| which(&it.name))
        .collect()
}

const OTHER: Build = Build {
    kver: "6.9.5-200.fc40.x86_64",
    version: "6.9.5",
    ..NEW
};

#[test]
fn plan() {
    refused(
        Bed::new,
        &[
            case(
                "mixed builds",
                with!(bed, {
                    bed.offer(NEW, &some(|name| name != "kernel-modules"));
                    bed.rpm(&OTHER.packages()[2]);
                }),
                &[
                    "not of one build",
                    NEW.kver,
                    "kernel-modules-6.9.5-200.fc40.x86_64",
                ],
            ),
            case(
                "several kernels",
                with!(bed, {
                    OTHER.packages().iter().for_each(|it| {
                        bed.rpm(it);
                    });
                }),
                &[
                    "the sources hold 2 kernels",
                    "--kver 6.9.4-200.fc40.x86_64  (kernel-core-6.9.4-200.fc40.x86_64)",
                    "--kver 6.9.5-200.fc40.x86_64  (kernel-core-6.9.5-200.fc40.x86_64)",
                ],
            ),
            case(
                "no modules-core",
                with!(bed, {
                    bed.offer(NEW, &some(|name| name != "kernel-modules-core"));
                }),
                &[
                    "the set of packages is incomplete",
                    "nothing provides kernel-modules-core-uname-r = 6.9.4-200.fc40.x86_64",
                    "Add the missing RPMs",
                ],
            ),
            case(
                "no counterpart",
                with!(bed, {
                    bed.offer(NEW, &some(|name| name.contains("core")));
                }),
                &[
                    "no such packages of 6.9.4-200.fc40.x86_64",
                    "allow the removal: --remove kernel-modules",
                ],
            ),
            case(
                "no kernel",
                with!(bed, {
                    bed.offer(NEW, &some(|name| name == "kernel-modules"));
                }),
                &[
                    "none of the packages is a kernel",
                    "kernel-modules-6.9.4-200.fc40.x86_64",
                ],
            ),
            case(
                "another architecture",
                with!(bed, {
                    let arm = Build {
                        kver: "6.9.4-200.fc40.aarch64",
                        arch: "aarch64",
                        ..NEW
                    };
                    bed.offer(arm, &arm.packages());
                }),
                &["is for aarch64, and the image is x86_64"],
            ),
            case(
                "another --kver",
                |bed| {
                    vec![
                        "--kver".into(),
                        "6.9.5-200.fc40.x86_64".into(),
                        bed.source(),
                    ]
                },
                &[
                    "--kver requires 6.9.5-200.fc40.x86_64",
                    "kernel-core-6.9.4-200.fc40.x86_64 holds the kernel 6.9.4-200.fc40.x86_64",
                ],
            ),
            case(
                "half of it is installed",
                with!(bed, {
                    bed.offer(OLD, &OLD.packages());
                    bed.remove("usr/share/rpm/kernel-modules.pkg");
                }),
                &[
                    "the kernel 6.1.7-100.fc40.x86_64 is incomplete. Installed: kernel-6.1.7-100.fc40.x86_64, kernel-core-6.1.7",
                    "Not installed: kernel-modules-6.1.7-100.fc40.x86_64.",
                    "build the layer again",
                ],
            ),
            case(
                "a backend that is not here",
                |bed| vec!["--backend=dnf5".into(), bed.source()],
                &["the backend dnf5 cannot be used here"],
            ),
            case(
                "no backend at all",
                with!(bed, {
                    bed.remove("usr/bin/rpm-ostree");
                }),
                &["no program to replace packages"],
            ),
            case(
                "rpm-ostree without an ostree container",
                |bed| {
                    bed.remove("sysroot");
                    vec!["--backend=rpm-ostree".into(), bed.source()]
                },
                &["rpm-ostree works in an ostree container only"],
            ),
            case(
                "a package that is no kernel's",
                |bed| {
                    let bash = Pkg {
                        name: "bash".into(),
                        requires: vec![],
                        provides: vec![],
                        ..NEW.packages()[0].clone()
                    };
                    vec![
                        bed.source(),
                        bed.rpm(&bash)
                            .with_extension("x")
                            .with_extension("rpm")
                            .to_str()
                            .unwrap()
                            .into(),
                    ]
                },
                &[
                    "bash-6.9.4-200.fc40.x86_64 is not a package of the kernel 6.9.4-200.fc40.x86_64",
                ],
            ),
            case(
                "--require-signature",
                |bed| vec!["--require-signature".into(), bed.source()],
                &["is not signed, and --require-signature was given"],
            ),
        ],
    );
}

#[test]
fn a_cliwrapped_base_is_not_unwrapped_for_a_refusal() {
    let bed = Bed::new();
    bed.cliwrap();
    bed.write("usr/bin/useradd.rpmostreesave", "\x7fELF");
    let ran = bed.run(&["replace", "--kver", "6.9.5", &bed.source()]);
    ran.ends_with(3).in_order(&[]).untouched();
}

#[test]
fn another_run_holds_the_lock() {
    let bed = Bed::new();
    bed.write("run/ostree-kernel/lock", "");
    let lock = fs_err::File::open(bed.path("run/ostree-kernel/lock")).unwrap();
    let lock = Flock::lock(lock.into_file(), FlockArg::LockExclusiveNonblock).unwrap();
    for args in [
        vec!["replace".to_owned(), bed.source()],
        vec!["rebuild".to_owned()],
    ] {
        let ran = bed.run(&args);
        ran.ends_with(3).in_order(&[]).untouched();
        ran.complains(&[
            "another ostree-kernel is running on this tree",
            "run/ostree-kernel/lock",
        ]);
    }
    drop(lock);
    let ran = bed.run(&["replace", "--dry-run", &bed.source()]);
    ran.ends_with(0)
        .in_order(&[])
        .changes(&["-run/ostree-kernel"]);
}

#[test]
fn without_the_privilege_to_enter_the_root() {
    use std::os::unix::process::CommandExt;
    let bed = Bed::new();
    if !crate::privilege::has_user(65534) {
        return;
    }
    let program = bed.copy_of_program();
    let root = bed.root().to_str().unwrap().to_owned();
    for args in [&["replace", &bed.source()][..], &["rebuild"]] {
        let args: Vec<_> = args
            .iter()
            .chain(&["--root", &root])
            .map(|arg| (*arg).to_owned())
            .collect();
        let ran = bed.run_program(&program, &args, None, |command| {
            command.uid(65534).gid(65534);
        });
        ran.ends_with(3).in_order(&[]).untouched();
        ran.complains(&["cannot run programs inside", "CAP_SYS_ADMIN", "Run as root"]);
    }
}

#[test]
fn a_command_line_that_cannot_be_understood() {
    let bed = Bed::new();
    for args in [
        &["replace"][..],
        &["replace", "--backend", "apt", "x.rpm"],
        &["replace", "--kver", "../x", "x.rpm"],
        &["replace", "--no-such-option", "x.rpm"],
        &["no-such-command"],
        &[],
    ] {
        bed.run(args)
            .ends_with(2)
            .untouched()
            .complains(&["--help"]);
    }
}

#[test]
fn traces_of_other_build_scripts_are_refused_or_reported() {
    let bed = Bed::new();
    bed.remove("tmp");
    symlink("sysroot/tmp", bed.path("tmp")).unwrap();
    let says = "/tmp is a dangling link to sysroot/tmp, and dracut and rpm write there";
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(3)
        .in_order(&[])
        .untouched()
        .complains(&[says]);

    let bed = Bed::new();
    bed.remove("usr/bin/dracut");
    symlink("cat", bed.path("usr/bin/dracut")).unwrap();
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(3).in_order(&[]).untouched();
    ran.complains(&["/usr/bin/dracut is a link to cat, not dracut"]);

    let bed = Bed::new();
    bed.program(
        "usr/lib/kernel/install.d/05-rpmostree.install",
        "#!/bin/sh\nexit 0\n",
    );
    bed.write(
        "usr/share/rpm-ostree/treefile.json",
        "{\"no-initramfs\": true}",
    );
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0).complains(&[
        "/usr/lib/kernel/install.d/05-rpmostree.install is a script that does nothing",
        "so the base has no initramfs",
    ]);
    let ran = bed.run(&["replace", "--timeout=0", &bed.source()]);
    ran.ends_with(2).untouched();
    // The first run has done the work: the plan lists no temporary change and no directory to remove.
    let ran = bed.run(&["replace", "--dry-run", &bed.source()]);
    ran.ends_with(0);
    let out = &ran.stdout;
    ran.require(!out.contains("for the time of the transaction"), out);
    ran.require(!out.contains("removed, if no package owns"), out);
}
