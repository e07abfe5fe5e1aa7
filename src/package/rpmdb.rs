// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages of an rpmdb: header blobs in, values out.
//!
//! A blob is a header without its eight magic bytes: the two counts, the index, the data. rpm has
//! merged the signature's tags and those of the installation into it. Nothing in it is trusted: the
//! framing is checked as that of a package file, and what is kept of all blobs is bounded.

use std::collections::BTreeMap;

use super::capability::{Capability, Op};
use super::header::{HEADER_MAX, TAGS_MAX, be32, check_entries};
use super::nevra::Nevra;

/// The largest blob that is read (bytes).
pub const BLOB_MAX: u32 = HEADER_MAX;

/// The most packages that are read; a large desktop image has 3,000.
const PACKAGES_MAX: usize = 100_000;

/// The most that is kept of all packages (bytes); a large desktop image needs 20 MiB.
const KEPT_MAX: usize = 128 << 20;

/// The most that is kept of one package's files (bytes); a kernel's need 1 MiB.
pub const FILES_MAX: usize = 16 << 20;

/// The longest path: PATH_MAX of Linux.
const PATH_MAX: usize = 4096;

/// What a file takes beside its path and the target of a link (bytes).
const FILE_SIZE: usize = 192;

/// Directories whose files are kept, relative to the root: all places of kernels. An image has some
/// hundred thousand files elsewhere.
const PLACES: [&str; 3] = ["usr/lib/modules", "boot", "usr/lib/ostree-boot"];

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
    /// Reads a blob.
    ///
    /// # Errors
    /// When it is damaged. A tag that is absent is not damage: keys have hardly any.
    pub fn parse(blob: &[u8]) -> Result<Self, RpmdbError> {
        let header = Header::of(blob)?;
        let text = |tag| Ok(header.strings(tag)?.next().map(text).unwrap_or_default());
        let or_none = |text: String| match text.is_empty() {
            true => "(none)".to_owned(),
            false => text,
        };
        Ok(Self {
            nevra: Nevra {
                name: or_none(text(tag::NAME)?),
                epoch: header.numbers(tag::EPOCH)?.next().unwrap_or(0),
                version: text(tag::VERSION)?,
                release: text(tag::RELEASE)?,
                arch: or_none(text(tag::ARCH)?),
            },
            provides: header.capabilities(tag::PROVIDES)?,
            requires: header.capabilities(tag::REQUIRES)?,
            header_sha256: Some(text(tag::SHA256HEADER)?).filter(|it| it.len() == 64),
            files: header.files()?,
        })
    }

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

    /// About how much memory it takes (bytes).
    fn size(&self) -> usize {
        let caps = self.provides.iter().chain(&self.requires);
        let caps = caps.map(|cap| cap.name.len() + cap.version.len() + 64);
        let files = self.files.iter();
        let files = files.map(|(path, file)| path.len() + file.target.len() + FILE_SIZE);
        caps.chain(files).sum::<usize>() + 256
    }
}

/// Numbers of tags, as in rpm's `rpmtag.h`.
mod tag {
    pub const SHA256HEADER: u32 = 273;
    pub const NAME: u32 = 1000;
    pub const VERSION: u32 = 1001;
    pub const RELEASE: u32 = 1002;
    pub const EPOCH: u32 = 1003;
    pub const ARCH: u32 = 1022;
    /// Before rpm 4: whole paths.
    pub const OLDFILENAMES: u32 = 1027;
    pub const FILESTATES: u32 = 1029;
    pub const FILEMODES: u32 = 1030;
    pub const FILEDIGESTS: u32 = 1035;
    pub const FILELINKTOS: u32 = 1036;
    pub const FILEFLAGS: u32 = 1037;
    pub const DIRINDEXES: u32 = 1116;
    pub const BASENAMES: u32 = 1117;
    pub const DIRNAMES: u32 = 1118;
    pub const FILEDIGESTALGO: u32 = 5011;
    /// Names, flags, versions.
    pub const PROVIDES: [u32; 3] = [1047, 1112, 1113];
    /// Names, flags, versions.
    pub const REQUIRES: [u32; 3] = [1049, 1048, 1050];
}

/// `RPMFILE_GHOST`.
const GHOST: u32 = 1 << 6;

/// States of files that are not on disk, or are another package's: replaced, not installed, of the
/// wrong colour. `rpm -qf` leaves those out, too.
const AWAY: [u8; 3] = [1, 2, 4];

/// A header whose entries lie inside it.
struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

