// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with kernels that distributors divide into different packages: RHCOS's extensions, ELRepo, the kernel's own
//! `make binrpm-pkg`, CachyOS. Also tests of packages that are built with a kernel, and of dnf's exclusions.

use super::*;
use crate::kernel::modules::ModuleName;
use crate::plan::{Earlier, Plan, locks::Exclusion};

const EL: &str = "5.14.0-427.el9.x86_64";
const RT: &str = "5.14.0-427.el9.x86_64+rt";

/// Returns a package with `modules` for the kernel `kver`. `provides` and `requires` contain "NAME = VERSION", or a
/// name alone, whose version is then `kver`. The package also provides its own name.
pub(super) fn package(
    name: &str,
    kver: &str,
    provides: &[&str],
    requires: &[&str],
    modules: &[&str],
) -> Package {
    let cap = |text: &&str| match text.split_once(" = ") {
        Some((name, version)) => Capability::equal(name, version),
        None => Capability::equal(*text, kver),
    };
    let version = kver.split('-').next().unwrap_or_default();
    let name = name.to_owned();
    Package {
        nevra: nevra(&name, version, "x86_64"),
        provides: provides
            .iter()
            .map(cap)
            .chain([Capability::equal(name.clone(), format!("{version}-200"))])
            .collect(),
        requires: requires.iter().map(cap).collect(),
        obsoletes: vec![],
        source: format!("kernel-{version}-200.src.rpm"),
        vmlinuz: None,
        in_boot: None,
        vmlinuz_link: None,
        modules: modules
            .iter()
            .map(|module| (kver.to_owned(), ModuleName::new(module.as_bytes()).unwrap()))
            .collect(),
        dirs: BTreeSet::new(),
        has_files: true,
        header_sha256: format!("digest of {name} {kver}"),
        signature: Signature::Good("0123".into()),
    }
}

/// Returns a package with the `vmlinuz` of `kver` and without modules.
fn core(name: &str, kver: &str, provides: &[&str], requires: &[&str]) -> Package {
    Package {
        vmlinuz: Some(Kver::new(kver).unwrap()),
        ..package(name, kver, provides, requires, &[])
    }
}

/// Returns a package without files.
pub(super) fn meta(name: &str, kver: &str, requires: &[&str]) -> Package {
    Package {
        has_files: false,
        ..package(name, kver, &[], requires, &[])
    }
}

/// Returns the packages as `kernel.spec` of RHEL splits them, without the meta package.
pub(super) fn rhel(flavour: &str, kver: &str) -> Vec<Package> {
    let name = |part: &str| format!("{flavour}{part}");
    let uname = |part: &str| format!("{flavour}{part}-uname-r");
    let modules_core = uname("-modules-core");
    vec![
        core(
            &name("-core"),
            kver,
            &["kernel-uname-r", &uname("-core")],
            &[&modules_core],
        ),
        package(
            &name("-modules-core"),
            kver,
            &[&modules_core],
            &["kernel-uname-r"],
            &["xfs"],
        ),
        package(
            &name("-modules"),
            kver,
            &[&uname("-modules")],
            &["kernel-uname-r"],
            &["e1000e"],
        ),
        package(
            &name("-modules-extra"),
            kver,
            &[&uname("-modules-extra")],
            &["kernel-uname-r"],
            &["sctp"],
        ),
        package(&name("-devel"), kver, &[&uname("-devel")], &[], &[]),
    ]
}

fn file(package: Package) -> Source {
    Source {
        path: format!("run/{}.rpm", package.nevra),
        sha256: "00".into(),
        origin: format!("/rpms/{}.rpm", package.nevra),
        from: PackageOrigin::File,
        pinned: false,
        named: false,
        package,
    }
}

pub(super) fn files(packages: impl IntoIterator<Item = Package>) -> Vec<Source> {
    packages.into_iter().map(file).collect()
}

fn named(packages: impl IntoIterator<Item = Package>) -> Vec<Source> {
    let mut files = files(packages);
    files.iter_mut().for_each(|file| file.named = true);
    files
}

