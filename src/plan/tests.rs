// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of [`admit`], [`select`] and [`plan`]: inputs that are refused, and similar inputs that are accepted.

mod first;
mod flavours;
mod leaving;
mod shapes;

use std::collections::BTreeSet;

use super::{
    Backend, Cliwrap, Hold, Host, Installed, ModuleDir, Oddities, PackageOrigin, Refusal,
    RpmOstreeVersion, Source, TreeKind, Wishes, admit, plan, select,
};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::package::capability::Capability;
use crate::package::signature::{Distrust, Signature};
use crate::package::{Nevra, Package};

const OLD: &str = "6.9.3-200.fc40.x86_64";
const NEW: &str = "6.12.117+deb12-cloud-amd64";

/// The meta package and the sub-packages of Fedora's kernel, with their provided and required `…uname-r`.
const PARTS: [(&str, &[&str], &[&str]); 5] = [
    (
        "kernel",
        &[],
        &["kernel-core-uname-r", "kernel-modules-uname-r"],
    ),
    (
        "kernel-core",
        &["kernel-core-uname-r", "kernel-uname-r"],
        &["kernel-modules-core-uname-r"],
    ),
    (
        "kernel-modules",
        &["kernel-modules-uname-r"],
        &["kernel-modules-core-uname-r"],
    ),
    (
        "kernel-modules-core",
        &["kernel-modules-core-uname-r"],
        &["kernel-uname-r"],
    ),
    (
        "kernel-modules-extra",
        &["kernel-modules-extra-uname-r"],
        &["kernel-uname-r"],
    ),
];

fn nevra(name: &str, version: &str, arch: &str) -> Nevra {
    Nevra {
        name: name.into(),
        epoch: 0,
        version: version.into(),
        release: "200".into(),
        arch: arch.into(),
    }
}

fn caps(names: &[&str], kver: &str) -> Vec<Capability> {
    let cap = |name: &&str| Capability::equal(*name, kver);
    names.iter().map(cap).collect()
}

fn host() -> Host {
    let installed = |(name, provides, requires): &(&str, &[&str], &[&str])| Installed {
        nevra: nevra(name, "6.9.3", "x86_64"),
        provides: caps(provides, OLD),
        requires: caps(requires, OLD),
        header_sha256: Some(format!("digest of old {name}")),
        has_files: *name != "kernel",
        kernels: match *name {
            "kernel-core" => BTreeSet::from([OLD.to_owned()]),
            _ => BTreeSet::new(),
        },
        modules: BTreeSet::new(),
    };
    Host {
        kind: TreeKind::OstreeContainer,
        backends: vec![Backend::RpmOstree],
        has_rpm_ostree: true,
        rpm_ostree: Some(RpmOstreeVersion(2025, 6)),
        foreign_rpmdb: None,
        cliwrap: Cliwrap::default(),
        layout_ostree: true,
        module_dirs: vec![ModuleDir {
            name: OLD.into(),
            has_vmlinuz: true,
            kmods: BTreeSet::new(),
        }],
        others: vec![],
        modules: BTreeSet::new(),
        kmods: vec![],
        earlier: None,
        unfinished: None,
        holds_back: vec![],
        versionlock: false,
        weak_modules: false,
        packages: PARTS[..4].iter().map(installed).collect(),
        ukis: vec![],
        missing_programs: vec![],
        leftovers: vec![],
        oddities: Oddities::default(),
    }
}

fn source(part: usize, kver: &str) -> Source {
    let (name, provides, requires) = PARTS[part];
    Source {
        package: Package {
            nevra: nevra(name, "6.12.117", "x86_64"),
            provides: caps(provides, kver),
            requires: caps(requires, kver),
            obsoletes: vec![],
            modules: BTreeSet::new(),
            vmlinuz: (name == "kernel-core").then(|| Kver::new(kver).unwrap()),
            dirs: BTreeSet::new(),
            source: format!("kernel-{kver}.src.rpm"),
            in_boot: None,
            vmlinuz_link: None,
            has_files: name != "kernel",
            header_sha256: format!("digest of {name}"),
            signature: Signature::Good("0123".into()),
        },
        path: format!("run/{name}.rpm"),
        sha256: "00".into(),
        origin: format!("/rpms/{name}.rpm"),
        from: PackageOrigin::File,
        pinned: false,
        named: false,
    }
}

fn sources() -> Vec<Source> {
    (0..5).map(|part| source(part, NEW)).collect()
}

