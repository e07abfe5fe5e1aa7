// SPDX-License-Identifier: MIT OR Apache-2.0
//! `verify --staged`, `--deployment`, `gate` and `status` on real deployments, which the machine's ostree makes.
//!
//! ostree stages a deployment only on a booted system. Here ostree makes the booted deployment. The test makes the
//! staged one: it checks the commit out, and writes the files in `/run`, `/proc` and `/sys`.

#![expect(
    clippy::disallowed_methods,
    reason = "the test makes deployments with ostree and runs the program"
)]

mod hostile;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::bed::Bed;
use crate::image::Fault;
use crate::kernels::{NEW, OLD};
use crate::sysroot::{self, NVME, SCSI, VIRTIO};

const LOCK: &str = "run/ostree/staged-deployment-locked";
const STAGED: &str = "run/ostree/staged-deployment";
const RECORD: &str = "var/lib/ostree-kernel/gate.json";
const MESSAGE: &str = "run/motd.d/ostree-kernel-gate";

/// A machine with a booted and a staged deployment.
struct Machine {
    dir: TempDir,
    booted: String,
    staged: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let deploy = self.path("ostree/deploy");
        let _ = Command::new("chattr")
            .args(["-R", "-i"])
            .arg(deploy)
            .output();
    }
}

fn ostree(args: &[&str]) -> String {
    let output = Command::new("ostree").args(args).output().unwrap();
    assert!(output.status.success(), "ostree {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Machine {
    /// Returns a machine whose staged deployment has the new kernel and this initramfs; `None` if ostree is not
    /// installed.
    fn new(initramfs: &[u8]) -> Option<Self> {
        if Command::new("ostree").arg("--version").output().is_err() {
            eprintln!("ignored: there is no ostree");
            return None;
        }
        let dir = TempDir::with_prefix("ostree-kernel-node-").unwrap();
        let root = dir.path().to_str().unwrap().to_owned();
        let sysroot = format!("--sysroot={root}");
        ostree(&["admin", "init-fs", &root]);
        ostree(&["admin", "os-init", "testos", &sysroot]);
        let bed = Bed::new();
        commit(&root, &bed, "old");
        bed.remove(&format!("usr/lib/modules/{}", OLD.kver));
        bed.remove("usr/share/rpm");
        let modules = format!("usr/lib/modules/{}", NEW.kver);
        for package in NEW.packages() {
            for (path, bytes) in &package.files {
                bed.write(path.trim_start_matches('/'), bytes);
            }
        }
        bed.write(&format!("{modules}/initramfs.img"), initramfs);
        let mode = std::fs::Permissions::from_mode(0o600);
        fs_err::set_permissions(bed.path(&format!("{modules}/initramfs.img")), mode).unwrap();
        depmod(&bed, NEW.kver);
        commit(&root, &bed, "new");
        ostree(&[
            "admin",
            "deploy",
            &sysroot,
            "--os=testos",
            "old",
            "--karg=root=UUID=1",
        ]);
        let repo = format!("--repo={root}/ostree/repo");
        let checksum = |name: &str| ostree(&[&repo, "rev-parse", name]);
        let machine = Self {
            booted: checksum("old"),
            staged: checksum("new"),
            dir,
        };
        let place = machine.path(&format!("ostree/deploy/testos/deploy/{}.0", machine.staged));
        let place = place.to_str().unwrap();
        ostree(&[&repo, "checkout", &machine.staged, place]);
        let entries = fs_err::read_dir(machine.path("boot/loader/entries")).unwrap();
        let entry = entries.map(|it| it.unwrap().path()).next().unwrap();
        let entry = fs_err::read_to_string(entry).unwrap();
        let options = entry.lines().find_map(|it| it.strip_prefix("options "));
        machine.write("proc/cmdline", options.unwrap());
        machine.write("run/ostree-booted", "");
        machine.stage(&["root=UUID=1", "rw"], &[]);
        sysroot::root_on(machine.dir.path(), &VIRTIO, "ext4");
        Some(machine)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    fn stage(&self, kargs: &[&str], overlays: &[&str]) {
        let name = format!("{}.0", self.staged);
        self.write(STAGED, sysroot::staged("testos", &name, kargs, overlays));
    }

    fn run(&self, args: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_ostree-kernel");
        let mut command = Command::new(program);
        command.args(args).arg("--root").arg(self.dir.path());
        command.output().unwrap()
    }

    /// Runs the program, requires a status and texts in its output, and returns the output.
    #[track_caller]
    fn says(&self, args: &[&str], status: i32, expected: &[&str]) -> String {
        let output = self.run(args);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        for part in expected {
            assert!(text.contains(part), "{args:?}: no {part:?} in: {text}");
        }
        text
    }

    fn record(&self) -> serde_json::Value {
        serde_json::from_slice(&fs_err::read(self.path(RECORD)).unwrap()).unwrap()
    }
}

fn commit(root: &str, bed: &Bed, branch: &str) {
    let tree = TempDir::with_prefix("ostree-kernel-tree-").unwrap();
    let copied = Command::new("cp")
        .args(["-a"])
        .args([bed.path("usr"), tree.path().join("usr")])
        .status();
    assert!(copied.unwrap().success());
    for dir in ["usr/etc", "boot", "sysroot", "var"] {
        fs_err::create_dir_all(tree.path().join(dir)).unwrap();
    }
    let os_release = tree.path().join("usr/lib/os-release");
    fs_err::write(os_release, "ID=test\nPRETTY_NAME=test\n").unwrap();
    let tree = format!("--tree=dir={}", tree.path().display());
    let repo = format!("--repo={root}/ostree/repo");
    ostree(&[&repo, "commit", "-b", branch, &tree]);
}

/// Writes `modules.dep`, as depmod does, and the kernel's `modules.builtin`.
fn depmod(bed: &Bed, kver: &str) {
    let modules = NEW.modules();
    let dep: String = modules
        .iter()
        .map(|(path, _)| format!("{path}:\n"))
        .collect();
    bed.write(&format!("usr/lib/modules/{kver}/modules.dep"), dep);
    // Without this list, a missing driver cannot be distinguished from one that is built in.
    let builtin = "kernel/fs/ext4/ext4.ko\n";
    bed.write(&format!("usr/lib/modules/{kver}/modules.builtin"), builtin);
}

fn good() -> Option<Machine> {
    Machine::new(&NEW.initramfs(Fault::None))
}

fn broken() -> Option<Machine> {
    Machine::new(&NEW.initramfs(Fault::NoOstree))
}

#[test]
fn deployments_are_found_and_verified() {
    let Some(machine) = good() else { return };
    let staged = format!("staged deployment testos {}.0", machine.staged);
    machine.says(&["verify", "--staged"], 0, &[&staged, NEW.kver]);
    let booted = format!("booted deployment testos {}.0", machine.booted);
    for which in ["booted", "1", &machine.booted, &machine.booted[..9]] {
        machine.says(&["verify", "--deployment", which], 0, &[&booted, OLD.kver]);
    }
    machine.says(&["verify", "--deployment", "0"], 0, &[&staged]);
    let none = "there is no rollback deployment";
    machine.says(&["verify", "--deployment", "rollback"], 1, &[none]);
    machine.says(&["verify", "--deployment", "7"], 1, &["there are 2"]);
    machine.says(&["verify", "--deployment", "x"], 2, &["expected an index"]);
    machine.says(&["verify", "--staged", "--initramfs", "f"], 2, &[]);
    let output = machine.run(&["verify", "--staged", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(crate::schema::undocumented(&json), [""; 0]);
    assert_eq!(json["deployment"]["place"], "staged");
    let good = |check: &str| {
        let mut checks = json["checks"].as_array().unwrap().iter();
        checks.any(|it| it["check"] == check && it["answer"] == "good")
    };
    assert!(good("node-root-drivers"), "{json:#}");
    assert!(good("node-kargs"), "{json:#}");
    for path in [LOCK, RECORD, MESSAGE] {
        assert!(!machine.has(path), "{path}");
    }
}

#[test]
fn a_good_deployment_passes_the_gate() {
    let Some(machine) = good() else { return };
    machine.says(&["gate"], 0, &["is fit to boot"]);
    assert!(!machine.has(LOCK) && !machine.has(MESSAGE));
    let record = machine.record();
    assert_eq!(record["current"]["verdict"], "verified", "{record:#}");
    machine.says(&["status"], 0, &["(verified)"]);
    // The deployment is not verified again: the record keeps the time of the first verdict.
    machine.says(&["gate"], 0, &["is fit to boot"]);
    assert_eq!(machine.record(), record);
    // With other kernel arguments, the deployment counts as another one, which has no verdict yet.
    machine.stage(&["root=UUID=2"], &[]);
    machine.says(&["status"], 0, &["(not verified)"]);
    machine.says(&["gate", "--on-error", "refuse"], 0, &[]);
    assert_ne!(
        machine.record()["current"]["identity"],
        record["current"]["identity"]
    );
    assert!(!machine.has(LOCK));
    fs_err::remove_file(machine.path(STAGED)).unwrap();
    machine.says(&["gate"], 0, &["no deployment is staged"]);
}

#[test]
fn a_broken_deployment_is_refused() {
    let Some(machine) = broken() else { return };
    let refused = ["is refused", "initramfs-ostree", "gate --release"];
    machine.says(&["gate"], 4, &refused);
    assert_eq!(
        fs_err::read(machine.path(LOCK)).unwrap(),
        b"ostree-kernel gate\n"
    );
    for path in [LOCK, RECORD, MESSAGE] {
        let mode = fs_err::metadata(machine.path(path)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777 & !0o644, 0, "{path}");
    }
    let status = machine.says(&["status"], 0, &["(refused, locked)", "refused    testos"]);
    assert!(status.contains("initramfs-ostree"), "{status}");
    let message = fs_err::read_to_string(machine.path(MESSAGE)).unwrap();
    assert!(message.contains("is refused") && message.contains("initramfs-ostree"));
    // Another program, which finalises updates, removes the lock.
    fs_err::remove_file(machine.path(LOCK)).unwrap();
    machine.says(&["status"], 0, &["unlocked by another program"]);
    machine.says(&["gate"], 4, &["is refused"]);
    assert!(machine.has(LOCK));
    // After the reboot nothing is staged, and the message is still shown.
    let staged = fs_err::read(machine.path(STAGED)).unwrap();
    fs_err::remove_dir_all(machine.path("run/ostree")).unwrap();
    fs_err::remove_dir_all(machine.path("run/motd.d")).unwrap();
    machine.says(&["gate"], 0, &["the last one was refused"]);
    let message = fs_err::read_to_string(machine.path(MESSAGE)).unwrap();
    assert!(message.contains("was refused"), "{message}");
    // The deployment is staged again, and the administrator releases it.
    machine.write(STAGED, staged);
    machine.says(&["gate", "--release"], 0, &["released testos"]);
    assert!(!machine.has(LOCK) && !machine.has(MESSAGE));
    machine.says(&["gate"], 0, &["was released"]);
    machine.says(&["status"], 0, &["refused, then released"]);
    assert!(!machine.has(LOCK));
    // Another deployment is verified, and the refusal is moved to the history.
    machine.stage(&["quiet"], &[]);
    machine.says(
        &["gate", "--warn-only"],
        0,
        &["not fit to boot", "--warn-only"],
    );
    assert!(!machine.has(LOCK));
    let record = machine.record();
    assert_eq!(record["current"]["verdict"], "warned");
    assert_eq!(record["history"].as_array().unwrap().len(), 1);
    machine.says(&["gate"], 4, &["is refused"]);
}

/// The unit's gate refuses the deployment while /var is full, so there is no record. The unit's `ExecStopPost=` runs
/// after the gate.
#[test]
fn a_refusal_that_is_not_recorded_stays() {
    let Some(machine) = broken() else { return };
    machine.says(&["gate"], 4, &["is refused"]);
    fs_err::remove_file(machine.path(RECORD)).unwrap();
    machine.says(&["gate", "--after=exit-code"], 4, &["is refused"]);
    assert!(machine.has(LOCK) && machine.has(MESSAGE));
    // Without the lock and the record, the policy of this run applies, which is "allow".
    for path in [LOCK, RECORD] {
        fs_err::remove_file(machine.path(path)).unwrap();
    }
    machine.says(&["gate", "--after=signal"], 1, &["could not be verified"]);
    assert!(!machine.has(LOCK));
}

#[test]
fn locks_of_others_stay() {
    let Some(machine) = good() else { return };
    machine.write(LOCK, "");
    machine.says(&["gate"], 0, &["is fit to boot"]);
    assert_eq!(fs_err::read(machine.path(LOCK)).unwrap(), b"");
    machine.says(&["status"], 0, &["locked by another program"]);
    let stays = "the gate has not locked the finalisation of testos";
    machine.says(&["gate", "--release"], 0, &[stays, "another program or"]);
    assert!(machine.has(LOCK));
    // An interrupted gate has left this lock.
    machine.write(LOCK, "ostree-kernel gate\n");
    machine.says(&["gate"], 0, &["is fit to boot"]);
    assert!(!machine.has(LOCK));
}

/// `gate --after`, which the unit runs as `ExecStopPost=` after a gate that failed.
#[test]
fn a_gate_that_is_ended_applies_its_policy() {
    let Some(machine) = good() else { return };
    let refuse = "--on-error=refuse";
    machine.says(&["gate", "--after=success", refuse], 0, &[]);
    assert!(!machine.has(LOCK) && !machine.has(RECORD));
    let allowed = ["could not be verified", "gate failed (core-dump)"];
    machine.says(&["gate", "--after=core-dump"], 1, &allowed);
    machine.says(
        &["gate", "--after=core-dump", "--warn-only", refuse],
        1,
        &allowed,
    );
    assert!(!machine.has(LOCK) && !machine.has(MESSAGE));
    machine.says(&["gate", "--after=core-dump", refuse], 4, &["is refused"]);
    assert!(machine.has(LOCK) && machine.has(MESSAGE));
    machine.says(&["status"], 0, &["gate failed (core-dump)"]);
    machine.says(&["gate", "--after=timeout", "--release"], 2, &[]);
    machine.says(&["gate", "--release"], 0, &["released testos"]);
    machine.says(&["gate", "--after=timeout", refuse], 0, &["was released"]);
    assert!(!machine.has(LOCK));
    // A verified deployment is not verified again, and the lock that the killed gate has left is removed.
    machine.stage(&["quiet"], &[]);
    machine.says(&["gate", refuse], 0, &["is fit to boot"]);
    machine.write(LOCK, "ostree-kernel gate\n");
    machine.says(&["gate", "--after=signal", refuse], 0, &["is fit to boot"]);
    assert!(!machine.has(LOCK));
    // First the staged deployment cannot be identified; then no deployment is staged.
    machine.write(STAGED, "x");
    machine.says(&["gate", "--after=signal", refuse], 4, &["the gate failed"]);
    fs_err::remove_dir_all(machine.path("run/ostree")).unwrap();
    machine.says(
        &["gate", "--after=signal", refuse],
        0,
        &["no deployment is staged"],
    );
}

#[test]
fn deployments_that_cannot_be_verified() {
    let Some(machine) = good() else { return };
    let deployment = machine.path(&format!(
        "ostree/deploy/testos/deploy/{}.0/usr/lib/modules/{}",
        machine.staged, NEW.kver
    ));
    fs_err::rename(&deployment, machine.path("away")).unwrap();
    machine.says(&["gate"], 1, &["could not be verified", "--on-error allow"]);
    assert!(!machine.has(LOCK));
    machine.says(&["gate", "--on-error", "refuse"], 4, &["is refused"]);
    assert!(machine.has(LOCK));
    // The message must not claim that the machine would not boot the deployment.
    let message = || fs_err::read_to_string(machine.path(MESSAGE)).unwrap();
    let unverified = "is refused, because it could not be verified (";
    assert!(message().contains(unverified), "{}", message());
    let staged = fs_err::read(machine.path(STAGED)).unwrap();
    fs_err::remove_dir_all(machine.path("run/ostree")).unwrap();
    machine.says(&["gate"], 0, &["the last one was refused"]);
    let unverified = "was refused, because it could not be verified (";
    assert!(message().contains(unverified), "{}", message());
    machine.write(STAGED, staged);
    let text = machine.says(&["gate", "--release"], 0, &["could not be verified"]);
    assert!(!text.contains("not fit to boot"), "{text}");
    // A release applies only to the deployment that was released; another deployment is verified.
    machine.stage(&["quiet"], &[]);
    machine.says(&["gate", "--on-error=refuse"], 4, &["is refused"]);
    let options = ["gate", "--on-error=refuse", "--warn-only"];
    let text = machine.says(&options, 1, &["--on-error allow or --warn-only"]);
    assert_eq!(text.matches("could not be verified").count(), 1, "{text}");
    assert!(!machine.has(LOCK));
    machine.says(&["gate", "--release", "--warn-only"], 2, &[]);
    // ostree's file about the staged deployment is damaged.
    machine.write(STAGED, "x");
    machine.says(&["gate"], 1, &["reading /run/ostree/staged-deployment"]);
    machine.says(&["gate", "--on-error=refuse", "--warn-only"], 1, &[]);
    assert!(!machine.has(LOCK) && !machine.has(MESSAGE));
    machine.says(&["status"], 0, &["deployments"]);
    let refused = ["is refused", "the gate failed", "undeploy"];
    machine.says(&["gate", "--on-error=refuse"], 4, &refused);
    assert!(machine.has(LOCK) && machine.has(MESSAGE));
    // The deployment is staged again, and can be read.
    fs_err::rename(machine.path("away"), &deployment).unwrap();
    machine.stage(&["root=UUID=1"], &[]);
    machine.says(&["gate", "--on-error=refuse"], 0, &["is fit to boot"]);
    assert!(!machine.has(LOCK) && !machine.has(MESSAGE));
}

#[test]
fn drivers_of_other_buses_and_file_systems() {
    let Some(machine) = good() else { return };
    let root = machine.dir.path();
    sysroot::root_on(root, &NVME, "ext4");
    machine.says(&["gate"], 4, &["node-root-drivers: nvme in the initramfs"]);
    assert!(machine.has(LOCK));
    sysroot::root_on(root, &SCSI, "ext4");
    let args = ["verify", "--staged"];
    let parts = [
        "virtio_scsi in the initramfs",
        "of the root (sda4) on this machine",
    ];
    machine.says(&args, 4, &parts);
    sysroot::root_on(root, &VIRTIO, "btrfs");
    machine.says(&args, 4, &["btrfs in the initramfs", "the file system"]);
    sysroot::root_on_luks(root, &VIRTIO, "ext4");
    machine.says(&args, 4, &["dm_crypt", "the LUKS encryption"]);
    sysroot::root_on(root, &VIRTIO, "ext4");
    machine.says(&args, 0, &[]);
}

#[test]
fn additional_initramfs_files() {
    let Some(machine) = broken() else { return };
    // An additional initramfs of `rpm-ostree initramfs-etc` contains the program that the initramfs lacks.
    let elf = crate::image::program();
    let path = "usr/lib/ostree/ostree-prepare-root".to_owned();
    let overlay = crate::image::archive(&[(path, 0o100_755, elf)]);
    let checksum = "c".repeat(64);
    machine.stage(&["root=UUID=1"], &[&checksum]);
    machine.says(&["verify", "--staged"], 1, &["no such file"]);
    machine.write(&format!("run/ostree/staged-initrds/{checksum}"), overlay);
    machine.says(&["verify", "--staged"], 0, &[]);
}
