// SPDX-License-Identifier: MIT OR Apache-2.0
//! Searches a kernel while it is streamed.

use std::io::{self, Read};

use super::{Arch, MAX_DECODED, MAX_RELEASE, Result, VmlinuzError};

/// Number of bytes that [`image_arch`] needs.
pub(super) const HEAD: usize = 0x40;

/// The start of the kernel's first message (`linux_banner`). The release and the builder follow it.
const BANNER: &[u8] = b"Linux version ";

/// The size of the buffer that is searched at a time (bytes).
const BUFFER: usize = 256 * 1024;

/// Returns the architecture of an uncompressed `Image` that starts with `head`; `None` for another format.
pub(super) fn image_arch(head: &[u8]) -> Option<Arch> {
    match head.get(0x38..0x3c)? {
        b"ARM\x64" => Some(Arch::Aarch64),
        b"RSC\x05" => Some(Arch::Riscv64),
        _ => None,
    }
}

/// Returns the release string at the start of `text`; `None` if there is none. A space must follow the release string.
pub(super) fn release(text: &[u8]) -> Option<String> {
    let text = &text[..text.len().min(MAX_RELEASE + 1)];
    let end = text.iter().position(|&byte| byte == b' ')?;
    let found = &text[..end];
    let plain = |&byte: &u8| byte.is_ascii_graphic() && byte != b'/' && byte != b'%';
    if !found.first()?.is_ascii_digit() || !found.iter().all(plain) {
        return None;
    }
    String::from_utf8(found.to_vec()).ok()
}

/// Returns the release string of the first banner. Fails if the stream contains none, or none in about [`MAX_DECODED`]
/// bytes. The stream is not read beyond the buffer that contains the banner.
pub(super) fn banner(stream: impl Read) -> Result<String> {
    const LONGEST: usize = BANNER.len() + MAX_RELEASE + 2;
    let mut kver = None;
    let searched = windows(stream, LONGEST, |window, _| {
        kver = positions(window, BANNER).find_map(|at| banner_at(&window[at..]));
        kver.is_some()
    })?;
    kver.ok_or(VmlinuzError::NoBanner { searched })
}

/// Returns the offsets at which `magic` occurs in the stream, at most the first `limit` ones.
pub(super) fn starts(stream: impl Read, magic: &[u8], limit: usize) -> Result<Vec<u64>> {
    let mut starts = Vec::new();
    windows(stream, magic.len(), |window, offset| {
        for at in positions(window, magic) {
            starts.push(offset + at as u64);
        }
        starts.dedup();
        starts.len() >= limit
    })?;
    starts.truncate(limit);
    Ok(starts)
}

/// Parses `Linux version RELEASE (`; `None` for other texts, for example a format string.
fn banner_at(text: &[u8]) -> Option<String> {
    let rest = text.strip_prefix(BANNER)?;
    let kver = release(rest)?;
    rest[kver.len()..].starts_with(b" (").then_some(kver)
}

fn positions<'a>(window: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(step) = window[from..].iter().position(|&byte| byte == needle[0]) {
            let at = from + step;
            from = at + 1;
            if window[at..].starts_with(needle) {
                return Some(at);
            }
        }
        None
    })
}

/// Passes the stream to `look` in pieces, each with its offset, until `look` returns `true`. A piece starts with the
/// last `longest - 1` bytes of the previous piece, so that a match across two reads is found. Returns the number of
/// bytes that were read. Fails if that number exceeds [`MAX_DECODED`].
fn windows(
    mut stream: impl Read,
    longest: usize,
    mut look: impl FnMut(&[u8], u64) -> bool,
) -> Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let (mut kept, mut total) = (0, 0);
    loop {
        let read = fill(&mut stream, &mut buffer[kept..]).map_err(VmlinuzError::Io)?;
        let end = kept + read;
        let start = total - kept as u64;
        total += read as u64;
        if read == 0 || look(&buffer[..end], start) {
            return Ok(total);
        }
        if total > MAX_DECODED {
            return Err(VmlinuzError::TooLarge);
        }
        kept = end.min(longest - 1);
        buffer.copy_within(end - kept..end, 0);
    }
}

/// Reads until the buffer is full or the stream ends. Returns the number of bytes that were read.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
