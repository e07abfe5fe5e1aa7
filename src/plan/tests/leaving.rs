// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the packages that are removed with the old kernel: its parts, kmods, and other packages that depend on the
//! kernel. The new kernel can have another flavour, or no kernel-modules-core.

use std::collections::BTreeSet;

use super::*;
use crate::kernel::modules::ModuleName;
use crate::plan::{Kmod, Plan, change};

/// Renames the packages, and their capabilities except `kernel-uname-r`, to another flavour.
fn flavoured(sources: Vec<Source>, flavour: &str) -> Vec<Source> {
    let rename = |name: &str| match name.strip_prefix("kernel-uname-r") {
        Some(_) => name.to_owned(),
        None => name.replacen("kernel", flavour, 1),
    };
    let rename_all = |mut source: Source| {
        let package = &mut source.package;
        package.nevra.name = rename(&package.nevra.name);
        for cap in package.provides.iter_mut().chain(&mut package.requires) {
            cap.name = rename(&cap.name);
        }
        source
    };
    sources.into_iter().map(rename_all).collect()
}

/// Returns the set as in Fedora before 38, without kernel-modules-core.
fn presplit() -> Vec<Source> {
    let mut sources = sources();
    sources.remove(3);
    for source in &mut sources {
        let requires = &mut source.package.requires;
        requires.retain(|cap| cap.name != "kernel-modules-core-uname-r");
    }
    sources
}

/// Returns the package `name` with the module zfs for the kernel `kver`.
fn kmod(name: &str, kver: &str) -> Source {
    let mut source = source(2, kver);
    let package = &mut source.package;
    let version = if kver == OLD { "1.0" } else { "1.1" };
    package.nevra = nevra(name, version, "x86_64");
    package.provides = vec![];
    package.requires = caps(&["kernel-uname-r"], kver);
    package.header_sha256 = format!("digest of {name} for {kver}");
    let module = ModuleName::new(b"zfs").unwrap();
    package.modules = BTreeSet::from([(kver.to_owned(), module)]);
    source
}

/// Returns a base with the package `name`, which owns the module zfs.
fn with_kmod(name: &str) -> Host {
    let mut host = host();
    let package = kmod(name, OLD).package;
    host.packages.push(Installed {
        nevra: package.nevra,
        provides: package.provides,
        requires: package.requires,
        header_sha256: None,
        has_files: true,
        kernels: BTreeSet::new(),
        modules: package.modules.into_iter().collect(),
    });
    host.kmods.push(Kmod {
        name: ModuleName::new(b"zfs").unwrap(),
        path: format!("usr/lib/modules/{OLD}/extra/zfs.ko"),
        owners: vec![name.to_owned()],
    });
    host
}

fn removing(names: &[&str]) -> Wishes {
    Wishes {
        remove: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Wishes::default()
    }
}

fn removed(plan: &Plan) -> Vec<&str> {
    let names = plan.leaving.remove.iter();
    names.map(|it| it.name.as_str()).collect()
}

fn taken(plan: &Plan) -> Vec<&str> {
    let names = plan.set.sources.iter();
    names.map(|it| it.package.nevra.name.as_str()).collect()
}

#[test]
fn flavours_are_exchanged_part_for_part() {
    for flavour in ["kernel-rt", "kernel-64k", "kernel-debug", "kernel-longterm"] {
        let plan = decide(flavoured(sources(), flavour), &host(), &Wishes::default()).unwrap();
        let expected =
            ["", "-core", "-modules", "-modules-core"].map(|it| format!("{flavour}{it}"));
        assert_eq!(taken(&plan), expected);
        assert_eq!(plan.set.unused[0].name, format!("{flavour}-modules-extra"));
        let old = [
            "kernel",
            "kernel-core",
            "kernel-modules",
            "kernel-modules-core",
        ];
        assert_eq!(removed(&plan), old);
        let table = change::table(&plan.leaving.changes, &plan.leaving.behind);
        let line = format!("  kernel-modules       6.9.3-200  {flavour}-modules 6.12.117-200\n");
        assert!(table.contains(&line), "{table}");
    }
}

#[test]
fn each_part_of_the_base_has_its_counterpart_in_the_other_flavour() {
    let mut host = host();
    let extra = source(4, OLD).package;
    host.packages.push(Installed {
        nevra: nevra("kernel-modules-extra", "6.9.3", "x86_64"),
        provides: extra.provides,
        requires: extra.requires,
        header_sha256: None,
        has_files: true,
        kernels: BTreeSet::new(),
        modules: BTreeSet::new(),
    });
    let rt = || flavoured(sources(), "kernel-rt");
    let plan = decide(rt(), &host, &Wishes::default()).unwrap();
    assert!(taken(&plan).contains(&"kernel-rt-modules-extra"));
    let mut without = rt();
    without.pop();
    let refused = decide(without.clone(), &host, &Wishes::default()).unwrap_err();
    assert!(
        matches!(&refused, Refusal::NoCounterpart { names, .. } if names == &["kernel-modules-extra"]),
        "{refused}"
    );
    let plan = decide(without, &host, &removing(&["kernel-modules-extra"])).unwrap();
    let change = plan.leaving.changes.iter().find(|it| {
        let before = it.before.as_ref();
        before.is_some_and(|it| it.name == "kernel-modules-extra")
    });
    assert_eq!(change.unwrap().after, None);
}

