// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks `.vmlinuz.hmac`, with which a system in FIPS mode verifies its kernel early in the boot.

use crate::boot::program;
use crate::checks::{Answer, Finding, Remedy, Severity, Subject};
use crate::initramfs::Inventory;
use crate::kernel::hmac::{is_named, name};

/// The state of `.vmlinuz.hmac`: its content, with the actual HMAC of `vmlinuz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hmac {
    /// The file does not exist.
    Missing,
    /// The file is empty.
    Empty,
    /// The file or `vmlinuz` cannot be read, with the reason.
    Unread(String),
    /// The parsed file.
    Read {
        /// The first word of the line: the HMAC in hexadecimal.
        digest: String,
        /// The rest of the line: two separators and a file name.
        names: String,
        /// The actual HMAC of `vmlinuz`. `None` if nothing in the initramfs reads `.vmlinuz.hmac` and `vmlinuz` equals
        /// its package's file: it is then not computed, since that takes long.
        actual: Option<String>,
    },
}

/// Checks `.vmlinuz.hmac`. A wrong, missing or empty file is fatal only if the initramfs reads the file ([`is_read`]).
/// Otherwise a wrong file is a warning, and the check does not apply to a missing or empty one. If a kernel was signed
/// after packaging, as in Universal Blue, the file has the HMAC of the unsigned kernel.
pub fn hmac(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let path = format!("{}/.vmlinuz.hmac", subject.kver.dir());
    let is_read = subject.unpacked().is_ok_and(is_read);
    let wrong = |found: String, expected: &str, remedy: Remedy| {
        let finding = Finding::new(&path, found, expected, remedy);
        Ok(vec![if is_read {
            finding
        } else {
            finding.only(Severity::Warning)
        }])
    };
    let none = |found: &str| {
        if !is_read {
            let why = format!("{found}, and nothing in the initramfs reads it");
            return Err(Answer::NotApplicable(why));
        }
        let expected =
            "the HMAC of vmlinuz; without it dracut's module fips stops the boot in FIPS mode";
        let remedy = Remedy::ThenRebuild(
            "use kernel packages that contain the file, or omit the module with omit_dracutmodules+=\" fips \" in /etc/dracut.conf.d",
        );
        wrong(found.to_owned(), expected, remedy)
    };
    match &subject.tree()?.hmac {
        Hmac::Missing => none("there is no .vmlinuz.hmac"),
        Hmac::Empty => none(".vmlinuz.hmac is empty"),
        Hmac::Unread(why) => Err(Answer::CouldNotRun(why.clone())),
        Hmac::Read { actual: None, .. } => {
            let why = "nothing in the initramfs reads .vmlinuz.hmac, and vmlinuz equals its package's file";
            Err(Answer::NotApplicable(why.to_owned()))
        }
        Hmac::Read {
            digest,
            names,
            actual: Some(actual),
        } => {
            let name = name(subject.kver);
            if !actual.eq_ignore_ascii_case(digest) {
                let remedy = if is_read {
                    Remedy::Text(format!(
                        "reinstall the kernel's packages; or, if vmlinuz was signed or changed on purpose, printf '{actual}  {name}\\n' >/{path}"
                    ))
                } else {
                    Remedy::Rebuild
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
                    &format!("\"  {name}\", the kernel's name in ostree's directory"),
                    remedy.into(),
                );
            }
            Ok(vec![])
        }
    }
}

/// Returns whether the initramfs compares `.vmlinuz.hmac` with the kernel: it has dracut's module `fips`, or the script
/// `fips.sh` that the module installs.
pub fn is_read(inventory: &Inventory) -> bool {
    let modules = inventory.dracut_modules().unwrap_or_default();
    modules.iter().any(|module| module == "fips") || program(inventory, b"fips.sh").is_some()
}
