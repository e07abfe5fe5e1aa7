// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that `vmlinuz` has a Secure Boot signature if the base's `vmlinuz` had one.

use crate::checks::{Answer, Finding, Subject};

pub fn signature(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let Some(was_signed) = subject.base()?.signed else {
        return Err(Answer::NotApplicable(
            "the base's vmlinuz is not known".into(),
        ));
    };
    match &tree.signed {
        Err(why) => Err(Answer::CouldNotRun(why.clone())),
        Ok(false) if was_signed => Ok(vec![Finding::new(
            format!("{}/vmlinuz", subject.kver.dir()),
            "no Secure Boot signature",
            "one, as the base's kernel has",
            "use the vendor's signed packages, or sign it with a key that the machines trust",
        )]),
        Ok(_) => Ok(vec![]),
    }
}
