// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packages that the transaction removes: those of the old kernel if the new one is of another flavour, kmods, and
//! packages that require the old kernel. The stubs remove the same packages as the real programs.

use crate::bed::Bed;
use crate::kernels::{Build, NEW, OLD, Pkg};
use crate::ran::Ran;

const RT: Build = Build {
    kver: "6.9.4-200.fc40.x86_64+rt",
    name: "kernel-rt",
    ..NEW
};

const FILES: &str = "/run/ostree-kernel/packages/kernel-rt-6.9.4-200.fc40.x86_64.rpm \
    /run/ostree-kernel/packages/kernel-rt-core-6.9.4-200.fc40.x86_64.rpm \
    /run/ostree-kernel/packages/kernel-rt-modules-6.9.4-200.fc40.x86_64.rpm \
    /run/ostree-kernel/packages/kernel-rt-modules-core-6.9.4-200.fc40.x86_64.rpm";

const GONE: &str = "kernel-6.1.7-100.fc40.x86_64 kernel-core-6.1.7-100.fc40.x86_64 \
    kernel-modules-6.1.7-100.fc40.x86_64 kernel-modules-core-6.1.7-100.fc40.x86_64";

const DNF: &str = "--setopt=installonlypkgs= --setopt=protected_packages= --setopt=protect_running_kernel=False \
    --setopt=clean_requirements_on_remove=False";

/// Returns the names of the packages that are installed after the run, except rpm-ostree, in sorted order.
fn installed(ran: &Ran) -> Vec<&str> {
    let paths = ran.after.paths();
    let names = paths.filter_map(|path| path.strip_prefix("usr/share/rpm/"));
    let names = names.filter_map(|name| name.strip_suffix(".pkg"));
    let mut names: Vec<_> = names.filter(|name| *name != "rpm-ostree").collect();
    names.sort_unstable();
    names
}

/// Returns a package with this name that has the kmod zfs for the kernel `build`.
fn kmod(name: &str, build: Build) -> Pkg {
    let path = format!("/usr/lib/modules/{}/extra/zfs.ko", build.kver);
    Pkg {
        name: name.to_owned(),
        files: vec![(path, crate::image::module(build.kver, "zfs"))],
        provides: vec![],
        requires: vec![("kernel-uname-r".into(), build.kver.into())],
        ..build.packages()[0].clone()
    }
}

/// Returns a package that has no kernel files, and requires the capabilities `wanted`.
fn userland(name: &str, wanted: &[(&str, &str)]) -> Pkg {
    let requires = wanted.iter();
    Pkg {
        name: name.to_owned(),
        files: vec![(format!("/usr/share/{name}"), b"x".to_vec())],
        provides: vec![],
        requires: requires
            .map(|(name, kver)| ((*name).into(), (*kver).into()))
            .collect(),
        ..OLD.packages()[0].clone()
    }
}

#[test]
fn one_transaction_exchanges_flavours() {
    let remove =
        "--remove=kernel --remove=kernel-core --remove=kernel-modules --remove=kernel-modules-core";
    let script = "/run/ostree-kernel/packages/transaction";
    for (bed, transaction) in [
        (
            Bed::new(),
            format!("rpm-ostree override replace {FILES} {remove}"),
        ),
        (
            Bed::dnf("dnf5"),
            format!(
                "dnf5 -y --setopt=reposdir=/dev/null --setopt=localpkg_gpgcheck=False --setopt=disable_excludes=* {DNF} do --action=install {FILES} --action=remove {GONE}"
            ),
        ),
        (
            Bed::dnf("dnf"),
            format!(
                "dnf -y --disablerepo=* --nogpgcheck --disableexcludes=all {DNF} shell {script}"
            ),
        ),
    ] {
        bed.offer(RT, &RT.packages());
        let dry = bed.run(&["replace", "--dry-run", &bed.source()]);
        dry.ends_with(0).untouched();
        dry.prints(&[
            "  kernel-modules-core  6.1.7-100.fc40  kernel-rt-modules-core 6.9.4-200.fc40\n",
        ]);
        // The printed command line is quoted for a shell.
        let quoted = transaction.replace("--disablerepo=*", "'--disablerepo=*'");
        let excludes = "--setopt=disable_excludes=*";
        dry.prints(&[&quoted.replace(excludes, &format!("'{excludes}'"))]);
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0);
        let order = ran.order();
        ran.require(order[0] == transaction, &format!("expected: {transaction}"));
        let flavour = ["", "-core", "-modules", "-modules-core"].map(|it| format!("kernel-rt{it}"));
        assert_eq!(installed(&ran), flavour);
        ran.prints(&[
            "  kernel               6.1.7-100.fc40  kernel-rt 6.9.4-200.fc40\n",
            "kernel 6.1.7-100.fc40.x86_64 -> 6.9.4-200.fc40.x86_64+rt: ",
        ]);
        let report = ran.report();
        let change = &report["changes"][1];
        assert_eq!(change["before"], "kernel-core-6.1.7-100.fc40.x86_64");
        assert_eq!(change["after"], "kernel-rt-core-6.9.4-200.fc40.x86_64");
        if transaction.contains(" shell ") {
            let wrote = format!("printf '%s\\n' 'install {FILES}' 'remove {GONE}' >{script}");
            assert_eq!(report["commands"][0], wrote);
            dry.prints(&[&wrote]);
        }
    }
}

