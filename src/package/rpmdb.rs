// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages of an rpmdb: header blobs in, values out.
//!
//! A blob is a header without its eight magic bytes: the two counts, the index, the data. rpm has
//! merged the signature's tags and those of the installation into it. Nothing in it is trusted: the
//! framing is checked as that of a package file, and what is kept of all blobs is bounded.

mod blob;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::capability::Capability;
use super::header::HEADER_MAX;
use super::nevra::Nevra;
use crate::kernel::modules::ModuleName;

pub use blob::{GHOST, is_installed, kept_path};

/// The largest blob that is read (bytes).
pub const BLOB_MAX: u32 = HEADER_MAX;

/// The most packages that are read; a large desktop image has 3,000.
const PACKAGES_MAX: usize = 100_000;

/// The most that is kept of all packages (bytes); a large desktop image needs 20 MiB.
const KEPT_MAX: usize = 128 << 20;

/// The most that is kept of one package's files (bytes); a kernel's need 1 MiB.
pub const FILES_MAX: usize = 16 << 20;

/// What a file takes beside its path and the target of a link (bytes).
const FILE_SIZE: usize = 192;

/// What is kept of an rpmdb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Packages that own files in the places of kernels, or provide or require a `…uname-r`.
    Kernels,
    /// Every package.
    All,
}

/// A package of an rpmdb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name, epoch, version, release and architecture (`(none)` for a key).
    pub nevra: Nevra,
    /// What it provides.
    pub provides: Vec<Capability>,
    /// What it requires.
    pub requires: Vec<Capability>,
    /// SHA-256 of its header (hexadecimal), where rpm noted it.
    pub header_sha256: Option<String>,
    /// Whether it has files at all; a meta package has none.
    pub has_files: bool,
    /// Its installed files in `usr/lib/modules`, `boot` and `usr/lib/ostree-boot`, by path relative
    /// to the root; `lib/…` is filed as `usr/lib/…`.
    pub files: BTreeMap<String, PackageFile>,
}

/// A file, directory or link of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// The whole mode, with the type.
    pub mode: u16,
    /// The digest of a regular file, where it has one.
    pub digest: Option<FileDigest>,
    /// Whether it is a `%ghost`: the package owns the name, and brings no content.
    pub is_ghost: bool,
    /// The target of a link.
    pub target: String,
}

/// The digest of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// The algorithm as a number of OpenPGP: 1 is MD5, 8 is SHA-256, 10 is SHA-512.
    pub algorithm: u32,
    /// Lower-case hexadecimal.
    pub hex: String,
}

impl FileDigest {
    /// SHA-256 in OpenPGP: what packages have had since 2009.
    pub const SHA256: u32 = 8;
}

impl PackageFile {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// Why a blob, or a whole rpmdb, cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RpmdbError {
    /// The numbers in a header do not fit it.
    #[error("a package's header in the rpmdb is damaged: {0}")]
    Framing(String),
    /// A tag has another type or count than it must have.
    #[error("a package's header in the rpmdb is damaged: tag {tag} {what}")]
    Tag {
        /// The tag's number.
        tag: u32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More than is read.
    #[error("the rpmdb holds more than {0}")]
    TooMuch(String),
}

/// The packages of an rpmdb, sorted by NEVRA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rpmdb {
    records: Vec<Record>,
}

impl Rpmdb {
    /// The packages.
    pub fn packages(&self) -> &[Record] {
        &self.records
    }

    /// Moves the packages out.
    pub fn into_packages(self) -> Vec<Record> {
        self.records
    }

    /// The package of that name; of several the newest by their sorting.
    pub fn package(&self, name: &str) -> Option<&Record> {
        self.records.iter().rfind(|it| it.nevra.name == name)
    }

