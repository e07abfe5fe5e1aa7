// SPDX-License-Identifier: MIT OR Apache-2.0
//! The segment with device nodes that rpm-ostree appends to every initramfs that it builds
//! (`append_dracut_random_cpio` in `rust/src/initramfs.rs`).
//!
//! Libraries in FIPS mode need random bytes before anything is mounted on `/dev`, so the image contains `dev/random`
//! and `dev/urandom` as device nodes. Invariant: the appended bytes depend only on the length of the image.

use std::io::Write;

/// Returns a newc archive, compressed with gzip. It contains the directory `dev` and, with mode 0666, the character
/// devices `dev/random` (1, 8) and `dev/urandom` (1, 9), all owned by root and with time 0. The bytes are always the
/// same.
pub fn random_segment() -> Vec<u8> {
    let mut archive = Vec::new();
    for (ino, path, mode, nlink, rdev) in [
        (1, "dev", 0o040_755, 2, (0, 0)),
        (2, "dev/random", 0o020_666, 1, (1, 8)),
        (3, "dev/urandom", 0o020_666, 1, (1, 9)),
        (0, "TRAILER!!!", 0, 1, (0, 0)),
    ] {
        newc_header(
            &mut archive,
            [ino, mode, 0, 0, nlink, 0, 0, 0, 0, rdev.0, rdev.1],
            path,
        );
    }
    let mut gzip = flate2::GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), flate2::Compression::best());
    // Writing into a vector cannot fail.
    let _ = gzip.write_all(&archive);
    gzip.finish().unwrap_or_default()
}

/// Returns the bytes to append to an image of `image_len` bytes: four to seven NULs, up to a multiple of four, and
/// [`random_segment`]. There are at least four NULs, since four NULs end a segment in lz4's legacy format.
pub fn random_tail(image_len: u64) -> Vec<u8> {
    let padding = 4 + (image_len.wrapping_neg() & 3) as usize;
    let mut tail = vec![0; padding];
    tail.extend_from_slice(&random_segment());
    tail
}

/// Appends a `070701` header with `fields` (in the order of the format, from the inode number to the minor number of a
/// device node), the name and its padding.
fn newc_header(archive: &mut Vec<u8>, fields: [u32; 11], name: &str) {
    archive.extend_from_slice(b"070701");
    let namesize = name.len() as u32 + 1;
    for field in fields.into_iter().chain([namesize, 0]) {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
