// SPDX-License-Identifier: MIT OR Apache-2.0
//! dnf 4 and dnf5, where there is no ostree repository.

use crate::package::Nevra;
use crate::plan::Backend;
use crate::sys::exec::{Cmd, quote};

/// One transaction that installs the files, each in the place of the package of its name.
///
/// A kernel is "installonly" to dnf and would be kept beside the new one; an empty list makes it an
/// ordinary package. dnf refuses to remove the kernel whose release the build host runs
/// (rpm-software-management/libdnf#1703). Nothing else may go (no `--allowerasing`): dnf fails where
/// it would have to.
pub fn install(backend: Backend, files: &[String], tmpdir: &str) -> Cmd {
    transaction(backend, tmpdir).arg("install").args(files)
}

/// One transaction of dnf5 that installs the files and removes packages.
pub fn exchange(files: &[String], remove: &[Nevra], tmpdir: &str) -> Cmd {
    transaction(Backend::Dnf5, tmpdir)
        .args(["do", "--action=install"])
        .args(files)
        .arg("--action=remove")
        .args(remove.iter().map(ToString::to_string))
}

/// The same for dnf 4, whose `swap` takes one package each: `shell` reads the two from a file, and
/// carries them out as one transaction at its end. (With a line `run` its exit status would be 0
/// whatever comes.)
pub fn run_script(script: &str, tmpdir: &str) -> Cmd {
    transaction(Backend::Dnf, tmpdir).args(["shell", script])
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
fn transaction(backend: Backend, tmpdir: &str) -> Cmd {
    Cmd::new(backend.to_string())
        .privileged()
        .arg("-y")
        .args(on_its_own(backend))
        .args([
            "--setopt=installonlypkgs=",
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

/// Downloads packages, and what they require and the image lacks, into `dir`. Only `repo` is looked
/// into, enabled or not. dnf verifies nothing of what it downloads.
pub fn download(program: &str, repo: &str, specs: &[String], dir: &str) -> Cmd {
    Cmd::new(program)
        .args(["-y", "download", "--resolve"])
        .arg(format!("--repo={repo}"))
        .arg(format!("--destdir={dir}"))
        .args(specs)
}
