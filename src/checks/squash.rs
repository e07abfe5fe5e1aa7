// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks an initramfs of dracut's squash modules: a file system image inside the initramfs contains all files except
//! those of a loader. The loader's script `/init` mounts that image with an overlay and switches to the result. The
//! files in the image are not read; the check is whether the loader can mount the image.

use super::able::Able;
use super::{Finding, Remedy, show};
use crate::boot::program;
use crate::initramfs::{Foreign, Inventory, RootImage};

/// The programs that the loader's script runs (dracut's `init-squash.sh`).
const PROGRAMS: [&[u8]; 4] = [b"mount", b"modprobe", b"mkdir", b"switch_root"];

const REMEDY: Remedy =
    Remedy::RebuildOr("omit dracut's squash modules with omit_dracutmodules in /etc/dracut.conf.d");

/// Returns findings about missing and blocked drivers that are required to mount the file system image.
pub(super) fn without_driver(root: &RootImage, able: &Able) -> Vec<Finding> {
    let filesystem = match root.format {
        Foreign::Erofs => "erofs",
        _ => "squashfs",
    };
    let missing = ["loop", filesystem, "overlay"]
        .into_iter()
        .filter(|name| !able.has_named(name));
    let finding = |name| {
        let path = format!("{name} in the initramfs");
        let found = able.why_not(&[name]);
        let found = found.unwrap_or_else(|| "neither in the initramfs nor built in".to_owned());
        let expected = format!("present: /init mounts {}", root.path);
        Finding::new(path, found, expected, REMEDY)
    };
    missing.map(finding).collect()
}

/// Returns findings about faults that prevent `/init` from mounting the file system image: the image is truncated, or a
/// program is missing. Empty if the initramfs has no such image.
pub(super) fn without_end(inventory: &Inventory) -> Vec<Finding> {
    let Some(root) = inventory.root_image() else {
        return Vec::new();
    };
    let cut = (root.length > root.size).then(|| {
        let path = format!("{} in the initramfs", root.path);
        let expected = format!("{} bytes, according to its superblock", root.length);
        Finding::new(path, format!("{} bytes", root.size), expected, REMEDY)
    });
    let missing = PROGRAMS
        .into_iter()
        .filter(|name| program(inventory, name).is_none());
    let missing = missing.map(|name| {
        let path = format!("{} in the initramfs", show(name));
        let expected = format!("present: /init mounts {} with it", root.path);
        Finding::new(path, "no such program", expected, REMEDY)
    });
    cut.into_iter().chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Answer;
    use super::super::testing::Bench;

    const INIT: &str = "initramfs-init";
    const ROOT: &str = "initramfs-root-drivers";

    /// Returns 100 bytes that begin with the superblock of a squashfs of this size.
    fn squashfs() -> Vec<u8> {
        let mut squashfs = b"hsqs".to_vec();
        squashfs.resize(40, 0);
        squashfs.extend(100_u64.to_le_bytes());
        squashfs.resize(100, 0);
        squashfs
    }

    /// Returns a bench with the loader of dracut's squash modules, but without a file system image.
    fn squashed() -> Bench {
        let mut bench = Bench::good();
        for name in ["modprobe", "mkdir", "switch_root"] {
            bench.link(&format!("usr/bin/{name}"), "true");
        }
        let builtin = bench.disk.get_mut("modules.builtin").unwrap();
        builtin.extend(b"kernel/drivers/block/loop.ko\nkernel/fs/squashfs/squashfs.ko\n");
        builtin.extend(b"kernel/fs/overlayfs/overlay.ko\n");
        bench
    }

    #[test]
    fn only_dracuts_root_image_hides_the_rest() {
        const OSTREE: &str = "initramfs-ostree";
        let mut bench = squashed();
        bench.put("root.squashfs", &squashfs());
        assert!(matches!(bench.answer(OSTREE), Answer::Found(_)));
        bench.put("squashfs-root.img", &squashfs());
        let expected =
            "most files are in a file system image inside the initramfs, squashfs-root.img";
        let not_applicable = Answer::NotApplicable(expected.into());
        for check in [OSTREE, "initramfs-wrappers", ROOT] {
            assert_eq!(bench.answer(check), not_applicable, "{check}");
        }
        // The loader's files are outside of the squash image, so these checks examine them.
        for check in ["initramfs-init", "initramfs-kver", "initramfs-modules"] {
            assert_eq!(bench.findings(check), [""; 0], "{check}");
        }
        bench.inside.remove("init");
        assert_eq!(bench.findings("initramfs-init").len(), 1);
    }

    #[test]
    fn a_root_image_that_cannot_be_mounted() {
        let mut bench = squashed();
        bench.put("squashfs-root.img", &squashfs()[..99]);
        let expected = "fatal squashfs-root.img in the initramfs: 99 bytes; 100 bytes, according to its superblock";
        assert_eq!(bench.findings(INIT), [expected]);
        bench.put("squashfs-root.img", &squashfs());
        bench.inside.remove("usr/bin/switch_root");
        let expected = "fatal switch_root in the initramfs: no such program; present: /init mounts squashfs-root.img with it";
        assert_eq!(bench.findings(INIT), [expected]);
        for name in ["loop", "squashfs", "overlay"] {
            let mut bench = squashed();
            bench.put("squashfs-root.img", &squashfs());
            let builtin = bench.disk.get_mut("modules.builtin").unwrap();
            let text = String::from_utf8(builtin.clone()).unwrap();
            *builtin = text.replace(&format!("/{name}.ko"), "/other.ko").into();
            let expected = format!(
                "fatal {name} in the initramfs: neither in the initramfs nor built in; present: /init mounts squashfs-root.img"
            );
            assert_eq!(bench.findings(ROOT), [expected]);
        }
    }
}
