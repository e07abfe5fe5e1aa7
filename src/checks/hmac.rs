// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.vmlinuz.hmac`, by which a system in FIPS mode checks its kernel early in the boot.

use super::{Answer, Finding, Remedy, Subject};
use crate::kernel::hmac::{is_named, name};

/// What the file says, and what it should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hmac {
    /// There is none.
    Missing,
    /// It has no bytes.
    Empty,
    /// It cannot be read; why.
    Unread(String),
    /// It can.
    Read {
        /// The first word.
        digest: String,
        /// What follows it: two separators, and the file that it names.
        names: String,
        /// The digest of `vmlinuz`.
        actual: String,
    },
}

pub fn hmac(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let path = format!("{}/.vmlinuz.hmac", subject.kver.dir());
    let wrong = |found: String, expected: &str, remedy: Remedy| {
        Ok(vec![Finding::new(&path, found, expected, remedy)])
    };
    match &subject.tree()?.hmac {
        Hmac::Missing => Err(Answer::NotApplicable("there is no .vmlinuz.hmac".into())),
        Hmac::Empty => Err(Answer::NotApplicable(".vmlinuz.hmac is empty".into())),
        Hmac::Unread(why) => Err(Answer::CouldNotLook(why.clone())),
        Hmac::Read {
            digest,
            names,
            actual,
        } => {
            if !actual.eq_ignore_ascii_case(digest) {
                return wrong(
                    format!("{digest:.16}…"),
                    &format!("{actual:.16}…, the HMAC of vmlinuz; in FIPS mode it would not boot"),
                    Remedy::Reinstall,
                );
            }
            if !is_named(names, subject.kver) {
                let name = name(subject.kver);
                let remedy = format!("sed -i 's,[ *].*,  {name},' /{path}");
                return wrong(
                    format!("\"{names}\" after the digest"),
                    &format!("\"  {name}\", as ostree calls it beside this file"),
                    remedy.into(),
                );
            }
            Ok(vec![])
        }
    }
}
