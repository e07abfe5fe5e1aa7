// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that depmod's `modules.dep` lists exactly the modules on disk, and reports modules that need missing symbols.

use std::collections::BTreeSet;

use super::{Answer, Finding, Lacking, Remedy, Severity, Subject, listed, show};
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
    // Of several module files with the same name, depmod lists only one: for example, a file in updates/ overrides the
    // kernel's own.
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
    // The finding is a warning, since it is not known whether the module is ever loaded. Fedora's own modules need no
    // missing symbols.
    let lacking = tree.lacking.first.iter().map(|Lacking { module, symbol }| {
        // depmod prints the path with the prefix /lib or /usr/lib.
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
