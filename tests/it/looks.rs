// SPDX-License-Identifier: MIT OR Apache-2.0
//! `status`, `verify` and `inspect`: their output, and that they change nothing.

use std::os::unix::fs::PermissionsExt;

use crate::bed::Bed;
use crate::image::{self, Fault};
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;

const DIR: &str = "usr/lib/modules/6.1.7-100.fc40.x86_64";

#[test]
fn status_of_a_good_tree() {
    let bed = Bed::new();
    let ran = bed.run(&["status"]);
    ran.ends_with(0).in_order(&[]).untouched().prints(&[
        "tree       ostree container\n",
        "backend    rpm-ostree\n",
        "cliwrap    off\n",
        "layout     ostree\n",
        "rpm-ostree 2025.6\n",
        "kernel     6.1.7-100.fc40.x86_64 (initramfs 0.0 MiB)\n",
        "package    kernel-core-6.1.7-100.fc40.x86_64\n",
    ]);
    let ran = bed.run(&["status", "--format", "json"]);
    ran.ends_with(0).untouched();
    let json = ran.json();
    for (pointer, expected) in [
        ("/schema", serde_json::json!(1)),
        ("/kind", "ostree-container".into()),
        ("/backends", serde_json::json!(["rpm-ostree"])),
        ("/rpm_ostree", "2025.6".into()),
        ("/layout_ostree", true.into()),
        ("/kernels/0/kver", OLD.kver.into()),
        ("/kernels/0/vmlinuz", true.into()),
        ("/leftovers", serde_json::json!([])),
        ("/labels/ostree.linux", OLD.kver.into()),
    ] {
        let found = json.pointer(pointer);
        ran.require(
            found == Some(&expected),
            &format!("{pointer}: expected {expected}"),
        );
    }
}

#[test]
fn status_of_a_bad_tree() {
    let bed = Bed::dnf("dnf");
    bed.cliwrap();
    bed.write("usr/bin/useradd.rpmostreesave", "\x7fELF");
    bed.write("usr/lib/modules/6.2.0/kernel/x.ko", "");
    bed.remove("usr/bin/depmod");
    bed.run(&["status"])
        .ends_with(0)
        .in_order(&[])
        .untouched()
        .prints(&[
            "tree       container without an ostree repository\n",
            "backend    dnf\n",
            "cliwrap    on\n",
            "layout     other\n",
            "kernel     6.2.0 (no vmlinuz)\n",
            "leftover   /usr/bin/useradd.rpmostreesave\n",
            "missing    depmod\n",
        ]);
}

#[test]
fn verify_of_a_good_tree() {
    for bed in [Bed::new(), Bed::dnf("dnf5")] {
        for args in [
            &["verify"][..],
            &["verify", "--kver", OLD.kver],
            &["kernel", "verify"],
        ] {
            if args[0] == "kernel" {
                // The word `kernel` is accepted as the first argument only, and `--root` precedes it here.
                bed.run(args).ends_with(2).untouched();
                continue;
            }
            let ran = bed.run(args);
            ran.ends_with(0).in_order(&[]).untouched();
            ran.prints(&[
                "kernel 6.1.7-100.fc40.x86_64: initramfs 0.0 MiB, ",
                " checks ran, no fatal findings\n",
            ]);
        }
        let file = bed.beside("out").join("report.json");
        let ran = bed.run(&[
            "verify",
            "--format",
            "json",
            "--report",
            file.to_str().unwrap(),
        ]);
        ran.ends_with(0).untouched();
        let json = ran.json();
        ran.require(
            json["command"] == "verify" && json["outcome"] == "passed",
            "it passed",
        );
        ran.require(json["findings"] == serde_json::json!([]), "no finding");
        ran.require(
            fs_err::read_to_string(file).unwrap() == ran.stdout,
            "--report is the same",
        );
    }
}

/// Replaces the rpmdb with a file that is not an SQLite database.
fn damage_rpmdb(bed: &Bed) {
    crate::rpmdb::write(&bed.root());
    bed.write("usr/share/rpm/rpmdb.sqlite", "an rpmdb that somebody cut");
}

