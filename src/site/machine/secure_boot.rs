// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the state of Secure Boot, the trusted certificates, and the signer of a deployment's kernel.

use anyhow::Result;

use super::super::deployments::System;
use super::super::{kernels, vmlinuz};
use crate::kernel::MODULES;
use crate::node::certificates::{self, Entries};
use crate::node::deployment::{Deployment, Name};
use crate::node::machine::SecureBoot;
use crate::signing::Certificate;
use crate::sys::root::Root;

/// The directory of the EFI firmware's files, relative to the root; it does not exist after a boot without EFI.
const FIRMWARE: &str = "sys/firmware/efi";

/// The EFI variable that is 1 if the firmware verifies the programs that it starts.
const STATE: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The EFI variables with trusted certificates: the firmware's `db`, and shim's list, which has the certificates of the
/// machine's owner and of shim's vendor.
const LISTS: [&str; 2] = [
    "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f",
    "MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23",
];

/// Reads the state of Secure Boot and, if it is on, the signer of the deployment's kernel.
pub(super) fn read(system: &System, deployment: &Deployment) -> Result<SecureBoot> {
    let root = &system.root;
    if !root.is_dir(FIRMWARE)? {
        let is_on = root.is_dir("sys/firmware")?.then_some(false);
        return Ok(SecureBoot {
            is_on,
            ..SecureBoot::default()
        });
    }
    let is_on = variable(root, STATE).and_then(|file| file.get(4).map(|byte| *byte == 1));
    if is_on != Some(true) {
        return Ok(SecureBoot {
            is_on,
            ..SecureBoot::default()
        });
    }
    let mut entries = Entries::default();
    let mut is_read = false;
    for list in LISTS {
        if let Some(file) = variable(root, list) {
            entries.add(&file);
            is_read = true;
        }
    }
    let lists = entries.certificates.iter();
    // The firmware ignores certificates that it cannot parse.
    let lists = lists.filter_map(|der| Certificate::read_all(der).ok());
    let mut trusted: Vec<_> = lists.flatten().collect();
    if let Some(booted) = system.booted()
        && let Some((root, path)) = kernel(system, &booted.name)?
    {
        trusted.extend(vmlinuz::certificates(&root, &path));
    }
    // The error is dropped: the check of the signature reports a kernel that cannot be read.
    let signer = match kernel(system, &deployment.name)? {
        Some((root, path)) if is_read => vmlinuz::signer(&root, &path, &trusted).ok(),
        _ => None,
    };
    Ok(SecureBoot {
        is_on,
        signer,
        has_digests: entries.has_others,
    })
}

/// Reads an EFI variable: four bytes of attributes, then the value. `None` if the variable cannot be read.
fn variable(root: &Root, name: &str) -> Option<Vec<u8>> {
    let path = format!("{FIRMWARE}/efivars/{name}");
    root.read(path, certificates::SIZE_MAX).ok().flatten()
}

/// Returns the root of a deployment and the path of its first `vmlinuz`; `None` if the deployment has none.
fn kernel(system: &System, name: &Name) -> Result<Option<(Root, String)>> {
    let root = system.open(name)?;
    let mut dirs = kernels::module_dirs(&root)?.into_iter();
    let kernel = dirs.find(|dir| dir.has_vmlinuz);
    Ok(kernel.map(|dir| (root, format!("{MODULES}/{}/vmlinuz", dir.name))))
}
