// SPDX-License-Identifier: MIT OR Apache-2.0
//! `status` and `verify`: they look, and change nothing.

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
            &["verify", OLD.kver],
            &["kernel", "verify"],
        ] {
            if args[0] == "kernel" {
                // Only the first argument of all may be that.
                bed.run(args).ends_with(2).untouched();
                continue;
            }
            let ran = bed.run(args);
            ran.ends_with(0).in_order(&[]).untouched();
            ran.prints(&[
                "kernel 6.1.7-100.fc40.x86_64: initramfs 0.0 MiB",
                "nothing fatal",
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

#[test]
fn verify_finds() {
    type Spoil = fn(&Bed);
    let table: [(i32, &str, &str, Spoil); 14] = [
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
            "a kernel that calls itself 6.9.4-200.fc40.x86_64",
            |bed| {
                bed.write(&format!("{DIR}/vmlinuz"), image::vmlinuz(NEW.kver));
            },
        ),
        (1, "unknown kernel-release", "could not look", |bed| {
            bed.write(&format!("{DIR}/vmlinuz"), "hello")
        }),
        (4, "fatal kernel-rpmdb", "no package owns it", |bed| {
            bed.write("usr/share/rpm/kernel-core.files", "")
        }),
        (1, "unknown kernel-rpmdb", "could not look", |bed| {
            bed.behave("rpm", "fail")
        }),
        (
            0,
            "skipped kernel-rpmdb",
            "there is no rpm in the tree",
            |bed| bed.remove("usr/bin/rpm"),
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
        let is_said = line.is_some_and(|line| line.contains(says));
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
    let ran = Bed::new().run(&["verify", "--list"]);
    ran.ends_with(0).untouched();
    ran.prints(&[
        "kernel-single",
        "initramfs-kver",
        "initramfs-mode",
        "fatal",
        "warning",
    ]);
    ran.require(ran.ran.is_empty(), "it looks at nothing");
}

/// Runs `verify ARGS` on no tree.
fn verify_alone(bed: &Bed, args: &[&str]) -> Ran {
    let all = ["verify"].iter().chain(args).map(|it| (*it).to_owned());
    bed.run_exactly(&all.collect::<Vec<_>>(), |_| {})
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
        let args = [&["--image", image, "--kver", OLD.kver], more].concat();
        verify_alone(&bed, &args)
    };
    of(&good, &[]).ends_with(0).prints(&[
        "a lone image has no tree around it",
        "initramfs 0.0 MiB, 7 of 22 checks looked, nothing fatal",
    ]);
    of(&good, &["--against", &good])
        .ends_with(0)
        .prints(&["8 of 22 checks looked"]);
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
        of(&good, &["--against", image])
            .ends_with(1)
            .complains(&["to compare with", says]);
    }
    for (args, says) in [
        (&["--image", &good][..], "--kver"),
        (&["--only", "nonsense"], "possible values: kernel-single"),
        (
            &["--root", "/x", "--image", &good, "--kver", OLD.kver],
            "--image",
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
        .prints(&["1 of 1 checks looked"]);
    let skipped = run(&["--skip", "initramfs-kver"]);
    skipped
        .ends_with(0)
        .prints(&["skipped initramfs-kver: the user asked not to look\n"]);
    let json = run(&["--skip", "initramfs-kver", "--format", "json"]).json();
    let checks = json["checks"].as_array().unwrap();
    let is_said = checks
        .iter()
        .any(|it| it["check"] == "initramfs-kver" && it["answer"] == "skipped");
    skipped.require(is_said, "the report says that it was skipped");
    bed.write("boot/vmlinuz-5", "");
    run(&[]).ends_with(0);
    run(&["--fatal-warnings"])
        .ends_with(4)
        .prints(&["warning leftovers", "not fit to boot"]);
    run(&["--fatal-warnings", "--skip", "leftovers"]).ends_with(0);
    // What is fatal and what could not look: the first wins.
    bed.behave("rpm", "fail");
    run(&[])
        .ends_with(1)
        .prints(&["a fatal check could not look"]);
    run(&["--require-driver", "nonesuch"]).ends_with(4);
    // A warning that could not look is as bad as the others.
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
