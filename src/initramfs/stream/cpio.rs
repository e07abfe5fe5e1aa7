// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses newc archives: headers, names, data and the trailer.
//!
//! The parser keeps no data. Invariants: the data size in a header is counted down as bytes arrive, and no memory is
//! allocated for it; after an entry the cursor is where the kernel expects the next entry, however much data the
//! visitor has read.

use std::io::{self, BufRead, Read};

use super::compression::Compression;
use super::cursor::Cursor;
use super::entry::{Device, Entry, EntryType, NameProblem, PATH_MAX, Visitor};
use super::error::{Position, ReadError};
use super::limits::Limits;
use crate::bytes::read_buffered;

/// Size of a newc header (bytes).
const HEADER: usize = 110;
/// The data of one entry.
struct Body<'c, 'p> {
    cursor: &'c mut Cursor<'p>,
    limits: &'c Limits,
    left: u64,
    sum: Option<u32>,
    broken: Option<ReadError>,
}

impl BufRead for Body<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        if self.broken.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let at = self.cursor.place();
        match self.cursor.chunk(self.limits) {
            Ok([]) => {
                self.broken = Some(ReadError::Truncated {
                    at,
                    what: "the data of an entry",
                });
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(chunk) => Ok(&chunk[..chunk.len().min(self.left.try_into().unwrap_or(usize::MAX))]),
            Err(error) => {
                self.broken = Some(error);
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.left.try_into().unwrap_or(usize::MAX));
        if let Some(sum) = &mut self.sum {
            let seen = self.cursor.again();
            let bytes = &seen[..amount.min(seen.len())];
            *sum = bytes
                .iter()
                .fold(*sum, |sum, &byte| sum.wrapping_add(byte.into()));
        }
        self.cursor.take(amount);
        self.left -= amount as u64;
    }
}

impl Read for Body<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buf)
    }
}

impl Body<'_, '_> {
    /// Reads the data that the visitor has not read. Returns the sum of all data bytes, if the entry has a checksum.
    fn drain(mut self) -> Result<Option<u32>, ReadError> {
        while self.left > 0 {
            match self.fill_buf().map(<[u8]>::len) {
                Ok(count) => self.consume(count),
                Err(error) => {
                    let offset = self.cursor.place().offset;
                    return Err(self.broken.unwrap_or(ReadError::Io {
                        offset,
                        source: error,
                    }));
                }
            }
        }
        Ok(self.sum)
    }
}

/// Counters for all segments of an image together.
#[derive(Default)]
pub(in crate::initramfs) struct Counters {
    pub(in crate::initramfs) entries: u64,
    pub(in crate::initramfs) archives: u32,
    /// Bytes of names and link targets.
    pub(in crate::initramfs) name_bytes: u64,
}

/// Passes the entries of the archive at the position of `cursor` to `visitor`, and reads the trailer. The caller has
/// checked that the next byte is `0`, as at the start of a header, and that its offset is a multiple of four.
pub(in crate::initramfs) fn archive(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    progress: &mut Counters,
    visitor: &mut dyn Visitor,
) -> Result<(), ReadError> {
    loop {
        let at = cursor.place();
        if progress.entries >= limits.entries {
            return Err(ReadError::Limit {
                name: "entries",
                value: limits.entries,
                at,
            });
        }
        let packed = cursor.packed();
        let mut entry = header(cursor, limits)?;
        let trailer = name(cursor, limits, at, &mut entry)?;
        entry.0.archive = progress.archives;
        entry.0.index = progress.entries;
        entry.0.offset = packed;
        if trailer {
            cursor.skip(padded(entry.0.size), "the padding of a trailer", limits)?;
            progress.archives = progress.archives.saturating_add(1);
            return Ok(());
        }
        progress.entries += 1;
        progress.name_bytes += u64::from(entry.1).min(PATH_MAX);
        if entry.0.kind() == EntryType::Symlink {
            progress.name_bytes += u64::from(entry.0.size).min(PATH_MAX);
        }
        if progress.name_bytes > limits.name_bytes {
            return Err(ReadError::Limit {
                name: "name_bytes",
                value: limits.name_bytes,
                at,
            });
        }
        data(cursor, limits, &entry.0, visitor)?;
        if !cursor.skip_nuls(limits)? {
            return Err(ReadError::MissingTrailer { at: cursor.place() });
        }
        if cursor.chunk(limits)?.first() != Some(&b'0') {
            let junk = cursor.junk(limits);
            let missing = matches!(&junk, ReadError::Junk { .. })
                && at.compression == Compression::None
                && Compression::detect(cursor.chunk(limits)?).is_some();
            let at = cursor.place();
            return Err(if missing {
                ReadError::MissingTrailer { at }
            } else {
                junk
            });
        }
        if !cursor.place().decoded.is_multiple_of(4) {
            return Err(ReadError::Misaligned { at: cursor.place() });
        }
    }
}