#[test]
fn findings_of_verify() {
    type Spoil = fn(&Bed);
    let table: [(i32, &str, &str, Spoil); 16] = [
        (
            4,
            "fatal kernel-single",
            "2 directories with a vmlinuz: 6.1.7-100.fc40.x86_64, 6.2.0",
            |bed| {
                bed.write("usr/lib/modules/6.2.0/vmlinuz", image::vmlinuz("6.2.0"));
            },
        ),
        (
            4,
            "fatal kernel-release",
            "a kernel of the release 6.9.4-200.fc40.x86_64",
            |bed| {
                bed.write(&format!("{DIR}/vmlinuz"), image::vmlinuz(NEW.kver));
            },
        ),
        (1, "unknown kernel-release", "could not run", |bed| {
            bed.write(&format!("{DIR}/vmlinuz"), "hello")
        }),
        (0, "warning kernel-rpmdb", "no package owns it", |bed| {
            bed.write("usr/share/rpm/kernel-core.files", "")
        }),
        (4, "fatal kernel-rpmdb", "2 packages own it", |bed| {
            let files = format!("/lib/modules/{}/vmlinuz\n", OLD.kver);
            bed.write("usr/share/rpm/twin.files", files);
            bed.write(
                "usr/share/rpm/twin.pkg",
                "N\ttwin\t0\t1\t1\tx86_64\t(none)\n",
            );
        }),
        (1, "unknown kernel-rpmdb", "could not run", damage_rpmdb),
        (
            0,
            "skipped kernel-rpmdb",
            "there is no rpmdb in the tree",
            |bed| bed.remove("usr/share/rpm"),
        ),
        (
            0,
            "skipped kernel-rpmdb",
            "/usr/share/rpm/Packages.db has the format ndb, which only the image's rpm can read",
            |bed| bed.write("usr/share/rpm/Packages.db", "RpmP"),
        ),
        (4, "fatal initramfs-present", "no such file", |bed| {
            bed.remove(&format!("{DIR}/initramfs.img"))
        }),
        (4, "fatal initramfs-present", "an empty file", |bed| {
            bed.write(&format!("{DIR}/initramfs.img"), "")
        }),
        (0, "warning initramfs-mode", "mode 0644", |bed| {
            let mode = std::fs::Permissions::from_mode(0o644);
            fs_err::set_permissions(bed.path(&format!("{DIR}/initramfs.img")), mode).unwrap();
        }),
        (
            4,
            "fatal initramfs-readable",
            "archives that the kernel can unpack",
            |bed| {
                bed.write(
                    &format!("{DIR}/initramfs.img"),
                    OLD.initramfs(Fault::Truncated),
                );
            },
        ),
        (
            4,
            "fatal initramfs-kver",
            "6.1.7-100.fc40.x86_64 and no other",
            |bed| {
                bed.write(&format!("{DIR}/initramfs.img"), NEW.initramfs(Fault::None));
            },
        ),
        (4, "fatal initramfs-ostree", "ostree-prepare-root", |bed| {
            bed.write(
                &format!("{DIR}/initramfs.img"),
                OLD.initramfs(Fault::NoOstree),
            );
        }),
        (4, "fatal modules-depmod", "no such file", |bed| {
            bed.remove(&format!("{DIR}/modules.dep"))
        }),
        (0, "warning leftovers", "boot/vmlinuz-5", |bed| {
            bed.write("boot/vmlinuz-5", "")
        }),
    ];
    for (status, check, says, spoil) in table {
        println!("{check}: {says}");
        let bed = Bed::new();
        spoil(&bed);
        let ran = bed.run(&["verify"]);
        ran.ends_with(status).in_order(&[]).untouched();
        let line = ran.stdout.lines().find(|line| line.starts_with(check));
        if check.starts_with("fatal") || check.starts_with("warning") {
            ran.prints(&["\n  expected: ", "\n  to do:    "]);
        }
        let is_said = line.is_some() && ran.stdout.contains(says);
        ran.require(is_said, &format!("a line was expected: {check} … {says}"));
        let (severity, name) = check.split_once(' ').unwrap();
        if severity == "fatal" || severity == "warning" {
            let ran = bed.run(&["verify", "--format", "json"]);
            let findings = ran.ends_with(status).json()["findings"].clone();
            let found =
                findings.as_array().unwrap().iter().any(|it| {
                    it["check"] == name && it["severity"] == severity && it["remedy"] != ""
                });
            ran.require(found, "the same as JSON");
        }
    }
}

