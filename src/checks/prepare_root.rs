// SPDX-License-Identifier: MIT OR Apache-2.0
//! ostree's `prepare-root.conf`, parsed as in ostree-prepare-root (`src/libotcore/otcore-prepare-root.c`,
//! `src/switchroot/ostree-prepare-root.c`, 2025.2). An unknown value of a setting stops the boot.

use crate::boot::{KeyFile, KeyFileError};

/// The files, relative to the root. ostree parses both, but `g_key_file_load_from_data` clears what it has read before,
/// so only the later file counts.
pub(super) const PLACES: [&str; 2] = [
    "usr/lib/ostree/prepare-root.conf",
    "etc/ostree/prepare-root.conf",
];

/// The default path of the key that verifies the commit's signature.
const KEY: &str = "/etc/ostree/initramfs-root-binding.key";

/// Boolean settings, by group and key.
const BOOLEANS: [(&str, &str); 3] = [
    ("sysroot", "readonly"),
    ("etc", "transient"),
    ("root", "transient"),
];

/// The setting of composefs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Composefs {
    /// The root is not a composefs image; ostree's default.
    #[default]
    Off,
    /// The root is a composefs image if the deployment has one.
    Maybe,
    /// The root must be a composefs image.
    On,
}

/// The settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PrepareRoot {
    /// The value of `composefs.enabled`; the default if it is unknown.
    pub(super) composefs: Composefs,
    /// Whether every file of the composefs image must have fs-verity.
    pub(super) needs_verity: bool,
    /// The path of the key that verifies the commit's signature; `None` if no signature is required.
    pub(super) key: Option<String>,
    /// Faults that stop the boot: the file, the text or error that was found, and the text that was expected.
    pub(super) wrong: Vec<(&'static str, String, &'static str)>,
}

impl PrepareRoot {
    /// Reads the files in [`PLACES`]. `data` returns the content of a file by its path.
    pub(super) fn read<'a>(data: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let mut conf = Self::default();
        let mut last = (PLACES[0], KeyFile::default());
        for (path, text) in PLACES.iter().filter_map(|path| Some((*path, data(path)?))) {
            let mut file = KeyFile::default();
            // Only this parser limits the number of lines; ostree does not.
            if let Err(why) = file.add(text)
                && why != KeyFileError::TooMany
            {
                conf.wrong
                    .push((path, why.to_string(), "a key file that GLib can parse"));
            }
            last = (path, file);
        }
        let (path, file) = &last;
        let get = |group: &str, key: &str| Some((file.get(group, key)?, *path));
        let enabled = get("composefs", "enabled");
        conf.composefs = match enabled {
            None | Some(("no" | "false" | "0", _)) => Composefs::Off,
            Some(("yes" | "true" | "1" | "signed" | "verity", _)) => Composefs::On,
            Some(("maybe", _)) => Composefs::Maybe,
            Some((value, path)) => {
                let found = format!("composefs.enabled={value}");
                let expected = "yes, no, maybe, signed or verity";
                conf.wrong.push((path, found, expected));
                Composefs::Off
            }
        };
        for (group, key) in BOOLEANS {
            if let Some((value, path)) = get(group, key)
                && !["true", "1", "false", "0"].contains(&value)
            {
                let found = format!("{group}.{key}={value}");
                conf.wrong.push((path, found, "true or false"));
            }
        }
        if let Some(("true" | "1", path)) = get("root", "transient")
            && conf.composefs == Composefs::Off
        {
            let found = "root.transient=true without composefs.enabled";
            let expected = "composefs.enabled=yes, which root.transient requires";
            conf.wrong.push((path, found.to_owned(), expected));
        }
        conf.needs_verity = matches!(enabled, Some(("signed" | "verity", _)));
        if let Some(("signed", _)) = enabled {
            let path = get("composefs", "keypath").map_or(KEY, |(path, _)| path);
            conf.key = Some(path.to_owned());
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vendor: &'static str, etc: Option<&'static str>) -> PrepareRoot {
        let data = move |path: &str| {
            if path.starts_with("etc/") {
                etc.map(str::as_bytes)
            } else {
                Some(vendor.as_bytes())
            }
        };
        PrepareRoot::read(data)
    }

    #[test]
    fn a_wrong_value_has_its_file() {
        let wrong = "[composefs]\nenabled=perhaps\n";
        let other = "[sysroot]\nreadonly=true\n";
        for (vendor, etc, at) in [
            (wrong, None, 0),
            (other, Some(wrong), 1),
            (wrong, Some(wrong), 1),
            ("[x\n", Some(other), 0),
        ] {
            let conf = read(vendor, etc);
            assert_eq!(conf.wrong.len(), 1, "{conf:?}");
            assert_eq!(conf.wrong[0].0, PLACES[at], "{conf:?}");
        }
        // The later file replaces the earlier one.
        assert_eq!(read(wrong, Some(other)).wrong, []);
        let transient = "[root]\ntransient=true\n";
        let conf = read("[composefs]\nenabled=yes\n", Some(transient));
        assert_eq!(
            conf.wrong[0].1,
            "root.transient=true without composefs.enabled"
        );
    }

    #[test]
    fn the_later_file_wins() {
        for (vendor, etc, expected) in [
            (
                "[composefs]\nenabled = yes\n[x]\nenabled=no\n",
                None,
                Composefs::On,
            ),
            ("[composefs]\nenabled=signed\n", None, Composefs::On),
            ("[composefs]\nenabled=maybe\n", None, Composefs::Maybe),
            ("", None, Composefs::Off),
            ("[sysroot]\nenabled=yes\n", None, Composefs::Off),
            (
                "[composefs]\nenabled=yes\n",
                Some("[composefs]\nenabled=no\n"),
                Composefs::Off,
            ),
            (
                "[composefs]\nenabled=yes\n",
                Some("[sysroot]\nreadonly=true\n"),
                Composefs::Off,
            ),
            ("", Some("[composefs]\nenabled=verity\n"), Composefs::On),
        ] {
            let conf = read(vendor, etc);
            assert_eq!(conf.composefs, expected, "{vendor} {etc:?}");
            assert_eq!(conf.wrong, [], "{vendor} {etc:?}");
        }
    }

    #[test]
    fn settings_that_stop_the_boot() {
        for (text, expected) in [
            ("enabled=yes\n", "line 1 is before"),
            ("[composefs]\nenabled=yse\n", "composefs.enabled=yse"),
            ("[composefs]\nenabled=\n", "composefs.enabled="),
            ("[composefs\n", "line 1 is neither"),
            ("[sysroot]\nreadonly=yes\n", "sysroot.readonly=yes"),
            ("[root]\ntransient=true\n", "root.transient=true without"),
        ] {
            let conf = read(text, None);
            assert_eq!(conf.wrong.len(), 1, "{text}: {conf:?}");
            assert!(conf.wrong[0].1.starts_with(expected), "{text}: {conf:?}");
        }
        let signed = "[composefs]\nenabled=signed\nkeypath=/etc/a.key\n";
        assert_eq!(read(signed, None).key.as_deref(), Some("/etc/a.key"));
        let transient = "[composefs]\nenabled=yes\n[root]\ntransient=1\n";
        assert_eq!(read(transient, None).wrong, []);
    }
}
