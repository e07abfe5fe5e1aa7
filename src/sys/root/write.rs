// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes to the tree.
//!
//! A new file or directory gets exactly the requested mode, independent of the umask, and at no time a wider mode.
//! [`Root::write`] replaces a file atomically: the new file is written next to the old one, synced and renamed.
//! Operations that create or replace an entry do not follow a link as the last component: they replace or refuse it.
//! Only [`Root::create_dir_all`] accepts a link to a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, symlinkat, unlinkat};
use sha2::{Digest, Sha256};

use super::tree::subdir;
use super::{Cause, FileType, Meta, Result, Root};

/// The prefix of the temporary files of [`Root::write`]. A killed run can leave them.
pub(super) const TEMP_PREFIX: &str = ".ostree-kernel-";

/// The suffix of the temporary files of [`Root::write`].
pub(super) const TEMP_SUFFIX: &str = ".tmp";

/// Bytes per read of [`Root::copy_in`].
const COPY_BUFFER: usize = 128 * 1024;

impl Root {
    /// Creates the file `path` for reading and writing, with exactly `mode`. Its directory must exist. An existing
    /// entry, even a link, is an error (`EEXIST`).
    pub fn create_file(&self, path: impl AsRef<Path>, mode: u32) -> Result<File> {
        let path = path.as_ref();
        let made = self
            .entry(path)
            .and_then(|(dir, name)| create(dir.as_fd(), &name, mode));
        made.map_err(|cause| self.error("creating", path, cause))
    }

    /// Opens the existing regular file `path` for appending. A link as the last component is not followed.
    pub fn append_to(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let opened = self.entry(path).and_then(|(dir, name)| {
            // O_NONBLOCK: a FIFO without a reader must not block.
            let flags = OFlag::O_WRONLY
                | OFlag::O_APPEND
                | OFlag::O_NOFOLLOW
                | OFlag::O_NONBLOCK
                | OFlag::O_NOCTTY
                | OFlag::O_CLOEXEC;
            let fd = openat(dir, name.as_os_str(), flags, Mode::empty())?;
            match Meta::from(fstat(&fd)?).kind {
                FileType::File => Ok(File::from(fd)),
                found => {
                    let wanted = FileType::File;
                    Err(Cause::WrongKind { found, wanted })
                }
            }
        });
        opened.map_err(|cause| self.error("appending to", path, cause))
    }

