// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken kernels, trees and initramfs images that checks must reject, and good ones that they must accept.

use super::testing::{Bench, K, ko, module_path};
use super::{
    Answer, Artefact, CHECKS, Hmac, Kmod, Lacking, Omitted, RootDevice, Severity, TreeFacts,
};
use crate::boot::RootSetup;
use crate::initramfs::testing::file;
use crate::kernel::modules::{ModuleList, ModuleName};

const ROOT: &str = "initramfs-root-drivers";
const BLK: &str = "kernel/drivers/block/virtio_blk.ko";

fn name(text: &str) -> ModuleName {
    ModuleName::new(text.as_bytes()).unwrap()
}

fn any(found: &[String], expected: &str) -> bool {
    found.iter().any(|it| it.contains(expected))
}

/// Returns the good bench with its own initramfs as the base.
fn based() -> Bench {
    let mut bench = Bench::good();
    bench.base = Some(bench.baseline());
    bench
}

#[test]
fn checks_have_unique_names_and_short_texts() {
    let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
    for check in CHECKS {
        assert!(check.about.chars().count() <= 64, "{}", check.name);
        let issue = check.issue.contains('#') || check.issue.starts_with("CVE-");
        assert!(issue, "{}", check.name);
        assert_ne!(check.severity, Severity::Note, "{}", check.name);
    }
}

#[test]
fn every_check_accepts_the_good_image() {
    let bench = based();
    for check in CHECKS {
        // The bench has no ostree in the image.
        if check.name == "initramfs-ostree" {
            continue;
        }
        let answer = bench.answer(check.name);
        let good = matches!(answer, Answer::Good | Answer::NotApplicable(_));
        assert!(good, "{}: {answer:?}", check.name);
    }
}

#[test]
fn drivers_that_the_base_had() {
    let mut bench = based();
    bench.remove_module(BLK);
    let found = bench.findings(ROOT);
    assert!(
        any(&found, "virtio_blk in the initramfs: missing"),
        "{found:?}"
    );
    // A driver that is now built in, omitted, or no longer in the kernel is not a loss.
    bench.change = |tree| tree.omitted.read_arguments("--omit-drivers virtio-blk");
    let found = bench.findings(ROOT);
    assert!(
        !found.iter().any(|it| it.contains("in the base")),
        "{found:?}"
    );
    bench.change = |tree| {
        let text = b"kernel/drivers/block/virtio_blk.ko\nkernel/fs/erofs/erofs.ko\n";
        tree.lists.builtin = Ok(Some(ModuleList::parse_builtin(text).unwrap()));
    };
    assert_eq!(bench.findings(ROOT), [""; 0]);
    bench.change = |tree| {
        let text = b"kernel/fs/ext4/ext4.ko\nkernel/fs/jbd2/jbd2.ko\n";
        tree.lists.order = Ok(Some(ModuleList::parse_order(text).unwrap()));
        tree.modules.retain(|path| path != BLK.as_bytes());
    };
    let found = bench.findings(ROOT);
    assert!(
        !found.iter().any(|it| it.contains("in the base")),
        "{found:?}"
    );
    // A driver in modules.order that is not on disk is in a sub-package that is not installed.
    bench.change = |_| ();
    bench.disk.remove(BLK);
    let found = bench.findings(ROOT);
    assert!(any(&found, "but not on disk"), "{found:?}");
    // The driver was built into the base's kernel. This kernel first lacks it, and then has it as a module.
    let mut bench = Bench::good();
    let mut base = bench.baseline();
    base.builtin
        .insert(name("xfs"), b"kernel/fs/xfs/xfs.ko".to_vec());
    bench.base = Some(base);
    let found = bench.findings(ROOT);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("warning xfs in usr/lib/modules/"),
        "{found:?}"
    );
    bench.change = |tree| {
        let text = b"kernel/fs/xfs/xfs.ko\n";
        tree.lists.order = Ok(Some(ModuleList::parse_order(text).unwrap()));
        tree.modules.push(b"kernel/fs/xfs/xfs.ko".to_vec());
    };
    assert_eq!(bench.findings(ROOT).len(), 1);
}

