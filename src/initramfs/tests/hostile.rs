// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hostile images: each results in an error with its place, or in a reading within the limits.

use super::super::testing::*;
use super::super::*;

fn outcome(image: &[u8], limits: &Limits) -> Result<Vec<Segment>, ReadError> {
    read(image, limits, &mut Inventory::new(limits))
}

/// Returns an archive in whose first header the field with the number `field` (from 0) is `text`.
fn with_field(field: usize, text: &[u8; 8]) -> Vec<u8> {
    let mut image = archive(&[file("a", b"data"), file("b", b"")]);
    image[6 + field * 8..14 + field * 8].copy_from_slice(text);
    image
}

#[test]
fn wrong_sizes() {
    const FILESIZE: usize = 6;
    const NAMESIZE: usize = 11;
    for (field, text, expected) in [
        (FILESIZE, b"ffffffff", "truncated at byte 3"),
        (FILESIZE, b"00000100", "truncated at byte 3"),
        (
            FILESIZE,
            b"0000000g",
            "bad cpio header at byte 0 of the file: a digit",
        ),
        (
            FILESIZE,
            b"0x000004",
            "bad cpio header at byte 0 of the file: a digit",
        ),
        (
            FILESIZE,
            b"+0000004",
            "bad cpio header at byte 0 of the file: a digit",
        ),
        (
            NAMESIZE,
            b"ffffffff",
            "limit name_len = 65536 exceeded at byte 0",
        ),
        (NAMESIZE, b"00010000", "truncated at byte 3"),
        (NAMESIZE, b"00001001", "truncated at byte 3"),
        (
            NAMESIZE,
            b"00000001",
            "bad cpio header at byte 0 of the file: a name without",
        ),
    ] {
        let raw = with_field(field, text);
        let error = outcome(&raw, &Limits::default()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        for compression in PACKED {
            assert!(outcome(&pack(compression, &raw), &Limits::default()).is_err());
        }
    }
}

#[test]
fn an_empty_name_is_dropped() {
    let image = with_field(11, b"00000000");
    let mut inventory = Inventory::new(&Limits::default());
    read(image.as_slice(), &Limits::default(), &mut inventory).unwrap();
    assert_eq!(inventory.dropped()[0].reason, Reason::NameEmpty);
    assert!(inventory.node(b"b").is_some());
}

#[test]
fn limits_have_names_and_places() {
    let limits = Limits {
        decoded_bytes: 5000,
        entries: 3,
        name_len: 20,
        name_bytes: 30,
        segments: 2,
        window: 1 << 16,
        ..Limits::default()
    };
    let four: Vec<TestEntry> = (0..4).map(|i| file(&format!("f{i}"), b"")).collect();
    let many = archive(&[]).repeat(3);
    let large = archive(&[file("a", &[7; 6000])]);
    let wide = {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(20).unwrap();
        std::io::Write::write_all(&mut encoder, &large).unwrap();
        encoder.finish().unwrap()
    };
    for (image, expected) in [
        (
            archive(&four),
            "limit entries = 3 exceeded at byte 348 of the file",
        ),
        (
            archive(&[file("a-name-of-twenty-bytes", b"")]),
            "limit name_len = 20 exceeded at byte 0",
        ),
        (
            archive(&[link("b", &"x".repeat(30))]),
            "limit name_bytes = 30 exceeded at byte 0 of the file",
        ),
        (many, "limit segments = 2 exceeded at byte 248 of the file"),
        (large.clone(), "limit decoded_bytes = 5000 exceeded at byte"),
        (
            pack(Compression::Gzip, &large),
            "limit decoded_bytes = 5000 exceeded at byte",
        ),
        (
            wide,
            "limit window = 65536 exceeded at the start of the zstd segment at byte 0",
        ),
    ] {
        let error = outcome(&image, &limits).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
    for compression in [Compression::Xz, Compression::Lzma] {
        let error = outcome(&pack(compression, &large), &limits)
            .unwrap_err()
            .to_string();
        let expected = format!("limit window = 65536 exceeded at the start of the {compression}");
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
}

#[test]
fn a_zstd_window_is_refused_before_it_is_allocated() {
    // Window descriptors 0x88 (128 MiB), 0x89 (144 MiB) and 0xff; the only block of the frame is empty.
    for (descriptor, refused) in [(0x88, false), (0x89, true), (0xff, true)] {
        let image = [0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0];
        let error = outcome(&image, &Limits::default()).unwrap_err();
        let limit = matches!(
            error,
            ReadError::Limit {
                name: "window",
                value: 0x800_0000,
                ..
            }
        );
        assert_eq!(limit, refused, "{error}");
    }
    // The window of a frame with a single segment is as large as its content.
    let image = b"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f\x01\0\0";
    let error = outcome(image, &Limits::default()).unwrap_err();
    assert!(
        matches!(error, ReadError::Limit { name: "window", .. }),
        "{error}"
    );
}

#[test]
fn bombs_end_at_the_ratio() {
    let zeros = archive(&[file("zeros", &vec![0; 18 << 20])]);
    for compression in [Compression::Zstd, Compression::Gzip] {
        let error = outcome(&pack(compression, &zeros), &Limits::default()).unwrap_err();
        assert!(
            matches!(
                error,
                ReadError::Limit {
                    name: "ratio",
                    value: 256,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn every_truncation_is_a_clean_error() {
    let limits = Limits::default();
    let raw = archive(&[file("early_cpio", b"1")]);
    let main = archive(&[
        dir("d"),
        file("d/f", b"some data"),
        hard("h", 3, b""),
        link("l", "d"),
    ]);
    for compression in PACKED {
        let packed = pack(compression, &main);
        let gap = raw.len() + 8;
        let mut image = raw.clone();
        image.resize(gap, 0);
        image.extend_from_slice(&packed);
        image.extend_from_slice(&random_tail(image.len() as u64));
        assert!(outcome(&image, &limits).is_ok());
        let ends = [
            raw.len()..=gap,
            gap + packed.len()..=image.len() - random_segment().len(),
        ];
        for length in 0..image.len() {
            let good = ends.iter().any(|range| range.contains(&length));
            let found = outcome(&image[..length], &limits);
            assert_eq!(found.is_ok(), good, "{compression} {length}: {found:?}");
        }
    }
}

#[test]
fn every_changed_byte_is_an_error_or_a_reading() {
    let limits = Limits {
        decoded_bytes: 1 << 20,
        ..Limits::default()
    };
    let raw = archive(&[file("early_cpio", b"1")]);
    let mut main = open_archive(&[file("f", b"some data"), link("l", "f")], "070702");
    main.extend_from_slice(&archive(&[hard("h", 3, b""), hard("i", 3, b"x")]));
    let mut images: Vec<Vec<u8>> = vec![[raw.clone(), main.clone()].concat()];
    images.extend(PACKED.iter().map(|&compression| {
        let mut image = [raw.as_slice(), &pack(compression, &main)].concat();
        image.extend_from_slice(&random_tail(image.len() as u64));
        image
    }));
    for image in images {
        assert!(outcome(&image, &limits).is_ok());
        for at in 0..image.len() {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = image.clone();
                changed[at] ^= change;
                if let Ok(segments) = outcome(&changed, &limits) {
                    let decoded: u64 = segments.iter().map(|segment| segment.decoded).sum();
                    assert!(decoded <= limits.decoded_bytes);
                }
            }
        }
    }
}

#[test]
fn lz4_blocks_with_wrong_sizes() {
    let good = pack(Compression::Lz4, &archive(&[file("a", b"data")]));
    for (length, expected) in [
        (
            u32::MAX,
            "a block of 4294967295 bytes, the limit is 8421520",
        ),
        (8_421_521, "a block of 8421521 bytes"),
        (8_421_520, "truncated at byte"),
    ] {
        let mut image = good.clone();
        image[4..8].copy_from_slice(&length.to_le_bytes());
        let error = outcome(&image, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let starts: [&[u8]; 8] = [
        b"070701",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08",
        b"\xfd7zXZ\0\0\x01",
        b"\x5d\0\0",
        b"\x02\x21\x4c\x18",
        b"BZh9",
        b"",
    ];
    let limits = Limits {
        decoded_bytes: 1 << 20,
        ..Limits::default()
    };
    for round in 0..800 {
        let mut image = starts[round % starts.len()].to_vec();
        let length = next() % 400;
        image.extend((0..length).map(|_| (next() >> 32) as u8));
        let _ = outcome(&image, &limits);
    }
}