#[test]
fn kernel_uki_virt_is_no_kernel() {
    let mut host = host();
    let mut uki = source(1, OLD).package;
    uki.nevra = nevra("kernel-uki-virt", "6.9.3", "x86_64");
    host.packages.insert(
        0,
        Installed {
            nevra: uki.nevra.clone(),
            provides: uki.provides.clone(),
            requires: vec![],
            header_sha256: None,
            has_files: true,
            kernels: BTreeSet::new(),
            modules: BTreeSet::new(),
        },
    );
    // In the base, kernel-uki-virt is an ordinary part, which needs a counterpart. In the sources, it is no kernel.
    let refused = decide(sources(), &host, &Wishes::default()).unwrap_err();
    assert!(
        matches!(&refused, Refusal::NoCounterpart { names, .. } if names == &["kernel-uki-virt"])
    );
    let mut only_uki = source(1, NEW);
    only_uki.package.nevra.name = "kernel-uki-virt".into();
    only_uki.package.vmlinuz = None;
    assert!(matches!(
        refusal(vec![only_uki]),
        Refusal::NoKernelPackage(_)
    ));
}

#[test]
fn a_package_that_was_split_off_the_core_is_merged_again() {
    let plan = decide(presplit(), &host(), &Wishes::default()).unwrap();
    assert_eq!(taken(&plan), ["kernel", "kernel-core", "kernel-modules"]);
    assert_eq!(removed(&plan), ["kernel-modules-core"]);
    let table = change::table(&plan.leaving.changes, &plan.leaving.behind);
    let line = "  kernel-modules-core  6.9.3-200  kernel-core 6.12.117-200\n";
    assert!(table.contains(line), "{table}");
    // The core replaces only parts that the old core requires, directly or indirectly. kernel-modules is not among
    // them.
    let mut without = presplit();
    without.retain(|it| !["kernel", "kernel-modules"].contains(&it.package.nevra.name.as_str()));
    let refused = decide(without, &host(), &removing(&["kernel"])).unwrap_err();
    assert!(
        matches!(&refused, Refusal::NoCounterpart { names, .. } if names == &["kernel-modules"])
    );
}

#[test]
fn a_package_that_obsoletes_or_provides_another_stands_for_it() {
    for obsoletes in [true, false] {
        let mut sources = sources();
        sources.remove(4);
        let caps = vec![Capability::equal("kernel-modules-partner", NEW)];
        if obsoletes {
            sources[2].package.obsoletes = caps
        } else {
            sources[2].package.provides.extend(caps)
        }
        let mut host = host();
        let mut partner = host.packages[2].clone();
        partner.nevra.name = "kernel-modules-partner".into();
        host.packages.push(partner);
        let plan = decide(sources, &host, &Wishes::default()).unwrap();
        assert_eq!(removed(&plan), ["kernel-modules-partner"]);
    }
}

#[test]
fn kmods_come_with_their_kernel_whether_their_names_have_its_kver_or_not() {
    let with = |more: &[Source]| [sources(), more.to_vec()].concat();
    let akmod = |kver: &str| kmod(&format!("kmod-zfs-{kver}"), kver);
    let plan = decide(
        with(&[kmod("kmod-zfs", NEW)]),
        &with_kmod("kmod-zfs"),
        &Wishes::default(),
    );
    let plan = plan.unwrap();
    assert!(taken(&plan).contains(&"kmod-zfs"));
    assert!(removed(&plan).is_empty());
    let old = format!("kmod-zfs-{OLD}");
    let plan = decide(with(&[akmod(NEW)]), &with_kmod(&old), &Wishes::default()).unwrap();
    assert_eq!(removed(&plan), [old.as_str()]);
    // A kmod for another kernel is ignored; a kmod that the base lacks is installed.
    let more = with(&[kmod("kmod-new", NEW), akmod("6.13.0")]);
    let plan = decide(more, &host(), &Wishes::default()).unwrap();
    assert!(taken(&plan).contains(&"kmod-new"));
    assert_eq!(plan.set.unused.len(), 2);
    for refused in [
        decide(sources(), &with_kmod("kmod-zfs"), &Wishes::default()),
        decide(
            with(&[akmod("6.13.0")]),
            &with_kmod(&old),
            &Wishes::default(),
        ),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, Refusal::NoCounterpart { .. }),
            "{refused}"
        );
    }
    let plan = decide(sources(), &with_kmod("kmod-zfs"), &removing(&["kmod-zfs"])).unwrap();
    assert_eq!(removed(&plan), ["kmod-zfs"]);
    assert_eq!(plan.leaving.kmods.len(), 1);
}