#[test]
fn drivers_that_a_root_needs() {
    let mut bench = Bench::good();
    bench.wanted.drivers = vec!["virtio-blk".into(), "ext4".into()];
    bench.wanted.filesystems = vec!["erofs".into()];
    assert_eq!(bench.findings(ROOT), [""; 0]);
    bench.wanted.drivers = vec!["nvme".into()];
    bench.wanted.filesystems = vec!["xfs".into()];
    bench.wanted.devices = vec![RootDevice::Virtio, RootDevice::Luks];
    let found = bench.findings(ROOT).join("\n");
    for expected in [
        "nvme in the initramfs",
        "xfs in the initramfs",
        "virtio_pci or virtio_mmio or virtio_ccw in",
        "dm_crypt in",
        "systemd-cryptsetup or",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert!(!found.contains("virtio_scsi"), "{found}");
    // There is no driver for any disk or file system.
    let mut bench = Bench::good();
    bench.remove_module(BLK);
    bench.remove_module("kernel/fs/ext4/ext4.ko");
    assert_eq!(bench.findings(ROOT).len(), 2);
    let mut bench = Bench::good();
    let conf = b"[composefs]\nenabled = true\n";
    bench.put("usr/lib/ostree/prepare-root.conf", conf);
    let found = bench.findings(ROOT);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("overlay in the initramfs"), "{found:?}");
    // Only the values `verity` and `signed` require fs-verity.
    let verity = |value: &str| {
        let mut bench = Bench::good();
        let conf = format!("[composefs]\nenabled = {value}\n");
        bench.put("usr/lib/ostree/prepare-root.conf", conf.as_bytes());
        bench
            .findings(ROOT)
            .join("\n")
            .contains("no CONFIG_FS_VERITY=y")
    };
    assert!(verity("verity") && verity("signed") && !verity("yes"));
}

#[test]
fn bootc_1030_composefs_needs_erofs_in_the_kernel() {
    let mut bench = Bench::good();
    let conf = b"[composefs]\nenabled = yes\n";
    bench.put("usr/lib/ostree/prepare-root.conf", conf);
    assert!(!any(&bench.findings(ROOT), "erofs"));
    let found = bench.findings_with(ROOT, |tree| {
        let builtin = ModuleList::parse_builtin(b"kernel/fs/mbcache.ko\n");
        tree.lists.builtin = Ok(builtin.ok());
    });
    let expected = "prepare-root.conf in the initramfs enables composefs";
    assert!(any(&found, "fatal erofs in the initramfs"), "{found:#?}");
    assert!(any(&found, expected), "{found:#?}");
}

/// See osbuild/image-builder#2159.
#[test]
fn image_builder_2159_artefacts_require_modules_of_dracut_and_drivers() {
    let mut bench = Bench::good();
    bench.wanted.artefacts = vec![Artefact::Disk];
    assert_eq!(bench.findings(ROOT), [""; 0]);
    bench.put("usr/lib/dracut/modules.txt", b"base\nostree\n");
    bench.wanted.artefacts = vec![Artefact::Iso, Artefact::Pxe];
    let found = bench.findings(ROOT);
    for expected in [
        "fatal dracut's module dmsquash-live: not in the initramfs; in the initramfs, for --for iso",
        "fatal dracut's module livenet: not in the initramfs; in the initramfs, for --for pxe",
        "squashfs in the initramfs",
        "sr_mod in the initramfs",
    ] {
        assert!(any(&found, expected), "{expected}: {found:#?}");
    }
    let live = found.iter().filter(|it| it.contains("dmsquash-live"));
    assert_eq!(live.count(), 1);
}

