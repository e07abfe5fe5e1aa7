// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs and libraries of packages: the ELF files outside the directories of kernels.

use std::collections::HashMap;
use std::sync::Arc;

use super::blob::{GHOST, Header, filed, is_installed, is_kept, tag};
use super::{FILES_MAX, FileDigest, RpmdbError};

/// The directory of links with which packages name the build-ids of their ELF files (`_build_id_links` of rpm):
/// `usr/lib/.build-id/ab/cdef…` leads to the file with the build-id `abcdef…`.
const BUILD_IDS: &str = "usr/lib/.build-id/";

/// An ELF file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedElf {
    /// The path, relative to the root.
    pub path: Box<str>,
    /// The size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// The build-id; empty if the package does not name it.
    pub build_id: Box<[u8]>,
    /// The NEVRA of the package.
    pub package: Arc<str>,
}

impl PackagedElf {
    /// Returns the approximate size in memory (bytes). A large desktop image has 40,000 of these files.
    pub(super) fn size_in_memory(&self) -> usize {
        self.path.len() + self.build_id.len() + size_of::<Self>() + 32
    }
}

/// Returns the installed ELF files in a blob that have an SHA-256 and are not in the directories of kernels. rpmbuild
/// records for each executable file whether it is an ELF file (`RPMTAG_FILECOLORS`); Fedora's libraries are executable.
/// Returns nothing for a package from before rpm 4.
pub(super) fn of_blob(blob: &[u8], package: &str) -> Result<Vec<PackagedElf>, RpmdbError> {
    let header = Header::of(blob)?;
    let mut elves = Vec::new();
    let algorithm = header.numbers(tag::FILEDIGESTALGO)?.next();
    if algorithm != Some(FileDigest::SHA256) {
        return Ok(elves);
    }
    let dirs: Vec<_> = header.strings(tag::DIRNAMES)?.map(filed).collect();
    let ids = build_ids(&header, &dirs)?;
    let package = Arc::from(package);
    let colors = header.numbers(tag::FILECOLORS)?;
    let short = header.longs(tag::FILESIZES)?;
    // rpm writes only one of these tags.
    let sizes = short.chain(header.longs(tag::LONGFILESIZES)?);
    let flags = header.numbers(tag::FILEFLAGS)?;
    let digests = header.strings(tag::FILEDIGESTS)?;
    let names = header.strings(tag::BASENAMES)?;
    let places = header.numbers(tag::DIRINDEXES)?.zip(names);
    // rpm adds the states when it installs a package.
    let mut states = header.numbers(tag::FILESTATES)?;
    let mut kept = 0;
    for ((((color, size), flags), digest), (dir, name)) in
        colors.zip(sizes).zip(flags).zip(digests).zip(places)
    {
        let is_there = is_installed(states.next().unwrap_or(0)) && flags & GHOST == 0;
        let dir = dirs.get(dir as usize).filter(|dir| !is_kept(dir));
        if let Some(dir) = dir
            && color != 0
            && is_there
        {
            let mut sha256 = [0; 32];
            if hex::decode_to_slice(digest, &mut sha256).is_err() {
                continue;
            }
            let path = format!("{dir}{}", String::from_utf8_lossy(name));
            let elf = PackagedElf {
                size,
                sha256,
                build_id: ids.get(&path).cloned().unwrap_or_default(),
                package: Arc::clone(&package),
                path: path.into(),
            };
            kept += elf.size_in_memory();
            if kept > FILES_MAX {
                let what = format!("{FILES_MAX} bytes of a package's paths");
                return Err(RpmdbError::TooMuch(what));
            }
            elves.push(elf);
        }
    }
    Ok(elves)
}

/// Returns the build-ids that the package's links name, by the path of the ELF file.
fn build_ids(header: &Header, dirs: &[String]) -> Result<HashMap<String, Box<[u8]>>, RpmdbError> {
    let mut ids = HashMap::new();
    if !dirs.iter().any(|dir| dir.starts_with(BUILD_IDS)) {
        return Ok(ids);
    }
    let names = header.strings(tag::BASENAMES)?;
    let targets = header.strings(tag::FILELINKTOS)?;
    let places = header.numbers(tag::DIRINDEXES)?;
    for ((dir, name), target) in places.zip(names).zip(targets) {
        let start = dirs.get(dir as usize);
        let start = start.and_then(|dir| dir.strip_prefix(BUILD_IDS));
        let Some(start) = start.map(|it| it.trim_end_matches('/')) else {
            continue;
        };
        let id = hex::decode([start.as_bytes(), name].concat());
        let target = String::from_utf8_lossy(target);
        // The link is relative: `../../../../usr/bin/bash`.
        let target = target.trim_start_matches("../").trim_start_matches('/');
        if let Ok(id) = id
            && !target.is_empty()
        {
            ids.insert(filed(target.as_bytes()), id.into());
        }
    }
    Ok(ids)
}
