// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the files of an initramfs with those of a container image by digest, before the comparison by bytes. Of the
//! image's files, only those whose digests differ or are not known are loaded, all at once.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::initramfs::{self, Entry, EntryType, Limits, Visitor, sources_of};
use crate::sys::root::{self, FileType, Root};

/// For each entry of the initramfs whose bytes equal the bytes of the image's file: the index of the entry, and the
/// mode of the image's file.
pub(super) type Equal = HashMap<u64, u32>;

/// Compares the files of the initramfs in `file` with those of the container image, and loads the bytes of the image's
/// files that differ or whose digests are not known. Returns the equal entries; none for a tree on disk, whose files
/// need not be loaded.
///
/// # Errors
/// When the image's files cannot be loaded. An initramfs that cannot be parsed is not an error here; reading it later
/// reports the error.
pub(super) fn compare(root: &Root, file: &File) -> Result<Equal, root::Error> {
    if !root.is_image() {
        return Ok(Equal::new());
    }
    let mut comparing = Comparing {
        root,
        equal: Equal::new(),
        differing: Vec::new(),
    };
    if let Ok(file) = file.try_clone() {
        let _ = initramfs::read(file, &Limits::default(), &mut comparing);
    }
    root.load(&comparing.differing)?;
    Ok(comparing.equal)
}

struct Comparing<'r> {
    root: &'r Root,
    equal: Equal,
    differing: Vec<PathBuf>,
}

impl Visitor for Comparing<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        // The data of a hard link can be in another entry.
        if entry.kind() != EntryType::File || (entry.size == 0 && entry.nlink > 1) {
            return Ok(());
        }
        let sources = sources_of(&entry.path).into_iter();
        let mut sources = sources.map(|path| PathBuf::from(OsStr::from_bytes(&path)));
        let found = sources.find_map(|path| {
            let meta = self.root.stat(&path).ok().flatten();
            let meta = meta.filter(|meta| meta.kind == FileType::File)?;
            Some((path, meta))
        });
        let Some((path, meta)) = found else {
            return Ok(());
        };
        let known = self.root.known_sha256(&path);
        if meta.size == u64::from(entry.size)
            && let Some(known) = known
        {
            let mut sha256 = Sha256::new();
            loop {
                let ready = body.fill_buf()?;
                let count = ready.len();
                if count == 0 {
                    break;
                }
                sha256.update(ready);
                body.consume(count);
            }
            if known == *sha256.finalize() {
                self.equal.insert(entry.index, meta.mode);
                return Ok(());
            }
        }
        self.differing.push(path);
        Ok(())
    }
}
