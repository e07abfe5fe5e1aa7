// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images that boot, in which `verify` must have no fatal finding.

use std::io::Read;

use ostree_kernel::initramfs::random_tail;

use super::archive::{Archive, DIR, FILE, PROGRAM};
use super::broken::{good_copies, never_installed, nvidia};
use super::case::{Case, CaseKind};
use super::draft::{Draft, pack};
use super::products::Base;

fn good(
    name: &str,
    base: Base,
    special: &'static str,
    change: impl Fn(&mut Draft) + Send + Sync + 'static,
) -> Case {
    Case::new(CaseKind::Good, name, base, special, &[], change)
}

/// Appends the small gzip segment that rpm-ostree appends.
pub fn append_random(draft: &mut Draft) {
    let bytes = draft.bytes();
    bytes.extend(random_tail(bytes.len() as u64));
}

/// Returns an early archive with microcode, which the kernel reads before the main segment.
pub fn early() -> Vec<u8> {
    let mut early = Archive::empty();
    early.put("early_cpio", FILE, "1\n");
    early.put(
        "kernel/x86/microcode/AuthenticAMD.bin",
        FILE,
        vec![7; 50_000],
    );
    let mut bytes = early.to_bytes();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn prepend_early(draft: &mut Draft) {
    let main = std::mem::take(draft.bytes());
    draft.set_bytes([early(), main].concat());
}

pub fn cases() -> Vec<Case> {
    let mut cases = real();
    cases.extend(compressions());
    cases.extend(contents());
    cases.extend(good_copies());
    cases
}

/// Returns cases with the images of dracut and initramfs-tools, most of them unchanged.
fn real() -> Vec<Case> {
    vec![
        good("trixie-base", Base::TrixieOld, "dracut 106, full", |_| {}),
        good(
            "bookworm-base",
            Base::BookwormOld,
            "dracut 059, full",
            |_| {},
        ),
        good(
            "trixie-replaced",
            Base::TrixieNew,
            "dracut 106, full, beside the base's",
            |draft| {
                draft.against(Base::TrixieOld);
            },
        ),
        good(
            "bookworm-omits",
            Base::BookwormOmit,
            "omit_dracutmodules in the configuration",
            |draft| {
                draft.against(Base::BookwormOld);
            },
        ),
        good(
            "trixie-stripped",
            Base::TrixiePlain,
            "unsigned .ko that dracut stripped",
            |draft| {
                draft.against(Base::TrixieOld);
            },
        ),
        good(
            "trixie-bootc",
            Base::TrixieBootc,
            "bootc's root set-up, no ostree",
            |_| {},
        ),
        good(
            "driver-options",
            Base::TrixieSlim,
            "options that a driver accepts, and one that it does not have",
            |draft| {
                let lines = "options virtio_blk num_request_queues=2 typing_error=many\n";
                let archive = draft.archive();
                archive.put("etc/modprobe.d/tuning.conf", FILE, lines);
                draft.option("--root-device", "virtio");
            },
        ),
        good(
            "setup-root-conf",
            Base::TrixieBootc,
            "settings that bootc accepts, and one that it ignores",
            |draft| {
                const CONF: &str = "usr/lib/composefs/setup-root-conf.toml";
                let text = "[root]\ntransient = true\n[etc]\nmount = \"overlay\"\nother = 1\n";
                draft.archive().put(CONF, FILE, text);
                draft.write(CONF, text);
            },
        ),
        good("sid", Base::Sid, "the newest dracut, full", |_| {}),
        good(
            "sid-zstd-random",
            Base::Sid,
            "the newest dracut, as rpm-ostree would leave it",
            append_random,
        ),
        good(
            "bookworm-squash",
            Base::BookwormSquash,
            "dracut 059's squash module",
            |_| {},
        ),
        good(
            "sid-squash",
            Base::SidSquash,
            "the newest dracut's squash-squashfs module",
            |_| {},
        ),
        good(
            "sid-erofs",
            Base::SidErofs,
            "the newest dracut's squash-erofs module",
            |_| {},
        ),
        good(
            "initramfs-tools",
            Base::InitramfsTools,
            "a Debian image, a shell /init",
            |_| {},
        ),
    ]
}

/// Returns cases for every compression, with and without the segments that may precede and follow the main segment.
fn compressions() -> Vec<Case> {
    let mut cases = Vec::new();
    for how in ["zst", "gz", "xz", "lzma", "lz4", "bz2", "cpio"] {
        cases.push(good(
            how,
            Base::TrixieSlim,
            "one compression",
            move |draft| draft.compressed(how),
        ));
        let name = format!("early-{how}-random");
        cases.push(good(
            &name,
            Base::TrixieSlim,
            "microcode before the main segment, rpm-ostree's random segment after it",
            move |draft| {
                draft.compressed(how);
                prepend_early(draft);
                append_random(draft);
            },
        ));
    }
    cases.push(good(
        "early-zst",
        Base::TrixieSlim,
        "microcode before the main segment",
        prepend_early,
    ));
    cases.push(good(
        "zst-random",
        Base::TrixieSlim,
        "rpm-ostree's random segment after the main segment",
        append_random,
    ));
    cases
}

/// Returns cases with content that only looks wrong.
fn contents() -> Vec<Case> {
    vec![
        good(
            "rt-kver",
            Base::TrixiePlain,
            "a kver that is not the package's version",
            rt,
        ),
        good(
            "built-in",
            Base::TrixieNew,
            "root drivers that were modules are built in",
            built_in,
        ),
        good(
            "no-roots-in-a-sub-package",
            Base::TrixieNew,
            "file systems that are no root file systems are in a package that is not installed",
            |draft| never_installed(draft, &["sysv", "orangefs", "romfs"]),
        ),
        good(
            "dependency-blacklisted",
            Base::TrixieSlim,
            "a blacklist line, which does not hold for a dependency",
            |draft| {
                let lines = "blacklist libcrc32c\n";
                draft
                    .archive()
                    .put("etc/modprobe.d/hardening.conf", FILE, lines);
                draft.option("--root-fs", "xfs");
            },
        ),
        good(
            "install-line-of-softdeps",
            Base::TrixieSlim,
            "an install line that kmod ignores, since the module has softdeps",
            |draft| {
                let lines = "install btrfs /bin/false\n";
                draft
                    .archive()
                    .put("etc/modprobe.d/hardening.conf", FILE, lines);
                draft.option("--root-fs", "btrfs");
            },
        ),
        good(
            "install-line-of-a-dependency-with-softdeps",
            Base::TrixieSlim,
            "libcrc32c has a softdep that resolves, so that kmod loads it for xfs",
            |draft| {
                let lines = "install libcrc32c /bin/false\n";
                draft
                    .archive()
                    .put("etc/modprobe.d/hardening.conf", FILE, lines);
                draft.option("--root-fs", "xfs");
            },
        ),
        good(
            "root-fs-by-its-alias",
            Base::TrixieSlim,
            "ext3 is served by ext4, which is built in",
            |draft| draft.option("--root-fs", "ext3"),
        ),
        good("shell-init", Base::TrixieSlim, "a shell /init", |draft| {
            let archive = draft.archive();
            archive.put(
                "init",
                PROGRAM,
                "#!/bin/sh\nexec /usr/lib/systemd/systemd \"$@\"\n",
            );
        }),
        good(
            "keys-of-modsign",
            Base::TrixieSlim,
            "dracut's modsign: keys below usr/lib/modules",
            |draft| {
                let archive = draft.archive();
                archive.put("usr/lib/modules/keys", DIR, "");
                archive.put("usr/lib/modules/keys/site.der", FILE, "0");
            },
        ),
        good(
            "signed-after-packing",
            Base::BookwormOmit,
            "a kernel that is not the one of its .vmlinuz.hmac, and no fips inside",
            |draft| {
                let path = draft.of_kernel("vmlinuz");
                let mut vmlinuz = draft.read(&path);
                vmlinuz.extend([0; 1000]);
                draft.write(&path, vmlinuz);
            },
        ),
        good(
            "signed-by-sbsign",
            Base::TrixieSlim,
            "a certificate table after the packaged bytes",
            |draft| {
                let path = draft.of_kernel("vmlinuz");
                let mut vmlinuz = draft.read(&path);
                sign(&mut vmlinuz);
                draft.write(&path, vmlinuz);
            },
        ),
        good(
            "signed-and-built-by-others",
            Base::TrixieSlim,
            "a signed kernel that differs from its package",
            |draft| {
                let path = draft.of_kernel("vmlinuz");
                let mut vmlinuz = draft.read(&path);
                // This byte is in the boot sector's message, which only firmware without EFI shows.
                vmlinuz[0x1f0] ^= 1;
                sign(&mut vmlinuz);
                draft.write(&path, vmlinuz);
            },
        ),
        good(
            "modules-packed-again",
            Base::TrixieSlim,
            "modules whose packed bytes are not their package's",
            |draft| {
                for module in ["fs/xfs/xfs", "fs/btrfs/btrfs", "drivers/block/virtio_blk"] {
                    crc64(draft, &format!("kernel/{module}.ko.xz"));
                }
            },
        ),
        good(
            "modules-signed-later",
            Base::TrixiePlain,
            "modules that are neither packed nor signed as their package's",
            |draft| {
                let sound = |path: &String| path.contains("/kernel/sound/");
                for path in draft.modules().into_iter().filter(sound) {
                    let mut module = draft.read(&path);
                    module.extend([7; 64]);
                    module.extend([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 64]);
                    module.extend(b"~Module signature appended~\n");
                    draft.write(&path, module);
                }
            },
        ),
        good(
            "kernel-uki-virt",
            Base::TrixieSlim,
            "a UKI that only composefs-rs takes, beside ostree's set-up of the root",
            |draft| {
                let path = draft.of_kernel("vmlinuz-virt.efi");
                draft.write(&path, draft.read(&draft.of_kernel("vmlinuz")));
            },
        ),
        good(
            "unused-unit",
            Base::TrixieSlim,
            "a script without its interpreter, of a unit that nothing starts",
            |draft| {
                let archive = draft.archive();
                archive.put("usr/bin/site", PROGRAM, "#!/usr/bin/python3\n");
                let unit = "[Service]\nExecStart=/usr/bin/site\n";
                archive.put("usr/lib/systemd/system/site.service", FILE, unit);
            },
        ),
        good(
            "unit-that-is-only-wanted-masked",
            Base::TrixieSlim,
            "an administrator's mask, and a drop-in that changes nothing",
            |draft| {
                let archive = draft.archive();
                archive.put_link("etc/systemd/system/systemd-sysctl.service", "/dev/null");
                let path = "etc/systemd/system/initrd-switch-root.service.d/site.conf";
                let text =
                    "[Unit]\nConditionPathExists=/etc/initrd-release\n[Service]\nEnvironment=A=b\n";
                archive.put(path, FILE, text);
            },
        ),
        good(
            "prepare-root-conf-of-an-administrator",
            Base::TrixieSlim,
            "settings that ostree-prepare-root takes",
            |draft| {
                const CONF: &str = "usr/lib/ostree/prepare-root.conf";
                let text = "# site\n[sysroot]\nreadonly = 1\n\n[etc]\ntransient = false\n[composefs]\nenabled = maybe\n";
                draft.archive().put(CONF, FILE, text);
                draft.write(CONF, text);
            },
        ),
        good(
            "programs-that-nothing-starts",
            Base::TrixieSlim,
            "a program without its library, and one that is cut, which no text names",
            |draft| {
                let archive = draft.archive();
                let mut elf = archive.get("usr/bin/udevadm").to_vec();
                archive.put("usr/share/site/cut", PROGRAM, elf[..elf.len() / 2].to_vec());
                let at = elf.windows(9).position(|it| it == b"libc.so.6").unwrap();
                elf[at..at + 9].copy_from_slice(b"libx.so.6");
                archive.put("usr/bin/site-tool", PROGRAM, elf);
            },
        ),
        good(
            "script-in-a-comment-of-a-rule",
            Base::TrixieSlim,
            "a script without its interpreter, which only a comment of a rule names",
            |draft| {
                let archive = draft.archive();
                archive.put("usr/lib/udev/site", PROGRAM, "#!/usr/bin/python3\n");
                let rule = "# site\nACTION!=\"remove\", SUBSYSTEM==\"block\", TAG+=\"systemd\"\n";
                archive.put("etc/udev/rules.d/99-systemd.rules", FILE, rule);
            },
        ),
        good(
            "interpreters-that-nest",
            Base::TrixieSlim,
            "as many scripts as the kernel starts one by another",
            |draft| {
                let archive = draft.archive();
                archive.put("init", PROGRAM, "#!/s1\nexec /usr/lib/systemd/systemd\n");
                for n in 1..4 {
                    archive.put(&format!("s{n}"), PROGRAM, format!("#!/s{}\n", n + 1));
                }
                // The kernel runs the shell with the last script; the paths of the other scripts are arguments of that
                // script.
                let last = "#! \t/bin/sh -e\nexec /usr/lib/systemd/systemd\n";
                archive.put("s4", PROGRAM, last);
            },
        ),
        good(
            "kmod-decodes",
            Base::TrixieSlim,
            "modules with a CRC64, which the kernel leaves to kmod",
            |draft| {
                crc64(draft, "kernel/drivers/block/virtio_blk.ko.xz");
                decodes_modules(draft, "ZSTD");
            },
        ),
        good(
            "kmod-decodes-all",
            Base::BookwormOmit,
            "modules with a CRC64, which kmod 30 never leaves to the kernel",
            |draft| {
                crc64(draft, "kernel/drivers/block/virtio_blk.ko.xz");
                decodes_modules(draft, "XZ");
            },
        ),
        good(
            "unreached-library",
            Base::TrixieSlim,
            "a library that no program reaches lacks its own",
            |draft| {
                // Every image that dracut builds has a library like this one: libbpf needs libelf, which is not in the
                // image.
                let library = "usr/lib/x86_64-linux-gnu/libunreached.so.1";
                let archive = draft.archive();
                let mut elf = archive
                    .get("usr/lib/x86_64-linux-gnu/libmount.so.1.1.0")
                    .to_vec();
                let at = elf.windows(11).position(|it| it == b"libblkid.so").unwrap();
                elf[at..at + 11].copy_from_slice(b"libnowhe.so");
                archive.put(library, PROGRAM, elf);
            },
        ),
        good(
            "softdep-to-alias",
            Base::TrixieSlim,
            "softdeps to aliases and to nothing",
            |draft| {
                let path = draft.of_kernel("modules.softdep");
                let text = draft.text(&path);
                draft.write(
                    &path,
                    text + "softdep virtio_blk pre: crypto-sha256 crypto-no-such-thing\n",
                );
            },
        ),
        good(
            "sums",
            Base::TrixieSlim,
            "070702, as cpio -H crc writes",
            |draft| {
                let bytes = draft.archive().with_sums();
                draft.set_bytes(pack(&bytes));
            },
        ),
        good(
            "weak-updates",
            Base::TrixieSlim,
            "a link of weak-modules to another kernel's module, which dracut took along",
            weak_updates,
        ),
        good(
            "nvidia-of-one-version",
            Base::TrixieSlim,
            "an out-of-tree driver with its libraries and firmware, and a library with a version of its own",
            |draft| {
                let files = [
                    "usr/lib64/libnvidia-ml.so.1",
                    "usr/lib64/libnvidia-ml.so.570.144",
                    "usr/lib64/libnvidia-container.so.1",
                    "usr/lib64/libnvidia-container.so.1.17.3",
                    "usr/lib/firmware/nvidia/570.144/gsp.bin",
                    "usr/lib/firmware/nvidia/ga102/gsp.bin",
                ];
                nvidia(draft, &files);
            },
        ),
        good(
            "absolute-names",
            Base::TrixieSlim,
            "a second archive with names that start with a slash",
            |draft| {
                let mut more = Archive::empty();
                more.append("/etc/motd", FILE, "Welcome.\n");
                let bytes = draft.bytes();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes.extend(more.to_bytes());
            },
        ),
        good(
            "appended-by-hand",
            Base::TrixieSlim,
            "a second archive whose files win",
            |draft| {
                let mut more = Archive::empty();
                more.put(
                    "usr/lib/dracut/hooks/emergency/90-site.sh",
                    PROGRAM,
                    "#!/bin/sh\n:\n",
                );
                let bytes = draft.bytes();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes.extend(more.to_bytes());
            },
        ),
    ]
}

/// Adds a certificate table, as sbsign does, with meaningless bytes as the signature.
pub fn sign(vmlinuz: &mut Vec<u8>) {
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let optional = word(vmlinuz, 0x3c) + 24;
    vmlinuz.resize(vmlinuz.len().next_multiple_of(8), 0);
    let (offset, size) = (vmlinuz.len() as u32, 512_u32);
    vmlinuz[optional + 64..optional + 68].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
    let entry = optional + 112 + 4 * 8;
    vmlinuz[entry..entry + 4].copy_from_slice(&offset.to_le_bytes());
    vmlinuz[entry + 4..entry + 8].copy_from_slice(&size.to_le_bytes());
    vmlinuz.extend(size.to_le_bytes());
    vmlinuz.extend([0, 2, 2, 0]);
    vmlinuz.resize(vmlinuz.len() + 504, 7);
}

/// Compresses a module again with the defaults of `xz`, which include a CRC64; the module is changed in the tree and in
/// the image.
pub fn crc64(draft: &mut Draft, module: &str) {
    let path = draft.of_kernel(module);
    let packed = draft.read(&path);
    let mut plain = Vec::new();
    liblzma::bufread::XzDecoder::new(packed.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    let mut packed = Vec::new();
    liblzma::bufread::XzEncoder::new(plain.as_slice(), 6)
        .read_to_end(&mut packed)
        .unwrap();
    draft.write(&path, &packed);
    draft.archive().replace(&path, packed);
}

/// Changes the kernel's configuration: the kernel decompresses modules, and only of this compression.
pub fn decodes_modules(draft: &Draft, compression: &str) {
    let path = draft.of_kernel("config");
    let text = draft.text(&path);
    let lines = text.lines().filter(|line| !line.contains("CONFIG_MODULE_"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let more = format!("CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_{compression}=y\n");
    draft.write(&path, text + &more);
}

/// Changes the kernel's release to that of a realtime variant. The two releases have the same length, so that the
/// release can be replaced in every file.
fn rt(draft: &mut Draft) {
    let old = draft.kver.clone();
    let version = old.find(['-', '+']).unwrap();
    let rest = "1000000020.el10.x86_64+rt";
    let rest = &rest[rest.len() - (old.len() - version - 1)..];
    let new = format!("{}-{rest}", &old[..version]);
    draft.rename(
        &format!("usr/lib/modules/{old}"),
        &format!("usr/lib/modules/{new}"),
    );
    draft.kver = new.clone();
    let renamed = |mut bytes: Vec<u8>| {
        replace_all(&mut bytes, old.as_bytes(), new.as_bytes());
        bytes
    };
    for path in draft.modules() {
        draft.write(&path, renamed(draft.read(&path)));
    }
    let vmlinuz = draft.of_kernel("vmlinuz");
    let mut bytes = renamed(draft.read(&vmlinuz));
    repack(&mut bytes, |kernel| {
        replace_all(kernel, old.as_bytes(), new.as_bytes())
    });
    unsign(&mut bytes);
    draft.write(&vmlinuz, bytes);
    draft.remove(&draft.of_kernel(".vmlinuz.hmac"));
    // The rpmdb has the kernel under its old release.
    draft.remove("usr/bin/rpm");
    let bytes = draft.archive().to_bytes();
    draft.set_bytes(pack(&renamed(bytes)));
}

/// Clears the entry of the certificate table in the header of a PE32+ image, since the changed image no longer matches
/// its signature.
fn unsign(vmlinuz: &mut [u8]) {
    let header = u32::from_le_bytes(vmlinuz[0x3c..0x40].try_into().unwrap()) as usize;
    let directories = header + 24 + 112;
    vmlinuz[directories + 4 * 8..][..8].fill(0);
}

/// Changes the kernel inside a bzImage, and compresses it with zstd instead of lz4.
fn repack(vmlinuz: &mut [u8], change: impl FnOnce(&mut [u8])) {
    const BLOCK: usize = 8 << 20;
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let start = 512 * (usize::from(vmlinuz[0x1f1]) + 1) + word(vmlinuz, 0x248);
    let size = word(vmlinuz, 0x24c);
    let payload = &vmlinuz[start..start + size - 4];
    let (mut at, mut kernel) = (4, Vec::new());
    while at < payload.len() {
        let length = word(payload, at);
        let block = &payload[at + 4..at + 4 + length];
        kernel.extend(lz4_flex::block::decompress(block, BLOCK).unwrap());
        at += 4 + length;
    }
    change(&mut kernel);
    let mut packed = zstd::encode_all(kernel.as_slice(), 3).unwrap();
    packed.extend((kernel.len() as u32).to_le_bytes());
    assert!(
        packed.len() <= size,
        "{} bytes, {size} before",
        packed.len()
    );
    vmlinuz[start..start + packed.len()].copy_from_slice(&packed);
    vmlinuz[0x24c..0x250].copy_from_slice(&(packed.len() as u32).to_le_bytes());
}

/// Replaces each `old` with `new`, which has the same length. Horspool's algorithm is fast enough for 200 MB, since it
/// skips most bytes.
pub fn replace_all(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let last = old.len() - 1;
    let mut steps = [old.len(); 256];
    for (at, byte) in old[..last].iter().enumerate() {
        steps[usize::from(*byte)] = last - at;
    }
    let mut end = last;
    while end < bytes.len() {
        let step = steps[usize::from(bytes[end])];
        let here = &mut bytes[end - last..=end];
        if here == old {
            here.copy_from_slice(new);
        }
        end += step;
    }
}

fn weak_updates(draft: &mut Draft) {
    const LINK: &str = "weak-updates/site/btrfs.ko.xz";
    let of_old = |path: &str| format!("usr/lib/modules/{}/{path}", draft.products.old);
    let module = of_old("extra/site/btrfs.ko.xz");
    draft.take(Base::TrixieOld, &of_old("kernel/fs/xfs/xfs.ko.xz"), &module);
    let (link, list) = (draft.of_kernel(LINK), draft.of_kernel("modules.dep"));
    draft.link(&link, &format!("/{module}"));
    let line = format!("{LINK}: kernel/lib/libcrc32c.ko.xz\n");
    draft.write(&list, draft.text(&list) + &line);
    let data = draft.read(&module);
    let archive = draft.archive();
    let own = String::from_utf8(archive.get(&list).to_vec()).unwrap();
    archive.put(&module, FILE, data);
    archive.put_link(&link, &format!("/{module}"));
    draft.put_dep(&(own + &line));
}

fn built_in(draft: &mut Draft) {
    const NAMES: [&str; 3] = ["virtio_blk", "virtio_scsi", "xfs"];
    draft.against(Base::TrixieOld);
    let is_one = |path: &str| {
        NAMES
            .iter()
            .any(|name| path.contains(&format!("/{name}.ko")))
    };
    let list = draft.of_kernel("modules.builtin");
    let mut builtin = draft.text(&list);
    for path in draft.modules().into_iter().filter(|path| is_one(path)) {
        let below = path.split_once("/kernel/").unwrap().1;
        builtin += &format!("kernel/{}\n", below.trim_end_matches(".xz"));
        draft.remove(&path);
    }
    draft.write(&list, &builtin);
    for name in ["modules.dep", "modules.order"] {
        draft.keep_lines(&draft.of_kernel(name), |line| {
            !is_one(line.split(':').next().unwrap())
        });
    }
    let inside = draft.of_kernel("modules.builtin");
    let archive = draft.archive();
    archive.replace(&inside, builtin);
    archive.remove_all(is_one);
}
