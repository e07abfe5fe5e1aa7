// SPDX-License-Identifier: MIT OR Apache-2.0
//! The initramfs reader, for a whole initramfs with all facts, and for one compressed segment.

use std::io::{self, BufRead, Read};

use ostree_kernel::initramfs::{
    Bodies, Compression, Entry, Inventory, Limits, OnDisk, OpenFile, Position, ReadError, Segment,
    Visitor, random_tail, read, read_into,
};

use crate::memory::within;
use crate::model::{Told, told};
use crate::trickle::Trickle;

/// Upper bound of the memory in bytes. It covers a block of lz4 with its compressed form (16 MiB), the ring buffer and
/// the source (2 MiB), a file that is parsed as a whole (as large as the unpacked initramfs, twice while it grows), and
/// the inventory.
const MEMORY: usize = 24 << 20;

/// Returns limits that are small enough for a fuzzer to reach them.
fn limits() -> Limits {
    Limits {
        decoded_bytes: 1 << 20,
        entries: 2048,
        name_bytes: 1 << 18,
        segments: 16,
        window: 1 << 22,
        ..Limits::default()
    }
}

/// The kernel module that the tree has at every path that ends in `.ko`. Some seeds also contain it.
const MODULE: &[u8] = include_bytes!("../seeds/module/plain");

struct ModuleFiles;

impl OnDisk for ModuleFiles {
    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>> {
        // The first byte of a seed of `module` selects the compression, and is not a part of the module.
        let module = &MODULE[1..];
        Ok(path.ends_with(b".ko").then(|| OpenFile {
            data: Box::new(module),
            size: module.len() as u64,
            mode: 0o644,
        }))
    }

    fn dracut_files(&mut self) -> io::Result<Vec<(Vec<u8>, u64)>> {
        Ok(vec![(
            b"usr/lib/dracut/a.ko".to_vec(),
            MODULE.len() as u64 - 1,
        )])
    }
}

/// The part of a result that must not depend on the chunks in which the input is read.
#[derive(Debug, PartialEq)]
struct Reading {
    segments: Vec<Segment>,
    /// Every name with its facts, or the error.
    end: Result<Vec<String>, String>,
}

/// Reads an initramfs at once and one byte at a time, and asserts that the results are the same. If it can be read,
/// also asserts that the result matches the model.
pub fn initramfs(image: &[u8]) {
    let whole = within(MEMORY, || reading(image, image));
    let slow = within(MEMORY, || reading(Trickle::new(image), image));
    assert_eq!(whole, slow, "one byte at a time");
    if whole.end.is_ok() {
        assert_right(image);
    }
}

/// Returns whether an initramfs can be read. If it can, asserts that the result matches the model.
pub fn is_read(image: &[u8]) -> bool {
    let is_read = within(MEMORY, || reading(image, image)).end.is_ok();
    if is_read {
        assert_right(image);
    }
    is_read
}

/// Asserts that the entries that the reader returns match those of the model. `image` must be readable.
fn assert_right(image: &[u8]) {
    let mut seen = Seen(Vec::new());
    let segments = read(image, &limits(), &mut seen).expect("it was read before");
    assert_eq!(seen.0, told(image, &segments), "the model says otherwise");
}

struct Seen(Vec<Told>);

impl Visitor for Seen {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        let mut data = Vec::new();
        body.read_to_end(&mut data)?;
        self.0.push(Told::of(entry, data));
        Ok(())
    }
}

/// Returns the initramfs for the input of [`segment`]: the first byte selects a compression, and is replaced by the
/// magic number of that compression.
pub fn segment_image(bytes: &[u8]) -> Option<Vec<u8>> {
    const MAGICS: [&[u8]; 6] = [
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08",
        b"\xfd7zXZ\0\0",
        b"\x5d\0\0",
        b"\x02\x21\x4c\x18",
        b"BZh",
    ];
    let (which, rest) = bytes.split_first()?;
    let magic = MAGICS[usize::from(*which) % MAGICS.len()];
    Some([magic, rest].concat())
}

/// Reads one compressed segment, which [`segment_image`] makes from the bytes.
pub fn segment(bytes: &[u8]) {
    let Some(mut image) = segment_image(bytes) else {
        return;
    };
    initramfs(&image);
    // A reader of a segment must not read beyond the segment's end: the result is the same if another segment follows.
    let alone = reading(image.as_slice(), &image);
    if alone.end.is_ok() && alone.segments.len() < 16 {
        let tail = random_tail(image.len() as u64);
        image.extend_from_slice(&tail);
        let followed = reading(image.as_slice(), &image);
        let (last, before) = followed
            .segments
            .split_last()
            .expect("at least two segments");
        assert_eq!(before, alone.segments, "with a segment behind");
        assert_eq!(last.offset + last.length, image.len() as u64);
    }
}

