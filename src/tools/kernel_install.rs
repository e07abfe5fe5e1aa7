// SPDX-License-Identifier: MIT OR Apache-2.0
//! kernel-install's layout: whether the configuration files that the image's rpm-ostree reads set `layout=ostree`.

use crate::plan::RpmOstreeVersion;
use crate::sys::root::{self, Root};

/// Upper bound of an `install.conf` (bytes), which has a few lines.
const CONF_MAX: u64 = 64 * 1024;

/// The vendor's file. From release 2025.1 on, rpm-ostree reads only this file; 2026.1 adds `/etc/kernel` and the
/// drop-ins.
const VENDOR: &str = "usr/lib/kernel/install.conf";

/// The directories that rpm-ostree 2026.1 and later read. The first one that sets a layout wins. In each directory,
/// drop-ins override `install.conf`.
const LEVELS: [&str; 2] = ["etc/kernel", "usr/lib/kernel"];

/// Returns whether the layout is `ostree`. rpm-ostree before 2026.1 reads the vendor's file only (tested with 2025.6).
/// An unknown version counts as 2026.1. Source: rpm-ostree `rust/src/kernel_install.rs`.
///
/// # Errors
/// When a file cannot be read.
pub fn layout_is_ostree(
    root: &Root,
    version: Option<RpmOstreeVersion>,
) -> Result<bool, root::Error> {
    if version.is_some_and(|version| version < RpmOstreeVersion::HONOURS_DROP_INS) {
        return Ok(layouts(root, VENDOR)?.iter().any(|it| it == b"ostree"));
    }
    for level in LEVELS {
        let mut layout = first_layout(root, &format!("{level}/install.conf"))?;
        let drop_ins = format!("{level}/install.conf.d");
        // The drop-ins are sorted by name, and the last one that sets a layout wins.
        for (name, _) in root.list(&drop_ins)? {
            let name = name.to_string_lossy();
            if name.ends_with(".conf") {
                layout = first_layout(root, &format!("{drop_ins}/{name}"))?.or(layout);
            }
        }
        if let Some(layout) = layout {
            return Ok(layout == b"ostree");
        }
    }
    Ok(false)
}

fn first_layout(root: &Root, path: &str) -> Result<Option<Vec<u8>>, root::Error> {
    Ok(layouts(root, path)?.into_iter().next())
}

/// Returns every layout that a file sets.
fn layouts(root: &Root, path: &str) -> Result<Vec<Vec<u8>>, root::Error> {
    if !root.is_file(path)? {
        return Ok(Vec::new());
    }
    let text = root.read(path, CONF_MAX)?.unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let named = lines.filter_map(|line| line.strip_prefix(b"layout="));
    Ok(named.map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENDOR_D: &str = "usr/lib/kernel/install.conf.d/50-image.conf";
    const LOCAL: &str = "etc/kernel/install.conf";
    const LOCAL_D: &str = "etc/kernel/install.conf.d/50-mine.conf";
    const OSTREE: &str = "layout=ostree\n";

    fn is_ostree(files: &[(&str, &str)], version: Option<RpmOstreeVersion>) -> bool {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        layout_is_ostree(&Root::open(dir.path()).unwrap(), version).unwrap()
    }

    #[test]
    fn places_of_layouts_by_release_of_rpm_ostree() {
        for (path, since) in [
            (VENDOR, RpmOstreeVersion(2025, 1)),
            (VENDOR_D, RpmOstreeVersion::HONOURS_DROP_INS),
            (LOCAL, RpmOstreeVersion::HONOURS_DROP_INS),
            (LOCAL_D, RpmOstreeVersion::HONOURS_DROP_INS),
        ] {
            for version in [
                RpmOstreeVersion(2025, 6),
                RpmOstreeVersion(2026, 1),
                RpmOstreeVersion(2026, 2),
            ] {
                let found = is_ostree(&[(path, OSTREE)], Some(version));
                assert_eq!(found, version >= since, "{path} with {version}");
            }
            assert!(is_ostree(&[(path, OSTREE)], None), "{path}");
        }
        assert!(!is_ostree(&[], None));
    }

    #[test]
    fn one_place_overrides_another() {
        let bls = "layout=bls\n";
        let table: [(&[(&str, &str)], bool); 9] = [
            (&[(VENDOR, bls), (VENDOR_D, OSTREE)], true),
            (&[(VENDOR, OSTREE), (VENDOR_D, bls)], false),
            (&[(LOCAL, bls), (LOCAL_D, OSTREE)], true),
            (&[(VENDOR, OSTREE), (LOCAL, bls)], false),
            (&[(VENDOR_D, OSTREE), (LOCAL, bls)], false),
            (&[(VENDOR, OSTREE), (LOCAL_D, bls)], false),
            // A file without a layout does not override the others.
            (
                &[(VENDOR, OSTREE), (LOCAL, "initrd_generator=none\n")],
                true,
            ),
            (
                &[(LOCAL_D, OSTREE), ("etc/kernel/install.conf.d/99.txt", bls)],
                true,
            ),
            (
                &[
                    (LOCAL_D, OSTREE),
                    ("etc/kernel/install.conf.d/99.conf", bls),
                ],
                false,
            ),
        ];
        for (files, expected) in table {
            assert_eq!(is_ostree(files, None), expected, "{files:?}");
        }
        // Releases before 2026.1 search the file for the line `layout=ostree`; newer ones use the first line that sets
        // a layout.
        let both = [(VENDOR, "layout=bls\n  layout=ostree \n")];
        assert!(is_ostree(&both, Some(RpmOstreeVersion(2025, 6))));
        assert!(!is_ostree(&both, Some(RpmOstreeVersion(2026, 1))));
    }
}