#[test]
fn verify_without_a_kernel() {
    let bed = Bed::new();
    bed.remove(DIR);
    let ran = bed.run(&["verify"]);
    ran.ends_with(1).in_order(&[]).untouched();
    ran.complains(&["error: no directory in usr/lib/modules holds a vmlinuz"]);
}

#[test]
fn verify_lists_its_checks() {
    let ran = verify_alone(&Bed::new(), &["--list"]);
    ran.ends_with(0).untouched();
    ran.prints(&[
        "kernel-single",
        "initramfs-kver",
        "initramfs-mode",
        "fatal",
        "warning",
    ]);
    ran.require(ran.ran.is_empty(), "it looks at nothing");
    let ran = verify_alone(&Bed::new(), &["--list", "--format", "json"]);
    let json = ran.ends_with(0).untouched().json();
    let checks = json["checks"].as_array().unwrap();
    let is_listed = |name: &str, severity: &str| {
        let mut checks = checks.iter();
        checks.any(|it| it["check"] == name && it["severity"] == severity)
    };
    ran.require(
        is_listed("kernel-single", "fatal") && is_listed("leftovers", "warning"),
        "every check with its severity",
    );
}

/// Runs `verify ARGS` without `--root`.
fn verify_alone(bed: &Bed, args: &[&str]) -> Ran {
    let all = ["verify"].iter().chain(args).map(|it| (*it).to_owned());
    bed.run_exactly(&all.collect::<Vec<_>>(), |_| {})
}

#[test]
fn inspect_shows_where_files_come_from() {
    let bed = Bed::new();
    bed.write("images/old", OLD.initramfs(Fault::None));
    bed.write("usr/sbin/nvme", "#!/bin/sh\n");
    bed.write(
        "usr/lib/systemd/system/ostree-prepare-root.service",
        "[Unit]\n",
    );
    bed.write("usr/bin/systemd", "");
    bed.remove_if_there("usr/sbin/multipathd");
    let ran = bed.run(&["inspect", "--origins", "/images/old"]);
    ran.ends_with(0).prints(&[
        "generated  usr/lib/dracut/modules.txt\n",
        "tree       usr/lib/systemd/system/ostree-prepare-root.service\n",
        "addition   usr/sbin/multipathd\n",
        "differs    usr/sbin/nvme: an ELF file, but the tree's file is not one\n",
    ]);
}

