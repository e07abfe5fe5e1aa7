// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the entries of a layer's archive, in order.
//!
//! `tar-core` parses the headers (ustar, PAX, GNU). Paths are checked here: an entry cannot lead out of the image.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use tar_core::EntryType;
use tar_core::parse::{ParseEvent, ParsedEntry, Parser};

use super::error::OciError;
use super::limits::ImageLimits;

/// Initial size of the buffer (bytes).
const BUFFER: usize = 256 << 10;

/// Upper bound of the header blocks of one entry (bytes), without the data that [`ImageLimits::header_bytes`] limits.
/// An entry has a header block, and one more each for an extended header, a long name and a long target.
const HEADERS: usize = 16 * 512;

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// Another name of a file.
    HardLink,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// The metadata of an entry, or of a file in the merged tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time in seconds since 1970.
    pub mtime: i64,
    /// The size of a file in bytes. In the merged tree, the length of a symbolic link's target; 0 for other types.
    pub size: u64,
}

/// An entry, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// The path without `.` and empty components; empty for the root itself.
    pub path: Vec<u8>,
    /// The type.
    pub kind: NodeKind,
    /// Its metadata.
    pub meta: Metadata,
    /// The target of a link; for a hard link in the form of [`path`](Self::path).
    pub target: Vec<u8>,
    /// The number of the entry in its layer, from 0.
    pub number: u32,
    /// The offset of the data in the decompressed archive; 0 if the entry is from a table of contents.
    pub data: u64,
}

/// A receiver of entries.
pub trait LayerVisitor {
    /// Receives an entry and its data. Unread data is skipped.
    ///
    /// # Errors
    /// Any error ends the reading.
    fn entry(&mut self, entry: &LayerEntry, body: &mut dyn BufRead) -> Result<(), OciError>;
}

impl<F: FnMut(&LayerEntry, &mut dyn BufRead) -> Result<(), OciError>> LayerVisitor for F {
    fn entry(&mut self, entry: &LayerEntry, body: &mut dyn BufRead) -> Result<(), OciError> {
        self(entry, body)
    }
}

/// An input that may be able to skip bytes without reading them.
trait Input: Read {
    /// Skips `count` bytes. Returns `false` if the input cannot do so; the bytes must then be read.
    fn skip(&mut self, count: u64) -> io::Result<bool>;
}

struct Streamed<'i>(&'i mut dyn Read);

impl Read for Streamed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Input for Streamed<'_> {
    fn skip(&mut self, _: u64) -> io::Result<bool> {
        Ok(false)
    }
}

struct Seekable<F>(F);

impl<F: Read> Read for Seekable<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl<F: Read + Seek> Input for Seekable<F> {
    fn skip(&mut self, count: u64) -> io::Result<bool> {
        let Ok(count) = i64::try_from(count) else {
            return Ok(false);
        };
        self.0.seek(SeekFrom::Current(count))?;
        Ok(true)
    }
}

/// Reads an archive to its end, and the padding after it to the end of the input.
///
/// # Errors
/// When the archive is damaged or hostile, a limit is exceeded, or the input or the visitor fails.
pub fn read(
    input: &mut dyn Read,
    limits: &ImageLimits,
    visitor: &mut dyn LayerVisitor,
) -> Result<(), OciError> {
    read_from(&mut Streamed(input), limits, visitor)
}

/// Lists an archive. Data that the visitor does not read is skipped by seeking, so missing data at the end of the input
/// is not detected: the caller compares [`LayerEntry::data`] with the size of the input.
///
/// # Errors
/// As [`read`].
pub fn list(
    input: impl Read + Seek,
    limits: &ImageLimits,
    visitor: &mut dyn LayerVisitor,
) -> Result<(), OciError> {
    read_from(&mut Seekable(input), limits, visitor)
}

