// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the kernel itself.

use super::{Answer, Finding, Owner, Remedy, Subject};

type Looked = Result<Vec<Finding>, Answer>;

pub fn single(subject: &Subject) -> Looked {
    let (found, remedy) = match subject.tree()?.kernels.as_slice() {
        [kver] if kver == subject.kver.as_str() => return Ok(vec![]),
        [other] => (
            format!("a vmlinuz of {other} and none of {}", subject.kver),
            "install that kernel, or look for the one that is there",
        ),
        [] => ("no directory with a vmlinuz".to_owned(), "install a kernel"),
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

pub fn release(subject: &Subject) -> Looked {
    let path = format!("{}/vmlinuz", subject.kver.dir());
    match &subject.tree()?.release {
        Ok(release) if release.kver == subject.kver.as_str() => Ok(vec![]),
        Ok(release) => Ok(vec![Finding::new(
            path,
            format!("a kernel that calls itself {}", release.kver),
            format!("{}, the directory with its modules", subject.kver),
            Remedy::Reinstall,
        )]),
        Err(it) if it.damaged => Ok(vec![Finding::new(
            path,
            &it.why,
            "a whole kernel image",
            Remedy::Reinstall,
        )]),
        Err(it) => Err(Answer::CouldNotLook(format!("{path}: {}", it.why))),
    }
}

pub fn rpmdb(subject: &Subject) -> Looked {
    let packages = match &subject.tree()?.owner {
        Owner::NoRpmdb(why) => return Err(Answer::NotApplicable(why.clone())),
        Owner::Failed(why) => return Err(Answer::CouldNotLook(why.clone())),
        Owner::Packages(packages) => packages,
    };
    let kver = subject.kver;
    let (found, expected, remedy) = match packages.as_slice() {
        [(_, kvers)] if kvers.iter().any(|it| it == kver.as_str()) => return Ok(vec![]),
        [(nevra, kvers)] => (
            format!(
                "{nevra}, which provides kernel-uname-r = {}",
                kvers.join(", ")
            ),
            format!("a package that provides kernel-uname-r = {kver}"),
            Remedy::OtherBuild,
        ),
        [] => (
            "no package owns it".to_owned(),
            "one".to_owned(),
            "install the kernel as a package, so that updates and scanners see it".into(),
        ),
        several => (
            format!("{} packages own it", several.len()),
            "one".to_owned(),
            "remove the packages of all but one kernel".into(),
        ),
    };
    Ok(vec![Finding::new(
        format!("{}/vmlinuz", kver.dir()),
        found,
        expected,
        remedy,
    )])
}

pub fn uki_shadow(subject: &Subject) -> Looked {
    let finding = |uki: &String| {
        Finding::new(
            uki,
            "a unified kernel image",
            "none: it is booted in place of vmlinuz and initramfs.img",
            "remove it, or build it again from this kernel and initramfs",
        )
    };
    Ok(subject.tree()?.ukis.iter().map(finding).collect())
}
