// SPDX-License-Identifier: MIT OR Apache-2.0
//! dnf 4 and dnf5, where there is no ostree repository.

use crate::package::Nevra;
use crate::plan::Backend;
use crate::plan::locks::Exclusion;
use crate::sys::exec::{Cmd, quote};
use crate::sys::root::{self, Root};

/// The directory of dnf 4's plugin versionlock's files, relative to the root.
const PLUGINS: &str = "etc/dnf/plugins";

/// The largest file of dnf's configuration that is read (bytes).
const CONF_MAX: u64 = 1 << 20;

/// Which dnf, and what is in the image beside it.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// dnf or dnf5.
    pub backend: Backend,
    /// Whether dnf 4's plugin versionlock is there.
    pub versionlock: bool,
}

/// One transaction that installs the files, each in the place of the package of its name.
///
/// A kernel is "installonly" to dnf and would be kept beside the new one; an empty list makes it an
/// ordinary package. dnf refuses to remove the kernel whose release the build host runs
/// (rpm-software-management/libdnf#1703). Nothing else may go (no `--allowerasing`): dnf fails where
/// it would have to.
pub fn install(how: &How, files: &[String], tmpdir: &str) -> Cmd {
    transaction(how, tmpdir).arg("install").args(files)
}

/// One transaction that installs files whose packages are there in the same version, from another
/// build: `install` finds nothing to do.
pub fn reinstall(how: &How, files: &[String], tmpdir: &str) -> Cmd {
    transaction(how, tmpdir).arg("reinstall").args(files)
}

/// One transaction of dnf5 that installs the files and removes packages.
pub fn exchange(how: &How, files: &[String], remove: &[Nevra], tmpdir: &str) -> Cmd {
    transaction(how, tmpdir)
        .args(["do", "--action=install"])
        .args(files)
        .arg("--action=remove")
        .args(remove.iter().map(ToString::to_string))
}

/// The same for dnf 4, whose `swap` takes one package each: `shell` reads the two from a file, and
/// carries them out as one transaction at its end. (With a line `run` its exit status would be 0
/// whatever comes.)
pub fn run_script(how: &How, script: &str, tmpdir: &str) -> Cmd {
    transaction(how, tmpdir).args(["shell", script])
}

/// What [`run_script`] reads. dnf forgets what it is to remove when it adds files after that, so
/// they come first; it takes the lines apart as a shell does.
pub fn script(files: &[String], remove: &[Nevra]) -> String {
    let quoted = |word: &str| quote(word.as_ref());
    let files: Vec<_> = files.iter().map(|file| quoted(file)).collect();
    let remove: Vec<_> = remove.iter().map(|it| quoted(&it.to_string())).collect();
    format!("install {}\nremove {}\n", files.join(" "), remove.join(" "))
}

/// What the removed packages had required stays: they may be what the new ones require, too.
fn transaction(how: &How, tmpdir: &str) -> Cmd {
    let backend = how.backend;
    Cmd::new(backend.to_string())
        .privileged()
        .arg("-y")
        .args(on_its_own(backend))
        .args(unlocked(how))
        .args([
            "--setopt=installonlypkgs=",
            "--setopt=protected_packages=",
            "--setopt=protect_running_kernel=False",
            "--setopt=clean_requirements_on_remove=False",
        ])
        .env("TMPDIR", tmpdir)
        .env("KERNEL_INSTALL_BYPASS", "1")
}

/// No repository is asked: the set is complete, and a build must not depend on what a mirror holds
/// today. The signatures were checked before. In an image without repositories dnf5 (5.4) fails on
/// options that are about all of them ("No matching repositories for *"), `--nogpgcheck` too.
fn on_its_own(backend: Backend) -> [&'static str; 2] {
    match backend {
        Backend::Dnf5 => [
            "--setopt=reposdir=/dev/null",
            "--setopt=localpkg_gpgcheck=False",
        ],
        Backend::Dnf | Backend::RpmOstree => ["--disablerepo=*", "--nogpgcheck"],
    }
}

/// The image's excludes and version locks do not hold what was named back: dnf filters local files by
/// them, too, and says only that they are filtered.
fn unlocked(how: &How) -> Vec<&'static str> {
    match how.backend {
        Backend::Dnf5 => vec!["--setopt=disable_excludes=*"],
        Backend::Dnf | Backend::RpmOstree if how.versionlock => {
            vec!["--disableexcludes=all", "--disableplugin=versionlock"]
        }
        Backend::Dnf | Backend::RpmOstree => vec!["--disableexcludes=all"],
    }
}

/// Whether dnf 4's plugin versionlock is in the tree. dnf warns of a plugin to disable that is not.
///
/// # Errors
/// When it cannot be looked up.
pub fn has_versionlock(root: &Root) -> Result<bool, root::Error> {
    root.is_file(format!("{PLUGINS}/versionlock.conf"))
}

/// What the tree's configuration tells dnf and dnf5 to leave as it is.
///
/// # Errors
/// When a file cannot be read.
pub fn exclusions(root: &Root) -> Result<Vec<Exclusion>, root::Error> {
    type Parse = fn(&str, &str) -> Option<Exclusion>;
    let mut files: Vec<(String, Parse)> = vec![
        ("etc/dnf/dnf.conf".into(), Exclusion::of_conf),
        ("etc/dnf/versionlock.toml".into(), Exclusion::of_toml),
        (format!("{PLUGINS}/versionlock.list"), Exclusion::of_list),
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

/// Downloads packages, and what they require and the image lacks, into `dir`. Only `repo` is looked
/// into, enabled or not. dnf verifies nothing of what it downloads.
pub fn download(program: &str, how: &How, repo: &str, specs: &[String], dir: &str) -> Cmd {
    Cmd::new(program)
        .args(["-y", "download", "--resolve"])
        .arg(format!("--repo={repo}"))
        .arg(format!("--destdir={dir}"))
        .args(unlocked(how))
        .args(specs)
}