fn decide(sources: Vec<Source>, host: &Host, wishes: &Wishes) -> Result<super::Plan, Refusal> {
    admit(host)?;
    plan(host, select(sources, host, wishes)?, wishes)
}

fn refusal(sources: Vec<Source>) -> Refusal {
    decide(sources, &host(), &Wishes::default()).unwrap_err()
}

#[test]
fn only_installed_packages_are_replaced() {
    let plan = decide(sources(), &host(), &Wishes::default()).unwrap();
    assert_eq!(plan.set.kver.as_str(), NEW);
    let names: Vec<_> = plan
        .set
        .sources
        .iter()
        .map(|it| it.package.nevra.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "kernel",
            "kernel-core",
            "kernel-modules",
            "kernel-modules-core"
        ]
    );
    assert_eq!(plan.set.unused[0].name, "kernel-modules-extra");
    assert_eq!(plan.leaving.gone.len(), 4);
    assert!(plan.leaving.remove.is_empty());
    assert!(plan.warnings.is_empty());
}

#[test]
fn a_package_that_another_requires_comes_although_the_base_lacks_it() {
    // The base lacks kernel-modules-core, as Fedora before 38 does.
    let mut host = host();
    host.packages
        .retain(|it| it.nevra.name != "kernel-modules-core");
    let plan = decide(sources(), &host, &Wishes::default()).unwrap();
    assert!(
        plan.set
            .sources
            .iter()
            .any(|it| it.package.nevra.name == "kernel-modules-core")
    );
}

#[test]
fn sets_that_are_refused() {
    let without = |part: usize| {
        let mut sources = sources();
        sources.remove(part);
        sources
    };
    assert!(matches!(refusal(vec![]), Refusal::NoKernelPackage(_)));
    assert!(matches!(refusal(without(1)), Refusal::NoKernelPackage(_)));
    assert!(matches!(refusal(without(3)), Refusal::Incomplete(_)));
    let no_modules = refusal(without(2));
    assert!(matches!(no_modules, Refusal::Incomplete(_)), "{no_modules}");
    // The meta package is only a list of requirements, so it may be missing.
    assert!(decide(without(0), &host(), &Wishes::default()).is_ok());

    let mut two = sources();
    two.push(source(1, "6.13.0"));
    assert!(matches!(
        refusal(two.clone()),
        Refusal::SeveralKernelPackages(_)
    ));
    let mut rebuilt = sources();
    let mut again = rebuilt[1].clone();
    again.package.nevra.release = "2".into();
    rebuilt.push(again);
    let refused = refusal(rebuilt);
    assert!(
        matches!(&refused, Refusal::SeveralBuilds { cores, .. } if cores.len() == 2),
        "{refused}"
    );

    let wishes = Wishes {
        kver: Some(Kver::new(NEW).unwrap()),
        ..Wishes::default()
    };
    assert_eq!(
        decide(two, &host(), &wishes).unwrap().set.kver.as_str(),
        NEW
    );

    let mut mixed = without(2);
    mixed.push(source(2, "6.12.116"));
    assert!(matches!(refusal(mixed), Refusal::MixedBuilds { .. }));

    let mut foreign = sources();
    for source in &mut foreign {
        source.package.nevra.arch = "aarch64".into();
    }
    assert!(matches!(refusal(foreign), Refusal::WrongArch { .. }));

    let mut stray = sources();
    stray.push(source(1, NEW));
    let last = stray.len() - 1;
    stray[last].named = true;
    stray[last].package.nevra.name = "bash".into();
    stray[last].package.vmlinuz = None;
    stray[last].package.provides.clear();
    stray[last].package.requires.clear();
    stray[last].package.source = "bash-5.src.rpm".into();
    assert!(matches!(refusal(stray), Refusal::BadFile { .. }));
}

#[test]
fn hosts_that_are_refused() {
    let refuse = |change: fn(&mut Host)| {
        let mut host = host();
        change(&mut host);
        decide(sources(), &host, &Wishes::default()).unwrap_err()
    };
    assert_eq!(
        refuse(|host| host.kind = TreeKind::OstreeHost),
        Refusal::BootedHost
    );
    assert!(matches!(
        refuse(|host| host.missing_programs.push("dracut")),
        Refusal::MissingPrograms(_)
    ));
    assert!(matches!(
        refuse(|host| host.ukis.push("boot/x.efi".into())),
        Refusal::Uki(_)
    ));
    assert!(matches!(
        refuse(|host| {
            host.module_dirs.clear();
            host.ukis.push("boot/x.efi".into());
        }),
        Refusal::OnlyUki(ukis) if ukis == ["boot/x.efi"]
    ));
    let killed = |host: &mut Host| {
        host.module_dirs.clear();
        host.unfinished = Some(Kver::new(NEW).unwrap());
    };
    assert_eq!(refuse(killed), Refusal::NoKernel);
    assert!(matches!(
        refuse(|host| host.module_dirs.push(ModuleDir {
            name: "6".into(),
            has_vmlinuz: true,
            kmods: BTreeSet::new(),
        })),
        Refusal::SeveralKernels(_)
    ));
    assert!(matches!(
        refuse(|host| host.packages.clear()),
        Refusal::NoPackages(_)
    ));
    assert_eq!(refuse(|host| host.backends.clear()), Refusal::NoBackend);
}

