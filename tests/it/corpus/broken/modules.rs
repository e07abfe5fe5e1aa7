// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel modules that are damaged, missing, or built for another kernel, and wrong indexes of modules.

use super::broken;
use crate::corpus::archive::FILE;
use crate::corpus::case::Case;
use crate::corpus::draft::Draft;
use crate::corpus::good::{crc64, decodes_modules};
use crate::corpus::products::Base::{self, BookwormOmit, TrixieOld, TrixiePlain, TrixieSlim};
use crate::{image, index};

const KVER: &str = "initramfs-kver";
const MODULES: &str = "initramfs-modules";
const FILES: &str = "kernel-files";
const DEPMOD: &str = "modules-depmod";
const KMODS: &str = "kmods";
const XFS: &str = "kernel/fs/xfs/xfs.ko.xz";
const STALE: &str = "boot: module: disagrees about version of symbol module_layout";
const BLK: &str = "kernel/drivers/block/virtio_blk.ko.xz";

pub fn cases() -> Vec<Case> {
    let rooms = [
        kver(),
        dependencies(),
        bodies(),
        packed(),
        plain(),
        other_build(),
        own_dep(),
        own_indexes(),
        depmod(),
        kmods(),
        packaged(),
        none(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Returns a case without any module, as dracut makes it if the tree lacks `modules.dep.bin`.
fn none() -> Vec<Case> {
    vec![broken(
        "no-modules-at-all",
        TrixieSlim,
        "boot: Timed out waiting for the root device",
        &[MODULES],
        |draft| draft.archive().remove_all(|path| path.contains(".ko")),
    )]
}

/// Returns cases with modules that differ from their package, in the tree and in the image, since dracut copies modules
/// unchanged.
fn packaged() -> Vec<Case> {
    fn put(draft: &mut Draft, module: &str, data: Vec<u8>) {
        let path = draft.of_kernel(module);
        draft.write(&path, &data);
        draft.archive().replace(&path, data);
    }
    vec![
        broken(
            "module-cut-before-dracut-ran",
            TrixieSlim,
            "coreos/rpm-ostree#5578",
            &[FILES],
            |draft| {
                let data = draft.read(&draft.of_kernel(BLK));
                let half = data[..data.len() / 2].to_vec();
                put(draft, BLK, half);
            },
        ),
        broken(
            "module-flipped-before-dracut-ran",
            TrixieSlim,
            "coreos/rpm-ostree#5578",
            &[FILES],
            |draft| {
                let mut data = draft.read(&draft.of_kernel(XFS));
                let middle = data.len() / 2;
                data[middle] ^= 0x55;
                put(draft, XFS, data);
            },
        ),
        broken(
            "module-of-the-old-kernel-before-dracut-ran",
            TrixieSlim,
            STALE,
            &[FILES],
            |draft| {
                let old = format!("usr/lib/modules/{}/{BLK}", draft.products.old);
                let data = fs_err::read(draft.products.tree(TrixieOld).join(old)).unwrap();
                put(draft, BLK, data);
            },
        ),
    ]
}

fn kver() -> Vec<Case> {
    let dir = |draft: &Draft| format!("usr/lib/modules/{}", draft.kver);
    vec![
        broken(
            "initramfs-of-the-old-kernel",
            TrixieSlim,
            "blue-build/legacy-template#60",
            &[KVER],
            |draft| {
                draft.image_of(TrixieOld);
            },
        ),
        broken(
            "initramfs-of-the-old-kernel-059",
            BookwormOmit,
            "coreos/rpm-ostree#5261",
            &[KVER],
            |draft| {
                draft.image_of(Base::BookwormOld);
            },
        ),
        broken(
            "initramfs-of-the-build-host",
            TrixieSlim,
            "okd-project/okd#1908",
            &[KVER],
            move |draft| {
                let dir = dir(draft);
                draft
                    .archive()
                    .rename_all(&dir, "usr/lib/modules/5.15.0-1.el9.x86_64");
            },
        ),
        broken(
            "initramfs-with-kver-mistyped",
            TrixieSlim,
            "okd-project/okd#1908",
            &[KVER],
            move |draft| {
                let dir = dir(draft);
                draft
                    .archive()
                    .rename_all(&dir, "usr/lib/modules/6.12.117-cloud-amd64");
            },
        ),
        broken(
            "initramfs-without-modules",
            TrixieSlim,
            "coreos/rpm-ostree#5578",
            &[KVER],
            move |draft| {
                let dir = dir(draft);
                draft.archive().remove_all(|name| name.starts_with(&dir));
            },
        ),
        broken(
            "initramfs-of-two-kernels",
            TrixieSlim,
            "ublue-os/aurora#1286",
            &[KVER],
            |draft| {
                let other = format!("usr/lib/modules/{}/modules.dep", draft.products.old);
                draft.archive().put(&other, FILE, "");
            },
        ),
    ]
}

/// Returns cases with compressed modules that kmod passes to the kernel unchanged, and that the kernel cannot
/// decompress.
fn packed() -> Vec<Case> {
    const STATUS: &str = "boot: decompression failed with status 6";
    let mut cases = Vec::new();
    for (name, base, module) in [
        ("crc64-virtio", TrixieSlim, BLK),
        ("crc64-xfs", TrixieSlim, XFS),
    ] {
        let expected = ["initramfs-compression"];
        cases.push(broken(name, base, STATUS, &expected, move |draft| {
            crc64(draft, module);
            decodes_modules(draft, "XZ");
        }));
    }
    cases
}

/// Removes modules from the image, and their lines from the image's own `modules.dep`, as if dracut had not found them.
pub fn forget_inside(draft: &mut Draft, names: &[&str]) {
    let list = draft.of_kernel("modules.dep");
    let archive = draft.archive();
    let is_one = |path: &str| {
        let file = path.rsplit('/').next().unwrap();
        names.contains(&file.split(".ko").next().unwrap())
    };
    let dep = String::from_utf8(archive.get(&list).to_vec()).unwrap();
    archive.remove_all(|path| path.contains(".ko") && is_one(path));
    let kept = dep
        .lines()
        .filter(|line| !is_one(line.split(':').next().unwrap()));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    draft.put_dep(&kept);
}

fn dependencies() -> Vec<Case> {
    let mut cases = Vec::new();
    for (module, comes_of) in [
        ("libcrc32c", "coreos/rpm-ostree#5578"),
        ("scsi_mod", "coreos/rpm-ostree#4451"),
        ("dm-mod", "coreos/rpm-ostree#5483"),
        ("raid6_pq", "dracut-ng/dracut-ng#1561"),
    ] {
        let name = format!("dependency-{module}-gone");
        cases.push(broken(
            name,
            TrixieSlim,
            comes_of,
            &[MODULES],
            move |draft| {
                draft
                    .archive()
                    .remove_all(|path| path.contains(&format!("/{module}.ko")));
            },
        ));
    }
    cases
}

/// Changes a module in the image.
fn replace(draft: &mut Draft, module: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let path = draft.of_kernel(module);
    let archive = draft.archive();
    let bytes = change(archive.get(&path).to_vec());
    archive.replace(&path, bytes);
}

fn of_old(draft: &Draft, module: &str) -> Vec<u8> {
    let path = format!("usr/lib/modules/{}/{module}", draft.products.old);
    fs_err::read(draft.products.tree(TrixieOld).join(path)).unwrap()
}

fn bodies() -> Vec<Case> {
    let of = |name: &str, comes_of, change: fn(&mut Draft)| {
        broken(name, TrixieSlim, comes_of, &[MODULES], change)
    };
    vec![
        of("foreign-module", "ublue-os/ucore#88", |draft| {
            let path = draft.of_kernel("kernel/drivers/net/foreign.ko.xz");
            let module = of_old(draft, BLK);
            draft.archive().put(&path, FILE, module);
        }),
        of("module-of-another-vermagic", STALE, |draft| {
            let old = of_old(draft, XFS);
            replace(draft, XFS, |_| old.clone());
        }),
        of("module-cut", "coreos/fedora-coreos-tracker#1247", |draft| {
            replace(draft, XFS, |bytes| bytes[..bytes.len() / 2].to_vec());
        }),
        of(
            "module-flipped",
            "boot: module: x86/modules: Invalid relocation",
            |draft| {
                replace(draft, BLK, |mut bytes| {
                    let at = bytes.len() / 2;
                    bytes[at] ^= 4;
                    bytes
                });
            },
        ),
        of("module-empty", "coreos/rpm-ostree#5483", |draft| {
            replace(draft, XFS, |_| Vec::new())
        }),
        of("module-is-text", "dracut-ng/dracut-ng#443", |draft| {
            replace(draft, BLK, |_| {
                b"version https://git-lfs.github.com/spec/v1\n".to_vec()
            });
        }),
        of(
            "module-under-another-name",
            "coreos/rpm-ostree#4451",
            |draft| {
                let path = draft.of_kernel(BLK);
                let block = draft.archive().get(&path).to_vec();
                replace(draft, XFS, |_| block.clone());
            },
        ),
        of(
            "module-is-a-dangling-link",
            "dracut-ng/dracut-ng#561",
            |draft| {
                let path = draft.of_kernel(XFS);
                draft
                    .archive()
                    .put_link(&path, "/lib/modules/gone/xfs.ko.xz");
            },
        ),
    ]
}

/// Returns cases with uncompressed modules, which dracut may have stripped.
fn plain() -> Vec<Case> {
    vec![
        broken(
            "plain-module-of-another-vermagic",
            TrixiePlain,
            STALE,
            &[MODULES],
            |draft| {
                replace(draft, "kernel/fs/xfs/xfs.ko", |mut bytes| {
                    let at = bytes.windows(9).position(|it| it == b"vermagic=").unwrap() + 9;
                    bytes[at..at + 3].copy_from_slice(b"5.4");
                    bytes
                });
            },
        ),
        broken(
            "plain-module-flipped",
            TrixiePlain,
            "coreos/rpm-ostree#5483",
            &[MODULES],
            |draft| {
                replace(draft, "kernel/fs/xfs/xfs.ko", |mut bytes| {
                    bytes[0] ^= 1;
                    bytes
                });
            },
        ),
    ]
}

/// Changes the CRC of the symbol `symbol` that an uncompressed module imports, in the tree and in the image.
pub fn change_crc(draft: &mut Draft, module: &str, symbol: &str) {
    let path = draft.of_kernel(module);
    let mut data = draft.read(&path);
    let at = crc_of(&data, symbol);
    data[at] ^= 1;
    draft.write(&path, &data);
    draft.archive().replace(&path, data);
}

/// Returns the offset of a CRC in the section `__versions` of an uncompressed module.
fn crc_of(data: &[u8], symbol: &str) -> usize {
    let mut name = symbol.as_bytes().to_vec();
    name.resize(56, 0);
    let at = data.windows(name.len()).position(|it| it == name);
    at.unwrap_or_else(|| panic!("no {symbol} is imported")) - 8
}

/// Returns cases with modules of another build of the kernel with the same release: their vermagic is right.
fn other_build() -> Vec<Case> {
    const BLK: &str = "kernel/drivers/block/virtio_blk.ko";
    let of = |name: &str, change: fn(&mut Draft)| {
        broken(name, TrixiePlain, STALE, &["module-versions"], change)
    };
    vec![
        of("module-of-another-build", |draft| {
            change_crc(draft, BLK, "module_layout");
        }),
        of("module-with-another-function", |draft| {
            change_crc(draft, BLK, "kfree");
        }),
        of("file-system-of-another-build", |draft| {
            change_crc(draft, "kernel/fs/xfs/xfs.ko", "module_layout");
        }),
        of("module-that-symvers-contradicts", |draft| {
            let data = draft.read(&draft.of_kernel(BLK));
            let at = crc_of(&data, "module_layout");
            let crc = u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
            let line = format!("{crc:#010x}\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n");
            draft.write(&draft.of_kernel("symvers"), line);
            change_crc(draft, BLK, "module_layout");
        }),
    ]
}

/// Returns cases in which `modules.dep` or an index is missing or wrong in the image.
fn own_dep() -> Vec<Case> {
    const LATE: &str = "coreos/rpm-ostree#5578";
    let change = |draft: &mut Draft, change: &dyn Fn(String) -> String| {
        let path = draft.of_kernel("modules.dep");
        let archive = draft.archive();
        let text = String::from_utf8(archive.get(&path).to_vec()).unwrap();
        archive.replace(&path, change(text));
    };
    vec![
        broken("inner-dep-gone", TrixieSlim, LATE, &[MODULES], |draft| {
            let path = draft.of_kernel("modules.dep");
            draft.archive().remove(&path);
        }),
        broken(
            "inner-dep-empty",
            TrixieSlim,
            LATE,
            &[MODULES],
            move |draft| {
                change(draft, &|_| String::new());
            },
        ),
        broken(
            "inner-dep-without-a-line",
            TrixieSlim,
            "CachyOS/copr-linux-cachyos#80",
            &[MODULES],
            move |draft| {
                change(draft, &|text| {
                    let lines = text.lines().filter(|line| !line.starts_with(BLK));
                    lines.map(|line| format!("{line}\n")).collect()
                });
            },
        ),
        broken(
            "inner-dep-needs-nothing",
            TrixieSlim,
            "CachyOS/copr-linux-cachyos#112",
            &[MODULES],
            move |draft| {
                change(draft, &|text| {
                    text.replace(
                        &format!("{XFS}: kernel/lib/libcrc32c.ko.xz"),
                        &format!("{XFS}:"),
                    )
                });
            },
        ),
        broken(
            "inner-dep-index-gone",
            TrixieSlim,
            LATE,
            &[MODULES],
            |draft| {
                let path = draft.of_kernel("modules.dep.bin");
                draft.archive().remove(&path);
            },
        ),
        broken(
            "inner-alias-index-empty",
            BookwormOmit,
            "coreos/fedora-coreos-tracker#1247",
            &[MODULES],
            |draft| {
                let path = draft.of_kernel("modules.alias.bin");
                draft.archive().replace(&path, "");
            },
        ),
        broken(
            "inner-dep-is-a-page",
            TrixieSlim,
            LATE,
            &[MODULES],
            move |draft| {
                change(draft, &|_| "<html>\n".to_owned());
            },
        ),
    ]
}

/// Returns cases in which `modules.dep.bin` or `modules.alias.bin` is missing or wrong in the image. udev and modprobe
/// read these indexes.
fn own_indexes() -> Vec<Case> {
    let of = |name: &str, comes_of, list: &'static str, change: fn(&str, Vec<u8>) -> Vec<u8>| {
        broken(name, TrixieSlim, comes_of, &[MODULES], move |draft| {
            let list = draft.of_kernel(list);
            let archive = draft.archive();
            let text = archive.get(list.trim_end_matches(".bin")).to_vec();
            let index = archive.get(&list).to_vec();
            archive.replace(&list, change(&String::from_utf8(text).unwrap(), index));
        })
    };
    fn without_blk(text: &str) -> String {
        let lines = text.lines();
        let lines = lines.filter(|line| !line.contains("virtio_blk") && !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    }
    let cut = |_: &str, index: Vec<u8>| index[..index.len() / 2].to_vec();
    let gone = |name: &str, comes_of, list| {
        broken(name, TrixieSlim, comes_of, &[MODULES], move |draft| {
            let path = draft.of_kernel(list);
            draft.archive().remove(&path);
        })
    };
    vec![
        of(
            "inner-dep-index-cut",
            "dracut-ng/dracut-ng#1561",
            "modules.dep.bin",
            cut,
        ),
        of(
            "inner-dep-index-without-a-line",
            "CachyOS/copr-linux-cachyos#80",
            "modules.dep.bin",
            |text, _| index::dep(&without_blk(text)),
        ),
        gone(
            "inner-alias-index-gone",
            "coreos/rpm-ostree#5578",
            "modules.alias.bin",
        ),
        of(
            "inner-alias-index-cut",
            "dracut-ng/dracut-ng#1561",
            "modules.alias.bin",
            cut,
        ),
        of(
            "inner-alias-index-without-a-driver",
            "CachyOS/copr-linux-cachyos#112",
            "modules.alias.bin",
            |text, _| index::alias(&without_blk(text)),
        ),
    ]
}

/// Returns cases in which `modules.dep` is missing or wrong in the tree.
fn depmod() -> Vec<Case> {
    const LATE: &str = "coreos/rpm-ostree#5578";
    vec![
        broken("dep-gone", TrixieSlim, LATE, &[DEPMOD], |draft| {
            draft.remove(&draft.of_kernel("modules.dep"))
        }),
        broken("dep-empty", TrixieSlim, LATE, &[DEPMOD, MODULES], |draft| {
            draft.write(&draft.of_kernel("modules.dep"), "");
        }),
        broken(
            "dep-without-a-line",
            TrixieSlim,
            "CachyOS/copr-linux-cachyos#80",
            &[DEPMOD],
            |draft| {
                draft.keep_lines(&draft.of_kernel("modules.dep"), |line| {
                    !line.starts_with("kernel/net/sctp/sctp.ko")
                });
            },
        ),
        broken(
            "dep-of-a-removed-module",
            BookwormOmit,
            "crc-org/snc#727",
            &[DEPMOD],
            |draft| {
                draft.remove(&draft.of_kernel("kernel/net/sctp/sctp.ko.xz"));
            },
        ),
        broken(
            "dep-before-the-kmod",
            TrixieSlim,
            "ublue-os/ucore#210",
            &[DEPMOD],
            |draft| {
                draft.write(
                    &draft.of_kernel("kernel/fs/zfs/zfs.ko.xz"),
                    draft.read(&draft.of_kernel(XFS)),
                );
            },
        ),
    ]
}

/// Adds an out-of-tree module to the tree, with its line in `modules.dep`.
pub(super) fn kmod(draft: &Draft, path: &str, module: &[u8]) {
    draft.write(&draft.of_kernel(path), module);
    let list = draft.of_kernel("modules.dep");
    let text = draft.text(&list);
    draft.write(&list, format!("{text}{path}:\n"));
}

fn kmods() -> Vec<Case> {
    let of = |name: &str, comes_of, change: fn(&Draft)| {
        broken(name, TrixieSlim, comes_of, &[KMODS], move |draft| {
            change(draft)
        })
    };
    vec![
        of("kmod-of-the-old-kernel", "ublue-os/ucore#210", |draft| {
            kmod(draft, "extra/zfs/zfs.ko.xz", &of_old(draft, XFS));
        }),
        of("kmod-in-updates", "ublue-os/ucore#88", |draft| {
            kmod(draft, "updates/dkms/nvidia.ko.xz", &of_old(draft, BLK));
        }),
        of("kmod-cut", "ublue-os/ucore#210", |draft| {
            let module = of_old(draft, XFS);
            kmod(draft, "extra/wl.ko.xz", &module[..module.len() / 2]);
        }),
        of("kmod-is-no-module", "ublue-os/ucore#88", |draft| {
            kmod(draft, "extra/openrazer.ko", b"not for this kernel\n");
        }),
        userland(
            "nvidia-libraries-are-newer",
            "ublue-os/bazzite#2668",
            [
                "usr/lib64/libnvidia-ml.so.1",
                "usr/lib64/libnvidia-ml.so.570.153.02",
            ],
        ),
        userland(
            "nvidia-firmware-is-newer",
            "ublue-os/bluefin#2845",
            [
                "usr/lib/firmware/nvidia/570.153.02/gsp.bin",
                "usr/lib/firmware/nvidia/ga102/gsp.bin",
            ],
        ),
    ]
}

/// Returns a case with NVIDIA's driver 570.144 and these files of its userland. The image boots, but the driver does
/// not work, so the finding is a warning.
fn userland(name: &str, comes_of: &'static str, files: [&'static str; 2]) -> Case {
    broken(
        name,
        TrixieSlim,
        comes_of,
        &["kmod-userland"],
        move |draft| {
            nvidia(draft, &files);
        },
    )
}

/// Adds NVIDIA's driver 570.144 and empty files at these paths to the tree, and `--fatal-warnings` to the arguments of
/// `verify`.
pub fn nvidia(draft: &mut Draft, files: &[&str]) {
    let module = image::kmod(&draft.kver, "nvidia", "570.144");
    kmod(draft, "extra/nvidia.ko", &module);
    for file in files {
        draft.write(file, "");
    }
    draft.args.push("--fatal-warnings".to_owned());
}
