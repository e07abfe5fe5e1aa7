// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits of the reader. An error contains the name of the limit.
//!
//! The defaults are chosen so that the images of real machines are accepted, and no image exhausts the machine that
//! reads it.

/// The resources that may be used for one image. Each field's documentation gives the default and its reason. Exceeding
/// a limit is a [`ReadError::Limit`](crate::initramfs::ReadError::Limit) with the field's name, or for `link_depth` a
/// [`ResolveError::Limit`](crate::initramfs::ResolveError::Limit).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Decompressed bytes of all segments together. 2 GiB: images are unpacked into memory at boot; the largest real
    /// ones (all firmware, nothing omitted) have about 0.5 GiB.
    pub decoded_bytes: u64,
    /// Entries in all archives. 131072: a generic dracut image has about 4000, and an inventory uses about 500 bytes
    /// for each.
    pub entries: u64,
    /// Bytes of a name according to its header, with its NUL. 65536: the kernel skips names longer than 4096
    /// ([`NameProblem::TooLong`](crate::initramfs::NameProblem::TooLong)), so a much larger size is damage.
    pub name_len: u32,
    /// Bytes of all names and link targets together. 32 MiB: those of 4000 entries have about 0.3 MiB, and an inventory
    /// keeps all names and targets.
    pub name_bytes: u64,
    /// Decompressed bytes per byte of a segment in the file, checked once 16 MiB of the segment are decompressed. 256:
    /// lz4 cannot exceed 255; real images reach 2 to 12; bombs in zstd or bzip2 reach 10000 and more.
    pub ratio: u64,
    /// Segments in the file. 64: real images have one to four (microcode, main, a random tail, possibly an archive that
    /// the user has appended).
    pub segments: u32,
    /// Links followed in one path. 40: the kernel's own `MAXSYMLINKS`.
    pub link_depth: u32,
    /// Bytes of history in a decoder (zstd's window, the dictionary of xz and lzma). 128 MiB: the kernel refuses larger
    /// zstd windows; `xz -9` and `lzma -9` need 64 MiB.
    pub window: u64,
}

/// Decompressed bytes of a segment up to which [`Limits::ratio`] is not checked, since a short segment of zeros is
/// legitimate.
pub(in crate::initramfs) const RATIO_FLOOR: u64 = 16 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            decoded_bytes: 2 << 30,
            entries: 1 << 17,
            name_len: 1 << 16,
            name_bytes: 32 << 20,
            ratio: 256,
            segments: 64,
            link_depth: 40,
            window: 128 << 20,
        }
    }
}
