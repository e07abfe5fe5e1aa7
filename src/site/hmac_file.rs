// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and rewrites `.vmlinuz.hmac`, the file with the HMAC of a `vmlinuz`.

use anyhow::{Context, Result};

use crate::kernel::hmac::{self, HMAC_MAX};
use crate::kernel::kver::Kver;
use crate::sys::root::{self, Root};

/// Rewrites `.vmlinuz.hmac` if its HMAC does not match `vmlinuz`, because the kernel was changed after packaging
/// (signed, for example). The HMAC is a checksum, not a signature. A missing or empty file is not written. Returns a
/// warning for the user if the file was rewritten.
///
/// `is_read` means that dracut's module `fips` compares the HMAC at boot. The file is then not rewritten, and the
/// verification reports an HMAC that does not match.
///
/// # Errors
/// When a file cannot be read or written.
pub fn renew(root: &Root, kver: &Kver, is_read: bool) -> Result<Option<String>> {
    let path = format!("{}/.vmlinuz.hmac", kver.dir());
    let Some((meta, text)) = read(root, &path)?.filter(|_| !is_read) else {
        return Ok(None);
    };
    let vmlinuz = root.open_file(format!("{}/vmlinuz", kver.dir()))?;
    let Some(mut vmlinuz) = vmlinuz.filter(|_| !text.trim_ascii().is_empty()) else {
        return Ok(None);
    };
    let actual =
        hmac::digest(&mut vmlinuz).with_context(|| format!("reading vmlinuz of {kver}"))?;
    if hmac::parts(&text).0.eq_ignore_ascii_case(&actual) {
        return Ok(None);
    }
    root.write(&path, hmac::line(&actual, kver).as_bytes(), meta.mode)?;
    Ok(Some(format!(
        "vmlinuz was changed after packaging (probably signed): /{path} was rewritten"
    )))
}

/// Reads a `.vmlinuz.hmac` and its metadata; `None` unless it is a regular file of at most [`HMAC_MAX`] bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn read(root: &Root, path: &str) -> Result<Option<(root::Meta, String)>, root::Error> {
    let meta = root.lstat(path)?;
    let is_line = |meta: &root::Meta| meta.kind == root::FileType::File && meta.size <= HMAC_MAX;
    let Some(meta) = meta.filter(is_line) else {
        return Ok(None);
    };
    let text = root.read(path, HMAC_MAX)?.unwrap_or_default();
    Ok(Some((meta, String::from_utf8_lossy(&text).into_owned())))
}
