// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has to be learnt from whole files while they stream by: whether a kernel module is the one
//! of the tree, and what an ELF file needs.
//!
//! It must not judge, and names no file system: the tree's modules come through [`OnDisk`]. Its
//! invariant: it holds one file at a time, within the budgets of `unpack` and of `elf`, and of each a few facts.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use super::elf::{self, Elf};
use super::entry::{Entry, Kind, Visitor};
use super::inventory::Inventory;
use super::tree::Node;
use crate::kernel::modules::{Modinfo, ModuleName, unpack};

/// How module files may end, as compressed by one distribution or another.
const SUFFIXES: [&[u8]; 4] = [b"", b".xz", b".zst", b".gz"];

/// Bytes that are compared at a time.
const STEP: usize = 64 << 10;

/// The tree's modules.
pub trait OnDisk {
    /// Opens the file at `path`, relative to `usr/lib/modules`; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>>;
}

/// A file of the tree.
pub struct OpenFile {
    /// Its bytes.
    pub data: Box<dyn Read>,
    /// How many there are.
    pub size: u64,
}

/// What a module says about itself, as far as checks look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFacts {
    /// What must be equal to the kernel's.
    pub vermagic: Option<Vec<u8>>,
    /// What it cannot be loaded without, sorted.
    pub depends: Vec<ModuleName>,
}

/// Facts, or why the file does not tell them.
pub type Told = Result<ModuleFacts, String>;

/// A module inside, beside the tree's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same bytes.
    Same,
    /// The tree has none at this path.
    NotOnDisk,
    /// The tree's cannot be read; why.
    Unread(String),
    /// Other bytes.
    Differs {
        /// Whether it may be the same module all the same: stripped of its symbols, as dracut
        /// does with plain ones, or compressed in another way.
        maybe_same: bool,
        /// What the one inside says.
        inside: Told,
        /// What the tree's says.
        on_disk: Told,
    },
    /// There is no tree to compare with.
    Alone(Told),
}

/// A [`Visitor`] that looks at kernel modules and ELF files.
#[derive(Default)]
pub struct Bodies<'d> {
    disk: Option<&'d mut dyn OnDisk>,
    facts: Facts,
    buffer: Vec<u8>,
}

/// What [`Bodies`] has learnt, by [`Entry::index`].
#[derive(Debug, Default)]
pub struct Facts {
    modules: HashMap<u64, (Vec<u8>, Comparison)>,
    elves: HashMap<u64, Result<Elf, elf::ElfError>>,
}

impl Facts {
    /// How the module `node` compares, and the path (relative to `usr/lib/modules`) of what it was
    /// compared with: another one's, where one file has several names.
    pub fn module(&self, inventory: &Inventory, node: &Node) -> Option<(&[u8], &Comparison)> {
        let (path, comparison) = self.modules.get(&inventory.content(node)?.entry)?;
        Some((path, comparison))
    }

    /// What the ELF file `node` says; `None` where it is no ELF file.
    pub fn elf(&self, inventory: &Inventory, node: &Node) -> Option<&Result<Elf, elf::ElfError>> {
        self.elves.get(&inventory.content(node)?.entry)
    }
}

impl<'d> Bodies<'d> {
    /// Compares modules with those of `disk`, where there is one.
    pub fn new(disk: Option<&'d mut dyn OnDisk>) -> Self {
        Self {
            disk,
            ..Self::default()
        }
    }

    /// What was learnt.
    pub fn facts(self) -> Facts {
        self.facts
    }

