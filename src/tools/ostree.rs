// SPDX-License-Identifier: MIT OR Apache-2.0
//! ostree: detects the kind of a tree, and builds the commands that commit a container or lock a finalisation.

use crate::plan::TreeKind;
use crate::sys::exec::Cmd;
use crate::sys::root::{self, Root};

/// Upper bound of an ostree repository's configuration (bytes); it has a few lines.
const CONFIG_MAX: u64 = 64 * 1024;

/// Returns the kind of the tree. An ostree container is recognised by the test that rpm-ostree uses (ostree-ext
/// `container_utils.rs`): the mode of the repository, and a container marker or no `/run/ostree-booted`. `container` is
/// whether the environment variable `container` is set. Of the variables that the test reads, this is the only one that
/// child processes inherit.
///
/// # Errors
/// When a file cannot be read.
pub fn kind(root: &Root, container: bool) -> Result<TreeKind, root::Error> {
    let booted = root.stat("run/ostree-booted")?.is_some();
    let marked = container
        || root.stat("run/.containerenv")?.is_some()
        || root.stat(".dockerenv")?.is_some();
    let in_container = marked || !booted;
    let mut split_xattrs = false;
    for config in ["sysroot/ostree/repo/config", "sysroot/config"] {
        if let Some(text) = root.read(config, CONFIG_MAX)? {
            split_xattrs = core_mode(&text) == Some(b"bare-split-xattrs");
            break;
        }
    }
    Ok(if split_xattrs && in_container {
        TreeKind::OstreeContainer
    } else if booted {
        TreeKind::OstreeHost
    } else if !marked && root.is_host() && root.is_dir("run/systemd/system")? {
        // sd_booted(3) would succeed, and there is no container marker, so this is a running machine.
        TreeKind::RunningSystem
    } else {
        TreeKind::Container
    })
}

/// Returns the value of `mode` in the group `[core]`.
fn core_mode(text: &[u8]) -> Option<&[u8]> {
    let mut in_core = false;
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.starts_with(b"[") {
            in_core = line == b"[core]";
        } else if in_core && let Some(at) = line.iter().position(|byte| *byte == b'=') {
            let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
            if key == b"mode" {
                return Some(value);
            }
        }
    }
    None
}

/// Returns `ostree container commit`, which empties `/run`, `/tmp`, `/var/tmp` and `/var/cache`, and verifies nothing.
pub fn container_commit() -> Cmd {
    Cmd::new("ostree").args(["container", "commit"])
}

/// Returns the command that locks the finalisation of the staged deployment or, without `is_locked`, unlocks it (ostree
/// 2023.8 and later).
pub fn lock_finalization(is_locked: bool) -> Cmd {
    let cmd = Cmd::new("ostree").args(["admin", "lock-finalization"]);
    if is_locked { cmd } else { cmd.arg("--unlock") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_read_from_the_section_core() {
        let split: &[u8] = b"bare-split-xattrs";
        let table: [(&[u8], Option<&[u8]>); 4] = [
            (
                b"[core]\nrepo_version=1\nmode=bare-split-xattrs\n",
                Some(split),
            ),
            (b"[core]\n mode = bare \n", Some(b"bare")),
            (b"[remote \"x\"]\nmode=bare\n", None),
            (b"\xff\xfe", None),
        ];
        for (text, mode) in table {
            assert_eq!(core_mode(text), mode);
        }
    }
}
