// SPDX-License-Identifier: MIT OR Apache-2.0
//! The inventory of an image: every name, and selected data of files.
//!
//! The checks derive findings from the inventory. Invariant: of each file, the inventory keeps only the first
//! [`Content::HEAD`] bytes ([`Content::HEAD_EROFS`] for dracut's erofs image). Besides, it keeps all data of the files
//! that [`Keep`] selects, within the budget of [`Keep`].

use std::io::{self, BufRead, Read};

use sha2::{Digest, Sha256};

use super::node::Content;
use super::{Dropped, Reason, Tree};
use crate::bytes::{basename, contains};
use crate::initramfs::stream::entry::{Entry, EntryType, NameProblem, PATH_MAX, Visitor};
use crate::initramfs::stream::limits::Limits;
use crate::initramfs::stream::observed::Observed;

/// The name of the image that dracut's module squash-erofs writes.
pub(in crate::initramfs) const EROFS_ROOT: &str = "erofs-root.img";

/// The files that an [`Inventory`] keeps completely, and whether it computes digests.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Returns whether to keep a file, by its path (without links) and its size in bytes.
    pub wanted: fn(&[u8], u32) -> bool,
    /// Upper bound of a kept file (bytes). Default: 4 MiB; `modules.builtin` and units have tens of thousands of bytes.
    pub file_bytes: u32,
    /// Upper bound of all kept files together (bytes). Default: 12 MiB; those of a generic image have about 2 MiB.
    pub total_bytes: u64,
    /// Whether to compute the SHA-256 of every file. This takes longer than decoding the image.
    pub digests: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            wanted: wanted_by_checks,
            file_bytes: 4 << 20,
            total_bytes: 12 << 20,
            digests: false,
        }
    }
}

/// Returns whether the checks need all data of a file, by its path and its size in bytes.
fn wanted_by_checks(path: &[u8], size: u32) -> bool {
    /// Upper bound of a file in `etc` that is needed (bytes). It excludes `etc/udev/hwdb.bin`, which has 10 MiB.
    const ETC_MAX: u32 = 64 << 10;
    const NAMES: [&[u8]; 13] = [
        b"modules.txt",
        b"build-parameter.txt",
        b"initrd-release",
        b"os-release",
        b"modules.builtin",
        b"modules.softdep",
        b"modules.order",
        b"ld.so.conf",
        b"ld.so.cache",
        b"init",
        b"prepare-root.conf",
        b"setup-root-conf.toml",
        b"nsswitch.conf",
    ];
    const PARTS: [&[u8]; 10] = [
        b"/dracut-",
        b"/ld.so.conf.d/",
        b"/systemd/system/",
        b"/systemd/system-generators/",
        b"/systemd/system.conf.d/",
        b"/udev/rules.d/",
        b"/dracut/hooks/",
        b"/modprobe.d/",
        b"/modules-load.d/",
        b"/sysctl.d/",
    ];
    let name = basename(path);
    let is_etc = path.starts_with(b"etc/") && size <= ETC_MAX;
    is_etc || NAMES.contains(&name) || PARTS.iter().any(|part| contains(path, part))
}

/// A [`Visitor`] that records the result of unpacking an image.
#[derive(Debug)]
pub struct Inventory {
    pub(in crate::initramfs) tree: Tree,
    pub(in crate::initramfs) dropped: Vec<Dropped>,
    pub(in crate::initramfs) problems: Vec<(Vec<u8>, NameProblem)>,
    pub(in crate::initramfs) link_depth: u32,
    keep: Keep,
    kept: u64,
    /// [`Entry::offset`] of each entry, by [`Entry::index`].
    pub(super) offsets: Vec<u64>,
}

impl Inventory {
    /// Creates an inventory that keeps the files for the checks, and follows at most `limits.link_depth` links.
    pub fn new(limits: &Limits) -> Self {
        Self::keeping(limits, Keep::default())
    }

    /// Creates an inventory as [`new`](Self::new) does, but keeps the files that `keep` selects.
    pub fn keeping(limits: &Limits, keep: Keep) -> Self {
        Self {
            tree: Tree::default(),
            dropped: Vec::new(),
            problems: Vec::new(),
            link_depth: limits.link_depth,
            keep,
            kept: 0,
            offsets: Vec::new(),
        }
    }

