// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors of access to the tree: the action, the path inside the tree, the root, the cause.
//!
//! The text contains the cause, so there is no `source()`, which would repeat it in a chain. It does not contain a
//! remedy, because this module does not know the purpose of an operation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::FileType;

/// A failed operation on the tree, for example
/// `reading /usr/lib/os-release in /mnt/image: Permission denied`.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}{}: {cause}", .path.display(), InRoot(.root.as_deref()))]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    root: Option<PathBuf>,
    cause: Cause,
}

/// The cause of a failure.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A system call failed.
    #[error("{}", .0.desc())]
    Os(Errno),
    /// Reading or writing the contents failed, and the error has no error number.
    #[error("{0}")]
    Io(io::Error),
    /// The path has another type than the operation needs.
    #[error("it is {found}, not {wanted}")]
    WrongKind {
        /// The type of the path.
        found: FileType,
        /// The required type.
        wanted: FileType,
    },
    /// The file is longer than the caller allows.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The directory or the walked subtree has more entries than [`super::MAX_ENTRIES`].
    #[error("it holds more than {limit} entries")]
    TooMany {
        /// The limit, in entries.
        limit: usize,
    },
    /// Directories are nested deeper than [`super::MAX_DEPTH`].
    #[error("directories are nested deeper than {limit} levels")]
    TooDeep {
        /// The limit, in levels.
        limit: usize,
    },
    /// The path is a mount point, whose content must not be removed.
    #[error("it is a mount point")]
    MountPoint,
    /// The path does not end in a name: it is the root, or ends in `..`.
    #[error("the path does not end in a name")]
    NoName,
}

impl Error {
    pub(super) fn new(action: &'static str, path: &Path, root: &Path, cause: Cause) -> Self {
        let inside = path.strip_prefix("/").unwrap_or(path);
        Self {
            action,
            path: Path::new("/").join(inside),
            root: (root != Path::new("/")).then(|| root.to_path_buf()),
            cause,
        }
    }

    /// Returns the cause.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Returns the path inside the tree, with a leading `/`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether permission was denied.
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM))
    }

    /// Returns the error number of the system call that failed; `None` for another cause. Callers use the number to
    /// handle a particular error, for example `ENOTEMPTY`.
    pub fn errno(&self) -> Option<Errno> {
        match &self.cause {
            Cause::Os(errno) => Some(*errno),
            Cause::Io(error) => error.raw_os_error().map(Errno::from_raw),
            _ => None,
        }
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(raw) => Self::Os(Errno::from_raw(raw)),
            None => Self::Io(error),
        }
    }
}

/// Formats ` in ROOT` if the root is not the host's own.
struct InRoot<'a>(Option<&'a Path>);

impl fmt::Display for InRoot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(root) => write!(f, " in {}", root.display()),
            None => Ok(()),
        }
    }
}
