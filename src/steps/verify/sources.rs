// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares programs and libraries that dracut copied with their packages.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checks::{AlteredElf, Initramfs};
use crate::initramfs::{EntryType, Origin};
use crate::package::rpmdb::{PackagedElf, Rpmdb};
use crate::pool;
use crate::sys::digest::Digesting;
use crate::sys::root::{FileType, Root};

/// The number of threads that compute digests.
const THREADS: usize = 2;

/// Returns the ELF files of the tree that the initramfs has copies of, and that differ from their package's file. A file
/// that no package owns, or that cannot be read, is left out.
pub(super) fn altered(root: &Root, rpmdb: &Rpmdb, image: &Initramfs) -> Vec<AlteredElf> {
    let Initramfs::Read {
        inventory, facts, ..
    } = image
    else {
        return Vec::new();
    };
    let files = inventory
        .nodes()
        .filter(|(_, node)| node.kind == EntryType::File);
    let packaged = files.filter_map(|(path, node)| {
        let source = match facts.origin(inventory, node)? {
            Origin::Copy(source) | Origin::Differs(source, _) => source,
            Origin::Unread(_) | Origin::Unknown => return None,
        };
        let source = source.path.as_deref().unwrap_or(path);
        let packaged = rpmdb.elves_at(std::str::from_utf8(source).ok()?);
        (!packaged.is_empty()).then_some((path, source, packaged))
    });
    let packaged: Vec<_> = packaged.collect();
    let compare = |(path, source, packaged): (&[u8], &[u8], &[PackagedElf])| {
        let found = digest(root, Path::new(OsStr::from_bytes(source)));
        let altered = found.filter(|(sha256, _)| packaged.iter().all(|it| it.sha256 != *sha256));
        Ok::<_, ()>(altered.map(|(_, size)| AlteredElf {
            path: path.to_vec(),
            source: source.to_vec(),
            package: packaged[0].package.to_string(),
            has_size_of_package: packaged.iter().any(|it| it.size == size),
        }))
    };
    let altered = pool::try_map(packaged, THREADS, compare).unwrap_or_default();
    altered.into_iter().flatten().collect()
}

/// Returns the SHA-256 and the size of a file.
fn digest(root: &Root, path: &Path) -> Option<([u8; 32], u64)> {
    if let Some(sha256) = root.known_sha256(path) {
        let meta = root.stat(path).ok()??;
        return (meta.kind == FileType::File).then_some((sha256, meta.size));
    }
    let file = root.open_file(path).ok()??;
    Digesting::new(file).finish_bytes().ok()
}
