// SPDX-License-Identifier: MIT OR Apache-2.0
//! ostree's `prepare-root.conf`, as far as it says whether the root is a composefs image.

/// Where it is, relative to the root. A key of the later file replaces that of the earlier one
/// (`otcore-prepare-root.c`).
pub(super) const PLACES: [&str; 2] = [
    "usr/lib/ostree/prepare-root.conf",
    "etc/ostree/prepare-root.conf",
];

/// Whether the root is a composefs image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Composefs {
    /// It is not, as ostree does without a configuration.
    #[default]
    Off,
    /// If the deployment has one.
    Maybe,
    /// It must be, or nothing boots.
    On,
}

/// What the files say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PrepareRoot {
    /// `composefs.enabled`.
    pub(super) composefs: Composefs,
}

impl PrepareRoot {
    /// Reads the files that `data` returns by their paths.
    pub(super) fn read<'a>(data: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let mut conf = Self::default();
        for text in PLACES.iter().filter_map(|path| data(path)) {
            if let Some(composefs) = composefs(&String::from_utf8_lossy(text)) {
                conf.composefs = composefs;
            }
        }
        conf
    }
}

fn composefs(text: &str) -> Option<Composefs> {
    let mut section = "";
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=')
            && section == "composefs"
            && key.trim() == "enabled"
        {
            found = Some(match value.trim() {
                "yes" | "true" | "1" | "signed" | "verity" => Composefs::On,
                "maybe" => Composefs::Maybe,
                _ => Composefs::Off,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_file_wins() {
        let read = |vendor: &'static str, etc: Option<&'static str>| {
            let data = move |path: &str| match path.starts_with("etc/") {
                true => etc.map(str::as_bytes),
                false => Some(vendor.as_bytes()),
            };
            PrepareRoot::read(data).composefs
        };
        for (vendor, etc, expected) in [
            (
                "[composefs]\nenabled = yes\n[x]\nenabled=no\n",
                None,
                Composefs::On,
            ),
            ("[composefs]\nenabled=signed\n", None, Composefs::On),
            ("[composefs]\nenabled=maybe\n", None, Composefs::Maybe),
            ("", None, Composefs::Off),
            ("enabled=yes", None, Composefs::Off),
            ("[sysroot]\nenabled=yes\n", None, Composefs::Off),
            (
                "[composefs]\nenabled=yes\n",
                Some("[composefs]\nenabled=no\n"),
                Composefs::Off,
            ),
            (
                "[composefs]\nenabled=yes\n",
                Some("[sysroot]\nreadonly=true\n"),
                Composefs::On,
            ),
            ("", Some("[composefs]\nenabled=verity\n"), Composefs::On),
        ] {
            assert_eq!(read(vendor, etc), expected, "{vendor} {etc:?}");
        }
    }
}
