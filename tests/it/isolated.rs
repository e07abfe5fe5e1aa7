// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs inherit only a few variables from the caller, and no file outside the root is changed.
//!
//! [`Bed::run`] asserts for every run that no program of the caller's PATH ran, that standard input is unread, and that
//! no program got a hostile variable. The first test shows that a program of that PATH would leave a mark.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bed::Bed;
use crate::kernels::{NEW, OLD};
use crate::server::Server;
use crate::tree::Snapshot;

#[test]
fn a_stub_in_the_callers_path_leaves_a_mark() {
    let bed = Bed::new();
    bed.run(&["status"]).ends_with(0);
    let stub = bed.beside("hostile").join("dracut");
    #[expect(clippy::disallowed_methods, reason = "what must never happen")]
    let status = std::process::Command::new(stub).status().unwrap();
    assert!(status.success());
    let mark = fs_err::read_to_string(bed.path("stub/mark")).unwrap();
    assert_eq!(mark, "dracut\n");
}

#[test]
fn programs_get_a_defined_environment() {
    let bed = Bed::new();
    let args = [
        "--root",
        bed.root().to_str().unwrap(),
        "replace",
        &bed.source(),
    ]
    .map(str::to_owned);
    let passed = [
        ("container", "oci"),
        ("https_proxy", "http://127.0.0.1:9"),
        ("NO_PROXY", "localhost"),
        ("SOURCE_DATE_EPOCH", "0"),
    ];
    let ran = bed.run_exactly(&args, |command| {
        command
            .env("LD_PRELOAD", "/hostile/lib.so")
            .env("DRACUT_KMODDIR_OVERRIDE", "hostile")
            .env("KERNEL_INSTALL_CONF_ROOT", "/hostile")
            .env("RPMOSTREE_EXP_BRIDGE_SYSUSERS", "hostile")
            .env("RPM_CONFIGDIR", "/hostile")
            .env("BASH_ENV", "/hostile")
            .env("ENV", "/hostile")
            .envs(passed);
    });
    ran.ends_with(0);
    // The stubs' shell sets the last four variables itself.
    let known = [
        "PATH",
        "HOME",
        "LC_ALL",
        "TMPDIR",
        "KERNEL_INSTALL_BYPASS",
        "DRACUT_NO_XATTR",
        "PWD",
        "SHLVL",
        "OLDPWD",
        "_",
    ];
    for line in &ran.env {
        let name = line
            .split_once(": ")
            .and_then(|(_, line)| line.split_once('='));
        let name = name.map(|(name, _)| name).unwrap_or(line);
        let is_known = known.contains(&name) || passed.iter().any(|(passed, _)| *passed == name);
        ran.require(is_known, &format!("not to be passed on: {line}"));
    }
    for program in ["rpm-ostree", "depmod", "dracut", "ostree"] {
        for (name, value) in passed {
            let line = format!("{program}: {name}={value}");
            ran.require(ran.env.contains(&line), &format!("to be passed on: {line}"));
        }
        let path = format!("{program}: PATH=/usr/sbin:/usr/bin:/sbin:/bin");
        ran.require(
            ran.env.contains(&path),
            "the operating system's directories only",
        );
    }
    for line in [
        "rpm-ostree: KERNEL_INSTALL_BYPASS=1",
        "rpm-ostree: TMPDIR=/usr/lib/.ostree-kernel",
        "dracut: DRACUT_NO_XATTR=1",
        "dracut: TMPDIR=/usr/lib/.ostree-kernel",
    ] {
        ran.require(
            ran.env.iter().any(|it| it == line),
            &format!("expected: {line}"),
        );
    }
    let dracut_is_bypassed = ran
        .env
        .iter()
        .any(|it| it == "dracut: KERNEL_INSTALL_BYPASS=1");
    ran.require(
        !dracut_is_bypassed,
        "the variables of one program are its own",
    );
}

/// Writes files into the directory `outside` that look like files that the program changes or removes in the root.
fn lure(outside: &Path) {
    for path in [
        "6.1.7-100.fc40.x86_64/vmlinuz",
        "6.9.4-200.fc40.x86_64/vmlinuz",
        "5.0.0/kernel/stale.ko",
        "vmlinuz-6.1.7-100.fc40.x86_64",
        "initramfs-6.1.7-100.fc40.x86_64.img",
        "report.json",
        "packages/000.rpm",
        "install.conf",
        "precious/file",
    ] {
        fs_err::create_dir_all(outside.join(path).parent().unwrap()).unwrap();
        fs_err::write(outside.join(path), "precious").unwrap();
    }
    // In the root, the program removes files with these contents: a wrapper of cliwrap, and its own temporary file for
    // the layout.
    fs_err::write(outside.join("yum"), "#!/bin/sh\n# rpm-ostree cliwrap\n").unwrap();
    let layout = "# Put here by ostree-kernel for the time of one transaction.\nlayout=ostree\n";
    fs_err::write(outside.join("zz-ostree-kernel.conf"), layout).unwrap();
}

