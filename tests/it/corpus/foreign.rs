// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees of other architectures, created from Debian's packages by `bed foreign`. In a good tree every applicable check
//! runs and finds nothing fatal; in a broken tree the expected check has a fatal finding.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::archive::Archive;
use super::draft::pack;
use super::products::of_the_bed;
use super::scratch::Scratch;
use crate::bed::wait;

const ARCHITECTURES: [&str; 3] = ["aarch64", "s390x", "ppc64le"];

/// A tree that can be changed.
struct Foreign<'p> {
    /// The directory that contains the trees of all architectures.
    dir: &'p Path,
    arch: &'static str,
    root: PathBuf,
    kver: String,
}

fn kver(tree: &Path) -> String {
    let dirs = fs_err::read_dir(tree.join("usr/lib/modules")).unwrap();
    let names = dirs.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.into_iter().next().unwrap()
}

impl Foreign<'_> {
    fn of_kernel(&self, path: &str) -> PathBuf {
        self.root
            .join("usr/lib/modules")
            .join(&self.kver)
            .join(path)
    }

    /// Returns the file `name` of the kernel's directory in the tree of another architecture. If the tree has only
    /// `NAME.xz`, returns that file's uncompressed content.
    fn of_another(&self, name: &str) -> Vec<u8> {
        let others = ARCHITECTURES.into_iter().filter(|it| *it != self.arch);
        let mut trees = others.map(|it| self.dir.join(it)).filter(|it| it.is_dir());
        let tree = trees.next().expect("a tree of another architecture");
        let dir = tree.join("usr/lib/modules").join(kver(&tree));
        let found = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
        let mut found = found.filter(|it| {
            let file = it.file_name().to_str().unwrap();
            file == name || file.strip_suffix(".xz") == Some(name)
        });
        let path = found.next().expect("a file of that name").into_path();
        let bytes = fs_err::read(&path).unwrap();
        if path.extension().is_some_and(|it| it == "xz") && !name.ends_with(".xz") {
            return unxz(&bytes);
        }
        bytes
    }

    fn change_image(&self, change: impl FnOnce(&mut Archive)) {
        let path = self.of_kernel("initramfs.img");
        let bytes = zstd::decode_all(fs_err::File::open(&path).unwrap()).unwrap();
        let mut archive = Archive::read(Arc::new(bytes));
        change(&mut archive);
        fs_err::write(path, pack(&archive.to_bytes())).unwrap();
    }

    /// Returns the path of the module with the file name `name`, or with that name and `.xz`.
    fn module(&self, name: &str) -> PathBuf {
        let all = walkdir::WalkDir::new(self.of_kernel("kernel")).into_iter();
        let mut all = all.map(|it| it.unwrap().into_path());
        let is_it = |path: &PathBuf| {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.strip_suffix(".xz").unwrap_or(file) == name
        };
        all.find(is_it).expect("the module")
    }

    /// Runs `verify` on the tree. Returns the exit status, the checks with a fatal finding, the checks that could not
    /// run, and the output.
    fn verify(&self) -> (Option<i32>, BTreeSet<String>, BTreeSet<String>, String) {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostree-kernel"));
        command.args(["--format", "json", "verify", "--root"]);
        command.arg(&self.root).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (status, stdout, stderr) = wait(command.spawn().unwrap());
        let report: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_default();
        let names = |list: &str, field: &str, value: &str| -> BTreeSet<String> {
            let all = report[list].as_array().into_iter().flatten();
            let all = all.filter(|it| it[field] == value);
            all.filter_map(|it| Some(it["check"].as_str()?.to_owned()))
                .collect()
        };
        let fatal = names("findings", "severity", "fatal");
        let unknown = names("checks", "answer", "could-not-run");
        (status, fatal, unknown, stdout + &stderr)
    }
}

fn unxz(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::copy(&mut liblzma::read::XzDecoder::new(bytes), &mut plain).unwrap();
    plain
}

type Change = fn(&Foreign);

/// Changes that break a tree: a name, the check that finds the change, and the change.
const BROKEN: [(&str, &str, Change); 3] = [
    (
        "vmlinuz-of-another-architecture",
        "kernel-release",
        |tree| {
            let vmlinuz = tree.of_another("vmlinuz");
            fs_err::write(tree.of_kernel("vmlinuz"), vmlinuz).unwrap();
        },
    ),
    (
        "module-of-another-architecture",
        "initramfs-modules",
        |tree| {
            let path = tree.module("virtio_blk.ko");
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let module = tree.of_another(name.trim_end_matches(".xz"));
            let inside = path.strip_prefix(&tree.root).unwrap().to_str().unwrap();
            tree.change_image(|archive| archive.replace(inside, module));
        },
    ),
    ("without-the-loader", "initramfs-init", |tree| {
        let is_loader = |path: &str| {
            let name = path.rsplit('/').next().unwrap();
            name.starts_with("ld-linux-") || name.starts_with("ld64.so.")
        };
        tree.change_image(|archive| archive.remove_all(is_loader));
    }),
];

#[test]
fn trees_of_other_architectures() {
    let Some(dir) = of_the_bed("foreign") else {
        return;
    };
    let there = |arch: &&str| dir.join(arch).is_dir();
    let place = Scratch::new();
    for arch in ARCHITECTURES.into_iter().filter(there) {
        let tree = dir.join(arch);
        let judge = |change: Change| {
            let layer = place.layer(Some(&tree));
            let foreign = Foreign {
                dir: &dir,
                arch,
                root: layer.root(),
                kver: kver(&tree),
            };
            change(&foreign);
            foreign.verify()
        };
        let (status, fatal, unknown, said) = judge(|_| ());
        println!("good {arch}: {fatal:?}, could not run: {unknown:?}");
        assert_eq!((status, unknown.len()), (Some(0), 0), "{arch}: {said}");
        for (name, check, change) in BROKEN {
            if ARCHITECTURES.iter().filter(|it| there(it)).count() < 2 && name.contains("another") {
                continue;
            }
            let (status, fatal, _, said) = judge(change);
            println!("broken {name} {arch}: expected {check}, found {fatal:?}");
            assert!(
                status == Some(4) && fatal.contains(check),
                "{name} {arch}: {said}"
            );
        }
    }
}
