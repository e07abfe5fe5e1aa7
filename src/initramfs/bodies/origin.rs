// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the files of an image with the files of the tree that they were copied from.
//!
//! The checks derive findings from the results. Invariant: of the image, this module holds one file of at most
//! [`SMALL`] bytes at a time; larger files are compared during streaming. Of the tree, it holds one part of a file or,
//! for an ELF file, the bytes that `elf.rs` holds.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, Read};

use super::comparison::OnDisk;
use super::elf::{self, Elf, ElfError};
use crate::bytes::basename;
use crate::initramfs::stream::entry::Entry;
use crate::initramfs::stream::observed::Observed;

/// Upper bound of a file that is kept in memory for comparison with files of dracut's modules (bytes). The largest file
/// of dracut's modules has 90 KiB in dracut 110.
const SMALL: u32 = 256 << 10;

/// Upper bound of the bytes that are compared at a time.
const STEP: usize = 64 << 10;

/// Upper bound of the number of dracut's files of the same size with which a file is compared.
const CANDIDATES_MAX: usize = 16;

/// Size of a 64-bit ELF header (bytes); a 32-bit one has 52.
const ELF_HEADER: usize = 64;

/// The origin of a file in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A copy of a file of the tree: the bytes are the same, or the file is an ELF file and differs only where `strip`
    /// changes it.
    Copy(TreeFile),
    /// Different from the file of the tree.
    Differs(TreeFile, Difference),
    /// The corresponding file of the tree cannot be read, with the reason.
    Unread(String),
    /// No corresponding file was found in the tree.
    Unknown,
}

impl Origin {
    /// Returns the size of the path or of the reason (bytes); 0 if there is neither.
    pub(in crate::initramfs) fn size_of_facts(&self) -> usize {
        match self {
            Self::Copy(source) | Self::Differs(source, _) => {
                source.path.as_ref().map_or(0, Vec::len)
            }
            Self::Unread(why) => why.len(),
            Self::Unknown => 0,
        }
    }
}

/// A file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path relative to the root; `None` if it is the entry's path.
    pub path: Option<Vec<u8>>,
    /// Its permission bits.
    pub mode: u32,
}

/// The difference between a file of the image and its source, a file of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The file is truncated to this number of bytes.
    Cut(u64),
    /// The file is an ELF file of another build, according to its build-id.
    OtherBuild,
    /// The file is an ELF file, and the source is not.
    OnlyElf,
    /// The offset of the first different byte.
    Bytes(u64),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(bytes) => write!(f, "only the first {bytes} bytes"),
            Self::OtherBuild => f.write_str("an ELF file of another build"),
            Self::OnlyElf => f.write_str("an ELF file, but the tree's file is not one"),
            Self::Bytes(at) => write!(f, "different content from offset {at}"),
        }
    }
}

/// The files of dracut's modules, indexed by size and by name.
#[derive(Debug, Default)]
pub(in crate::initramfs) struct DracutFiles {
    files: Vec<(Vec<u8>, u64)>,
    by_size: HashMap<u64, Vec<usize>>,
    by_name: HashMap<Vec<u8>, Vec<usize>>,
}

impl DracutFiles {
    /// Creates the index from paths relative to the root and sizes in bytes.
    pub(in crate::initramfs) fn new(files: Vec<(Vec<u8>, u64)>) -> Self {
        let mut by_size: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (number, (path, size)) in files.iter().enumerate() {
            by_size.entry(*size).or_default().push(number);
            by_name
                .entry(basename(path).to_vec())
                .or_default()
                .push(number);
        }
        Self {
            by_size,
            by_name,
            files,
        }
    }

    /// Returns the paths of the files with this size, at most [`CANDIDATES_MAX`].
    fn of_size(&self, size: u64) -> impl Iterator<Item = &[u8]> {
        let numbers = self.by_size.get(&size).into_iter().flatten();
        numbers
            .take(CANDIDATES_MAX)
            .map(|&number| self.files[number].0.as_slice())
    }