#[test]
fn links_do_not_lead_out() {
    let dirs = [
        "lib",
        "boot",
        "etc/kernel/install.conf.d",
        "etc/pki/rpm-gpg",
        "run",
        "run/ostree-kernel",
        "run/ostree-kernel/packages",
        "tmp",
        "usr/lib/.ostree-kernel",
        "usr/lib/.ostree-kernel-aside",
        "usr/lib/kernel",
        "usr/lib/modules",
        "usr/lib/modules/6.1.7-100.fc40.x86_64",
        "usr/lib/modules/6.9.4-200.fc40.x86_64",
        "usr/lib/ostree-boot",
        "usr/libexec/rpm-ostree/wrapped",
        "usr/share/ostree-kernel",
        "var/cache",
        "var/tmp",
    ];
    for dir in dirs {
        for way in ["absolute", "absolute, and there inside too", "relative"] {
            println!("/{dir} is a link out, {way}");
            // The program itself empties these directories if `ostree container commit` does not run, as on a base with
            // dnf.
            let is_emptied = matches!(dir, "run" | "tmp" | "var/cache" | "var/tmp");
            let bed = if is_emptied {
                Bed::dnf("dnf")
            } else {
                Bed::rpm_ostree("2026.2")
            };
            let outside = bed.beside("outside");
            lure(&outside);
            let link = bed.path(dir);
            let target = match way {
                "relative" => {
                    Path::new("../../../../../../../../..").join(outside.strip_prefix("/").unwrap())
                }
                _ => outside.clone(),
            };
            if way.ends_with("inside too") && !outside.starts_with(Path::new("/").join(dir)) {
                let inside = bed.path(outside.strip_prefix("/").unwrap().to_str().unwrap());
                fs_err::create_dir_all(inside.parent().unwrap()).unwrap();
                if link.is_dir() {
                    fs_err::rename(&link, inside).unwrap();
                } else {
                    fs_err::create_dir(inside).unwrap();
                }
            }
            if link.is_dir() {
                bed.remove(dir);
            }
            fs_err::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target, &link).unwrap();
            let before = Snapshot::read(&outside);
            let ran = bed.run(&["replace", &bed.source()]);
            let after = Snapshot::read(&outside);
            let changes = before.changes(&after);
            ran.require(before == after, &format!("outside the root: {changes:?}"));
            let status = ran.status.unwrap_or(-1);
            ran.require([0, 1, 3].contains(&status), "done, failed or refused");
        }
    }
}

#[test]
fn files_that_are_links_are_not_written_through() {
    let new = format!("usr/lib/modules/{}", NEW.kver);
    let files = [
        format!("stub/come/{new}/initramfs.img"),
        format!("stub/come/{new}/.initramfs.img.ostree-kernel"),
        "usr/share/ostree-kernel/report.json".to_owned(),
        "run/ostree-kernel/lock".to_owned(),
        "boot/vmlinuz-6.1.7-100.fc40.x86_64".to_owned(),
        "usr/bin/useradd.rpmostreesave".to_owned(),
        "etc/kernel/install.conf.d/zz-ostree-kernel.conf".to_owned(),
    ];
    for file in files {
        println!("/{file} is a link out");
        let bed = Bed::rpm_ostree("2026.2");
        bed.remove("usr/lib/kernel/install.conf");
        let outside = bed.beside("outside");
        lure(&outside);
        let link = bed.path(&file);
        fs_err::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.join("precious/file"), &link).unwrap();
        let before = Snapshot::read(&outside);
        let ran = bed.run(&["replace", &bed.source()]);
        let after = Snapshot::read(&outside);
        ran.require(
            before == after,
            &format!("outside the root: {:?}", before.changes(&after)),
        );
        if file.ends_with("lock") {
            ran.require(
                ran.status != Some(0) || !link.is_symlink(),
                "no lock through a link",
            );
        } else {
            ran.ends_with(0);
            ran.require(
                ran.after.file(&format!("{new}/initramfs.img")).is_some(),
                "a file now",
            );
        }
    }
}

#[test]
fn the_old_kernel_may_be_a_link() {
    // ostree ignores a directory that is a link, and so does this program: the packages are replaced as if the
    // directory had been removed.
    let bed = Bed::new();
    let dir = format!("usr/lib/modules/{}", OLD.kver);
    fs_err::rename(bed.path(&dir), bed.path("usr/lib/kernel-elsewhere")).unwrap();
    symlink("../kernel-elsewhere", bed.path(&dir)).unwrap();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    let new = format!("usr/lib/modules/{}/initramfs.img", NEW.kver);
    ran.require(ran.after.file(&new).is_some(), "the new kernel is there");
    bed.run(&["rebuild"]).ends_with(0);
}

#[test]
fn the_program_may_be_replaced_while_it_runs() {
    let bed = Bed::new();
    let program = bed.copy_of_program();
    let files: Vec<_> = NEW
        .packages()
        .iter()
        .map(|it| (it.nevra(), it.rpm()))
        .collect();
    let gone = program.clone();
    let server = Server::start(200, "application/x-rpm", move |path| {
        let _ = fs_err::remove_file(&gone);
        let file = files
            .iter()
            .find(|(nevra, _)| path == format!("/{nevra}.rpm"));
        file.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    });
    let root = bed.root().to_str().unwrap().to_owned();
    let mut args = ["replace", "--allow-unsigned", "--root", &root]
        .map(str::to_owned)
        .to_vec();
    args.extend(
        NEW.packages()
            .iter()
            .map(|it| server.url(&format!("{}.rpm", it.nevra()))),
    );
    let ran = bed.run_program(&program, &args, None, |_| {});
    ran.ends_with(0).prints(&["no fatal findings"]);
    ran.require(!program.exists(), "it was gone meanwhile");
}
