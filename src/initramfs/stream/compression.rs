// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compression formats of segments, and their magic numbers.

use std::fmt;

/// The compression of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compression {
    /// None: a newc archive.
    None,
    /// One zstd frame.
    Zstd,
    /// One gzip member.
    Gzip,
    /// One xz stream.
    Xz,
    /// The legacy `.lzma` format (`xz --format=lzma`).
    Lzma,
    /// One or more of lz4's legacy frames (`lz4 -l`).
    Lz4,
    /// One bzip2 stream.
    Bzip2,
    /// lzop's format.
    Lzop,
}

impl Compression {
    /// Returns the name in the kernel's configuration, in lower case: `zstd` for `CONFIG_RD_ZSTD`. Exceptions are
    /// `none`, which needs no option, and `lzop` (`CONFIG_RD_LZO`).
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

    /// Detects the compression by the first bytes; `None` if they are unknown.
    pub(in crate::initramfs) fn detect(start: &[u8]) -> Option<Self> {
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
