// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of contents of a zstd:chunked layer: names and digests of its files, and where their data is.
//!
//! The table is a JSON document, compressed with zstd, at a place that annotations of the layer state. The digest in
//! the annotation is the digest of the compressed document, so the digest of the manifest also covers the digest of
//! each file.
//!
//! A table can describe other files than the layer unpacks to. Only reading the whole layer would show that.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::digest::BlobDigest;
use super::error::OciError;
use super::limits::ImageLimits;
use super::manifest::{Descriptor, TOC_CHECKSUM, TOC_POSITION};
use super::tar::{LayerEntry, Metadata, NodeKind, names};

/// The type of a zstd:chunked table in [`TOC_POSITION`], the only supported type.
const CHUNKED: u64 = 1;

/// The place of a table in the stored layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocPlace {
    /// The bytes of the compressed table.
    pub bytes: Range<u64>,
    /// The digest of the compressed table.
    pub digest: BlobDigest,
    /// The decompressed size of the table (bytes).
    unpacked: u64,
}

/// A file in a table of contents.
#[derive(Debug, Clone)]
pub struct TocFile {
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// The range of the stored layer with the file's data, which is compressed in zstd frames of its own; empty for an
    /// empty file.
    pub bytes: Range<u64>,
}

/// A table of contents.
#[derive(Debug, Default)]
pub struct Toc {
    /// The entries, in the order of the layer.
    pub entries: Vec<LayerEntry>,
    /// The files, by the numbers of their entries.
    pub files: HashMap<u32, TocFile>,
}

impl TocPlace {
    /// Returns the place of a layer's table; `None` if the layer has no table of the supported type.
    ///
    /// # Errors
    /// When the annotations are malformed, contradict the size of the layer, or exceed a limit.
    pub fn of(layer: &Descriptor, limits: &ImageLimits) -> Result<Option<Self>, OciError> {
        let (Some(digest), Some(position)) = (
            layer.annotation(TOC_CHECKSUM),
            layer.annotation(TOC_POSITION),
        ) else {
            return Ok(None);
        };
        let wrong = || {
            let position = position.escape_debug();
            OciError::Document(format!("its annotation {TOC_POSITION} is {position}"))
        };
        let numbers = position.split(':').map(str::parse::<u64>);
        let numbers = numbers
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| wrong())?;
        let &[start, length, unpacked, kind] = numbers.as_slice() else {
            return Err(wrong());
        };
        if kind != CHUNKED {
            return Ok(None);
        }
        let (name, value) = ("toc_bytes", limits.toc_bytes);
        if unpacked > value || length > value {
            return Err(OciError::Limit { name, value });
        }
        let end = start.checked_add(length).filter(|end| *end <= layer.size);
        let end = end.filter(|_| length > 0).ok_or_else(wrong)?;
        Ok(Some(Self {
            bytes: start..end,
            digest: digest.parse()?,
            unpacked,
        }))
    }

    /// Decompresses and parses the table in `bytes`. `stored` is the size of the layer in bytes.
    ///
    /// # Errors
    /// When the table does not have the stated digest and size, is damaged or hostile, exceeds a limit, or has an
    /// unsupported version.
    pub fn parse(&self, bytes: &[u8], stored: u64, limits: &ImageLimits) -> Result<Toc, OciError> {
        self.digest.check(bytes)?;
        let capacity = usize::try_from(self.unpacked).unwrap_or(usize::MAX);
        let text = zstd::bulk::decompress(bytes, capacity).map_err(|error| {
            OciError::Corrupt(format!("zstd in the table of contents: {error}"))
        })?;
        if text.len() != capacity {
            return Err(OciError::Size {
                found: text.len() as u64,
                expected: self.unpacked,
            });
        }
        let parser = TableParser {
            // The data of files ends before the table.
            end: stored.min(self.bytes.start),
            limits,
        };
        let mut json = serde_json::Deserializer::from_slice(&text);
        let parsed = parser.deserialize(&mut json);
        let parsed = parsed.and_then(|table| json.end().map(|()| table));
        let table = parsed.map_err(|error| {
            OciError::Document(format!("its table of contents cannot be parsed: {error}"))
        })?;
        // Go's JSON encoder replaces bytes that are not UTF-8 by U+FFFD.
        if table.has_damaged_names {
            let what = "a table of contents with names that are not UTF-8";
            return Err(OciError::Unsupported(what.into()));
        }
        if table.version != 1 {
            return Err(OciError::Unsupported(format!(
                "a table of contents of version {}",
                table.version
            )));
        }
        table.toc
    }
}

/// A parsed table.
struct Table {
    version: u64,
    has_damaged_names: bool,
    /// The entries, or the first error in them.
    toc: Result<Toc, OciError>,
}

/// A parser of a table. It converts each entry when the entry is parsed, since a table can have a hundred thousand
/// entries.
#[derive(Clone, Copy)]
struct TableParser<'l> {
    /// The offset in the stored layer where the data of files ends.
    end: u64,
    limits: &'l ImageLimits,
}

