// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the kernel and the initramfs fit into the space that the user declares for the machines: on `/boot`, on
//! the EFI system partition and in GRUB's memory. Without a declaration nothing is checked, because no limit fits all
//! machines.

use super::leaner::{leaner, mib};
use super::wanted::reserve;
use super::{Answer, Finding, Severity, Subject};

/// The name of the check that uses [`Budget`](super::Budget).
pub const SPACE_CHECK: &str = "boot-space";

pub(super) fn space(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let budget = &subject.wanted.budget;
    if budget.is_empty() {
        return Ok(Vec::new());
    }
    let Some(file) = tree.initramfs.as_ref().filter(|file| file.is_file) else {
        return Err(Answer::NotApplicable("there is no initramfs".into()));
    };
    let one = file.size.saturating_add(tree.beside_initramfs);
    let all = one.saturating_mul(budget.deployments);
    let mut findings = Vec::new();
    for (size, place, option) in [
        (budget.boot, "/boot", "--boot-size"),
        (budget.esp, "the EFI system partition", "--esp-size"),
    ] {
        let Some(size) = size else { continue };
        let reserve = reserve(size);
        if all.saturating_add(reserve) > size {
            let found = format!(
                "{} with vmlinuz and device trees, {} deployments of it and {} for the boot loader and the file system: {}",
                mib(one),
                budget.deployments,
                mib(reserve),
                mib(all.saturating_add(reserve))
            );
            let expected = format!("at most the {} of {place} ({option})", mib(size));
            findings.push(Finding::new(
                &file.path,
                found,
                expected,
                leaner(subject, file.size),
            ));
        }
    }
    if let Some(most) = budget.grub.filter(|most| file.size > *most) {
        let expected = format!(
            "at most {} (--grub-memory): GRUB loads the initramfs into one block of memory, and on many machines fails with \"out of memory\" if it is larger (ublue-os/bluefin#4764: 233 MiB boots, 329 MiB does not)",
            mib(most)
        );
        let finding = Finding::new(
            &file.path,
            mib(file.size),
            expected,
            leaner(subject, file.size),
        );
        findings.push(finding.only(Severity::Warning));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::Bench;
    use crate::checks::{Budget, SPACE_CHECK as CHECK};

    fn bench(budget: Budget) -> Bench {
        let mut bench = Bench::good();
        bench.wanted.budget = Budget {
            deployments: 2,
            ..budget
        };
        bench
    }

    fn found(budget: Budget, initramfs: u64, beside: u64) -> Vec<String> {
        bench(budget).findings_with(CHECK, |tree| {
            if let Some(file) = &mut tree.initramfs {
                file.size = initramfs;
            }
            tree.beside_initramfs = beside;
        })
    }

    #[test]
    fn boot_holds_the_declared_number_of_deployments() {
        // `/boot` of Fedora CoreOS 43 has this size, which is the subject of coreos/fedora-coreos-tracker#1247.
        let boot = Budget {
            boot: Some(384 << 20),
            ..Budget::default()
        };
        assert_eq!(found(boot, 121 << 20, 17 << 20), [""; 0]);
        let text = &found(boot, 180 << 20, 17 << 20)[0];
        assert!(text.starts_with("fatal usr/lib/modules/"), "{text}");
        assert!(
            text.contains("the 384.0 MiB of /boot (--boot-size)"),
            "{text}"
        );
        let esp = Budget {
            esp: Some(200 << 20),
            ..Budget::default()
        };
        assert_eq!(found(esp, 121 << 20, 17 << 20).len(), 1);
        assert_eq!(found(Budget::default(), 900 << 20, 17 << 20), [""; 0]);
    }

    #[test]
    fn grub_memory_of_the_public_threads() {
        // ublue-os/bluefin#4764 is about a `/boot` of this size.
        let budget = Budget {
            boot: Some(959_000_000),
            grub: Some(240 << 20),
            ..Budget::default()
        };
        for (thread, initramfs, fails) in [
            (
                "ublue-os/bluefin#4764, the image before",
                244_000_000,
                false,
            ),
            ("ublue-os/bluefin#4764", 345_000_000, true),
            ("ublue-os/bluefin#4768, its repair", 179_000_000, false),
            ("omacom/omarchy-iso#128", 253_093_305, true),
        ] {
            let text = found(budget, initramfs, 18_000_000);
            let warns = matches!(&text[..], [one] if one.starts_with("warning "));
            assert_eq!(warns, fails, "{thread}: {text:?}");
            assert!(warns || text.is_empty(), "{thread}: {text:?}");
        }
    }

    /// These issues do not name the size at which GRUB fails with "out of memory". That size depends on the machine
    /// (its display, TPM and firmware), so the user declares it.
    #[test]
    fn bluefin_3354_projectbluefin_1244_bazzite_2233_a_limit_of_the_machine() {
        let of = |grub| Budget {
            grub,
            ..Budget::default()
        };
        let size = 200 << 20;
        assert_eq!(found(of(None), size, 18 << 20), [""; 0]);
        assert_eq!(found(of(Some(240 << 20)), size, 18 << 20), [""; 0]);
        let text = found(of(Some(160 << 20)), size, 18 << 20);
        assert!(
            text.len() == 1 && text[0].contains("at most 160.0 MiB (--grub-memory)"),
            "{text:?}"
        );
    }
}
