// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions on byte strings of unknown encoding, such as paths, and `Read::read` for buffered readers.

use std::io::{self, BufRead};

/// Copies bytes from the buffer of `reader` to `out`, consumes them, and returns their number: an implementation of
/// `Read::read` for types that implement `BufRead`.
///
/// # Errors
/// The error of `fill_buf`.
pub fn read_buffered(reader: &mut impl BufRead, out: &mut [u8]) -> io::Result<usize> {
    let ready = reader.fill_buf()?;
    let count = ready.len().min(out.len());
    out[..count].copy_from_slice(&ready[..count]);
    reader.consume(count);
    Ok(count)
}

/// Returns the part of a path after the last slash; the whole path if it has no slash.
pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Returns whether `part` occurs in `text`. An empty `part` never does.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
