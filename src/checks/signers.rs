// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the signatures of `vmlinuz` and of modules against the certificates that the user trusts.

use super::{Answer, Finding, Severity, Subject, listed, show};
use crate::signing::VmlinuzSigner;

/// The signatures of a kernel.
#[derive(Debug, Clone, Default)]
pub struct SignerFacts {
    /// That of `vmlinuz`; `None` if no certificate was given for it.
    pub vmlinuz: Option<Result<VmlinuzSigner, String>>,
    /// Those of modules; `None` if no certificate was given for them.
    pub modules: Option<ModuleSigners>,
}

/// The signers of all modules on disk.
#[derive(Debug, Clone, Default)]
pub struct ModuleSigners {
    /// Modules that the kernel does not accept, relative to the kernel's directory, each with the reason.
    pub refused: Vec<(Vec<u8>, String)>,
    /// Modules that could not be read, likewise.
    pub unread: Vec<(Vec<u8>, String)>,
    /// The number of modules whose signer is not known because the certificates in `vmlinuz` could not be read, with
    /// the name of the first signer.
    pub unknown: Option<(usize, String)>,
    /// The reason for which the certificates in `vmlinuz` could not be read.
    pub why: Option<String>,
}

pub fn vmlinuz(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let signer = subject.tree()?.signers.vmlinuz.as_ref();
    let signer = signer.ok_or_else(|| {
        Answer::NotApplicable("no certificate was given (verify --sbcert FILE)".to_owned())
    })?;
    let found = match signer {
        Err(why) => return Err(Answer::CouldNotRun(why.clone())),
        Ok(VmlinuzSigner::Trusted) => return Ok(Vec::new()),
        Ok(VmlinuzSigner::None) => "no signature".to_owned(),
        Ok(VmlinuzSigner::Others(others)) => others.join("; "),
    };
    Ok(vec![Finding::new(
        format!("{}/vmlinuz", subject.kver.dir()),
        found,
        "a signature by a certificate of --sbcert; with Secure Boot the firmware or shim starts no other kernel",
        "sign it in the build (ostree-kernel rebuild --sign-kernel-key FILE --sign-kernel-cert FILE), or give the certificate of its signer",
    )])
}

pub fn modules(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let signers = subject.tree()?.signers.modules.as_ref();
    let signers = signers.ok_or_else(|| {
        Answer::NotApplicable("no certificate was given (verify --module-cert FILE)".to_owned())
    })?;
    let path = |module: &[u8]| format!("{}/{}", subject.kver.dir(), show(module));
    let refused = signers.refused.iter().map(|(module, why)| {
        Finding::new(
            path(module),
            why.clone(),
            "a signature by the kernel's own key or by a certificate of --module-cert",
            "sign it in the build (ostree-kernel rebuild --sign-modules-key FILE --sign-modules-cert FILE), or give the certificate of its signer",
        )
    });
    let mut findings = listed(refused.collect());
    let unread = signers.unread.iter().map(|(module, why)| {
        let expected = "a module that can be decompressed";
        Finding::new(
            path(module),
            why.clone(),
            expected,
            super::Remedy::Reinstall,
        )
        .only(Severity::Warning)
    });
    findings.extend(listed(unread.collect()));
    match (&signers.unknown, &signers.why) {
        (Some((count, signer)), Some(why)) if findings.is_empty() => {
            Err(Answer::NotApplicable(format!(
                "{count} modules are signed by {signer}, and the certificates inside vmlinuz are not known: {why}"
            )))
        }
        _ => Ok(findings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::TreeFacts;
    use crate::checks::testing::Bench;

    fn bench(change: fn(&mut TreeFacts)) -> Bench {
        Bench {
            change,
            ..Bench::good()
        }
    }

    #[test]
    fn a_kernel_of_another_signer_is_fatal() {
        const CHECK: &str = "kernel-signer";
        let answer = |change| bench(change).answer(CHECK);
        let not_asked =
            Answer::NotApplicable("no certificate was given (verify --sbcert FILE)".into());
        assert_eq!(answer(|_| ()), not_asked);
        assert_eq!(
            answer(|tree| tree.signers.vmlinuz = Some(Ok(VmlinuzSigner::Trusted))),
            Answer::Good
        );
        assert_eq!(
            answer(|tree| tree.signers.vmlinuz = Some(Err("denied".into()))),
            Answer::CouldNotRun("denied".into())
        );
        let found = |change| bench(change).findings(CHECK);
        let [none] = found(|tree| tree.signers.vmlinuz = Some(Ok(VmlinuzSigner::None)))
            .try_into()
            .unwrap();
        assert!(
            none.starts_with("fatal ") && none.contains("no signature"),
            "{none}"
        );
        let [other] = found(|tree| {
            let others = vec!["signed by Debian".to_owned()];
            tree.signers.vmlinuz = Some(Ok(VmlinuzSigner::Others(others)));
        })
        .try_into()
        .unwrap();
        assert!(other.contains("signed by Debian"), "{other}");
    }

    #[test]
    fn a_module_of_another_signer_is_fatal() {
        const CHECK: &str = "module-signers";
        let none = bench(|tree| tree.signers.modules = Some(ModuleSigners::default()));
        assert_eq!(none.answer(CHECK), Answer::Good);
        let refused = bench(|tree| {
            let all = (0..30).map(|n| {
                (
                    format!("extra/{n}.ko").into_bytes(),
                    "signed by x".to_owned(),
                )
            });
            tree.signers.modules = Some(ModuleSigners {
                refused: all.collect(),
                unread: vec![(b"a.ko.xz".to_vec(), "cut".to_owned())],
                ..ModuleSigners::default()
            });
        });
        let found = refused.findings(CHECK);
        assert_eq!(found.len(), 12, "{found:#?}");
        assert!(found[0].starts_with("fatal ") && found[11].starts_with("warning "));
        let unknown = bench(|tree| {
            tree.signers.modules = Some(ModuleSigners {
                unknown: Some((3, "Debian".to_owned())),
                why: Some("lzo".to_owned()),
                ..ModuleSigners::default()
            });
        });
        let Answer::NotApplicable(why) = unknown.answer(CHECK) else {
            panic!("it applies");
        };
        assert!(
            why.contains("3 modules are signed by Debian") && why.ends_with("lzo"),
            "{why}"
        );
    }
}
