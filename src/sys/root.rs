// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only door to the tree.
//!
//! Every path is relative to the root (a leading `/` is tolerated) and every link is resolved
//! inside it, so that an image cannot lead us out of itself. This module must not start programs,
//! log, or know what a kernel is.
//!
//! Invariant: nothing is opened, changed or removed that does not lie below the opened root.
//! Operations that create, replace or remove an entry resolve its directory and never follow the
//! entry itself.

mod error;
mod remove;
mod resolve;
mod tree;
mod write;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

pub use error::{Cause, Error};
pub use tree::{MAX_DEPTH, MAX_ENTRIES, Walked};

use resolve::Resolver;

/// The result of an operation on the tree.
pub type Result<T> = std::result::Result<T, Error>;

/// A directory that stands for `/`: the host's own, or an image's that lies in a directory.
///
/// Clones share one file descriptor; they go on working when the directory is renamed.
#[derive(Clone, Debug)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    path: PathBuf,
    resolver: Resolver,
}

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What the filesystem knows about one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// The permission bits, with set-id and sticky: `mode & 0o7777`.
    pub mode: u32,
    /// The length in bytes; of a link, the length of its target.
    pub size: u64,
    /// The number of the device that holds it.
    pub dev: u64,
    /// The inode number, unique on its device.
    pub ino: u64,
    /// The numeric owner.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// How many names it has.
    pub nlink: u64,
    /// When its contents changed, in whole seconds since 1970.
    pub mtime: i64,
    /// The device that a device node stands for.
    pub rdev: u64,
}

impl Root {
    /// Opens the directory that will stand for `/`. Links in `dir` itself are followed as usual.
    ///
    /// Fails if it is absent, not a directory, or may not be read.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, Resolver::probe)
    }

    fn open_with(dir: &Path, choose: impl Fn(BorrowedFd<'_>) -> Resolver) -> Result<Self> {
        let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let fail = |cause| Error::new("opening the root", &shown, Path::new("/"), cause);
        let path = dir.canonicalize().map_err(|e| fail(e.into()))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(&path, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
        let resolver = choose(fd.as_fd());
        Ok(Self(Arc::new(Inner { fd, path, resolver })))
    }

    /// The root's own place on the host: absolute, with no links in it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether this is the `/` of the running system.
    pub fn is_host(&self) -> bool {
        self.0.path == Path::new("/")
    }

    /// The root joined with `path`, for messages and for arguments of programs that run outside
    /// the root. Never to be opened by us: links in it are not resolved inside the root.
    pub fn host_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path.join(resolve::inside(path.as_ref()))
    }

    /// What `path` is, links followed inside the root. `None` if it is absent, if a directory on
    /// the way is not one, or if a link dangles. A loop of links is an error.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Meta>> {
        let path = path.as_ref();
        let found = self
            .resolve(path, OFlag::O_PATH)
            .and_then(fstat)
            .map(Meta::from);
        self.or_absent("looking at", path, found)
    }

    /// As [`Root::stat`], but where the last component is a link, about the link itself.
    pub fn lstat(&self, path: impl AsRef<Path>) -> Result<Option<Meta>> {
        let path = path.as_ref();
        if path.file_name().is_none() {
            return self.stat(path);
        }
        let found = self.entry(path).and_then(|(dir, name)| {
            let stat = fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            Ok(Meta::from(stat))
        });
        self.or_absent_cause("looking at", path, found)
    }

    /// Whether `path` leads to a regular file. Fails as [`Root::stat`] does.
    pub fn is_file(&self, path: impl AsRef<Path>) -> Result<bool> {
        Ok(self.stat(path)?.is_some_and(|m| m.kind == Kind::File))
    }

    /// Whether `path` leads to a directory. Fails as [`Root::stat`] does.
    pub fn is_dir(&self, path: impl AsRef<Path>) -> Result<bool> {
        Ok(self.stat(path)?.is_some_and(|m| m.kind == Kind::Dir))
    }

    /// The target of the link `path`, as it is written there. `None` if it is absent or no link.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<Option<PathBuf>> {
        let path = path.as_ref();
        let found = self
            .entry(path)
            .and_then(|(dir, name)| Ok(readlinkat(dir, name.as_os_str())?));
        match found {
            Err(Cause::Os(Errno::EINVAL) | Cause::NoName) => Ok(None),
            found => Ok(self
                .or_absent_cause("reading the link", path, found)?
                .map(PathBuf::from)),
        }
    }

    /// Opens the regular file that `path` leads to, for reading. `None` where [`Root::stat`] says
    /// so. Anything that is not a regular file is an error that says what it is; it is not opened,
    /// so a fifo cannot hang us.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<Option<File>> {
        self.open_for("opening", path.as_ref())
    }

    /// The contents of the regular file that `path` leads to, at most `limit` bytes of it: a
    /// longer file is [`Cause::TooLarge`]. Otherwise as [`Root::open_file`].
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
        const READING: &str = "reading";
        let path = path.as_ref();
        let Some(file) = self.open_for(READING, path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| self.error(READING, path, e))?;
        if bytes.len() as u64 > limit {
            return Err(self.error(READING, path, Cause::TooLarge { limit }));
        }
        Ok(Some(bytes))
    }

    /// Whether `a` and `b` lie on one device, so that a rename between them can work. Meant for
    /// directories: overlayfs may show a file with the device of its layer. Fails if one is absent.
    pub fn same_filesystem(&self, a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<bool> {
        let device = |path: &Path| {
            let stat = self.resolve(path, OFlag::O_PATH).and_then(fstat);
            stat.map(|s| s.st_dev)
                .map_err(|e| self.error("looking at the device of", path, e))
        };
        Ok(device(a.as_ref())? == device(b.as_ref())?)
    }

    /// Whether something is mounted at `path` (the last component is not followed if a link). The
    /// root itself counts as one; an absent path does not. Where both `openat2` and
    /// `/proc` are missing, only a directory on another device than its parent is seen.
    pub fn is_mount_point(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let found = self
            .entry(path)
            .and_then(|(dir, name)| Ok(self.0.resolver.is_mount(dir.as_fd(), &name)?));
        match found {
            Err(Cause::NoName) => Ok(resolve::inside(path) == Path::new(".")),
            found => Ok(self
                .or_absent_cause("looking for a mount at", path, found)?
                .unwrap_or(false)),
        }
    }

    fn open_for(&self, action: &'static str, path: &Path) -> Result<Option<File>> {
        let Some(meta) = self.stat(path)? else {
            return Ok(None);
        };
        let refuse = |found| {
            let wanted = Kind::File;
            Err(self.error(action, path, Cause::WrongKind { found, wanted }))
        };
        if meta.kind != Kind::File {
            return refuse(meta.kind);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let Some(fd) = self.or_absent(action, path, self.resolve(path, flags))? else {
            return Ok(None);
        };
        // It may have been replaced between the look and the opening.
        let now = Meta::from(fstat(&fd).map_err(|e| self.error(action, path, e))?);
        if now.kind != Kind::File {
            return refuse(now.kind);
        }
        Ok(Some(File::from(fd)))
    }

    /// Opens the directory that `path` leads to, for opening many files in it. `None` where [`Root::stat`] says so.
    pub fn open_place(&self, path: impl Into<PathBuf>) -> Result<Option<Place>> {
        let path = path.into();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let fd = self.or_absent("opening", &path, self.resolve(&path, flags))?;
        Ok(fd.map(|fd| Place {
            root: self.clone(),
            path,
            fd,
        }))
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> std::result::Result<OwnedFd, Errno> {
        self.0.resolver.open(self.0.fd.as_fd(), path, flags)
    }

    /// The opened directory of `path` and the name in it, for operations on the entry itself.
    fn entry(&self, path: &Path) -> std::result::Result<(OwnedFd, OsString), Cause> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Cause::NoName);
        };
        let dir = self.resolve(dir, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok((dir, name.to_os_string()))
    }

    fn error(&self, action: &'static str, path: &Path, cause: impl Into<Cause>) -> Error {
        Error::new(action, path, &self.0.path, cause.into())
    }

    fn or_absent<T>(
        &self,
        action: &'static str,
        path: &Path,
        result: std::result::Result<T, Errno>,
    ) -> Result<Option<T>> {
        self.or_absent_cause(action, path, result.map_err(Cause::Os))
    }

    fn or_absent_cause<T>(
        &self,
        action: &'static str,
        path: &Path,
        result: std::result::Result<T, Cause>,
    ) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Cause::Os(Errno::ENOENT | Errno::ENOTDIR)) => Ok(None),
            Err(cause) => Err(self.error(action, path, cause)),
        }
    }
}