#[test]
fn parts_of_the_base_that_are_missing() {
    const CHECK: &str = "initramfs-regression";
    let mut bench = Bench::good();
    assert!(matches!(bench.answer(CHECK), Answer::NotApplicable(_)));
    bench.put("usr/lib/dracut/modules.txt", b"base\nostree\nfido2\n");
    bench.put("usr/lib/systemd/system/a.service", b"");
    bench.put("usr/lib/systemd/system/gone.service", b"");
    bench.put(&module_path("kernel/crypto/gcm.ko"), &ko(K, "", 0));
    bench.base = Some(bench.baseline());
    assert_eq!(bench.findings(CHECK), [""; 0]);
    bench.put("usr/lib/dracut/modules.txt", b"base\n");
    bench.inside.remove("usr/lib/systemd/system/a.service");
    bench.inside.remove("usr/lib/systemd/system/gone.service");
    bench.inside.remove(&module_path("kernel/crypto/gcm.ko"));
    let found = bench.findings(CHECK);
    for expected in [
        "fatal dracut's module ostree",
        "warning dracut's module fido2",
        "fatal usr/lib/systemd/system/a.service",
        "warning usr/lib/systemd/system/gone.service",
        "warning gcm in the initramfs",
    ] {
        assert!(
            found.iter().any(|it| it.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
    assert_eq!(found.len(), 5, "{found:#?}");
    bench.change = |tree| {
        tree.omitted = Omitted::default();
        tree.omitted
            .read_arguments("--omit 'ostree fido2' --omit-drivers gcm");
    };
    let found = bench.findings(CHECK);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found.iter().all(|it| it.starts_with("warning ")),
        "{found:#?}"
    );
}

#[test]
fn modules_of_dracut_that_have_another_name_now() {
    const CHECK: &str = "initramfs-regression";
    const UNIT: &str = "usr/lib/systemd/system/systemd-pcrphase-initrd.service";
    const MODULES: &str = "usr/lib/dracut/modules.txt";
    let mut bench = Bench::good();
    bench.put(MODULES, b"base\nsystemd-pcrphase\n");
    bench.put(UNIT, b"[Service]\n");
    bench.base = Some(bench.baseline());
    bench.put(MODULES, b"base\nsystemd-pcrextend\n");
    assert_eq!(bench.findings(CHECK), [""; 0]);
    // The missing module is a loss if no new module is included, or if the old one is still on disk.
    bench.put(MODULES, b"base\n");
    assert_eq!(bench.findings(CHECK).len(), 1);
    bench.put(MODULES, b"base\nsystemd-pcrextend\n");
    bench.change = |tree| tree.dracut_modules.extend(["systemd-pcrphase".to_owned()]);
    assert!(any(
        &bench.findings(CHECK),
        "fatal dracut's module systemd-pcrphase"
    ));
    // The unit of the old module is missing.
    bench.change = |_| ();
    bench.inside.remove(UNIT);
    assert_eq!(bench.findings(CHECK).len(), 2);
}

#[test]
fn modules_of_dracut_that_depend_on_an_omitted_one() {
    const CHECK: &str = "initramfs-regression";
    const MODULES: &str = "usr/lib/dracut/modules.txt";
    let mut bench = Bench::good();
    bench.put(MODULES, b"base\ndrm\nplymouth\n");
    bench.base = Some(bench.baseline());
    bench.put(MODULES, b"base\n");
    bench.change = |tree| {
        tree.dracut_modules
            .extend(["drm", "plymouth"].map(str::to_owned));
        tree.setups
            .add("plymouth", "depends() {\n    echo drm\n}\n");
    };
    assert_eq!(bench.findings(CHECK).len(), 2);
    bench.change = |tree| {
        tree.dracut_modules
            .extend(["drm", "plymouth"].map(str::to_owned));
        tree.setups
            .add("plymouth", "depends() {\n    echo drm\n}\n");
        tree.omitted.read_arguments("-o drm");
    };
    assert_eq!(bench.findings(CHECK), [""; 0]);
}

#[test]
fn firmware_and_size() {
    let mut bench = Bench::good();
    bench.put("usr/lib/firmware/x/a.bin.xz", b"a");
    bench.put("usr/lib/firmware/x/b.bin", b"b");
    bench.base = Some(bench.baseline());
    bench.inside.remove("usr/lib/firmware/x/a.bin.xz");
    bench.inside.remove("usr/lib/firmware/x/b.bin");
    bench.change = |tree| {
        let driver = ModuleName::new(b"virtio_blk").unwrap();
        tree.firmware_of.insert(b"x/a.bin".to_vec(), driver);
    };
    let found = bench.findings("initramfs-firmware");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("virtio_blk requests it"), "{found:?}");
    // Only the unpacked size is compared, and only growth is a finding.
    bench.change = |tree| size(tree, 200 << 20);
    assert_eq!(bench.findings("initramfs-size"), [""; 0]);
    bench.put("usr/lib/firmware/big.bin", &[0; 1_000_000]);
    let found = bench.findings("initramfs-size");
    assert!(any(&found, "unpacked; about "), "{found:?}");
    bench.base = Some(bench.baseline());
    bench.inside.remove("usr/lib/firmware/big.bin");
    assert_eq!(bench.findings("initramfs-size"), [""; 0]);
}

#[test]
fn a_long_list_ends_with_the_number_of_the_others() {
    let mut bench = Bench::good();
    bench.change = |tree| {
        for number in 0..30 {
            let path = format!("kernel/x/m{number}.ko");
            tree.modules.push(path.into_bytes());
            tree.lacking.push(Lacking {
                module: format!("/lib/modules/m{number}.ko"),
                symbol: "s".into(),
            });
            tree.leftovers
                .push(format!("usr/bin/x{number}.rpmostreesave"));
        }
    };
    let found = bench.findings("modules-depmod");
    assert!(any(&found, ": 20 more like"), "{found:#?}");
    assert!(any(&found, ": 10 more like"), "{found:#?}");
    assert_eq!(found.len(), 10 + 1 + 20 + 1);
    assert!(any(&bench.findings("leftovers"), ": 20 more like"));
}

#[test]
fn a_blocked_driver_of_a_common_root_is_a_warning() {
    const CHECK: &str = "initramfs-root-drivers";
    let mut bench = Bench::good();
    // xfs is built in, so that some roots can be mounted without ext4.
    let builtin = bench.disk.get_mut("modules.builtin").unwrap();
    builtin.extend(b"kernel/fs/xfs/xfs.ko\n");
    assert_eq!(bench.findings(CHECK), [""; 0]);
    bench.put("etc/modprobe.d/hard.conf", b"blacklist ext4\n");
    let found = bench.findings(CHECK);
    assert!(
        found.len() == 1 && found[0].starts_with("warning ext4"),
        "{found:?}"
    );
    // `--root-fs ext4` requires the file system, so the finding is fatal.
    bench.wanted.filesystems = vec!["ext4".into()];
    let found = bench.findings(CHECK);
    assert!(
        found.len() == 1 && found[0].starts_with("fatal ext4"),
        "{found:?}"
    );
}

#[test]
fn the_target_of_the_kernel_is_no_leftover() {
    let mut bench = Bench::good();
    bench.change = |tree| {
        tree.legacy = vec!["boot/vmlinuz-a".to_owned(), "boot/vmlinuz-b".to_owned()];
        tree.vmlinuz_link = Some("../../../../boot/vmlinuz-a".to_owned());
    };
    let found = bench.findings("leftovers");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(any(&found, "boot/vmlinuz-b"), "{found:?}");
}

#[test]
fn ostree_boots_only_a_complete_kernel_of_an_older_layout() {
    for (names, expected) in [
        (
            ["config-1", "initramfs-1.img", "vmlinuz-1"],
            "; without it ostree boots boot/vmlinuz-1",
        ),
        (["config-1", "symvers-1.xz", "vmlinuz-1"], "not empty"),
    ] {
        let found = Bench::good().findings_with("initramfs-present", |tree| {
            tree.initramfs = None;
            tree.legacy = names.map(|name| format!("boot/{name}")).to_vec();
        });
        assert!(found[0].ends_with(expected), "{found:?}");
    }
}

fn kmod(path: Vec<u8>, vermagic: &str) -> Kmod {
    Kmod {
        path,
        vermagic: Ok(vermagic.as_bytes().to_vec()),
        version: None,
        firmware: Vec::new(),
    }
}

fn size(tree: &mut TreeFacts, size: u64) {
    if let Some(file) = &mut tree.initramfs {
        file.size = size;
    }
}

#[test]
fn the_kernel_and_its_files() {
    let mut bench = based();
    let mut base = bench.baseline();
    base.signed = Some(true);
    base.kmods.insert(name("zfs"));
    bench.base = Some(base);
    type Case = (&'static str, fn(&mut TreeFacts), &'static str);
    let cases: [Case; 14] = [
        ("kernel-signature", |_| (), ""),
        (
            "kernel-signature",
            |tree| tree.signed = Ok(false),
            "no Secure Boot",
        ),
        ("initramfs-compression", |_| (), ""),
        (
            "initramfs-compression",
            |tree| tree.config = Ok(Some("# CONFIG_BLK_DEV_INITRD is not set\n".into())),
            "CONFIG_BLK_DEV_INITRD is not set",
        ),
        ("kmods", |_| (), "zfs.ko: no such module"),
        (
            "kmods",
            |tree| {
                let path = b"extra/zfs.ko".to_vec();
                tree.modules.push(path.clone());
                tree.kmods.push(kmod(path, &format!("{K} SMP")));
            },
            "",
        ),
        (
            "kmods",
            |tree| {
                tree.modules.push(b"extra/zfs.ko".to_vec());
                let path = b"extra/zfs.ko".to_vec();
                tree.kmods.push(kmod(path, "6.1.0 SMP"));
            },
            "vermagic \"6.1.0",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("00", &format!("  vmlinuz-{K}"), "00"),
            "",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("0A", &format!(" *vmlinuz-{K}"), "0a"),
            "",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("00", &format!("  vmlinuz-{K}"), "11"),
            "the HMAC of vmlinuz",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("00", "  /boot/vmlinuz", "00"),
            "\"  /boot/vmlinuz\" after the digest",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("00", "  vmlinuz", "00"),
            "\"  vmlinuz-6.9.4-200.fc40.x86_64\", the kernel's name in ostree's directory",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("00", &format!(" vmlinuz-{K}"), "00"),
            "\" vmlinuz-6.9.4-200.fc40.x86_64\" after the digest",
        ),
        (
            "kernel-hmac",
            |tree| tree.hmac = hmac("00", "", "00"),
            "\"\" after the digest",
        ),
    ];
    for (check, change, expected) in cases {
        bench.change = change;
        let found = bench.findings(check);
        match expected {
            "" => assert_eq!(found, [""; 0], "{check}"),
            _ => {
                assert_eq!(found.len(), 1, "{check}: {found:?}");
                assert!(found[0].contains(expected), "{check}: {found:?}");
            }
        }
    }
    assert!(matches!(
        Bench::good().answer("kernel-hmac"),
        Answer::NotApplicable(_)
    ));
}

fn hmac(digest: &str, names: &str, actual: &str) -> Hmac {
    Hmac::Read {
        digest: digest.into(),
        names: names.into(),
        actual: Some(actual.into()),
    }
}

#[test]
fn the_compression_of_each_segment() {
    let mut bench = Bench::good();
    bench.compression = Some(crate::initramfs::Compression::Zstd);
    assert_eq!(bench.findings("initramfs-compression"), [""; 0]);
    bench.compression = Some(crate::initramfs::Compression::Xz);
    let found = bench.findings("initramfs-compression");
    assert!(found[0].contains("CONFIG_RD_XZ is not set"), "{found:?}");
}

#[test]
fn only_what_dracut_made_is_for_ostree() {
    const OSTREE: &str = "initramfs-ostree";
    let mut bench = Bench::good();
    assert!(matches!(bench.answer(OSTREE), Answer::Found(_)));
    bench.alone = true;
    assert!(matches!(bench.answer(OSTREE), Answer::NotApplicable(_)));
    bench.put("usr/lib/dracut/dracut-106", b"");
    assert!(matches!(bench.answer(OSTREE), Answer::Found(_)));
}

#[test]
fn names_that_other_programs_unpack_elsewhere() {
    const CHECK: &str = "initramfs-readable";
    let mut bench = Bench::good();
    assert_eq!(bench.findings(CHECK), [""; 0]);
    // The kernel reads microcode from the archive by its name, so this entry is no finding.
    let microcode = "kernel/x86/microcode/GenuineIntel.bin";
    bench
        .inside
        .insert("microcode".to_owned(), file(microcode, b""));
    for name in ["/etc/passwd", "../up", "lost/file"] {
        // The bench creates the parent directories of its keys, so these keys have no slashes.
        let key = name.replace('/', "|");
        bench.inside.insert(key, file(name, b""));
    }
    let found = bench.findings(CHECK);
    // The directory of `/etc/passwd` does not exist, so the entry `/etc/passwd` has two findings.
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().all(|it| it.starts_with("warning ")));
    for said in [
        "a slash",
        "a .. component",
        "drops: its directory does not exist",
    ] {
        assert!(any(&found, said), "{said}: {found:#?}");
    }
}