fn reading(input: impl Read + Send, image: &[u8]) -> Reading {
    let limits = limits();
    let mut tree = ModuleFiles;
    let mut bodies = Bodies::new(Some(&mut tree));
    let mut inventory = Inventory::new(&limits);
    let mut segments = Vec::new();
    let end = read_into(
        input,
        &limits,
        &mut inventory.with(&mut bodies),
        &mut segments,
    );
    cover(&segments, image, end.is_ok());
    if let Err(error) = end {
        return Reading {
            segments,
            end: Err(said(&error, image)),
        };
    }
    let entries: u64 = segments.iter().map(|segment| segment.entries).sum();
    let facts = bodies.take_facts();
    let learnt: Vec<String> = inventory
        .nodes()
        .map(|(path, node)| {
            assert!(node.entry < entries);
            let content = inventory.content(node);
            let (elf, module) = (facts.elf(&inventory, node), facts.module(&inventory, node));
            // Any result is accepted, but the call must not panic.
            let _ = inventory.resolve(path);
            format!("{path:?} {node:?} {content:?} {elf:?} {module:?}")
        })
        .collect();
    assert!(learnt.len() as u64 <= entries);
    questions(&inventory);
    Reading {
        segments,
        end: Ok(learnt),
    }
}

/// Asserts that there are only NULs between the segments, and that the segments are within the limits. If `whole` is
/// true, also asserts that only NULs follow the last segment.
fn cover(segments: &[Segment], image: &[u8], whole: bool) {
    let limits = limits();
    let mut at = 0;
    let is_padding = |from: u64, to: u64| {
        image[from as usize..to as usize]
            .iter()
            .all(|byte| *byte == 0)
    };
    for segment in segments {
        assert!(
            is_padding(at, segment.offset),
            "{segment:?} leaves bytes before it out"
        );
        at = segment.offset + segment.length;
        if segment.compression == Compression::None {
            assert_eq!(segment.decoded, segment.length);
        }
    }
    assert!(at <= image.len() as u64, "segments reach past the end");
    if whole {
        assert!(
            is_padding(at, image.len() as u64),
            "bytes behind the last segment are left out"
        );
    }
    let decoded: u64 = segments.iter().map(|segment| segment.decoded).sum();
    let entries: u64 = segments.iter().map(|segment| segment.entries).sum();
    // The limit may be exceeded by the rest of a chunk that was decoded already.
    assert!(decoded <= limits.decoded_bytes + (256 << 10));
    assert!(entries <= limits.entries && segments.len() <= limits.segments as usize);
}

/// Calls each query of the inventory that the checks use. The queries must not panic.
fn questions(inventory: &Inventory) {
    let _ = inventory.kernel_versions();
    let _ = inventory.kernel_modules();
    let _ = inventory.dracut_modules();
    let _ = inventory.dracut_arguments();
    let _ = inventory.dracut_version();
    let _ = inventory.inner_images();
    let _ = inventory.children(b"usr/lib");
}

/// Asserts that the position of an error is inside the initramfs, and returns the error's text. Panics for an error of
/// the input or of a visitor: reading from memory does not fail, and the visitors return no errors.
fn said(error: &ReadError, image: &[u8]) -> String {
    let length = image.len() as u64;
    let place = |at: &Position| {
        let end = match at.compression {
            Compression::None => at.offset + at.decoded,
            _ => at.offset,
        };
        assert!(end <= length, "{error} lies behind byte {length}");
    };
    match error {
        ReadError::Empty { length: said } => assert_eq!(*said, length),
        ReadError::Foreign { at, .. }
        | ReadError::Unsupported { at, .. }
        | ReadError::KernelCannot { at, .. }
        | ReadError::Junk { at, .. }
        | ReadError::Misaligned { at }
        | ReadError::Truncated { at, .. }
        | ReadError::MissingTrailer { at }
        | ReadError::Header { at, .. }
        | ReadError::Checksum { at, .. }
        | ReadError::Limit { at, .. } => place(at),
        ReadError::Corrupt { at, found, .. } => {
            place(at);
            assert!((at.offset..=length).contains(found));
            // The place at which a decoder detects damage depends on the chunks of the input.
            return format!("{at:?} is corrupt");
        }
        other => panic!("no error of an image: {other}"),
    }
    error.to_string()
}