#[test]
fn modules_that_no_package_brings_are_missed_before_anything_is_done() {
    let missed = |host: &Host, sources: Vec<Source>| match decide(sources, host, &Wishes::default())
    {
        Ok(_) => None,
        Err(refused @ Refusal::NoKmods { .. }) => Some(refused.to_string()),
        Err(other) => panic!("{other}"),
    };
    // No package owns the base's module.
    let mut host = with_kmod("kmod-zfs");
    host.packages.pop();
    host.kmods[0].owners.clear();
    let text = missed(&host, sources()).unwrap();
    for expected in [
        "zfs (of no package)",
        "no package owns: rm /usr/lib/modules/6.9.3",
        "extra/zfs.ko",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    // The module for the new kernel is installed already.
    host.module_dirs.push(ModuleDir {
        name: NEW.into(),
        has_vmlinuz: false,
        kmods: BTreeSet::from([host.kmods[0].name.clone()]),
    });
    assert_eq!(missed(&host, sources()), None);
    host.module_dirs.pop();
    // The new kernel includes the module.
    let mut in_tree = sources();
    let built = (NEW.to_owned(), host.kmods[0].name.clone());
    in_tree[2].package.modules.insert(built);
    assert_eq!(missed(&host, in_tree), None);
    // The package that owns the module belongs to no kernel. weak-modules, if installed, may link the module to the new
    // kernel; the check `kmods` verifies this.
    host.kmods[0].owners = vec!["kmod-of-a-vendor".into()];
    assert!(missed(&host, sources()).is_some());
    host.weak_modules = true;
    assert_eq!(missed(&host, sources()), None);
    // The new package kmod-zfs lacks the module.
    let mut hollow = kmod("kmod-zfs", NEW);
    hollow.package.modules.clear();
    let text = missed(&with_kmod("kmod-zfs"), [sources(), vec![hollow]].concat()).unwrap();
    assert!(
        text.contains("zfs (of kmod-zfs)") && text.contains("--remove kmod-zfs"),
        "{text}"
    );
}

/// Returns the installed package `name`, which belongs to no kernel and requires `wanted`.
fn other(name: &str, wanted: &str) -> Installed {
    let mut words = wanted.split(' ');
    let mut word = || words.next().unwrap_or_default();
    Installed {
        nevra: nevra(name, "1", "x86_64"),
        provides: vec![Capability::equal(name, "1-200")],
        requires: vec![Capability {
            name: word().into(),
            op: crate::package::capability::Op::of(word()),
            version: word().into(),
        }],
        header_sha256: None,
        has_files: true,
        kernels: BTreeSet::new(),
        modules: BTreeSet::new(),
    }
}

#[test]
fn packages_that_depend_on_the_old_kernel_go_only_if_they_are_named() {
    let mut host = host();
    for package in &mut host.packages {
        let nevra = &package.nevra;
        let own = Capability::equal(nevra.name.clone(), "6.9.3-200");
        package.provides.push(own);
    }
    let mut sources = sources();
    for source in &mut sources {
        let name = source.package.nevra.name.clone();
        source
            .package
            .provides
            .push(Capability::equal(name, "6.12.117-200"));
    }
    host.others = vec![
        other("any-kernel", "kernel-core >= 6"),
        other("broken-before", "kernel-core = 5"),
        other("matched", "kernel-core = 6.9.3-200"),
        other("needs-matched", "matched"),
        other("unrelated", "glibc"),
    ];
    let refused = decide(sources.clone(), &host, &Wishes::default()).unwrap_err();
    assert_eq!(
        refused,
        Refusal::Dependants(vec![
            ("matched".into(), "kernel-core = 6.9.3-200".into()),
            ("needs-matched".into(), "matched".into()),
        ])
    );
    assert!(
        refused
            .to_string()
            .ends_with("--remove matched --remove needs-matched")
    );
    let wishes = removing(&["matched", "needs-matched"]);
    let plan = decide(sources, &host, &wishes).unwrap();
    assert_eq!(removed(&plan), ["matched", "needs-matched"]);
    let stays: Vec<_> = plan
        .leaving
        .stays
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(stays, ["any-kernel", "broken-before", "unrelated"]);
    // Packages of another flavour do not provide the required names.
    let rt = flavoured(super::sources(), "kernel-rt");
    let refused = decide(rt, &host, &Wishes::default()).unwrap_err();
    assert!(matches!(&refused, Refusal::Dependants(names) if names[0].0 == "any-kernel"));
}
