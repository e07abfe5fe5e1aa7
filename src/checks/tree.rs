// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the tree around the kernel.

use std::collections::BTreeSet;

use super::{Answer, Finding, Lacking, Remedy, Severity, Subject, listed, show};
use crate::kernel::MODULES;
use crate::kernel::modules::ModuleName;

pub fn depmod(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let dir = subject.kver.dir();
    let path = format!("{dir}/modules.dep");
    let remedy = || Remedy::RebuildOr("look for the cause in /etc/depmod.d and in modules.order");
    let dep = match &tree.lists.dep {
        Ok(Some(dep)) => dep,
        Ok(None) => {
            return Ok(vec![Finding::new(
                path,
                "no such file",
                "depmod's output",
                remedy(),
            )]);
        }
        Err(why) => return Err(Answer::CouldNotRun(format!("{path}: {why}"))),
    };
    let on_disk: BTreeSet<&[u8]> = tree.modules.iter().map(Vec::as_slice).collect();
    let with_line: BTreeSet<&[u8]> = dep.iter().map(|(module, _)| module).collect();
    // depmod lists one of several files with the same name: extra/ and updates/ override the kernel's own.
    let is_overridden = |module: &[u8]| {
        ModuleName::of_path(module).is_some_and(|name| dep.path_of(&name).is_some())
    };
    let without_line = on_disk
        .difference(&with_line)
        .filter(|module| !is_overridden(module));
    let without_line = without_line.map(|module| {
        let module = format!("{dir}/{}", show(module));
        Finding::new(
            module,
            "no line in modules.dep",
            "a line, so that modprobe finds the module",
            remedy(),
        )
    });
    let without_file = with_line.difference(&on_disk).map(|module| {
        let found = format!("a line for {}, which does not exist", show(module));
        Finding::new(&path, found, "only lines for modules that exist", remedy())
    });
    // A warning, since it is not known whether the module is ever loaded. Fedora's own modules are complete.
    let lacking = tree.lacking.first.iter().map(|Lacking { module, symbol }| {
        // depmod prints the path with its prefix /lib or /usr/lib.
        let at = module.find("lib/modules/").unwrap_or(0);
        let owner = tree.of_package(&format!("usr/{}", &module[at..]));
        let found = format!("it needs the symbol {symbol}, which does not exist{owner}");
        let expected =
            "every symbol in the kernel or in another module; otherwise it cannot be loaded";
        let remedy = "install the missing sub-package, or the kmod that was built for this kernel";
        Finding::new(module, found, expected, remedy).only(Severity::Warning)
    });
    let mut findings = listed(without_line.collect());
    findings.extend(listed(without_file.collect()));
    findings.extend(lacking);
    if let (Some(last), more @ 1..) = (findings.last().cloned(), tree.lacking.more) {
        findings.push(last.others(more));
    }
    Ok(findings)
}

pub fn leftovers(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let stale = tree.stale_dirs.iter().map(|dir| {
        let path = format!("{MODULES}/{dir}");
        let remedy = "run ostree-kernel rebuild, which removes it";
        let found = "a kernel's directory without vmlinuz that no package owns";
        Finding::new(path, found, "no files of an old kernel", remedy)
    });
    // `clean` keeps files that a package owns.
    let packages = tree.rpmdb.packages().ok();
    let is_owned = |path: &&String| packages.is_some_and(|rpmdb| rpmdb.owns_content(path));
    // The check `kernel-single` reports a link `vmlinuz`; its target is the kernel.
    let target = tree.vmlinuz_link.as_deref().unwrap_or_default();
    let target = target.trim_start_matches("../").trim_start_matches('/');
    let legacy = tree
        .legacy
        .iter()
        .filter(|path| !is_owned(path) && *path != target);
    let others = legacy.chain(&tree.leftovers).map(|path| {
        let remedy = Remedy::RebuildOr("remove it in an earlier RUN line");
        Finding::new(path, "a leftover", "no such file", remedy)
    });
    let mut findings = listed(stale.collect());
    findings.extend(listed(others.collect()));
    Ok(findings)
}