    /// Writes the file `path` with exactly `mode`, and syncs it. An existing file or link is replaced atomically, and
    /// is unchanged if writing or renaming fails.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
        let path = path.as_ref();
        let done = self.entry(path).and_then(|(dir, name)| {
            let (temp, mut file) = create_temp(dir.as_fd(), mode)?;
            let temp = Path::new(&temp);
            let replaced = (|| {
                file.write_all(bytes)?;
                restore_mode(&file, mode)?;
                file.sync_all()?;
                renameat(&dir, temp, &dir, name.as_os_str())?;
                Ok(())
            })();
            if replaced.is_err() {
                // The first error is returned, and an error of this removal is ignored.
                let _ = unlinkat(&dir, temp, UnlinkatFlags::NoRemoveDir);
            }
            replaced.and_then(|()| sync_directory(dir.as_fd()))
        });
        done.map_err(|cause| self.error("writing", path, cause))
    }

    /// Creates the file `path` like [`Root::create_file`] and copies the bytes of `reader` into it. More than `limit`
    /// bytes are an error ([`Cause::TooLarge`]). Returns the number of bytes and their SHA-256. If copying fails, the
    /// new file is removed. The file is not synced: see [`Root::sync_file`].
    pub fn copy_in(
        &self,
        reader: &mut dyn Read,
        path: impl AsRef<Path>,
        mode: u32,
        limit: u64,
    ) -> Result<(u64, [u8; 32])> {
        let path = path.as_ref();
        let done = self.entry(path).and_then(|(dir, name)| {
            let file = create(dir.as_fd(), &name, mode)?;
            let copied = pour(reader, &file, limit);
            let copied = copied.and_then(|copied| {
                restore_mode(&file, mode)?;
                Ok(copied)
            });
            if copied.is_err() {
                // The first error is returned, and an error of this removal is ignored.
                let _ = unlinkat(&dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
            }
            copied
        });
        done.map_err(|cause| self.error("copying into", path, cause))
    }

    /// Replaces the file `path` with the bytes of `reader`, at most `limit`. The mode is kept; a file that did not
    /// exist gets 0644. The bytes are copied to the file `.NAME.ostree-kernel` in the same directory, which is then
    /// renamed to `path`. Such a file from a killed run is removed first. The file is not synced: see
    /// [`Root::sync_file`].
    pub fn replace(&self, reader: &mut dyn Read, path: impl AsRef<Path>, limit: u64) -> Result<()> {
        let path = path.as_ref();
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".ostree-kernel");
        let new = path.with_file_name(name);
        let mode = self.stat(path)?.map_or(0o644, |meta| meta.mode);
        self.remove_file(&new)?;
        self.copy_in(reader, &new, mode, limit)?;
        self.rename(&new, path)
    }

    /// Renames the entry `from` to `to`, replacing an existing entry. Links as the last components are not followed.
    /// The directories are not synced: see [`Root::sync_dir`].
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (from_dir, from_name) = self
            .entry(from)
            .map_err(|cause| self.error("renaming", from, cause))?;
        let done = self.entry(to).and_then(|(to_dir, to_name)| {
            let (old, new) = (from_name.as_os_str(), to_name.as_os_str());
            Ok(renameat(from_dir, old, to_dir, new)?)
        });
        done.map_err(|cause| self.error("renaming a file to", to, cause))
    }

    /// Creates the directory `path` with its parents. New directories get exactly `mode`; existing ones keep their
    /// modes. Fails if a component exists and is not a directory, for example a dangling link.
    pub fn create_dir_all(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let mut at = PathBuf::new();
        for part in super::resolve::inside(path.as_ref()).components() {
            at.push(part);
            match self.stat(&at)?.map(|meta| meta.kind) {
                Some(FileType::Dir) => {}
                Some(found) => {
                    let wanted = FileType::Dir;
                    let cause = Cause::WrongKind { found, wanted };
                    return Err(self.error("creating the directory", &at, cause));
                }
                None => self
                    .entry(&at)
                    .and_then(|(dir, name)| create_dir(dir.as_fd(), &name, mode))
                    .map_err(|cause| self.error("creating the directory", &at, cause))?,
            }
        }
        Ok(())
    }

    /// Sets the permission bits of the file or directory that `path` leads to, which must be readable. Fails if nothing
    /// is there, or something of another type.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = path.as_ref();
        let fd = self.open_present("setting the mode of", path)?;
        fchmod(fd, bits(mode)).map_err(|e| self.error("setting the mode of", path, e))
    }

    /// Syncs the contents and the mode of the file `path` to the disk.
    pub fn sync_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fd = self.open_present("syncing", path)?;
        fsync(fd).map_err(|e| self.error("syncing", path, e))
    }

    /// Syncs the names in the directory `path` to the disk.
    pub fn sync_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let done = self.resolve(path, flags).map_err(Cause::Os);
        done.and_then(|fd| sync_directory(fd.as_fd()))
            .map_err(|cause| self.error("syncing", path, cause))
    }

    /// Creates the link `path` with the target `target`. An existing entry is an error.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let done = self
            .entry(path)
            .and_then(|(dir, name)| Ok(symlinkat(target.as_ref(), dir, name.as_os_str())?));
        done.map_err(|cause| self.error("creating the link", path, cause))
    }

    /// Opens the file or directory that `path` leads to. Unlike in [`Root::open_file`], a missing file is an error.
    fn open_present(&self, action: &'static str, path: &Path) -> Result<OwnedFd> {
        let fail = |cause: Cause| self.error(action, path, cause);
        match self.stat(path)?.map(|meta| meta.kind) {
            None => Err(fail(Errno::ENOENT.into())),
            Some(FileType::File | FileType::Dir) => {
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                self.resolve(path, flags).map_err(|e| fail(e.into()))
            }
            Some(found) => {
                let wanted = FileType::File;
                Err(fail(Cause::WrongKind { found, wanted }))
            }
        }
    }
}

/// Creates a file. Before its mode is set, it has `mode` without the bits of the umask.
fn create(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> std::result::Result<File, Cause> {
    let flags =
        OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = openat(dir, name, flags, bits(mode & 0o777))?;
    fchmod(&fd, bits(mode))?;
    Ok(File::from(fd))
}

/// Creates a file under a name that is unique in this process. A file of that name from a killed run is removed first.
fn create_temp(dir: BorrowedFd<'_>, mode: u32) -> std::result::Result<(String, File), Cause> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{TEMP_PREFIX}{}-{count}{TEMP_SUFFIX}", process::id());
    match unlinkat(dir, name.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let file = create(dir, OsStr::new(&name), mode)?;
    Ok((name, file))
}

/// Sets the set-id bits again, which a write by an unprivileged process clears.
fn restore_mode(file: &File, mode: u32) -> std::result::Result<(), Cause> {
    if mode & 0o6000 != 0 {
        fchmod(file, bits(mode))?;
    }
    Ok(())
}

fn create_dir(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> std::result::Result<(), Cause> {
    mkdirat(dir, name, bits(mode & 0o777))?;
    Ok(fchmod(subdir(dir, name)?, bits(mode))?)
}

fn pour(
    reader: &mut dyn Read,
    mut file: &File,
    limit: u64,
) -> std::result::Result<(u64, [u8; 32]), Cause> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; COPY_BUFFER];
    let mut total = 0;
    loop {
        let read = match reader.read(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((total, hash.finalize().into()));
        }
        total += read as u64;
        if total > limit {
            return Err(Cause::TooLarge { limit });
        }
        let bytes = &buffer[..read];
        hash.update(bytes);
        file.write_all(bytes)?;
    }
}

/// Syncs a directory. `dir` can also be an `O_PATH` descriptor.
fn sync_directory(dir: BorrowedFd<'_>) -> std::result::Result<(), Cause> {
    match fsync(subdir(dir, OsStr::new("."))?) {
        // The file system does not support fsync for directories.
        Err(Errno::EINVAL) => Ok(()),
        done => Ok(done?),
    }
}

fn bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode)
}
