// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the initramfs in one pass: computes its digest, builds its inventory and compares its files with the tree. If
//! the tree is a container image, [`equal`] has read the initramfs once before.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::mpsc::Sender;

use anyhow::{Context, Result, bail};

use super::Options;
use super::around::boot_files_size;
use super::equal::{self, Equal};
use crate::checks::Initramfs;
use crate::initramfs::{
    self, Bodies, Entry, EntryType, Inventory, Limits, OnDisk, OpenFile, Sample, Segment,
    SegmentKind, Visitor,
};
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::sys::digest::Digesting;
use crate::sys::root::{self, OpenDir, Root};

/// The directory of dracut and its modules.
const DRACUT: &str = "usr/lib/dracut";

/// An initramfs, and the size and digest of its file, if the file can be read.
pub(super) struct ImageRead {
    pub(super) image: Initramfs,
    /// SHA-256, if requested.
    pub(super) sha256: Option<String>,
    /// The size in bytes.
    pub(super) size: Option<u64>,
}

/// The tree's files, for the comparison with an initramfs. Keeps one directory open, since an initramfs stores files of
/// one directory together.
pub struct Disk<'r> {
    root: &'r Root,
    /// The entries of the initramfs that are known to equal the tree's files. Empty unless the tree is a container
    /// image.
    equal: Equal,
    dir: Option<(Vec<u8>, Option<OpenDir>)>,
}

impl<'r> Disk<'r> {
    /// Returns the files of `root`.
    pub fn new(root: &'r Root) -> Self {
        Self {
            root,
            equal: Equal::new(),
            dir: None,
        }
    }

    /// Returns the files of `root` for the comparison with the initramfs in `file`. If `root` is an image, the files
    /// are first compared by digest.
    ///
    /// # Errors
    /// When the bytes of the image cannot be loaded.
    pub fn beside(root: &'r Root, file: &File) -> Result<Self> {
        let equal = equal::compare(root, file)?;
        let mut file = file;
        file.rewind()?;
        Ok(Self {
            equal,
            ..Self::new(root)
        })
    }

    /// Opens the directory `dir`, relative to the root.
    fn place(&mut self, dir: &[u8]) -> Result<Option<&OpenDir>, root::Error> {
        if self.dir.as_ref().is_none_or(|(last, _)| last != dir) {
            let path = Path::new(OsStr::from_bytes(dir));
            self.dir = Some((dir.to_vec(), self.root.open_directory(path)?));
        }
        Ok(self.dir.as_ref().and_then(|(_, place)| place.as_ref()))
    }
}

impl OnDisk for Disk<'_> {
    fn equal(&mut self, entry: &Entry) -> Option<u32> {
        self.equal.get(&entry.index).copied()
    }

    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>> {
        let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let (dir, name) = path.split_at(slash);
        let name = OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name));
        let place = self.place(dir).map_err(io::Error::other)?;
        let file = place.map(|place| place.open_file(name)).transpose();
        let file = file.map_err(io::Error::other)?.flatten();
        Ok(file.map(|(data, meta)| OpenFile {
            size: meta.size,
            mode: meta.mode,
            data: Box::new(data),
        }))
    }

    fn dracut_files(&mut self) -> io::Result<Vec<(Vec<u8>, u64)>> {
        let walked = self.root.walk(DRACUT).map_err(io::Error::other)?;
        let files = walked
            .into_iter()
            .filter(|it| it.meta.kind == root::FileType::File);
        let files = files.map(|it| {
            let path = Path::new(DRACUT).join(it.path);
            (path.into_os_string().into_vec(), it.meta.size)
        });
        Ok(files.collect())
    }
}

/// A visitor that drops the sender `comparing` at the first regular file that follows a kernel module and is not one.
/// An initramfs stores all kernel modules together.
struct ModulesDone<'v> {
    visitor: &'v mut dyn Visitor,
    comparing: Option<Sender<Infallible>>,
    has_modules: bool,
}

impl Visitor for ModulesDone<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        let is_module = ModuleName::is_of_path(&entry.path);
        self.has_modules |= is_module;
        if self.has_modules && !is_module && entry.kind() == EntryType::File {
            self.comparing = None;
        }
        self.visitor.entry(entry, body)
    }
}

impl From<Initramfs> for ImageRead {
    /// Wraps an initramfs whose file is missing or cannot be read.
    fn from(image: Initramfs) -> Self {
        Self {
            image,
            sha256: None,
            size: None,
        }
    }
}

/// Reads the initramfs at `path` to its end and compares its files with the tree's. The sender `comparing` is dropped
/// once the kernel modules have been compared.
pub(super) fn of_tree(
    root: &Root,
    kver: &Kver,
    path: &str,
    options: &Options,
    comparing: Sender<Infallible>,
) -> Result<ImageRead> {
    let file = match root.open_file(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Initramfs::Missing.into()),
        Err(error) if error.is_denied() => return Ok(Initramfs::Closed(super::why(&error)).into()),
        Err(error) => return Ok(Initramfs::Unreadable(error.to_string()).into()),
    };
    let mut disk =
        Disk::beside(root, &file).with_context(|| format!("comparing /{path} with the tree"))?;
    let overlays = appended(&file, &options.overlays)?;
    let sampled = is_sampled(root, kver, path, options)?;
    let beside = (&mut disk as &mut dyn OnDisk, comparing);
    read(file, overlays, Some(beside), options.digests, sampled)
        .with_context(|| format!("reading /{path}"))
}

