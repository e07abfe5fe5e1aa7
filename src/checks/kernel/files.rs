// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that `vmlinuz` and the modules equal their packages' files, or were signed later.

use std::collections::HashSet;

use crate::checks::{Answer, Finding, Remedy, Severity, Subject, listed, show};
use crate::initramfs::Comparison;

/// The comparison of a kernel's files with their packages.
#[derive(Debug, Clone)]
pub struct KernelFiles {
    /// The comparison of `vmlinuz`.
    pub vmlinuz: VmlinuzState,
    /// Modules that differ from their package's file by more than an appended signature.
    pub modules: Vec<OtherModule>,
    /// The signer of the modules that equal their packages' files, read from one of these modules. `None` if no module
    /// differs, if at most half of the modules are equal, or if that one is not signed.
    pub signer: Option<Vec<u8>>,
    /// The reason why not all modules could be compared; `None` if all were.
    pub unread: Option<String>,
}

impl Default for KernelFiles {
    /// Returns the state before the comparison with the packages.
    fn default() -> Self {
        Self {
            vmlinuz: VmlinuzState::Unread("vmlinuz was not compared".to_owned()),
            modules: Vec::new(),
            signer: None,
            unread: None,
        }
    }
}

/// The comparison of `vmlinuz` with its package.
#[derive(Debug, Clone)]
pub enum VmlinuzState {
    /// `vmlinuz` was not compared, with the reason.
    Unread(String),
    /// `vmlinuz` equals the package's file.
    Packaged,
    /// `vmlinuz` equals the package's file except for a signature.
    Signed,
    /// `vmlinuz` differs from the package's file, or no package has a SHA-256 of it.
    Examined {
        /// The NEVRA of the package whose file differs; `None` if no package has a SHA-256 of `vmlinuz`.
        package: Option<String>,
        /// The compressed kernel inside the file.
        inner: InnerKernel,
        /// Whether the digest in the file's Secure Boot signature is that of the file's bytes; `None` without such a
        /// signature.
        has_signed_digest: Option<bool>,
    },
}

/// The compressed kernel inside `vmlinuz`.
#[derive(Debug, Clone)]
pub enum InnerKernel {
    /// It decodes completely, and its banner (`Linux version …`) contains this release string.
    Release(String),
    /// It cannot be decoded, or has no banner, with the reason.
    Damaged(String),
    /// It was not decoded, with the reason.
    Unknown(String),
}

/// A module that differs from its package's file.
#[derive(Debug, Clone)]
pub struct OtherModule {
    /// Its path, relative to the kernel's directory.
    pub path: Vec<u8>,
    /// The module's state, or the reason why the file is not a module.
    pub state: Result<ModuleState, String>,
}

/// The state of a module that differs from its package's file.
#[derive(Debug, Clone)]
pub struct ModuleState {
    /// Whether it has a signature.
    pub is_signed: bool,
    /// The identity of its signer; `None` if it has no signature, or one that cannot be parsed.
    pub signer: Option<Vec<u8>>,
    /// The release string of its vermagic; `None` if it has no vermagic.
    pub kver: Option<Vec<u8>>,
}

/// Checks the files of the kernel. Findings are fatal for a kernel that is damaged or has another release, and for a
/// module that cannot be loaded and that the initramfs contains with the same bytes. Other changes of a file do not
/// prevent a boot.
pub fn kernel_files(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let files = &tree.kernel_files;
    let mut findings = modules(subject, files);
    // If the header of `vmlinuz` is damaged or has another release, the check `kernel-release` reports that, and
    // `vmlinuz` is skipped here.
    let is_this = tree
        .release
        .as_ref()
        .is_ok_and(|it| it.kver == subject.kver.as_str());
    if is_this {
        findings.extend(vmlinuz(subject, &files.vmlinuz));
    }
    match (&files.unread, &files.vmlinuz) {
        (Some(why), _) if findings.is_empty() => Err(Answer::CouldNotRun(why.clone())),
        (
            _,
            VmlinuzState::Examined {
                package: None,
                inner: InnerKernel::Unknown(why),
                ..
            }
            | VmlinuzState::Unread(why),
        ) if findings.is_empty() => Err(Answer::NotApplicable(why.clone())),
        _ => Ok(findings),
    }
}