/// An opened directory of a root.
#[derive(Debug)]
pub struct Place {
    root: Root,
    path: PathBuf,
    fd: OwnedFd,
}

impl Place {
    /// As [`Root::open_file`] of `name` in this directory, which is not looked for again; also what the file is.
    pub fn open_file(&self, name: &OsStr) -> Result<Option<(File, Meta)>> {
        const OPENING: &str = "opening";
        let path = || self.path.join(name);
        let fail = |errno: Errno| self.root.error(OPENING, &path(), errno);
        let found = match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Meta::from(stat).kind,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(fail(errno)),
        };
        if found != Kind::File {
            let Some(file) = self.root.open_file(path())? else {
                return Ok(None);
            };
            let meta = fstat(&file).map_err(fail)?.into();
            return Ok(Some((file, meta)));
        }
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(fail)?;
        let now = Meta::from(fstat(&fd).map_err(fail)?);
        match now.kind {
            Kind::File => Ok(Some((File::from(fd), now))),
            found => {
                let wanted = Kind::File;
                Err(self
                    .root
                    .error(OPENING, &path(), Cause::WrongKind { found, wanted }))
            }
        }
    }
}

impl Kind {
    fn from_mode(mode: nix::libc::mode_t) -> Self {
        match resolve::file_type(mode) {
            SFlag::S_IFDIR => Self::Dir,
            SFlag::S_IFLNK => Self::Symlink,
            SFlag::S_IFCHR => Self::CharDevice,
            SFlag::S_IFBLK => Self::BlockDevice,
            SFlag::S_IFIFO => Self::Fifo,
            SFlag::S_IFSOCK => Self::Socket,
            _ => Self::File,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a regular file",
            Self::Dir => "a directory",
            Self::Symlink => "a symbolic link",
            Self::CharDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Fifo => "a fifo",
            Self::Socket => "a socket",
        })
    }
}

impl From<FileStat> for Meta {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the types of these fields differ between architectures"
    )]
    fn from(stat: FileStat) -> Self {
        Self {
            kind: Kind::from_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            uid: stat.st_uid,
            gid: stat.st_gid,
            nlink: stat.st_nlink as u64,
            mtime: stat.st_mtime as i64,
            rdev: stat.st_rdev as u64,
        }
    }
}
