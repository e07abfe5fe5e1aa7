// SPDX-License-Identifier: MIT OR Apache-2.0
//! dnf 4 and dnf5: the command lines of transactions and downloads, and the files with excludes and version locks.

use crate::package::Nevra;
use crate::plan::locks::{Exclusion, moved};
use crate::plan::{Backend, Change};
use crate::sys::exec::{Cmd, quote};
use crate::sys::root::{self, Root};

/// The configuration directory of dnf 4's plugins, relative to the root.
const PLUGINS: &str = "etc/dnf/plugins";

/// Upper bound of a configuration file of dnf (bytes).
const CONF_MAX: u64 = 1 << 20;

/// A function that applies package changes to the text of a file with version locks. It returns the new text, or `None`
/// if no lock changes.
type Moved = fn(&str, &[Change]) -> Option<String>;

/// The files with version locks, of dnf5 and of dnf 4's plugin.
const LOCKS: [(&str, Moved); 2] = [
    ("etc/dnf/versionlock.toml", moved::in_toml),
    ("etc/dnf/plugins/versionlock.list", moved::in_list),
];

/// The variant of dnf in the image, and whether its plugin versionlock is installed.
#[derive(Debug, Clone, Copy)]
pub struct DnfSetup {
    /// dnf or dnf5.
    pub backend: Backend,
    /// Whether dnf 4's plugin versionlock is installed.
    pub versionlock: bool,
}

/// Returns a transaction that installs the files; each replaces the installed package of the same name.
///
/// The transaction empties `installonlypkgs`, because dnf keeps the old versions of the packages in that list, which
/// has the kernels. `protect_running_kernel` is off, because dnf would otherwise refuse to remove a kernel with the
/// release that the build host runs (rpm-software-management/libdnf#1703). Without `--allowerasing`, dnf fails if it
/// would have to remove any other package.
pub fn install(setup: &DnfSetup, files: &[String], tmpdir: &str) -> Cmd {
    transaction(setup, tmpdir).arg("install").args(files)
}

/// Returns a transaction that replaces packages with the same version from another build. `install` would do nothing
/// for these.
pub fn reinstall(setup: &DnfSetup, files: &[String], tmpdir: &str) -> Cmd {
    transaction(setup, tmpdir).arg("reinstall").args(files)
}

/// Returns a transaction of dnf5 that installs the files and removes packages.
pub fn exchange(setup: &DnfSetup, files: &[String], remove: &[Nevra], tmpdir: &str) -> Cmd {
    transaction(setup, tmpdir)
        .args(["do", "--action=install"])
        .args(files)
        .arg("--action=remove")
        .args(remove.iter().map(ToString::to_string))
}

/// Returns the transaction of [`exchange`] for dnf 4, whose command `swap` accepts only one package to remove and one
/// to install. `dnf shell` reads the two lines of [`script`] from the file `script`, and runs them as one transaction
/// at the end of the file. The file has no line `run`, because with that line the exit status of dnf would always be 0.
pub fn run_script(setup: &DnfSetup, script: &str, tmpdir: &str) -> Cmd {
    transaction(setup, tmpdir).args(["shell", script])
}

/// Returns the script for [`run_script`]. The files are listed first, because dnf forgets the packages to remove when
/// files are added after them. Names are quoted, because dnf splits the lines as a shell does.
pub fn script(files: &[String], remove: &[Nevra]) -> String {
    let quoted = |word: &str| quote(word.as_ref());
    let files: Vec<_> = files.iter().map(|file| quoted(file)).collect();
    let remove: Vec<_> = remove.iter().map(|it| quoted(&it.to_string())).collect();
    format!("install {}\nremove {}\n", files.join(" "), remove.join(" "))
}

/// Returns dnf with the options of every transaction. Packages that only the removed packages required are kept, since
/// the new packages may require them, too.
fn transaction(setup: &DnfSetup, tmpdir: &str) -> Cmd {
    let backend = setup.backend;
    Cmd::new(backend.to_string())
        .privileged()
        .arg("-y")
        .args(without_repositories(backend))
        .args(unlocked(setup))
        .args([
            "--setopt=installonlypkgs=",
            "--setopt=protected_packages=",
            "--setopt=protect_running_kernel=False",
            "--setopt=clean_requirements_on_remove=False",
        ])
        .env("TMPDIR", tmpdir)
        .env("KERNEL_INSTALL_BYPASS", "1")
}

