// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images that the kernel cannot unpack although no byte is damaged, and decompression bombs.

use std::io::Write;

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use super::broken;
use crate::corpus::archive::{Archive, FILE, LINK};
use crate::corpus::case::Case;
use crate::corpus::draft::{Draft, pack};
use crate::corpus::good::{append_random, early};
use crate::corpus::products::Base::TrixieSlim;

const READABLE: &str = "initramfs-readable";
const COMPRESSION: &str = "initramfs-compression";
const HALF: &str = "coreos/layering-examples#57";

pub fn cases() -> Vec<Case> {
    let rooms = [archives(), foreign(), frames(), bombs(), config()];
    rooms.into_iter().flatten().collect()
}

fn unreadable(
    name: &str,
    comes_of: &'static str,
    change: impl Fn(&mut Draft) + Send + Sync + 'static,
) -> Case {
    broken(name, TrixieSlim, comes_of, &[READABLE], change)
}

/// Appends bytes to the image, at an offset that is a multiple of 4.
fn append(draft: &mut Draft, archive: &[u8]) {
    let bytes = draft.bytes();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(archive);
}

fn archives() -> Vec<Case> {
    vec![
        unreadable("no-trailer", HALF, |draft| {
            let bytes = draft.archive().without_trailer();
            draft.set_bytes(pack(&bytes));
        }),
        unreadable("no-trailer-raw", HALF, |draft| {
            let bytes = draft.archive().without_trailer();
            draft.set_bytes(bytes);
        }),
        unreadable(
            "no-trailer-early",
            "coreos/fedora-coreos-tracker#1247",
            |draft| {
                let mut early_only = Archive::empty();
                early_only.put("kernel/x86/microcode/GenuineIntel.bin", FILE, vec![1; 5000]);
                let main = std::mem::take(draft.bytes());
                draft.set_bytes([early_only.without_trailer(), main].concat());
            },
        ),
        unreadable("only-padding", "coreos/rpm-ostree#5261", |draft| {
            draft.set_bytes(vec![0; 4096])
        }),
        unreadable("not-aligned", HALF, |draft| {
            let raw = draft.archive().to_bytes();
            draft.set_bytes([early(), vec![0; 2], raw].concat());
        }),
        unreadable(
            "odc",
            "boot: Initramfs unpacking failed: incorrect cpio method used",
            |draft| {
                draft.set_bytes(b"070707000000000000040755000000000000000002000000".repeat(10));
            },
        ),
        unreadable("junk-behind", "coreos/rpm-ostree#5261", |draft| {
            append(draft, b"dracut: FAILED\n")
        }),
        unreadable("log-before", "coreos/layering-examples#57", |draft| {
            let main = std::mem::take(draft.bytes());
            draft.set_bytes([b"dracut: *** Creating image file ***\n".to_vec(), main].concat());
        }),
    ]
}

/// Returns cases in which the initramfs is a file of another kind.
fn foreign() -> Vec<Case> {
    vec![
        unreadable("an-error-page", "coreos/rpm-ostree#1901", |draft| {
            draft.set_bytes(b"<!DOCTYPE html><title>404 Not Found</title>\n".to_vec());
        }),
        unreadable("a-uki", "blue-build/modules#276", |draft| {
            draft.set_bytes(draft.read(&draft.of_kernel("vmlinuz")));
        }),
        unreadable(
            "a-squashfs",
            "boot: VFS: Unable to mount root fs on unknown-block(0,0)",
            |draft| {
                draft.set_bytes([b"hsqs".to_vec(), vec![1; 5000]].concat());
            },
        ),
        unreadable(
            "a-tar",
            "boot: VFS: Unable to mount root fs on unknown-block(0,0)",
            |draft| {
                let mut tar = b"usr/lib/systemd/systemd".to_vec();
                tar.resize(512, 0);
                draft.set_bytes(tar);
            },
        ),
        unreadable("a-module", "coreos/rpm-ostree#4451", |draft| {
            let module = draft.of_kernel("kernel/drivers/block/virtio_blk.ko.xz");
            draft.set_bytes(draft.read(&module));
        }),
    ]
}

/// Returns cases with compressed data that compressors can write and that the kernel does not read.
fn frames() -> Vec<Case> {
    const METHOD: &str =
        "boot: Initramfs unpacking failed: invalid magic at start of compressed archive";
    vec![
        unreadable("xz-crc64", "dracut-ng/dracut-ng#378", |draft| {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
            xz.write_all(&small(draft)).unwrap();
            draft.set_bytes(xz.finish().unwrap());
        }),
        unreadable("xz-delta", METHOD, |draft| {
            let mut filters = Filters::new();
            let packed = xz(&small(draft), filters.delta_properties(&[3]).unwrap());
            draft.set_bytes(packed);
        }),
        unreadable("lz4-frame", "dracut-ng/dracut-ng#378", |draft| {
            draft.compressed("lz4");
            draft.bytes()[..4].copy_from_slice(&0x184d_2204_u32.to_le_bytes());
        }),
        unreadable("pzstd", "boot: ZSTD-compressed data is corrupt", |draft| {
            let frame = std::mem::take(draft.bytes());
            let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
            draft.set_bytes([skippable.to_vec(), frame].concat());
        }),
        unreadable("lzop", METHOD, |draft| {
            draft.set_bytes([b"\x89LZO\0\r\n\x1a\n".to_vec(), vec![1; 5000]].concat());
        }),
        unreadable("gzip-with-a-comment", METHOD, |draft| {
            let archive = small(draft);
            let mut gzip = flate2::GzBuilder::new()
                .comment("made by hand")
                .write(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&archive).unwrap();
            draft.set_bytes(gzip.finish().unwrap());
        }),
    ]
}

