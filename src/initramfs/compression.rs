// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a segment is compressed.

use std::fmt;

/// How a segment is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: a raw newc archive.
    None,
    /// One zstd frame.
    Zstd,
    /// One gzip member.
    Gzip,
    /// One xz stream.
    Xz,
    /// The legacy `.lzma` format (`xz --format=lzma`).
    Lzma,
    /// lz4's legacy frame (`lz4 -l`).
    Lz4,
    /// One bzip2 stream.
    Bzip2,
    /// lzop's format.
    Lzop,
}

impl Compression {
    /// The name as the kernel's configuration spells it, in lower case: `zstd` belongs to
    /// `CONFIG_RD_ZSTD`. The exceptions are `none`, which needs no option, and `lzop`
    /// (`CONFIG_RD_LZO`).
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzop => "lzop",
        }
    }

    /// Tells a compressed segment by its first bytes; `None` when they start none.
    pub(super) fn detect(start: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Compression); 7] = [
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"\x1f\x8b", Compression::Gzip),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x5d\x00", Compression::Lzma),
            (b"\x02\x21\x4c\x18", Compression::Lz4),
            (b"BZh", Compression::Bzip2),
            (b"\x89LZO", Compression::Lzop),
        ];
        MAGICS
            .iter()
            .find(|(magic, _)| start.starts_with(magic))
            .map(|&(_, compression)| compression)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