/// Returns options that disable all repositories and the verification of signatures. The set of packages is complete
/// and its signatures are verified already, and a build must not depend on the current content of a mirror. dnf5 has
/// its own options: in an image without repositories, dnf5 5.4 fails on options for all repositories ("No matching
/// repositories for *"), including `--nogpgcheck`.
fn without_repositories(backend: Backend) -> [&'static str; 2] {
    match backend {
        Backend::Dnf5 => [
            "--setopt=reposdir=/dev/null",
            "--setopt=localpkg_gpgcheck=False",
        ],
        Backend::Dnf | Backend::RpmOstree => ["--disablerepo=*", "--nogpgcheck"],
    }
}

/// Returns options that override the image's excludes and version locks. dnf would apply these to local files, too, and
/// would report only that the files are filtered.
fn unlocked(setup: &DnfSetup) -> Vec<&'static str> {
    match setup.backend {
        Backend::Dnf5 => vec!["--setopt=disable_excludes=*"],
        Backend::Dnf | Backend::RpmOstree if setup.versionlock => {
            vec!["--disableexcludes=all", "--disableplugin=versionlock"]
        }
        Backend::Dnf | Backend::RpmOstree => vec!["--disableexcludes=all"],
    }
}

/// Returns whether dnf 4's plugin versionlock is installed. dnf prints a warning if an option disables a plugin that is
/// not installed.
///
/// # Errors
/// When the tree cannot be read.
pub fn has_versionlock(root: &Root) -> Result<bool, root::Error> {
    root.is_file(format!("{PLUGINS}/versionlock.conf"))
}

/// Returns the files of the tree that exclude, lock or protect packages for dnf or dnf5, each with its patterns.
///
/// # Errors
/// When a file cannot be read.
pub fn exclusions(root: &Root) -> Result<Vec<Exclusion>, root::Error> {
    type Parse = fn(&str, &str) -> Option<Exclusion>;
    let mut files: Vec<(String, Parse)> = vec![
        ("etc/dnf/dnf.conf".into(), Exclusion::of_conf),
        (LOCKS[0].0.into(), Exclusion::of_toml),
        (LOCKS[1].0.into(), Exclusion::of_list),
    ];
    let drop_ins: [(&str, Parse); 3] = [
        ("usr/share/dnf5/libdnf.conf.d", Exclusion::of_conf),
        ("etc/dnf/libdnf5.conf.d", Exclusion::of_conf),
        ("etc/dnf/protected.d", Exclusion::of_list),
    ];
    for (dir, parse) in drop_ins {
        for (name, _) in root.list(dir)? {
            if let Some(name) = name.to_str().filter(|name| name.ends_with(".conf")) {
                files.push((format!("{dir}/{name}"), parse));
            }
        }
    }
    let mut found = Vec::new();
    for (file, parse) in files {
        if root.is_file(&file)? {
            let text = root.read(&file, CONF_MAX)?.unwrap_or_default();
            found.extend(parse(&file, &String::from_utf8_lossy(&text)));
        }
    }
    Ok(found)
}

/// Changes the version locks of replaced packages to the new versions, and returns the changed files.
///
/// # Errors
/// When a file cannot be read or written.
pub fn move_locks(root: &Root, changes: &[Change]) -> Result<Vec<String>, root::Error> {
    let mut changed = Vec::new();
    for lock in moved_locks(root, changes)? {
        root.write(lock.file, lock.text.as_bytes(), lock.mode)?;
        changed.push(lock.file.to_owned());
    }
    Ok(changed)
}

/// A file with version locks, and its new content, in which the locks of replaced packages name the new versions.
pub struct MovedLocks {
    /// The file, relative to the root.
    pub file: &'static str,
    mode: u32,
    text: String,
}

/// Returns the files whose version locks change, with their new contents.
///
/// # Errors
/// When a file cannot be read.
pub fn moved_locks(root: &Root, changes: &[Change]) -> Result<Vec<MovedLocks>, root::Error> {
    let mut all = Vec::new();
    for (file, moved) in LOCKS {
        let Some(meta) = root
            .stat(file)?
            .filter(|meta| meta.kind == root::FileType::File)
        else {
            continue;
        };
        let text = root.read(file, CONF_MAX)?.unwrap_or_default();
        // A file that is not UTF-8 is not changed.
        let new = String::from_utf8(text).ok();
        if let Some(text) = new.and_then(|text| moved(&text, changes)) {
            let mode = meta.mode;
            all.push(MovedLocks { file, mode, text });
        }
    }
    Ok(all)
}

/// Returns a command that downloads packages, and those of their requirements that the image lacks, into `dir`. dnf
/// uses only the repository `repo`, which need not be enabled, and does not verify the downloaded packages.
pub fn download(program: &str, setup: &DnfSetup, repo: &str, specs: &[String], dir: &str) -> Cmd {
    Cmd::new(program)
        .args(["-y", "download", "--resolve"])
        .arg(format!("--repo={repo}"))
        .arg(format!("--destdir={dir}"))
        .args(unlocked(setup))
        .args(specs)
}
