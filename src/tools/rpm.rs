// SPDX-License-Identifier: MIT OR Apache-2.0
//! rpm: lists the packages of an rpmdb in a format that only rpm itself reads (ndb, Berkeley DB). This module changes
//! no packages.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};

use crate::package::Nevra;
use crate::package::capability::{Capability, Op};
use crate::package::rpmdb::{
    FileDigest, GHOST, PackageFile, Record, Rpmdb, RpmdbReader, Scope, is_installed, kept_path,
};
use crate::sys::exec::{Cmd, Exec};

/// The query format: a line with the NEVRA of a package, the digest of its header and the digest algorithm of its
/// files, then a line for each capability and file.
const FORMAT: &str = concat!(
    r"N\t%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{SHA256HEADER}\t%{FILEDIGESTALGO}\n",
    r"[P\t%{PROVIDENAME}\t%{PROVIDEFLAGS:depflags}\t%{PROVIDEVERSION}\n]",
    r"[R\t%{REQUIRENAME}\t%{REQUIREFLAGS:depflags}\t%{REQUIREVERSION}\n]",
    r"[F\t%{FILESTATES}\t%{FILEMODES}\t%{FILEFLAGS}\t%{FILEDIGESTS}\t%{FILELINKTOS}\t%{FILENAMES}\n]"
);

/// The text that rpm prints for a missing value, and as a line for a missing array.
const NONE: &str = "(none)";

/// Returns the installed packages of `scope`. `program` is rpm itself, not a wrapper of cliwrap.
///
/// # Errors
/// When rpm fails, or prints an unexpected line.
pub fn packages(exec: &Exec, program: &str, scope: Scope) -> Result<Rpmdb> {
    let cmd = Cmd::new(program).args(["-qa", "--qf", FORMAT]);
    parse(&String::from_utf8_lossy(&exec.query(&cmd)?), scope)
}

/// Parses packages in the format [`FORMAT`].
fn parse(text: &str, scope: Scope) -> Result<Rpmdb> {
    let mut reading = RpmdbReader::new(scope);
    let mut last: Option<(Record, u32)> = None;
    for line in text.lines().filter(|line| *line != NONE) {
        let unexpected = || format!("rpm printed an unexpected line: {line:?}");
        let fields: Vec<_> = line.split('\t').collect();
        match (fields.as_slice(), &mut last) {
            (["N", nevra @ .., digest, algorithm], _) => {
                let record = Record {
                    nevra: parse_nevra(nevra).with_context(unexpected)?,
                    provides: Vec::new(),
                    requires: Vec::new(),
                    header_sha256: Some(*digest)
                        .filter(|text| text.len() == 64)
                        .map(str::to_owned),
                    build: None,
                    has_files: false,
                    files: BTreeMap::new(),
                };
                // If the package names no algorithm, the digests of its files are MD5, which has the number 1.
                let algorithm = algorithm.parse().unwrap_or(1);
                if let Some((done, _)) = last.replace((record, algorithm)) {
                    reading.add(done)?;
                }
            }
            (["P", cap @ ..], Some((record, _))) => {
                record
                    .provides
                    .extend(capability(cap).with_context(unexpected)?);
            }
            (["R", cap @ ..], Some((record, _))) => {
                record
                    .requires
                    .extend(capability(cap).with_context(unexpected)?);
            }
            (["F", file @ ..], Some((record, algorithm))) => {
                record.has_files = true;
                let file = parse_file(file, *algorithm).with_context(unexpected)?;
                record.files.extend(file);
            }
            _ => anyhow::bail!(unexpected()),
        }
    }
    if let Some((done, _)) = last {
        reading.add(done)?;
    }
    Ok(reading.finish())
}

fn parse_nevra(fields: &[&str]) -> Option<Nevra> {
    let [name, epoch, version, release, arch] = fields else {
        return None;
    };
    Some(Nevra {
        name: (*name).to_owned(),
        epoch: epoch.parse().ok()?,
        version: (*version).to_owned(),
        release: (*release).to_owned(),
        arch: (*arch).to_owned(),
    })
}

/// Parses a capability. The outer `None` is a malformed line, the inner `None` a feature of rpm itself (`rpmlib(…)`).
fn capability(fields: &[&str]) -> Option<Option<Capability>> {
    let [name, op, version] = fields else {
        return None;
    };
    Some((!name.starts_with("rpmlib(")).then(|| Capability {
        name: (*name).to_owned(),
        op: Op::of(op),
        version: (*version).to_owned(),
    }))
}

