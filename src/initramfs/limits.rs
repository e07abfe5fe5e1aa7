// SPDX-License-Identifier: MIT OR Apache-2.0
//! The budgets of the reader, each with a name that its error says.
//!
//! It holds numbers and the reasons for them, nothing else. Its invariant: the defaults admit every
//! image that a machine could boot, and no image that would hurt the machine that looks at it.

/// What a reader may spend on one image. Every excess ends in
/// [`ReadError::Limit`](super::ReadError::Limit) with the field's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all segments may unpack to, together. 2 GiB: images are unpacked into memory at
    /// boot, the largest real ones (all firmware, nothing omitted) reach about 0.5 GiB.
    pub decoded_bytes: u64,
    /// Entries in all archives. 131072: a generic dracut image has about 4000, and an inventory
    /// spends some 500 bytes on each.
    pub entries: u64,
    /// Bytes of one name in its header, its NUL included. 65536: the kernel skips what is longer
    /// than 4096 ([`NameProblem::TooLong`](super::NameProblem::TooLong)), so anything far beyond
    /// is a lie and not a name.
    pub name_len: u32,
    /// Bytes of all names and link targets together. 32 MiB: 4000 entries have about 0.3 MiB of
    /// them, and an inventory keeps them all.
    pub name_bytes: u64,
    /// Bytes unpacked for each byte read, looked at once a segment has unpacked to 16 MiB. 256: lz4
    /// cannot exceed 255, real images reach 2 to 12; zstd and bzip2 bombs reach 10000 and more.
    pub ratio: u64,
    /// Segments in the file. 64: real images have one to four (microcode, main, a random tail,
    /// perhaps an appended archive of the user's).
    pub segments: u32,
    /// Links followed to resolve one path inside the image. 40: the kernel's own `MAXSYMLINKS`.
    pub link_depth: u32,
    /// Bytes of history that a decoder may keep (zstd's window, the dictionary of xz and lzma).
    /// 128 MiB: the kernel refuses larger zstd windows, `xz -9` and `lzma -9` need 64 MiB.
    pub window: u64,
}

/// Bytes that a segment may unpack to before [`Limits::ratio`] is looked at: short segments of
/// zeros are honest, and 16 MiB hurt nobody.
pub(super) const RATIO_FLOOR: u64 = 16 << 20;

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
