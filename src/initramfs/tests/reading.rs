// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accepted images, and the errors of rejected ones.

use super::super::testing::*;
use super::super::*;
use crate::kernel::packing::Packing;

fn small() -> Vec<TestEntry> {
    vec![
        dir("."),
        dir("./usr"),
        file("usr/hello", b"hello"),
        link("init", "usr/lib/systemd/systemd"),
        file("empty", b""),
    ]
}

fn names(bytes: &[u8]) -> Result<(Vec<Segment>, Vec<String>), ReadError> {
    let mut seen = Collect::default();
    let segments = read(bytes, &Limits::default(), &mut seen)?;
    Ok((segments, seen.0.into_iter().map(|(name, _)| name).collect()))
}

fn error(bytes: &[u8]) -> String {
    names(bytes).unwrap_err().to_string()
}

const SMALL: [&str; 5] = ["", "usr", "usr/hello", "init", "empty"];

#[test]
fn every_compression_with_anything_around_it() {
    let raw = archive(&[file("early_cpio", b"1"), dir("kernel")]);
    let main = archive(&small());
    for compression in PACKED {
        let packed = pack(compression, &main);
        for padding in [0, 4, 8, 508, 70_000] {
            let mut image = raw.clone();
            image.resize(image.len() + padding, 0);
            let offset = image.len() as u64;
            image.extend_from_slice(&packed);
            image.extend_from_slice(&random_tail(image.len() as u64));
            image.resize(image.len() + padding, 0);
            for step in [1, 3, 4096, usize::MAX] {
                let mut seen = Collect::default();
                let input = Trickle::new(&image, step);
                let segments = read(input, &Limits::default(), &mut seen).unwrap();
                let expected = Segment {
                    offset,
                    length: packed.len() as u64,
                    compression,
                    xz: match Packing::of(&packed) {
                        Packing::Xz(xz) => Some(xz),
                        _ => None,
                    },
                    decoded: main.len() as u64,
                    entries: 5,
                    archives: 1,
                    kind: SegmentKind::Main,
                };
                // The length of an lz4 segment is known, too, since four NULs follow and end it.
                assert_eq!(segments[1], expected, "{compression} {padding} {step}");
                assert_eq!(segments[0].kind, SegmentKind::Early);
                assert_eq!(segments[0].length, raw.len() as u64);
                assert_eq!(segments[2].kind, SegmentKind::RandomTail);
                assert_eq!(segments[2].compression, Compression::Gzip);
                let names: Vec<&str> = seen.0.iter().map(|(name, _)| name.as_str()).collect();
                let expected = ["early_cpio", "kernel"].into_iter().chain(SMALL);
                let expected = expected.chain(["dev", "dev/random", "dev/urandom"]);
                assert_eq!(names, expected.collect::<Vec<_>>());
                assert_eq!(seen.0[4].1, b"hello");
                assert_eq!(seen.0[5].1, b"usr/lib/systemd/systemd");
            }
        }
    }
}

#[test]
fn a_large_segment_goes_through_the_ring() {
    let mut state = 1_u64;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 58) as u8
    };
    let noise: Vec<u8> = (0..600_000).map(|_| noise()).collect();
    for compression in PACKED {
        // Fast compressions are tested with six buffers of data, the others with two.
        let quick = matches!(compression, Compression::Zstd | Compression::Lz4);
        let items: Vec<TestEntry> = (0..if quick { 5 } else { 1 })
            .map(|i| file(&format!("f{i}"), &noise[i * 7..]))
            .collect();
        let main = archive(&items);
        let mut image = pack(compression, &main);
        image.extend_from_slice(&random_tail(image.len() as u64));
        let mut seen = Collect::default();
        let segments = read(image.as_slice(), &Limits::default(), &mut seen).unwrap();
        assert_eq!(segments.len(), 2, "{compression}");
        assert_eq!(segments[0].decoded, main.len() as u64);
        for (i, (_, data)) in seen.0.iter().take(items.len()).enumerate() {
            assert!(*data == noise[i * 7..], "{compression} {i}");
        }
        let unread = read(image.as_slice(), &Limits::default(), &mut Idle).unwrap();
        assert_eq!(segments, unread);
    }
}

#[test]
fn archives_and_padding_inside_a_segment() {
    let mut content = vec![0; 12];
    content.extend_from_slice(&archive(&[file("a", b"1")]));
    content.resize(content.len() + 512, 0);
    content.extend_from_slice(&archive(&[file("b", b"2")]));
    content.resize(content.len() + 7, 0);
    for compression in PACKED {
        let (segments, names) = names(&pack(compression, &content)).unwrap();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((segments[0].archives, segments[0].entries), (2, 2));
    }
}

#[test]
fn nul_bytes_between_entries_are_skipped() {
    let mut image = open_archive(&[file("a", b"x")], "070701");
    image.resize(image.len() + 8, 0);
    image.extend_from_slice(&archive(&[file("b", b"")]));
    assert_eq!(names(&image).unwrap().1, ["a", "b"]);
}

