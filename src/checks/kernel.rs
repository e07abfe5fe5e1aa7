// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks `kernel-single`, `kernel-release` and `kernel-rpmdb`. Other checks of the kernel are in this module's
//! directory.

pub(super) mod files;
pub(super) mod hmac;
pub(super) mod signature;
pub(super) mod signer;

use std::collections::BTreeSet;

use super::{Answer, Finding, Remedy, Severity, Subject};
use crate::package::capability::with_modules;
use crate::package::rpmdb::{Record, Rpmdb};

type Checked = Result<Vec<Finding>, Answer>;

pub fn single(subject: &Subject) -> Checked {
    let (found, remedy) = match subject.tree()?.kernels.as_slice() {
        [kver] if kver == subject.kver.as_str() => return linked(subject),
        [other] => (
            format!("a vmlinuz of {other}, but none of {}", subject.kver),
            "install that kernel, or verify the installed one",
        ),
        [] => match subject
            .tree()?
            .shadows
            .iter()
            .find(|it| it.path.ends_with(".efi"))
        {
            Some(uki) => (
                format!(
                    "no directory with a vmlinuz, only the unified kernel image {}",
                    uki.path
                ),
                "verify the tree that the UKI is built from; the UKI contains its kernel and initramfs",
            ),
            None => ("no directory with a vmlinuz".to_owned(), "install a kernel"),
        },
        several => (
            format!(
                "{} directories with a vmlinuz: {}",
                several.len(),
                several.join(", ")
            ),
            "remove the packages of the others",
        ),
    };
    Ok(vec![Finding::new(
        crate::kernel::MODULES,
        found,
        "one, since ostree boots whichever it reads first",
        remedy,
    )])
}

/// Returns a finding if `vmlinuz` is a symbolic link. ostree copies the link instead of the kernel: a relative link
/// then dangles in `/boot`, and with an absolute link ostree finds no kernel.
fn linked(subject: &Subject) -> Checked {
    let finding = |target: &String| {
        let path = format!("{}/vmlinuz", subject.kver.dir());
        let expected = "a regular file: ostree copies a relative link, which then dangles, and finds no kernel through an absolute one";
        let remedy = "run ostree-kernel rebuild, which copies the kernel into its place";
        Finding::new(path, format!("a link to {target}"), expected, remedy)
    };
    Ok(subject.tree()?.vmlinuz_link.iter().map(finding).collect())
}

pub fn release(subject: &Subject) -> Checked {
    let path = format!("{}/vmlinuz", subject.kver.dir());
    match &subject.tree()?.release {
        Ok(release) if release.kver == subject.kver.as_str() => Ok(vec![]),
        Ok(release) => Ok(vec![Finding::new(
            path,
            format!("a kernel of the release {}", release.kver),
            format!("{}, the directory with its modules", subject.kver),
            Remedy::Reinstall,
        )]),
        Err(it) if it.damaged => Ok(vec![Finding::new(
            path,
            &it.why,
            "a complete kernel image",
            Remedy::Reinstall,
        )]),
        Err(it) => Err(Answer::CouldNotRun(format!("{path}: {}", it.why))),
    }
}

pub fn rpmdb(subject: &Subject) -> Checked {
    let rpmdb = subject.tree()?.rpmdb.packages()?;
    let kver = subject.kver;
    let path = format!("{}/vmlinuz", kver.dir());
    let owners: Vec<_> = rpmdb.owners_of(&path).map(|(owner, _)| owner).collect();
    let finding = match owners.as_slice() {
        [owner] => match named_kvers(owner).as_slice() {
            kvers if kvers.contains(&kver.as_str()) => None,
            [] => {
                let found = format!("{}, which provides no kernel-uname-r", owner.nevra);
                let expected = "a package that provides kernel-uname-r";
                let remedy =
                    "not needed to boot; but kmods and scanners find a kernel by kernel-uname-r";
                Some(Finding::new(&path, found, expected, remedy).only(Severity::Warning))
            }
            kvers => {
                let kvers = kvers.join(", ");
                let found = format!("{}, which provides kernel-uname-r = {kvers}", owner.nevra);
                let expected = format!("a package that provides kernel-uname-r = {kver}");
                Some(Finding::new(&path, found, expected, Remedy::OtherBuild))
            }
        },
        [] => {
            let remedy = "install the kernel as a package, so that updates and scanners see it";
            let found = "no package owns it";
            Some(Finding::new(&path, found, "one", remedy).only(Severity::Warning))
        }
        several => {
            let names: Vec<_> = several.iter().map(|it| it.nevra.to_string()).collect();
            let found = format!("{} packages own it: {}", several.len(), names.join(", "));
            let remedy = "remove the packages of all but one kernel";
            Some(Finding::new(&path, found, "one", remedy))
        }
    };
    Ok(finding.into_iter().chain(absent(subject, rpmdb)).collect())
}