/// Compresses as `xz --check=crc32 -0` does, with these filters before LZMA2.
fn xz(data: &[u8], filters: &mut Filters) -> Vec<u8> {
    let filters = filters.lzma2(&LzmaOptions::new_preset(0).unwrap());
    let stream = Stream::new_stream_encoder(filters, Check::Crc32).unwrap();
    let mut xz = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    xz.write_all(data).unwrap();
    xz.finish().unwrap()
}

/// Returns an archive that compresses fast: only the entries whose names begin with `etc`.
fn small(draft: &mut Draft) -> Vec<u8> {
    let archive = draft.archive();
    archive.remove_all(|name| !name.starts_with("etc"));
    archive.to_bytes()
}

fn bombs() -> Vec<Case> {
    const MEMORY: &str = "boot: Kernel panic: System is deadlocked on memory";
    let zeros = |entries: u32| {
        let mut archive = Archive::empty();
        for entry in 0..entries {
            archive.append(&format!("{entry}"), FILE, vec![0; 64 << 20]);
        }
        archive.to_bytes()
    };
    vec![
        unreadable("bomb-zstd", MEMORY, move |draft| {
            append(draft, &pack(&zeros(1)))
        }),
        unreadable("bomb-gzip", MEMORY, move |draft| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(&zeros(1)).unwrap();
            let bomb = gzip.finish().unwrap();
            append(draft, &bomb);
        }),
        unreadable("bomb-many-segments", MEMORY, |draft| {
            for _ in 0..64 {
                append_random(draft);
            }
        }),
        unreadable(
            "bomb-window",
            "boot: ZSTD-compressed data is probably corrupt: Window too large",
            |draft| {
                // This frame header requests a window of 2 GiB.
                draft.set_bytes([vec![0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3], vec![0; 64]].concat());
            },
        ),
        unreadable("bomb-links", MEMORY, |draft| {
            let mut archive = Archive::empty();
            let target = "n".repeat(4096);
            for entry in 0..8200 {
                archive.append(&format!("{entry}"), LINK, target.as_str());
            }
            append(draft, &pack(&archive.to_bytes()));
        }),
        unreadable("bomb-entries", MEMORY, |draft| {
            let mut archive = Archive::empty();
            for entry in 0..140_000 {
                archive.append(&format!("{entry}"), FILE, "");
            }
            append(draft, &archive.to_bytes());
        }),
    ]
}

fn config() -> Vec<Case> {
    let mut cases = Vec::new();
    for (how, option) in [
        ("zst", "CONFIG_RD_ZSTD"),
        ("xz", "CONFIG_RD_XZ"),
        ("lz4", "CONFIG_RD_LZ4"),
        ("gz", "CONFIG_RD_GZIP"),
        ("bz2", "CONFIG_RD_BZIP2"),
        ("lzma", "CONFIG_RD_LZMA"),
    ] {
        let name = format!("kernel-without-{how}");
        cases.push(broken(
            name,
            TrixieSlim,
            "dracut-ng/dracut-ng#378",
            &[COMPRESSION],
            move |draft| {
                draft.compressed(how);
                switch_off(draft, option);
            },
        ));
    }
    cases.push(broken(
        "kernel-without-gz-for-the-random-segment",
        TrixieSlim,
        "dracut-ng/dracut-ng#378",
        &[COMPRESSION],
        |draft| {
            append_random(draft);
            switch_off(draft, "CONFIG_RD_GZIP");
        },
    ));
    cases.push(broken(
        "kernel-without-initramfs",
        TrixieSlim,
        "dracut-ng/dracut-ng#378",
        &[COMPRESSION],
        |draft| {
            switch_off(draft, "CONFIG_BLK_DEV_INITRD");
        },
    ));
    cases.push(broken(
        "xz-x86-not-configured",
        TrixieSlim,
        "boot: Initramfs unpacking failed: XZ-compressed data is corrupt",
        &[COMPRESSION],
        |draft| {
            let packed = xz(&draft.archive().to_bytes(), Filters::new().x86());
            draft.set_bytes(packed);
            switch_off(draft, "CONFIG_XZ_DEC_X86");
        },
    ));
    cases
}

fn switch_off(draft: &Draft, option: &str) {
    let path = draft.of_kernel("config");
    draft.edit(
        &path,
        &format!("{option}=y\n"),
        &format!("# {option} is not set\n"),
    );
}