#[test]
fn names_padded_with_nuls() {
    let items = [TestEntry {
        name_padding: 3970,
        ..file("aligned", b"data")
    }];
    let mut seen = Collect::default();
    read(archive(&items).as_slice(), &Limits::default(), &mut seen).unwrap();
    assert_eq!(seen.0, [("aligned".to_owned(), b"data".to_vec())]);
}

#[test]
fn lz4_frames_may_be_concatenated() {
    let main = archive(&small());
    let (left, right) = main.split_at(200);
    let mut image = pack(Compression::Lz4, left);
    image.extend_from_slice(&pack(Compression::Lz4, right));
    assert_eq!(names(&image).unwrap().1, SMALL);
    // The data are truncated between two blocks, which only the archive shows.
    let cut = pack(Compression::Lz4, left);
    assert!(
        error(&cut).starts_with("truncated at byte 200 of the decompressed lz4"),
        "{}",
        error(&cut)
    );
    let cut = pack(Compression::Lz4, &open_archive(&small(), "070701"));
    assert!(
        error(&cut).starts_with("missing trailer"),
        "{}",
        error(&cut)
    );
}

#[test]
fn members_are_segments_and_no_archive_reaches_over_two() {
    let main = archive(&small());
    let (left, right) = main.split_at(200);
    for compression in PACKED.into_iter().filter(|it| *it != Compression::Lz4) {
        let packed = pack(compression, &main);
        let (segments, names) = names(&packed.repeat(2)).unwrap();
        assert_eq!(names, SMALL.repeat(2), "{compression}");
        let places: Vec<_> = segments.iter().map(|it| (it.offset, it.length)).collect();
        let length = packed.len() as u64;
        assert_eq!(places, [(0, length), (length, length)], "{compression}");
        // The kernel reports "junk at the end of compressed archive".
        let split = [pack(compression, left), pack(compression, right)].concat();
        let expected = format!("truncated at byte 200 of the decompressed {compression}");
        assert!(error(&split).starts_with(&expected), "{}", error(&split));
    }
}

#[test]
fn lzma_of_any_dictionary_and_of_a_known_size() {
    let main = archive(&small());
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    // 96 KiB: the header starts with 5d 00 80.
    options.dict_size(96 << 10);
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut packed = Vec::new();
    let mut encoder = liblzma::bufread::XzEncoder::new_stream(main.as_slice(), stream);
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    assert_eq!(packed[..3], [0x5d, 0, 0x80]);
    assert_eq!(names(&packed).unwrap().1, SMALL);
    packed[5..13].copy_from_slice(&(main.len() as u64).to_le_bytes());
    assert_eq!(names(&packed).unwrap().1, SMALL);
}

#[test]
fn sums_are_verified() {
    let items = [file("a", b"some data"), file("b", b"")];
    let mut image = open_archive(&items, "070702");
    image.extend_from_slice(&archive(&[]));
    assert_eq!(names(&image).unwrap().1, ["a", "b"]);
    assert!(read(image.as_slice(), &Limits::default(), &mut Idle).is_ok());
    let at = image
        .windows(4)
        .position(|window| window == b"some")
        .unwrap();
    image[at] ^= 1;
    assert!(error(&image).starts_with("bad checksum of `a` at byte 121 of the file: 0x"));
    assert!(read(image.as_slice(), &Limits::default(), &mut Idle).is_err());
}

#[test]
fn refusals_say_what_and_where() {
    let good = archive(&small());
    let xz64 = {
        let mut out = Vec::new();
        let mut encoder = liblzma::bufread::XzEncoder::new(good.as_slice(), 6);
        std::io::Read::read_to_end(&mut encoder, &mut out).unwrap();
        out
    };
    let mut gzip_extra = pack(Compression::Gzip, &good);
    gzip_extra[3] |= 4;
    let mut erofs = vec![0; 1024];
    erofs.extend_from_slice(b"\xe2\xe1\xf5\xe0");
    let then = |tail: &[u8]| [good.as_slice(), tail].concat();
    let end = good.len();
    let packed_junk = pack(Compression::Gzip, &then(b"\0\0\0\0junk"));
    let unaligned = pack(
        Compression::Zstd,
        &then(&[b"\0\0".as_slice(), &good].concat()),
    );
    for (image, expected) in [
        (
            vec![],
            "nothing to unpack: 0 bytes, all of them padding".to_owned(),
        ),
        (
            vec![0; 40],
            "nothing to unpack: 40 bytes, all of them padding".to_owned(),
        ),
        (
            b"MZ\x90\0".to_vec(),
            "not an initramfs at byte 0 of the file: a UKI".to_owned(),
        ),
        (
            b"hsqs\0\0\0\0".to_vec(),
            "not an initramfs at byte 0 of the file: a squashfs".to_owned(),
        ),
        (
            erofs,
            "not an initramfs at byte 1024 of the file: an erofs".to_owned(),
        ),
        (
            b"\x04\x22\x4d\x18".to_vec(),
            "not an initramfs at byte 0 of the file: an lz4".to_owned(),
        ),
        (
            b"070707".to_vec(),
            "not an initramfs at byte 0 of the file: a cpio archive".to_owned(),
        ),
        (
            b"\x89LZO\0".to_vec(),
            "truncated at byte 5 of the file, within a compressed segment".to_owned(),
        ),
        (
            then(b"\0junk"),
            format!("junk at byte {} of the file: 6a 75 6e 6b", end + 1),
        ),
        (
            then(b"\0\x28\xb5"),
            format!("junk at byte {} of the file: 28 b5", end + 1),
        ),
        (
            then(&[b"\0".as_slice(), &good].concat()),
            "broken padding: an archive at".to_owned(),
        ),
        (
            gzip_extra,
            "the kernel cannot unpack the gzip segment at byte 0 of".to_owned(),
        ),
        (
            packed_junk,
            format!(
                "junk at byte {} of the decompressed gzip segment at byte 0",
                end + 4
            ),
        ),
        (
            unaligned,
            format!(
                "broken padding: an archive at byte {} of the decompressed",
                end + 2
            ),
        ),
        (
            xz64,
            "the kernel cannot unpack the xz segment at byte 0 of".to_owned(),
        ),
        (
            open_archive(&small(), "070701"),
            "missing trailer: the archive ends at".to_owned(),
        ),
        (pack(Compression::Zstd, b""), "missing trailer".to_owned()),
        (
            [
                open_archive(&small(), "070701"),
                pack(Compression::Zstd, &good),
            ]
            .concat(),
            "missing trailer".to_owned(),
        ),
    ] {
        let found = error(&image);
        assert!(found.starts_with(&expected), "{found}\n{expected}");
    }
}

