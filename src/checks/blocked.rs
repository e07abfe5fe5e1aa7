// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers that modprobe's configuration inside keeps from being loaded, as guides to hardening want
//! it: `install erofs /bin/false`, `blacklist usb-storage`.

use std::collections::{BTreeMap, BTreeSet};

use super::show;
use crate::initramfs::Inventory;
use crate::kernel::modules::ModuleName;

/// Where the configuration is; the first file of a name counts (modprobe.d(5)).
const DIRS: [&str; 5] = [
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
];

/// The drivers that are blocked, each with the file that does it.
pub(super) fn blocked(inventory: &Inventory) -> BTreeMap<ModuleName, String> {
    let mut seen = BTreeSet::new();
    let mut blocked = BTreeMap::new();
    for dir in DIRS {
        for (name, node) in inventory.children(dir.as_bytes()) {
            if !name.ends_with(b".conf") || !seen.insert(name.to_vec()) {
                continue;
            }
            let content = inventory.content(node);
            let text = content.and_then(|content| content.data.as_deref());
            let lines = text.unwrap_or_default().split(|&byte| byte == b'\n');
            for driver in lines.filter_map(driver) {
                let path = || format!("{dir}/{}", show(name));
                blocked.entry(driver).or_insert_with(path);
            }
        }
    }
    blocked
}

/// The driver that a line blocks. A command that calls modprobe itself only adds to it.
fn driver(line: &[u8]) -> Option<ModuleName> {
    let mut words = line.split(u8::is_ascii_whitespace);
    let mut words = words.by_ref().filter(|word| !word.is_empty());
    let (what, name) = (words.next()?, words.next()?);
    let loads = |word: &[u8]| word.ends_with(b"modprobe") || word.ends_with(b"insmod");
    match what {
        b"blacklist" => ModuleName::new(name),
        b"install" if !words.any(loads) => ModuleName::new(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn lines_that_block() {
        for (line, expected) in [
            ("blacklist usb-storage", Some("usb_storage")),
            (" install\terofs /bin/false", Some("erofs")),
            ("install erofs", Some("erofs")),
            (
                "install a /sbin/modprobe --ignore-install a && touch /run/a",
                None,
            ),
            ("options a b=1", None),
            ("#blacklist a", None),
            ("blacklist", None),
        ] {
            let found = driver(line.as_bytes()).map(|name| name.to_string());
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_driver_that_is_needed_is_not_blocked() {
        const ROOT: &str = "initramfs-root-drivers";
        let mut bench = Bench::good();
        bench.wanted.drivers = vec!["virtio_blk".into(), "erofs".into()];
        assert_eq!(bench.findings(ROOT), [""; 0]);
        // erofs is built in; the file in etc counts, where there are two.
        bench.put(
            "usr/lib/modprobe.d/a.conf",
            b"blacklist virtio-blk\ninstall erofs /bin/true\n",
        );
        let expected = "fatal virtio_blk in the initramfs: virtio_blk is inside, and usr/lib/modprobe.d/a.conf keeps it from being loaded; inside, for --require-driver virtio_blk";
        assert_eq!(bench.findings(ROOT)[..1], [expected]);
        bench.put(
            "etc/modprobe.d/a.conf",
            b"options virtio_blk queue_depth=1\n",
        );
        assert_eq!(bench.findings(ROOT), [""; 0]);
    }
}
