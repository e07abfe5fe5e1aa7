// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only access to the tree, which is a directory or, read-only, the merged layers of an image.
//!
//! Every path is relative to the root (a leading `/` is allowed) and every link is resolved inside it, so that no path
//! leads out of the root. This module does not start programs or log, and nothing in it is specific to kernels.
//!
//! Invariant: only files below the opened root are opened, changed or removed. Operations that create, replace or
//! remove an entry resolve its directory and never follow the entry itself.

mod directory;
mod error;
mod layers;
mod remove;
mod resolve;
mod tree;
mod write;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

pub use directory::OpenDir;
pub use error::{Cause, Error};
pub use layers::Layers;
pub use tree::{MAX_DEPTH, MAX_ENTRIES, Walked};

use resolve::PathResolver;

/// The result of an operation on the tree.
pub type Result<T> = std::result::Result<T, Error>;

/// A directory that is treated as `/` (the host's own, or the directory of an image), or the merged layers of an image.
///
/// Clones share one file descriptor, which stays valid if the directory is renamed.
#[derive(Clone, Debug)]
pub struct Root(Arc<OpenRoot>);

#[derive(Debug)]
struct OpenRoot {
    source: RootSource,
    /// The path of the directory, or the reference of the image.
    path: PathBuf,
}

/// The source of the files: a directory, or the merged layers of an image.
#[derive(Debug)]
enum RootSource {
    Dir { fd: OwnedFd, resolver: PathResolver },
    Layers(Box<dyn Layers>),
}

/// The type of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
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

/// The metadata of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The type.
    pub kind: FileType,
    /// The permission bits including set-id and sticky: `mode & 0o7777`.
    pub mode: u32,
    /// The length in bytes; for a link, the length of its target.
    pub size: u64,
    /// The device number of the file system.
    pub dev: u64,
    /// The inode number, unique on its device.
    pub ino: u64,
    /// The numeric owner.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// The number of hard links.
    pub nlink: u64,
    /// The modification time in seconds since 1970.
    pub mtime: i64,
    /// The device number of a device node.
    pub rdev: u64,
}

