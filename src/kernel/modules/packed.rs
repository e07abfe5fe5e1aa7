// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decompresses modules.
//!
//! Memory is bounded by [`MAX_UNPACKED`] and by a decoder's window, not by what a header claims.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

/// Upper bound of an uncompressed module (bytes); the largest in-tree one (amdgpu) has about 20 MB without debug
/// information.
pub const MAX_UNPACKED: u64 = 32 << 20;

/// Upper bound of a decoder's window: 2^26 bytes, the size that `xz -9` uses.
const MAX_WINDOW_LOG: u32 = 26;

/// Decompresses the module `data` from a file called `path`, whose suffix determines the format, and replaces the
/// content of `into`. After an error `into` contains the bytes before it.
///
/// # Errors
/// When the data cannot be decoded, or have more than [`MAX_UNPACKED`] bytes.
pub fn unpack(path: &[u8], data: impl BufRead, into: &mut Vec<u8>) -> io::Result<()> {
    if path.ends_with(b".xz") {
        let stream = Stream::new_stream_decoder((1 << MAX_WINDOW_LOG) + (16 << 20), 0)?;
        bounded(XzDecoder::new_stream(data, stream), into)
    } else if path.ends_with(b".zst") {
        let mut decoder = zstd::Decoder::with_buffer(data)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        bounded(decoder, into)
    } else if path.ends_with(b".gz") {
        bounded(flate2::bufread::MultiGzDecoder::new(data), into)
    } else {
        bounded(data, into)
    }
}

/// The end of a module's signature (`MODULE_SIG_STRING`).
const SIGNATURE_END: &[u8] = b"~Module signature appended~\n";

/// Returns an uncompressed module without its appended signature; `None` if it has none.
pub fn without_signature(module: &[u8]) -> Option<&[u8]> {
    // A `struct module_signature` of 12 bytes; its last field is the size of the signature.
    let head = module.strip_suffix(SIGNATURE_END)?;
    let size = head.last_chunk()?;
    let before = usize::try_from(u32::from_be_bytes(*size))
        .ok()?
        .checked_add(12)?;
    head.get(..head.len().checked_sub(before)?)
}

fn bounded(plain: impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    plain.take(MAX_UNPACKED + 1).read_to_end(into)?;
    if into.len() as u64 > MAX_UNPACKED {
        let what = format!("more than {MAX_UNPACKED} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(())
}
