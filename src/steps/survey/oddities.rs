// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detects traces of other build scripts: a dracut or a plug-in of kernel-install that was replaced, for example with a
//! script that does nothing, and a `/tmp`, `/var/tmp` or `/run` that is not a directory. Also detects a base that is
//! composed without an initramfs.

use anyhow::Result;

use crate::bytes::contains;
use crate::plan::Oddities;
use crate::sys::root::{self, FileType, Root};
use crate::tools::cliwrap;

/// Directories in which the steps create temporary files.
const TEMPORARY: [&str; 3] = ["tmp", "var/tmp", "run"];

/// The directories of kernel-install's plug-ins. A plug-in in the first directory overrides the plug-in with the same
/// name in the second.
const PLUGINS: [&str; 2] = ["etc/kernel/install.d", "usr/lib/kernel/install.d"];

/// The endings of the names of the plug-ins that build an initramfs. The names start with a number, which orders the
/// plug-ins.
const BUILDERS: [&str; 2] = ["-rpmostree.install", "-dracut.install"];

/// The paths of dracut.
const DRACUT: [&str; 2] = ["usr/bin/dracut", "usr/sbin/dracut"];

/// A text that every version of dracut contains.
const DRACUT_NAME: &[u8] = b"dracut";

/// The treefile of the base.
const TREEFILE: &str = "usr/share/rpm-ostree/treefile.json";

/// Upper bound of the treefile (bytes).
const TREEFILE_MAX: u64 = 8 << 20;

/// Upper bound of a file that may be a script that does nothing (bytes).
const SCRIPT_MAX: u64 = 4096;

/// Returns the traces of other build scripts, and the settings of the base, that are refused or warned about.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn look(root: &Root) -> Result<Oddities> {
    let mut found = Oddities::default();
    for dir in TEMPORARY {
        if root.lstat(dir)?.is_some() && !root.is_dir(dir)? {
            found
                .no_directories
                .push((dir.to_owned(), kind(root, dir)?));
        }
    }
    for path in DRACUT {
        let is_wrapped = cliwrap::is_wrapper(root, path)?;
        if found.dracut.is_none()
            && !is_wrapped
            && root
                .read_link("usr/sbin")?
                .is_none_or(|_| path == DRACUT[0])
        {
            found.dracut = stand_in(root, path)?.map(|what| (path.to_owned(), what));
            if found.dracut.is_none() && is_other_program(root, path)? {
                let what = "another program: it does not contain the word dracut".to_owned();
                found.dracut = Some((path.to_owned(), what));
            }
        }
    }
    for dir in PLUGINS {
        for (name, _) in root.list(dir)? {
            let name = name.to_string_lossy();
            let path = format!("{dir}/{name}");
            if BUILDERS.iter().any(|end| name.ends_with(end))
                && let Some(what) = stand_in(root, &path)?
            {
                found.plugins.push((path, what));
            }
        }
    }
    if root.is_file(TREEFILE)? {
        let json = root.read(TREEFILE, TREEFILE_MAX)?.unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap_or_default();
        found.no_initramfs = (json["no-initramfs"] == true).then(|| TREEFILE.to_owned());
    }
    Ok(found)
}

/// Upper bound of a file that is searched for the word dracut (bytes); dracut's own script has 0.1 MiB.
const PROGRAM_MAX: u64 = 8 << 20;

/// Returns whether the file at a path of dracut is another program, for example a copy of true or of busybox. dracut
/// itself, and every script that starts it, contain the word dracut.
fn is_other_program(root: &Root, path: &str) -> Result<bool> {
    let meta = root.stat(path)?.filter(|meta| meta.kind == FileType::File);
    if meta.is_none_or(|meta| meta.size > PROGRAM_MAX) {
        return Ok(false);
    }
    let text = root.read(path, PROGRAM_MAX)?.unwrap_or_default();
    let text = text.to_ascii_lowercase();
    Ok(!contains(&text, DRACUT_NAME))
}

/// Describes the type of the file at a path.
fn kind(root: &Root, path: &str) -> Result<String, root::Error> {
    Ok(match (root.read_link(path)?, root.stat(path)?) {
        (Some(target), None) => format!("a dangling link to {}", target.display()),
        (Some(target), Some(_)) => format!("a link to {}", target.display()),
        (None, Some(meta)) => meta.kind.to_string(),
        (None, None) => "not there".to_owned(),
    })
}

