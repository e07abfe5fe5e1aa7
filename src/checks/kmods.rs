// SPDX-License-Identifier: MIT OR Apache-2.0
//! Out-of-tree modules: built for this kernel, and there if the base's kernel had them.

use std::collections::BTreeSet;

use super::{Answer, Finding, Subject, listed, show};
use crate::kernel::modules::ModuleName;

/// Where weak-modules, akmods and dkms put them, relative to the kernel's directory.
pub const PLACES: [&str; 3] = ["extra/", "updates/", "weak-updates/"];

pub fn kmods(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let dir = subject.kver.dir();
    let mut findings = Vec::new();
    for (path, vermagic) in &tree.kmods {
        let place = format!("{dir}/{}", show(path));
        let expected = format!("a module built for {}", subject.kver);
        let remedy = "install the build of it for this kernel";
        let found = match vermagic {
            Err(why) => why.clone(),
            Ok(vermagic) => {
                let kver = vermagic.split(u8::is_ascii_whitespace).next();
                if kver == Some(subject.kver.as_str().as_bytes()) || path.starts_with(b"weak-") {
                    continue;
                }
                format!("vermagic \"{}\"", show(vermagic))
            }
        };
        findings.push(Finding::new(place, found, expected, remedy));
    }
    let now: BTreeSet<_> = tree
        .modules
        .iter()
        .filter_map(|path| ModuleName::of_path(path))
        .collect();
    let before = subject.base.map(|base| &base.kmods).into_iter().flatten();
    findings.extend(before.filter(|name| !now.contains(name)).map(|name| {
        let path = format!("{dir}/extra/{name}.ko");
        let expected = "a build of it for this kernel, as the base's kernel had one";
        let remedy = "install the build of it for this kernel in the same run (give its RPM to replace too), or remove its package before";
        Finding::new(path, "no such module", expected, remedy)
    }));
    Ok(listed(findings))
}
