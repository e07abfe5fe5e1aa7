// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queries of an inventory: paths and links inside the image, kernels and their modules, files of dracut, inner images.
//!
//! Queries change nothing. Invariant: no result is outside the image, and no query follows more links than the limit.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::Dropped;
use super::inventory::{EROFS_ROOT, Inventory};
use super::node::{Content, Node};
use super::walk::{ResolveError, walk};
use crate::initramfs::stream::entry::{EntryType, NameProblem};
use crate::initramfs::stream::error::Foreign;

/// A file system image among the files of the initramfs. The files inside it are not in the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerImage {
    /// Its path.
    pub path: Vec<u8>,
    /// [`Foreign::Squashfs`] or [`Foreign::Erofs`].
    pub format: Foreign,
}

/// The file system image that dracut's `/init` mounts as the new root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootImage {
    /// Its path.
    pub path: &'static str,
    /// [`Foreign::Squashfs`] or [`Foreign::Erofs`].
    pub format: Foreign,
    /// The size of the file in bytes.
    pub size: u64,
    /// The size of the file system in bytes, according to its superblock.
    pub length: u64,
}

impl Inventory {
    /// Returns the node with exactly this path; `None` if there is none. Links are not followed.
    pub fn node(&self, path: &[u8]) -> Option<&Node> {
        self.tree.nodes.get(path)
    }

    /// Returns every path (without leading `/`, without links) with its node, sorted by bytes.
    pub fn nodes(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.tree
            .nodes
            .iter()
            .map(|(path, node)| (path.as_slice(), node))
    }

    /// Resolves `path` as a program in the initramfs would; returns the path without links and its node. Absolute and
    /// relative paths both start at the root.
    ///
    /// # Errors
    ///
    /// When a component does not exist or is not a directory, or when there are too many links or components. Also when
    /// the path leads to the root, or to a directory that the kernel creates itself, and the image has no entry for it.
    pub fn resolve(&self, path: &[u8]) -> Result<(&[u8], &Node), ResolveError> {
        self.find(path, true)
    }

