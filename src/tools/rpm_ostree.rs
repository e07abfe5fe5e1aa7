// SPDX-License-Identifier: MIT OR Apache-2.0
//! rpm-ostree in a container build: its version, its transaction, its cache and its leftovers.

use std::io::Read;

use anyhow::{Context, Result};

use crate::bytes::contains;
use crate::package::Nevra;
use crate::package::rpmdb::Rpmdb;
use crate::plan::RpmOstreeVersion;
use crate::sys::exec::{Cmd, Exec};
use crate::sys::root::{self, Root};

/// Returns the version of the package rpm-ostree.
pub fn version(rpmdb: &Rpmdb) -> Option<RpmOstreeVersion> {
    numbers(&rpmdb.package("rpm-ostree")?.nevra.version)
}

/// Returns the version that the program prints, for an rpm-ostree that no package owns.
///
/// # Errors
/// When the program prints no version.
pub fn query_version(exec: &Exec) -> Result<RpmOstreeVersion> {
    let text = exec.query(&Cmd::new("rpm-ostree").arg("--version"))?;
    let text = String::from_utf8_lossy(&text);
    parse_version(&text).with_context(|| {
        format!(
            "`rpm-ostree --version` printed no version; expected `Version: 'YYYY.N'` in: {text}"
        )
    })
}

/// Parses the line ` Version: '2025.6'` in the output of `rpm-ostree --version`.
fn parse_version(text: &str) -> Option<RpmOstreeVersion> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Version:"))?;
    numbers(line.trim().trim_matches('\''))
}

/// Parses the first two numbers of a version such as `2025.6`, and ignores the rest.
fn numbers(text: &str) -> Option<RpmOstreeVersion> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some(RpmOstreeVersion(
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
    ))
}

/// Returns a transaction that installs local files and removes packages. Its exit status is unreliable: the transaction
/// may have failed if it is 0, and may have succeeded if it is not. `KERNEL_INSTALL_BYPASS` disables systemd's
/// kernel-install, if rpm-ostree runs it.
///
/// In a container, one flavour of the kernel can replace another, although their packages have different names.
/// rpm-ostree marks each file for installation, and locks the installed packages, except those in `--remove` and those
/// with the same name as a file (`rpmostree_context_prepare` in src/libpriv/rpmostree-core.cxx). `override remove NAME…
/// --install ./x.rpm` cannot do that: it searches repositories only.
pub fn override_replace(files: &[String], remove: &[Nevra], tmpdir: &str) -> Cmd {
    Cmd::new("rpm-ostree")
        .privileged()
        .args(["override", "replace"])
        .args(files)
        .args(remove.iter().map(|it| format!("--remove={}", it.name)))
        .env("TMPDIR", tmpdir)
        .env("KERNEL_INSTALL_BYPASS", "1")
}

/// Returns the command that removes rpm-ostree's package cache. In a container only the option `-m` is allowed.
pub fn cleanup() -> Cmd {
    Cmd::new("rpm-ostree").args(["cleanup", "-m"])
}

/// Maximum size of a wrapper (bytes). Wrappers have a few hundred bytes.
const WRAPPER_MAX: u64 = 4096;

/// The suffix of a program that rpm-ostree has moved away during a transaction (rust/src/core.rs).
const SAVED: &str = ".rpmostreesave";

/// The name under which rpm-ostree before 2024.6 saves `systemctl`, the only program that it saves. Other files with
/// the suffix `.backup` are ignored, because other software uses that suffix, too.
const SAVED_SYSTEMCTL: &str = "systemctl.backup";

/// The directories of programs that scriptlets call.
const BINS: [&str; 5] = [
    "usr/bin",
    "usr/sbin",
    "usr/local/bin",
    "usr/local/sbin",
    "usr/libexec",
];

/// Returns the files that a killed transaction left: (the saved file, the program's path).
///
/// # Errors
/// When a directory cannot be read.
pub fn leftovers(root: &Root) -> Result<Vec<(String, String)>, root::Error> {
    let mut found = Vec::new();
    for bin in BINS {
        // On newer bases, usr/sbin is a link to usr/bin. Links are skipped, so that each file is listed once.
        if root
            .lstat(bin)?
            .is_none_or(|meta| meta.kind != root::FileType::Dir)
        {
            continue;
        }
        for (name, kind) in root.list(bin)? {
            let is_program = matches!(kind, root::FileType::File | root::FileType::Symlink);
            let name = name.to_str().unwrap_or_default();
            let place = match name.strip_suffix(SAVED) {
                Some(place) if !place.is_empty() => place,
                _ if name == SAVED_SYSTEMCTL => "systemctl",
                _ => continue,
            };
            if is_program {
                found.push((format!("{bin}/{name}"), format!("{bin}/{place}")));
            }
        }
    }
    Ok(found)
}