/// An entry whose name is not read yet, and the length of the name.
struct Headed(Entry, u32);

fn header(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Headed, ReadError> {
    let at = cursor.place();
    let mut bytes = [0; HEADER];
    cursor.exact(&mut bytes, "a cpio header", limits)?;
    let bad = |what| ReadError::Header { at, what };
    let summed = match &bytes[..6] {
        b"070701" => false,
        b"070702" => true,
        b"070707" => return Err(bad("the odc format; the kernel supports only newc")),
        _ => return Err(bad("not a newc magic number")),
    };
    let mut fields = [0_u32; 13];
    for (field, digits) in fields.iter_mut().zip(bytes[6..].chunks_exact(8)) {
        *field = digits
            .iter()
            .try_fold(0, |value, &digit| {
                Some(value << 4 | char::from(digit).to_digit(16)?)
            })
            .ok_or_else(|| bad("a digit that is not hexadecimal"))?;
    }
    let [ino, mode, uid, gid, nlink, mtime, size, ..] = fields;
    let [.., major, minor, rmajor, rminor, namesize, sum] = fields;
    if namesize > limits.name_len {
        return Err(ReadError::Limit {
            name: "name_len",
            value: limits.name_len.into(),
            at,
        });
    }
    let entry = Entry {
        path: Vec::new(),
        problems: Vec::new(),
        mode,
        uid,
        gid,
        ino,
        nlink,
        mtime,
        size,
        dev: Device { major, minor },
        rdev: Device {
            major: rmajor,
            minor: rminor,
        },
        checksum: summed.then_some(sum),
        segment: at.segment,
        archive: 0,
        index: 0,
        offset: 0,
    };
    Ok(Headed(entry, namesize))
}

/// Reads the name into `entry`, and skips its padding. Returns whether the entry is the trailer.
fn name(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    at: Position,
    Headed(entry, namesize): &mut Headed,
) -> Result<bool, ReadError> {
    let namesize = u64::from(*namesize);
    let mut bytes = vec![0; namesize.min(PATH_MAX) as usize];
    cursor.exact(&mut bytes, "a name", limits)?;
    // The name starts 110 bytes after a multiple of four and is padded to the next multiple.
    let rest = namesize - bytes.len() as u64 + (2_u64.wrapping_sub(namesize) & 3);
    cursor.skip(rest, "the padding of a name", limits)?;
    if namesize > PATH_MAX {
        entry.problems.push(NameProblem::TooLong);
    } else if bytes.last().is_some_and(|&last| last != 0) {
        return Err(ReadError::Header {
            at,
            what: "a name without a NUL at its end",
        });
    }
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    bytes.truncate(end);
    let kind = entry.kind();
    let taken = kind == EntryType::File || (entry.size == 0 && kind != EntryType::Symlink);
    if bytes == b"TRAILER!!!" && namesize <= PATH_MAX && taken {
        return Ok(true);
    }
    if bytes.is_empty() {
        entry.problems.push(NameProblem::Empty);
    }
    if bytes.first() == Some(&b'/') {
        entry.problems.push(NameProblem::Absolute);
    }
    entry.path = normal(&bytes);
    if entry
        .path
        .split(|&byte| byte == b'/')
        .any(|part| part == b"..")
    {
        entry.problems.push(NameProblem::Traversal);
    }
    Ok(false)
}

/// Returns a path without empty and `.` components.
pub(in crate::initramfs) fn normal(path: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        if part.is_empty() || part == b"." {
            continue;
        }
        if !normal.is_empty() {
            normal.push(b'/');
        }
        normal.extend_from_slice(part);
    }
    normal
}

fn padded(size: u32) -> u64 {
    (u64::from(size) + 3) & !3
}

fn data(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    entry: &Entry,
    visitor: &mut dyn Visitor,
) -> Result<(), ReadError> {
    // The kernel verifies the checksums of regular files only.
    let expected = entry.checksum.filter(|_| entry.kind() == EntryType::File);
    let left = u64::from(entry.size);
    let mut body = Body {
        cursor,
        limits,
        left,
        sum: expected.map(|_| 0),
        broken: None,
    };
    let seen = visitor.entry(entry, &mut body);
    if let Some(broken) = body.broken {
        return Err(broken);
    }
    if let Err(source) = seen {
        return Err(ReadError::Visitor {
            path: entry.path.clone(),
            source,
        });
    }
    let found = body.drain()?;
    if let (Some(found), Some(expected)) = (found, expected)
        && found != expected
    {
        let path = entry.path.clone();
        return Err(ReadError::Checksum {
            at: cursor.place(),
            path,
            found,
            expected,
        });
    }
    cursor.skip(
        padded(entry.size) - u64::from(entry.size),
        "the padding of data",
        limits,
    )
}
