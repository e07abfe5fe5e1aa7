// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the firmware or shim of this machine accepts the kernel's signature, if Secure Boot is on.

use super::super::{Answer, Finding, Severity, Subject};
use crate::signing::VmlinuzSigner;

pub fn secure_boot(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let facts = &subject.machine()?.secure_boot;
    let tree = subject.tree()?;
    match facts.is_on {
        Some(true) => {}
        Some(false) => return Err(Answer::NotApplicable("Secure Boot is off".into())),
        None => {
            let why = "the state of Secure Boot is not known";
            return Err(Answer::NotApplicable(why.into()));
        }
    }
    let is_signed = match &tree.signed {
        Ok(is_signed) => *is_signed,
        Err(why) => return Err(Answer::CouldNotRun(why.clone())),
    };
    let path = format!("{}/vmlinuz", subject.kver.dir());
    // If the booted kernel is not signed either, the finding is only a warning: the firmware accepts the booted kernel
    // in another way, by a digest in db or as a part of a signed image.
    let was_signed = subject.base.and_then(|base| base.signed);
    if !is_signed {
        let finding = Finding::new(
            path,
            "no Secure Boot signature",
            "one that this machine's firmware or shim trusts, since Secure Boot is on",
            "use the vendor's signed packages, or sign the kernel with a key that is enrolled on this machine (mokutil --import)",
        );
        return Ok(match was_signed {
            Some(false) => vec![finding.only(Severity::Warning)],
            _ => vec![finding],
        });
    }
    let Some(VmlinuzSigner::Others(others)) = &facts.signer else {
        return Ok(Vec::new());
    };
    let finding = Finding::new(
        path,
        others.join("; "),
        "signed by a certificate in the firmware's db or shim's list (MokListRT), or by the one that signed the booted kernel",
        "use a kernel of the same vendor, or enroll the certificate on this machine (mokutil --import)",
    );
    Ok(if facts.has_digests {
        vec![finding.only(Severity::Warning)]
    } else {
        vec![finding]
    })
}