#[test]
fn packages_that_a_transaction_removes_are_reported() {
    for bed in [Bed::new(), Bed::dnf("dnf"), Bed::dnf("dnf5")] {
        userland("bystander", &[]).install(&bed.root());
        let ran = bed.run(&["replace", "--no-commit", &bed.source()]);
        ran.ends_with(0);
        let bystander = "usr/share/rpm/bystander.pkg";
        ran.require(ran.after.file(bystander).is_some(), "it stays");
    }
    for (bed, program) in [(Bed::new(), "rpm-ostree"), (Bed::dnf("dnf"), "dnf")] {
        userland("bystander", &[]).install(&bed.root());
        bed.behave(program, "takes-more");
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(1).complains(&[
            "removed packages without --remove: bystander-6.1.7-100.fc40.x86_64",
            "Build the layer again",
        ]);
        let report = "usr/share/ostree-kernel/report.json";
        ran.require(ran.after.file(report).is_none(), "nothing was committed");
    }
}

#[test]
fn dependents_of_the_old_kernel_are_removed_only_if_named() {
    for bed in [Bed::new(), Bed::dnf("dnf"), Bed::dnf("dnf5")] {
        userland("matched", &[("kernel-core-uname-r", OLD.kver)]).install(&bed.root());
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(3).in_order(&[]).untouched();
        ran.complains(&["--remove matched"]);
        let ran = bed.run(&["replace", "--remove", "matched", &bed.source()]);
        ran.ends_with(0);
        assert!(!installed(&ran).contains(&"matched"));
        assert_eq!(ran.report()["changes"][4]["after"], serde_json::Value::Null);
    }
}

#[test]
fn kmods_of_the_base_come_with_the_kernel_or_the_run_is_refused() {
    let akmod = |build: Build| kmod(&format!("kmod-zfs-{}", build.kver), build);
    let plain = |build: Build| kmod("kmod-zfs", build);
    let styles: [&dyn Fn(Build) -> Pkg; 2] = [&akmod, &plain];
    for of in styles {
        for bed in [Bed::new(), Bed::dnf("dnf"), Bed::dnf("dnf5")] {
            let name = of(OLD).name;
            of(OLD).install(&bed.root());
            let refused = bed.run(&["replace", &bed.source()]);
            refused.ends_with(3).in_order(&[]).untouched();
            refused.complains(&[&format!("the base has {name}"), &format!("--remove {name}")]);
            let mut packages = NEW.packages();
            packages.push(of(NEW));
            bed.offer(NEW, &packages);
            let ran = bed.run(&["replace", &bed.source()]);
            ran.ends_with(0);
            let names = installed(&ran);
            assert!(names.contains(&of(NEW).name.as_str()), "{names:?}");
            assert_eq!(names.len(), 5);
        }
        // --remove allows a run that removes the package without a replacement.
        let bed = Bed::new();
        of(OLD).install(&bed.root());
        let ran = bed.run(&["replace", "--remove", &of(OLD).name, &bed.source()]);
        ran.ends_with(0);
        assert_eq!(installed(&ran).len(), 4);
    }
}

