// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that no unified kernel image is booted instead of the kernel.

use super::{Answer, BootedBy, Finding, Severity, Shadow, Subject, listed};
use crate::boot::RootSetup;

/// Checks that no other file is booted instead of the kernel. A file that the image's own backend boots is fatal.
/// composefs-rs boots more kinds of files than other backends. It is the backend if bootc sets up the root, and may be
/// the backend if the initramfs has the programs of both bootc and ostree.
pub fn shadow(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.unpacked().ok();
    let is_only_bootc = inventory.and_then(RootSetup::of) == Some(RootSetup::Bootc);
    let may_be_bootc =
        inventory.is_some_and(|it| it.resolve(RootSetup::Bootc.program().as_bytes()).is_ok());
    let finding = |shadow: &Shadow| {
        let found = if shadow.path.ends_with(".efi") {
            "a unified kernel image or another EFI program"
        } else {
            "a boot loader entry (Type 1)"
        };
        let finding = |expected: &str| {
            let remedy = "remove it, or rebuild it from this kernel and initramfs";
            Finding::new(&shadow.path, found, expected, remedy)
        };
        match shadow.boots {
            BootedBy::All => finding("none: it is booted instead of vmlinuz and initramfs.img"),
            BootedBy::ComposefsRs => {
                let expected =
                    "none: bootc's composefs backend boots it instead of vmlinuz and initramfs.img";
                match (is_only_bootc, may_be_bootc) {
                    (true, _) => finding(expected),
                    (false, true) => finding(expected).only(Severity::Warning),
                    (false, false) => finding(expected).only(Severity::Note),
                }
            }
        }
    };
    Ok(listed(
        subject.tree()?.shadows.iter().map(finding).collect(),
    ))
}
