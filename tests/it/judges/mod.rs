// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the parsers in `boot` with real programs, on random mutations of an image's files. The real programs are
//! udev's `udevadm verify`, systemd's `systemd-analyze verify`, and the dynamic linker, from the Debian suite of the
//! image.
//!
//! `JUDGES_SEED` chooses other mutations, and `JUDGES_ROUNDS` sets their number. A failure prints the seed.

mod libraries;
mod rules;
mod units;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ostree_kernel::initramfs::{Bodies, Facts, Inventory, Limits, read};
use tempfile::TempDir;

use crate::corpus::archive::Archive;
use crate::corpus::products::{Base, Products, of_the_bed};

/// The start of the line that is appended to the output of a program that a signal ended, or that could not be started.
const KILLED: &str = "ended with ";

/// A root with the programs of a suite, and an image of the suite that is unpacked in it.
struct Judge {
    root: PathBuf,
    dir: TempDir,
    image: Archive,
}

impl Judge {
    /// Returns the judge of an image's suite, with the image unpacked; `None` if the test bed's products are missing.
    fn of(base: Base) -> Option<Self> {
        let products = Products::made()?;
        let suite = base.name().split('-').next().unwrap();
        let root = of_the_bed("judges")?.join(suite);
        let image = Archive::read(products.archive(base));
        let dir = TempDir::with_prefix_in("judge-", &root).unwrap();
        let judge = Self { root, dir, image };
        judge.unpack();
        Some(judge)
    }

    /// Returns the directory in which the image is unpacked.
    fn unpacked(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Returns the path of a file in the judge's directory, as a program in the root sees it.
    fn inside(&self, path: &str) -> String {
        let name = self.dir.path().file_name().unwrap().to_str().unwrap();
        format!("/{name}/{path}")
    }

    fn unpack(&self) {
        // Directories are written first, since a link to one can precede it in the archive.
        for is_directory in [true, false] {
            for (path, mode, data) in self.image.entries() {
                if path != "." && (mode & 0o170_000 == 0o040_000) == is_directory {
                    put(&self.unpacked().join(path), mode, data);
                }
            }
        }
    }

    /// Runs a program in the root `root`, with PATH and at most one other environment variable. Returns its standard
    /// output and standard error.
    fn run(&self, root: &Path, variable: Option<(&str, &str)>, arguments: &[&str]) -> String {
        #[expect(clippy::disallowed_methods, reason = "the reference")]
        let mut command = Command::new("chroot");
        let ran = command
            .arg(root)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/usr/sbin")
            .envs(variable)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut text = [ran.stdout, ran.stderr].concat();
        // `trace` ends with status 127 if there is no linker.
        if ran.status.signal().is_some() || ran.status.code() == Some(127) {
            text.extend_from_slice(format!("\n{KILLED}{}\n", ran.status).as_bytes());
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Reads an image as this program does.
fn read_image(image: &Archive) -> (Inventory, Facts) {
    let limits = Limits::default();
    let mut bodies = Bodies::new(None);
    let mut inventory = Inventory::new(&limits);
    let bytes = image.to_bytes();
    read(bytes.as_slice(), &limits, &mut inventory.with(&mut bodies)).unwrap();
    let facts = bodies.take_facts();
    (inventory, facts)
}

/// Writes an entry of an archive, and replaces an existing file.
fn put(path: &Path, mode: u32, data: &[u8]) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    match mode & 0o170_000 {
        0o040_000 => fs_err::create_dir_all(path).unwrap(),
        0o120_000 => {
            let _ = fs_err::remove_file(path);
            symlink(std::str::from_utf8(data).unwrap(), path).unwrap();
        }
        0o100_000 => {
            let _ = fs_err::remove_file(path);
            fs_err::write(path, data).unwrap();
            let mode = std::fs::Permissions::from_mode(mode & 0o7777);
            fs_err::set_permissions(path, mode).unwrap();
        }
        // No judge needs device nodes.
        _ => {}
    }
}

/// A generator of pseudo-random numbers (xorshift64*).
struct Random(u64);

impl Random {
    /// Returns the generator of a test, and prints the seed.
    fn of(test: &str) -> Self {
        let seed = number("JUDGES_SEED").unwrap_or(1);
        println!("{test}: JUDGES_SEED={seed}");
        let salt = test
            .bytes()
            .fold(seed, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Returns the number of rounds of a test: `JUDGES_ROUNDS`, or `default`.
fn rounds(default: usize) -> usize {
    number("JUDGES_ROUNDS").map_or(default, |it| it as usize)
}
