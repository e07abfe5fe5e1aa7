// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bytes of a module whose file is compressed.
//!
//! Memory is bounded by [`MAX_UNPACKED`] and by a decoder's window, not by what a header claims.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

/// The largest module that is unpacked, in bytes; the largest in-tree one (amdgpu) has about 20 MB
/// without its debug information.
pub const MAX_UNPACKED: u64 = 32 << 20;

/// The largest window of a decoder: 2^26 bytes, what `xz -9` uses.
const MAX_WINDOW_LOG: u32 = 26;

/// The module in `data`, which lies in a file called `path`: its suffix tells the compression.
///
/// # Errors
/// When the data do not decode, or to more than [`MAX_UNPACKED`] bytes.
pub fn unpack(path: &[u8], data: impl BufRead) -> io::Result<Vec<u8>> {
    if path.ends_with(b".xz") {
        let stream = Stream::new_stream_decoder((1 << MAX_WINDOW_LOG) + (16 << 20), 0)?;
        bounded(XzDecoder::new_stream(data, stream))
    } else if path.ends_with(b".zst") {
        let mut decoder = zstd::Decoder::with_buffer(data)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        bounded(decoder)
    } else if path.ends_with(b".gz") {
        bounded(flate2::bufread::MultiGzDecoder::new(data))
    } else {
        bounded(data)
    }
}

fn bounded(plain: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    plain.take(MAX_UNPACKED + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_UNPACKED {
        let what = format!("more than {MAX_UNPACKED} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(bytes)
}
