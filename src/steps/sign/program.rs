// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the program that signs `vmlinuz`: sbsign or systemd-sbsign, in the tree or in another root.
//!
//! A program of another root is not run inside that root, but in the file system of this process, so that it can read
//! the keys and write the output. If the program is dynamic, that root's dynamic linker starts it with that root's
//! libraries.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::KernelSigning;
use crate::initramfs::Elf;
use crate::kernel::kver::Kver;
use crate::site::workspace::TMP;
use crate::sys::exec::Cmd;
use crate::sys::root::{self, Root};

/// The name of the signed file in [`TMP`].
pub(super) const OUTPUT: &str = "vmlinuz";

/// The paths of the programs, relative to the root. The first one that exists is used.
const PROGRAMS: [&str; 5] = [
    "usr/bin/sbsign",
    "usr/sbin/sbsign",
    "bin/sbsign",
    "usr/lib/systemd/systemd-sbsign",
    "lib/systemd/systemd-sbsign",
];

/// Directories of libraries, relative to the root. [`libraries`] also uses Debian's directories for an architecture,
/// for example `usr/lib/x86_64-linux-gnu`.
const LIBRARIES: [&str; 5] = ["usr/lib64", "lib64", "usr/lib", "lib", "usr/lib/systemd"];

/// Maximum number of bytes that are read from the start of a program, where its ELF headers are.
const PROGRAM_MAX: u64 = 4 << 20;

/// The error that there is no program for signing `vmlinuz`. Its field names the root that was searched.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "there is neither sbsign nor systemd-sbsign in {0}. Install it in an earlier RUN line (sbsigntools in Fedora, sbsigntool or systemd-repart in Debian), or name the root directory of an image that has it: --tool-root DIR"
)]
pub struct NoSigner(String);

/// The program that signs `vmlinuz`.
pub struct Signer {
    /// The command line without options of the signing program: the program, or its dynamic linker with arguments.
    start: Cmd,
    is_systemd: bool,
    /// The root that the program is from; `None` for the tree.
    tool_root: Option<PathBuf>,
    /// The program's path, relative to its root.
    program: &'static str,
}

/// Finds the program that signs `vmlinuz`.
///
/// # Errors
/// When the root of the program cannot be opened, or has none of the programs.
pub fn find(tree: &Root, tool_root: Option<&Path>) -> Result<Signer, NoSigner> {
    let none = || {
        let dir = tool_root.map_or("the image".to_owned(), |dir| dir.display().to_string());
        NoSigner(dir)
    };
    let opened = tool_root.map(Root::open).transpose();
    let opened = opened.map_err(|_| none())?;
    let root = opened.as_ref().unwrap_or(tree);
    let is_program = |path: &&&str| root.is_file(path).unwrap_or(false);
    let program = PROGRAMS.iter().find(is_program).ok_or_else(none)?;
    let is_foreign = opened.as_ref().is_some_and(|root| !root.is_host());
    let start = match interpreter(root, program).filter(|_| is_foreign) {
        Some(linker) => Cmd::new(root.host_path(linker).display().to_string())
            .arg("--library-path")
            .arg(libraries(root))
            .arg(root.host_path(program)),
        None if opened.is_some() => Cmd::new(root.host_path(program).display().to_string()),
        None => Cmd::new(format!("/{program}")),
    };
    Ok(Signer {
        start,
        is_systemd: program.ends_with("systemd-sbsign"),
        tool_root: tool_root.map(Path::to_owned),
        program,
    })
}

/// Returns the dynamic linker of a program, relative to the root; `None` if the program is static or cannot be read, or
/// if the linker is missing.
fn interpreter(root: &Root, program: &str) -> Option<String> {
    let file = root.open_file(program).ok()??;
    let mut start = Vec::new();
    file.take(PROGRAM_MAX).read_to_end(&mut start).ok()?;
    let linker = Elf::parse(&start).ok()?.interpreter?;
    let linker = String::from_utf8(linker).ok()?;
    let linker = linker.trim_start_matches('/').to_owned();
    root.is_file(&linker).unwrap_or(false).then_some(linker)
}

/// Returns the root's directories of libraries as paths on the host, separated by colons.
fn libraries(root: &Root) -> String {
    let of_arches = |dir: &'static str| {
        let list = root.list(dir).unwrap_or_default().into_iter();
        let dirs = list.filter(|(_, kind)| *kind == root::FileType::Dir);
        let names = dirs.map(|(name, _)| name.to_string_lossy().into_owned());
        let arches = names.filter(|name| name.contains("-linux-"));
        arches.map(move |name| format!("{dir}/{name}"))
    };
    let arches = ["usr/lib", "lib"].into_iter().flat_map(of_arches);
    let dirs = LIBRARIES.into_iter().map(str::to_owned).chain(arches);
    let dirs = dirs.filter(|dir| root.is_dir(dir).unwrap_or(false));
    let dirs = dirs.map(|dir| root.host_path(dir).display().to_string());
    dirs.collect::<Vec<_>>().join(":")
}

impl Signer {
    /// Returns whether the program runs in the file system of this process, not in the tree.
    pub(super) fn is_on_host(&self) -> bool {
        self.tool_root.is_some()
    }

    /// Returns the command line that signs the kernel and writes [`OUTPUT`].
    pub(super) fn command(&self, asked: &KernelSigning, tree: &Root, kver: &Kver) -> Cmd {
        let place = |path: String| {
            if self.is_on_host() {
                tree.host_path(path)
            } else {
                Path::new("/").join(path)
            }
        };
        let vmlinuz = place(format!("{}/vmlinuz", kver.dir()));
        let output = place(format!("{TMP}/{OUTPUT}"));
        let (key, certificate) = (&asked.key, &asked.certificate_file);
        let start = self.start.clone();
        if self.is_systemd {
            let option = |name: &str, value: &Path| {
                let mut option = std::ffi::OsString::from(format!("--{name}="));
                option.push(value);
                option
            };
            start
                .arg("sign")
                .arg(option("private-key", key))
                .arg(option("certificate", certificate))
                .arg(option("output", &output))
                .arg(vmlinuz)
        } else {
            let start = start.arg("--key").arg(key).arg("--cert").arg(certificate);
            start.arg("--output").arg(output).arg(vmlinuz)
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tool_root {
            Some(dir) => write!(f, "{} of {}", self.program, dir.display()),
            None => write!(f, "/{} of the image", self.program),
        }
    }
}
