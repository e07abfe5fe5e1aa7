// SPDX-License-Identifier: MIT OR Apache-2.0
//! An opened directory, for opening many files in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};

use super::{Cause, FileType, Meta, Result, Root};

/// An opened directory of a root.
#[derive(Debug)]
pub struct OpenDir {
    pub(super) root: Root,
    pub(super) path: PathBuf,
    /// `None` in the layers of an image.
    pub(super) fd: Option<OwnedFd>,
}

impl OpenDir {
    /// Returns the first bytes of the file `name` in this directory, at most `count`; `None` as in [`Root::stat`].
    pub fn head(&self, name: &OsStr, count: usize) -> Result<Option<Vec<u8>>> {
        const READING: &str = "reading";
        if let Some(layers) = self.root.layers() {
            let path = self.path.join(name);
            return self
                .root
                .or_absent_cause(READING, &path, layers.head(&path, count));
        }
        let Some((file, _)) = self.open_file(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(count as u64).read_to_end(&mut bytes);
        read.map_err(|error| self.root.error(READING, &self.path.join(name), error))?;
        Ok(Some(bytes))
    }

    /// Opens the file `name` in this directory like [`Root::open_file`], and returns it with its metadata.
    pub fn open_file(&self, name: &OsStr) -> Result<Option<(File, Meta)>> {
        const OPENING: &str = "opening";
        let path = || self.path.join(name);
        let fail = |errno: Errno| self.root.error(OPENING, &path(), errno);
        let Some(dir) = &self.fd else {
            let Some(meta) = self.root.stat(path())? else {
                return Ok(None);
            };
            let file = self.root.open_file(path())?;
            return Ok(file.map(|file| (file, meta)));
        };
        let found = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Meta::from(stat).kind,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(fail(errno)),
        };
        if found != FileType::File {
            let Some(file) = self.root.open_file(path())? else {
                return Ok(None);
            };
            let meta = fstat(&file).map_err(fail)?.into();
            return Ok(Some((file, meta)));
        }
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let fd = openat(dir, name, flags, Mode::empty()).map_err(fail)?;
        let now = Meta::from(fstat(&fd).map_err(fail)?);
        match now.kind {
            FileType::File => Ok(Some((File::from(fd), now))),
            found => {
                let wanted = FileType::File;
                Err(self
                    .root
                    .error(OPENING, &path(), Cause::WrongKind { found, wanted }))
            }
        }
    }
}
