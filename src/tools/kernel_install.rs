// SPDX-License-Identifier: MIT OR Apache-2.0
//! kernel-install's layout: whether `install.conf` says `layout=ostree`, where this rpm-ostree reads
//! it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::plan::RpmOstreeVersion;
use crate::sys::root::{self, Root};

/// The files are a few lines.
const CONF_MAX: u64 = 64 * 1024;

/// The one file that rpm-ostree 2025.1 to 2025.x reads.
const VENDOR: &str = "usr/lib/kernel/install.conf";

/// Whether the layout is `ostree`. Before 2026.1 rpm-ostree reads the vendor's file only (measured
/// with 2025.6); from then on drop-ins count before the files, and `/etc` before `/usr/lib`.
///
/// # Errors
/// When a file cannot be read.
pub fn layout_is_ostree(
    root: &Root,
    version: Option<RpmOstreeVersion>,
) -> Result<bool, root::Error> {
    if version.is_some_and(|version| version < RpmOstreeVersion::HONOURS_DROP_INS) {
        return Ok(layout(root, Path::new(VENDOR))?.as_deref() == Some(b"ostree"));
    }
    let mut drop_ins = BTreeMap::new();
    for base in ["usr/lib/kernel", "etc/kernel"] {
        let dir = Path::new(base).join("install.conf.d");
        for (name, _) in root.list(&dir)? {
            let path = dir.join(&name);
            if path
                .extension()
                .is_some_and(|extension| extension == "conf")
            {
                drop_ins.insert(name, path);
            }
        }
    }
    for path in drop_ins.values().rev() {
        if let Some(layout) = layout(root, path)? {
            return Ok(layout == b"ostree");
        }
    }
    for path in ["etc/kernel/install.conf", VENDOR] {
        if root.is_file(path)? {
            return Ok(layout(root, Path::new(path))?.as_deref() == Some(b"ostree"));
        }
    }
    Ok(false)
}

fn layout(root: &Root, path: &Path) -> Result<Option<Vec<u8>>, root::Error> {
    if !root.is_file(path)? {
        return Ok(None);
    }
    let text = root.read(path, CONF_MAX)?.unwrap_or_default();
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii().strip_prefix(b"layout="))
        .next_back()
        .map(|value| value.trim_ascii().to_vec()))
}