#[test]
fn directories_without_modules_are_not_kernels() {
    let mut bench = Bench::good();
    bench.put("usr/lib/modules/keys/my.der", b"\x30");
    bench.put("usr/lib/modules/kabi-rhel90/stablelist", b"");
    assert_eq!(bench.findings("initramfs-kver"), [""; 0]);
    bench.put("usr/lib/modules/6.1.0/modules.dep", b"");
    assert!(any(&bench.findings("initramfs-kver"), "6.1.0, 6.9.4"));
}

#[test]
fn an_hmac_that_dracuts_fips_reads() {
    const CHECK: &str = "kernel-hmac";
    let signed = |tree: &mut TreeFacts| tree.hmac = hmac("00", &format!("  vmlinuz-{K}"), "11");
    let mut bench = Bench::good();
    bench.change = signed;
    let found = bench.findings(CHECK);
    assert!(found[0].starts_with("warning "), "{found:?}");
    let unread = |tree: &mut TreeFacts| {
        tree.hmac = Hmac::Read {
            digest: "00".into(),
            names: String::new(),
            actual: None,
        };
    };
    for change in [unread, |_: &mut TreeFacts| ()] {
        bench.change = change;
        assert!(matches!(bench.answer(CHECK), Answer::NotApplicable(_)));
    }
    let listed = ("usr/lib/dracut/modules.txt", &b"bash\nfips\nostree\n"[..]);
    for (path, data) in [listed, ("usr/sbin/fips.sh", b"#!/usr/bin/true\n")] {
        let mut bench = Bench::good();
        bench.put(path, data);
        assert_eq!(bench.findings(CHECK).len(), 1, "{path}");
        for change in [signed, |tree: &mut TreeFacts| tree.hmac = Hmac::Empty] {
            bench.change = change;
            let found = bench.findings(CHECK);
            assert!(found[0].starts_with("fatal "), "{path}: {found:?}");
        }
    }
}