    /// Resolves a path as [`resolve`](Self::resolve) does, but does not follow a link in the last component.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub fn resolve_link(&self, path: &[u8]) -> Result<(&[u8], &Node), ResolveError> {
        self.find(path, false)
    }

    fn find(&self, path: &[u8], follow: bool) -> Result<(&[u8], &Node), ResolveError> {
        let found = walk(&self.tree.nodes, path, follow, self.link_depth)?;
        match self.tree.nodes.get_key_value(&found) {
            Some((path, node)) => Ok((path.as_slice(), node)),
            None => Err(ResolveError::NotFound {
                missing: found,
                through_link: false,
            }),
        }
    }

    /// Returns the content of `node`; `None` if it is not a regular file.
    pub fn content(&self, node: &Node) -> Option<&Content> {
        self.tree.contents.get(node.content?)
    }

    /// Returns the number of bytes that a file takes in the initramfs file: from the start of its entry to the start of
    /// the next entry; 0 for the last entry. In compressed segments it is an estimate.
    pub fn packed(&self, content: &Content) -> u64 {
        let at = usize::try_from(content.entry).unwrap_or(usize::MAX);
        match (self.offsets.get(at), self.offsets.get(at.saturating_add(1))) {
            (Some(start), Some(next)) => next.saturating_sub(*start),
            _ => 0,
        }
    }

    /// Returns the whole content of the file that `path` leads to, if it was kept.
    pub fn data(&self, path: &[u8]) -> Option<&[u8]> {
        let (_, node) = self.resolve(path).ok()?;
        self.content(node)?.data.as_deref()
    }

    /// Returns the names in the directory that `path` leads to, with their nodes, sorted; empty if `path` does not lead
    /// to a directory.
    pub fn children(&self, path: &[u8]) -> Vec<(&[u8], &Node)> {
        let Ok(mut prefix) = walk(&self.tree.nodes, path, true, self.link_depth) else {
            return Vec::new();
        };
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let mut children = Vec::new();
        let mut from = Bound::Excluded(prefix.clone());
        loop {
            let mut range = self.tree.nodes.range((from, Bound::Unbounded));
            let Some((found, node)) = range.next() else {
                break;
            };
            let Some(name) = found.strip_prefix(prefix.as_slice()) else {
                break;
            };
            let length = name
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(name.len());
            if length == name.len() {
                children.push((name, node));
                from = Bound::Excluded(found.clone());
            } else {
                // `found` is below a child: continue after all paths that start with the child's name and a slash.
                let mut after = found[..prefix.len() + length].to_vec();
                after.push(b'/' + 1);
                from = Bound::Included(after);
            }
        }
        children
    }

    /// Returns the entries that the kernel ignores.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Returns the paths of entries with unusual names, once for each problem.
    pub fn name_problems(&self) -> &[(Vec<u8>, NameProblem)] {
        &self.problems
    }

    /// Returns the kvers, which are the names of the kernels' directories in `usr/lib/modules` (and in `lib/modules` if
    /// that is another directory), sorted.
    ///
    /// A directory is a kernel's if it holds modules or lists of modules (`modules.dep`, `modules.builtin` and so on).
    /// Other directories are not kernels': dracut's module `modsign` puts keys into `usr/lib/modules/keys`.
    pub fn kernel_versions(&self) -> Vec<&[u8]> {
        let mut found = BTreeSet::new();
        for mut place in self.module_places() {
            place.push(b'/');
            let range = self.tree.nodes.range(place.clone()..);
            let below = range.take_while(|(path, _)| path.starts_with(&place));
            found.extend(below.filter_map(|(path, node)| {
                let path = &path[place.len()..];
                let slash = path.iter().position(|&byte| byte == b'/')?;
                let is_list = path[slash + 1..].starts_with(b"modules.");
                let is_of_kernel = is_list || is_module(path);
                (is_of_kernel && node.kind != EntryType::Directory).then_some(&path[..slash])
            }));
        }
        found.into_iter().collect()
    }

    /// Returns the directories that `usr/lib/modules` and `lib/modules` lead to, as paths without links.
    fn module_places(&self) -> Vec<Vec<u8>> {
        let mut places = Vec::new();
        for path in [b"usr/lib/modules".as_slice(), b"lib/modules"] {
            if let Ok(place) = walk(&self.tree.nodes, path, true, self.link_depth)
                && !places.contains(&place)
            {
                places.push(place);
            }
        }
        places
    }

    /// Returns the paths (without links) of all kernel modules (`*.ko`, also compressed) below `usr/lib/modules`, and
    /// then below `lib/modules` if that is another directory; each of the two parts is sorted.
    pub fn kernel_modules(&self) -> Vec<&[u8]> {
        let mut modules = Vec::new();
        for mut place in self.module_places() {
            place.push(b'/');
            let range = self.tree.nodes.range(place.clone()..);
            let below = range.take_while(|(path, _)| path.starts_with(&place));
            modules.extend(
                below
                    .filter(|(path, node)| node.kind != EntryType::Directory && is_module(path))
                    .map(|(path, _)| path.as_slice()),
            );
        }
        modules
    }

    /// Returns the names in dracut's `modules.txt`: the dracut modules in the image, in the order of the file. `None`
    /// if the file does not exist or was not kept.
    pub fn dracut_modules(&self) -> Option<Vec<String>> {
        let text = self.dracut_file("modules.txt")?;
        Some(
            text.lines()
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Returns dracut's arguments from `build-parameter.txt`, quoted by dracut. `None` if the file does not exist or
    /// was not kept.
    pub fn dracut_arguments(&self) -> Option<String> {
        Some(self.dracut_file("build-parameter.txt")?.trim().to_owned())
    }

    /// Returns dracut's version, from the name of dracut's empty file `dracut-VERSION`; `None` without such a file.
    pub fn dracut_version(&self) -> Option<String> {
        self.dracut_places().find_map(|place| {
            let children = self.children(place);
            let mut names = children
                .iter()
                .filter(|(_, node)| node.kind == EntryType::File);
            names.find_map(|(name, _)| {
                Some(String::from_utf8_lossy(name.strip_prefix(b"dracut-")?).into_owned())
            })
        })
    }

    fn dracut_places(&self) -> impl Iterator<Item = &'static [u8]> {
        [
            b"usr/lib/dracut".as_slice(),
            b"lib/dracut",
            b"usr/lib64/dracut",
            b"lib64/dracut",
        ]
        .into_iter()
    }

    fn dracut_file(&self, name: &str) -> Option<String> {
        self.dracut_places().find_map(|place| {
            let path = [place, b"/", name.as_bytes()].concat();
            Some(String::from_utf8_lossy(self.data(&path)?).into_owned())
        })
    }

    /// Returns the file system image with most of the files, if dracut's squash modules were used. The name of a
    /// squashfs image is `squash/root.img` up to dracut 049, and `squash-root.img` up to dracut 103. An image without a
    /// valid superblock is ignored.
    pub fn root_image(&self) -> Option<RootImage> {
        const PLACES: [(&str, Foreign); 4] = [
            ("squashfs-root.img", Foreign::Squashfs),
            ("squash-root.img", Foreign::Squashfs),
            ("squash/root.img", Foreign::Squashfs),
            (EROFS_ROOT, Foreign::Erofs),
        ];
        PLACES.into_iter().find_map(|(path, format)| {
            let content = self.content(self.node(path.as_bytes())?)?;
            let length = match format {
                Foreign::Squashfs => squashfs_length(&content.head)?,
                _ => erofs_length(&content.head)?,
            };
            Some(RootImage {
                path,
                format,
                size: content.size.into(),
                length,
            })
        })
    }

    /// Returns the squashfs images among the files of the initramfs, found by magic number or by dracut's name for
    /// them, and dracut's erofs image, found by its name.
    pub fn inner_images(&self) -> Vec<InnerImage> {
        let format = |path: &[u8], node: &Node| {
            let content = self.content(node)?;
            if content.head.starts_with(b"hsqs") || path.ends_with(b"squashfs-root.img") {
                return Some(Foreign::Squashfs);
            }
            path.ends_with(b"erofs-root.img").then_some(Foreign::Erofs)
        };
        self.nodes()
            .filter_map(|(path, node)| {
                Some(InnerImage {
                    path: path.to_vec(),
                    format: format(path, node)?,
                })
            })
            .collect()
    }
}

/// Returns the size of a squashfs in bytes according to its superblock (`fs/squashfs/squashfs_fs.h`), or the
/// superblock's size if `head` ends before that field. `None` for another format.
fn squashfs_length(head: &[u8]) -> Option<u64> {
    const SUPERBLOCK: u64 = 96;
    head.strip_prefix(b"hsqs")?;
    Some(head.get(40..48).map_or(SUPERBLOCK, little_endian))
}

/// Returns the size of an erofs in bytes according to its superblock (`fs/erofs/erofs_fs.h`). `None` for another
/// format, or if the superblock is truncated or its block size is invalid.
fn erofs_length(head: &[u8]) -> Option<u64> {
    let superblock = head.get(1024..)?;
    superblock.strip_prefix(b"\xe2\xe1\xf5\xe0")?;
    let blocks = superblock.get(36..40).map(little_endian)?;
    blocks.checked_shl(superblock[12].into())
}

fn little_endian(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn is_module(path: &[u8]) -> bool {
    [b".ko".as_slice(), b".ko.xz", b".ko.zst", b".ko.gz"]
        .iter()
        .any(|end| path.ends_with(end))
}
