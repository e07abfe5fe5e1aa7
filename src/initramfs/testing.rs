// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test helpers of this module: a newc writer, compressors, an input with short reads, visitors.

use std::io::{self, BufRead, Read, Write};

use super::{Inventory, Limits, read_into};
use crate::initramfs::stream::compression::Compression;
use crate::initramfs::stream::entry::{Entry, Visitor};

/// A reader that returns at most `step` bytes at a time.
pub(crate) struct Trickle<'b> {
    bytes: &'b [u8],
    step: usize,
}

impl<'b> Trickle<'b> {
    pub(crate) fn new(bytes: &'b [u8], step: usize) -> Self {
        Self { bytes, step }
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buf.len()).min(self.bytes.len());
        buf[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

/// An entry of a test archive.
#[derive(Clone)]
pub(crate) struct TestEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) ino: u32,
    pub(crate) nlink: u32,
    pub(crate) rdev: (u32, u32),
    pub(crate) data: Vec<u8>,
    /// The number of NULs that the header counts as a part of the name, besides the terminating one.
    pub(crate) name_padding: usize,
}

pub(crate) fn item(name: &str, mode: u32, data: &[u8]) -> TestEntry {
    TestEntry {
        name: name.into(),
        mode,
        ino: 0,
        nlink: 1,
        rdev: (0, 0),
        data: data.to_vec(),
        name_padding: 0,
    }
}

pub(crate) fn inventory(items: &[TestEntry]) -> Inventory {
    let limits = Limits::default();
    let mut inventory = Inventory::new(&limits);
    let bytes = archive(items);
    read_into(bytes.as_slice(), &limits, &mut inventory, &mut Vec::new()).unwrap();
    inventory
}

pub(crate) fn dir(name: &str) -> TestEntry {
    item(name, 0o040_755, b"")
}

pub(crate) fn file(name: &str, data: &[u8]) -> TestEntry {
    item(name, 0o100_644, data)
}

pub(crate) fn link(name: &str, target: &str) -> TestEntry {
    item(name, 0o120_777, target.as_bytes())
}

pub(crate) fn hard(name: &str, ino: u32, data: &[u8]) -> TestEntry {
    TestEntry {
        ino,
        nlink: 2,
        ..file(name, data)
    }
}

/// Returns an archive without a trailer. `magic` is `070701`, or `070702` for headers with checksums.
pub(crate) fn open_archive(items: &[TestEntry], magic: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        let sum = item
            .data
            .iter()
            .fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
        let namesize = (item.name.len() + 1 + item.name_padding) as u32;
        out.extend_from_slice(magic.as_bytes());
        for field in [
            item.ino,
            item.mode,
            0,
            0,
            item.nlink,
            0,
            item.data.len() as u32,
            0,
            0,
            item.rdev.0,
            item.rdev.1,
            namesize,
            if magic == "070702" { sum } else { 0 },
        ] {
            write!(out, "{field:08x}").unwrap();
        }
        out.extend_from_slice(&item.name);
        out.resize(out.len() + 1 + item.name_padding, 0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(&item.data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// Returns a `070701` archive with a trailer.
pub(crate) fn archive(items: &[TestEntry]) -> Vec<u8> {
    let mut items = items.to_vec();
    items.push(item("TRAILER!!!", 0, b""));
    open_archive(&items, "070701")
}

/// All supported compressions.
pub(crate) const PACKED: [Compression; 7] = [
    Compression::Zstd,
    Compression::Gzip,
    Compression::Xz,
    Compression::Lzma,
    Compression::Lz4,
    Compression::Bzip2,
    Compression::Lzop,
];

pub(crate) fn pack(compression: Compression, data: &[u8]) -> Vec<u8> {
    use liblzma::stream::{Check, LzmaOptions, Stream};
    match compression {
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let stream = Stream::new_easy_encoder(0, Check::Crc32).unwrap();
            let mut out = Vec::new();
            liblzma::bufread::XzEncoder::new_stream(data, stream)
                .read_to_end(&mut out)
                .unwrap();
            out
        }
        Compression::Lzma => {
            let options = LzmaOptions::new_preset(0).unwrap();
            let stream = Stream::new_lzma_encoder(&options).unwrap();
            let mut out = Vec::new();
            liblzma::bufread::XzEncoder::new_stream(data, stream)
                .read_to_end(&mut out)
                .unwrap();
            out
        }
        Compression::Lz4 => {
            let mut out = b"\x02\x21\x4c\x18".to_vec();
            for block in data.chunks(8 << 20) {
                let packed = lz4_flex::block::compress(block);
                out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
                out.extend_from_slice(&packed);
            }
            out
        }
        Compression::Bzip2 => {
            let mut encoder =
                bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        // All blocks are stored uncompressed, as lzop stores incompressible data.
        Compression::Lzop => {
            let mut out = b"\x89LZO\0\r\n\x1a\n\x10\x40\x20\xa0\x09\x40\x03\x09".to_vec();
            out.extend_from_slice(&[3, 0, 0, 1]);
            out.extend_from_slice(&[0; 12 + 1 + 4]);
            for block in data.chunks(256 << 10) {
                let size = (block.len() as u32).to_be_bytes();
                out.extend([size, size, [0; 4]].concat());
                out.extend_from_slice(block);
            }
            out.extend_from_slice(&[0; 4]);
            out
        }
        other => panic!("no encoder for {other}"),
    }
}

/// A visitor that collects names and data.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Collect(pub(crate) Vec<(String, Vec<u8>)>);

impl Visitor for Collect {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        let mut data = Vec::new();
        body.read_to_end(&mut data)?;
        self.0
            .push((String::from_utf8_lossy(&entry.path).into_owned(), data));
        Ok(())
    }
}

/// A visitor that reads no data.
pub(crate) struct Idle;

impl Visitor for Idle {
    fn entry(&mut self, _: &Entry, _: &mut dyn BufRead) -> io::Result<()> {
        Ok(())
    }
}