#[test]
fn modules_that_weak_modules_linked() {
    const CHECK: &str = "initramfs-kver";
    const OLD: &str = "usr/lib/modules/6.9.1-100.fc40.x86_64";
    let mut bench = Bench::good();
    let target = format!("{OLD}/extra/driver.ko");
    bench.put(&target, &ko("6.9.1-100.fc40.x86_64", "", 0));
    assert!(any(&bench.findings(CHECK), "6.9.1-100.fc40.x86_64, 6.9.4"));
    bench.link(
        &module_path("weak-updates/driver.ko"),
        &format!("/{target}"),
    );
    assert_eq!(bench.findings(CHECK), [""; 0]);
    // Without a tree, a module with another vermagic is accepted, too, if a link in weak-updates leads to it.
    bench.alone = true;
    let list = module_path("modules.dep");
    let own = String::from_utf8(bench.inside[&list].data.clone()).unwrap();
    bench.put_dep(&(own + "weak-updates/driver.ko:\n"));
    assert_eq!(bench.findings("initramfs-modules"), [""; 0]);
    // The other kernel's directory is a finding if it has files besides targets of such links.
    bench.put(&format!("{OLD}/modules.dep"), b"");
    assert_eq!(bench.findings(CHECK).len(), 1);
}

/// Returns the remedies of a check's findings after `verify`, after `rebuild` and after `replace`.
fn remedies(bench: &Bench, check: &str) -> [Vec<String>; 3] {
    use super::Situation::{Rebuilt, Replaced, Verified};
    let Answer::Found(findings) = bench.answer(check) else {
        panic!("{check}: nothing is found");
    };
    let remedy = |situation| move |it: &super::Finding| it.remedy.after(situation);
    [Verified, Rebuilt, Replaced].map(|it| findings.iter().map(remedy(it)).collect())
}