#[test]
fn verify_of_a_file() {
    let bed = Bed::new();
    let image = |name: &str, bytes: &[u8]| {
        let path = bed.beside("images").join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = image("good", &OLD.initramfs(Fault::None));
    let cut = image("cut", &OLD.initramfs(Fault::Truncated));
    let fifo = image("fifo", b"");
    fs_err::remove_file(&fifo).unwrap();
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let dir = bed.beside("images").to_str().unwrap().to_owned();
    let of = |image: &str, more: &[&str]| {
        let args = [&["--initramfs", image, "--kver", OLD.kver], more].concat();
        verify_alone(&bed, &args)
    };
    of(&good, &[]).ends_with(0).prints(&[
        "there is no tree, only an initramfs",
        "initramfs 0.0 MiB, 7 of ",
        " checks ran, no fatal findings\n",
    ]);
    // Without `--kver`, the kernel release is that of the file's modules; with it, another release is verified.
    let ran = verify_alone(&bed, &["--initramfs", &good]);
    ran.ends_with(0).prints(&[OLD.kver, "no fatal findings"]);
    let ran = verify_alone(&bed, &["--initramfs", &good, "--kver", NEW.kver]);
    ran.ends_with(4)
        .prints(&["fatal initramfs-kver: ", NEW.kver]);
    let mut bytes = OLD.initramfs(Fault::None);
    bytes.extend(NEW.initramfs(Fault::None));
    let two = image("two", &bytes);
    let none = image("none", &image::archive(&[]));
    for (image, says) in [
        (&two, "holds modules of several kernels ("),
        (&none, "holds no kernel modules"),
        (&cut, "truncated at byte"),
    ] {
        let ran = verify_alone(&bed, &["--initramfs", image]);
        ran.ends_with(1).complains(&[says, "--kver KVER"]);
    }
    of(&good, &["--against", &good])
        .ends_with(0)
        .prints(&["8 of ", " checks ran"]);
    of(&cut, &[])
        .ends_with(4)
        .prints(&["fatal initramfs-readable: initramfs.img: found truncated at byte"]);
    for (image, says) in [
        (fifo.as_str(), "it is not a regular file"),
        (&dir, "it is not a regular file"),
        ("/nowhere", "No such file"),
    ] {
        of(image, &[])
            .ends_with(1)
            .complains(&["error: opening the initramfs", says]);
        // `--against` accepts a directory: the root of a tree.
        let says = if image == dir {
            "no directory in usr/lib/modules holds a vmlinuz"
        } else {
            says
        };
        of(&good, &["--against", image])
            .ends_with(1)
            .complains(&["to compare with", says]);
    }
    for (args, says) in [
        (&["--initramfs", &good, OLD.kver][..], "verify --kver 6."),
        (&[&good], "  ostree-kernel verify --initramfs /"),
        (&[&dir], "  ostree-kernel verify --root /"),
        (&["--only", "nonsense"], "possible values: kernel-single"),
        (
            &["--root", "/x", "--initramfs", &good],
            "ostree-kernel verify --root /x\n",
        ),
        (&["--root-device", "tape"], "possible values: virtio"),
    ] {
        verify_alone(&bed, args).ends_with(2).complains(&[says]);
    }
}

#[test]
fn verify_with_some_checks() {
    let bed = Bed::new();
    let run = |args: &[&str]| bed.run(&[&["verify"], args].concat());
    run(&["--only", "initramfs-kver"])
        .ends_with(0)
        .prints(&["1 of 1 checks ran"]);
    let skipped = run(&["--skip", "initramfs-kver"]);
    skipped
        .ends_with(0)
        .prints(&["skipped initramfs-kver: excluded with --skip\n"]);
    let json = run(&["--skip", "initramfs-kver", "--format", "json"]).json();
    let checks = json["checks"].as_array().unwrap();
    let is_said = checks
        .iter()
        .any(|it| it["check"] == "initramfs-kver" && it["answer"] == "skipped");
    skipped.require(is_said, "the report says that it was skipped");
    bed.write("boot/vmlinuz-5", "");
    run(&[]).ends_with(0);
    run(&["--fatal-warnings"]).ends_with(4).prints(&[
        "warning leftovers",
        "rejected by --fatal-warnings: 1 warning, ",
    ]);
    run(&["--fatal-warnings", "--skip", "leftovers"]).ends_with(0);
    // Fatal findings take precedence over checks that could not run.
    damage_rpmdb(&bed);
    run(&[])
        .ends_with(1)
        .prints(&[": unknown: 1 check could not run, "]);
    run(&["--require-driver", "nonesuch"]).ends_with(4);
    // Warnings, and checks that do not apply, do not change the exit status.
    bed.write(&format!("{DIR}/vmlinuz"), "hello");
    let only = [
        "--only",
        "kernel-hmac",
        "--only",
        "leftovers",
        "--only",
        "initramfs-mode",
    ];
    run(&only).ends_with(0);
}

#[test]
fn no_check_ran_is_a_failure() {
    let bed = Bed::new();
    for args in [
        &["--only", "leftovers", "--skip", "leftovers"][..],
        // These checks do not apply: there is no base to compare with, and no .vmlinuz.hmac.
        &["--only", "kernel-signature"],
        &[
            "--only",
            "initramfs-regression",
            "--only",
            "initramfs-firmware",
        ],
        &["--only", "kernel-hmac"],
    ] {
        let ran = bed.run(&[&["verify"], args].concat());
        ran.ends_with(1).untouched();
        ran.prints(&[": unknown: 0 of ", "checks ran, so nothing was verified"]);
        let ran = bed.run(&[&["verify", "--format", "json"], args].concat());
        let json = ran.ends_with(1).json();
        ran.require(json["outcome"] == "unknown", "the same as JSON");
    }
}

#[test]
fn quiet_prints_what_is_wrong_and_what_was_asked_for() {
    let bed = Bed::new();
    let quiet = |args: &[&str]| bed.run(&[&["-q"], args].concat());
    let is_silent = |ran: &Ran| {
        let is_silent = ran.stdout.is_empty() && ran.stderr.is_empty();
        ran.require(is_silent, "nothing is printed");
    };
    is_silent(quiet(&["verify"]).ends_with(0));
    // `-q` does not print warnings that do not change the exit status.
    bed.write("boot/vmlinuz-5", "");
    is_silent(quiet(&["verify"]).ends_with(0));
    quiet(&["verify", "--fatal-warnings"])
        .ends_with(4)
        .prints(&["warning leftovers: ", "rejected by --fatal-warnings"]);
    quiet(&["status"]).ends_with(0).prints(&["kernel     6."]);
    verify_alone(&bed, &["-q", "--list"])
        .ends_with(0)
        .prints(&["kernel-single"]);
    quiet(&["verify", "--format", "json"]).ends_with(0).json();
    let source = bed.source();
    is_silent(quiet(&["replace", "--dry-run", &source]).ends_with(0));
    let dry = quiet(&["replace", "--dry-run", "--format", "json", &source]);
    dry.ends_with(0).json();
    bed.remove(&format!("{DIR}/initramfs.img"));
    let ran = quiet(&["verify"]);
    ran.ends_with(4)
        .prints(&["fatal initramfs-present: ", "not fit to boot: "]);
    let other = ran.stdout.contains("warning") && !ran.stdout.contains("1 warning");
    ran.require(
        !other && !ran.stdout.contains("skipped"),
        "only what is fatal",
    );
    let bed = Bed::new();
    is_silent(bed.run(&["replace", "-q", &bed.source()]).ends_with(0));
    is_silent(bed.run(&["replace", "-q", &bed.source()]).ends_with(0));
    is_silent(bed.run(&["rebuild", "-q"]).ends_with(0));
}

#[test]
fn a_directory_that_is_no_root_is_named() {
    let bed = Bed::new();
    let dir = bed.beside("store");
    fs_err::create_dir_all(dir.join("merged/usr/lib/modules")).unwrap();
    fs_err::create_dir_all(dir.join("empty")).unwrap();
    let at = |dir: &std::path::Path, args: &[&str]| {
        let root = dir.to_str().unwrap().to_owned();
        let all = ["--root", &root].into_iter().chain(args.iter().copied());
        bed.run_exactly(&all.map(str::to_owned).collect::<Vec<_>>(), |_| {})
    };
    at(&dir, &["status"]).ends_with(0).prints(&[
        "tree       not the root of an operating system: it has no usr/lib/modules",
        "A root may be in it: type --root ",
        "/store/merged\n",
        "kernel     none: no directory in usr/lib/modules holds a vmlinuz\n",
    ]);
    let ran = at(&dir, &["status", "--format", "json"]);
    let json = ran.ends_with(0).json();
    ran.require(json["lacks"][0] == "usr/lib/modules", "the same as JSON");
    at(&dir, &["verify"]).ends_with(1).complains(&[
        "error: no directory in usr/lib/modules holds a vmlinuz",
        "is not the root of an operating system",
        "type --root ",
        "/store/merged",
    ]);
    let ran = at(&dir.join("empty"), &["verify"]);
    ran.ends_with(1)
        .complains(&["is not the root of an operating system"]);
    ran.require(!ran.stderr.contains("--root"), "there is no other");
}

#[test]
fn help_and_version_are_commands() {
    let bed = Bed::new();
    let run = |line: &str| {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        bed.run_exactly(&words, |_| {})
    };
    run("help")
        .ends_with(0)
        .prints(&["Usage: ostree-kernel [OPTIONS] <COMMAND>"]);
    run("help verify")
        .ends_with(0)
        .prints(&["Usage: ostree-kernel verify"]);
    run("kernel help status")
        .ends_with(0)
        .prints(&["Usage: ostree-kernel status"]);
    run("version").ends_with(0).prints(&["ostree-kernel 0."]);
    run("help nonsense")
        .ends_with(2)
        .complains(&["unrecognized subcommand 'nonsense'"]);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_first() {
    for command in ["replace", "rebuild", "verify"] {
        let bed = Bed::new();
        let source = bed.source();
        let mut args = vec![command, "--report", "/nowhere/report.json"];
        if command == "replace" {
            args.push(&source);
        }
        let ran = bed.run(&args);
        ran.ends_with(3).in_order(&[]).untouched();
        ran.complains(&["error: --report /nowhere/report.json cannot be written: "]);
        args.extend(["--format", "json"]);
        bed.run(&args).ends_with(3).json();
    }
    // If the report file cannot be written at the end, the result is still printed.
    for (spoil, status) in [(false, 1), (true, 4)] {
        let bed = Bed::new();
        if spoil {
            bed.remove(&format!("{DIR}/initramfs.img"));
        }
        for format in ["human", "json"] {
            let ran = bed.run(&["verify", "--report", "/dev/full", "--format", format]);
            ran.ends_with(status)
                .complains(&["error: writing the report: "]);
            match format {
                "human" => ran.prints(&["kernel 6.1.7-100.fc40.x86_64: "]),
                _ => ran.prints(&["\"findings\""]),
            };
            if format == "json" {
                ran.json();
            }
        }
    }
}

#[test]
fn the_result_is_one_write() {
    let bed = Bed::new();
    bed.write("boot/vmlinuz-5", "");
    let source = bed.source();
    for args in [
        &["verify", "-v"][..],
        &["replace", &source],
        &["verify", "--format", "json"],
    ] {
        // A socket of the type SOCK_SEQPACKET receives each write as a separate packet.
        let (ours, theirs) = nix::sys::socket::socketpair(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::SeqPacket,
            None,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let reader = std::thread::spawn(move || {
            let (mut packets, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
            while let Ok(count @ 1..) = nix::unistd::read(&ours, &mut bytes) {
                packets.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            }
            packets
        });
        let root = bed.root().to_str().unwrap().to_owned();
        let all = ["--root", &root].into_iter().chain(args.iter().copied());
        let ran = bed.run_exactly(&all.map(str::to_owned).collect::<Vec<_>>(), |command| {
            command.stdout(theirs);
        });
        ran.ends_with(0);
        let packets = reader.join().unwrap();
        assert_eq!(packets.len(), 1, "{packets:?}");
        let last = packets[0].trim_end().lines().last().unwrap();
        assert!(last.starts_with("kernel ") || last == "}", "{last}");
    }
}

#[test]
fn names_of_an_image_stay_on_their_line() {
    const NAME: &str = "usr/bin/a\n::error::b\x1b[31m";
    let bed = Bed::new();
    let mut bytes = OLD.initramfs(Fault::None);
    bytes.extend(image::archive(&[
        (NAME.to_owned(), 0o100_755, b"#!/usr/bin/python3\n".to_vec()),
        ("/absolute".to_owned(), 0o100_644, vec![]),
    ]));
    bed.write(&format!("{DIR}/initramfs.img"), bytes);
    let root = bed.root().to_str().unwrap().to_owned();
    for format in ["human", "json"] {
        let args = ["--root", &root, "verify", "-v", "--format", format].map(str::to_owned);
        let ran = bed.run_exactly(&args, |command| {
            command.env("GITHUB_ACTIONS", "true");
        });
        ran.ends_with(0).untouched();
        let whole = ran.stdout.clone() + &ran.stderr;
        let is_plain = |it: char| it == '\n' || !it.is_control();
        ran.require(whole.chars().all(is_plain), "no control character");
        let commands = whole.lines().filter(|line| line.starts_with("::"));
        let ours = |line: &str| line.contains(" title=initramfs-");
        ran.require(
            commands.clone().count() >= 2 && commands.into_iter().all(ours),
            "no command but ours",
        );
        ran.complains(&["::warning title=initramfs-readable::absolute in the initramfs"]);
    }
    let args = ["--root", &root, "verify", "-v"].map(str::to_owned);
    bed.run_exactly(&args, |_| {}).prints(&[
        "note initramfs-init: usr/bin/a\\u000a::error::b\\u001b[31m in the initramfs: found a script for",
    ]);
}