/// Restores saved programs whose path holds a wrapper, a partial wrapper or nothing, and removes the other saved files.
///
/// # Errors
/// When a file cannot be moved or removed.
pub fn heal(root: &Root) -> Result<(), root::Error> {
    for (saved, place) in leftovers(root)? {
        let is_wrapper = |path: &str| {
            Ok::<_, root::Error>(is_script(root, path)? && names_rpm_ostree(root, path)?)
        };
        let place_is_free = root.stat(&place)?.is_none_or(|meta| meta.size == 0)
            || is_wrapper(&place)?
            || (is_script(root, &place)? && !is_script(root, &saved)?);
        if place_is_free && !is_wrapper(&saved)? {
            tracing::info!("restoring /{place} from /{saved}, which a killed transaction left");
            root.rename(&saved, &place)?;
        } else {
            tracing::info!("removing /{saved}, which a killed transaction left");
            root.remove_file(&saved)?;
        }
    }
    Ok(())
}

fn is_script(root: &Root, path: &str) -> Result<bool, root::Error> {
    let Some(file) = root.open_file(path)? else {
        return Ok(false);
    };
    let mut start = Vec::new();
    Ok(file.take(2).read_to_end(&mut start).is_ok() && start == b"#!")
}

/// Returns whether a small file contains `rpm-ostree` or `rpmostree`, as every wrapper does. It does not suffice that a
/// file is a script, since a program can be a script, too (kernel-install of RHEL 9).
fn names_rpm_ostree(root: &Root, path: &str) -> Result<bool, root::Error> {
    if root.stat(path)?.is_none_or(|meta| meta.size > WRAPPER_MAX) {
        return Ok(false);
    }
    let text = root.read(path, WRAPPER_MAX)?.unwrap_or_default();
    let names = |mark: &[u8]| contains(&text, mark);
    Ok(names(b"rpm-ostree") || names(b"rpmostree"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_programs_are_found_by_their_suffix() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let names = [
            "usr/sbin/sss_cache.rpmostreesave",
            "usr/bin/glib-compile-schemas.rpmostreesave",
            "usr/libexec/helper.rpmostreesave",
            "usr/bin/systemctl.backup",
        ];
        let others = [
            "usr/bin/mine.backup",
            "usr/bin/.rpmostreesave",
            "usr/bin/x.rpmostreesave.bak",
        ];
        for name in names.iter().chain(&others) {
            let (bin, _) = name.rsplit_once('/').unwrap();
            root.create_dir_all(bin, 0o755).unwrap();
            root.write(name, b"\x7fELF", 0o755).unwrap();
        }
        let mut found: Vec<_> = leftovers(&root).unwrap();
        found.sort();
        let mut expected = names.map(|name| {
            let place = name.trim_end_matches(".rpmostreesave");
            (
                name.to_owned(),
                place.trim_end_matches(".backup").to_owned(),
            )
        });
        expected.sort();
        assert_eq!(found, expected);
        heal(&root).unwrap();
        for (saved, place) in expected {
            assert!(root.is_file(&place).unwrap() && root.lstat(&saved).unwrap().is_none());
        }
        assert!(others.iter().all(|name| root.is_file(name).unwrap()));
    }

    #[test]
    fn versions_are_read_and_ordered() {
        let text = "rpm-ostree:\n Version: '2025.6'\n Git: 1234\n Features:\n  - rust\n";
        assert_eq!(parse_version(text), Some(RpmOstreeVersion(2025, 6)));
        let text = " Version: '2024.9.5.gabcdef'\n";
        assert_eq!(parse_version(text), Some(RpmOstreeVersion(2024, 9)));
        assert_eq!(parse_version("rpm-ostree: nothing"), None);
        assert!(RpmOstreeVersion(2024, 6) < RpmOstreeVersion(2025, 1));
        assert!(RpmOstreeVersion(2024, 10) > RpmOstreeVersion(2024, 9));
    }
}