fn vmlinuz(subject: &Subject, vmlinuz: &VmlinuzState) -> Option<Finding> {
    let path = format!("{}/vmlinuz", subject.kver.dir());
    let VmlinuzState::Examined {
        package,
        inner,
        has_signed_digest,
    } = vmlinuz
    else {
        return None;
    };
    match inner {
        InnerKernel::Damaged(why) => {
            let found = format!("a damaged kernel: {why}");
            let expected = "compressed data that can be decoded at boot";
            Some(Finding::new(path, found, expected, Remedy::Reinstall))
        }
        InnerKernel::Release(kver) if kver != subject.kver.as_str() => {
            let found = format!("a compressed kernel of another release, {kver}");
            let expected = format!("{}, as in its header", subject.kver);
            Some(Finding::new(path, found, expected, Remedy::Reinstall))
        }
        _ if *has_signed_digest == Some(false) => {
            let found = "a damaged kernel: its digest differs from that in its signature";
            let expected = "the bytes that were signed";
            Some(Finding::new(path, found, expected, Remedy::Reinstall))
        }
        InnerKernel::Release(_) | InnerKernel::Unknown(_) => {
            let found = format!("content that differs from {}", package.as_ref()?);
            let finding = Finding::new(path, found, "the package's file", Remedy::Reinstall);
            let is_signed = subject.tree?.signed == Ok(true);
            Some(if is_signed {
                Finding {
                    found: format!(
                        "{}, with a signature: it was signed after packaging",
                        finding.found
                    ),
                    remedy: "nothing, if it was signed on purpose".into(),
                    ..finding
                }
                .only(Severity::Note)
            } else {
                Finding {
                    found: format!("{}, and no signature", finding.found),
                    remedy:
                        "reinstall the kernel's packages, unless vmlinuz was changed on purpose"
                            .into(),
                    ..finding
                }
                .only(Severity::Warning)
            })
        }
    }
}

fn modules(subject: &Subject, files: &KernelFiles) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut signed = Vec::new();
    if files.modules.is_empty() {
        return findings;
    }
    let inside = same_inside(subject);
    for module in &files.modules {
        let path = format!("{}/{}", subject.kver.dir(), show(&module.path));
        let (found, expected) = match &module.state {
            Err(why) => (
                format!("a damaged module that differs from its package: {why}"),
                "a module that can be loaded",
            ),
            Ok(state) if state.kver.as_deref() != Some(subject.kver.as_str().as_bytes()) => {
                let kver = state.kver.as_deref().map_or("no kernel".into(), show);
                (
                    format!("a module for {kver} that differs from its package"),
                    "a module for this kernel",
                )
            }
            // Compressing a module again changes its file, but not the signed bytes.
            Ok(state) if is_same_signer(state, files) && !module.path.ends_with(b".ko") => {
                let found = "content that differs from its package, with the signer of the unchanged modules: it was compressed again, or it changed after signing";
                let remedy =
                    "reinstall the kernel's packages, unless the module was compressed again on purpose";
                let finding = Finding::new(path, found, "the package's file", remedy);
                findings.push(finding.only(Severity::Warning));
                continue;
            }
            Ok(state) if is_same_signer(state, files) => (
                "content that differs from its package, with the signer of the unchanged modules: it changed after signing".to_owned(),
                "the bytes that were signed; the kernel does not load a module whose signature is wrong",
            ),
            Ok(state) if state.is_signed => {
                signed.push(path);
                continue;
            }
            Ok(_) => {
                let found = "content that differs from its package, and no signature";
                let remedy =
                    "reinstall the kernel's packages, unless the module was changed on purpose";
                let finding = Finding::new(path, found, "the package's file", remedy);
                findings.push(finding.only(Severity::Warning));
                continue;
            }
        };
        let of = subject.tree.map(|tree| tree.of_package(&path));
        let found = found + &of.unwrap_or_default();
        let finding = Finding::new(path, found, expected, Remedy::Reinstall);
        let on_disk = [subject.kver.as_str().as_bytes(), b"/", &module.path].concat();
        // The finding is fatal only for a module that the initramfs contains, since the boot may need it.
        findings.push(if inside.contains(on_disk.as_slice()) {
            finding
        } else {
            finding.only(Severity::Warning)
        });
    }
    let mut findings = listed(findings);
    if let Some(first) = signed.first() {
        let found = match signed.len() {
            1 => "content that differs from its package, with a signature".to_owned(),
            count => {
                format!("{count} signed modules like this one, which differ from their packages")
            }
        };
        let remedy = "nothing, if the modules were signed or compressed again on purpose";
        let finding = Finding::new(first, found, "the package's file", remedy);
        findings.push(finding.only(Severity::Note));
    }
    findings
}

