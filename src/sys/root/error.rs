// SPDX-License-Identifier: MIT OR Apache-2.0
//! What went wrong at the door: the action, the path as seen inside the tree, the root, the cause.
//!
//! The text is complete by itself, so the error has no `source()`: a chain printer would say the
//! cause twice. It must not suggest a remedy, because the door does not know the purpose.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Kind;

/// An operation on the tree that failed, for example
/// `reading /usr/lib/os-release in /mnt/image: Permission denied`.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}{}: {cause}", .path.display(), InRoot(.root.as_deref()))]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    root: Option<PathBuf>,
    cause: Cause,
}

/// Why an operation on the tree failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel refused a call.
    #[error("{}", .0.desc())]
    Os(Errno),
    /// Reading or writing the contents failed.
    #[error("{0}")]
    Io(io::Error),
    /// The path is there, but is not what the operation works on.
    #[error("it is {found}, not {wanted}")]
    WrongKind {
        /// What is there.
        found: Kind,
        /// What the operation works on.
        wanted: Kind,
    },
    /// The contents are longer than the caller allows.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit that was given, in bytes.
        limit: u64,
    },
    /// The directory holds more entries than [`super::MAX_ENTRIES`].
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
    /// Something is mounted there, and what is mounted is not ours to remove.
    #[error("it is a mount point")]
    MountPoint,
    /// The path ends in no name (it is the root, or ends in `..`).
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

    /// Why it failed, for callers that answer one cause differently from the others.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The path that the operation failed on, as seen inside the tree, with a leading `/`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the user who may not do this, and another one might.
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM))
    }

    /// The error number, where the operating system refused; `ENOSPC` and `EROFS` are the ones
    /// that callers explain.
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

/// Shows ` in ROOT` where the root is not the host's own.
struct InRoot<'a>(Option<&'a Path>);

impl fmt::Display for InRoot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(root) => write!(f, " in {}", root.display()),
            None => Ok(()),
        }
    }
}