#[test]
fn a_name_that_nothing_has_cannot_be_removed() {
    let sources = (0..4).map(|part| source(part, NEW)).collect();
    let wishes = Wishes {
        remove: vec!["kernel-modules-extra".into()],
        ..Wishes::default()
    };
    let refused = decide(sources, &host(), &wishes).unwrap_err();
    assert_eq!(
        refused,
        Refusal::NothingToRemove("kernel-modules-extra".into())
    );
}

#[test]
fn the_same_packages_again_need_no_transaction_half_of_them_or_another_build_is_refused() {
    let mut host = host();
    for (installed, part) in host.packages.iter_mut().zip([0, 1, 2, 3]) {
        let package = source(part, OLD).package;
        installed.nevra = package.nevra;
        installed.header_sha256 = Some(package.header_sha256);
    }
    let again: Vec<_> = (0..4).map(|part| source(part, OLD)).collect();
    let same = decide(again.clone(), &host, &Wishes::default()).unwrap();
    assert!(same.settled && same.leaving.gone.is_empty());
    let mut cut_short = host.clone();
    let old = Installed {
        nevra: Nevra {
            version: "5.0".into(),
            ..host.packages[1].nevra.clone()
        },
        provides: vec![Capability::equal("kernel-uname-r", "5.0")],
        ..host.packages[1].clone()
    };
    let name = old.nevra.to_string();
    cut_short.packages.push(old);
    let refused = decide(again.clone(), &cut_short, &Wishes::default()).unwrap_err();
    assert!(
        matches!(&refused, Refusal::OldPackages(_, old) if *old == [name]),
        "{refused}"
    );
    // Only the modules of the old kernel are left: no package provides kernel-uname-r.
    let modules = Installed {
        provides: vec![Capability::equal("kernel-modules-uname-r", "5.0")],
        modules: [("5.0".to_owned(), ModuleName::new(b"ext4").unwrap())].into(),
        ..cut_short.packages.pop().unwrap()
    };
    cut_short.packages.push(modules.clone());
    let refused = decide(again.clone(), &cut_short, &Wishes::default()).unwrap_err();
    assert!(matches!(&refused, Refusal::OldPackages(_, old) if old.len() == 1));
    // A package of the old kernel without modules, such as kernel-devel, may stay.
    *cut_short.packages.last_mut().unwrap() = Installed {
        modules: [].into(),
        ..modules
    };
    assert!(decide(again.clone(), &cut_short, &Wishes::default()).is_ok());
    let gone = host.packages.pop().unwrap();
    let half = decide(again.clone(), &host, &Wishes::default()).unwrap_err();
    assert!(matches!(half, Refusal::HalfInstalled { missing, .. } if missing.len() == 1));
    host.packages.push(gone);
    host.packages[1].header_sha256 = Some("another build of the same version".into());
    let other = decide(again.clone(), &host, &Wishes::default()).unwrap_err();
    assert!(matches!(&other, Refusal::SameVersion { dnf: None, .. }));
    // dnf can install one package again without changing the others.
    host.backends.push(Backend::Dnf5);
    let other = decide(again.clone(), &host, &Wishes::default()).unwrap_err();
    assert!(other.to_string().ends_with("--backend dnf5"), "{other}");
    host.backends = vec![Backend::Dnf];
    let plan = decide(again, &host, &Wishes::default()).unwrap();
    assert!(!plan.settled && plan.leaving.gone.is_empty());
    let names: Vec<_> = plan.again.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["kernel-core"]);
    assert_eq!(plan.leaving.stays.len(), 3);
    let dry = plan.to_string();
    assert!(!dry.contains("removed, if no package"), "{dry}");
}

