// SPDX-License-Identifier: MIT OR Apache-2.0
//! Segments and modules that a kernel can or cannot decode.

use std::io::Read;

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use super::undecoded;
use crate::checks::TreeFacts;
use crate::checks::testing::{Bench, K, ko, module_path};
use crate::initramfs::testing::{Idle, archive, file};
use crate::initramfs::{Limits, read};
use crate::kernel::packing::{Config, Packing};

const CHECK: &str = "initramfs-compression";
const EXT4: &str = "kernel/fs/ext4/ext4.ko";

fn xz(data: &[u8], check: Check) -> Vec<u8> {
    packed_with(data, check, &mut Filters::new())
}

fn packed_with(data: &[u8], check: Check, filters: &mut Filters) -> Vec<u8> {
    filters.lzma2(&LzmaOptions::new_preset(0).unwrap());
    let stream = Stream::new_stream_encoder(filters, check).unwrap();
    let mut out = Vec::new();
    liblzma::bufread::XzEncoder::new_stream(data, stream)
        .read_to_end(&mut out)
        .unwrap();
    out
}

fn decoding(tree: &mut TreeFacts) {
    let config = "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\nCONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_XZ=y\n";
    tree.config = Ok(Some(config.to_owned()));
}

/// Returns a bench whose module ext4 is compressed.
fn packed(check: Check) -> Bench {
    let mut bench = Bench::good();
    let module = xz(&ko(K, "jbd2,mbcache", 0), check);
    bench.inside.remove(&module_path(EXT4));
    bench.put(&module_path(&format!("{EXT4}.xz")), &module);
    bench.change = decoding;
    bench
}

#[test]
fn modules_that_the_kernel_decodes() {
    assert_eq!(packed(Check::Crc32).findings(CHECK), [""; 0]);
    assert_eq!(packed(Check::None).findings(CHECK), [""; 0]);
    let found = packed(Check::Crc64).findings(CHECK);
    assert_eq!(found.len(), 1, "{found:?}");
    let start = format!(
        "fatal {}.xz in the initramfs: compressed with xz in a way that the kernel does not support: its integrity check is CRC64",
        module_path(EXT4)
    );
    assert!(found[0].starts_with(&start), "{found:?}");
    // kmod decodes the module, since the kernel decodes no modules, or only those with another compression.
    for change in [(|_| ()) as fn(&mut TreeFacts), |tree| {
        decoding(tree);
        let config = tree.config.clone().unwrap().unwrap();
        tree.config = Ok(Some(config.replace("COMPRESS_XZ", "COMPRESS_ZSTD")));
    }] {
        let mut bench = packed(Check::Crc64);
        bench.change = change;
        assert_eq!(bench.findings(CHECK), [""; 0]);
    }
}

#[test]
fn an_older_kmod_decodes_modules_itself() {
    let mut bench = packed(Check::Crc64);
    bench.put("usr/lib64/libkmod.so.2.4.1", b"\x7fELF");
    assert_eq!(bench.findings(CHECK).len(), 1);
    bench.inside.remove("usr/lib64/libkmod.so.2.4.1");
    bench.put("usr/lib64/libkmod.so.2.4.0", b"\x7fELF");
    assert_eq!(bench.findings(CHECK), [""; 0]);
}

#[test]
fn modules_that_are_not_the_kernels_own_do_not_stop_the_boot() {
    let mut bench = packed(Check::Crc32);
    let nvidia = xz(&ko(K, "", 0), Check::Crc64);
    bench.put(&module_path("extra/nvidia.ko.xz"), &nvidia);
    let found = bench.findings(CHECK);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("warning "), "{found:?}");
    // A module that only the disk has is a warning, too.
    let mut bench = packed(Check::Crc32);
    bench.change = |tree| {
        decoding(tree);
        let packing = Packing::of(&xz(b"", Check::Sha256));
        let path = b"kernel/net/ipv6/ipv6.ko.xz".to_vec();
        tree.packings.insert(packing, (path, 3));
    };
    let found = bench.findings(CHECK);
    let start =
        format!("warning usr/lib/modules/{K}/kernel/net/ipv6/ipv6.ko.xz: 3 modules like this one");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&start), "{found:?}");
}

#[test]
fn a_branch_filter_of_a_segment_is_the_kernels_option() {
    let archive = archive(&[file("x", b"")]);
    let segment = |filters: &mut Filters| {
        let image = packed_with(&archive, Check::Crc32, filters);
        let mut segments = read(image.as_slice(), &Limits::default(), &mut Idle).unwrap();
        segments.remove(0)
    };
    let on = Config("CONFIG_RD_XZ=y\nCONFIG_XZ_DEC_X86=y\n");
    let off = Config("CONFIG_RD_XZ=y\n# CONFIG_XZ_DEC_X86 is not set\n");
    assert!(undecoded(&segment(&mut Filters::new()), &off).is_none());
    let x86 = segment(Filters::new().x86());
    assert!(undecoded(&x86, &on).is_none());
    let found = undecoded(&x86, &off).unwrap().found;
    let expected = "it uses the branch filter x86, and CONFIG_XZ_DEC_X86 is not set";
    assert_eq!(found, expected);
    let arm = segment(Filters::new().arm64());
    assert!(undecoded(&arm, &on).unwrap().found.contains("arm64"));
}
