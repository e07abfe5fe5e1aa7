// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the names in an initramfs as `ls -l` does, and its kernel modules.
//!
//! The listing shows the unpacked files: only the last copy of a path, and each hard link with the size of its file.

use std::io::{self, Write};

use serde::Serialize;

use super::json::Name;
use super::name::Shown;
use super::text;
use crate::initramfs::{EntryType, Inventory, Node};
use crate::kernel::modules::ModuleName;

/// A name of the unpacked initramfs (`--files`).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileEntry {
    /// The path without a leading `/`; empty for the root itself.
    #[serde(flatten)]
    pub name: Name,
    /// The type.
    pub kind: EntryType,
    /// The permission bits in octal: `0755`.
    pub mode: String,
    /// The user ID of the owner.
    pub uid: u32,
    /// The group ID.
    pub gid: u32,
    /// The number of links, from the archive.
    pub nlink: u32,
    /// Size in bytes; for a symbolic link, the length of its target; 0 for other types except files.
    pub size: u64,
    /// The time of the last change of the content, in seconds since 1970.
    pub mtime: u32,
    /// The target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// The major and minor number of a device node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<[u32; 2]>,
    /// The number of the segment that contains the entry, from 0.
    pub segment: u32,
}

/// A kernel module of the initramfs (`--modules`).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModuleEntry {
    /// Its name, as `lsmod` shows it.
    pub module: String,
    /// Its path.
    #[serde(flatten)]
    pub name: Name,
    /// Bytes of the file in the initramfs, which can be compressed.
    pub size: u64,
}

/// Returns the size in bytes of a file's content, or of a symbolic link's target; 0 for other types.
pub(super) fn size(inventory: &Inventory, node: &Node) -> u64 {
    match inventory.content(node) {
        Some(content) => content.size.into(),
        None => node.target.len() as u64,
    }
}

fn is_device(node: &Node) -> bool {
    matches!(node.kind, EntryType::CharDevice | EntryType::BlockDevice)
}

/// Returns the word for a type of file.
pub(super) fn word(kind: EntryType) -> &'static str {
    match kind {
        EntryType::File => "file",
        EntryType::Directory => "directory",
        EntryType::Symlink => "symlink",
        EntryType::CharDevice => "char-device",
        EntryType::BlockDevice => "block-device",
        EntryType::Fifo => "fifo",
        EntryType::Socket => "socket",
        EntryType::Unknown => "unknown",
    }
}

/// Returns every name in the initramfs for the JSON output, sorted by bytes.
pub fn files(inventory: &Inventory) -> Vec<FileEntry> {
    let entry = |(path, node): (&[u8], &Node)| FileEntry {
        name: Name::new(path),
        kind: node.kind,
        mode: format!("{:04o}", node.mode & 0o7777),
        uid: node.uid,
        gid: node.gid,
        nlink: node.nlink,
        size: size(inventory, node),
        mtime: node.mtime,
        target: (node.kind == EntryType::Symlink).then(|| Name::new(&node.target)),
        device: is_device(node).then_some([node.rdev.major, node.rdev.minor]),
        segment: node.segment,
    };
    inventory.nodes().map(entry).collect()
}

/// Returns every kernel module for the JSON output, sorted by path. Modules in a separate directory `lib/modules` come
/// last.
pub fn modules(inventory: &Inventory) -> Vec<ModuleEntry> {
    let paths = inventory.kernel_modules().into_iter();
    paths
        .filter_map(|path| {
            Some(ModuleEntry {
                module: ModuleName::of_path(path)?.to_string(),
                name: Name::new(path),
                size: size(inventory, inventory.node(path)?),
            })
        })
        .collect()
}

/// Writes a line per name: mode, links, owner, group, size or device, time (UTC), path, and the target of a symbolic
/// link.
///
/// # Errors
/// Those of `out`.
pub fn write_files(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    inventory
        .nodes()
        .try_for_each(|(path, node)| write_line(inventory, path, node, out))
}