#[test]
fn signatures_are_judged_by_where_the_bytes_come_from() {
    use PackageOrigin::{File, Repository, Url};
    let good = || Signature::Good("ff".into());
    let none = || Signature::None;
    let unknown = || Signature::UnknownKey("ff".into());
    let bad = || Signature::Bad("forged".into());
    let weak = || {
        Signature::Untrusted(Distrust::Weak {
            what: "the signature".into(),
            why: "SHA1".into(),
        })
    };
    let revoked = || {
        Signature::Untrusted(Distrust::Revoked {
            key: "ff".into(),
            since: None,
            reason: "no reason given".into(),
        })
    };
    let verdict = |signature, from, pinned, option: &str| {
        let mut sources = sources();
        sources[1].package.signature = signature;
        (sources[1].from, sources[1].pinned) = (from, pinned);
        let wishes = Wishes {
            allow_unsigned: option == "allow",
            require_signature: option == "require",
            pinned_command: "replace a.rpm#sha256=0".into(),
            ..Wishes::default()
        };
        decide(sources, &host(), &wishes).map(|plan| plan.warnings.len())
    };
    // Each case ends with the number of warnings with which the package is accepted.
    for (signature, from, pinned, option, warnings) in [
        (good(), Url, false, "", 0),
        (good(), Url, false, "require", 0),
        (none(), File, false, "", 1),
        (none(), File, true, "", 1),
        (none(), Url, true, "", 1),
        (none(), Url, false, "allow", 1),
        (none(), Repository, true, "", 1),
        (unknown(), File, true, "", 1),
        (unknown(), Url, false, "allow", 1),
        (weak(), File, true, "", 1),
        (revoked(), Url, false, "allow", 1),
    ] {
        let case = format!("{signature:?} {from:?} {pinned} {option}");
        assert_eq!(
            verdict(signature, from, pinned, option),
            Ok(warnings),
            "{case}"
        );
    }
    for (signature, from, pinned, option) in [
        (none(), File, false, "require"),
        (none(), Url, true, "require"),
        (unknown(), File, false, ""),
        (unknown(), File, true, "require"),
        (weak(), File, false, ""),
        (weak(), Url, true, "require"),
        (revoked(), Repository, false, ""),
        (bad(), File, true, ""),
        (bad(), File, true, "allow"),
    ] {
        let case = format!("{signature:?} {from:?} {pinned} {option}");
        let refused = verdict(signature, from, pinned, option);
        assert!(matches!(refused, Err(Refusal::Signature { .. })), "{case}");
    }
    let refused = |signature| verdict(signature, File, false, "").unwrap_err().to_string();
    // The message must not recommend to pin bytes that may be an attacker's.
    for (signature, is_pinned) in [(weak(), true), (revoked(), false), (bad(), false)] {
        let text = refused(signature);
        assert_eq!(text.contains("#sha256="), is_pinned, "{text}");
    }
    let refused = verdict(none(), Url, false, "").unwrap_err().to_string();
    for text in [
        "kernel-core-6.12.117",
        "trust on first use",
        "\n  replace a.rpm#sha256=0\n",
    ] {
        assert!(refused.contains(text), "{refused}");
    }
    let refused = verdict(none(), Repository, false, "");
    assert!(matches!(refused, Err(Refusal::UnsignedInRepository(_))));
}

#[test]
fn dracut_is_prevented_by_a_setting_of_this_rpm_ostree() {
    let table = [
        ((2023, 12), false, Hold::Bypass),
        ((2024, 5), true, Hold::Bypass),
        ((2024, 6), false, Hold::Shim),
        ((2024, 9), true, Hold::Shim),
        ((2025, 1), true, Hold::Bypass),
        (
            (2025, 6),
            false,
            Hold::BypassWithLayout {
                file: "usr/lib/kernel/install.conf",
            },
        ),
        (
            (2026, 1),
            false,
            Hold::BypassWithLayout {
                file: "etc/kernel/install.conf.d/zz-ostree-kernel.conf",
            },
        ),
        ((2026, 2), true, Hold::Bypass),
    ];
    for ((year, release), layout_ostree, hold) in table {
        let mut host = host();
        host.rpm_ostree = Some(RpmOstreeVersion(year, release));
        host.layout_ostree = layout_ostree;
        let plan = decide(sources(), &host, &Wishes::default()).unwrap();
        assert_eq!(plan.hold, hold, "{year}.{release} {layout_ostree}");
        host.backends = vec![Backend::Dnf];
        let plan = decide(sources(), &host, &Wishes::default()).unwrap();
        assert_eq!(plan.hold, Hold::Bypass, "dnf runs systemd's kernel-install");
    }
}