    /// Returns the path of the only file that has the same name as `path`. If no file has that name, looks for the name
    /// without a hook's number at its start (`10-`). `None` if no file has this name either, or if several files have
    /// the name.
    fn named(&self, path: &[u8]) -> Option<&[u8]> {
        let name = basename(path);
        let mut digits = name.iter().take_while(|byte| byte.is_ascii_digit());
        let order = digits.by_ref().count();
        let hook = match name.get(order) {
            Some(b'-') if order > 0 => name.get(order + 1..),
            _ => None,
        };
        let numbers = self.by_name.get(name).or_else(|| self.by_name.get(hook?));
        match numbers?.as_slice() {
            &[number] => Some(self.files[number].0.as_slice()),
            _ => None,
        }
    }
}

/// Returns the origin of the file `entry`. Passes the file's data to `learn`; `held` and `buffer` are scratch space.
///
/// # Errors
/// Those of `body` and of `learn`.
pub(in crate::initramfs) fn of(
    entry: &Entry,
    body: &mut dyn BufRead,
    disk: &mut dyn OnDisk,
    dracut: &DracutFiles,
    (held, buffer): (&mut Vec<u8>, &mut Vec<u8>),
    learn: impl FnOnce(&mut dyn BufRead) -> io::Result<Option<ElfFacts>>,
) -> io::Result<Origin> {
    if let Some(mode) = disk.equal(entry) {
        learn(body)?;
        return Ok(Origin::Copy(TreeFile { path: None, mode }));
    }
    let size = u64::from(entry.size);
    let is_small = entry.size <= SMALL;
    held.clear();
    if is_small {
        elf::take(body, SMALL as usize, held)?;
    }
    let mut slice = held.as_slice();
    let body: &mut dyn BufRead = if is_small { &mut slice } else { body };
    buffer.resize(STEP, 0);
    let there = match disk.open(&entry.path) {
        Ok(Some(there)) => there,
        Ok(None) => {
            learn(body)?;
            return Ok(if is_small {
                of_dracut(entry, held, disk, dracut, buffer)
            } else {
                Origin::Unknown
            });
        }
        Err(error) => {
            learn(body)?;
            return Ok(Origin::Unread(error.to_string()));
        }
    };
    let source = TreeFile {
        path: None,
        mode: there.mode,
    };
    let there_size = there.size;
    let mut beside = Beside::new(there.data, buffer);
    let mut observed = Observed::new(body, |bytes| beside.compare(bytes));
    let elf = learn(&mut observed)?;
    observed.drain()?;
    let difference = match beside.end(size, there_size, elf.as_ref()) {
        Ok(None) => return Ok(Origin::Copy(source)),
        Ok(Some(difference)) => difference,
        Err(error) => return Ok(Origin::Unread(error.to_string())),
    };
    if is_small && let found @ Origin::Copy(_) = of_dracut(entry, held, disk, dracut, buffer) {
        return Ok(found);
    }
    let difference = match elf {
        Some(elf) => of_elf(&elf, entry, disk, buffer).unwrap_or(difference),
        None => difference,
    };
    Ok(Origin::Differs(source, difference))
}

/// Returns a more precise difference for an ELF file than its different bytes; `None` if there is none.
fn of_elf(
    elf: &ElfFacts,
    entry: &Entry,
    disk: &mut dyn OnDisk,
    buffer: &mut Vec<u8>,
) -> Option<Difference> {
    let there = disk.open(&entry.path).ok().flatten()?;
    let mut data = io::BufReader::new(there.data);
    match elf::read(&mut data, there.size, buffer, false).ok()? {
        Ok(there) if there.build_id != elf.build_id => Some(Difference::OtherBuild),
        Err(ElfError::Class) => Some(Difference::OnlyElf),
        _ => None,
    }
}

