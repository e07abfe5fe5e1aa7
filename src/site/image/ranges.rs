// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads zstd:chunked layers in a registry with range requests: first the table of contents, then only the needed
//! files.

use std::cell::RefCell;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::rc::Rc;

use super::blobs::Blobs;
use super::shared::{SharedParts, lock};
use super::store::{self, ByteStore};
use crate::oci::{
    Descriptor, Foreign, ImageLimits, KeptPart, LayerTree, OciError, Toc, TocFile, TocPlace,
};

/// Upper bound of unneeded bytes between two files that are read with one request.
const GAP: u64 = 64 << 10;

/// A zstd:chunked layer of which parts are read.
pub(super) struct LayerByRanges<'l> {
    pub(super) blobs: &'l dyn Blobs,
    pub(super) layer: &'l Descriptor,
    /// The fetched parts of the layer, which all images with this layer share; `None` if no other image has it.
    pub(super) parts: Option<&'l SharedParts>,
    pub(super) limits: &'l ImageLimits,
}

impl LayerByRanges<'_> {
    /// Reads the table of contents. `None` if the layer must be read whole: it has no table, the table has an
    /// unsupported feature, or the registry does not support range requests.
    pub(super) fn table(&self) -> Result<Option<Toc>, OciError> {
        let Some(place) = TocPlace::of(self.layer, self.limits)? else {
            return Ok(None);
        };
        let mut parts = self.parts.map(|parts| lock(parts));
        let known = parts.as_ref().and_then(|parts| parts.table.clone());
        let bytes = match known {
            Some(bytes) => Some(bytes),
            None => self.read(place.bytes.clone())?,
        };
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        match place.parse(&bytes, self.layer.size, self.limits) {
            Ok(toc) => {
                if let Some(parts) = &mut parts {
                    parts.table = Some(bytes);
                }
                Ok(Some(toc))
            }
            Err(OciError::Unsupported(what)) => {
                tracing::info!("{}: {what}, so the layer is read whole", self.layer.digest);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a range of the layer; `None` if the registry does not support range requests.
    fn read(&self, range: Range<u64>) -> Result<Option<Vec<u8>>, OciError> {
        let length = range.end - range.start;
        let Some(input) = self.open(range)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = input.take(length).read_to_end(&mut bytes);
        read.map_err(OciError::of_io)?;
        Ok(Some(bytes))
    }

    fn open(&self, range: Range<u64>) -> Result<Option<Box<dyn Read + Send>>, OciError> {
        let opened = self.blobs.open_range(self.layer, range);
        opened.map_err(|error| match error.downcast::<OciError>() {
            Ok(error) => error,
            Err(error) => OciError::Document(format!("{error:#}")),
        })
    }

    /// Reads files into the store, and checks their digests. Each file is given with its inode. Returns `false` if the
    /// registry does not support range requests.
    pub(super) fn fetch(
        &self,
        mut files: Vec<(u32, &TocFile)>,
        tree: &LayerTree,
        store: &mut ByteStore,
    ) -> Result<bool, OciError> {
        let limit = self.limits.kept_bytes;
        let mut parts = self.parts.map(|parts| lock(parts));
        if let Some(parts) = &parts {
            for (inode, file) in std::mem::take(&mut files) {
                match parts.files.get(&file.sha256) {
                    Some(bytes) => store.put(inode, bytes.clone(), limit)?,
                    None => files.push((inode, file)),
                }
            }
        }
        files.sort_by_key(|(_, file)| file.bytes.start);
        let mut files = files.as_slice();
        while !files.is_empty() {
            let (joined, range) = join(files);
            let (now, rest) = files.split_at(joined);
            let input: Option<Box<dyn Read + Send>> = if range.is_empty() {
                Some(Box::new(io::empty()))
            } else {
                self.open(range.clone())?
            };
            let Some(input) = input else {
                return Ok(false);
            };
            let stream = Stream(Rc::new(RefCell::new(Position {
                input,
                at: range.start,
            })));
            for (inode, file) in now {
                let size = tree.inode(*inode).meta.size;
                let body = body(stream.clone(), &file.bytes, size, self.limits)?;
                let mut body = BufReader::with_capacity(128 << 10, body);
                let (sha256, bytes) = store::take(&mut body, KeptPart::All, size, limit)?;
                if sha256 != file.sha256 {
                    return Err(OciError::Mismatch {
                        what: "digest of a file in the table of contents",
                        found: format!("sha256:{}", hex::encode(sha256)),
                        expected: format!("sha256:{}", hex::encode(file.sha256)),
                    });
                }
                let Some(bytes) = bytes else {
                    continue;
                };
                if let Some(parts) = &mut parts {
                    parts.files.insert(sha256, bytes.clone());
                }
                store.put(*inode, bytes, limit)?;
            }
            files = rest;
        }
        Ok(true)
    }
}

/// Returns how many of `files`, counted from the first one, one request reads, and the range of this request. The range
/// is empty if these files are empty.
fn join(files: &[(u32, &TocFile)]) -> (usize, Range<u64>) {
    let mut range = 0..0;
    for (number, (_, file)) in files.iter().enumerate() {
        let next = file.bytes.clone();
        if next.is_empty() {
            continue;
        }
        if range.is_empty() {
            range = next;
        } else if next.start >= range.end && next.start - range.end <= GAP {
            range.end = next.end;
        } else {
            return (number, range);
        }
    }
    (files.len(), range)
}

/// The bytes of a range, and the offset of the next byte in the layer.
struct Position {
    input: Box<dyn Read + Send>,
    at: u64,
}

#[derive(Clone)]
struct Stream(Rc<RefCell<Position>>);

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut position = self.0.borrow_mut();
        let count = position.input.read(out)?;
        position.at += count as u64;
        Ok(count)
    }
}

impl Stream {
    /// Skips bytes up to the offset `place` in the layer. Fails if `place` is before the current offset.
    fn skip_to(&mut self, place: u64) -> io::Result<()> {
        let at = self.0.borrow().at;
        let count = place.checked_sub(at).ok_or_else(|| {
            io::Error::from(OciError::Document(
                "its table of contents is invalid: the data of two files overlap".into(),
            ))
        })?;
        io::copy(&mut self.take(count), &mut io::sink())?;
        Ok(())
    }
}

/// Returns a reader of the decompressed data of a file, at most `size` bytes.
fn body(
    mut stream: Stream,
    bytes: &Range<u64>,
    size: u64,
    limits: &ImageLimits,
) -> Result<Box<dyn Read>, OciError> {
    if bytes.is_empty() {
        return Ok(Box::new(io::empty()));
    }
    stream.skip_to(bytes.start).map_err(OciError::of_io)?;
    let mut decoder = zstd::Decoder::new(stream.take(bytes.end - bytes.start))?;
    let log = limits.window.max(1024).next_power_of_two().ilog2().min(31);
    decoder.window_log_max(log)?;
    Ok(Box::new(Explained(decoder.take(size))))
}

/// A decoder whose errors name the compression.
struct Explained<R>(R);

impl<R: Read> Read for Explained<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(explain)
    }
}

/// Adds the name of the compression to an error of the decoder; errors of its input are returned unchanged.
fn explain(error: io::Error) -> io::Error {
    if error
        .get_ref()
        .is_some_and(|it| it.is::<OciError>() || it.is::<Foreign>())
    {
        return error;
    }
    OciError::Corrupt(format!("zstd, in a file of its table of contents: {error}")).into()
}