impl<'de> DeserializeSeed<'de> for TableParser<'_> {
    type Value = Table;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Table, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableParser<'_> {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with version and entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let (mut version, mut entries) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "version" if version.is_some() => return Err(Error::duplicate_field("version")),
                "version" => version = Some(map.next_value()?),
                "entries" if entries.is_some() => return Err(Error::duplicate_field("entries")),
                "entries" => entries = Some(map.next_value_seed(EntriesParser(self))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (toc, has_damaged_names) = entries.ok_or_else(|| Error::missing_field("entries"))?;
        Ok(Table {
            version: version.ok_or_else(|| Error::missing_field("version"))?,
            has_damaged_names,
            toc,
        })
    }
}

struct EntriesParser<'l>(TableParser<'l>);

impl<'de> DeserializeSeed<'de> for EntriesParser<'_> {
    type Value = (Result<Toc, OciError>, bool);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EntriesParser<'_> {
    type Value = (Result<Toc, OciError>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let TableParser { end, limits } = self.0;
        let mut toc = Toc::default();
        let (mut failed, mut has_damaged_names) = (None, false);
        while let Some(entry) = list.next_element::<Entry<'de>>()? {
            let is_damaged = |name: &str| name.contains('\u{fffd}');
            has_damaged_names |= is_damaged(&entry.name) || is_damaged(&entry.link_name);
            if failed.is_none() {
                failed = toc.add(&entry, end, limits).err();
            }
        }
        let toc = failed.map_or(Ok(toc), Err);
        Ok((toc, has_damaged_names))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'j> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'j, str>,
    #[serde(borrow)]
    name: Cow<'j, str>,
    #[serde(default, borrow)]
    link_name: Cow<'j, str>,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default, borrow)]
    digest: Cow<'j, str>,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    end_offset: u64,
}

impl Toc {
    fn add(&mut self, entry: &Entry, end: u64, limits: &ImageLimits) -> Result<(), OciError> {
        // The chunks of a file follow its entry and are within its data, so they are skipped.
        if entry.kind == "chunk" {
            return Ok(());
        }
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        if u64::from(number) >= limits.entries {
            let (name, value) = ("entries", limits.entries);
            return Err(OciError::Limit { name, value });
        }
        let made = entry.admit(number, limits)?;
        if made.kind == NodeKind::File {
            self.files.insert(number, entry.file(end)?);
        }
        self.entries.push(made);
        Ok(())
    }
}

fn fail(name: &str, why: &str) -> OciError {
    OciError::entry(name.as_bytes(), format!("in the table of contents, {why}"))
}

