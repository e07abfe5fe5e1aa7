// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses a header blob of an rpmdb: the numbers at its start, its tags, its files.

use std::collections::BTreeMap;

use super::super::capability::{Capability, Op};
use super::super::header::{TAGS_MAX, be32, check_entries};
use super::super::nevra::Nevra;
use super::{BLOB_MAX, FILE_SIZE, FILES_MAX, FileDigest, PackageFile, Record, RpmdbError};

/// Upper bound of the length of a path (bytes): Linux' PATH_MAX.
const PATH_MAX: usize = 4096;

/// The directories in which packages of kernels have files, relative to the root. Only these directories and the files
/// in them are stored: an image has hundreds of thousands of files elsewhere.
const PLACES: [&str; 3] = ["usr/lib/modules", "boot", "usr/lib/ostree-boot"];

impl Record {
    /// Parses a blob.
    ///
    /// # Errors
    /// When the blob is damaged, or the facts about its files exceed [`FILES_MAX`]. A missing tag is not damage:
    /// OpenPGP keys (`gpg-pubkey`) have only a few tags.
    pub fn parse(blob: &[u8]) -> Result<Self, RpmdbError> {
        let header = Header::of(blob)?;
        let text = |tag| Ok(header.strings(tag)?.next().map(text).unwrap_or_default());
        let or_none = |text: String| {
            if text.is_empty() {
                "(none)".to_owned()
            } else {
                text
            }
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
            build: build(&header)?,
            has_files: header.entry(tag::BASENAMES).is_some()
                || header.entry(tag::OLDFILENAMES).is_some(),
            files: header.files()?,
        })
    }
}

/// Returns the host and the time of the build; `None` also for a time that rpmbuild takes from the changelog (noon,
/// `%use_source_date_epoch_as_buildtime`), since other builds have the same time.
fn build(header: &Header) -> Result<Option<String>, RpmdbError> {
    let host = header.strings(tag::BUILDHOST)?.next().map(text);
    let time = header.numbers(tag::BUILDTIME)?.next();
    let both = host.zip(time.filter(|time| time % 86_400 != 43_200));
    Ok(both.map(|(host, time)| format!("{host} {time}")))
}

/// Numbers of tags, as in rpm's `rpmtag.h`.
pub(super) mod tag {
    pub const SHA256HEADER: u32 = 273;
    pub const NAME: u32 = 1000;
    pub const VERSION: u32 = 1001;
    pub const RELEASE: u32 = 1002;
    pub const EPOCH: u32 = 1003;
    pub const BUILDTIME: u32 = 1006;
    pub const BUILDHOST: u32 = 1007;
    pub const ARCH: u32 = 1022;
    /// Whole paths, in packages from before rpm 4.
    pub const OLDFILENAMES: u32 = 1027;
    pub const FILESIZES: u32 = 1028;
    pub const FILESTATES: u32 = 1029;
    pub const FILEMODES: u32 = 1030;
    pub const FILEDIGESTS: u32 = 1035;
    pub const FILELINKTOS: u32 = 1036;
    pub const FILEFLAGS: u32 = 1037;
    pub const DIRINDEXES: u32 = 1116;
    pub const BASENAMES: u32 = 1117;
    pub const DIRNAMES: u32 = 1118;
    pub const FILECOLORS: u32 = 1140;
    pub const LONGFILESIZES: u32 = 5008;
    pub const FILEDIGESTALGO: u32 = 5011;
    /// The tags of the names, the flags and the versions.
    pub const PROVIDES: [u32; 3] = [1047, 1112, 1113];
    /// The tags of the names, the flags and the versions.
    pub const REQUIRES: [u32; 3] = [1049, 1048, 1050];
}

/// The file flag `RPMFILE_GHOST`.
pub const GHOST: u32 = 1 << 6;

/// Returns whether a file with this state (`RPMTAG_FILESTATES`) is installed: it was not replaced by another package
/// (1), not skipped (2), and has the right colour (4). `rpm -qf` considers the same files.
pub fn is_installed(state: u32) -> bool {
    !matches!(state, 1 | 2 | 4)
}

/// A header. The values of all entries are inside its data.
pub(super) struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