#[test]
fn a_link_of_weak_modules_that_leads_nowhere_is_removed_first() {
    let first = "remove the link on disk, or install the package with the module that it leads to";
    let mut bench = Bench::good();
    bench.link(
        &module_path("weak-updates/zfs.ko"),
        "/usr/lib/modules/6.9.1/extra/zfs.ko",
    );
    let again = format!("{first}, then run the same command again");
    assert_eq!(
        remedies(&bench, "initramfs-modules"),
        [
            [format!("{first}, then run ostree-kernel rebuild")],
            [again.clone()],
            [again],
        ]
    );
    // A dangling link in another directory was not created by weak-modules, so the remedy is to rebuild the initramfs.
    let mut bench = Bench::good();
    bench.link(&module_path("extra/zfs.ko"), "../gone.ko");
    assert_eq!(
        remedies(&bench, "initramfs-modules")[0],
        ["run ostree-kernel rebuild"]
    );
}

#[test]
fn remedies_for_an_unreadable_image() {
    let mut bench = Bench::good();
    bench.unreadable = true;
    let [looked, rebuilt, replaced] = remedies(&bench, "initramfs-readable");
    let uefi = "remove uefi=\"yes\" from /etc/dracut.conf.d if it is there, and run again with -v";
    let both = format!("run ostree-kernel rebuild; if that does not help, {uefi}");
    assert!(looked[0].starts_with(&both), "{looked:?}");
    assert!(rebuilt[0].starts_with(uefi), "{rebuilt:?}");
    assert_eq!(rebuilt, replaced);
}

