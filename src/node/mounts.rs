// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the text of `/proc/PID/mountinfo`.

/// Upper bound of a mountinfo file (bytes).
pub const SIZE_MAX: u64 = 4 << 20;

/// The fields of a line of mountinfo that this program uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount point.
    pub point: String,
    /// The device number as `MAJOR:MINOR`. The major number is 0 if the device number is not that of a block device,
    /// for example with proc and btrfs.
    pub device: String,
    /// The type of the file system.
    pub filesystem: String,
    /// The source, for example `/dev/vda4`.
    pub source: String,
}

/// Returns the mount at `point`; `None` if there is none. If there are several, returns the last one, which covers the
/// others.
pub fn at(mountinfo: &str, point: &str) -> Option<Mount> {
    let mut mounts = mountinfo.lines().filter_map(parse);
    mounts.rfind(|it| it.point == point)
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let device = before.next()?;
    let point = before.nth(1)?;
    let mut after = after.split(' ');
    Some(Mount {
        point: unescape(point),
        device: device.to_owned(),
        filesystem: after.next()?.to_owned(),
        source: unescape(after.next()?),
    })
}

/// Replaces octal escapes such as `\040` with the characters. The kernel escapes space, tab, newline and backslash, and
/// in types and sources also `#` (`mangle` in fs/proc_namespace.c).
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..3).and_then(|it| u8::from_str_radix(it, 8).ok());
        match byte {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                plain += part.get(3..).unwrap_or_default();
            }
            _ => {
                plain.push('\\');
                plain += part;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
60 1 8:4 / /sysroot ro,relatime shared:1 - xfs /dev/sda4 rw,seclabel
61 60 8:4 /ostree/deploy/os/deploy/a.0 / rw,relatime shared:2 - xfs /dev/sda4 rw
70 61 8:3 / /boot ro,nosuid - ext4 /dev/sda3 rw
71 61 0:55 / /boot rw - btrfs /dev/mapper/a\\040b rw
short
";

    #[test]
    fn the_last_mount_at_a_point() {
        let root = at(INFO, "/sysroot").unwrap();
        assert_eq!((&*root.device, &*root.filesystem), ("8:4", "xfs"));
        assert_eq!(root.source, "/dev/sda4");
        let boot = at(INFO, "/boot").unwrap();
        assert_eq!((&*boot.device, &*boot.source), ("0:55", "/dev/mapper/a b"));
        assert_eq!(at(INFO, "/nowhere"), None);
        assert_eq!(unescape("a\\134\\x\\"), "a\\\\x\\");
    }
}
