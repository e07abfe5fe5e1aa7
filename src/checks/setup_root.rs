// SPDX-License-Identifier: MIT OR Apache-2.0
//! bootc's `setup-root-conf.toml`, parsed as in bootc-initramfs-setup (`crates/initramfs/src/lib.rs`, 2026-06). A file
//! that bootc cannot parse stops the boot. Unknown keys are ignored.

use serde::Deserialize;

/// The file, relative to the root. bootc reads no other file.
pub(super) const PLACE: &str = "usr/lib/composefs/setup-root-conf.toml";

/// The whole file. The values are not used: the check is whether the file can be parsed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SetupRoot {
    #[serde(rename = "etc")]
    _etc: Directory,
    #[serde(rename = "var")]
    _var: Directory,
    #[serde(rename = "root")]
    _root: Root,
}

/// The settings of a directory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Directory {
    #[serde(rename = "mount")]
    _mount: Option<MountType>,
    #[serde(rename = "transient")]
    _transient: bool,
}

/// The way in which bootc mounts a directory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MountType {
    None,
    Bind,
    Overlay,
    Transient,
}

/// The settings of the root.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Root {
    #[serde(rename = "transient")]
    _transient: bool,
}

/// Returns the reason why bootc refuses the file, in one line; `None` if bootc accepts the file.
pub(super) fn refusal(data: &[u8]) -> Option<String> {
    let Ok(text) = str::from_utf8(data) else {
        return Some("bytes that are not UTF-8".to_owned());
    };
    let error = toml::from_str::<SetupRoot>(text).err()?;
    let before = error.span().and_then(|span| text.get(..span.start));
    let message = error.message().replace('\n', ", ");
    Some(match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_bootc_accepts() {
        for text in [
            "",
            "# a comment\n",
            "[root]\ntransient = true\n",
            "[etc]\nmount = \"overlay\"\n[var]\nmount = \"none\"\ntransient = false\n",
            "etc.mount = \"transient\"\n[var]\nmount=\"bind\"\n",
            "[composefs]\nenabled = \"yes\"\n[root]\nread-only = 1\n",
        ] {
            assert_eq!(refusal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn files_that_stop_the_boot() {
        for (text, message) in [
            (
                "[etc]\nmount = \"overlaid\"\n",
                "line 2: unknown variant `overlaid`",
            ),
            (
                "[etc]\nmount = \"Overlay\"\n",
                "line 2: unknown variant `Overlay`",
            ),
            ("[root]\ntransient = yes\n", "line 2: "),
            (
                "[root]\ntransient = \"true\"\n",
                "line 2: invalid type: string",
            ),
            ("[root\n", "line 1: "),
            ("root = true\n", "line 1: invalid type: boolean"),
            ("[etc]\nmount = 1\n", "line 2: "),
            ("[etc]\n[etc]\n", "line 2: duplicate key"),
        ] {
            let found = refusal(text.as_bytes()).unwrap_or_default();
            assert!(found.starts_with(message), "{text}: {found}");
        }
        assert!(refusal(b"[root]\n# \xff\n").is_some());
    }
}
