// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images of dracut's squash modules, in which the inner file system is truncated, or a program or driver that mounts
//! it is missing.

use super::broken;
use super::modules::forget_inside;
use crate::corpus::case::{Case, CaseKind};
use crate::corpus::draft::Draft;
use crate::corpus::products::Base::{self, BookwormSquash, SidErofs, SidSquash};

const INIT: &str = "initramfs-init";
const ROOT: &str = "initramfs-root-drivers";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        cut("squash-cut", BookwormSquash, "squash-root.img"),
        cut("erofs-cut", SidErofs, "erofs-root.img"),
        broken(
            "squash-without-mount",
            BookwormSquash,
            "dracut-ng/dracut-ng#561",
            &[INIT],
            |draft| draft.archive().remove("usr/bin/mount"),
        ),
    ];
    for (name, base, driver) in [
        ("squash-without-loop", BookwormSquash, "loop"),
        ("squash-without-squashfs", SidSquash, "squashfs"),
        ("squash-without-overlay", BookwormSquash, "overlay"),
        ("erofs-without-erofs", SidErofs, "erofs"),
    ] {
        let of = "coreos/rpm-ostree#4451";
        cases.push(broken(name, base, of, &[ROOT], move |draft| {
            forget_inside(draft, &[driver]);
        }));
    }
    cases
}

/// Returns a case in which the file `path` of the image is truncated to half its size, as on a full disk.
fn cut(name: &str, base: Base, path: &'static str) -> Case {
    const FULL: &str = "coreos/fedora-coreos-tracker#1247";
    let change = move |draft: &mut Draft| {
        let archive = draft.archive();
        let image = archive.get(path);
        let half = image[..image.len() / 2].to_vec();
        archive.replace(path, half);
    };
    Case::new(CaseKind::Damaged, name, base, FULL, &[INIT], change)
}