/// Returns whether the finding about the size of the initramfs needs its size in another compression.
fn is_sampled(root: &Root, kver: &Kver, path: &str, options: &Options) -> Result<bool> {
    let budget = &options.wanted.budget;
    if budget.is_empty() {
        return Ok(false);
    }
    let size = root.lstat(path)?.map_or(0, |it| it.size);
    let beside = boot_files_size(root, kver)?;
    Ok(budget.is_exceeded(size, beside))
}

/// Returns the bytes of the overlays, as they follow the initramfs in memory: zeros before each overlay align it to
/// four bytes.
fn appended(file: &File, overlays: &[File]) -> Result<Box<dyn Read + Send>> {
    let mut all: Box<dyn Read + Send> = Box::new(io::empty());
    let mut size = file.metadata()?.len();
    for overlay in overlays {
        let padding = size.next_multiple_of(4) - size;
        size = overlay.metadata()?.len();
        let overlay = io::repeat(0).take(padding).chain(overlay.try_clone()?);
        all = Box::new(all.chain(overlay));
    }
    Ok(all)
}

/// Opens a file of the user, outside a tree.
///
/// # Errors
/// When the file does not exist, cannot be opened, or is not a regular file: opening a FIFO can block forever.
pub fn open(path: &Path) -> Result<File> {
    if fs_err::metadata(path).is_ok_and(|it| !it.is_file()) {
        bail!("opening {}: it is not a regular file", path.display());
    }
    Ok(fs_err::File::open(path)?.into_file())
}

/// Reads an initramfs file outside a tree.
pub(super) fn alone(path: &Path, digest: bool) -> Result<ImageRead> {
    let file = open(path).context("opening the initramfs")?;
    read(file, io::empty(), None, digest, false)
        .with_context(|| format!("reading {}", path.display()))
}

/// The tree's files, and the sender to drop after the modules are compared.
type Beside<'r> = (&'r mut dyn OnDisk, Sender<Infallible>);

fn read(
    file: File,
    appended: impl Read + Send,
    disk: Option<Beside>,
    digest: bool,
    sampled: bool,
) -> Result<ImageRead> {
    let size = file.metadata()?.len();
    let sampled = sampled.then_some(size);
    if !digest {
        return Ok(ImageRead {
            size: Some(size),
            ..parse(file.chain(appended), disk, sampled).into()
        });
    }
    let mut input = Digesting::new(file);
    let image = parse((&mut input).chain(appended), disk, sampled);
    // Reads the rest, so that an initramfs that cannot be parsed to its end has a digest, too.
    let (sha256, size) = input.finish()?;
    Ok(ImageRead {
        image,
        sha256: Some(sha256),
        size: Some(size),
    })
}

/// Parses an initramfs. `sampled` is the size of its file, if the file's size in another compression is to be
/// estimated.
fn parse(input: impl Read + Send, disk: Option<Beside>, sampled: Option<u64>) -> Initramfs {
    let (disk, comparing) = disk.unzip();
    let limits = Limits::default();
    let mut inventory = Inventory::new(&limits);
    let mut bodies = Bodies::new(disk);
    let mut watched = ModulesDone {
        visitor: &mut inventory.with(&mut bodies),
        comparing,
        has_modules: false,
    };
    let mut zstd = None;
    let read = match sampled {
        None => initramfs::read(input, &limits, &mut watched),
        Some(size) => {
            let mut sample = Sample::new(size.saturating_mul(USUAL_RATIO), &mut watched);
            let read = initramfs::read(input, &limits, &mut sample);
            zstd = read.as_ref().ok().and_then(|it| with_zstd(it, sample));
            read
        }
    };
    match read {
        Ok(segments) => {
            let mut facts = Box::new(bodies.take_facts());
            facts.zstd = zstd;
            Initramfs::Read {
                inventory: Box::new(inventory),
                segments,
                facts,
            }
        }
        Err(error) => Initramfs::Unreadable(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// The approximate number of unpacked bytes for each byte of an initramfs.
const USUAL_RATIO: u64 = 3;

/// Returns the estimated size of the file if `zstd -19` compresses its main segment.
fn with_zstd(segments: &[Segment], sample: Sample) -> Option<u64> {
    let (main, others): (Vec<&Segment>, Vec<&Segment>) =
        segments.iter().partition(|it| it.kind == SegmentKind::Main);
    let packed = sample.packed(main.iter().map(|it| it.decoded).sum())?;
    let others: u64 = others.iter().map(|it| it.length).sum();
    Some(packed.saturating_add(others))
}
