// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the origins of the files in an initramfs.

use std::io::{self, Write};

use serde::Serialize;

use super::json::Name;
use super::name::Shown;
use crate::initramfs::{Comparison, EntryType, Facts, Inventory, Node, Origin};

/// Files that dracut, or a program that it runs, writes into an initramfs. A path that ends with `/` or `-` is a
/// prefix.
const GENERATED: [&str; 20] = [
    "early_cpio",
    "etc/cmdline.d/",
    "etc/conf.d/systemd.conf",
    "etc/fstab.empty",
    "etc/group",
    "etc/gshadow",
    "etc/hostname",
    "etc/initrd-release",
    "etc/ld.so.cache",
    "etc/machine-id",
    "etc/passwd",
    "etc/shadow",
    "kernel/firmware/acpi/",
    "kernel/x86/microcode/",
    "usr/lib/dracut/build-parameter.txt",
    "usr/lib/dracut/dracut-",
    "usr/lib/dracut/modules.txt",
    "usr/lib/dracut/need-initqueue",
    "usr/lib/initrd-release",
    "usr/lib/os-release",
];

/// The origin of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// A copy of the file with the same path in the tree. The compression of a kernel module may differ.
    Tree,
    /// A copy of a file of a dracut module.
    Dracut,
    /// Different from its counterpart in the tree or in a dracut module.
    Differs,
    /// Written by dracut or by a program that dracut runs, according to the path.
    Generated,
    /// Neither in the tree nor in dracut's modules.
    Addition,
    /// The file's counterpart in the tree cannot be read.
    Unread,
}

impl Provenance {
    fn word(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Dracut => "dracut",
            Self::Differs => "differs",
            Self::Generated => "generated",
            Self::Addition => "addition",
            Self::Unread => "unread",
        }
    }
}

/// The origin of a regular file of an initramfs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OriginEntry {
    /// The path without a leading `/`.
    #[serde(flatten)]
    pub name: Name,
    /// The origin.
    pub origin: Provenance,
    /// The counterpart of the file, if it has another path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
    /// The difference from the counterpart, or the reason why the counterpart cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Returns every regular file of the initramfs with its origin, sorted by path.
pub fn origins(inventory: &Inventory, facts: &Facts) -> Vec<OriginEntry> {
    let files = inventory
        .nodes()
        .filter(|(_, node)| node.kind == EntryType::File);
    let entry = |(path, node)| {
        let (origin, source, detail) = origin(inventory, facts, path, node);
        let (name, source) = (Name::new(path), source.map(Name::new));
        OriginEntry {
            name,
            origin,
            source,
            detail,
        }
    };
    files.map(entry).collect()
}

type Found<'a> = (Provenance, Option<&'a [u8]>, Option<String>);

fn origin<'a>(inventory: &Inventory, facts: &'a Facts, path: &[u8], node: &Node) -> Found<'a> {
    if let Some((_, comparison)) = facts.module(inventory, node) {
        return match comparison {
            Comparison::Same
            | Comparison::Differs {
                maybe_same: true, ..
            } => (Provenance::Tree, None, None),
            Comparison::NotOnDisk | Comparison::Alone(_) => (Provenance::Addition, None, None),
            Comparison::Unread(why) => (Provenance::Unread, None, Some(why.clone())),
            Comparison::Differs { .. } => {
                (Provenance::Differs, None, Some("other bytes".to_owned()))
            }
        };
    }
    match facts.origin(inventory, node) {
        Some(Origin::Copy(source)) => match source.path.as_deref() {
            None => (Provenance::Tree, None, None),
            path => (Provenance::Dracut, path, None),
        },
        _ if is_generated(path) => (Provenance::Generated, None, None),
        Some(Origin::Differs(source, difference)) => {
            let source = source.path.as_deref();
            (Provenance::Differs, source, Some(difference.to_string()))
        }
        Some(Origin::Unread(why)) => (Provenance::Unread, None, Some(why.clone())),
        Some(Origin::Unknown) | None => (Provenance::Addition, None, None),
    }
}

fn is_generated(path: &[u8]) -> bool {
    let list = path
        .strip_prefix(b"usr/lib/modules/")
        .or_else(|| path.strip_prefix(b"lib/modules/"));
    let list = list.and_then(|it| it.splitn(2, |&byte| byte == b'/').nth(1));
    if list.is_some_and(|name| name.starts_with(b"modules.")) {
        return true;
    }
    GENERATED.iter().any(|known| {
        let rest = path.strip_prefix(known.as_bytes());
        // `etc/passwd-` is a backup that the programs of shadow-utils write.
        rest.is_some_and(|rest| rest.is_empty() || rest == b"-" || known.ends_with(['/', '-']))
    })
}

/// Writes a line for each regular file: its origin, its path, the path of its source if that is another path, and the
/// difference or error if there is one.
///
/// # Errors
/// Those of `out`.
pub fn write_origins(inventory: &Inventory, facts: &Facts, out: &mut dyn Write) -> io::Result<()> {
    for (path, node) in inventory
        .nodes()
        .filter(|(_, node)| node.kind == EntryType::File)
    {
        let (origin, source, detail) = origin(inventory, facts, path, node);
        write!(out, "{:<9}  {}", origin.word(), Shown(path))?;
        if let Some(source) = source {
            write!(out, " <- {}", Shown(source))?;
        }
        match detail {
            Some(detail) => writeln!(out, ": {detail}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_have_known_paths() {
        for path in [
            "etc/passwd",
            "etc/passwd-",
            "etc/cmdline.d/20-x.conf",
            "lib/modules/6.1/modules.dep.bin",
        ] {
            assert!(is_generated(path.as_bytes()), "{path}");
        }
        for path in [
            "etc/passwd.d/x",
            "usr/bin/etc/passwd",
            "lib/modules/6.1/x/modules.ko",
        ] {
            assert!(!is_generated(path.as_bytes()), "{path}");
        }
    }
}