/// One entry of the index, with the header's data from the entry's offset on.
struct IndexEntry<'a> {
    kind: u32,
    count: usize,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn of(blob: &'a [u8]) -> Result<Self, RpmdbError> {
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
                "{} bytes follow the counts, expected {entries} entries of 16 bytes and {data} bytes of data",
                rest.len()
            )));
        }
        check_entries(rest, entries as usize).map_err(framing)?;
        let (index, data) = rest.split_at(index);
        Ok(Self { index, data })
    }

    fn entry(&self, tag: u32) -> Option<IndexEntry<'a>> {
        let mut entries = self.index.chunks_exact(16);
        let entry = entries.find(|entry| be32(entry, 0) == tag)?;
        Some(IndexEntry {
            kind: be32(entry, 4),
            data: self.data.get(be32(entry, 8) as usize..)?,
            count: be32(entry, 12) as usize,
        })
    }

    /// Returns the strings of a tag without their NUL; no strings if the tag is missing.
    pub(super) fn strings(
        &self,
        tag: u32,
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, RpmdbError> {
        let (data, count): (&[u8], usize) = match self.entry(tag) {
            Some(entry) if matches!(entry.kind, 6 | 8 | 9) => (entry.data, entry.count),
            Some(_) => return Err(wrong(tag, "is not text")),
            None => (&[], 0),
        };
        Ok(data.split(|byte| *byte == 0).take(count))
    }

    /// Returns the numbers of a tag, as [`numbers`](Self::numbers) does, which can have 64 bits.
    pub(super) fn longs(&self, tag: u32) -> Result<Box<dyn Iterator<Item = u64> + 'a>, RpmdbError> {
        Ok(match self.entry(tag) {
            Some(entry) if entry.kind == 5 => {
                let longs = entry.data.chunks_exact(8).take(entry.count);
                Box::new(longs.map(|it| it.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))))
            }
            _ => Box::new(self.numbers(tag)?.map(u64::from)),
        })
    }

    /// Returns the numbers of a tag; no numbers if the tag is missing.
    pub(super) fn numbers(
        &self,
        tag: u32,
    ) -> Result<impl Iterator<Item = u32> + use<'a>, RpmdbError> {
        let (data, count, size): (&[u8], usize, usize) = match self.entry(tag) {
            Some(entry) => match entry.kind {
                1 | 2 | 7 => (entry.data, entry.count, 1),
                3 => (entry.data, entry.count, 2),
                4 => (entry.data, entry.count, 4),
                _ => return Err(wrong(tag, "is not a number")),
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

    /// Returns the installed files in [`PLACES`].
    fn files(&self) -> Result<BTreeMap<String, PackageFile>, RpmdbError> {
        let mut files = BTreeMap::new();
        let dirs: Vec<_> = self.strings(tag::DIRNAMES)?.map(filed).collect();
        let is_old = dirs.is_empty();
        if !is_old && !dirs.iter().any(|dir| may_hold(dir)) {
            return Ok(files);
        }
        let mut dir_of = self.numbers(tag::DIRINDEXES)?;
        let names = if is_old {
            self.strings(tag::OLDFILENAMES)?
        } else {
            self.strings(tag::BASENAMES)?
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
            if !is_kept(&path) || !is_installed(state) {
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

/// Returns the path under which [`Record::files`] has a file, relative to the root; `None` if it does not have the
/// file.
pub fn kept_path(path: &str) -> Option<String> {
    Some(filed(path.as_bytes())).filter(|path| is_kept(path))
}

/// Returns a path relative to the root, with `usr/` inserted if the path is in a directory that has moved to `usr`. `/lib`
/// and the others are links there, and packages use both names.
pub(super) fn filed(path: &[u8]) -> String {
    const MOVED: [&str; 4] = ["lib/", "lib64/", "bin/", "sbin/"];
    let path = text(path);
    let path = path.trim_start_matches('/');
    if MOVED.iter().any(|dir| path.starts_with(dir)) {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

/// Returns whether a path is one of [`PLACES`] or below it.
pub(super) fn is_kept(path: &str) -> bool {
    PLACES.iter().any(|place| {
        let rest = path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Returns whether a directory, given with a final slash, can contain a path that is stored.
fn may_hold(dir: &str) -> bool {
    is_kept(dir) || PLACES.iter().any(|place| place.starts_with(dir))
}
