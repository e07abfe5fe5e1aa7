// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the boot loader entries that ostree writes (`/boot/loader/entries/ostree-*.conf`).

use super::deployment::is_checksum;

/// Upper bound of an entry (bytes).
pub const SIZE_MAX: u64 = 64 << 10;

/// The facts in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version of the entry; 0 if it has none, or an invalid one. The boot menu begins with the entry of the
    /// highest version.
    pub version: u32,
    /// The kernel arguments.
    pub kargs: Vec<String>,
    /// The link to the deployment, from the kernel argument `ostree`.
    pub link: Link,
    /// The checksums of additional initramfs files.
    pub overlays: Vec<String>,
}

/// The link `ostree/boot.VERSION/OSNAME/BOOTCSUM/SERIAL` to a deployment, where VERSION is 0 or 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The path of the link, relative to the root.
    pub path: String,
    /// The stateroot.
    pub osname: String,
    /// The checksum of kernel and initramfs.
    pub bootcsum: String,
}

impl Entry {
    /// Parses an entry; `None` if it is not an entry of ostree.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let fields = lines.filter_map(|line| line.trim().split_once(char::is_whitespace));
        let fields: Vec<_> = fields.map(|(key, value)| (key, value.trim())).collect();
        let get = |name: &str| fields.iter().find(|(key, _)| *key == name);
        let (_, options) = get("options")?;
        let kargs: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
        let initrds = fields.iter().filter(|(key, _)| *key == "initrd");
        let overlays = initrds.skip(1).filter_map(|(_, path)| {
            let name = path.rsplit('/').next()?.strip_suffix(".img")?;
            is_checksum(name).then(|| name.to_owned())
        });
        Some(Self {
            version: get("version")
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(0),
            link: Link::of(&kargs)?,
            overlays: overlays.collect(),
            kargs,
        })
    }
}

impl Link {
    /// Returns the link in the first kernel argument `ostree=…`; `None` if there is no such argument, or if its value
    /// does not have the form of a [`Link`].
    pub fn of(kargs: &[impl AsRef<str>]) -> Option<Self> {
        let mut values = kargs
            .iter()
            .filter_map(|it| it.as_ref().strip_prefix("ostree="));
        let path = values.next()?.trim_start_matches('/');
        let parts: Vec<_> = path.split('/').collect();
        let ["ostree", boot, osname, bootcsum, serial] = parts.as_slice() else {
            return None;
        };
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        let is_link = matches!(*boot, "boot.0" | "boot.1")
            && !matches!(*osname, "" | "." | "..")
            && is_checksum(bootcsum)
            && is_number(serial);
        is_link.then(|| Self {
            path: path.to_owned(),
            osname: (*osname).to_owned(),
            bootcsum: (*bootcsum).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_ostree() {
        let sum = "ab".repeat(32);
        let overlay = "cd".repeat(32);
        let text = format!(
            "# x\ntitle Fedora (ostree:0)\nversion 2\noptions root=UUID=1 rw ostree=/ostree/boot.1/os/{sum}/0\nlinux /ostree/os-{sum}/vmlinuz\ninitrd /ostree/os-{sum}/initramfs.img\ninitrd /ostree/initramfs-overlays/{overlay}.img\n"
        );
        let entry = Entry::parse(&text).unwrap();
        assert_eq!(entry.version, 2);
        assert_eq!(entry.kargs.len(), 3);
        assert_eq!(entry.overlays, [overlay]);
        assert_eq!(entry.link.path, format!("ostree/boot.1/os/{sum}/0"));
        assert_eq!((&*entry.link.osname, entry.link.bootcsum), ("os", sum));
    }

    #[test]
    fn other_entries() {
        let sum = "ab".repeat(32);
        for line in [
            "title x",
            "options root=/dev/vda",
            &format!("options ostree=/ostree/boot.1/../{sum}/0"),
            &format!("options ostree=/ostree/boot.2/os/{sum}/0"),
            &format!("options ostree=/ostree/boot.1/os/{sum}/../0"),
            &format!("options ostree=/ostree/boot.1/os/{sum}/x"),
            "options ostree=/ostree/boot.1/os/short/0",
        ] {
            assert_eq!(Entry::parse(line), None, "{line}");
        }
    }
}