fn write_line(
    inventory: &Inventory,
    path: &[u8],
    node: &Node,
    out: &mut dyn Write,
) -> io::Result<()> {
    let owner = |id: u32| match id {
        0 => "root".to_owned(),
        id => id.to_string(),
    };
    let size = if is_device(node) {
        format!("{:3}, {:3}", node.rdev.major, node.rdev.minor)
    } else {
        size(inventory, node).to_string()
    };
    let path = if path.is_empty() { b"." } else { path };
    write!(
        out,
        "{} {:3} {:<8} {:<8} {size:>10} {} {}",
        text::mode(node.kind, node.mode),
        node.nlink,
        owner(node.uid),
        owner(node.gid),
        text::date(node.mtime),
        Shown(path),
    )?;
    if node.kind == EntryType::Symlink {
        write!(out, " -> {}", Shown(&node.target))?;
    }
    writeln!(out)
}

/// Writes a line per kernel module: size in bytes, name, path.
///
/// # Errors
/// Those of `out`.
pub fn write_modules(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    for path in inventory.kernel_modules() {
        let (Some(module), Some(node)) = (ModuleName::of_path(path), inventory.node(path)) else {
            continue;
        };
        let size = size(inventory, node);
        let module = module.to_string();
        writeln!(out, "{size:>10}  {module:<24} {}", Shown(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::{TestEntry, archive, dir, file, hard, item, link};
    use crate::inspect::testing::inventory;

    fn shown(items: &[TestEntry]) -> String {
        let mut out = Vec::new();
        write_files(&inventory(&archive(items)), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_those_of_ls() {
        let mut device = item("dev/console", 0o020_600, b"");
        device.rdev = (5, 1);
        let mut odd = file("lat?\x1b[31m", b"12345");
        odd.name[3] = 0xe9;
        let items = [
            dir("."),
            dir("dev"),
            device,
            link("bin", "usr/bin"),
            link("odd", "a\x1bb"),
            hard("one", 7, b""),
            hard("two", 7, b"0123456789"),
            odd,
        ];
        let expected = "\
drwxr-xr-x   1 root     root              0 1970-01-01 00:00 .
lrwxrwxrwx   1 root     root              7 1970-01-01 00:00 bin -> usr/bin
drwxr-xr-x   1 root     root              0 1970-01-01 00:00 dev
crw-------   1 root     root         5,   1 1970-01-01 00:00 dev/console
-rw-r--r--   1 root     root              5 1970-01-01 00:00 $'lat\\xe9\\x1b[31m'
lrwxrwxrwx   1 root     root              3 1970-01-01 00:00 odd -> $'a\\x1bb'
-rw-r--r--   2 root     root             10 1970-01-01 00:00 one
-rw-r--r--   2 root     root             10 1970-01-01 00:00 two
";
        assert_eq!(shown(&items), expected);
    }

    #[test]
    fn the_last_copy_of_a_path_is_shown() {
        let items = [file("a", b"old"), file("a", b"newer")];
        let text = shown(&items);
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("    5 1970"), "{text}");
    }

    #[test]
    fn json_has_the_content_of_the_lines() {
        let mut device = item("dev/console", 0o020_600, b"");
        device.rdev = (5, 1);
        let inventory = inventory(&archive(&[dir("dev"), device, link("bin", "usr/bin")]));
        let json = serde_json::to_value(files(&inventory)).unwrap();
        assert_eq!(json[0]["target"]["path"], "usr/bin");
        assert_eq!(json[0]["size"], 7);
        assert_eq!(json[1]["mode"], "0755");
        assert_eq!(json[2]["device"], serde_json::json!([5, 1]));
        assert_eq!(json[2]["kind"], "char-device");
        assert!(json[2].get("path_hex").is_none());
    }

    #[test]
    fn modules_have_a_name_and_a_size() {
        let items = [
            dir("usr"),
            dir("usr/lib"),
            dir("usr/lib/modules"),
            dir("usr/lib/modules/6.1"),
            file("usr/lib/modules/6.1/virtio-blk.ko.xz", b"123"),
            file("usr/lib/modules/6.1/modules.dep", b"1"),
        ];
        let inventory = inventory(&archive(&items));
        let mut out = Vec::new();
        write_modules(&inventory, &mut out).unwrap();
        let expected =
            "         3  virtio_blk               usr/lib/modules/6.1/virtio-blk.ko.xz\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(modules(&inventory)[0].module, "virtio_blk");
    }
}
