// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the header blobs of an rpmdb into packages.
//!
//! A blob is a header without its magic number: the number of entries, the size of the data, the index, the data. rpm
//! has added the tags of the signature header, and tags about the installation. Blobs are not trusted: the numbers in a
//! blob are checked as those in a package's header are, and the size of all stored facts is bounded.

mod blob;
mod elf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::capability::{Capability, tie_to};
use super::header::HEADER_MAX;
use super::nevra::Nevra;
use crate::kernel::modules::ModuleName;

pub use blob::{GHOST, is_installed, kept_path};
pub use elf::PackagedElf;

/// Upper bound of a blob, and of the data in it (bytes).
pub const BLOB_MAX: u32 = HEADER_MAX;

/// Upper bound of the number of packages; a large desktop image has 3,000.
const PACKAGES_MAX: usize = 100_000;

/// Upper bound of the facts about all packages (bytes); a large desktop image needs 20 MiB.
const KEPT_MAX: usize = 128 << 20;

/// Upper bound of the facts about one package's files (bytes); a kernel needs 1 MiB.
pub const FILES_MAX: usize = 16 << 20;

/// Estimated size in memory of the facts about one file, without its path and its link target (bytes).
const FILE_SIZE: usize = 192;

/// The packages to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Packages with an entry in [`Record::files`], or that provide or require a capability `…uname-r`.
    Kernels,
    /// Every package.
    All,
}

/// A package of an rpmdb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name, epoch, version, release and architecture. The architecture of an OpenPGP key (`gpg-pubkey`) is
    /// `(none)`.
    pub nevra: Nevra,
    /// Its provided capabilities.
    pub provides: Vec<Capability>,
    /// Its requirements.
    pub requires: Vec<Capability>,
    /// SHA-256 of its header (hexadecimal), if rpm has stored it.
    pub header_sha256: Option<String>,
    /// The host and the time (seconds since 1970) of the build, which all packages of one build share. `None` if they are
    /// not known.
    pub build: Option<String>,
    /// Whether it has files; a meta package has none.
    pub has_files: bool,
    /// Its installed files in `usr/lib/modules`, `boot` and `usr/lib/ostree-boot`, by path relative to the root;
    /// `lib/…` is stored as `usr/lib/…`.
    pub files: BTreeMap<String, PackageFile>,
}

/// A file, directory or link of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// The mode including the file type.
    pub mode: u16,
    /// The digest of a regular file, if it has one.
    pub digest: Option<FileDigest>,
    /// Whether it is a `%ghost`: the package owns the name, but has no content for it.
    pub is_ghost: bool,
    /// The target of a symbolic link; else empty.
    pub target: String,
}

/// The digest of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// The algorithm by its number in OpenPGP: 1 is MD5, 8 is SHA-256, 10 is SHA-512.
    pub algorithm: u32,
    /// Lower-case hexadecimal.
    pub hex: String,
}

impl FileDigest {
    /// The number of SHA-256 in OpenPGP. Fedora's packages have used this algorithm since 2009 (Fedora 11).
    pub const SHA256: u32 = 8;
}

impl PackageFile {
    /// Returns whether the path is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Returns whether the path is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// The error that a blob or a whole rpmdb cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RpmdbError {
    /// The numbers in a header are inconsistent.
    #[error("a package's header in the rpmdb is damaged: {0}")]
    Framing(String),
    /// A tag has a wrong type, too few values, or an invalid value.
    #[error("a package's header in the rpmdb is damaged: tag {tag} {what}")]
    Tag {
        /// The tag's number.
        tag: u32,
        /// A description of the fault.
        what: &'static str,
    },
    /// A limit is exceeded.
    #[error("the rpmdb holds more than {0}")]
    TooMuch(String),
}

/// The packages of an rpmdb, sorted by NEVRA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rpmdb {
    records: Vec<Record>,
    /// The ELF files of all packages, also of those out of scope, sorted by path.
    elves: Vec<PackagedElf>,
}

impl Rpmdb {
    /// Returns the packages.
    pub fn packages(&self) -> &[Record] {
        &self.records
    }

    /// Consumes the database and returns its packages.
    pub fn into_packages(self) -> Vec<Record> {
        self.records
    }

    /// Returns the package with this name; `None` if there is none. If there are several, returns the last one in the
    /// order of NEVRAs.
    pub fn package(&self, name: &str) -> Option<&Record> {
        self.records.iter().rfind(|it| it.nevra.name == name)
    }