fn read_from(
    input: &mut dyn Input,
    limits: &ImageLimits,
    visitor: &mut dyn LayerVisitor,
) -> Result<(), OciError> {
    let mut source = ArchiveInput {
        input,
        buffer: vec![0; BUFFER],
        start: 0,
        end: 0,
        at: 0,
    };
    let mut parser = Parser::new(tar_core::parse::Limits {
        max_metadata_size: limits.header_bytes,
        ..tar_core::parse::Limits::default()
    });
    let mut number = 0;
    loop {
        let at = source.at;
        let damaged = |why: String| OciError::Archive { at, why };
        let available = &source.buffer[source.start..source.end];
        let (consumed, mut entry) = match parser
            .parse(available)
            .map_err(|error| explain(at, error))?
        {
            ParseEvent::NeedData { min_bytes } => {
                if min_bytes > limits.header_bytes as usize + HEADERS {
                    return Err(header_limit(limits));
                }
                let is_empty = available.is_empty();
                if !source.fill_to(min_bytes)? {
                    // Many archives lack the two blocks of zeros at the end.
                    if is_empty && source.start == source.end {
                        return Ok(());
                    }
                    return Err(damaged("it is truncated".into()));
                }
                continue;
            }
            ParseEvent::Entry { consumed, entry } => (consumed, admit(&entry, number, limits)?),
            ParseEvent::SparseEntry { entry, .. } => {
                return Err(OciError::entry(
                    &entry.path,
                    "it is a sparse file, which is not supported in an image",
                ));
            }
            ParseEvent::GlobalExtensions { consumed, .. } => {
                source.take(consumed);
                continue;
            }
            ParseEvent::End { consumed } => {
                source.take(consumed);
                return source.drain();
            }
        };
        source.take(consumed);
        entry.data = source.at;
        number = u32::try_from(u64::from(number) + 1).map_err(|_| OciError::Limit {
            name: "entries",
            value: limits.entries,
        })?;
        let has_data = matches!(entry.kind, NodeKind::File);
        let size = if has_data { entry.meta.size } else { 0 };
        let mut body = Body {
            source: &mut source,
            left: size,
        };
        visitor.entry(&entry, &mut body)?;
        let left = body.left;
        let padding = size.next_multiple_of(512) - size;
        source.skip(left + padding)?;
    }
}

fn header_limit(limits: &ImageLimits) -> OciError {
    OciError::Limit {
        name: "header_bytes",
        value: limits.header_bytes.into(),
    }
}

fn explain(at: u64, error: tar_core::parse::ParseError) -> OciError {
    use tar_core::parse::ParseError;
    match error {
        ParseError::MetadataTooLarge { limit, .. } => OciError::Limit {
            name: "header_bytes",
            value: limit.into(),
        },
        error => OciError::Archive {
            at,
            why: error.to_string(),
        },
    }
}

/// Checks an entry and copies the fields that are used.
fn admit(
    entry: &ParsedEntry<'_>,
    number: u32,
    limits: &ImageLimits,
) -> Result<LayerEntry, OciError> {
    let raw = entry.path.as_ref();
    let kind = match entry.entry_type {
        // Old archives mark a directory only by a slash at the end of its name.
        EntryType::Regular if raw.ends_with(b"/") => NodeKind::Dir,
        EntryType::Regular | EntryType::Continuous => NodeKind::File,
        EntryType::Link => NodeKind::HardLink,
        EntryType::Symlink => NodeKind::Symlink,
        EntryType::Char => NodeKind::CharDevice,
        EntryType::Block => NodeKind::BlockDevice,
        EntryType::Directory => NodeKind::Dir,
        EntryType::Fifo => NodeKind::Fifo,
        other => {
            return Err(OciError::entry(
                raw,
                format!("its type {other:?} is not supported in an image"),
            ));
        }
    };
    let target = entry.link_target.as_deref().unwrap_or_default();
    let (path, target) = names(kind, raw, target, limits)?;
    let number_of = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(LayerEntry {
        path,
        kind,
        meta: Metadata {
            mode: entry.mode & 0o7777,
            uid: number_of(entry.uid),
            gid: number_of(entry.gid),
            mtime: i64::try_from(entry.mtime).unwrap_or(i64::MAX),
            size: entry.size,
        },
        target,
        number,
        data: 0,
    })
}