/// Describes the file at a program's path if it is not the program; `None` if it may be the program, or does not exist.
fn stand_in(root: &Root, path: &str) -> Result<Option<String>> {
    if root.lstat(path)?.is_none() {
        return Ok(None);
    }
    let name = path.rsplit('/').next();
    if let Some(target) = root.read_link(path)? {
        // A link leads to another program (true, busybox, /dev/null) unless its target's name starts with the program's
        // name.
        let same = |target: &str| name.is_some_and(|name| target.starts_with(name));
        if !target
            .file_name()
            .and_then(|it| it.to_str())
            .is_some_and(same)
        {
            return Ok(Some(kind(root, path)?));
        }
    }
    let Some(meta) = root.stat(path)?.filter(|meta| meta.kind == FileType::File) else {
        return Ok(Some(kind(root, path)?));
    };
    if meta.size == 0 {
        return Ok(Some("an empty file".to_owned()));
    }
    if meta.size > SCRIPT_MAX {
        return Ok(None);
    }
    let text = root.read(path, SCRIPT_MAX)?.unwrap_or_default();
    let does_nothing = does_nothing(&String::from_utf8_lossy(&text));
    Ok(does_nothing.then(|| "a script that does nothing".to_owned()))
}

/// Returns whether a script does nothing but print text and exit with status 0.
fn does_nothing(text: &str) -> bool {
    if !text.starts_with("#!") {
        return false;
    }
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    for statement in lines
        .flat_map(|line| line.split([';', '&', '|']))
        .map(str::trim)
    {
        match statement.split_whitespace().next() {
            None | Some("true" | ":" | "set" | "echo") => {}
            Some("exit") => return matches!(statement, "exit" | "exit 0"),
            Some(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_do_nothing_are_known() {
        for (text, expected) in [
            ("#!/bin/sh\nexit 0\n", true),
            ("#!/bin/sh\n", true),
            (
                "#!/usr/bin/bash\n# later\nset -e; echo skipped; exit\n",
                true,
            ),
            ("#!/bin/sh\n:\n", true),
            ("#!/bin/sh\nexit 77\n", false),
            ("#!/bin/sh\n[ -d /x ] || exit 0\nrun\n", false),
            ("#!/bin/sh\ndracut \"$@\"\n", false),
            ("\x7fELF", false),
        ] {
            assert_eq!(does_nothing(text), expected, "{text}");
        }
    }

    #[test]
    fn a_copy_of_another_program_is_no_dracut() {
        for (text, expected) in [
            (&b"\x7fELF\x02 GNU coreutils true"[..], true),
            (b"\x7fELF\x02 BusyBox v1.36.1 multi-call binary", true),
            (b"#!/bin/sh\nprintf 'nothing to do\\n'\n", true),
            (b"#!/bin/sh\nexec /usr/libexec/dracut.real \"$@\"\n", false),
            (b"\x7fELF\x02 usage: dracut [OPTION]", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let root = Root::open(dir.path()).unwrap();
            root.create_dir_all("usr/bin", 0o755).unwrap();
            root.write("usr/bin/dracut", text, 0o755).unwrap();
            let found = look(&root).unwrap();
            assert_eq!(found.dracut.is_some(), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn oddities_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        for dir in [
            "usr/bin",
            "usr/lib/kernel/install.d",
            "etc/kernel/install.d",
            "var",
            "usr/share/rpm-ostree",
        ] {
            root.create_dir_all(dir, 0o755).unwrap();
        }
        let real = b"#!/bin/bash\nCOMMAND=$1\ncase $COMMAND in esac\ndracut -f x\n";
        root.write("usr/bin/dracut", real, 0o755).unwrap();
        root.write("usr/lib/kernel/install.d/50-dracut.install", real, 0o755)
            .unwrap();
        root.symlink("/dev/null", "etc/kernel/install.d/51-dracut-rescue.install")
            .unwrap();
        assert_eq!(look(&root).unwrap(), Oddities::default());
        root.symlink("sysroot/tmp", "tmp").unwrap();
        root.write("var/tmp", b"", 0o644).unwrap();
        root.remove_file("usr/bin/dracut").unwrap();
        root.write("usr/bin/true", b"\x7fELF", 0o755).unwrap();
        root.symlink("true", "usr/bin/dracut").unwrap();
        root.symlink("/dev/null", "etc/kernel/install.d/50-dracut.install")
            .unwrap();
        let shim = b"#!/bin/sh\nexit 0\n";
        root.write("usr/lib/kernel/install.d/05-rpmostree.install", shim, 0o755)
            .unwrap();
        root.write(TREEFILE, b"{\"no-initramfs\": true}", 0o644)
            .unwrap();
        let found = look(&root).unwrap();
        let paths = |found: &[(String, String)]| {
            found
                .iter()
                .map(|(path, _)| path.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(&found.no_directories), ["tmp", "var/tmp"]);
        assert_eq!(
            found.dracut,
            Some(("usr/bin/dracut".into(), "a link to true".into()))
        );
        assert_eq!(
            paths(&found.plugins),
            [
                "etc/kernel/install.d/50-dracut.install",
                "usr/lib/kernel/install.d/05-rpmostree.install"
            ]
        );
        assert!(found.no_initramfs.is_some());
        assert!(
            found
                .admit()
                .unwrap_err()
                .to_string()
                .contains("/tmp is a dangling link to sysroot/tmp")
        );
        assert_eq!(found.warnings().len(), 3);
    }
}