/// Returns the origin of a file among the files of dracut's modules: a file with the same bytes as `held`, otherwise
/// the file with the same name as `entry` (see [`DracutFiles::named`]).
fn of_dracut(
    entry: &Entry,
    held: &[u8],
    disk: &mut dyn OnDisk,
    dracut: &DracutFiles,
    buffer: &mut [u8],
) -> Origin {
    let mut compared = |path: &[u8]| {
        let there = disk.open(path).ok().flatten()?;
        let (size, mode) = (there.size, there.mode);
        let mut beside = Beside::new(there.data, buffer);
        beside.compare(held);
        let difference = beside.end(held.len() as u64, size, None).ok()?;
        let source = TreeFile {
            path: Some(path.to_vec()),
            mode,
        };
        Some((source, difference))
    };
    if !held.is_empty() {
        for path in dracut.of_size(held.len() as u64) {
            if let Some((source, None)) = compared(path) {
                return Origin::Copy(source);
            }
        }
    }
    let named = dracut.named(&entry.path).and_then(&mut compared);
    match named {
        Some((source, Some(difference))) => Origin::Differs(source, difference),
        Some((source, None)) => Origin::Copy(source),
        None => Origin::Unknown,
    }
}

/// A comparison of bytes with a file of the tree.
struct Beside<'b> {
    there: Box<dyn Read>,
    buffer: &'b mut [u8],
    at: u64,
    /// One bit for each of the first [`ELF_HEADER`] bytes, set if the byte is different.
    header: u64,
    /// The offset of the first byte from [`ELF_HEADER`] on that is different, or that the tree's file does not have.
    differs: Option<u64>,
    error: Option<io::Error>,
}

impl<'b> Beside<'b> {
    fn new(there: Box<dyn Read>, buffer: &'b mut [u8]) -> Self {
        Self {
            there,
            buffer,
            at: 0,
            header: 0,
            differs: None,
            error: None,
        }
    }

    /// Compares the next bytes.
    fn compare(&mut self, bytes: &[u8]) {
        for inside in bytes.chunks(self.buffer.len()) {
            if self.differs.is_some() || self.error.is_some() {
                return;
            }
            let there = &mut self.buffer[..inside.len()];
            let count = match fill(&mut self.there, there) {
                Ok(count) => count,
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            };
            if count < inside.len() || inside != there {
                let differs = |at: &usize| inside.get(*at) != there[..count].get(*at);
                let rest = ELF_HEADER
                    .saturating_sub(self.at as usize)
                    .min(inside.len());
                for at in (0..rest).filter(differs) {
                    self.header |= 1 << (self.at as usize + at);
                }
                let first = (rest..inside.len()).find(differs);
                self.differs = first.map(|at| self.at + at as u64);
            }
            self.at += inside.len() as u64;
        }
    }

    /// Returns the difference between the compared file of `size` bytes and the tree's file of `there` bytes; `None` if
    /// the file is a copy. With `elf`, bytes that `strip` can change are ignored.
    fn end(self, size: u64, there: u64, elf: Option<&ElfFacts>) -> io::Result<Option<Difference>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let matters = |at: &u64| elf.is_none_or(|elf| *at < elf.end);
        let header = self.header & !elf.map_or(0, |elf| sections(elf.wide));
        let differs = match header {
            0 => self.differs.filter(matters).map(Difference::Bytes),
            header => Some(Difference::Bytes(header.trailing_zeros().into())),
        };
        let is_cut = self.differs.is_none() && size < there && matters(&size);
        Ok(differs.or(is_cut.then_some(Difference::Cut(size))))
    }
}

/// Fills `buffer` from `file`. Returns the number of bytes: fewer than fit into `buffer` only at the end of the file.
fn fill(file: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Returns a mask with one bit for each byte of an ELF header that `strip` changes: `e_shoff`, `e_shnum`, `e_shstrndx`.
fn sections(wide: bool) -> u64 {
    let bits = |from: u64, to: u64| (1_u64 << to).wrapping_sub(1) & !((1 << from) - 1);
    if wide {
        bits(40, 48) | !((1 << 60) - 1)
    } else {
        bits(32, 36) | bits(48, 52)
    }
}

/// The facts about an ELF file that its comparison needs.
pub(in crate::initramfs) struct ElfFacts {
    wide: bool,
    end: u64,
    build_id: Vec<u8>,
}

impl From<&Elf> for ElfFacts {
    fn from(elf: &Elf) -> Self {
        Self {
            wide: elf.machine.wide,
            end: elf.loaded_end,
            build_id: elf.build_id.clone(),
        }
    }
}
