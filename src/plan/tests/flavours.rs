// SPDX-License-Identifier: MIT OR Apache-2.0
//! The choice of one kernel from sources with several.

use super::shapes::{base, extensions, files, rhcos, rhel};
use super::*;
use crate::plan::Earlier;

/// Returns the output of a whole build of RHEL's kernel: each flavour with all its parts.
fn whole_build(version: &str) -> Vec<Package> {
    let kver = |suffix: &str| format!("{version}.el9.x86_64{suffix}");
    let mut packages = rhel("kernel", &kver(""));
    for (flavour, suffix) in [
        ("kernel-rt", "+rt"),
        ("kernel-64k", "+64k"),
        ("kernel-debug", "+debug"),
        ("kernel-rt-debug", "+rt-debug"),
    ] {
        packages.extend(rhel(flavour, &kver(suffix)));
    }
    packages
}

const NEW: &str = "5.14.0-503";

fn flavour(name: &str) -> Wishes {
    Wishes {
        flavour: Some(name.into()),
        ..Wishes::default()
    }
}

fn kver(sources: &[Package], host: &Host, wishes: &Wishes) -> Result<String, String> {
    let set = select(files(sources.to_vec()), host, wishes);
    set.map(|set| set.kver.to_string())
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn the_flavour_of_the_base_is_the_default_and_others_have_names() {
    let (host, _) = rhcos();
    let build = whole_build(NEW);
    let chosen = |wishes: &Wishes| kver(&build, &host, wishes).unwrap();
    assert_eq!(chosen(&Wishes::default()), "5.14.0-503.el9.x86_64");
    for (name, suffix) in [
        ("default", ""),
        ("rt", "+rt"),
        ("64k", "+64k"),
        ("debug", "+debug"),
        ("rt-debug", "+rt-debug"),
    ] {
        let expected = format!("5.14.0-503.el9.x86_64{suffix}");
        assert_eq!(chosen(&flavour(name)), expected);
    }
    // A base with kernel-rt keeps kernel-rt.
    let installed = "5.14.0-427.el9.x86_64+rt";
    let host = base(installed, &rhel("kernel-rt", installed));
    let found = kver(&build, &host, &Wishes::default());
    assert_eq!(found.unwrap(), "5.14.0-503.el9.x86_64+rt");
}

#[test]
fn an_ambiguous_choice_is_refused_with_the_options_that_resolve_it() {
    let (host, _) = rhcos();
    let refused = |sources: &[Package], wishes: &Wishes| kver(sources, &host, wishes).unwrap_err();
    // The only kernel of the base's flavour in the sources is installed already, so none is chosen.
    let text = refused(&extensions(), &Wishes::default());
    assert!(
        text.contains("\n  --flavour rt  (kernel-rt-core-"),
        "{text}"
    );
    // With two versions of one flavour, none is chosen.
    let mut two = whole_build(NEW);
    two.extend(whole_build("5.14.0-570"));
    for wishes in [Wishes::default(), flavour("rt")] {
        let text = refused(&two, &wishes);
        let kernels = text.matches("\n  --kver 5.14.0-").count();
        let expected = if wishes.flavour.is_some() { 2 } else { 10 };
        assert_eq!(kernels, expected, "{text}");
    }
    let text = refused(&whole_build(NEW), &flavour("kernel-rt"));
    assert!(text.starts_with("--flavour kernel-rt: the sources hold no kernel"));
    assert!(
        text.contains("\n  --flavour rt  (kernel-rt-core-"),
        "{text}"
    );
    // A kernel that no package owns has no flavour.
    let mut host = host.clone();
    host.packages.clear();
    assert!(kver(&whole_build(NEW), &host, &Wishes::default()).is_err());
    // `--kver` and `--flavour` must agree.
    let both = Wishes {
        kver: Some(Kver::new("5.14.0-503.el9.x86_64+rt").unwrap()),
        ..flavour("rt")
    };
    assert!(kver(&two, &host, &both).is_ok());
    let other = Wishes {
        flavour: Some("64k".into()),
        ..both
    };
    assert!(kver(&two, &host, &other).is_err());
}

#[test]
fn the_kernel_that_a_run_installed_is_chosen_again() {
    let old = "5.14.0-427.el9.x86_64";
    let new = format!("{NEW}.el9.x86_64");
    let mut sources = rhel("kernel", old);
    sources.extend(whole_build(NEW));
    let before = base(old, &rhel("kernel", old));
    assert_eq!(
        kver(&sources, &before, &Wishes::default()).as_ref(),
        Ok(&new)
    );
    // After the run, the old kernel is the only kernel of the base's flavour that is not installed.
    let mut after = base(&new, &rhel("kernel", &new));
    let nevras = sources.iter().map(|it| it.nevra.to_string());
    after.earlier = Some(Earlier {
        kver: new.clone(),
        sources: nevras.collect(),
    });
    for wishes in [Wishes::default(), flavour("default")] {
        assert_eq!(kver(&sources, &after, &wishes).as_ref(), Ok(&new));
    }
    let rt = kver(&sources, &after, &flavour("rt")).unwrap();
    assert_eq!(rt, format!("{new}+rt"));
    // A run that was killed after its transaction left a journal and no report.
    after.earlier = None;
    after.unfinished = Some(Kver::new(&new).unwrap());
    assert_eq!(
        kver(&sources, &after, &Wishes::default()).as_ref(),
        Ok(&new)
    );
}