    /// Returns the packages that own a path (relative to the root), each with its facts about the path. Only paths in
    /// `usr/lib/modules`, `boot` and `usr/lib/ostree-boot` are known.
    pub fn owners_of<'a>(
        &'a self,
        path: &'a str,
    ) -> impl Iterator<Item = (&'a Record, &'a PackageFile)> {
        let owners = self.records.iter();
        owners.filter_map(move |it| Some((it, it.files.get(path)?)))
    }

    /// Returns whether a package contains the file at a path (relative to the root). As for [`Self::owners_of`], only
    /// some paths are known. A package owns a `%ghost` file, but does not contain it: a script writes the file, for
    /// example the copy of a kernel in `/boot`.
    pub fn owns_content(&self, path: &str) -> bool {
        self.owners_of(path).any(|(_, file)| !file.is_ghost)
    }

    /// Returns whether any package names its ELF files.
    pub fn has_elves(&self) -> bool {
        !self.elves.is_empty()
    }

    /// Returns the ELF files that packages have at a path (relative to the root), outside the directories of kernels.
    pub fn elves_at(&self, path: &str) -> &[PackagedElf] {
        let start = self.elves.partition_point(|it| *it.path < *path);
        let count = self.elves[start..].partition_point(|it| *it.path == *path);
        &self.elves[start..start + count]
    }

    /// Returns whether a package owns the directory `dir` (relative to the root), or a path below it. As for
    /// [`Self::owners_of`], only some paths are known.
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

/// A collection of packages that are parsed from blobs.
#[derive(Debug)]
pub struct RpmdbReader {
    scope: Scope,
    records: Vec<Record>,
    elves: Vec<PackagedElf>,
    seen: usize,
    kept: usize,
}

impl RpmdbReader {
    /// Creates an empty collection.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            records: Vec::new(),
            elves: Vec::new(),
            seen: 0,
            kept: 0,
        }
    }

    /// Parses a blob, and adds its package if it is in the scope.
    ///
    /// # Errors
    /// When the blob is damaged, or a limit is exceeded.
    pub fn take(&mut self, blob: &[u8]) -> Result<(), RpmdbError> {
        let record = Record::parse(blob)?;
        // A package whose list of ELF files cannot be read is kept without this list.
        let elves = elf::of_blob(blob, &record.nevra.to_string()).unwrap_or_default();
        let sizes = elves.iter().map(PackagedElf::size_in_memory);
        self.kept += sizes.sum::<usize>();
        self.elves.extend(elves);
        self.add(record)
    }

    /// Adds a parsed package if it is in the scope.
    ///
    /// # Errors
    /// When a limit is exceeded.
    pub fn add(&mut self, record: Record) -> Result<(), RpmdbError> {
        self.seen += 1;
        if self.seen > PACKAGES_MAX {
            return Err(RpmdbError::TooMuch(format!("{PACKAGES_MAX} packages")));
        }
        if self.scope == Scope::All || record.is_of_a_kernel() {
            self.kept += record.size();
            self.records.push(record);
        }
        if self.kept > KEPT_MAX {
            return Err(RpmdbError::TooMuch(format!(
                "{KEPT_MAX} bytes of capabilities and file names"
            )));
        }
        Ok(())
    }

    /// Returns the collected packages, sorted.
    pub fn finish(self) -> Rpmdb {
        let mut records = self.records;
        records.sort_by(|a, b| a.nevra.cmp(&b.nevra));
        let mut elves = self.elves;
        elves.sort_by(|a, b| a.path.cmp(&b.path));
        Rpmdb { records, elves }
    }
}

impl Record {
    /// Returns whether the package is in [`Scope::Kernels`].
    pub fn is_of_a_kernel(&self) -> bool {
        let mut all = self.provides.iter().chain(&self.requires);
        !self.files.is_empty() || all.any(Capability::is_uname_r)
    }

    /// Returns whether the package contains the `vmlinuz` of the kernel `kver`, or provides or requires
    /// `…uname-r = KVER`. The packages of one kernel can only be removed together.
    pub fn belongs_to(&self, kver: &str) -> bool {
        let capabilities = self.provides.iter().chain(&self.requires);
        self.kernels().any(|it| it == kver) || tie_to(capabilities, kver)
    }

    /// Returns the kernels whose `vmlinuz` the package contains, as names of directories in `usr/lib/modules`.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        let real = self.files.iter().filter(|(_, file)| !file.is_ghost);
        real.filter_map(|(path, _)| {
            let name = path.strip_prefix("usr/lib/modules/")?;
            let name = name.strip_suffix("/vmlinuz")?;
            (!name.contains('/')).then_some(name)
        })
    }

    /// Returns the kernel modules that the package contains, each as the name of a directory in `usr/lib/modules` and
    /// the module's name.
    pub fn modules(&self) -> impl Iterator<Item = (&str, ModuleName)> {
        let real = self.files.iter().filter(|(_, file)| !file.is_ghost);
        real.filter_map(|(path, _)| {
            let (dir, file) = path.strip_prefix("usr/lib/modules/")?.split_once('/')?;
            Some((dir, ModuleName::of_path(file.as_bytes())?))
        })
    }

    /// Returns the approximate size of the record in memory (bytes).
    fn size(&self) -> usize {
        let caps = self.provides.iter().chain(&self.requires);
        let caps = caps.map(|cap| cap.name.len() + cap.version.len() + 64);
        let files = self.files.iter();
        let files = files.map(|(path, file)| path.len() + file.target.len() + FILE_SIZE);
        caps.chain(files).sum::<usize>() + 256
    }
}
