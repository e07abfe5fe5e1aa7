// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels and modules without a valid signature by the certificate that `--sbcert` or `--module-cert` names.

use ostree_kernel::kernel::modules::{
    pack, signed_parts, unpack, with_signature, without_signature,
};
use ostree_kernel::signing::{Certificate, Hash, SigningKey};

use super::super::case::Case;
use super::super::draft::Draft;
use super::super::good::sign;
use super::super::products::Base::{self, BookwormOmit, TrixieSlim};
use super::broken;
use super::modules::kmod;

const COMES_OF: &str = "secureblue/secureblue#2366";
const KEY: &str = include_str!("../../../../src/signing/testing/key.pem");
const CERTIFICATE: &str = include_str!("../../../../src/signing/testing/certificate.pem");
const OTHER_KEY: &str = include_str!("../../../../src/signing/testing/other-key.pem");
const OTHER_CERTIFICATE: &str =
    include_str!("../../../../src/signing/testing/other-certificate.pem");

pub fn cases() -> Vec<Case> {
    let vmlinuz = |name: &str, base: Base, change: fn(&mut Draft)| {
        broken(name, base, COMES_OF, &["kernel-signer"], move |draft| {
            change(draft);
            trust(draft, "--sbcert");
        })
    };
    let module = |name: &str, change: fn(&mut Vec<u8>)| {
        broken(
            name,
            TrixieSlim,
            COMES_OF,
            &["module-signers"],
            move |draft| {
                let mut module = unsigned(draft);
                change(&mut module);
                let packed = pack(b"site.ko.xz", module).unwrap();
                kmod(draft, "extra/site.ko.xz", &packed);
                trust(draft, "--module-cert");
            },
        )
    };
    vec![
        vmlinuz("signed-by-the-vendor-only", TrixieSlim, |_| ()),
        vmlinuz("signed-by-the-vendor-of-bookworm", BookwormOmit, |_| ()),
        vmlinuz("signature-of-vmlinuz-is-noise", TrixieSlim, |draft| {
            let path = draft.of_kernel("vmlinuz");
            let mut vmlinuz = draft.read(&path);
            sign(&mut vmlinuz);
            draft.write(&path, vmlinuz);
        }),
        module("kmod-signed-by-another", |module| {
            *module = signed(module, OTHER_KEY, OTHER_CERTIFICATE);
        }),
        module("kmod-changed-after-signing", |module| {
            let mut changed = signed(module, KEY, CERTIFICATE);
            let middle = module.len() / 2;
            changed[middle] ^= 1;
            *module = changed;
        }),
        module("signature-of-a-kmod-is-cut", |module| {
            let whole = signed(module, KEY, CERTIFICATE);
            let (contents, signature) = signed_parts(&whole).unwrap();
            *module = with_signature(contents, &signature[..signature.len() / 2]);
        }),
    ]
}

/// Writes the certificate of the tests to a file, and adds `option` with this file to the arguments of `verify`.
fn trust(draft: &mut Draft, option: &str) {
    let file = draft.path("../trusted.pem");
    fs_err::write(&file, CERTIFICATE).unwrap();
    draft.args.push(format!("{option}={}", file.display()));
}

/// Returns the module xfs of the kernel, uncompressed and without its signature.
fn unsigned(draft: &Draft) -> Vec<u8> {
    let path = draft.of_kernel("kernel/fs/xfs/xfs.ko.xz");
    let mut module = Vec::new();
    unpack(path.as_bytes(), draft.read(&path).as_slice(), &mut module).unwrap();
    without_signature(&module).map_or(module.clone(), <[u8]>::to_vec)
}

fn signed(module: &[u8], key: &str, certificate: &str) -> Vec<u8> {
    let key = SigningKey::read(key.as_bytes()).unwrap();
    let certificate = Certificate::read_all(certificate.as_bytes()).unwrap();
    let signature = key.sign(&certificate[0], Hash::Sha256, module);
    with_signature(module, &signature.unwrap())
}