/// Parses a file, and returns it with its path. The outer `None` is a malformed line. The inner `None` is a file that
/// is not installed, or that [`kept_path`] leaves out.
fn parse_file(fields: &[&str], algorithm: u32) -> Option<Option<(String, PackageFile)>> {
    let [state, mode, flags, digest, target, path] = fields else {
        return None;
    };
    let flags: u32 = flags.parse().ok()?;
    let Some(path) = kept_path(path).filter(|_| is_installed(state.parse().unwrap_or(0))) else {
        return Some(None);
    };
    let digest = Some(digest).filter(|it| !it.is_empty() && **it != NONE);
    let file = PackageFile {
        mode: mode.parse().ok()?,
        digest: digest.map(|hex| FileDigest {
            algorithm,
            hex: (*hex).to_owned(),
        }),
        is_ghost: flags & GHOST != 0,
        target: (*target).to_owned(),
    };
    Some(Some((path, file)))
}

/// Returns whether `name` is the temporary name of a file that rpm unpacks: the final name, `;`, and the transaction's
/// number as eight hexadecimal digits. rpm renames the files of a package after it has unpacked all of them.
pub fn is_unpacked(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let Some(at) = name.iter().rposition(|byte| *byte == b';') else {
        return false;
    };
    let number = &name[at + 1..];
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    at > 0 && number.len() == 8 && number.iter().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_with_their_files() {
        let digest = "a".repeat(64);
        let kver = "6.9.4-200.fc40.x86_64";
        let file = format!("/lib/modules/{kver}/vmlinuz");
        let text = format!(
            "N\tbash\t0\t5.2\t1\tx86_64\t{digest}\t8\nP\tbash\t=\t5.2-1\nR\t/bin/sh\t\t\nR\trpmlib(X)\t=\t1\n\
             F\t0\t33261\t0\tdd\t\t/usr/bin/bash\n\
             N\tgpg-pubkey\t0\ta15b\t63d0\t(none)\t(none)\t(none)\n(none)\n(none)\n\
             N\tkernel-core\t0\t6.9.4\t200.fc40\tx86_64\t(none)\t8\n\
             P\tkernel-uname-r\t=\t{kver}\n\
             F\t0\t33261\t0\tff\t\t{file}\nF\t0\t33188\t64\t\t\t/boot/vmlinuz-{kver}\n\
             F\t1\t33188\t0\tee\t\t/boot/replaced\n"
        );
        let rpmdb = parse(&text, Scope::All).unwrap();
        let [bash, key, core] = rpmdb.packages() else {
            panic!("{rpmdb:?}");
        };
        assert_eq!(bash.header_sha256, Some(digest));
        assert!(bash.has_files && bash.files.is_empty());
        assert_eq!(bash.requires.len(), 1);
        assert!(!key.has_files);
        assert_eq!(core.kernels().collect::<Vec<_>>(), [kver]);
        let names: Vec<_> = core.files.keys().map(String::as_str).collect();
        let vmlinuz = format!("usr/lib/modules/{kver}/vmlinuz");
        assert_eq!(names, [&format!("boot/vmlinuz-{kver}"), &vmlinuz]);
        let file = &core.files[&vmlinuz];
        assert_eq!(file.digest.as_ref().unwrap().hex, "ff");
        assert!(file.is_file() && core.files[names[0]].is_ghost);
        assert_eq!(parse(&text, Scope::Kernels).unwrap().packages().len(), 1);
    }

    #[test]
    fn names_of_what_is_unpacked() {
        for (name, expected) in [
            ("ext4.ko.xz;6b05e707", true),
            ("a;b;00000000", true),
            ("ext4.ko.xz", false),
            ("ext4.ko.xz;6b05e70", false),
            ("ext4.ko.xz;6b05e7071", false),
            ("ext4.ko.xz;6B05E707", false),
            (";6b05e707", false),
        ] {
            assert_eq!(is_unpacked(OsStr::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn lines_that_rpm_does_not_print_are_errors() {
        for bad in [
            "error: rpmdb open failed",
            "N\tbash\tx\t5\t1\tx86_64\t-\t8",
            "P\ta\t=\tb",
            "N\tbash\t0\t5\t1\tx86_64\t-\t8\nP\ta\tb",
            "N\tbash\t0\t5\t1\tx86_64\t-\t8\nF\t0\tx\t0\t\t\t/boot/x",
        ] {
            assert!(parse(bad, Scope::All).is_err(), "{bad}");
        }
    }
}
