// SPDX-License-Identifier: MIT OR Apache-2.0
//! A model of the initramfs reader, as simple as possible: everything in memory, each segment decompressed at once by
//! the decoder of its format, each archive parsed as in Linux' `init/initramfs.c`. If the results of the reader and of
//! the model differ, the reader is wrong.

use std::io::Read;

use ostree_kernel::initramfs::{Compression, Device, Entry, Segment};

/// One entry, as the reader or the model returns it.
#[derive(Debug, PartialEq)]
pub struct Told {
    path: Vec<u8>,
    /// The fields of the header, in its order: from the inode number to the minor number of the device node.
    fields: [u32; 11],
    data: Vec<u8>,
}

impl Told {
    /// Converts an entry of the reader, for comparison with an entry of the model.
    pub fn of(entry: &Entry, data: Vec<u8>) -> Self {
        let Device { major, minor } = entry.dev;
        let Entry {
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            size,
            ..
        } = *entry;
        let (rmajor, rminor) = (entry.rdev.major, entry.rdev.minor);
        Self {
            path: entry.path.clone(),
            fields: [
                ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor,
            ],
            data,
        }
    }
}

/// Returns the entries of all segments of an initramfs. Panics if the segments cannot be decoded.
pub fn told(image: &[u8], segments: &[Segment]) -> Vec<Told> {
    let mut told = Vec::new();
    for segment in segments {
        let start = segment.offset as usize;
        let packed = &image[start..start + segment.length as usize];
        let content = match segment.compression {
            Compression::None => {
                assert_eq!(start % 4, 0, "{segment:?} is not aligned");
                packed.to_vec()
            }
            other => unpack(other, packed),
        };
        assert_eq!(content.len() as u64, segment.decoded, "{segment:?}");
        let before = told.len();
        archives(&content, &mut told);
        assert_eq!((told.len() - before) as u64, segment.entries, "{segment:?}");
    }
    told
}

/// Returns the decompressed content of a segment. Panics if the compressed data end before the end of `packed`.
fn unpack(compression: Compression, mut packed: &[u8]) -> Vec<u8> {
    use liblzma::bufread::XzDecoder;
    use liblzma::stream::Stream;
    const MEMORY: u64 = 64 << 20;
    let rest = &mut packed;
    let content = match compression {
        Compression::Zstd => {
            let size = zstd::zstd_safe::find_frame_compressed_size(rest);
            assert_eq!(size, Ok(rest.len()), "one zstd frame");
            all(zstd::Decoder::with_buffer(rest).expect("a zstd decoder"))
        }
        Compression::Gzip => all(flate2::bufread::GzDecoder::new(rest)),
        Compression::Bzip2 => all(bzip2::bufread::BzDecoder::new(rest)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(MEMORY, 0).expect("an xz decoder");
            all(XzDecoder::new_stream(rest, stream))
        }
        Compression::Lzma => {
            let stream = Stream::new_lzma_decoder(MEMORY).expect("an lzma decoder");
            all(XzDecoder::new_stream(rest, stream))
        }
        Compression::Lz4 => lz4(rest),
        other => panic!("{other} is not decoded"),
    };
    assert_eq!(packed, b"", "bytes behind the end of {compression}");
    content
}

fn all(mut decoder: impl Read) -> Vec<u8> {
    let mut content = Vec::new();
    decoder
        .read_to_end(&mut content)
        .expect("a reading decodes");
    content
}

/// Decodes lz4's legacy format: blocks, each after its length. The magic number can be repeated between blocks.
fn lz4(packed: &mut &[u8]) -> Vec<u8> {
    const MAGIC: u32 = 0x184c_2102;
    let mut content = Vec::new();
    while let Some((word, rest)) = packed.split_first_chunk() {
        *packed = rest;
        let length = u32::from_le_bytes(*word);
        if length != MAGIC {
            let (block, rest) = packed.split_at(length as usize);
            *packed = rest;
            content.extend(lz4_flex::block::decompress(block, 8 << 20).expect("a block"));
        }
    }
    content
}

/// Parses the archives in `bytes`, between which there can be NULs, and adds their entries to `told`.
fn archives(bytes: &[u8], told: &mut Vec<Told>) {
    const HEADER: usize = 110;
    let mut at = 0;
    while let Some(nuls) = bytes[at..].iter().position(|&byte| byte != 0) {
        at += nuls;
        assert_eq!(at % 4, 0, "a header at byte {at}");
        let header = &bytes[at..at + HEADER];
        let summed = match &header[..6] {
            b"070701" => false,
            b"070702" => true,
            other => panic!("no magic of newc: {other:?}"),
        };
        let digits = std::str::from_utf8(&header[6..]).expect("digits");
        let field = |number: usize| {
            let digits = &digits[number * 8..number * 8 + 8];
            assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            u32::from_str_radix(digits, 16).expect("a number")
        };
        let fields: [u32; 13] = std::array::from_fn(field);
        let [_, mode, _, _, _, _, size, .., name_size, sum] = fields;
        let name_end = at + HEADER + name_size as usize;
        let start = name_end.next_multiple_of(4);
        let end = start + size as usize;
        // A name that is longer than PATH_MAX (4096) is truncated.
        let name = &bytes[at + HEADER..name_end.min(at + HEADER + 4096)];
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let data = bytes[start..end].to_vec();
        at = end.next_multiple_of(4);
        assert!(at <= bytes.len(), "the padding of data");
        let (is_file, is_link) = (mode >> 12 == 0o10, mode >> 12 == 0o12);
        if name == b"TRAILER!!!" && (is_file || (size == 0 && !is_link)) {
            continue;
        }
        if summed && is_file {
            let found = data
                .iter()
                .fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
            assert_eq!(found, sum, "the sum of {name:?}");
        }
        let parts = name.split(|&byte| byte == b'/');
        let parts = parts.filter(|part| !part.is_empty() && *part != b".");
        told.push(Told {
            path: parts.collect::<Vec<_>>().join(&b'/'),
            fields: std::array::from_fn(|number| fields[number]),
            data,
        });
    }
}