impl Root {
    /// Opens the directory that is treated as `/`. Links in the path `dir` are followed on the host.
    ///
    /// Fails if it does not exist, is not a directory, or cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, PathResolver::probe)
    }

    fn open_with(dir: &Path, choose: impl Fn(BorrowedFd<'_>) -> PathResolver) -> Result<Self> {
        let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let fail = |cause| Error::new("opening the root", &shown, Path::new("/"), cause);
        let path = dir.canonicalize().map_err(|e| fail(e.into()))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(&path, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
        let resolver = choose(fd.as_fd());
        let source = RootSource::Dir { fd, resolver };
        Ok(Self(Arc::new(OpenRoot { source, path })))
    }

    /// Returns the root's absolute path on the host, without links; for merged layers, the reference of the image.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns whether this is the `/` of the running system.
    pub fn is_host(&self) -> bool {
        self.0.path == Path::new("/")
    }

    /// Returns the root joined with `path`, for messages and for arguments of programs outside the root. The result
    /// must not be opened: links in it are not resolved inside the root.
    pub fn host_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path.join(resolve::inside(path.as_ref()))
    }

    /// Returns the metadata of `path`, following links inside the root. `None` if it does not exist, if a component is
    /// not a directory, or if a link dangles. A loop of links is an error.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Meta>> {
        let path = path.as_ref();
        let found = match self.layers() {
            Some(layers) => layers.stat(path, true),
            None => self
                .resolve(path, OFlag::O_PATH)
                .and_then(fstat)
                .map(Meta::from),
        };
        self.or_absent("looking at", path, found)
    }

    /// Returns the metadata as [`Root::stat`] does, but does not follow a link in the last component.
    pub fn lstat(&self, path: impl AsRef<Path>) -> Result<Option<Meta>> {
        let path = path.as_ref();
        if path.file_name().is_none() {
            return self.stat(path);
        }
        if let Some(layers) = self.layers() {
            return self.or_absent("looking at", path, layers.stat(path, false));
        }
        let found = self.entry(path).and_then(|(dir, name)| {
            let stat = fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            Ok(Meta::from(stat))
        });
        self.or_absent_cause("looking at", path, found)
    }

    /// Returns whether `path` leads to a regular file. Fails like [`Root::stat`].
    pub fn is_file(&self, path: impl AsRef<Path>) -> Result<bool> {
        Ok(self.stat(path)?.is_some_and(|m| m.kind == FileType::File))
    }

    /// Returns whether `path` leads to a directory. Fails like [`Root::stat`].
    pub fn is_dir(&self, path: impl AsRef<Path>) -> Result<bool> {
        Ok(self.stat(path)?.is_some_and(|m| m.kind == FileType::Dir))
    }

    /// Returns the target of the link `path`, unresolved. `None` if it does not exist or is not a link.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<Option<PathBuf>> {
        let path = path.as_ref();
        let found = match self.layers() {
            Some(layers) => layers.read_link(path).map_err(Cause::Os),
            None => self
                .entry(path)
                .and_then(|(dir, name)| Ok(readlinkat(dir, name.as_os_str())?)),
        };
        match found {
            Err(Cause::Os(Errno::EINVAL) | Cause::NoName) => Ok(None),
            found => Ok(self
                .or_absent_cause("reading the link", path, found)?
                .map(PathBuf::from)),
        }
    }

    /// Opens for reading the regular file that `path` leads to. `None` as in [`Root::stat`]. A file of another type is
    /// an error that names the type. It is not opened, since opening a FIFO can block.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<Option<File>> {
        self.open_for("opening", path.as_ref())
    }

    /// Reads the regular file that `path` leads to. If the file is longer than `limit` bytes, the error is
    /// [`Cause::TooLarge`]. Otherwise like [`Root::open_file`].
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

    /// Returns whether `a` and `b` are on one device, so that a rename from one to the other can work. Both should be
    /// directories: for a file, overlayfs can report the device of the layer. Fails if `a` or `b` does not exist.
    pub fn same_filesystem(&self, a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<bool> {
        let device = |path: &Path| {
            let stat = self.resolve(path, OFlag::O_PATH).and_then(fstat);
            stat.map(|s| s.st_dev)
                .map_err(|e| self.error("looking at the device of", path, e))
        };
        Ok(device(a.as_ref())? == device(b.as_ref())?)
    }

    /// Returns whether `path` is a mount point (a link as the last component is not followed). The root itself is a
    /// mount point; a path that does not exist is not. With neither `openat2` nor `/proc`, only a directory on another
    /// device than its parent is detected.
    pub fn is_mount_point(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let found = self
            .entry(path)
            .and_then(|(dir, name)| Ok(self.dir()?.1.is_mount(dir.as_fd(), &name)?));
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
            let wanted = FileType::File;
            Err(self.error(action, path, Cause::WrongKind { found, wanted }))
        };
        if meta.kind != FileType::File {
            return refuse(meta.kind);
        }
        if let Some(layers) = self.layers() {
            return self.or_absent_cause(action, path, layers.open(path));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let Some(fd) = self.or_absent(action, path, self.resolve(path, flags))? else {
            return Ok(None);
        };
        // The file can have been replaced since the call of `stat`.
        let now = Meta::from(fstat(&fd).map_err(|e| self.error(action, path, e))?);
        if now.kind != FileType::File {
            return refuse(now.kind);
        }
        Ok(Some(File::from(fd)))
    }

    /// Opens the directory that `path` leads to, for opening many files in it. `None` as in [`Root::stat`], or if
    /// `path` leads to something else.
    pub fn open_directory(&self, path: impl Into<PathBuf>) -> Result<Option<OpenDir>> {
        let path = path.into();
        let fd = if self.is_image() {
            match self.stat(&path)? {
                Some(meta) if meta.kind == FileType::Dir => None,
                _ => return Ok(None),
            }
        } else {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
            match self.or_absent("opening", &path, self.resolve(&path, flags))? {
                Some(fd) => Some(fd),
                None => return Ok(None),
            }
        };
        Ok(Some(OpenDir {
            root: self.clone(),
            path,
            fd,
        }))
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> std::result::Result<OwnedFd, Errno> {
        let (fd, resolver) = self.dir()?;
        resolver.open(fd, path, flags)
    }

    /// Returns the opened root directory and its resolver. For the layers of an image, fails with `EROFS`: operations
    /// that call this function need a directory on disk.
    fn dir(&self) -> std::result::Result<(BorrowedFd<'_>, PathResolver), Errno> {
        match &self.0.source {
            RootSource::Dir { fd, resolver } => Ok((fd.as_fd(), *resolver)),
            RootSource::Layers(_) => Err(Errno::EROFS),
        }
    }

    /// Opens the parent directory of `path`. Returns it with the last component of `path`, for operations on the entry
    /// itself.
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

impl FileType {
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

impl fmt::Display for FileType {
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
            kind: FileType::from_mode(stat.st_mode),
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