/// One entry of the index.
struct Entry<'a> {
    kind: u32,
    count: usize,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn of(blob: &'a [u8]) -> Result<Self, RpmdbError> {
        let framing = |what: String| RpmdbError::Framing(what);
        let Some((counts, rest)) = blob.split_at_checked(8) else {
            return Err(framing(format!("it has {} bytes", blob.len())));
        };
        let (entries, data) = (be32(counts, 0), be32(counts, 4));
        if entries > TAGS_MAX || data > BLOB_MAX {
            return Err(framing(format!("{entries} entries with {data} bytes")));
        }
        let index = entries as usize * 16;
        if rest.len() != index + data as usize {
            return Err(framing(format!(
                "{entries} entries with {data} bytes are not its {}",
                rest.len()
            )));
        }
        check_entries(rest, entries as usize).map_err(framing)?;
        let (index, data) = rest.split_at(index);
        Ok(Self { index, data })
    }

    fn entry(&self, tag: u32) -> Option<Entry<'a>> {
        let mut entries = self.index.chunks_exact(16);
        let entry = entries.find(|entry| be32(entry, 0) == tag)?;
        Some(Entry {
            kind: be32(entry, 4),
            data: self.data.get(be32(entry, 8) as usize..)?,
            count: be32(entry, 12) as usize,
        })
    }

    /// The strings of a tag, without their NUL; none where it is absent.
    fn strings(&self, tag: u32) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, RpmdbError> {
        let (data, count): (&[u8], usize) = match self.entry(tag) {
            Some(entry) if matches!(entry.kind, 6 | 8 | 9) => (entry.data, entry.count),
            Some(_) => return Err(wrong(tag, "is no text")),
            None => (&[], 0),
        };
        Ok(data.split(|byte| *byte == 0).take(count))
    }

    /// The numbers of a tag; none where it is absent.
    fn numbers(&self, tag: u32) -> Result<impl Iterator<Item = u32> + use<'a>, RpmdbError> {
        let (data, count, size): (&[u8], usize, usize) = match self.entry(tag) {
            Some(entry) => match entry.kind {
                1 | 2 | 7 => (entry.data, entry.count, 1),
                3 => (entry.data, entry.count, 2),
                4 => (entry.data, entry.count, 4),
                _ => return Err(wrong(tag, "is no number")),
            },
            None => (&[], 0, 1),
        };
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |all, byte| all << 8 | u32::from(*byte))
        };
        Ok(data.chunks_exact(size).take(count).map(number))
    }

    fn capabilities(&self, tags: [u32; 3]) -> Result<Vec<Capability>, RpmdbError> {
        let [names, flags, versions] = tags;
        let mut flags = self.numbers(flags)?;
        let mut versions = self.strings(versions)?;
        let mut capabilities = Vec::new();
        for name in self.strings(names)? {
            let flags = flags.next().unwrap_or(0);
            let version = versions.next().unwrap_or_default();
            if !name.starts_with(b"rpmlib(") {
                capabilities.push(Capability {
                    name: text(name),
                    op: Op {
                        less: flags & 2 != 0,
                        greater: flags & 4 != 0,
                        equal: flags & 8 != 0,
                    },
                    version: text(version),
                });
            }
        }
        Ok(capabilities)
    }

    /// The installed files in [`PLACES`].
    fn files(&self) -> Result<BTreeMap<String, PackageFile>, RpmdbError> {
        let mut files = BTreeMap::new();
        let dirs: Vec<_> = self.strings(tag::DIRNAMES)?.map(filed).collect();
        let is_old = dirs.is_empty();
        if !is_old && !dirs.iter().any(|dir| may_hold(dir)) {
            return Ok(files);
        }
        let mut dir_of = self.numbers(tag::DIRINDEXES)?;
        let names = match is_old {
            true => self.strings(tag::OLDFILENAMES)?,
            false => self.strings(tag::BASENAMES)?,
        };
        let algorithm = self.numbers(tag::FILEDIGESTALGO)?.next().unwrap_or(1);
        let mut states = self.numbers(tag::FILESTATES)?;
        let mut modes = self.numbers(tag::FILEMODES)?;
        let mut flags = self.numbers(tag::FILEFLAGS)?;
        let mut digests = self.strings(tag::FILEDIGESTS)?;
        let mut targets = self.strings(tag::FILELINKTOS)?;
        let mut kept = 0;
        for name in names {
            let index = dir_of.next();
            let state = states.next().unwrap_or(0);
            let mode = modes.next().unwrap_or(0);
            let flags = flags.next().unwrap_or(0);
            let digest = digests.next().unwrap_or_default();
            let target = targets.next().unwrap_or_default();
            let path = if is_old {
                filed(name)
            } else {
                let index = index.ok_or(wrong(tag::DIRINDEXES, "ends early"))?;
                let dir = dirs.get(index as usize);
                let dir = dir.ok_or(wrong(tag::DIRINDEXES, "names no directory"))?;
                if !may_hold(dir) {
                    continue;
                }
                if dir.len() + name.len() > PATH_MAX {
                    return Err(wrong(tag::BASENAMES, "has a path that is too long"));
                }
                format!("{dir}{}", text(name))
            };
            if !is_kept(&path) || AWAY.iter().any(|away| u32::from(*away) == state) {
                continue;
            }
            kept += path.len() + digest.len() + target.len() + FILE_SIZE;
            if kept > FILES_MAX {
                return Err(RpmdbError::TooMuch(format!(
                    "{FILES_MAX} bytes of a package's paths"
                )));
            }
            let digest = (!digest.is_empty()).then(|| FileDigest {
                algorithm,
                hex: text(digest),
            });
            files.insert(
                path,
                PackageFile {
                    mode: mode as u16,
                    digest,
                    is_ghost: flags & GHOST != 0,
                    target: text(target),
                },
            );
        }
        Ok(files)
    }
}

fn wrong(tag: u32, what: &'static str) -> RpmdbError {
    RpmdbError::Tag { tag, what }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path relative to the root, under the name that `/lib` has had since it is a link.
fn filed(path: &[u8]) -> String {
    let path = text(path);
    let path = path.trim_start_matches('/');
    match path.strip_prefix("lib/") {
        Some(rest) => format!("usr/lib/{rest}"),
        None => path.to_owned(),
    }
}

/// Whether a path is one of [`PLACES`], or in it.
fn is_kept(path: &str) -> bool {
    PLACES.iter().any(|place| {
        let rest = path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether a directory, which ends with a slash, may hold such a path.
fn may_hold(dir: &str) -> bool {
    is_kept(dir) || PLACES.iter().any(|place| place.starts_with(dir))
}

#[cfg(test)]
mod tests;
