// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other users and links cannot change the verdict of the gate, and systems of another kind are refused.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use tempfile::TempDir;

use super::{LOCK, MESSAGE, RECORD, broken};
use crate::privilege::has_user;

/// A record that another user can write to could claim that a broken deployment was verified.
#[test]
fn records_of_other_users_are_ignored() {
    use std::os::unix::fs::chown;
    let Some(machine) = broken() else { return };
    machine.says(&["gate"], 4, &[]);
    let text = fs_err::read_to_string(machine.path(RECORD)).unwrap();
    let forged = text.replace("\"refused\"", "\"verified\"");
    let ignored = "it is not a regular file, or other users can write to it. Remove it";
    machine.write(RECORD, &forged);
    machine.says(&["gate"], 0, &[]);
    chown(machine.path(RECORD), Some(65_534), None).unwrap();
    machine.says(&["gate"], 4, &[ignored, "is refused"]);
    machine.write(RECORD, &forged);
    let open = std::fs::Permissions::from_mode(0o666);
    fs_err::set_permissions(machine.path(RECORD), open).unwrap();
    machine.says(&["gate"], 4, &[ignored, "is refused"]);
    fs_err::remove_file(machine.path(RECORD)).unwrap();
    machine.write("forged", &forged);
    symlink("/forged", machine.path(RECORD)).unwrap();
    machine.says(&["gate"], 4, &[ignored, "is refused"]);
    assert!(!machine.path(RECORD).is_symlink());
}

#[test]
fn ordinary_users_change_no_verdict() {
    use std::os::unix::process::CommandExt;
    const USER: u32 = 54_321;
    if !has_user(USER) {
        return;
    }
    let Some(machine) = broken() else { return };
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(machine.dir.path(), mode.clone()).unwrap();
    let program = machine.path("program");
    fs_err::copy(env!("CARGO_BIN_EXE_ostree-kernel"), &program).unwrap();
    fs_err::set_permissions(&program, mode).unwrap();
    let as_user = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).arg("--root").arg(machine.dir.path());
        let output = command.uid(USER).gid(USER).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    // An ordinary user cannot refuse a deployment.
    let (status, text) = as_user(&["gate", "--on-error=refuse"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    assert!(!machine.has(LOCK) && !machine.has(RECORD) && !machine.has(MESSAGE));
    machine.says(&["gate"], 4, &["is refused"]);
    let record = machine.record();
    // An ordinary user cannot release a deployment either, but can read why it was refused.
    for args in [&["gate", "--release"][..], &["gate", "--warn-only"]] {
        let (status, text) = as_user(args);
        assert_eq!(status, Some(1), "{text}");
        assert!(machine.has(LOCK) && machine.has(MESSAGE), "{text}");
        assert_eq!(machine.record(), record, "{text}");
    }
    let (status, text) = as_user(&["status"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("refused    testos"), "{text}");
}

#[test]
fn links_and_foreign_directories_are_not_followed() {
    let Some(machine) = broken() else { return };
    let target = machine.path("target");
    fs_err::create_dir_all(&target).unwrap();
    for (dir, gone) in [("var/lib/ostree-kernel", RECORD), ("run/motd.d", MESSAGE)] {
        fs_err::create_dir_all(machine.path(dir).parent().unwrap()).unwrap();
        let _ = fs_err::remove_dir_all(machine.path(dir));
        symlink("/target", machine.path(dir)).unwrap();
        // The finalisation is locked, although the record or the message cannot be written.
        machine.says(&["gate"], 4, &["is a symbolic link", "is refused"]);
        assert!(machine.has(LOCK), "{gone}");
        assert_eq!(fs_err::read_dir(&target).unwrap().count(), 0, "{gone}");
        fs_err::remove_file(machine.path(dir)).unwrap();
        fs_err::create_dir_all(machine.path(dir)).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        fs_err::set_permissions(machine.path(dir), open).unwrap();
        let remedy = format!("chown 0:0 /{dir} && chmod 755 /{dir}");
        machine.says(&["gate"], 4, &["other users can write to it", &remedy]);
        fs_err::remove_dir_all(machine.path(dir)).unwrap();
    }
    // The directory of the lock file must have the mode 0700; the remedy sets this mode.
    let dir = machine.path("run/ostree-kernel-gate");
    let mode = |mode| fs_err::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    machine.says(&["gate"], 1, &["&& chmod 700 /run/ostree-kernel-gate"]);
    mode(0o700);
    // A link in the place of a file is replaced.
    machine.says(&["gate"], 4, &[]);
    fs_err::remove_file(machine.path(MESSAGE)).unwrap();
    symlink("/target/message", machine.path(MESSAGE)).unwrap();
    machine.says(&["gate"], 4, &[]);
    assert!(!machine.path(MESSAGE).is_symlink());
    assert_eq!(fs_err::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn other_systems_are_refused() {
    let dir = TempDir::new().unwrap();
    let run = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_ostree-kernel");
        let mut command = Command::new(program);
        let output = command.args(args).arg("--root").arg(dir.path()).output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    for args in [&["gate"][..], &["verify", "--staged"]] {
        let (status, text) = run(args);
        assert_eq!(status, Some(3), "{text}");
        assert!(text.contains("no deployments"), "{text}");
    }
    let path = |path: &str| {
        let path = dir.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    fs_err::create_dir_all(path("sysroot/state/deploy/x")).unwrap();
    for args in [&["gate"][..], &["verify", "--staged"]] {
        let (status, text) = run(args);
        assert_eq!(status, Some(3), "{text}");
        assert!(
            text.contains("bootc's composefs backend (/sysroot"),
            "{text}"
        );
    }
    // bootc 1.16 writes this file with the same fields.
    let file = path("run/composefs/staged-deployment");
    for (lock, expected) in [("false", "is not locked"), ("true", "is locked")] {
        let id = "6f".repeat(64);
        let json = format!("{{\"depl_id\":\"{id}\",\"finalization_locked\":{lock}}}");
        fs_err::write(&file, &json).unwrap();
        for args in [&["gate", "--on-error=refuse"][..], &["verify", "--staged"]] {
            let (status, text) = run(args);
            assert_eq!(status, Some(3), "{text}");
            for part in ["bootc's composefs backend", "6f6f6f6f6f6f", expected] {
                assert!(text.contains(part), "no {part:?} in: {text}");
            }
        }
        assert_eq!(fs_err::read_to_string(&file).unwrap(), json);
    }
}
