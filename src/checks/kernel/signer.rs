// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the signature of `vmlinuz` with the certificates that the user trusts (`--sbcert`).

use crate::checks::{Answer, Finding, ModuleSigners, Subject};
use crate::signing::VmlinuzSigner;

/// The signers of a kernel and its modules.
#[derive(Debug, Clone, Default)]
pub struct SignerFacts {
    /// The signer of `vmlinuz`, or the reason why the signer is not known; `None` if no certificate was given for
    /// `vmlinuz`.
    pub vmlinuz: Option<Result<VmlinuzSigner, String>>,
    /// The results of verifying the modules; `None` if no certificate was given for modules.
    pub modules: Option<ModuleSigners>,
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
        Ok(VmlinuzSigner::Others(others)) => {
            // A change of the kernel breaks all its signatures in the same way, so equal reasons in a row are given
            // once.
            let mut others = others.clone();
            others.dedup();
            others.join("; ")
        }
    };
    Ok(vec![Finding::new(
        format!("{}/vmlinuz", subject.kver.dir()),
        found,
        "a signature by a certificate of --sbcert; with Secure Boot the firmware or shim starts no other kernel",
        "sign it in the build (ostree-kernel rebuild --sign-kernel-key FILE --sign-kernel-cert FILE), or give the certificate of its signer",
    )])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    #[test]
    fn a_kernel_of_another_signer_is_fatal() {
        const CHECK: &str = "kernel-signer";
        let answer = |change| Bench::changed(change).answer(CHECK);
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
        let found = |change| Bench::changed(change).findings(CHECK);
        let [none] = found(|tree| tree.signers.vmlinuz = Some(Ok(VmlinuzSigner::None)))
            .try_into()
            .unwrap();
        assert!(
            none.starts_with("fatal ") && none.contains("no signature"),
            "{none}"
        );
        let [other] = found(|tree| {
            let others = ["damaged", "damaged", "signed by Debian"].map(str::to_owned);
            tree.signers.vmlinuz = Some(Ok(VmlinuzSigner::Others(others.to_vec())));
        })
        .try_into()
        .unwrap();
        assert!(other.contains(": damaged; signed by Debian; "), "{other}");
    }
}
