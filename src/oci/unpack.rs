// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decompresses a layer. The format is detected from the first bytes, as in container engines, because media types are
//! often wrong.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::OciError;
use super::limits::{ImageLimits, RATIO_FLOOR};

/// Number of bytes at the start of a layer from which its format is detected.
const MAGIC: usize = 6;

/// The compression of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerCompression {
    /// No compression.
    None,
    /// gzip, one member or several.
    Gzip,
    /// zstd, one frame or several, also zstd:chunked.
    Zstd,
}

impl fmt::Display for LayerCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no compression",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl LayerCompression {
    fn of(start: &[u8]) -> Result<Self, OciError> {
        let unsupported =
            |name: &str| Err(OciError::Unsupported(format!("its compression, {name}, ")));
        // A zstd layer can start with a skippable frame.
        let is_skippable =
            start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == [0x2a, 0x4d, 0x18];
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            _ if is_skippable => Ok(Self::Zstd),
            [b'B', b'Z', b'h', ..] => unsupported("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz"),
            _ => Ok(Self::None),
        }
    }
}

/// Returns the compression of a layer, and a reader of the decompressed layer that enforces `limits`. `decoded` counts
/// the decompressed bytes of all layers together.
///
/// # Errors
/// When the first bytes cannot be read, or the compression is not supported.
pub fn decoder<'i>(
    mut input: impl Read + Send + 'i,
    limits: &ImageLimits,
    decoded: &Arc<AtomicU64>,
) -> Result<(LayerCompression, Box<dyn Read + Send + 'i>), OciError> {
    let mut start = Vec::new();
    let read = (&mut input).take(MAGIC as u64).read_to_end(&mut start);
    read.map_err(OciError::of_io)?;
    let compression = LayerCompression::of(&start)?;
    let stored = Arc::new(AtomicU64::new(0));
    let input = Counted {
        input: Cursor::new(start).chain(input),
        stored: Arc::clone(&stored),
    };
    let input = io::BufReader::with_capacity(128 << 10, input);
    let inner: Box<dyn Read + Send + 'i> = match compression {
        LayerCompression::None => Box::new(input),
        LayerCompression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        LayerCompression::Zstd => {
            let log = limits.window.max(1024).next_power_of_two().ilog2().min(31);
            let mut decoder = zstd::Decoder::with_buffer(input).map_err(OciError::of_io)?;
            decoder.window_log_max(log).map_err(OciError::of_io)?;
            Box::new(decoder)
        }
    };
    let bounded = Bounded {
        inner,
        compression,
        limits: limits.clone(),
        stored,
        unpacked: 0,
        all: Arc::clone(decoded),
    };
    Ok((compression, Box::new(bounded)))
}

/// A reader that counts the bytes that are read from it.
struct Counted<R> {
    input: R,
    stored: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        self.stored.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A decoder that enforces the limits and converts errors of the format to [`OciError`].
struct Bounded<'i> {
    inner: Box<dyn Read + Send + 'i>,
    compression: LayerCompression,
    limits: ImageLimits,
    stored: Arc<AtomicU64>,
    unpacked: u64,
    all: Arc<AtomicU64>,
}

impl Bounded<'_> {
    fn explain(&self, error: io::Error) -> io::Error {
        let is_ours = error.get_ref().is_some_and(|it| it.is::<OciError>());
        let is_of_system = error.raw_os_error().is_some();
        if self.compression == LayerCompression::None || is_ours || is_of_system {
            return error;
        }
        let limit = || OciError::Limit {
            name: "window",
            value: self.limits.window,
        };
        match error.kind() {
            io::ErrorKind::Interrupted => error,
            io::ErrorKind::UnexpectedEof => {
                OciError::Corrupt(format!("{}: it is truncated", self.compression)).into()
            }
            _ if error.to_string().contains("too much memory") => limit().into(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other
                if error.get_ref().is_none_or(|it| !it.is::<Foreign>()) =>
            {
                OciError::Corrupt(format!("{}: {error}", self.compression)).into()
            }
            _ => error,
        }
    }
}

/// An error of the input, for example of the network. A decoder returns this error unchanged instead of reporting
/// damaged data.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Foreign(pub String);

impl Read for Bounded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out).map_err(|error| self.explain(error))?;
        self.unpacked += count as u64;
        let limit = |name, value| io::Error::from(OciError::Limit { name, value });
        let stored = self.stored.load(Ordering::Relaxed).max(1);
        if self.unpacked > RATIO_FLOOR && self.unpacked / stored > self.limits.ratio {
            return Err(limit("ratio", self.limits.ratio));
        }
        let all = self.all.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if all > self.limits.decoded_bytes {
            return Err(limit("decoded_bytes", self.limits.decoded_bytes));
        }
        Ok(count)
    }
}
