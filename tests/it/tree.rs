// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content of a tree, and the differences between two trees.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use walkdir::WalkDir;

/// All entries of a tree except the directory `/stub`, which belongs to the stubs.
#[derive(PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, Node>);

#[derive(PartialEq, Eq)]
struct Node {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// The bytes of a file, or the target of a link; empty for other types.
    content: Vec<u8>,
}

impl Snapshot {
    /// Reads a tree. The time of `/run` itself is left out: temporary files may have changed it.
    pub fn read(root: &Path) -> Self {
        let listing = WalkDir::new(root)
            .min_depth(1)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.path() != root.join("stub"));
        let mut entries = BTreeMap::new();
        for entry in listing {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap();
            let meta = entry.metadata().unwrap();
            let kind = meta.file_type();
            let (kind, content) = if kind.is_dir() {
                ('d', vec![])
            } else if kind.is_symlink() {
                let target = fs_err::read_link(entry.path()).unwrap();
                ('l', target.as_os_str().as_bytes().to_vec())
            } else if kind.is_file() {
                ('f', fs_err::read(entry.path()).unwrap())
            } else {
                (if kind.is_fifo() { 'p' } else { '?' }, vec![])
            };
            let entry = Node {
                kind,
                mode: meta.mode() & 0o7777,
                owner: (meta.uid(), meta.gid()),
                mtime: if path == "run" {
                    (0, 0)
                } else {
                    (meta.mtime(), meta.mtime_nsec())
                },
                content,
            };
            entries.insert(path.to_owned(), entry);
        }
        Self(entries)
    }

    /// Returns the bytes of a regular file, if there is one at this path.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        let entry = self.0.get(path).filter(|entry| entry.kind == 'f');
        entry.map(|entry| entry.content.as_slice())
    }

    /// Returns the permission bits of an entry.
    pub fn mode(&self, path: &str) -> Option<u32> {
        self.0.get(path).map(|entry| entry.mode)
    }

    /// Returns all paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the paths at which the type, mode, owner or content differs between the two trees. Times do not count.
    pub fn differs(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for path in self.0.keys().chain(other.0.keys()) {
            let same = match (self.0.get(path), other.0.get(path)) {
                (Some(a), Some(b)) => {
                    (a.kind, a.mode, a.owner, &a.content) == (b.kind, b.mode, b.owner, &b.content)
                }
                _ => false,
            };
            if !same {
                lines.push(path.clone());
            }
        }
        lines
    }

    /// Returns the changes, one in a line: `+PATH` was added, `-PATH` removed and `~PATH` changed. The line of a
    /// directory includes all changes of the same kind below it. All changes of the rpmdb are one line,
    /// `~usr/share/rpm`. Times of directories do not count.
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for path in self.0.keys().chain(after.0.keys()) {
            let line = match (self.0.get(path), after.0.get(path)) {
                (Some(old), Some(new)) if old.is_like(new) => continue,
                (Some(_), Some(_)) => format!("~{path}"),
                (None, _) => format!("+{path}"),
                (_, None) => format!("-{path}"),
            };
            let line = if line[1..].starts_with("usr/share/rpm/") {
                "~usr/share/rpm".to_owned()
            } else {
                line
            };
            let (sign, path) = line.split_at(1);
            let is_below = |other: &String| {
                other.starts_with(sign) && path.starts_with(&format!("{}/", &other[1..]))
            };
            if !lines.contains(&line) && !lines.iter().any(is_below) {
                lines.push(line);
            }
        }
        lines.sort_by(|a, b| a[1..].cmp(&b[1..]));
        lines
    }
}

impl Node {
    fn is_like(&self, other: &Self) -> bool {
        let same_time = self.kind == 'd' || self.mtime == other.mtime;
        same_time
            && (self.kind, self.mode, self.owner, &self.content)
                == (other.kind, other.mode, other.owner, &other.content)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, entry) in &self.0 {
            let Node {
                kind,
                mode,
                owner: (uid, gid),
                mtime: (time, nanos),
                content,
            } = entry;
            writeln!(
                f,
                "{kind}{mode:04o} {uid}:{gid} {time}.{nanos:09} {:>8} {path}",
                content.len()
            )?;
        }
        Ok(())
    }
}