/// Returns the kernel releases that a package provides as `kernel-uname-r`.
fn named_kvers(owner: &Record) -> Vec<&str> {
    let caps = owner.provides.iter();
    let named = caps.filter(|cap| cap.name == "kernel-uname-r");
    named.map(|cap| cap.version.as_str()).collect()
}

/// Returns warnings about packages of kernels whose `vmlinuz` is not on disk, one for each kernel: the files were
/// deleted without removing the packages, or a transaction was interrupted. The image boots, but updates and scanners
/// see several kernels.
fn absent(subject: &Subject, rpmdb: &Rpmdb) -> Vec<Finding> {
    let Some(tree) = subject.tree else {
        return Vec::new();
    };
    let is_there = |kver: &str| tree.kernels.iter().any(|it| it == kver);
    let owners = rpmdb.packages().iter().flat_map(kernels_of);
    let absent: BTreeSet<_> = owners.filter(|kver| !is_there(kver)).collect();
    let finding = |kver: &str| {
        let packages = rpmdb.packages().iter().filter(|it| it.belongs_to(kver));
        let packages: Vec<_> = packages.map(|it| it.nevra.to_string()).collect();
        let path = format!("{}/{kver}/vmlinuz", crate::kernel::MODULES);
        let found = format!("no such file, but installed: {}", packages.join(", "));
        let remedy = format!("remove the packages: rpm -e {}", packages.join(" "));
        let expected = "only packages of the installed kernel";
        Finding::new(path, found, expected, remedy).only(Severity::Warning)
    };
    absent.into_iter().map(finding).collect()
}

/// Returns the releases of the kernels that a package belongs to: the package owns the kernel's `vmlinuz`, or it
/// provides `…uname-r` of the kernel and owns modules of the kernel.
fn kernels_of(package: &Record) -> impl Iterator<Item = &str> {
    let has_modules = |kver: &str| package.modules().any(|(dir, _)| dir == kver);
    let with_modules = with_modules(&package.provides, has_modules);
    package.kernels().chain(with_modules)
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::{Bench, K, core, owner, rpmdb};
    use crate::checks::{Answer, Database, TreeFacts};
    use crate::package::capability::Capability;

    #[test]
    fn one_package_owns_the_kernel() {
        assert_eq!(Bench::good().findings("kernel-rpmdb"), [""; 0]);
        type Case = (fn(&mut TreeFacts), &'static str, &'static str);
        let table: [Case; 6] = [
            // The kernel boots: it was copied from elsewhere, or built in the image.
            (
                |tree| tree.rpmdb = rpmdb(vec![]),
                "warning",
                "no package owns it",
            ),
            // The package was built with the kernel's own `make binrpm-pkg`.
            (
                |tree| tree.rpmdb = rpmdb(vec![owner("kernel", K, &[("kernel-6.9.4", "1")])]),
                "warning",
                "provides no kernel-uname-r",
            ),
            (
                |tree| tree.rpmdb = rpmdb(vec![owner("core", K, &[("kernel-uname-r", "5.14")])]),
                "fatal",
                "provides kernel-uname-r = 5.14",
            ),
            (
                |tree| tree.rpmdb = rpmdb(vec![core(), owner("rt", K, &[("kernel-uname-r", K)])]),
                "fatal",
                "2 packages own it",
            ),
            // The files of the package `old` were deleted.
            (
                |tree| tree.rpmdb = rpmdb(vec![core(), owner("old", "6.1.7", &[])]),
                "warning",
                "no such file, but installed: old-6.9.4-200.fc40.x86_64",
            ),
            // Two packages of the old kernel are left. One finding names both, so that its remedy removes them in one
            // command.
            (
                |tree| {
                    let mut modules =
                        owner("old-modules", "", &[("kernel-modules-uname-r", "6.1.7")]);
                    let vmlinuz = modules.files.pop_first().unwrap().1;
                    modules
                        .files
                        .insert("usr/lib/modules/6.1.7/kernel/ext4.ko".into(), vmlinuz);
                    let mut meta = core();
                    meta.nevra.name = "old-meta".into();
                    meta.provides.clear();
                    meta.files.clear();
                    meta.requires = vec![Capability::equal("kernel-core-uname-r", "6.1.7")];
                    tree.rpmdb = rpmdb(vec![core(), modules, meta]);
                },
                "warning",
                "installed: old-meta-6.9.4-200.fc40.x86_64, old-modules-6.9.4-200.fc40.x86_64",
            ),
        ];
        for (change, severity, text) in table {
            let bench = Bench {
                change,
                ..Bench::good()
            };
            let found = bench.findings("kernel-rpmdb");
            let [one] = found.as_slice() else {
                panic!("{text}: {found:?}");
            };
            assert!(one.starts_with(severity) && one.contains(text), "{one}");
        }
    }

    #[test]
    fn an_rpmdb_that_is_not_read_finds_nothing() {
        let bench = Bench {
            change: |tree| tree.rpmdb = Database::Unread("ndb".into()),
            ..Bench::good()
        };
        let answer = bench.answer("kernel-rpmdb");
        assert_eq!(answer, Answer::NotApplicable("ndb".into()));
    }
}