    /// The packages that own a path (relative to the root), and what they say of it. Only paths in
    /// `usr/lib/modules`, `boot` and `usr/lib/ostree-boot` are known.
    pub fn owners_of<'a>(
        &'a self,
        path: &'a str,
    ) -> impl Iterator<Item = (&'a Record, &'a PackageFile)> {
        let owners = self.records.iter();
        owners.filter_map(move |it| Some((it, it.files.get(path)?)))
    }

    /// Whether a package brings the content of a path (relative to the root) that `owners_of` knows:
    /// a `%ghost` is written by scripts, as the copies of a kernel in `/boot` are.
    pub fn owns_content(&self, path: &str) -> bool {
        self.owners_of(path).any(|(_, file)| !file.is_ghost)
    }

    /// Whether a package owns that directory (relative to the root) or anything in it.
    pub fn owns_in(&self, dir: &str) -> bool {
        let below = format!("{dir}/");
        self.records.iter().any(|it| {
            let mut rest = it.files.range(below.clone()..);
            let is_below = rest
                .next()
                .is_some_and(|(path, _)| path.starts_with(&below));
            is_below || it.files.contains_key(dir)
        })
    }
}

/// Takes blobs one by one.
#[derive(Debug)]
pub struct Reading {
    scope: Scope,
    records: Vec<Record>,
    seen: usize,
    kept: usize,
}

impl Reading {
    /// Nothing is read yet.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            records: Vec::new(),
            seen: 0,
            kept: 0,
        }
    }

    /// Takes the next blob.
    ///
    /// # Errors
    /// When it is damaged, or more than is read.
    pub fn take(&mut self, blob: &[u8]) -> Result<(), RpmdbError> {
        let record = Record::parse(blob)?;
        self.add(record)
    }

    /// Takes a package that something else has read.
    ///
    /// # Errors
    /// When it is more than is read.
    pub fn add(&mut self, record: Record) -> Result<(), RpmdbError> {
        self.seen += 1;
        if self.seen > PACKAGES_MAX {
            return Err(RpmdbError::TooMuch(format!("{PACKAGES_MAX} packages")));
        }
        if self.scope == Scope::Kernels && !record.is_of_a_kernel() {
            return Ok(());
        }
        self.kept += record.size();
        if self.kept > KEPT_MAX {
            return Err(RpmdbError::TooMuch(format!("{KEPT_MAX} bytes of names")));
        }
        self.records.push(record);
        Ok(())
    }

    /// All that was taken.
    pub fn finish(self) -> Rpmdb {
        let mut records = self.records;
        records.sort_by(|a, b| a.nevra.cmp(&b.nevra));
        Rpmdb { records }
    }
}

impl Record {
    /// Whether it has to do with a kernel: it owns files where kernels are, or provides or requires
    /// a `…uname-r`.
    pub fn is_of_a_kernel(&self) -> bool {
        let mut all = self.provides.iter().chain(&self.requires);
        !self.files.is_empty() || all.any(Capability::is_uname_r)
    }

    /// The kernels whose `vmlinuz` it owns: names of directories in `usr/lib/modules`.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        let real = self.files.iter().filter(|(_, file)| !file.is_ghost);
        real.filter_map(|(path, _)| {
            let name = path.strip_prefix("usr/lib/modules/")?;
            let name = name.strip_suffix("/vmlinuz")?;
            (!name.contains('/')).then_some(name)
        })
    }

    /// The kernel modules that it owns: the directory in `usr/lib/modules`, and the name.
    pub fn modules(&self) -> impl Iterator<Item = (&str, ModuleName)> {
        let real = self.files.iter().filter(|(_, file)| !file.is_ghost);
        real.filter_map(|(path, _)| {
            let (dir, file) = path.strip_prefix("usr/lib/modules/")?.split_once('/')?;
            Some((dir, ModuleName::of_path(file.as_bytes())?))
        })
    }

    /// About how much memory it takes (bytes).
    fn size(&self) -> usize {
        let caps = self.provides.iter().chain(&self.requires);
        let caps = caps.map(|cap| cap.name.len() + cap.version.len() + 64);
        let files = self.files.iter();
        let files = files.map(|(path, file)| path.len() + file.target.len() + FILE_SIZE);
        caps.chain(files).sum::<usize>() + 256
    }
}