    /// Returns a visitor that fills this inventory and passes every entry with all data to `other`, too. `other` can
    /// use [`Entry::index`] as a key: for a file that remains after unpacking, [`Content::entry`] is the index of the
    /// entry with its data.
    pub fn with<'a>(&'a mut self, other: &'a mut dyn Visitor) -> With<'a> {
        With {
            inventory: self,
            other,
        }
    }

    fn drop_entry(&mut self, entry: &Entry, reason: Reason) {
        self.dropped.push(Dropped {
            path: entry.path.clone(),
            reason,
            segment: entry.segment,
        });
    }

    /// Records `entry`, and passes it with all data to `other`.
    fn record(
        &mut self,
        entry: &Entry,
        body: &mut dyn BufRead,
        other: Option<&mut dyn Visitor>,
    ) -> io::Result<()> {
        self.offsets.push(entry.offset);
        for &problem in &entry.problems {
            self.problems.push((entry.path.clone(), problem));
        }
        let path = match self.tree.locate(entry, self.link_depth) {
            Ok(path) => path,
            Err(reason) => {
                if matches!(reason, Reason::NoParent | Reason::ParentLink) {
                    self.tree.lose(entry);
                }
                self.drop_entry(entry, reason);
                return other.map_or(Ok(()), |other| other.entry(entry, body));
            }
        };
        if entry.kind() == EntryType::Symlink {
            let mut target = Vec::new();
            body.take(PATH_MAX).read_to_end(&mut target)?;
            if let Some(other) = other {
                other.entry(entry, &mut target.as_slice())?;
            }
            // The kernel treats the target as a NUL-terminated string.
            target.truncate(
                target
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(target.len()),
            );
            if let Err(reason) = self.tree.make(path, entry, Content::default(), target) {
                self.drop_entry(entry, reason);
            }
            return Ok(());
        }
        let keep = entry.kind() == EntryType::File
            && entry.size <= self.keep.file_bytes
            && self.kept.saturating_add(entry.size.into()) <= self.keep.total_bytes
            && (self.keep.wanted)(&path, entry.size);
        let content = if self.keep.digests && entry.kind() == EntryType::File {
            let mut hasher = Sha256::new();
            let mut hashed = Observed::new(body, |bytes| hasher.update(bytes));
            let mut content = capture(entry, keep, &mut hashed, other)?;
            hashed.drain()?;
            content.sha256 = Some(hasher.finalize().into());
            content
        } else {
            capture(entry, keep, body, other)?
        };
        if let Some(data) = &content.data {
            self.kept += data.len() as u64;
        }
        if let Err(reason) = self.tree.make(path, entry, content, Vec::new()) {
            self.drop_entry(entry, reason);
        }
        Ok(())
    }
}

impl Visitor for Inventory {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        self.record(entry, body, None)
    }
}

/// An inventory with another visitor; see [`Inventory::with`].
pub struct With<'a> {
    inventory: &'a mut Inventory,
    other: &'a mut dyn Visitor,
}

impl Visitor for With<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        self.inventory.record(entry, body, Some(&mut *self.other))
    }
}

/// Returns the number of bytes to keep from the start of a file; in dracut's erofs image they include the superblock.
fn head_of(entry: &Entry) -> usize {
    if entry.path == EROFS_ROOT.as_bytes() {
        Content::HEAD_EROFS
    } else {
        Content::HEAD
    }
}

/// Returns the content of a file: its first bytes, and with `keep` all data. Passes `entry` with all data to `other`.
fn capture(
    entry: &Entry,
    keep: bool,
    body: &mut dyn BufRead,
    other: Option<&mut dyn Visitor>,
) -> io::Result<Content> {
    let head_size = head_of(entry).min(entry.size as usize);
    let mut content = Content {
        size: entry.size,
        entry: entry.index,
        ..Content::default()
    };
    let mut consumed = Vec::new();
    if keep {
        body.read_to_end(&mut consumed)?;
    } else {
        let ready = body.fill_buf()?;
        if ready.len() >= head_size {
            content.head.extend_from_slice(&ready[..head_size]);
        } else {
            (&mut *body)
                .take(head_size as u64)
                .read_to_end(&mut consumed)?;
        }
    }
    if content.head.is_empty() {
        content
            .head
            .extend_from_slice(&consumed[..head_size.min(consumed.len())]);
    }
    if let Some(other) = other {
        other.entry(entry, &mut consumed.as_slice().chain(body))?;
    }
    if keep {
        content.data = Some(consumed);
    }
    Ok(content)
}