impl Entry<'_> {
    /// Checks an entry by the rules for an entry of an archive, and converts it.
    fn admit(&self, number: u32, limits: &ImageLimits) -> Result<LayerEntry, OciError> {
        let kind = match &*self.kind {
            "reg" => NodeKind::File,
            "hardlink" => NodeKind::HardLink,
            "symlink" => NodeKind::Symlink,
            "dir" => NodeKind::Dir,
            "char" => NodeKind::CharDevice,
            "block" => NodeKind::BlockDevice,
            "fifo" => NodeKind::Fifo,
            _ => return Err(fail(&self.name, "its type is unknown")),
        };
        let (path, target) = names(
            kind,
            self.name.as_bytes(),
            self.link_name.as_bytes(),
            limits,
        )?;
        Ok(LayerEntry {
            path,
            kind,
            meta: Metadata {
                mode: self.mode & 0o7777,
                uid: self.uid,
                gid: self.gid,
                mtime: 0,
                size: if kind == NodeKind::File { self.size } else { 0 },
            },
            target,
            number,
            data: 0,
        })
    }

    /// Returns the digest of a file and the place of its data, which must end at the offset `end` of the stored layer
    /// or before.
    fn file(&self, end: u64) -> Result<TocFile, OciError> {
        let fail = |why: &str| fail(&self.name, why);
        let digest = match &*self.digest {
            // An empty file need not have a digest.
            "" if self.size == 0 => BlobDigest::of(b""),
            digest => digest.parse::<BlobDigest>()?,
        };
        let mut sha256 = [0; 32];
        if digest.algorithm() != "sha256"
            || hex::decode_to_slice(digest.hex(), &mut sha256).is_err()
        {
            return Err(fail("its digest is not a SHA-256"));
        }
        let bytes = if self.size == 0 {
            0..0
        } else {
            self.offset..self.end_offset
        };
        if bytes.end > end || (self.size > 0 && bytes.is_empty()) {
            return Err(fail("its data is not inside the layer"));
        }
        Ok(TocFile { sha256, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// Returns a layer of 100,000 bytes whose table is at byte 100, and the compressed table.
    fn layer(table: &str) -> (Descriptor, Vec<u8>) {
        let bytes = zstd::encode_all(table.as_bytes(), 1).unwrap();
        let mut layer = Descriptor::new(BlobDigest::of(b""), 100_000);
        let position = format!("100:{}:{}:1", bytes.len(), table.len());
        layer.annotations = Some(
            [
                (TOC_CHECKSUM.to_owned(), BlobDigest::of(&bytes).to_string()),
                (TOC_POSITION.to_owned(), position),
            ]
            .into(),
        );
        (layer, bytes)
    }

    fn parse(entries: &str) -> Result<Toc, OciError> {
        let (layer, bytes) = layer(&format!(r#"{{"version":1,"entries":[{entries}]}}"#));
        let limits = ImageLimits::default();
        let place = TocPlace::of(&layer, &limits).unwrap().unwrap();
        place.parse(&bytes, layer.size, &limits)
    }

    #[test]
    fn files_and_their_places() {
        let entries = format!(
            r#"{{"type":"dir","name":"./usr/","mode":16877}},
            {{"type":"reg","name":"usr/a","mode":33188,"size":30,"digest":"{EMPTY}","offset":10,"endOffset":40,"chunkSize":10}},
            {{"type":"chunk","name":"usr/a","offset":20,"chunkOffset":10,"chunkSize":5}},
            {{"type":"chunk","name":"usr/a","chunkOffset":15,"chunkSize":10,"chunkType":"zeros"}},
            {{"type":"chunk","name":"usr/a","offset":30,"chunkOffset":25}},
            {{"type":"reg","name":"usr/empty","digest":""}},
            {{"type":"symlink","name":"usr/l","linkName":"../x"}},
            {{"type":"hardlink","name":"usr/h","linkName":"/usr/a"}}"#
        );
        let toc = parse(&entries).unwrap();
        let paths: Vec<_> = toc
            .entries
            .iter()
            .map(|it| it.path.escape_ascii().to_string())
            .collect();
        assert_eq!(paths, ["usr", "usr/a", "usr/empty", "usr/l", "usr/h"]);
        assert_eq!(toc.files[&1].bytes, 10..40);
        assert!(toc.files[&2].bytes.is_empty());
        assert_eq!(toc.entries[4].target, b"usr/a");
    }

    #[test]
    fn hostile_tables() {
        let file = |rest: &str| format!(r#"{{"type":"reg","name":"a","digest":"{EMPTY}",{rest}}}"#);
        for (entries, expected) in [
            ("7".to_owned(), "cannot be parsed"),
            (
                r#"{"type":"reg","name":"a","size":-1}"#.into(),
                "cannot be parsed",
            ),
            (
                file(r#""size":9,"offset":90,"endOffset":101"#),
                "not inside the layer",
            ),
            (
                file(r#""size":9,"offset":50,"endOffset":40"#),
                "not inside the layer",
            ),
            (
                file(r#""size":9,"offset":40,"endOffset":40"#),
                "not inside the layer",
            ),
            (
                r#"{"type":"socket","name":"a"}"#.into(),
                "its type is unknown",
            ),
            (
                r#"{"type":"dir","name":"../a"}"#.into(),
                "leads out of the image",
            ),
            (r#"{"type":"dir","name":"/a"}"#.into(), "is absolute"),
            (
                r#"{"type":"reg","name":"a","size":1,"digest":"sha256:0"}"#.into(),
                "is not a digest",
            ),
            (
                format!(
                    r#"{{"type":"reg","name":"a","size":1,"digest":"sha512:{}"}}"#,
                    "0".repeat(128)
                ),
                "not a SHA-256",
            ),
            (
                r#"{"type":"dir","name":"\ufffd"}"#.into(),
                "not UTF-8 is not supported",
            ),
        ] {
            let error = parse(&entries).unwrap_err().to_string();
            assert!(error.contains(expected), "{entries}: {error}");
        }
        let limits = ImageLimits::default();
        let (mut layer, mut bytes) = layer(r#"{"version":2,"entries":[]}"#);
        let place = TocPlace::of(&layer, &limits).unwrap().unwrap();
        let error = place.parse(&bytes, 1000, &limits).unwrap_err().to_string();
        assert!(error.contains("version 2 is not supported"), "{error}");
        bytes[0] ^= 1;
        let error = place.parse(&bytes, 1000, &limits).unwrap_err().to_string();
        assert!(error.contains("its digest is"), "{error}");
        for (position, expected) in [
            ("1:2:3", "its annotation"),
            ("-1:2:3:1", "its annotation"),
            ("99999:2:3:1", "its annotation"),
            ("18446744073709551615:2:3:1", "its annotation"),
            ("1:0:3:1", "its annotation"),
            ("1:2:999999999999:1", "the limit toc_bytes"),
            ("1:999999999999:1:1", "the limit toc_bytes"),
        ] {
            let annotations = layer.annotations.as_mut().unwrap();
            annotations.insert(TOC_POSITION.to_owned(), position.to_owned());
            let error = TocPlace::of(&layer, &limits).unwrap_err().to_string();
            assert!(error.contains(expected), "{position}: {error}");
        }
        let annotations = layer.annotations.as_mut().unwrap();
        annotations.insert(TOC_POSITION.to_owned(), "1:2:3:7".to_owned());
        assert_eq!(TocPlace::of(&layer, &limits).unwrap(), None);
    }
}
