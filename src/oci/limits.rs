// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits for reading an image.

/// Upper bounds of the resources for one image. The documentation of each field gives its default value. If a limit is
/// exceeded, the error is [`OciError::Limit`](super::OciError::Limit) with the name of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLimits {
    /// Bytes of an index, a manifest or a config. 4 MiB, the limit of registries and of skopeo.
    pub manifest_bytes: u64,
    /// Manifests of an index. 1024: an index has one for each platform.
    pub manifests: usize,
    /// Layers of an image. 1024: container engines refuse more than a few hundred.
    pub layers: usize,
    /// Stored (compressed) bytes of one layer. 32 GiB.
    pub layer_bytes: u64,
    /// Decompressed bytes of all layers together. 64 GiB: large desktop images have 15 GiB.
    pub decoded_bytes: u64,
    /// Decompressed bytes of a layer per stored byte, checked once more than 64 MiB have been decompressed. 1100: gzip
    /// cannot exceed 1032, zstd bombs reach 10000 and more.
    pub ratio: u64,
    /// Bytes of the window (the history) of a zstd decoder. 128 MiB, as for an initramfs.
    pub window: u64,
    /// Entries in all layers together. 4 million: large desktop images have half a million.
    pub entries: u64,
    /// Bytes of the path of an entry, and of the target of a link. 4096, the limit of the kernel.
    pub name_len: usize,
    /// Bytes of all paths and link targets together. 256 MiB.
    pub name_bytes: u64,
    /// Components of a path. 128, as for a tree on disk.
    pub depth: usize,
    /// Bytes of the extended headers of one entry, which hold long names and extended attributes. 1 MiB.
    pub header_bytes: u32,
    /// Bytes of all files that are kept in memory. 3 GiB: an initramfs, a kernel and an rpmdb have 0.6 GiB together.
    pub kept_bytes: u64,
    /// Decompressed bytes of the table of contents of a layer (zstd:chunked). 150 MiB, as in containers-storage.
    pub toc_bytes: u64,
}

/// Number of decompressed bytes of a layer up to which [`ImageLimits::ratio`] is not checked.
pub(super) const RATIO_FLOOR: u64 = 64 << 20;

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            manifests: 1024,
            layers: 1024,
            layer_bytes: 32 << 30,
            decoded_bytes: 64 << 30,
            ratio: 1100,
            window: 128 << 20,
            entries: 4 << 20,
            name_len: 4096,
            name_bytes: 256 << 20,
            depth: 128,
            header_bytes: 1 << 20,
            kept_bytes: 3 << 30,
            toc_bytes: 150 << 20,
        }
    }
}
