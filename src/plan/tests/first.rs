// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of a tree without a kernel, and of packages of the old kernel's build that stay.

use super::shapes::{base, files, meta, package, rhcos, rhel};
use super::*;
use crate::plan::change;

const EL: &str = "5.14.0-427.el9.x86_64";
const NEW: &str = "5.15.0-503.el9.x86_64";

/// Returns all packages of a kernel's build: the kernel, its meta package, and packages that are not needed to boot.
fn sources() -> Vec<Source> {
    let mut packages = rhel("kernel", NEW);
    packages.push(meta("kernel", NEW, &["kernel-core-uname-r"]));
    packages.push(meta("kernel-devel-matched", NEW, &["kernel-core-uname-r"]));
    packages.push(package("kernel-headers", NEW, &[], &[], &[]));
    files(packages)
}

/// Returns a tree without a kernel, on disk and in the rpmdb.
fn bare() -> Host {
    let mut host = base(EL, &[package("bash", "5.2", &[], &[], &[])]);
    host.module_dirs.clear();
    host
}

fn taken(sources: Vec<Source>, host: &Host) -> Vec<String> {
    let plan = decide(sources, host, &Wishes::default()).unwrap();
    assert!(plan.leaving.gone.is_empty() && plan.leaving.remove.is_empty());
    let names = plan.set.sources.iter();
    names.map(|it| it.package.nevra.name.clone()).collect()
}

#[test]
fn a_first_kernel_has_the_packages_to_boot() {
    let host = bare();
    let expected = [
        "kernel",
        "kernel-core",
        "kernel-modules",
        "kernel-modules-core",
        "kernel-modules-extra",
    ];
    assert_eq!(taken(sources(), &host), expected);
    let plan = decide(sources(), &host, &Wishes::default()).unwrap();
    assert_eq!(plan.old, None);
    assert!(plan.to_string().starts_with("kernel   none -> 5.15.0-503"));
    let table = change::table(&plan.leaving.changes, &plan.leaving.behind);
    assert!(
        table.contains("  kernel-core           -       5.15.0-200\n"),
        "{table}"
    );
    // Sources with several flavours are refused, since no installed kernel has a flavour.
    let two = || {
        let rt = rhel("kernel-rt", "5.15.0-503.el9.x86_64+rt");
        sources().into_iter().chain(files(rt)).collect::<Vec<_>>()
    };
    let refused = decide(two(), &host, &Wishes::default()).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("\n  --flavour default  (kernel-core-"),
        "{text}"
    );
    let rt = Wishes {
        flavour: Some("rt".into()),
        ..Wishes::default()
    };
    let plan = decide(two(), &host, &rt).unwrap();
    assert_eq!(plan.set.sources.len(), 4);
    // Packages of another architecture are refused, as in a tree that has a kernel.
    let mut host = bare();
    host.others[0].nevra.arch = "aarch64".into();
    let refused = decide(sources(), &host, &Wishes::default());
    assert!(matches!(refused, Err(Refusal::WrongArch { .. })));
}

#[test]
fn a_tree_without_a_baseline_is_warned_about() {
    let wishes = Wishes {
        has_no_baseline: true,
        ..Wishes::default()
    };
    let plan = decide(sources(), &bare(), &wishes).unwrap();
    assert!(plan.warnings[0].contains("there is no baseline"));
    let plan = decide(sources(), &bare(), &Wishes::default()).unwrap();
    assert!(plan.warnings.is_empty());
}

#[test]
fn a_kernel_whose_files_were_removed_is_replaced_by_its_packages() {
    let (mut host, _) = rhcos();
    host.module_dirs.clear();
    let plan = decide(sources(), &host, &Wishes::default()).unwrap();
    assert_eq!(plan.old.as_ref().map(Kver::as_str), Some(EL));
    assert_eq!(plan.leaving.gone.len(), 5);
    assert!(!plan.settled);
    // With the sources of the removed kernel: only dnf can install the same packages again.
    let again = || files(rhcos().1);
    assert!(matches!(
        decide(again(), &host, &Wishes::default()),
        Err(Refusal::SameVersion { .. })
    ));
    host.backends = vec![Backend::Dnf];
    let plan = decide(again(), &host, &Wishes::default()).unwrap();
    assert!(!plan.settled && plan.again.len() == 5);
    // A tree whose transaction was killed is not treated as a tree whose kernel was removed.
    host.unfinished = Some(Kver::new(NEW).unwrap());
    let refused = decide(sources(), &host, &Wishes::default());
    assert_eq!(refused.unwrap_err(), Refusal::NoKernel);
}

#[test]
fn packages_of_the_old_build_that_stay_are_listed() {
    let (_, mut packages) = rhcos();
    packages.push(package(
        "kernel-devel",
        EL,
        &["kernel-devel-uname-r"],
        &[],
        &[],
    ));
    packages.push(package("kernel-headers", EL, &[], &[], &[]));
    packages.push(package("kernel-tools", EL, &[], &[], &[]));
    packages.push(package("bash", "5.2", &[], &[], &[]));
    let host = base(EL, &packages);
    let without = || {
        let needed = |it: &Source| !it.package.nevra.name.ends_with("-headers");
        let sources = sources().into_iter().filter(needed);
        sources.filter(|it| it.package.nevra.name != "kernel-devel")
    };
    let plan = decide(without().collect(), &host, &Wishes::default()).unwrap();
    let stays: Vec<_> = plan.leaving.behind.iter().map(|it| &it.name).collect();
    assert_eq!(stays, ["kernel-devel", "kernel-headers", "kernel-tools"]);
    let table = change::table(&plan.leaving.changes, &plan.leaving.behind);
    assert!(
        table.contains("  kernel-devel          5.14.0-200  stays\n"),
        "{table}"
    );
    // Packages of the old build that the sources contain are replaced.
    let plan = decide(sources(), &host, &Wishes::default()).unwrap();
    let stays: Vec<_> = plan.leaving.behind.iter().map(|it| &it.name).collect();
    assert_eq!(stays, ["kernel-tools"]);
    // A package with modules but without a counterpart must be named with `--remove`.
    let mut packages = rhcos().1;
    packages.push(package(
        "kernel-modules-internal",
        EL,
        &["kernel-modules-internal-uname-r"],
        &[],
        &["test"],
    ));
    let refused = decide(
        without().collect(),
        &base(EL, &packages),
        &Wishes::default(),
    );
    assert!(matches!(refused, Err(Refusal::NoCounterpart { .. })));
}
