// SPDX-License-Identifier: MIT OR Apache-2.0
//! dnf 4 and dnf5, where there is no ostree repository.

use crate::plan::Backend;
use crate::sys::exec::Cmd;

/// One transaction that installs the files. Packages of the old kernel that have no counterpart go
/// with it (`--allowerasing`); the plan has listed them.
///
/// A kernel is "installonly" to dnf and would be kept beside the new one; an empty list makes it an
/// ordinary package. dnf refuses to remove the kernel whose release the build host runs
/// (rpm-software-management/libdnf#1703). dnf5 takes `--allowerasing` behind its verb only.
pub fn replace(backend: Backend, files: &[String], tmpdir: &str) -> Cmd {
    Cmd::new(backend.to_string())
        .arg("-y")
        .args(on_its_own(backend))
        .args([
            "--setopt=installonlypkgs=",
            "--setopt=protect_running_kernel=False",
        ])
        .args(["install", "--allowerasing"])
        .args(files)
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
