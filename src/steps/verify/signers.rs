// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verifies the signatures of `vmlinuz` and of the modules with the user's certificates.

use std::ffi::OsStr;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checks::{ModuleSigners, SignerFacts};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{signed_parts, unpack};
use crate::kernel::vmlinuz::{release_from, search_inner};
use crate::signing::{Certificate, Signature, Signer, find_all};
use crate::site;
use crate::sys::root::Root;

/// The certificates that the user trusts.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// For `vmlinuz`.
    pub kernel: Vec<Certificate>,
    /// For modules, in addition to the certificates in `vmlinuz`.
    pub modules: Vec<Certificate>,
}

/// The size of the parts in which the kernel is searched for certificates (bytes).
const PART: usize = 4 << 20;

/// The maximum size, in bytes, of a DER certificate whose length is encoded in two bytes.
const CERTIFICATE_MAX: usize = 4 + 0xffff;

/// Reads the facts for the checks `kernel-signer` and `module-signers`.
pub(super) fn look(
    root: &Root,
    kver: &Kver,
    modules: &[Vec<u8>],
    trusted: &Trusted,
) -> SignerFacts {
    let asked = |certificates: &[Certificate]| !certificates.is_empty();
    SignerFacts {
        vmlinuz: asked(&trusted.kernel).then(|| {
            let path = format!("{}/vmlinuz", kver.dir());
            site::vmlinuz::signer(root, &path, &trusted.kernel)
        }),
        modules: asked(&trusted.modules).then(|| all(root, kver, modules, &trusted.modules)),
    }
}

/// Verifies the signatures of all modules; unsigned modules are accepted.
fn all(root: &Root, kver: &Kver, modules: &[Vec<u8>], named: &[Certificate]) -> ModuleSigners {
    let mut found = ModuleSigners::default();
    let mut trusted = named.to_vec();
    match certificates(root, kver) {
        Ok(own) => trusted.extend(own),
        Err(why) => found.why = Some(why),
    }
    let mut buffer = Vec::new();
    for path in modules {
        let judged = module(root, kver, path, &trusted, &mut buffer);
        match judged {
            Err(why) => found.unread.push((path.clone(), why)),
            Ok(Verified::Accepted) => {}
            Ok(Verified::By(name)) if found.why.is_some() => {
                let (count, _) = found.unknown.get_or_insert((0, name));
                *count += 1;
            }
            Ok(Verified::By(name)) => {
                let why = format!("signed by {name}");
                found.refused.push((path.clone(), why));
            }
            Ok(Verified::Wrong(why)) => {
                let why = format!("an invalid signature: {why}");
                found.refused.push((path.clone(), why));
            }
        }
    }
    found
}

/// The result of verifying a module.
enum Verified {
    /// The module has no signature, has one of a trusted signer, or was removed meanwhile.
    Accepted,
    /// The module has a signature by this signer, which is not trusted.
    By(String),
    /// The signature is invalid, with the reason.
    Wrong(String),
}

fn module(
    root: &Root,
    kver: &Kver,
    path: &[u8],
    trusted: &[Certificate],
    buffer: &mut Vec<u8>,
) -> Result<Verified, String> {
    let full = Path::new(&kver.dir()).join(OsStr::from_bytes(path));
    let file = root.open_file(full).map_err(|error| super::why(&error))?;
    let Some(file) = file else {
        return Ok(Verified::Accepted);
    };
    let data = BufReader::with_capacity(64 << 10, file);
    unpack(path, data, buffer).map_err(|error| error.to_string())?;
    let Some((contents, signature)) = signed_parts(buffer) else {
        return Ok(Verified::Accepted);
    };
    let signature = match Signature::parse(signature) {
        Ok(signature) => signature,
        Err(error) => return Ok(Verified::Wrong(error.to_string())),
    };
    Ok(match signature.of_bytes(contents, trusted) {
        Signer::Known(_) => Verified::Accepted,
        Signer::Unknown(name) => Verified::By(name),
        Signer::Wrong(why) => Verified::Wrong(why),
    })
}

/// Returns the certificates inside `vmlinuz`: the certificate of the kernel's own key for modules, and the certificates
/// of its distribution.
fn certificates(root: &Root, kver: &Kver) -> Result<Vec<Certificate>, String> {
    let mut file = super::vmlinuz::open(root, kver)?;
    let release = release_from(&mut file).map_err(|error| error.to_string())?;
    let mut found: Vec<Certificate> = Vec::new();
    let mut part = Vec::with_capacity(PART + CERTIFICATE_MAX);
    let mut search = |part: &[u8]| {
        for certificate in find_all(part) {
            if !found
                .iter()
                .any(|it| it.fingerprint() == certificate.fingerprint())
            {
                found.push(certificate);
            }
        }
    };
    let searched = search_inner(&mut file, &release, &mut |bytes| {
        part.extend_from_slice(bytes);
        if part.len() >= PART {
            search(&part);
            // A certificate can start in this part and end in the next one.
            part.drain(..part.len() - CERTIFICATE_MAX);
        }
    });
    search(&part);
    match searched {
        Err(error) => Err(error.to_string()),
        Ok(_) if found.is_empty() => Err("no certificate was found in it".to_owned()),
        Ok(_) => Ok(found),
    }
}
