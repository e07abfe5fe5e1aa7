// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the out-of-tree modules are built for this kernel, and that this kernel has all out-of-tree modules of
//! the base's kernel.

use std::collections::BTreeSet;

use super::{Answer, Finding, Subject, listed, show};
use crate::kernel::modules::{ModuleList, ModuleName};

/// The directories in which weak-modules, akmods and dkms install modules, relative to the kernel's directory.
const PLACES: [&str; 3] = ["extra/", "updates/", "weak-updates/"];

/// Returns whether the module at `path`, relative to the kernel's directory, was not built with the kernel: `order`,
/// the list `modules.order` of the kernel's own modules, does not have its name. The directory does not decide this:
/// kernel-modules-extra of RHEL uses `extra`, VirtualBox's modules are in `misc`, NVIDIA's in `kernel/drivers/video` or
/// `nvidia`. If the list is missing or empty, only modules in [`PLACES`] count as out-of-tree.
pub fn is_out_of_tree(path: &[u8], order: Option<&ModuleList>) -> bool {
    match order.filter(|order| !order.paths().is_empty()) {
        Some(order) => ModuleName::of_path(path).is_some_and(|name| !order.contains(&name)),
        None => is_in_places(path),
    }
}

/// Returns whether a module may have been built elsewhere: it is out-of-tree, or it is in a directory for out-of-tree
/// modules and replaces a module of the kernel.
pub fn is_foreign(path: &[u8], order: Option<&ModuleList>) -> bool {
    is_in_places(path) || is_out_of_tree(path, order)
}

fn is_in_places(path: &[u8]) -> bool {
    let mut places = PLACES.iter();
    places.any(|place| path.starts_with(place.as_bytes()))
}

/// A module on disk that may have been built elsewhere; see [`is_foreign`].
#[derive(Debug, Clone)]
pub struct Kmod {
    /// The path, relative to the kernel's directory.
    pub path: Vec<u8>,
    /// The vermagic, or the reason why the module cannot be read.
    pub vermagic: Result<Vec<u8>, String>,
    /// The field `version` of its modinfo.
    pub version: Option<String>,
    /// The firmware files that it requests, relative to `usr/lib/firmware`.
    pub firmware: Vec<String>,
}

pub fn kmods(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let dir = subject.kver.dir();
    let mut findings = Vec::new();
    for Kmod { path, vermagic, .. } in &tree.kmods {
        let place = format!("{dir}/{}", show(path));
        let expected = format!("a module built for {}", subject.kver);
        let remedy = "install its build for this kernel";
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
        let found = found + &tree.of_package(&place);
        findings.push(Finding::new(place, found, expected, remedy));
    }
    let now: BTreeSet<_> = tree
        .modules
        .iter()
        .filter_map(|path| ModuleName::of_path(path))
        .collect();
    let before = subject.base.map(|base| &base.kmods).into_iter().flatten();
    let lost = before.filter(|name| !now.contains(name)).map(|name| {
        let path = format!("{dir}/extra/{name}.ko");
        let expected = "a build for this kernel, as the base's kernel has one";
        let remedy = "install its build for this kernel in the same run (add its RPM to the sources), or remove its package before";
        Finding::new(path, "no such module", expected, remedy)
    });
    findings.extend(subject.losses(lost.collect()));
    Ok(listed(findings))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_order_decides_which_modules_are_out_of_tree() {
        let order = ModuleList::parse_order(b"kernel/fs/xfs/xfs.ko\nkernel/net/sctp/sctp.ko\n");
        let order = order.unwrap();
        let empty = ModuleList::default();
        for (path, with_list, without) in [
            (&b"kernel/fs/xfs/xfs.ko.xz"[..], false, false),
            (b"extra/sctp.ko.zst", false, true),
            (b"extra/zfs.ko", true, true),
            (b"weak-updates/zfs.ko", true, true),
            (b"misc/vboxdrv.ko.xz", true, false),
            (b"nvidia/nvidia-drm.ko.zst", true, false),
            (b"kernel/drivers/video/nvidia.ko", true, false),
            (b"v4l2loopback.ko", true, false),
        ] {
            let name = String::from_utf8_lossy(path);
            assert_eq!(is_out_of_tree(path, Some(&order)), with_list, "{name}");
            assert_eq!(is_out_of_tree(path, None), without, "{name}");
            assert_eq!(is_out_of_tree(path, Some(&empty)), without, "{name}");
        }
        // A module in `updates/` that replaces one of the kernel's is foreign, too.
        assert!(is_foreign(b"updates/xfs.ko", Some(&order)));
        assert!(!is_foreign(b"kernel/fs/xfs/xfs.ko", Some(&order)));
    }
}
