// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with generated images. An image contains the fields that the parsers read, and little else.

use std::io::Write;

use liblzma::stream::Stream;

use super::*;

pub(super) const KVER: &str = "6.9.4-200.fc40.x86_64+rt";

pub(super) fn banner(kver: &str) -> String {
    format!("\0\0Linux version {kver} (mock@build) (gcc) #1 SMP\n")
}

pub(super) fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(bytes);
}

pub(super) fn bzimage(text: &str) -> Vec<u8> {
    let mut image = vec![0; 0x300];
    put(&mut image, 0x1fe, &[0x55, 0xaa]);
    put(&mut image, 0x202, b"HdrS");
    put(&mut image, 0x206, &0x20f_u16.to_le_bytes());
    put(&mut image, 0x20e, &0x100_u16.to_le_bytes());
    put(&mut image, 0x236, &1_u16.to_le_bytes());
    put(&mut image, 0x300, text.as_bytes());
    image
}

pub(super) fn arm64(text: &str) -> Vec<u8> {
    let mut image = b"MZ".to_vec();
    put(&mut image, 0x38, b"ARM\x64");
    put(&mut image, 0x80, text.as_bytes());
    image
}

pub(super) fn s390(text: &str) -> Vec<u8> {
    let mut image = Vec::new();
    put(&mut image, 0x10008, b"S390EP");
    put(&mut image, 0x10428, &0x10440_u64.to_be_bytes());
    put(&mut image, 0x10440, text.as_bytes());
    image
}

pub(super) fn elf(machine: u16, text: &[u8]) -> Vec<u8> {
    let mut image = b"\x7fELF\x02\x01\x01".to_vec();
    put(&mut image, 18, &machine.to_le_bytes());
    put(&mut image, 64, text);
    image
}

/// Returns a PE image with these sections, with its PE header at 0x40. `certificates` is the offset and size of the
/// certificate table, which the caller appends.
pub(super) fn pe(machine: u16, certificates: (u32, u32), sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut image = b"MZ".to_vec();
    put(&mut image, 0x3c, &0x40_u32.to_le_bytes());
    put(&mut image, 0x40, b"PE\0\0");
    put(&mut image, 0x44, &machine.to_le_bytes());
    put(&mut image, 0x46, &(sections.len() as u16).to_le_bytes());
    let optional_size = 112 + 16 * 8;
    put(&mut image, 0x54, &(optional_size as u16).to_le_bytes());
    let optional = 0x58;
    put(&mut image, optional, &0x20b_u16.to_le_bytes());
    put(&mut image, optional + 108, &16_u32.to_le_bytes());
    put(&mut image, optional + 144, &certificates.0.to_le_bytes());
    put(&mut image, optional + 148, &certificates.1.to_le_bytes());
    let table = optional + optional_size;
    let mut data = table + 40 * sections.len();
    for (n, (name, bytes)) in sections.iter().enumerate() {
        let at = table + 40 * n;
        put(&mut image, at, &[0; 40]);
        put(&mut image, at, name.as_bytes());
        put(&mut image, at + 8, &(bytes.len() as u32).to_le_bytes());
        put(&mut image, at + 16, &(bytes.len() as u32 + 7).to_le_bytes());
        put(&mut image, at + 20, &(data as u32).to_le_bytes());
        put(&mut image, data, bytes);
        put(&mut image, data + bytes.len(), &[0; 7]);
        data = image.len();
    }
    image
}

