// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.vmlinuz.hmac`, by which a system in FIPS mode checks its kernel early in the boot.

use super::{Answer, Finding, Subject};

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
        /// The second one: the file that it names.
        names: String,
        /// The digest of `vmlinuz` with the key of libkcapi and hmaccalc, of the same length;
        /// `None` where the length is that of no known digest.
        actual: Option<String>,
    },
}

pub fn hmac(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let path = format!("{}/.vmlinuz.hmac", subject.kver.dir());
    let wrong = |found: String, expected: &str, remedy: &str| {
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
            let remedy = "reinstall the kernel's packages; in FIPS mode it would not boot";
            let expected = "the HMAC of vmlinuz";
            match actual {
                None => return wrong(format!("\"{digest}\""), expected, remedy),
                Some(actual) if !actual.eq_ignore_ascii_case(digest) => {
                    return wrong(
                        format!("{digest:.16}…"),
                        &format!("{actual:.16}…, {expected}"),
                        remedy,
                    );
                }
                Some(_) => {}
            }
            if names.contains('/') || names.is_empty() {
                let expected = "the file's name alone, since ostree puts both elsewhere";
                let remedy = format!("sed -i 's, /.*/, ,' /{path}");
                return wrong(format!("the path \"{names}\""), expected, &remedy);
            }
            Ok(vec![])
        }
    }
}
