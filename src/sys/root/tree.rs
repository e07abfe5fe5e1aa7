// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists directories and walks subtrees.
//!
//! Works on file descriptors only, without `/proc`, so that a link that replaces a directory meanwhile is not followed.
//! Results are sorted, since the order of readdir is arbitrary.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};

use super::{Cause, FileType, Meta, Result, Root};

/// Upper bound of entries in one directory or one walked subtree.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Upper bound of the depth of directories that are walked or removed.
pub const MAX_DEPTH: usize = 128;

/// One entry found by [`Root::walk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The path relative to the walked directory; never empty.
    pub path: PathBuf,
    /// The metadata; for a link, those of the link itself.
    pub meta: Meta,
}

impl Root {
    /// Returns the names in the directory `path` with their types (links not followed), sorted by name. Empty if the
    /// directory does not exist. `path` itself can be a link. Fails if `path` is not a directory.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<(OsString, FileType)>> {
        const LISTING: &str = "listing";
        let path = path.as_ref();
        if let Some(layers) = self.layers() {
            return match self.stat(path)? {
                None => Ok(Vec::new()),
                Some(meta) if meta.kind == FileType::Dir => {
                    let list = layers.list(path);
                    list.map_err(|errno| self.error(LISTING, path, errno))
                }
                Some(meta) => {
                    let (found, wanted) = (meta.kind, FileType::Dir);
                    Err(self.error(LISTING, path, Cause::WrongKind { found, wanted }))
                }
            };
        }
        let Some(fd) = self.open_dir(LISTING, path)? else {
            return Ok(Vec::new());
        };
        let read = Entries::read(fd).and_then(Entries::kinds);
        let mut list = read.map_err(|cause| self.error(LISTING, path, cause))?;
        list.sort();
        Ok(list)
    }

    /// Returns everything below the directory `path`, sorted by path. Links below `path` are not followed, mounts are
    /// entered (see [`Meta::dev`]). Empty if the directory does not exist.
    ///
    /// Fails with [`Cause::TooMany`] beyond [`MAX_ENTRIES`] and with [`Cause::TooDeep`] beyond
    /// [`MAX_DEPTH`].
    pub fn walk(&self, path: impl AsRef<Path>) -> Result<Vec<Walked>> {
        if let Some(layers) = self.layers() {
            return self.walk_layers(layers, path.as_ref());
        }
        let found = self.descend_from(path.as_ref(), |dir, name, _| {
            Ok(look(dir, name)?.map(|meta| (meta.kind, meta)))
        })?;
        let walked = found.into_iter().map(|(path, meta)| Walked { path, meta });
        Ok(walked.collect())
    }

    /// Returns whether the directory `path` is opaque in overlayfs, so that lower layers are not visible in it. `false`
    /// if the attribute cannot be read by this user.
    pub fn is_opaque(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let dir = self.resolve(path, flags);
        let dir = dir.map_err(|errno| self.error("looking at", path, errno))?;
        let mut value = [0; 1];
        Ok(["trusted.overlay.opaque", "user.overlay.opaque"]
            .into_iter()
            .any(|name| rustix::fs::fgetxattr(&dir, name, &mut value).is_ok() && value == *b"y"))
    }

    /// Returns the paths of all entries below `path`, each with the result of `look`.
    fn descend_from<T>(
        &self,
        path: &Path,
        look: impl Fn(&Dir, &OsStr, Option<FileType>) -> Seen<T>,
    ) -> Result<Vec<(PathBuf, T)>> {
        let mut found = Vec::new();
        if let Some(fd) = self.open_dir("walking", path)? {
            let mut at = PathBuf::new();
            descend(fd, &look, &mut at, 0, &mut found)
                .map_err(|cause| self.error("walking", &path.join(&at), cause))?;
        }
        Ok(found)
    }

    /// Returns everything below the directory `path` that is not a directory, sorted by path; otherwise like
    /// [`Root::walk`]. Entries are examined only if readdir does not return their types.
    pub fn files(&self, path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        if let Some(layers) = self.layers() {
            let found = self.walk_layers(layers, path.as_ref())?.into_iter();
            let files = found.filter(|it| it.meta.kind != FileType::Dir);
            return Ok(files.map(|it| it.path).collect());
        }
        let found = self.descend_from(path.as_ref(), |dir, name, said| {
            Ok(kind(dir, name, said)?.map(|kind| (kind, kind)))
        })?;
        let files = found.into_iter().filter(|(_, kind)| *kind != FileType::Dir);
        Ok(files.map(|(path, _)| path).collect())
    }

    /// Opens for reading the directory that `path` leads to; `None` if it does not exist.
    pub(super) fn open_dir(&self, action: &'static str, path: &Path) -> Result<Option<OwnedFd>> {
        let Some(fd) = self.or_absent(action, path, self.resolve(path, OFlag::O_PATH))? else {
            return Ok(None);
        };
        let fail = |cause: Cause| self.error(action, path, cause);
        let found = Meta::from(fstat(&fd).map_err(|e| fail(e.into()))?).kind;
        if found != FileType::Dir {
            let wanted = FileType::Dir;
            return Err(fail(Cause::WrongKind { found, wanted }));
        }
        Ok(Some(
            subdir(fd.as_fd(), OsStr::new(".")).map_err(|e| fail(e.into()))?,
        ))
    }
}