#[test]
fn modules_without_a_package_are_refused_with_the_line_that_removes_them() {
    // The directories of dkms, VirtualBox, NVIDIA's installer and a packager, and the kernel's directory itself, for a
    // module that was copied there.
    let places = [
        "updates/dkms",
        "misc",
        "kernel/drivers/video",
        "nvidia",
        ".",
    ];
    let mut beds = places.map(|place| {
        let bed = Bed::new();
        let dir = format!("usr/lib/modules/{}", OLD.kver);
        let path = format!("{dir}/{place}/nvidia.ko").replace("/./", "/");
        bed.write(&path, crate::image::module(OLD.kver, "nvidia"));
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(3).in_order(&[]).untouched();
        ran.complains(&["nvidia (of no package)", &format!("rm /{path}")]);
        bed
    });
    let bed = &mut beds[0];
    // A module that modules.order lists is part of the kernel's own build, and not a kmod, whatever its directory is.
    // kernel-modules-extra of RHEL 9 has such modules.
    let order = format!("usr/lib/modules/{}/modules.order", OLD.kver);
    let built = fs_err::read_to_string(bed.path(&order)).unwrap();
    bed.write(&order, built + "kernel/drivers/gpu/nvidia.ko\n");
    bed.run(&["replace", &bed.source()]).ends_with(0);
}

/// Prepares a base, and as its sources the packages of RHCOS's extensions image: kernel-rt without its meta package,
/// the base's own kernel, and the sub-package kernel-rt-kvm, whose files the base has in another package.
fn extensions() -> Bed {
    let bed = Bed::new();
    let kvm = |build: Build| {
        let path = format!("/usr/lib/modules/{}/kernel/arch/x86/kvm/kvm.ko", build.kver);
        (path, crate::image::module(build.kver, "kvm"))
    };
    let mut modules_core = OLD.packages()[3].clone();
    modules_core.files.push(kvm(OLD));
    modules_core.install(&bed.root());
    let order = format!("usr/lib/modules/{}/modules.order", OLD.kver);
    let built = fs_err::read_to_string(bed.path(&order)).unwrap();
    bed.write(&order, built + "kernel/arch/x86/kvm/kvm.ko\n");
    let mut packages = RT.packages();
    packages.remove(0);
    packages.push(Pkg {
        name: "kernel-rt-kvm".into(),
        files: vec![kvm(RT)],
        provides: vec![],
        requires: vec![("kernel-uname-r".into(), RT.kver.into())],
        ..packages[0].clone()
    });
    bed.offer(RT, &packages);
    for package in OLD.packages() {
        bed.rpm(&package);
    }
    bed
}

#[test]
fn kernel_rt_of_the_extensions_of_rhcos() {
    let bed = extensions();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(3).in_order(&[]).untouched().complains(&[
        "the sources hold 2 kernels",
        "--flavour default  (kernel-core-6.1.7-100.fc40.x86_64, installed now)",
        "--flavour rt  (kernel-rt-core-6.9.4-200.fc40.x86_64)",
    ]);
    let ran = bed.run(&["replace", "--flavour", "64k", &bed.source()]);
    ran.ends_with(3).in_order(&[]).untouched();
    ran.complains(&["--flavour 64k: the sources hold no kernel of this flavour"]);
    let ran = bed.run(&["replace", "--flavour", "rt", &bed.source()]);
    ran.ends_with(0);
    let expected =
        ["-core", "-kvm", "-modules", "-modules-core"].map(|it| format!("kernel-rt{it}"));
    assert_eq!(installed(&ran), expected);
    // After the first run, it is clear which kernel is meant: the installed one.
    for args in [
        vec!["replace"],
        vec!["replace", "--kver", RT.kver],
        vec!["replace", "--flavour", "rt"],
    ] {
        let source = bed.source();
        let args: Vec<&str> = args.into_iter().chain([source.as_str()]).collect();
        let again = bed.run(&args);
        again.ends_with(0).in_order(&[]).untouched();
    }
}

#[test]
fn a_kernel_in_one_package_comes_and_goes() {
    // The package that the kernel's own `make binrpm-pkg` builds.
    let own = |build: Build| Pkg {
        files: build
            .packages()
            .into_iter()
            .flat_map(|it| it.files)
            .collect(),
        provides: vec![],
        requires: vec![],
        ..build.packages()[0].clone()
    };
    let bed = Bed::dnf("dnf5");
    bed.offer(NEW, &[own(NEW)]);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    assert_eq!(installed(&ran), ["kernel"]);
    // A kernel in several packages replaces the kernel in one package.
    bed.offer(RT, &RT.packages());
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    let names = installed(&ran);
    assert!(
        !names.contains(&"kernel") && names.contains(&"kernel-rt-core"),
        "{names:?}"
    );
}