/// Checks the path and the target of an entry, and returns them in the form of [`LayerEntry`].
pub(super) fn names(
    kind: NodeKind,
    raw: &[u8],
    target: &[u8],
    limits: &ImageLimits,
) -> Result<(Vec<u8>, Vec<u8>), OciError> {
    let fail = |why: &str| Err(OciError::entry(raw, why));
    let limit = |name, value| {
        let value = value as u64;
        Err(OciError::Limit { name, value })
    };
    if raw.len() > limits.name_len || target.len() > limits.name_len {
        return limit("name_len", limits.name_len);
    }
    if raw.contains(&0) || target.contains(&0) {
        return fail("its name contains a NUL byte");
    }
    if raw.starts_with(b"/") && raw.iter().any(|&byte| byte != b'/') {
        return fail("its name is absolute; the names of a layer are relative to the image");
    }
    let Some(path) = components(raw) else {
        return fail("its name leads out of the image");
    };
    if path.split(|&byte| byte == b'/').count() > limits.depth {
        return limit("depth", limits.depth);
    }
    if path.is_empty() && kind != NodeKind::Dir {
        return fail("it replaces the root of the image, which must be a directory");
    }
    let target = match kind {
        NodeKind::HardLink => match components(target) {
            Some(target) if !target.is_empty() => target,
            Some(_) => return fail("it is a hard link without a target, or to the root"),
            None => return fail("it is a hard link that leads out of the image"),
        },
        NodeKind::Symlink if target.is_empty() => return fail("it is a link without a target"),
        NodeKind::Symlink => target.to_vec(),
        _ => Vec::new(),
    };
    Ok((path, target))
}

/// Returns the path without `.` and empty components; `None` if it has a component `..`.
fn components(path: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => {
                if !kept.is_empty() {
                    kept.push(b'/');
                }
                kept.extend_from_slice(part);
            }
        }
    }
    Some(kept)
}

/// The archive, with a buffer.
struct ArchiveInput<'i> {
    input: &'i mut dyn Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset of `start` in the archive.
    at: u64,
}

impl ArchiveInput<'_> {
    /// Reads until at least `count` bytes are available. Returns `false` if the input ends before.
    fn fill_to(&mut self, count: usize) -> Result<bool, OciError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        while self.end < count {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(OciError::of_io(error)),
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) {
        self.start += count;
        self.at += count as u64;
    }

    fn skip(&mut self, mut count: u64) -> Result<(), OciError> {
        while count > 0 {
            if self.start == self.end && self.input.skip(count).map_err(OciError::of_io)? {
                self.at += count;
                return Ok(());
            }
            if self.start == self.end && !self.fill_to(1)? {
                return Err(OciError::Archive {
                    at: self.at,
                    why: "it is truncated".into(),
                });
            }
            let available = (self.end - self.start) as u64;
            let step = available.min(count);
            self.take(usize::try_from(step).unwrap_or(0));
            count -= step;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), OciError> {
        loop {
            self.take(self.end - self.start);
            if !self.fill_to(1)? {
                return Ok(());
            }
        }
    }
}

/// The data of an entry.
struct Body<'s, 'i> {
    source: &'s mut ArchiveInput<'i>,
    left: u64,
}

impl BufRead for Body<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        if self.source.start == self.source.end && !self.source.fill_to(1)? {
            let (at, why) = (self.source.at, "it is truncated".to_owned());
            return Err(OciError::Archive { at, why }.into());
        }
        let ready = &self.source.buffer[self.source.start..self.source.end];
        let count = usize::try_from(self.left).unwrap_or(usize::MAX);
        Ok(&ready[..ready.len().min(count)])
    }

    fn consume(&mut self, count: usize) {
        self.source.take(count);
        self.left -= count as u64;
    }
}

impl Read for Body<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let count = ready.read(out)?;
        self.consume(count);
        Ok(count)
    }
}