/// Returns the package as the rpmdb has it.
fn installed(package: &Package) -> Installed {
    Installed {
        nevra: package.nevra.clone(),
        provides: package.provides.clone(),
        requires: package.requires.clone(),
        header_sha256: Some(package.header_sha256.clone()),
        has_files: package.has_files,
        kernels: package.vmlinuz.iter().map(ToString::to_string).collect(),
        modules: package.modules.clone(),
    }
}

/// Returns an image with the kernel `kver` and these packages, whose modules are on disk.
pub(super) fn base(kver: &str, packages: &[Package]) -> Host {
    let (of_kernel, others) = packages
        .iter()
        .map(installed)
        .partition(Installed::is_of_a_kernel);
    let modules = packages.iter().flat_map(|it| &it.modules);
    Host {
        modules: modules.map(|(_, name)| name.clone()).collect(),
        packages: of_kernel,
        others,
        module_dirs: vec![ModuleDir {
            name: kver.into(),
            has_vmlinuz: true,
            kmods: BTreeSet::new(),
        }],
        ..host()
    }
}

fn with_kver(kver: &str) -> Wishes {
    Wishes {
        kver: Some(Kver::new(kver).unwrap()),
        ..Wishes::default()
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    let sources = plan.set.sources.iter();
    sources.map(|it| it.package.nevra.name.as_str()).collect()
}

fn removed(plan: &Plan) -> Vec<&str> {
    plan.leaving
        .remove
        .iter()
        .map(|it| it.name.as_str())
        .collect()
}

/// Returns RHCOS and its packages: `kernel` with all its parts except `-devel`, and kvm in `-modules-core`.
pub(super) fn rhcos() -> (Host, Vec<Package>) {
    let mut packages = rhel("kernel", EL);
    packages.pop();
    packages[1]
        .modules
        .insert((EL.into(), ModuleName::new(b"kvm").unwrap()));
    packages.push(meta(
        "kernel",
        EL,
        &["kernel-core-uname-r", "kernel-modules-uname-r"],
    ));
    (base(EL, &packages), packages)
}

/// Returns the packages of RHCOS's extensions: `kernel-rt` without its meta package, the base's own kernel, and
/// usbguard.
pub(super) fn extensions() -> Vec<Package> {
    let mut packages = rhel("kernel-rt", RT);
    packages.push(package(
        "kernel-rt-kvm",
        RT,
        &["kernel-rt-kvm-uname-r"],
        &["kernel-uname-r"],
        &["kvm", "ptp_kvm"],
    ));
    packages.push(package(
        "kernel-rt-modules-internal",
        RT,
        &["kernel-rt-modules-internal-uname-r"],
        &["kernel-uname-r"],
        &["test_user_copy", "a", "b", "c", "d", "e"],
    ));
    packages.extend(rhcos().1);
    let mut usbguard = package("usbguard", "1.0", &[], &[], &[]);
    usbguard.source = "usbguard-1.0.src.rpm".into();
    packages.push(usbguard);
    packages
}

#[test]
fn the_extensions_of_rhcos() {
    let (host, _) = rhcos();
    let refused = decide(files(extensions()), &host, &Wishes::default()).unwrap_err();
    let text = refused.to_string();
    for expected in [
        "\n  --flavour default  (kernel-core-5.14.0-200.x86_64, installed now)",
        "\n  --flavour rt  (kernel-rt-core-5.14.0-200.x86_64)",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    // The shell expands DIR/*.rpm to all packages. The last one, usbguard, has no relation to the kernel.
    let mut all = named(extensions());
    let last = all.pop().unwrap();
    for sources in [files(extensions()), all.clone()] {
        let plan = decide(sources, &host, &with_kver(RT)).unwrap();
        let taken = names(&plan);
        let expected = ["core", "kvm", "modules", "modules-core", "modules-extra"];
        for part in expected {
            assert!(
                taken.contains(&format!("kernel-rt-{part}").as_str()),
                "{taken:?}"
            );
        }
        assert!(
            !taken.contains(&"kernel-rt-devel") && !taken.contains(&"kernel"),
            "{taken:?}"
        );
        assert_eq!(removed(&plan).len(), 5, "all parts and the meta package go");
    }
    all.push(last);
    let refused = decide(all, &host, &with_kver(RT)).unwrap_err();
    assert!(matches!(&refused, Refusal::BadFile { why, .. } if why.contains("usbguard")));
    // Packages from a directory are left out, with a warning, if the base has none of their modules.
    let plan = decide(files(extensions()), &host, &with_kver(RT)).unwrap();
    assert_eq!(names(&plan).len(), 5);
    let [warning] = plan.warnings.as_slice() else {
        panic!("{:?}", plan.warnings);
    };
    for expected in [
        "kernel-rt-modules-internal-5.14.0",
        "(a, b, c, d, e and 1 more)",
    ] {
        assert!(warning.contains(expected), "{warning}");
    }
}

#[test]
fn a_run_that_was_done_from_these_sources_chooses_again() {
    let rt: Vec<_> = extensions()
        .into_iter()
        .filter(|it| {
            let name = &it.nevra.name;
            name.starts_with("kernel-rt") && !name.ends_with("devel") && !name.ends_with("internal")
        })
        .collect();
    let mut host = base(RT, &rt);
    let again = |host: &Host| decide(files(extensions()), host, &Wishes::default());
    assert!(matches!(
        again(&host),
        Err(Refusal::SeveralKernelPackages(_))
    ));
    let nevras = extensions().into_iter().map(|it| it.nevra.to_string());
    host.earlier = Some(Earlier {
        kver: RT.into(),
        sources: nevras.collect(),
    });
    let plan = again(&host).unwrap();
    assert!(plan.settled);
    assert_eq!(plan.set.kver.as_str(), RT);
    // The choice is refused with other sources, or if another build of the kernel is installed.
    let more = files(
        extensions()
            .into_iter()
            .chain(rhel("kernel-64k", "5.14.0-427.el9.x86_64+64k")),
    );
    let refused = decide(more, &host, &Wishes::default());
    assert!(matches!(refused, Err(Refusal::SeveralKernelPackages(_))));
    let core = host
        .packages
        .iter_mut()
        .find(|it| it.nevra.name == "kernel-rt-core")
        .unwrap();
    core.header_sha256 = Some("another build".into());
    assert!(matches!(
        again(&host),
        Err(Refusal::SeveralKernelPackages(_))
    ));
}

/// Returns ELRepo's packages, which do not provide `kernel-uname-r`.
fn elrepo(kver: &str) -> Vec<Package> {
    let uname = "kernel-ml-uname-r";
    vec![
        meta(
            "kernel-ml",
            kver,
            &["kernel-ml-core-uname-r", "kernel-ml-modules-uname-r"],
        ),
        core(
            "kernel-ml-core",
            kver,
            &[uname, "kernel-ml-core-uname-r"],
            &[],
        ),
        package(
            "kernel-ml-modules",
            kver,
            &["kernel-ml-modules-uname-r"],
            &[uname],
            &["xfs", "kvm", "e1000e"],
        ),
        package(
            "kernel-ml-modules-extra",
            kver,
            &["kernel-ml-modules-extra-uname-r"],
            &[uname, "kernel-ml-modules-uname-r"],
            &["sctp"],
        ),
        package(
            "kernel-ml-devel",
            kver,
            &["kernel-ml-devel-uname-r", "kernel-devel-uname-r"],
            &[],
            &[],
        ),
    ]
}

#[test]
fn elrepo_and_back() {
    const ML: &str = "6.16.6-1.el9.elrepo.x86_64";
    let (host, packages) = rhcos();
    let plan = decide(files(elrepo(ML)), &host, &Wishes::default()).unwrap();
    assert_eq!(
        names(&plan),
        [
            "kernel-ml",
            "kernel-ml-core",
            "kernel-ml-modules",
            "kernel-ml-modules-extra"
        ]
    );
    assert_eq!(removed(&plan).len(), 5);
    // A base with ELRepo's kernel.
    let host = base(ML, &elrepo(ML)[..4]);
    let plan = decide(files(packages), &host, &Wishes::default()).unwrap();
    assert_eq!(
        names(&plan),
        [
            "kernel",
            "kernel-core",
            "kernel-modules",
            "kernel-modules-core",
            "kernel-modules-extra"
        ]
    );
    assert_eq!(removed(&plan).len(), 4);
    // A newer version of ELRepo's kernel.
    let plan = decide(
        files(elrepo("6.17.0-1.el9.elrepo.x86_64")),
        &host,
        &Wishes::default(),
    );
    assert_eq!(names(&plan.unwrap()).len(), 4);
}

/// Returns the packages of the kernel's own `make binrpm-pkg`.
fn own(kver: &str) -> Vec<Package> {
    let mut kernel = core("kernel", kver, &[], &[]);
    kernel.provides.push(Capability {
        name: format!("kernel-{kver}"),
        ..Capability::equal("", "")
    });
    let modules = ["xfs", "kvm", "e1000e", "sctp", "zram"];
    kernel.modules = package("", kver, &[], &[], &modules).modules;
    vec![
        kernel,
        package("kernel-headers", kver, &[], &[], &[]),
        package("kernel-devel", kver, &[], &[], &[]),
    ]
}

#[test]
fn one_package_stands_for_all_parts() {
    const OWN: &str = "6.12.0-dirty";
    let (host, packages) = rhcos();
    for sources in [files(own(OWN)), named(own(OWN))] {
        let plan = decide(sources, &host, &Wishes::default()).unwrap();
        assert_eq!(names(&plan), ["kernel"]);
        // `kernel` is replaced by the package of the same name, so it is not removed.
        assert_eq!(
            removed(&plan),
            [
                "kernel-core",
                "kernel-modules-core",
                "kernel-modules",
                "kernel-modules-extra"
            ]
        );
    }
    // kernel-devel is part of the base, so it is replaced.
    let devel = rhel("kernel", EL).pop().unwrap();
    let with_devel = base(EL, &[packages.clone(), vec![devel]].concat());
    let plan = decide(files(own(OWN)), &with_devel, &Wishes::default()).unwrap();
    assert_eq!(names(&plan), ["kernel", "kernel-devel"]);
    let one = files(own(OWN)[..1].to_vec());
    let plan = decide(one, &with_devel, &Wishes::default()).unwrap();
    let [stays] = plan.leaving.behind.as_slice() else {
        panic!("{:?}", plan.leaving.behind);
    };
    assert_eq!(stays.name, "kernel-devel");
    // In the other direction, a part is taken if the base has one of its modules on disk.
    let host = base(OWN, &own(OWN)[..1]);
    let plan = decide(files(packages.clone()), &host, &Wishes::default()).unwrap();
    assert_eq!(
        names(&plan),
        [
            "kernel-core",
            "kernel-modules",
            "kernel-modules-core",
            "kernel-modules-extra"
        ]
    );
    assert_eq!(removed(&plan), ["kernel"]);
    // The old and the new kernel are both built with `make binrpm-pkg`.
    let plan = decide(files(own("6.13.0")), &host, &Wishes::default()).unwrap();
    assert_eq!((names(&plan), removed(&plan).len()), (vec!["kernel"], 0));
    // A package without modules does not replace a package that has modules.
    let mut hollow = own(OWN);
    hollow[0].modules.clear();
    let (host, _) = rhcos();
    let refused = decide(files(hollow), &host, &Wishes::default());
    assert!(matches!(refused, Err(Refusal::NoCounterpart { .. })));
}

#[test]
fn a_kernel_in_boot_only_has_a_sentence_of_its_own() {
    let (host, _) = rhcos();
    let mut old = own("6.6.1");
    old[0].vmlinuz = None;
    old[0].in_boot = Some("/boot/vmlinuz-6.6.1".into());
    let refused = decide(files(old), &host, &Wishes::default()).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("has its kernel only as /boot/vmlinuz-6.6.1"),
        "{text}"
    );
    assert!(text.contains("since Linux 6.9"), "{text}");
    // Azure Linux has a link to the kernel next to the modules.
    let mut linked = own("6.6.1");
    linked[0].vmlinuz = None;
    linked[0].in_boot = Some("/boot/vmlinuz-6.6.1".into());
    linked[0].vmlinuz_link = Some("/lib/modules/6.6.1/vmlinuz".into());
    let refused = decide(files(linked), &host, &Wishes::default()).unwrap_err();
    let text = refused.to_string();
    let expected = "has /lib/modules/6.6.1/vmlinuz as a link, and its kernel as /boot/vmlinuz-6.6.1 only; expected a regular file";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn parts_come_along_by_the_modules_that_the_base_has() {
    const CACHY: &str = "6.16.7-cachyos1.fc42.x86_64";
    let sources = || {
        files([
            meta(
                "kernel-cachyos",
                CACHY,
                &[
                    "kernel-core-uname-r",
                    "kernel-modules-uname-r",
                    "kernel-modules-core-uname-r",
                ],
            ),
            core(
                "kernel-cachyos-core",
                CACHY,
                &["kernel-core-uname-r", "kernel-uname-r"],
                &["kernel-modules-uname-r"],
            ),
            package(
                "kernel-cachyos-modules",
                CACHY,
                &[
                    "kernel-modules-uname-r",
                    "kernel-modules-core-uname-r",
                    "kernel-modules-extra-uname-r",
                ],
                &["kernel-uname-r"],
                &["xfs", "kvm", "e1000e", "sctp"],
            ),
            package(
                "kernel-cachyos-nvidia-open",
                CACHY,
                &["nvidia-kmod = 580"],
                &["kernel-uname-r"],
                &["nvidia", "nvidia_drm"],
            ),
            meta("kernel-cachyos-devel-matched", CACHY, &[]),
        ])
    };
    let (host, packages) = rhcos();
    let plan = decide(sources(), &host, &Wishes::default()).unwrap();
    assert_eq!(names(&plan).len(), 3);
    assert!(
        plan.warnings[0].contains("kernel-cachyos-nvidia-open"),
        "{:?}",
        plan.warnings
    );
    // The base has the driver in another package, which the part replaces.
    let kmod = package(
        "kmod-nvidia",
        EL,
        &[],
        &["kernel-uname-r"],
        &["nvidia", "nvidia_drm"],
    );
    let host = base(EL, &[packages, vec![kmod]].concat());
    let plan = decide(sources(), &host, &Wishes::default()).unwrap();
    assert!(names(&plan).contains(&"kernel-cachyos-nvidia-open"));
    assert!(removed(&plan).contains(&"kmod-nvidia"));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn every_file_of_a_build_may_be_named() {
    let (host, packages) = rhcos();
    const K: &str = "5.14.0-500.el9.x86_64";
    let build = || {
        let mut all = rhel("kernel", K);
        all.push(meta(
            "kernel",
            K,
            &["kernel-core-uname-r", "kernel-modules-uname-r"],
        ));
        all.push(meta(
            "kernel-devel-matched",
            K,
            &["kernel-devel = 5.14.0-200"],
        ));
        all.push(package(
            "kernel-uki-virt",
            K,
            &["kernel-uki-virt-uname-r", "kernel-uname-r"],
            &["kernel-modules-core-uname-r"],
            &[],
        ));
        all.push(package("kernel-selftests-internal", K, &[], &[], &[]));
        let mut headers = package("kernel-headers", K, &[], &[], &[]);
        headers.source = "kernel-headers-5.14.0-200.src.rpm".into();
        all.push(headers);
        let mut perf = package("perf", K, &[], &[], &[]);
        perf.nevra.version = "5.14.0".into();
        all.push(perf);
        all
    };
    let five = [
        "kernel",
        "kernel-core",
        "kernel-modules",
        "kernel-modules-core",
        "kernel-modules-extra",
    ];
    let mut other = host;
    for it in other.packages.iter_mut().chain(&mut other.others) {
        it.nevra.version = "5.13.0".into();
    }
    for sources in [files(build()), named(build())] {
        let plan = decide(sources, &other, &Wishes::default()).unwrap();
        assert_eq!(names(&plan), five);
    }
    // Packages that the base has are taken.
    for name in ["kernel-headers", "kernel-devel", "perf"] {
        let mut packages = packages.clone();
        packages.push(package(name, EL, &[], &[], &[]));
        if name == "kernel-devel" {
            packages.push(rhel("kernel", EL).pop().unwrap());
        }
        let mut host = base(EL, &packages);
        for it in host.packages.iter_mut().chain(&mut host.others) {
            it.nevra.version = "5.13.0".into();
        }
        let plan = decide(named(build()), &host, &Wishes::default()).unwrap();
        assert!(names(&plan).contains(&name), "{name}: {:?}", names(&plan));
    }
}

#[test]
fn companions_come_together_or_not_at_all() {
    const K: &str = "6.9.5";
    let tools = |kver: &str| {
        let version = kver.split('-').next().unwrap_or_default();
        let libs = format!("kernel-tools-libs = {version}-200");
        [
            package("kernel-tools", kver, &[], &[&libs], &[]),
            package("kernel-tools-libs", kver, &[], &[], &[]),
        ]
    };
    let (_, packages) = rhcos();
    let host = base(EL, &[packages, tools(EL).to_vec()].concat());
    let set = |tools: &[Package]| {
        let mut all = rhel("kernel", K);
        all.push(meta("kernel", K, &["kernel-core-uname-r"]));
        all.extend(tools.iter().cloned());
        files(all)
    };
    let taken = |tools: &[Package]| {
        let plan = decide(set(tools), &host, &Wishes::default()).unwrap();
        let names = names(&plan)
            .into_iter()
            .filter(|name| name.contains("tools"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let [new, libs] = tools(K);
    assert_eq!(
        taken(&[new.clone(), libs.clone()]),
        ["kernel-tools", "kernel-tools-libs"]
    );
    assert!(taken(std::slice::from_ref(&new)).is_empty());
    assert!(taken(&[libs]).is_empty());
    // Packages of another build are not companions.
    let mut other = tools("6.8.0");
    other
        .iter_mut()
        .for_each(|it| it.source = "linux-tools.src.rpm".into());
    assert!(taken(&other).is_empty());
    // The changes contain the replaced packages.
    let plan = decide(set(&tools(K)), &host, &Wishes::default()).unwrap();
    let change = plan.leaving.changes.iter().find(|it| {
        it.after
            .as_ref()
            .is_some_and(|after| after.name == "kernel-tools")
    });
    assert_eq!(change.unwrap().before.as_ref().unwrap().version, "5.14.0");
    assert!(
        !plan
            .leaving
            .stays
            .iter()
            .any(|it| it.name.contains("tools"))
    );
}

#[test]
fn exclusions_of_the_image_are_overridden_and_reported() {
    let (mut host, _) = rhcos();
    host.holds_back.push(Exclusion {
        file: "etc/dnf/dnf.conf".into(),
        patterns: vec!["kernel-rt-c*".into()],
        only: vec![],
    });
    let sources = || files(rhel("kernel-rt", RT));
    let plan = |host: &Host| decide(sources(), host, &Wishes::default()).unwrap();
    assert!(
        plan(&host).warnings.is_empty(),
        "rpm-ostree reads no dnf.conf"
    );
    host.backends = vec![Backend::Dnf5];
    let warnings = plan(&host).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("/etc/dnf/dnf.conf excludes, locks or protects kernel-rt-core;"),
        "{warnings:?}"
    );
    host.holds_back[0].patterns = vec!["bash".into()];
    assert!(plan(&host).warnings.is_empty());
}
