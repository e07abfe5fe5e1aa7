// SPDX-License-Identifier: MIT OR Apache-2.0
//! rpm: questions to the rpmdb. It is never asked to change anything.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, anyhow};

use crate::package::Nevra;
use crate::package::capability::{Capability, Op};
use crate::plan::Installed;
use crate::sys::exec::{Cmd, Exec};
use crate::sys::root::{self, Root};

/// How many paths one `rpm -qf` gets.
const PATHS_AT_ONCE: usize = 500;

/// A package, its header's digest, and a line for each capability that it provides and requires.
const PACKAGES: &str = concat!(
    r"N\t%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{SHA256HEADER}\n",
    r"[P\t%{PROVIDENAME}\t%{PROVIDEFLAGS:depflags}\t%{PROVIDEVERSION}\n]",
    r"[R\t%{REQUIRENAME}\t%{REQUIREFLAGS:depflags}\t%{REQUIREVERSION}\n]"
);

/// A package and its header's digest, which says all that the package is.
const DIGESTS: &str = r"%{NEVRA} %{SHA256HEADER}\n";

/// The directories of every package's files.
const DIRS: &str = r"[%{=NVRA}\t%{DIRNAMES}\n]";

/// A package's files.
const FILES_OF: &str = r"[%{=NVRA}\t%{FILENAMES}\n]";

/// Where rpmdbs are, relative to the root; often links to one another.
const DATABASES: [&str; 3] = ["usr/share/rpm", "usr/lib/sysimage/rpm", "var/lib/rpm"];

/// The files of an SQLite rpmdb that hold packages.
const FILES: [&str; 2] = ["rpmdb.sqlite", "rpmdb.sqlite-wal"];

/// Where a copy lies while it is asked, relative to the root.
const COPY: &str = "run/ostree-kernel-rpmdb";

/// The largest rpmdb that is copied (bytes); Fedora CoreOS's is about 40 MiB.
const DATABASE_MAX: u64 = 1 << 30;

/// A copy of the rpmdb: SQLite leaves `rpmdb.sqlite-shm` and `-wal` beside a database that root
/// only reads, and looking must not change the tree.
struct Snapshot<'a>(Option<&'a Root>);

impl<'a> Snapshot<'a> {
    /// Copies. Where that cannot be (no privilege, no room, another format) the rpmdb itself is
    /// asked.
    fn take(root: &'a Root) -> Self {
        match Self::copy(root) {
            Ok(true) => Self(Some(root)),
            Ok(false) => Self(None),
            Err(error) => {
                tracing::debug!("the rpmdb is asked itself: {error}");
                Self::remove(root);
                Self(None)
            }
        }
    }

