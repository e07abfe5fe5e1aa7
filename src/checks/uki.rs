// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that no unified kernel image, other EFI program or boot loader entry is booted instead of `vmlinuz`.

use super::{Answer, BootedBy, Finding, Severity, Shadow, Subject, listed};
use crate::boot::RootSetup;

/// Returns a finding for each file that is booted instead of `vmlinuz`. The finding is fatal for a file that every
/// backend of bootc boots. For a file that only the composefs backend boots, the severity depends on the programs for
/// the setup of the root in the initramfs: fatal if it has only bootc's, a warning if it has bootc's and ostree's,
/// since either backend may be used, otherwise a note.
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