#[test]
fn unusual_names_are_reported() {
    let long = "x/".repeat(2500);
    let image = archive(&[
        file("/etc//./passwd", b""),
        file("../../up", b""),
        file("", b"lost"),
        file(&long, b"lost"),
    ]);
    let mut inventory = Inventory::new(&Limits::default());
    read(image.as_slice(), &Limits::default(), &mut inventory).unwrap();
    let problems: Vec<NameProblem> = inventory.name_problems().iter().map(|(_, p)| *p).collect();
    let expected = [
        NameProblem::Absolute,
        NameProblem::Traversal,
        NameProblem::Empty,
        NameProblem::TooLong,
    ];
    assert_eq!(problems, expected);
    let reasons: Vec<Reason> = inventory
        .dropped()
        .iter()
        .map(|dropped| dropped.reason)
        .collect();
    assert_eq!(
        reasons,
        [Reason::NoParent, Reason::NameEmpty, Reason::NameTooLong]
    );
    assert!(inventory.node(b"up").is_some());
}

#[test]
fn the_tail_with_random_devices_is_aligned_and_stable() {
    assert_eq!(random_segment(), random_segment());
    for length in 0..9 {
        let tail = random_tail(length);
        let nuls = tail.iter().take_while(|&&byte| byte == 0).count();
        assert!((4..8).contains(&nuls));
        assert_eq!((length as usize + nuls) % 4, 0);
    }
    let mut inventory = Inventory::new(&Limits::default());
    let tail = random_tail(0);
    let segments = read(tail.as_slice(), &Limits::default(), &mut inventory).unwrap();
    assert_eq!(segments[0].kind, SegmentKind::RandomTail);
    for (path, minor) in [("dev/random", 8), ("dev/urandom", 9)] {
        let node = inventory.node(path.as_bytes()).unwrap();
        assert_eq!(node.mode, 0o020_666);
        assert_eq!(node.rdev, Device { major: 1, minor });
    }
}

#[test]
fn segments_of_lzop_are_read() {
    // A directory and a file of 12000 bytes: find d | cpio -o -H newc --reproducible | lzop -9
    const PACKED: &str = "894c5a4f000d0a1a0a104020a0094003090300000d000000006b0c64c100000000002b2f031200003200000000b2\
        a3db7c23133037460031302900000234314544303400000732364230433633454530200d010032e20164002bbc01\
        9c00013831413435dd00312abd01322009d9013827bc01062f68656c6c6f0000009d00202000000000000000e614\
        002000000000000000e614002000000000000000e614002000000000000000e614002000000000000000e6140020\
        000000000000bf1400301cbf39020031302015010042e00108545241494c45522121210020009f00001100000000\
        0000";
    let image = hex::decode(PACKED).unwrap();
    let mut seen = Collect::default();
    let segments = read(image.as_slice(), &Limits::default(), &mut seen).unwrap();
    assert_eq!(segments[0].compression, Compression::Lzop);
    assert_eq!(segments[0].length, image.len() as u64);
    assert_eq!(seen.0[1].1, "hello ".repeat(2000).into_bytes());
    for end in 1..image.len() {
        let cut = read(&image[..end], &Limits::default(), &mut Idle);
        assert!(cut.is_err(), "{end}");
    }
    for at in 0..image.len() {
        let mut changed = image.clone();
        changed[at] ^= 0x55;
        // Any result is allowed, except a panic.
        let _ = read(changed.as_slice(), &Limits::default(), &mut Idle);
    }
}