/// Returns whether a module has the same signer as the modules that equal their packages' files. A module that was
/// signed again on purpose has another signer.
fn is_same_signer(state: &ModuleState, files: &KernelFiles) -> bool {
    state.signer.is_some() && state.signer == files.signer
}

/// Returns the modules on disk, relative to `usr/lib/modules`, that the initramfs has with the same bytes. The check
/// `initramfs-modules` reports modules with other bytes.
fn same_inside<'s>(subject: &'s Subject) -> HashSet<&'s [u8]> {
    let (Ok(inventory), Ok(facts)) = (subject.unpacked(), subject.facts()) else {
        return HashSet::new();
    };
    let nodes = inventory.kernel_modules().into_iter();
    let nodes = nodes.filter_map(|path| inventory.resolve(path).ok());
    let compared = nodes.filter_map(|(_, node)| facts.module(inventory, node));
    compared
        .filter(|(_, comparison)| **comparison == Comparison::Same)
        .map(|(path, _)| path)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::TreeFacts;
    use crate::checks::testing::{Bench, K};

    const CHECK: &str = "kernel-files";
    const PACKAGE: &str = "kernel-core-6.9.4-200.fc40.x86_64";

    fn differs(inner: InnerKernel) -> VmlinuzState {
        VmlinuzState::Examined {
            package: Some(PACKAGE.to_owned()),
            inner,
            has_signed_digest: None,
        }
    }

    fn no_digest(inner: InnerKernel) -> VmlinuzState {
        VmlinuzState::Examined {
            package: None,
            inner,
            has_signed_digest: None,
        }
    }

    #[test]
    fn a_kernel_of_its_package_is_good() {
        let good: [fn(&mut TreeFacts); 4] = [
            |_| (),
            |tree| tree.kernel_files.vmlinuz = VmlinuzState::Signed,
            |tree| {
                tree.kernel_files.vmlinuz = no_digest(InnerKernel::Release(K.into()));
            },
            // A kernel with another release is reported by the check `kernel-release` only.
            |tree| {
                tree.kernel_files.vmlinuz = differs(InnerKernel::Damaged("x".into()));
                tree.release.as_mut().unwrap().kver = "5.14".into();
            },
        ];
        for change in good {
            assert_eq!(Bench::changed(change).findings(CHECK), [""; 0]);
        }
        let unknown = Bench::changed(|tree| {
            tree.kernel_files.vmlinuz = no_digest(InnerKernel::Unknown("lzo".into()));
        });
        assert_eq!(unknown.answer(CHECK), Answer::NotApplicable("lzo".into()));
        let unread = Bench::changed(|tree| tree.kernel_files.unread = Some("denied".into()));
        assert_eq!(unread.answer(CHECK), Answer::CouldNotRun("denied".into()));
    }

    #[test]
    fn another_kernel_or_a_damaged_one_is_fatal() {
        type Case = (fn(&mut TreeFacts), &'static str);
        let table: [Case; 8] = [
            (
                |tree| tree.kernel_files.vmlinuz = differs(InnerKernel::Damaged("CRC".into())),
                "fatal usr/lib/modules/6.9.4-200.fc40.x86_64/vmlinuz: a damaged kernel: CRC",
            ),
            (
                |tree| tree.kernel_files.vmlinuz = no_digest(InnerKernel::Damaged("CRC".into())),
                "fatal ",
            ),
            (
                |tree| tree.kernel_files.vmlinuz = no_digest(InnerKernel::Release("5.14".into())),
                "fatal usr/lib/modules/6.9.4-200.fc40.x86_64/vmlinuz: a compressed kernel of another release, 5.14",
            ),
            (
                |tree| tree.kernel_files.vmlinuz = differs(InnerKernel::Release("5.14".into())),
                "fatal ",
            ),
            (
                |tree| tree.kernel_files.vmlinuz = differs(InnerKernel::Release(K.into())),
                "note usr/lib/modules/6.9.4-200.fc40.x86_64/vmlinuz: content that differs from kernel-core-6.9.4-200.fc40.x86_64, with a signature",
            ),
            (
                |tree| {
                    tree.kernel_files.vmlinuz = differs(InnerKernel::Unknown("lzo".into()));
                    tree.signed = Ok(false);
                },
                "warning ",
            ),
            (
                |tree| {
                    tree.kernel_files.vmlinuz = VmlinuzState::Examined {
                        package: Some(PACKAGE.to_owned()),
                        inner: InnerKernel::Release(K.into()),
                        has_signed_digest: Some(false),
                    };
                },
                "fatal usr/lib/modules/6.9.4-200.fc40.x86_64/vmlinuz: a damaged kernel: its digest",
            ),
            (
                |tree| {
                    tree.kernel_files.vmlinuz = VmlinuzState::Examined {
                        package: None,
                        inner: InnerKernel::Unknown("lzo".into()),
                        has_signed_digest: Some(false),
                    };
                },
                "fatal ",
            ),
        ];
        for (change, expected) in table {
            let found = Bench::changed(change).findings(CHECK);
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn a_module_that_cannot_be_loaded_is_fatal_inside() {
        let module = |path: &str, state| OtherModule {
            path: path.as_bytes().to_vec(),
            state,
        };
        let of = |kver: &str, is_signed: bool| {
            let kver = Some(kver.as_bytes().to_vec());
            let signer = is_signed.then(|| b"someone".to_vec());
            Ok(ModuleState {
                is_signed,
                signer,
                kver,
            })
        };
        let inside = "kernel/fs/ext4/ext4.ko";
        let outside = "kernel/crypto/gcm.ko";
        let unsigned = None;
        let vendor = Some(b"someone".to_vec());
        let others = Some(b"someone else".to_vec());
        for (path, state, signer, expected) in [
            (inside, Err("cut".to_owned()), &unsigned, "fatal "),
            (outside, Err("cut".to_owned()), &unsigned, "warning "),
            (inside, of("5.14", true), &others, "fatal "),
            (inside, of(K, false), &vendor, "warning "),
            // The module was signed again on purpose, or all modules were compressed again.
            (inside, of(K, true), &others, "note "),
            (inside, of(K, true), &unsigned, "note "),
            // The module has the signer of the unchanged modules.
            (inside, of(K, true), &vendor, "fatal "),
            (outside, of(K, true), &vendor, "warning "),
            // The module may have been compressed again.
            (
                "kernel/fs/ext4/ext4.ko.xz",
                of(K, true),
                &vendor,
                "warning ",
            ),
        ] {
            let bench = Bench::good();
            let files = KernelFiles {
                modules: vec![module(path, state); 12],
                vmlinuz: VmlinuzState::Packaged,
                signer: signer.clone(),
                unread: None,
            };
            let found = bench.findings_with(CHECK, |tree| tree.kernel_files = files.clone());
            assert!(
                found[0].starts_with(expected) && found.len() <= 11,
                "{expected}: {found:#?}"
            );
        }
    }
}
