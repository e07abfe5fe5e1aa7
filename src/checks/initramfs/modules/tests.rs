// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken modules, and similar ones that are not broken.

use crate::checks::Answer;
use crate::checks::testing::{Bench, K, ko, module_path};
use crate::initramfs::Compression;
use crate::initramfs::testing::pack;
use crate::kernel::testing::index;

const CHECK: &str = "initramfs-modules";
const BLK: &str = "kernel/drivers/block/virtio_blk.ko";
const LIST: &str = "kernel/fs/ext4/ext4.ko:\n";
const EXT4: &str = "kernel/fs/ext4/ext4.ko";

fn findings(break_it: impl FnOnce(&mut Bench)) -> Vec<String> {
    let mut bench = Bench::good();
    break_it(&mut bench);
    bench.findings(CHECK)
}

#[test]
fn no_modules_at_all() {
    let without = |arguments: &str, modules: &str| {
        let mut bench = Bench::good();
        bench.inside.retain(|path, _| !path.contains("/kernel/"));
        bench.put("usr/lib/dracut/build-parameter.txt", arguments.as_bytes());
        bench.put("usr/lib/dracut/modules.txt", modules.as_bytes());
        bench
    };
    let found = without("--no-hostonly -f", "base\nkernel-modules\n").findings(CHECK);
    assert_eq!(found.len(), 1, "{found:#?}");
    let expected = ": no modules; modules, because it contains";
    assert!(found[0].contains(expected), "{found:#?}");
    for bench in [
        without("-f --hostonly", "base\nkernel-modules\n"),
        without("--no-hostonly", "base\n"),
    ] {
        assert!(matches!(bench.answer(CHECK), Answer::NotApplicable(_)));
    }
}

#[test]
fn modules_without_findings() {
    assert_eq!(findings(|_| ()), [""; 0]);
    // A stripped module has other bytes, but is the same module.
    let stripped = |bench: &mut Bench| {
        bench.disk.insert(BLK.into(), ko(K, "", 64));
    };
    assert_eq!(findings(stripped), [""; 0]);
    // The module on disk has another compression.
    for (suffix, compression) in [
        (".xz", Compression::Xz),
        (".zst", Compression::Zstd),
        (".gz", Compression::Gzip),
    ] {
        let packed = |bench: &mut Bench| {
            let module = bench.disk.remove(BLK).unwrap();
            let packed = pack(compression, &module);
            bench.disk.insert(format!("{BLK}{suffix}"), packed);
        };
        assert_eq!(findings(packed), [""; 0], "{suffix}");
    }
    // A module and the module that it requires are compressed on disk, but not in the image.
    let unpacked = |bench: &mut Bench| {
        for path in [EXT4, "kernel/fs/jbd2/jbd2.ko"] {
            let module = bench.disk.remove(path).unwrap();
            bench
                .disk
                .insert(format!("{path}.xz"), pack(Compression::Xz, &module));
        }
        let text = bench.disk["modules.dep"].clone();
        let text = String::from_utf8(text).unwrap().replace("4.ko", "4.ko.xz");
        let text = text.replace("jbd2.ko", "jbd2.ko.xz");
        bench.disk.insert("modules.dep".into(), text.into_bytes());
    };
    assert_eq!(findings(unpacked), [""; 0]);
    // A link to another kernel's module is a finding if the tree does not have that module.
    let linked = |bench: &mut Bench| {
        bench.put("usr/lib/modules/old/extra/virtio_blk.ko", &ko(K, "", 0));
        bench.inside.remove(&module_path(BLK));
        bench.link(
            &module_path(BLK),
            "/usr/lib/modules/old/extra/virtio_blk.ko",
        );
    };
    assert!(findings(linked)[0].contains("does not have"));
    assert_eq!(findings(|bench| bench.alone = true), [""; 0]);
}