    fn copy(root: &Root) -> Result<bool, root::Error> {
        for dir in DATABASES {
            if !root.is_file(format!("{dir}/{}", FILES[0]))? {
                continue;
            }
            root.remove_tree(COPY)?;
            root.create_dir_all(COPY, 0o700)?;
            for name in FILES {
                if let Some(mut file) = root.open_file(format!("{dir}/{name}"))? {
                    root.copy_in(&mut file, format!("{COPY}/{name}"), 0o600, DATABASE_MAX)?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn remove(root: &Root) {
        if let Err(error) = root.remove_tree(COPY) {
            tracing::debug!("removing the copy of the rpmdb: {error}");
        }
    }

    /// The command, which asks the copy.
    fn asked(&self, cmd: Cmd) -> Cmd {
        match self.0 {
            Some(_) => cmd.arg("--dbpath").arg(format!("/{COPY}")),
            None => cmd,
        }
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if let Some(root) = self.0 {
            Self::remove(root);
        }
    }
}

/// The rpmdb of a root as it is now. What is asked of one of these is answered by one copy.
pub struct Database<'a> {
    exec: &'a Exec,
    rpm: &'a str,
    snapshot: Snapshot<'a>,
}

impl<'a> Database<'a> {
    /// Opens it; `rpm` is the real program.
    pub fn open(exec: &'a Exec, rpm: &'a str) -> Self {
        Self {
            exec,
            rpm,
            snapshot: Snapshot::take(exec.root()),
        }
    }

    /// The installed packages.
    ///
    /// # Errors
    /// When rpm fails, or prints what it should not.
    pub fn packages(&self) -> Result<Vec<Installed>> {
        let cmd = Cmd::new(self.rpm).args(["-qa", "--qf", PACKAGES]);
        let output = self.exec.ask(&self.snapshot.asked(cmd))?;
        parse_packages(&String::from_utf8_lossy(&output))
    }

    /// Notes which packages have files, and what of kernels they own.
    ///
    /// # Errors
    /// When rpm fails.
    pub fn note_files(&self, packages: &mut [Installed]) -> Result<()> {
        let cmd = Cmd::new(self.rpm).args(["-qa", "--qf", DIRS]);
        let dirs = self.exec.ask(&self.snapshot.asked(cmd))?;
        let dirs = String::from_utf8_lossy(&dirs);
        let (mut with_files, mut with_modules) = (BTreeSet::new(), BTreeSet::new());
        for (name, dir) in dirs.lines().filter_map(|line| line.split_once('\t')) {
            with_files.insert(name);
            if in_lib_modules(dir).is_some() {
                with_modules.insert(name);
            }
        }
        for package in &mut *packages {
            package.has_files = with_files.contains(nvra(&package.nevra).as_str());
        }
        let by_name: BTreeMap<_, _> = packages
            .iter()
            .enumerate()
            .map(|(at, it)| (nvra(&it.nevra), at))
            .collect();
        let names: Vec<_> = with_modules.into_iter().collect();
        for some in names.chunks(PATHS_AT_ONCE) {
            let cmd = Cmd::new(self.rpm).args(["-q", "--qf", FILES_OF, "--"]);
            let files = self.exec.ask(&self.snapshot.asked(cmd.args(some)))?;
            let files = String::from_utf8_lossy(&files);
            for (name, file) in files.lines().filter_map(|line| line.split_once('\t')) {
                if let (Some(at), Some(path)) = (by_name.get(name), in_lib_modules(file)) {
                    packages[*at].note(path);
                }
            }
        }
        Ok(())
    }

    /// Name, version and the header's digest of every installed package, sorted.
    ///
    /// # Errors
    /// When rpm fails.
    pub fn digests(&self) -> Result<Vec<String>> {
        let cmd = Cmd::new(self.rpm).args(["-qa", "--qf", DIGESTS]);
        let output = self.exec.ask(&self.snapshot.asked(cmd))?;
        let output = String::from_utf8_lossy(&output);
        let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    /// The packages that own a path (relative to the root); none where it has no owner.
    ///
    /// # Errors
    /// When rpm cannot be asked, or prints what it should not.
    pub fn owners(&self, path: &str) -> Result<Vec<Installed>> {
        let path = format!("/{path}");
        let cmd = self.snapshot.asked(Cmd::new(self.rpm));
        let cmd = cmd.args(["-qf", "--qf", PACKAGES, "--", &path]);
        let (output, failed) = self.exec.ask_whatever(&cmd)?;
        let output = String::from_utf8_lossy(&output);
        match failed {
            // It exits with the number of paths that have no owner, and says so on stdout too.
            Some(_) if output.contains(&path) => Ok(Vec::new()),
            Some(failed) => Err(failed.into()),
            None => parse_packages(&output),
        }
    }

    /// Which packages, by name, own each of some files (relative to the root) of `lib/modules`.
    ///
    /// # Errors
    /// When rpm cannot be asked.
    pub fn owners_of_modules(&self, paths: &[String]) -> Result<Vec<BTreeSet<String>>> {
        let mut owners = vec![BTreeSet::new(); paths.len()];
        for some in paths.chunks(PATHS_AT_ONCE) {
            let format = r"[%{=NAME}\t%{FILENAMES}\n]";
            let cmd = self.snapshot.asked(Cmd::new(self.rpm));
            let cmd = cmd.args(["-qf", "--qf", format, "--"]);
            let cmd = cmd.args(some.iter().map(|path| format!("/{path}")));
            let (output, failed) = self.exec.ask_whatever(&cmd)?;
            let output = String::from_utf8_lossy(&output);
            if let Some(failed) = failed.filter(|_| output.is_empty()) {
                return Err(failed.into());
            }
            // The package may call /usr/lib by its other name.
            let files = output.lines().filter_map(|line| line.split_once('\t'));
            for (name, file) in files {
                let is_it = |path: &String| {
                    path.strip_prefix("usr") == Some(file.trim_start_matches("/usr"))
                };
                for (path, owners) in paths.iter().zip(&mut owners) {
                    if is_it(path) {
                        owners.insert(name.to_owned());
                    }
                }
            }
        }
        Ok(owners)
    }
}

/// `NAME-VERSION-RELEASE.ARCH`.
fn nvra(nevra: &Nevra) -> String {
    let Nevra {
        name,
        version,
        release,
        arch,
        ..
    } = nevra;
    format!("{name}-{version}-{release}.{arch}")
}

/// A path relative to `lib/modules`, whichever way `/lib` is spelled.
fn in_lib_modules(path: &str) -> Option<&str> {
    let path = path.trim_start_matches('/');
    path.strip_prefix("usr/")
        .unwrap_or(path)
        .strip_prefix("lib/modules/")
}

/// A package as rpm prints it.
struct Row<'a> {
    nevra: Nevra,
    digest: &'a str,
    provides: Vec<[&'a str; 3]>,
    requires: Vec<[&'a str; 3]>,
}

impl<'a> Row<'a> {
    fn is_of_a_kernel(&self) -> bool {
        let mut all = self.provides.iter().chain(&self.requires);
        all.any(|[name, ..]| name.ends_with("uname-r"))
    }

    /// With the capabilities that are called `names`, or `…uname-r`.
    fn installed(self, names: &BTreeSet<&str>) -> Installed {
        let keep = |caps: Vec<[&'a str; 3]>| {
            let kept = caps
                .into_iter()
                .filter(|[name, ..]| name.ends_with("uname-r") || names.contains(name));
            let capability = |[name, op, version]: [&str; 3]| Capability {
                name: name.to_owned(),
                op: Op::of(op),
                version: version.to_owned(),
            };
            kept.map(capability).collect()
        };
        Installed {
            nevra: self.nevra,
            provides: keep(self.provides),
            requires: keep(self.requires),
            header_sha256: Some(self.digest)
                .filter(|text| text.len() == 64)
                .map(str::to_owned),
            has_files: true,
            kernels: BTreeSet::new(),
            modules: BTreeSet::new(),
        }
    }
}

/// Packages in the format [`PACKAGES`], with those of their capabilities that are `…uname-r`.
fn parse_packages(text: &str) -> Result<Vec<Installed>> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        match (fields.as_slice(), rows.last_mut()) {
            (["N", nevra @ .., digest], _) => rows.push(Row {
                nevra: parse_nevra(nevra).with_context(|| format!("rpm printed {line:?}"))?,
                digest,
                provides: Vec::new(),
                requires: Vec::new(),
            }),
            (["P", name, op, version], Some(row)) => row.provides.push([name, op, version]),
            (["R", name, op, version], Some(row)) => row.requires.push([name, op, version]),
            _ => anyhow::bail!("rpm printed a line that was not expected: {line:?}"),
        }
    }
    let names = names_of_kernels(&rows);
    let mut packages: Vec<_> = rows.into_iter().map(|row| row.installed(&names)).collect();
    packages.sort_by(|a, b| a.nevra.cmp(&b.nevra));
    Ok(packages)
}

/// What kernel packages provide, what packages that require something of that provide, and so on: the
/// names by which the removal of a kernel may reach a package.
fn names_of_kernels<'a>(rows: &[Row<'a>]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut reached = vec![false; rows.len()];
    loop {
        let before = names.len();
        for (row, reached) in rows.iter().zip(&mut reached) {
            let requires_one = || row.requires.iter().any(|[name, ..]| names.contains(name));
            if !*reached && (row.is_of_a_kernel() || requires_one()) {
                *reached = true;
                names.extend(row.provides.iter().map(|[name, ..]| *name));
            }
        }
        if names.len() == before {
            return names;
        }
    }
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

/// Whether a package owns at least one of these paths (relative to the root).
///
/// # Errors
/// When rpm cannot be asked.
pub fn owns_any(exec: &Exec, rpm: &str, paths: &[String]) -> Result<bool> {
    for some in paths.chunks(PATHS_AT_ONCE) {
        let paths = some.iter().map(|path| format!("/{path}"));
        let cmd = Cmd::new(rpm)
            .args(["-qf", "--qf", "O\\n", "--"])
            .args(paths);
        let (output, failed) = exec.ask_whatever(&cmd)?;
        let answers = output.split(|byte| *byte == b'\n');
        if answers.clone().any(|line| line == b"O") {
            return Ok(true);
        }
        // A line for each path without an owner, or rpm has not looked.
        let unowned = answers.filter(|line| !line.is_empty()).count();
        if unowned < some.len() {
            return Err(failed.map_or_else(|| anyhow!("rpm printed {unowned} lines"), Into::into));
        }
    }
    Ok(false)
}

/// Whether rpm calls a file so while it unpacks a package: the name, `;`, and the transaction's number
/// as eight digits. It renames all files of a package when all are there.
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
    fn packages_of_kernels_are_found_by_their_capabilities() {
        let digest = "a".repeat(64);
        let kver = "6.9.4-200.fc40.x86_64+rt";
        let text = format!(
            "N\tbash\t0\t5.2\t1\tx86_64\t{digest}\nP\tbash\t=\t5.2-1\nR\t/bin/sh\t\t\nR\tkernel\t>=\t6\n\
             N\tdash\t0\t5.2\t1\tx86_64\t{digest}\nP\tdash\t=\t5.2-1\nR\tbash\t\t\nR\tglibc\t\t\n\
             N\tkernel-rt-core\t0\t6.9.4\t200.fc40\tx86_64\t(none)\n\
             P\tkernel\t=\t6.9.4-200.fc40\n\
             P\tkernel-rt-core-uname-r\t=\t{kver}\nP\tkernel-uname-r\t=\t{kver}\n\
             R\tkernel-rt-modules-core-uname-r\t=\t{kver}\n"
        );
        let packages = parse_packages(&text).unwrap();
        let [bash, dash, package] = packages.as_slice() else {
            panic!("{packages:?}");
        };
        // Of the others that is kept which ties them to a kernel.
        let requires = |it: &Installed| {
            assert!(!it.is_of_a_kernel());
            let texts = it.requires.iter().map(ToString::to_string);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(requires(bash), ["kernel >= 6"]);
        assert_eq!(requires(dash), ["bash"]);
        assert_eq!(
            package.nevra.to_string(),
            "kernel-rt-core-6.9.4-200.fc40.x86_64"
        );
        assert_eq!((package.provides.len(), package.requires.len()), (3, 1));
        assert!(package.belongs_to(kver));
        assert!(!package.belongs_to("6.9.4-200.fc40.x86_64"));
        assert_eq!(package.header_sha256, None);
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
            "N\tbash\tx\t5\t1\tx86_64\t-",
            "P\ta\t=\tb",
            "N\tbash\t0\t5\t1\tx86_64\t-\nP\ta\tb",
        ] {
            assert!(parse_packages(bad).is_err(), "{bad}");
        }
    }
}
