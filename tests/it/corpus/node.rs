// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine of a case: the tree of the case is the staged deployment, and an empty deployment is the booted one.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::draft::Draft;
use crate::sysroot;

/// The name of the operating system.
const OS: &str = "os";

/// The checksum of a deployment is one digit, repeated. These are the digits of the staged, the booted and an older
/// deployment.
const STAGED: &str = "a";
const BOOTED: &str = "c";
const OLDER: &str = "d";

/// A machine on which the tree of a draft is staged.
pub struct Machine {
    /// The system's root.
    pub system: PathBuf,
}

fn checksum(digit: &str) -> String {
    digit.repeat(64)
}

impl Machine {
    /// Creates a machine, and stages the tree of a draft on it. With `boot`, `/boot` is a separate file system of this
    /// size (bytes).
    pub fn of(draft: &mut Draft, boot: Option<u64>) -> Self {
        let machine = Self {
            system: draft.beside("system"),
        };
        let deploy = format!("ostree/deploy/{OS}/deploy");
        for dir in [
            "ostree/repo",
            "boot",
            &format!("{deploy}/{}.0", checksum(BOOTED)),
        ] {
            fs_err::create_dir_all(machine.system.join(dir)).unwrap();
        }
        let staged = machine
            .system
            .join(format!("{deploy}/{}.0", checksum(STAGED)));
        draft.bind_to(&staged);
        if let Some(size) = boot {
            draft.tmpfs(&machine.system.join("boot"), size);
        }
        let options = machine.entry(BOOTED, 2);
        machine.write("proc/cmdline", options + "\n");
        machine.write("run/ostree-booted", "");
        machine.stage(&["root=UUID=1", "rw"], &[]);
        draft.staged_on(&machine.system);
        machine
    }

    /// Writes a file below the machine's root, and creates its parent directories.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.system.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Sets the kernel arguments and the additional initramfs files of the staged deployment.
    pub fn stage(&self, kargs: &[&str], overlays: &[&str]) {
        let name = format!("{}.0", checksum(STAGED));
        self.write(
            "run/ostree/staged-deployment",
            sysroot::staged(OS, &name, kargs, overlays),
        );
    }

    /// Adds an older deployment whose kernel takes `bytes` bytes of `/boot`.
    pub fn older(&self, bytes: usize, is_pinned: bool) {
        self.entry(OLDER, 1);
        let sum = checksum(OLDER);
        let deployment = format!("ostree/deploy/{OS}/deploy/{sum}.0");
        fs_err::create_dir_all(self.system.join(&deployment)).unwrap();
        if is_pinned {
            self.write(
                &format!("{deployment}.origin"),
                "[libostree-transient]\npinned=true\n",
            );
        }
        self.write(&format!("boot/ostree/{OS}-{sum}/vmlinuz-1"), vec![1; bytes]);
    }

    /// Writes the boot loader's entry of the deployment with this digit, and the link to the deployment that the kernel
    /// argument `ostree=` names. Returns the kernel arguments.
    fn entry(&self, digit: &str, version: u32) -> String {
        let sum = checksum(digit);
        let link = format!("ostree/boot.1/{OS}/{sum}/0");
        let options = format!("root=UUID=1 rw ostree=/{link}");
        self.write(
            &format!("boot/loader/entries/ostree-{version}.conf"),
            format!("title {OS}\nversion {version}\noptions {options}\nlinux /ostree/{OS}-{sum}/vmlinuz-1\n"),
        );
        let place = self.system.join(link);
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(format!("../../../deploy/{OS}/deploy/{sum}.0"), place).unwrap();
        options
    }

    /// Turns Secure Boot on, with these certificates (DER) in the firmware's list.
    pub fn secure_boot(&self, certificates: &[Vec<u8>]) {
        const X509: [u8; 16] = [
            0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b,
            0xf0, 0x72,
        ];
        let variables = "sys/firmware/efi/efivars";
        let state = format!("{variables}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        self.write(&state, [6, 0, 0, 0, 1]);
        let mut db = vec![7, 0, 0, 0];
        for der in certificates {
            let entry = 16 + der.len();
            db.extend(X509);
            for number in [28 + entry, 0, entry] {
                db.extend((number as u32).to_le_bytes());
            }
            db.extend([0; 16]);
            db.extend(der);
        }
        self.write(
            &format!("{variables}/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"),
            db,
        );
    }
}
