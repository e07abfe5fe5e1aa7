// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens a `vmlinuz`, verifies its signatures, and extracts the certificates of its signers.

use std::fs::File;

use crate::kernel::vmlinuz::Authenticode;
use crate::plan::AS_ROOT;
use crate::signing::{Certificate, Signature, Signer, VmlinuzSigner};
use crate::sys::root::{self, Root};

/// Upper bound of vmlinuz (bytes).
pub const VMLINUZ_MAX: u64 = 512 * 1024 * 1024;

/// Upper bound of the signatures of one kernel that are verified; real kernels have at most two.
const SIGNATURES_MAX: usize = 8;

/// Opens the kernel at this path, relative to the root.
///
/// # Errors
/// The reason why the kernel cannot be read: it is missing, unreadable, or larger than [`VMLINUZ_MAX`].
pub fn open(root: &Root, path: &str) -> Result<File, String> {
    let file = match root.open_file(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err("there is no vmlinuz".to_owned()),
        Err(error) => return Err(why(&error)),
    };
    match file.metadata() {
        Ok(meta) if meta.len() <= VMLINUZ_MAX => Ok(file),
        Ok(meta) => Err(format!(
            "it has {} bytes, at most {VMLINUZ_MAX} are read",
            meta.len()
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Verifies the signatures of the kernel at `path`, relative to the root. One valid signature by a trusted certificate
/// suffices.
///
/// # Errors
/// The reason why the kernel cannot be read.
pub fn signer(root: &Root, path: &str, trusted: &[Certificate]) -> Result<VmlinuzSigner, String> {
    let mut file = open(root, path)?;
    let read = Authenticode::from_image(&mut file).map_err(|error| error.to_string())?;
    let Some(signed) = read else {
        return Ok(VmlinuzSigner::None);
    };
    let mut others = Vec::new();
    for signature in signed.signatures().take(SIGNATURES_MAX) {
        let signature = match Signature::parse(signature) {
            Ok(signature) => signature,
            Err(error) => {
                others.push(error.to_string());
                continue;
            }
        };
        match signature.of_image(&signed.sha256, trusted) {
            Signer::Known(_) => return Ok(VmlinuzSigner::Trusted),
            Signer::Unknown(name) => others.push(format!("signed by {name}")),
            Signer::Wrong(why) => others.push(format!("an invalid signature: {why}")),
        }
    }
    Ok(if others.is_empty() {
        VmlinuzSigner::None
    } else {
        VmlinuzSigner::Others(others)
    })
}

/// Returns the certificates of the signers of the kernel at `path`, taken from its signatures; empty if the kernel has
/// no signature or cannot be read.
pub fn certificates(root: &Root, path: &str) -> Vec<Certificate> {
    let read = open(root, path).ok();
    let read = read.and_then(|mut file| Authenticode::from_image(&mut file).ok().flatten());
    let signatures = read.iter().flat_map(Authenticode::signatures);
    let signatures = signatures.take(SIGNATURES_MAX).map(Signature::parse);
    let signers = signatures.flatten().flat_map(|signature| {
        let signers = signature.signers().cloned();
        signers.collect::<Vec<_>>()
    });
    signers.collect()
}

/// Returns the message of an error in reading a file, with a remedy if permission is missing.
pub fn why(error: &root::Error) -> String {
    if error.is_denied() {
        format!("{error}. {AS_ROOT}")
    } else {
        error.to_string()
    }
}
