// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of the initramfs that differ from the tree's files, although they should be copies. Where another check
//! reports the same file, the case expects that check instead of `initramfs-projection`.

use super::broken;
use super::programs::code;
use crate::corpus::archive::{FILE, PROGRAM};
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::products::Base::{self, BookwormWhole, SidWhole, TrixieWhole};

const PROJECTION: &str = "initramfs-projection";
const BOOT: &str = "boot: a mutation of an image that boots";

fn of(name: &str, base: Base, change: fn(&mut Draft)) -> Case {
    broken(name, base, BOOT, &[PROJECTION], change)
}

/// Returns a case with a page of zeros in the middle of the library whose path contains `part`.
fn zeroed(name: &str, base: Base, part: &'static str) -> Case {
    broken(name, base, BOOT, &["initramfs-init"], move |draft| {
        let archive = draft.archive();
        let path = archive.path_with(part);
        let mut data = archive.get(&path).to_vec();
        let half = data.len() / 2;
        data[half..half + 4096].fill(0);
        archive.replace(&path, data);
    })
}

/// Returns a case in which the code of a file lost many places before dracut ran, in the tree and in the image. Each
/// place is smaller than a page, so the file itself does not show the loss.
fn lost_before(name: &str, base: Base, part: &'static str) -> Case {
    broken(name, base, BOOT, &["initramfs-sources"], move |draft| {
        let path = draft.archive().path_with(part);
        let mut data = draft.archive().get(&path).to_vec();
        let code = code(&data);
        for start in code.clone().step_by(4096) {
            data[start..code.end.min(start + 2048)].fill(0);
        }
        draft.write(&path, &data);
        draft.archive().replace(&path, data);
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        lost_before(
            "library-lost-code-before-dracut-ran",
            TrixieWhole,
            "/libmount.so.1.",
        ),
        lost_before(
            "program-lost-code-before-dracut-ran",
            TrixieWhole,
            "lib/ostree/ostree-prepare-root",
        ),
        lost_before(
            "library-lost-code-before-dracut-ran-059",
            BookwormWhole,
            "/libkmod.so.2.",
        ),
        broken(
            "rules-cut",
            TrixieWhole,
            BOOT,
            &["initramfs-init"],
            |draft| cut(draft, "usr/lib/udev/rules.d/60-persistent-storage.rules"),
        ),
        of("rules-cut-059", BookwormWhole, |draft| {
            cut(draft, "usr/lib/udev/rules.d/80-drivers.rules");
        }),
        broken("unit-cut", SidWhole, BOOT, &["initramfs-units"], |draft| {
            cut(draft, "usr/lib/systemd/system/initrd-switch-root.service")
        }),
        zeroed("page-of-zeros", TrixieWhole, "libsystemd-core-"),
        zeroed("page-of-zeros-059", BookwormWhole, "libsystemd-shared-"),
        broken(
            "libc-of-another-suite",
            TrixieWhole,
            BOOT,
            &["initramfs-init"],
            |draft| {
                let path = draft.archive().path_with("/libc.so.6");
                let other = draft.products.tree(BookwormWhole).join(&path);
                draft.archive().replace(&path, fs_err::read(other).unwrap());
            },
        ),
        of("functions-of-dracut-cut", TrixieWhole, |draft| {
            cut(draft, "usr/lib/dracut-lib.sh");
        }),
        of("hook-changed", BookwormWhole, |draft| {
            let path = draft.archive().path_with("dracut/hooks/cmdline/");
            let mut text = draft.archive().get(&path).to_vec();
            text.extend(b"exit 1\n");
            draft.archive().replace(&path, text);
        }),
    ]
}

/// Truncates a file of the image to its first half.
fn cut(draft: &mut Draft, path: &str) {
    let data = draft.archive().get(path).to_vec();
    draft.archive().replace(path, &data[..data.len() / 2]);
}

/// Returns good cases: unchanged images with whole trees, and differences that do not affect a boot.
pub fn good() -> Vec<Case> {
    let good = |name, base, special, change: fn(&mut Draft)| {
        Case::new(
            crate::corpus::case::CaseKind::Good,
            name,
            base,
            special,
            &[],
            change,
        )
    };
    vec![
        good(
            "trixie-whole",
            TrixieWhole,
            "dracut 106, in a whole tree",
            |_| {},
        ),
        good(
            "bookworm-whole",
            BookwormWhole,
            "dracut 059, in a whole tree",
            |_| {},
        ),
        good(
            "sid-whole",
            SidWhole,
            "the newest dracut, in a whole tree",
            |_| {},
        ),
        good(
            "stripped-program",
            TrixieWhole,
            "a stripped program: other section headers",
            |draft| {
                let path = draft.archive().path_with("usr/bin/udevadm");
                let mut data = draft.archive().get(&path).to_vec();
                data[40..48].fill(0);
                data[60..64].fill(0);
                draft.archive().replace(&path, data);
            },
        ),
        good(
            "unused-data-differs",
            TrixieWhole,
            "a file that no boot reads",
            |draft| {
                draft.write("usr/share/doc/note", "one\n");
                draft.archive().put("usr/share/doc/note", FILE, "another\n");
            },
        ),
        good(
            "an-addition",
            BookwormWhole,
            "a program that the tree does not have",
            |draft| {
                draft
                    .archive()
                    .put("usr/bin/site", PROGRAM, "#!/bin/sh\nexit 0\n");
            },
        ),
    ]
}
