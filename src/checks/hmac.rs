// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.vmlinuz.hmac`, by which a system in FIPS mode checks its kernel early in the boot.

use super::{Answer, Finding, Remedy, Severity, Subject};
use crate::boot::program;
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

/// Fatal only where dracut's `fips` is inside: nothing else reads the file. Kernels that were signed
/// after they were packaged have the HMAC of the unsigned one (all of Universal Blue's).
pub fn hmac(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let path = format!("{}/.vmlinuz.hmac", subject.kver.dir());
    let is_read = is_read(subject);
    let wrong = |found: String, expected: &str, remedy: Remedy| {
        let finding = Finding::new(&path, found, expected, remedy);
        Ok(vec![match is_read {
            true => finding,
            false => finding.only(Severity::Warning),
        }])
    };
    let none = |found: &str| {
        if !is_read {
            let why = format!("{found}, and nothing inside reads it");
            return Err(Answer::NotApplicable(why));
        }
        let expected =
            "the HMAC of vmlinuz, without which dracut's module fips ends the boot in FIPS mode";
        let remedy = Remedy::ThenRebuild(
            "use packages of the kernel that have the file, or leave the module out with omit_dracutmodules+=\" fips \" in /etc/dracut.conf.d",
        );
        wrong(found.to_owned(), expected, remedy)
    };
    match &subject.tree()?.hmac {
        Hmac::Missing => none("there is no .vmlinuz.hmac"),
        Hmac::Empty => none(".vmlinuz.hmac is empty"),
        Hmac::Unread(why) => Err(Answer::CouldNotLook(why.clone())),
        Hmac::Read {
            digest,
            names,
            actual,
        } => {
            let name = name(subject.kver);
            if !actual.eq_ignore_ascii_case(digest) {
                let remedy = match is_read {
                    true => Remedy::Text(format!(
                        "reinstall the kernel's packages; or, if vmlinuz was signed or changed on purpose, printf '{actual}  {name}\\n' >/{path}"
                    )),
                    false => Remedy::Rebuild,
                };
                return wrong(
                    format!("{digest:.16}…"),
                    &format!("{actual:.16}…, the HMAC of vmlinuz"),
                    remedy,
                );
            }
            if !is_named(names, subject.kver) {
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

/// Whether the initramfs has what compares the file with the kernel: dracut's module `fips`, or the
/// script that it installs.
fn is_read(subject: &Subject) -> bool {
    let Ok(inventory) = subject.unpacked() else {
        return false;
    };
    let modules = inventory.dracut_modules().unwrap_or_default();
    modules.iter().any(|module| module == "fips") || program(inventory, b"fips.sh").is_some()
}