pub(super) fn zboot(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut image = pe(0xaa64, (0, 0), &[(".text", b"code")]);
    let offset = image.len();
    put(&mut image, 4, b"zimg");
    put(&mut image, 8, &(offset as u32).to_le_bytes());
    put(&mut image, 12, &(payload.len() as u32).to_le_bytes());
    put(&mut image, 24, name.as_bytes());
    put(&mut image, offset, payload);
    // In a real image, the decoded size of the payload, which the kernel's build appends, and code follow the payload.
    put(&mut image, offset + payload.len(), &[0xff; 64]);
    image
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    let stream = Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x02, 0x21, 0x4c, 0x18];
    for block in bytes.chunks(8 << 20) {
        let packed = lz4_flex::block::compress(block);
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    out
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Returns at least one image of every format, each with a name for messages and with the expected architecture and
/// format.
fn every_kind() -> Vec<(&'static str, Vec<u8>, Arch, KernelFormat)> {
    let text = banner(KVER);
    let kernel = arm64(&text);
    let x86 = bzimage(&format!("{KVER} (mock@build) #1 SMP"));
    let uki = |linux: &[u8]| pe(0x8664, (0, 0), &[(".osrel", b"ID=x"), (".linux", linux)]);
    let z390 = s390(&format!("{KVER} (mock@build) #1"));
    let vmlinux = elf(21, text.as_bytes());
    let mut wrapped = b"\x1f\x8b\x08 no".to_vec();
    wrapped.extend(gzip(&vmlinux));
    let mut riscv = kernel.clone();
    put(&mut riscv, 0x38, b"RSC\x05");
    use Arch::{Aarch64, Ppc64le, Riscv64, S390x, X86_64};
    vec![
        ("x86", x86.clone(), X86_64, KernelFormat::BzImage),
        ("arm64", kernel.clone(), Aarch64, KernelFormat::Image),
        ("riscv", riscv, Riscv64, KernelFormat::Image),
        (
            "arm64-gzip",
            gzip(&kernel),
            Aarch64,
            KernelFormat::ImageGzip,
        ),
        (
            "z-gzip",
            zboot("gzip", &gzip(&kernel)),
            Aarch64,
            KernelFormat::Zboot,
        ),
        (
            "z-zstd",
            zboot("zstd22", &zstd(&kernel)),
            Aarch64,
            KernelFormat::Zboot,
        ),
        (
            "z-xz",
            zboot("xzkern", &xz(&kernel)),
            Aarch64,
            KernelFormat::Zboot,
        ),
        (
            "z-lzma",
            zboot("lzma", &lzma(&kernel)),
            Aarch64,
            KernelFormat::Zboot,
        ),
        (
            "z-lz4",
            zboot("lz4", &lz4(&kernel)),
            Aarch64,
            KernelFormat::Zboot,
        ),
        ("s390x", z390, S390x, KernelFormat::S390),
        ("ppc64le", vmlinux, Ppc64le, KernelFormat::Elf),
        (
            "zImage",
            elf(20, &wrapped),
            Ppc64le,
            KernelFormat::ElfWrapper,
        ),
        ("uki", uki(&x86), X86_64, KernelFormat::Uki),
        (
            "uki-arm64",
            uki(&zboot("zstd", &zstd(&kernel))),
            Aarch64,
            KernelFormat::Uki,
        ),
    ]
}

#[test]
fn seeds_are_current() {
    let mut seeds: Vec<_> = every_kind()
        .into_iter()
        .map(|(name, image, ..)| (name, image))
        .collect();
    let signed = pe(0x8664, (0x148, 64), &[]);
    seeds.push(("signed", [signed, vec![1; 64]].concat()));
    let appended = [elf(22, b""), APPENDED_SIGNATURE.to_vec()].concat();
    seeds.push(("signed-behind", appended));
    crate::kernel::testing::seeds("vmlinuz", &seeds);
}

#[test]
fn the_release_of_every_format() {
    for (name, image, arch, format) in every_kind() {
        let expected = Release {
            kver: KVER.to_owned(),
            arch,
            format,
        };
        assert_eq!(release(&image).unwrap(), expected, "{name}");
    }
}

#[test]
fn truncations_do_not_change_the_release() {
    for (name, image, ..) in every_kind() {
        let step = if image.len() > 0x10000 { 7 } else { 1 };
        for length in (0..image.len()).step_by(step) {
            let cut = &image[..length];
            is_signed(cut);
            if let Ok(found) = release(cut) {
                assert_eq!(found.kver, KVER, "{name} cut at {length}");
            }
        }
    }
}

#[test]
fn a_truncated_kernel_is_damaged() {
    let text = banner(KVER);
    let mut x86 = bzimage(&format!("{KVER} (x)"));
    put(&mut x86, 0x1f1, &[1]);
    put(&mut x86, 0x1f4, &2_u32.to_le_bytes());
    put(&mut x86, 0x400, &[1; 32]);
    let efi = pe(
        0xaa64,
        (0, 0),
        &[(".text", text.as_bytes()), (".data", b"end")],
    );
    let mut gzipped = gzip(&arm64(&(text + &"x".repeat(300))));
    gzipped.pop();
    for (image, expected) in [
        (&x86[..x86.len() - 1], "expected the kernel at 0x400"),
        (&efi[..efi.len() - 8], "expected a section at "),
        (&gzipped, "the gzip data at 0x0 do not decode"),
        (&[], "starts with nothing"),
    ] {
        let error = release(image).unwrap_err();
        assert!(
            error.is_damage() && error.to_string().contains(expected),
            "{error}"
        );
    }
    assert!(!release(b"#!/bin/sh\n").unwrap_err().is_damage());
}

#[test]
fn no_flipped_byte_panics() {
    for (_, image, ..) in every_kind() {
        let step = (image.len() / 700).max(1);
        for at in (0..image.len()).step_by(step) {
            for value in [0, 0x7f, 0xff] {
                let mut broken = image.clone();
                broken[at] = value;
                let _ = release(&broken);
                is_signed(&broken);
            }
        }
    }
}

#[test]
fn a_banner_across_two_reads_is_found() {
    for shift in 0..120 {
        let mut text = " ".repeat(256 * 1024 - 0x80 - shift);
        text.push_str(&banner(KVER));
        assert_eq!(release(&arm64(&text)).unwrap().kver, KVER, "{shift}");
        let packed = zboot("lz4", &lz4(&arm64(&text)));
        assert_eq!(release(&packed).unwrap().kver, KVER, "{shift}");
    }
}

#[test]
fn lz4_has_many_blocks() {
    let mut text = "x".repeat((8 << 20) - 0x80 - 20);
    text.push_str(&banner(KVER));
    let packed = zboot("lz4", &lz4(&arm64(&text)));
    assert_eq!(release(&packed).unwrap().kver, KVER);
}

#[test]
fn text_that_is_not_a_release_is_ignored() {
    let long = "6".repeat(65);
    for text in [
        "",
        " ",
        "x ",
        "6.9",
        "6.9/ ",
        "6.9\n ",
        "%s ",
        &format!("{long} "),
    ] {
        let error = release(&bzimage(text)).unwrap_err();
        let said = error.to_string();
        assert!(
            matches!(error, VmlinuzError::NotARelease { offset: 0x300, .. })
                || (text.is_empty() && matches!(error, VmlinuzError::Truncated { .. })),
            "{text:?}: {said}"
        );
    }
    let exact = "6".repeat(64);
    assert_eq!(release(&bzimage(&format!("{exact} "))).unwrap().kver, exact);
    for text in [
        "Linux version %s (x",
        "Linux version ",
        "Linux version 6.9",
        "Linux version 6.9 x",
    ] {
        let error = release(&arm64(text)).unwrap_err();
        assert!(matches!(error, VmlinuzError::NoBanner { .. }), "{text}");
    }
    let second = format!("Linux version %s (x) {}", banner(KVER));
    assert_eq!(release(&arm64(&second)).unwrap().kver, KVER);
}

#[test]
fn errors_say_what_was_found_and_expected() {
    let mut unknown_machine = zboot("gzip", &gzip(b"x"));
    put(&mut unknown_machine, 0x44, &[0x64, 0x62]);
    for (image, expected) in [
        (
            Vec::new(),
            "it starts with nothing, expected a kernel image",
        ),
        (
            b"#!/bin/sh\n".to_vec(),
            "it starts with 23 21 2f 62 69 6e 2f 73 68 0a, expected",
        ),
        (
            bzimage("")[..0x300].to_vec(),
            "the image has 768 bytes, expected the release string at 0x300",
        ),
        (
            zboot("lzo", b""),
            "compressed with \"lzo\", expected gzip, zstd, xz, lzma, lz4 or bzip2",
        ),
        (
            zboot("zstd", b"oops"),
            "the zstd data at 0x17b do not decode: ",
        ),
        (
            zboot("gzip", &gzip(b"nothing")),
            "7 bytes of the kernel were searched, expected \"Linux version X (\"",
        ),
        (elf(40, b""), "for machine 0x28 (ELF), expected a known"),
        (unknown_machine, "for machine 0x6264 (PE), expected a known"),
        (
            s390("x")[..0x10430].to_vec(),
            "the image has 66608 bytes, expected the release string at 0x10440",
        ),
    ] {
        let said = release(&image).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn wrong_sizes_are_rejected_before_allocation() {
    let mut image = zboot("zstd", &zstd(b"x"));
    put(&mut image, 12, &u32::MAX.to_le_bytes());
    let error = release(&image).unwrap_err();
    assert!(matches!(error, VmlinuzError::Truncated { .. }), "{error}");

    let mut block = vec![0x02, 0x21, 0x4c, 0x18];
    block.extend(0xf000_0000_u32.to_le_bytes());
    let said = release(&zboot("lz4", &block)).unwrap_err().to_string();
    assert!(said.contains("a block has 4026531840 bytes"), "{said}");
}

#[test]
fn a_decompression_bomb_is_rejected() {
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..258 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let error = release(&zboot("zstd", &bomb)).unwrap_err();
    assert!(matches!(error, VmlinuzError::TooLarge), "{error}");
}

#[test]
fn windows_above_128_mib_are_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(banner(KVER).as_bytes()).unwrap();
    let error = release(&zboot("zstd", &encoder.finish().unwrap())).unwrap_err();
    assert!(matches!(error, VmlinuzError::Decode { .. }), "{error}");
}

/// Returns `image` with an appended signature of four bytes.
pub(super) fn signed_behind(image: &[u8]) -> Vec<u8> {
    let head = [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4];
    [image, &[1; 4], &head, APPENDED_SIGNATURE].concat()
}

#[test]
fn signatures() {
    let at = |image: &[u8]| image.len() as u32;
    let plain = pe(0x8664, (0, 0), &[]);
    let with = |table, extra: usize| {
        let mut image = pe(0x8664, table, &[]);
        image.resize(image.len() + extra, 1);
        image
    };
    for (name, image, signed) in [
        ("none", plain.clone(), false),
        ("whole", with((at(&plain), 64), 64), true),
        ("cut", with((at(&plain), 64), 63), false),
        ("empty", with((at(&plain), 8), 64), false),
        ("outside", with((u32::MAX, u32::MAX), 64), false),
        ("s390x", signed_behind(&s390(KVER)), true),
        ("bare", APPENDED_SIGNATURE.to_vec(), false),
        ("nothing", Vec::new(), false),
        ("gzip", gzip(&with((at(&plain), 64), 64)), false),
    ] {
        assert_eq!(is_signed(&image), signed, "{name}");
    }
    // First, the optional header is too short for the certificate table's entry. Then, its number of data directories
    // excludes the entry.
    let mut short = with((at(&plain), 64), 64);
    put(&mut short, 0x54, &144_u16.to_le_bytes());
    assert!(!is_signed(&short));
    let mut uncounted = with((at(&plain), 64), 64);
    put(&mut uncounted, 0x58 + 108, &4_u32.to_le_bytes());
    assert!(!is_signed(&uncounted));
}