#[test]
fn a_kernel_that_its_package_names_otherwise_needs_another_build() {
    let mut bench = Bench::good();
    bench.change = |tree| {
        tree.rpmdb = super::testing::rpmdb(vec![super::testing::owner(
            "kernel-core",
            K,
            &[("kernel-uname-r", "6.9.4-1")],
        )]);
    };
    let build = "use another build of the kernel: the fault is in its package";
    for remedies in remedies(&bench, "kernel-rpmdb") {
        assert_eq!(remedies, [build]);
    }
}

#[test]
fn the_only_kernel_is_the_verified_one() {
    const CHECK: &str = "kernel-single";
    let mut bench = Bench::good();
    assert_eq!(bench.findings(CHECK), [""; 0]);
    bench.change = |tree| tree.kernels = vec!["6.1.0".into()];
    assert!(any(
        &bench.findings(CHECK),
        "a vmlinuz of 6.1.0, but none of 6.9.4"
    ));
}

/// `verify --against` is refused if no selected check compares, so each check that uses the base must be marked.
#[test]
fn checks_that_compare_are_marked() {
    let mut bench = Bench::good();
    bench.put("usr/lib/dracut/modules.txt", b"base\nostree\n");
    let mut base = bench.baseline();
    base.size = 1;
    base.signed = Some(true);
    base.root_setup = RootSetup::Bootc;
    base.dracut_modules.push("nvmf".into());
    base.kmods.insert(name("zfs"));
    base.drivers
        .insert(name("nvme"), b"kernel/drivers/nvme/host/nvme.ko".to_vec());
    base.early.insert("microcode".into());
    let checks = || CHECKS.iter().map(|check| check.name);
    let alone: Vec<_> = checks().map(|check| bench.answer(check)).collect();
    bench.base = Some(base);
    for (check, alone) in CHECKS.iter().zip(alone) {
        let with = bench.answer(check.name);
        assert!(check.compares || with == alone, "{}: {with:?}", check.name);
    }
}