#[test]
fn modules_with_findings() {
    type Break = fn(&mut Bench);
    let cases: [(&str, Break); 19] = [
        ("content that differs from the module on disk", |bench| {
            let mut module = ko(K, "", 8);
            bench.disk.insert(BLK.into(), module.clone());
            let padding = module.len() - 3 * 64 - 1;
            module[padding] = 1;
            bench.put(&module_path(BLK), &module);
        }),
        ("content that differs from the module on disk", |bench| {
            bench.put(&module_path(BLK), &ko(K, "", 64));
        }),
        (
            "vermagic \"6.1.0 SMP mod_unload\"; vermagic \"6.9.4",
            |bench| {
                bench.put(&module_path(BLK), &ko("6.1.0", "", 0));
            },
        ),
        ("dependencies \"x\"", |bench| {
            bench.put(&module_path(BLK), &ko(K, "x", 0))
        }),
        ("expected an uncompressed ELF file", |bench| {
            bench.put(&module_path(BLK), b"hello");
        }),
        ("a module that the tree does not have", |bench| {
            bench.put(&module_path("extra/foreign.ko"), &ko(K, "", 0));
        }),
        ("which is damaged", |bench| {
            bench.disk.insert(BLK.into(), b"torn".to_vec());
        }),
        (
            "jbd2.ko in the initramfs: no such module; present in the initramfs: kernel/fs/ext4",
            |bench| {
                bench.remove_module("kernel/fs/jbd2/jbd2.ko");
            },
        ),
        ("ext4.ko needs nothing; it needs jbd2", |bench| {
            let text = format!("{EXT4}:\nkernel/fs/jbd2/jbd2.ko:\n{BLK}:\n");
            bench.put(&module_path("modules.dep"), text.as_bytes());
        }),
        (
            "modules.dep.bin in the initramfs: kernel/fs/ext4/ext4.ko needs nothing",
            |bench| {
                let text = format!("{EXT4}:\nkernel/fs/jbd2/jbd2.ko:\n{BLK}:\n");
                bench.put(&module_path("modules.dep.bin"), &index::dep(&text));
            },
        ),
        (
            "modules.dep.bin in the initramfs: no line for kernel/drivers/block",
            |bench| {
                let text = format!("{EXT4}: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n");
                bench.put(&module_path("modules.dep.bin"), &index::dep(&text));
            },
        ),
        ("modules.dep.bin in the initramfs: no such file", |bench| {
            bench.inside.remove(&module_path("modules.dep.bin"));
        }),
        ("modules.dep.bin, byte 0: not an index", |bench| {
            bench.put(&module_path("modules.dep.bin"), LIST.as_bytes());
        }),
        (
            "modules.alias.bin in the initramfs: no such file",
            |bench| {
                bench.inside.remove(&module_path("modules.alias.bin"));
            },
        ),
        (
            "modules.alias.bin in the initramfs: no alias of virtio_blk",
            |bench| {
                let alias = b"alias virtio:d00000002v* virtio_blk\n";
                bench.disk.insert("modules.alias".into(), alias.to_vec());
            },
        ),
        ("no line for kernel/drivers/block", |bench| {
            let text = format!("{EXT4}: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n");
            bench.put(&module_path("modules.dep"), text.as_bytes());
        }),
        ("modules.dep in the initramfs: no such file", |bench| {
            bench.inside.remove(&module_path("modules.dep"));
        }),
        (
            "modules.dep in the initramfs: modules.dep, line 1",
            |bench| {
                bench.put(&module_path("modules.dep"), b"no colon\n");
            },
        ),
        ("a dangling link", |bench| {
            bench.inside.remove(&module_path(BLK));
            bench.link(&module_path(BLK), "gone.ko");
        }),
    ];
    for (expected, break_it) in cases {
        let found = findings(break_it);
        assert!(
            found.iter().any(|it| it.contains(expected)),
            "{expected}: {found:#?}"
        );
        assert!(
            found.iter().all(|it| it.starts_with("fatal ")),
            "{found:#?}"
        );
    }
    let alone = findings(|bench| {
        bench.alone = true;
        bench.put(&module_path(BLK), &ko("6.1.0", "", 0));
    });
    assert!(alone[0].contains("vermagic \"6.1.0"), "{alone:?}");
}

#[test]
fn softdeps_warn_only_where_a_module_on_disk_serves_them() {
    let found = findings(|bench| {
        let text = b"softdep ext4 pre: crypto-gcm\nsoftdep nfs pre: gcm\n";
        bench.disk.insert("modules.softdep".into(), text.to_vec());
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("warning crypto_gcm in the initramfs"),
        "{found:?}"
    );
}

#[test]
fn a_long_list_is_cut() {
    let found = findings(|bench| {
        for n in 0..30 {
            bench.put(&module_path(&format!("extra/m{n}.ko")), &ko(K, "", 0));
        }
    });
    assert!(found.len() < 30, "{}", found.len());
    assert!(found.iter().any(|it| it.contains("20 more")), "{found:?}");
}