    fn compare(
        &mut self,
        path: &[u8],
        size: u64,
        body: &mut dyn BufRead,
    ) -> io::Result<Comparison> {
        let Some(disk) = &mut self.disk else {
            return Ok(Comparison::Alone(told(path, body)));
        };
        let (found, file) = match find(*disk, path) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Comparison::NotOnDisk),
            Err(error) => return Ok(Comparison::Unread(error.to_string())),
        };
        let file_size = file.size;
        let mut equal = 0;
        if file_size == size && found == path {
            self.buffer.resize(STEP, 0);
            match same(body, file.data, &mut self.buffer)? {
                Prefix::Whole => return Ok(Comparison::Same),
                Prefix::Until(bytes) => equal = bytes,
                Prefix::Unread(why) => return Ok(Comparison::Unread(why)),
            }
        }
        let mut reopen = || match disk.open(&found) {
            Ok(Some(file)) => Ok(io::BufReader::new(file.data)),
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        };
        // What was equal is gone from the body, and is still on disk.
        let inside = match equal {
            0 => told(path, body),
            _ => match reopen() {
                Ok(start) => told(path, start.take(equal).chain(body)),
                Err(error) => return Ok(Comparison::Unread(error.to_string())),
            },
        };
        let on_disk = reopen()
            .map_err(|error| error.to_string())
            .and_then(|file| told(&found, file));
        let stripped = path.ends_with(b".ko") && size < file_size;
        Ok(Comparison::Differs {
            maybe_same: stripped || found != path,
            inside,
            on_disk,
        })
    }
}

impl Visitor for Bodies<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        if entry.kind() != Kind::File || entry.size == 0 {
            return Ok(());
        }
        if let Some(path) = module_path(&entry.path) {
            let comparison = self.compare(path, entry.size.into(), body)?;
            self.facts
                .modules
                .insert(entry.index, (path.to_vec(), comparison));
        } else if body.fill_buf()?.starts_with(b"\x7fELF") {
            let elf = elf::read(body, &mut self.buffer)?;
            self.facts.elves.insert(entry.index, elf);
        }
        Ok(())
    }
}

/// A module's path relative to `usr/lib/modules`.
fn module_path(path: &[u8]) -> Option<&[u8]> {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    let below = below.strip_prefix(b"lib/modules/")?;
    ModuleName::of_path(below).is_some().then_some(below)
}

/// The tree's file for a module, perhaps compressed in another way.
fn find(disk: &mut dyn OnDisk, path: &[u8]) -> io::Result<Option<(Vec<u8>, OpenFile)>> {
    if let Some(file) = disk.open(path)? {
        return Ok(Some((path.to_vec(), file)));
    }
    let packed = SUFFIXES[1..].iter();
    let stem = packed
        .filter_map(|suffix| path.strip_suffix(*suffix))
        .next()
        .unwrap_or(path);
    for suffix in SUFFIXES {
        let other = [stem, suffix].concat();
        if other != path
            && let Some(file) = disk.open(&other)?
        {
            return Ok(Some((other, file)));
        }
    }
    Ok(None)
}

/// How far two files are equal.
enum Prefix {
    Whole,
    Until(u64),
    Unread(String),
}

/// Compares `body` with `file`; errors are those of `body`.
fn same(body: &mut dyn BufRead, mut file: impl Read, buffer: &mut [u8]) -> io::Result<Prefix> {
    let mut equal = 0;
    loop {
        let ready = body.fill_buf()?;
        let count = ready.len().min(buffer.len());
        if count == 0 {
            return Ok(Prefix::Whole);
        }
        let there = &mut buffer[..count];
        if let Err(error) = file.read_exact(there) {
            return Ok(Prefix::Unread(error.to_string()));
        }
        if ready[..count] != *there {
            return Ok(Prefix::Until(equal));
        }
        body.consume(count);
        equal += count as u64;
    }
}

/// What the module in `data` says. An error of the image's own shows in the rest of it.
fn told(path: &[u8], data: impl BufRead) -> Told {
    let bytes = unpack(path, data).map_err(|error| format!("it does not unpack: {error}"))?;
    facts(&bytes)
}

fn facts(module: &[u8]) -> Told {
    let modinfo = Modinfo::of_module(module).map_err(|error| error.to_string())?;
    let mut depends = modinfo.depends();
    depends.sort();
    depends.dedup();
    Ok(ModuleFacts {
        vermagic: modinfo.vermagic().map(<[u8]>::to_vec),
        depends,
    })
}
