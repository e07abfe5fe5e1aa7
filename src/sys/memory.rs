// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files in memory (memfd_create(2)). They pass bytes of an image to code that reads a [`File`].

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// Creates an empty file, which exists until the last descriptor is closed.
///
/// # Errors
/// When the kernel refuses.
pub fn file() -> io::Result<File> {
    Ok(File::from(memfd_create(
        c"ostree-kernel",
        MFdFlags::MFD_CLOEXEC,
    )?))
}

/// Creates a file with these bytes, with its position at the start.
///
/// # Errors
/// As [`file`], or when memory is exhausted.
pub fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = file()?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Opens a file in memory a second time for reading, with its own position. Without `/proc`, returns a copy of the
/// file.
///
/// # Errors
/// As [`file_of`].
pub fn reopen(of: &File) -> io::Result<File> {
    if let Ok(file) = fs_err::File::open(format!("/proc/self/fd/{}", of.as_raw_fd())) {
        return Ok(file.into_file());
    }
    let mut copy = file()?;
    let mut from = of;
    from.seek(SeekFrom::Start(0))?;
    io::copy(&mut from, &mut copy)?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}
