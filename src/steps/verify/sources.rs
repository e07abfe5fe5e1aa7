// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares programs and libraries that dracut copied with their packages.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checks::{Alteration, AlteredElf, Initramfs};
use crate::initramfs::{EntryType, Origin};
use crate::package::rpmdb::{PackagedElf, Rpmdb};
use crate::pool;
use crate::sys::digest::Digesting;
use crate::sys::root::{FileType, Root};

/// The number of threads that compute digests.
const THREADS: usize = 2;

/// A file to compare: its path in the initramfs, its path in the tree, its build-id, and the files of packages.
type Compared<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [PackagedElf]);

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
    let mut seen = BTreeSet::new();
    let packaged = files.filter_map(|(path, node)| {
        let source = match facts.origin(inventory, node)? {
            Origin::Copy(source) | Origin::Differs(source, _) => source,
            Origin::Unread(_) | Origin::Unknown => return None,
        };
        let source = source.path.as_deref().unwrap_or(path);
        let packaged = owners(rpmdb, std::str::from_utf8(source).ok()?);
        let elf = facts.elf(inventory, node).and_then(|it| it.as_ref().ok());
        let build_id = elf.map_or(&[][..], |elf| &elf.build_id);
        let is_new = !packaged.is_empty() && seen.insert(source);
        is_new.then_some((path, source, build_id, packaged))
    });
    let packaged: Vec<_> = packaged.collect();
    let compare = |file| Ok::<_, ()>(alteration(root, file));
    let altered = pool::try_map(packaged, THREADS, compare).unwrap_or_default();
    altered.into_iter().flatten().collect()
}

/// Returns the packages' files at a path of the tree. Since Fedora 42 `usr/sbin` leads to `usr/bin`, and packages use both
/// names.
fn owners<'a>(rpmdb: &'a Rpmdb, path: &str) -> &'a [PackagedElf] {
    let packaged = rpmdb.elves_at(path);
    match path.strip_prefix("usr/bin/") {
        Some(name) if packaged.is_empty() => rpmdb.elves_at(&format!("usr/sbin/{name}")),
        _ => packaged,
    }
}

/// Returns the difference between a file and its package's; `None` if there is none, or the file cannot be read. A file
/// of another size is not read.
fn alteration(root: &Root, (path, source, build_id, packaged): Compared) -> Option<AlteredElf> {
    let place = Path::new(OsStr::from_bytes(source));
    let meta = root.stat(place).ok()??;
    let mut same = packaged.iter().filter(|it| it.size == meta.size);
    let alteration = match same.clone().next() {
        None => Alteration::Size,
        Some(packaged) => {
            let found = digest(root, place, meta.kind)?;
            if same.any(|it| it.sha256 == found) {
                return None;
            }
            match (&*packaged.build_id, build_id) {
                ([], _) | (_, []) => Alteration::Bytes,
                (known, found) if known == found => Alteration::Damage,
                _ => Alteration::Build,
            }
        }
    };
    Some(AlteredElf {
        path: path.to_vec(),
        source: source.to_vec(),
        package: packaged[0].package.to_string(),
        alteration,
    })
}

fn digest(root: &Root, path: &Path, kind: FileType) -> Option<[u8; 32]> {
    if let Some(sha256) = root.known_sha256(path) {
        return (kind == FileType::File).then_some(sha256);
    }
    let file = root.open_file(path).ok()??;
    Some(Digesting::new(file).finish_bytes().ok()?.0)
}