/// Opens the directory `name` in `dir` for reading; a link is not followed.
pub(super) fn subdir(dir: BorrowedFd<'_>, name: &OsStr) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// An opened directory and the names in it, in the order of readdir.
pub(super) struct Entries {
    pub(super) dir: Dir,
    pub(super) names: Vec<(OsString, Option<FileType>)>,
}

impl Entries {
    pub(super) fn read(fd: OwnedFd) -> std::result::Result<Self, Cause> {
        let mut dir = Dir::from_fd(fd)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == MAX_ENTRIES {
                return Err(Cause::TooMany { limit: MAX_ENTRIES });
            }
            let kind = entry.file_type().map(FileType::from);
            names.push((OsStr::from_bytes(name).to_os_string(), kind));
        }
        Ok(Self { dir, names })
    }

    /// Returns the names with their types, without entries that were removed meanwhile.
    fn kinds(self) -> std::result::Result<Vec<(OsString, FileType)>, Cause> {
        let mut list = Vec::with_capacity(self.names.len());
        for (name, said) in self.names {
            let kind = kind(&self.dir, &name, said)?;
            list.extend(kind.map(|kind| (name, kind)));
        }
        Ok(list)
    }
}

/// Returns the metadata of the entry `name`, not following a link; `None` if it was removed meanwhile.
fn look(dir: &Dir, name: &OsStr) -> std::result::Result<Option<Meta>, Cause> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Meta::from(stat))),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns the type of an entry: `said`, which is the type from readdir, or else the type from its metadata. `None` if
/// the entry was removed meanwhile.
fn kind(
    dir: &Dir,
    name: &OsStr,
    said: Option<FileType>,
) -> std::result::Result<Option<FileType>, Cause> {
    match said {
        Some(kind) => Ok(Some(kind)),
        None => Ok(look(dir, name)?.map(|meta| meta.kind)),
    }
}

/// The type of an entry with other facts; `None` if the entry was removed meanwhile.
type Seen<T> = std::result::Result<Option<(FileType, T)>, Cause>;

/// Adds everything below `fd` to `found`, sorted. `look` receives the type from readdir. After an error, `at` is the
/// path where the error occurred.
fn descend<T>(
    fd: OwnedFd,
    look: &impl Fn(&Dir, &OsStr, Option<FileType>) -> Seen<T>,
    at: &mut PathBuf,
    depth: usize,
    found: &mut Vec<(PathBuf, T)>,
) -> std::result::Result<(), Cause> {
    if depth > MAX_DEPTH {
        return Err(Cause::TooDeep { limit: MAX_DEPTH });
    }
    let mut entries = Entries::read(fd)?;
    entries.names.sort_unstable();
    for (name, kind) in entries.names {
        let Some((kind, seen)) = look(&entries.dir, &name, kind)? else {
            continue;
        };
        if found.len() == MAX_ENTRIES {
            return Err(Cause::TooMany { limit: MAX_ENTRIES });
        }
        at.push(&name);
        found.push((at.clone(), seen));
        if kind == FileType::Dir {
            match subdir(entries.dir.as_fd(), &name) {
                Ok(fd) => descend(fd, look, at, depth + 1, found)?,
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        at.pop();
    }
    Ok(())
}

impl From<Type> for FileType {
    fn from(kind: Type) -> Self {
        match kind {
            Type::Fifo => Self::Fifo,
            Type::CharacterDevice => Self::CharDevice,
            Type::Directory => Self::Dir,
            Type::BlockDevice => Self::BlockDevice,
            Type::File => Self::File,
            Type::Symlink => Self::Symlink,
            Type::Socket => Self::Socket,
        }
    }
}
