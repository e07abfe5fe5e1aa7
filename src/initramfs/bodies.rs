// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads facts from whole files during streaming: whether a file equals the tree's, the vermagic and the dependencies
//! of a kernel module, the content of depmod's lists, and the libraries and symbols of an ELF file.
//!
//! This module accesses the tree's files only through [`OnDisk`]; the checks derive findings from the facts. Invariant:
//! this module holds at most one file at a time, within the limits of `unpack`, `elf`, `lists` and `origin`. For all
//! files together it unpacks at most [`UNPACKED_MAX`] bytes. Besides the lists it keeps at most [`SAID_MAX`] bytes of
//! facts, as the functions `size_of_facts` count them, and [`SYMBOLS_MAX`] bytes of symbols.

pub(super) mod comparison;
pub(super) mod elf;
pub(super) mod facts;
pub(super) mod lists;
pub(super) mod origin;

use std::io::{self, BufRead, Read};

use self::comparison::{Comparison, ModuleFacts, OnDisk, OpenFile, Told};
use self::elf::{Elf, Symbols};
use self::facts::Facts;
use self::origin::{DracutFiles, ElfFacts};
use crate::initramfs::stream::entry::{Entry, EntryType, Visitor};
use crate::kernel::modules::{Modinfo, ModuleName, unpack};

/// The suffixes after `.ko` in the names of module files; distributions use different compressions.
const SUFFIXES: [&[u8]; 4] = [b"", b".xz", b".zst", b".gz"];

/// Upper bound of the bytes that are compared at a time.
const STEP: usize = 64 << 10;

/// Upper bound of a module's dependencies and vermagic together (bytes); a real module has a few hundred.
const FIELDS_MAX: usize = 64 << 10;

/// Upper bound of the facts about all files together (bytes), without symbols and lists: mainly names, paths and
/// version strings. A generic image has about 0.3 MiB.
const SAID_MAX: u64 = 8 << 20;

/// Upper bound of the kept symbols of all files together (bytes); generic images have about 2 MiB. The symbols of a
/// file that would exceed the bound are not kept.
const SYMBOLS_MAX: usize = 16 << 20;

/// The start of the error message if the facts exceed [`SAID_MAX`].
const SAID: &str = "the facts about its modules and programs have";

/// Upper bound of the bytes to which the modules of the image and those of the tree unpack together. It equals the
/// default of `Limits::decoded_bytes`. All modules of a kernel have about 0.5 GiB.
const UNPACKED_MAX: u64 = 2 << 30;

/// The directory of the tree's modules, relative to the root.
const MODULES: &[u8] = b"usr/lib/modules/";

/// A [`Visitor`] that reads kernel modules, depmod's lists and ELF files, and compares regular files with the tree's.
pub struct Bodies<'d> {
    disk: Option<&'d mut dyn OnDisk>,
    /// The files of dracut's modules, listed on first use.
    dracut: Option<DracutFiles>,
    facts: Facts,
    buffer: Vec<u8>,
    /// Scratch space for the bytes of the current file.
    held: Vec<u8>,
    compared: Vec<u8>,
    unpacker: Unpacker,
    /// The rest of [`SAID_MAX`] (bytes).
    left: u64,
}

impl<'d> Bodies<'d> {
    /// Creates a visitor that compares files with those of `disk`; with `None` it compares nothing.
    pub fn new(disk: Option<&'d mut dyn OnDisk>) -> Self {
        Self {
            disk,
            dracut: None,
            facts: Facts::default(),
            buffer: Vec::new(),
            held: Vec::new(),
            compared: Vec::new(),
            unpacker: Unpacker {
                bytes: Vec::new(),
                left: UNPACKED_MAX,
            },
            left: SAID_MAX,
        }
    }

    /// Takes out the facts about the files that were read so far.
    pub fn take_facts(&mut self) -> Facts {
        std::mem::take(&mut self.facts)
    }

    fn compare(
        &mut self,
        path: &[u8],
        entry: &Entry,
        body: &mut dyn BufRead,
    ) -> io::Result<Comparison> {
        let Some(disk) = &mut self.disk else {
            return Ok(Comparison::Alone(self.unpacker.told(path, body)?));
        };
        if disk.equal(entry).is_some() {
            return Ok(Comparison::Same);
        }
        let size = u64::from(entry.size);
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
        let mut reopen = || match disk.open(&[MODULES, &found].concat()) {
            Ok(Some(file)) => Ok(io::BufReader::new(file.data)),
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        };
        // The equal bytes were consumed from `body`, so they are read from the tree's file instead.
        let inside = match equal {
            0 => self.unpacker.told(path, body)?,
            _ => match reopen() {
                Ok(start) => self.unpacker.told(path, start.take(equal).chain(body))?,
                Err(error) => return Ok(Comparison::Unread(error.to_string())),
            },
        };
        let on_disk = match reopen() {
            Ok(file) => self.unpacker.told(&found, file)?,
            Err(error) => Err(error.to_string()),
        };
        let stripped = path.ends_with(b".ko") && size < file_size;
        Ok(Comparison::Differs {
            maybe_same: stripped || found != path,
            inside,
            on_disk,
        })
    }

    /// Charges the facts about one file, `said` bytes, to the budget [`SAID_MAX`].
    fn keep(&mut self, said: usize) -> io::Result<()> {
        spend(&mut self.left, said, SAID_MAX, SAID)
    }
}

/// Subtracts `bytes` from `left`, the rest of `budget`. Fails if less is left; the error begins with `what`.
fn spend(left: &mut u64, bytes: usize, budget: u64, what: &str) -> io::Result<()> {
    let rest = left.checked_sub(bytes as u64).ok_or_else(|| {
        let what = format!("{what} more than {budget} bytes");
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    *left = rest;
    Ok(())
}

impl Visitor for Bodies<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        if entry.kind() != EntryType::File {
            return Ok(());
        }
        if entry.size > 0
            && let Some(path) = module_path(&entry.path)
        {
            let comparison = self.compare(path, entry, body)?;
            self.keep(comparison.size_of_facts())?;
            self.facts
                .modules
                .insert(entry.index, (path.to_vec(), comparison));
            return Ok(());
        }
        let Some(disk) = &mut self.disk else {
            let (facts, buffer, left) = (&mut self.facts, &mut self.buffer, &mut self.left);
            learn(facts, entry, body, buffer, left)?;
            return Ok(());
        };
        // The data of a hard link can come with a later entry, so this entry is not compared.
        if entry.size == 0 && entry.nlink > 1 {
            return Ok(());
        }
        let dracut = match &mut self.dracut {
            Some(dracut) => dracut,
            none => none.insert(DracutFiles::new(disk.dracut_files()?)),
        };
        let room = (&mut self.held, &mut self.compared);
        let (facts, buffer, left) = (&mut self.facts, &mut self.buffer, &mut self.left);
        let learn = |body: &mut dyn BufRead| learn(facts, entry, body, buffer, left);
        let origin = origin::of(entry, body, *disk, dracut, room, learn)?;
        self.keep(origin.size_of_facts())?;
        self.facts.origins.insert(entry.index, origin);
        Ok(())
    }
}

/// Reads facts from a file that is not a module. Returns the facts about an ELF file that its comparison with the
/// tree's file needs; `None` for other files and for ELF files that cannot be parsed.
fn learn(
    facts: &mut Facts,
    entry: &Entry,
    body: &mut dyn BufRead,
    buffer: &mut Vec<u8>,
    left: &mut u64,
) -> io::Result<Option<ElfFacts>> {
    if entry.size == 0 {
        return Ok(None);
    }
    if !body.fill_buf()?.starts_with(b"\x7fELF") {
        facts.lists.read(entry, body, buffer)?;
        return Ok(None);
    }
    let mut elf = elf::read(body, entry.size.into(), buffer, true)?;
    spend(
        left,
        elf.as_ref().map_or(0, Elf::size_of_facts),
        SAID_MAX,
        SAID,
    )?;
    if let Ok(elf) = &mut elf {
        let size = elf.symbols.as_ref().map_or(0, Symbols::size);
        if facts.symbols + size <= SYMBOLS_MAX {
            facts.symbols += size;
        } else {
            elf.symbols = None;
        }
    }
    let loaded = elf.as_ref().ok().map(ElfFacts::from);
    facts.elves.insert(entry.index, elf);
    Ok(loaded)
}

/// Returns a module's path relative to `lib/modules` or `usr/lib/modules`; `None` for a file that is elsewhere or whose
/// name is not that of a module.
fn module_path(path: &[u8]) -> Option<&[u8]> {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    let below = below.strip_prefix(b"lib/modules/")?;
    ModuleName::is_of_path(below).then_some(below)
}

/// Returns the paths in the tree at which the counterpart of the image's file `path` can be; the first one that exists
/// is compared. They do not include the files of dracut's modules, which dracut installs at other paths.
pub fn sources_of(path: &[u8]) -> Vec<Vec<u8>> {
    let Some(module) = module_path(path) else {
        return vec![path.to_vec()];
    };
    let own = std::iter::once(module.to_vec());
    let others = SUFFIXES.map(|suffix| [stem(module), suffix].concat());
    let all = own.chain(others).map(|it| [MODULES, &it].concat());
    all.collect()
}

/// Returns a module's path without the suffix of its compression.
fn stem(path: &[u8]) -> &[u8] {
    let packed = SUFFIXES[1..].iter();
    let mut stems = packed.filter_map(|suffix| path.strip_suffix(*suffix));
    stems.next().unwrap_or(path)
}

/// Opens the tree's counterpart of the module `path`; `None` if there is none. Returns its path, too, since the suffix
/// of the compression can differ. Both paths are relative to [`MODULES`].
fn find(disk: &mut dyn OnDisk, path: &[u8]) -> io::Result<Option<(Vec<u8>, OpenFile)>> {
    let mut open = |path: &[u8]| disk.open(&[MODULES, path].concat());
    if let Some(file) = open(path)? {
        return Ok(Some((path.to_vec(), file)));
    }
    for suffix in SUFFIXES {
        let other = [stem(path), suffix].concat();
        if other != path
            && let Some(file) = open(&other)?
        {
            return Ok(Some((other, file)));
        }
    }
    Ok(None)
}

/// The result of comparing a file with the start of a file of the tree.
enum Prefix {
    /// All bytes are equal.
    Whole,
    /// The number of equal bytes before the part that contains the first different byte.
    Until(u64),
    /// The tree's file cannot be read, with the reason.
    Unread(String),
}

/// Compares `body` with the start of `file`. Errors of `body` are returned as `Err`, errors of `file` as
/// [`Prefix::Unread`].
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

/// A decompressor that holds one module at a time.
struct Unpacker {
    bytes: Vec<u8>,
    /// The number of bytes that may still be unpacked.
    left: u64,
}

impl Unpacker {
    /// Returns the facts about the module in `data`, or the reason why they cannot be read. The outer error is only an
    /// exceeded budget: the reader of the image itself reports errors of the image after this call.
    fn told(&mut self, path: &[u8], data: impl BufRead) -> io::Result<Told> {
        let unpacked = unpack(path, data, &mut self.bytes);
        let what = "its modules unpack to";
        spend(&mut self.left, self.bytes.len(), UNPACKED_MAX, what)?;
        Ok(match unpacked {
            Ok(()) => facts(&self.bytes),
            Err(error) => Err(format!("it cannot be decompressed: {error}")),
        })
    }
}

fn facts(module: &[u8]) -> Told {
    let modinfo = Modinfo::of_module(module).map_err(|error| error.to_string())?;
    let told: usize = ["depends", "vermagic"]
        .iter()
        .flat_map(|key| modinfo.all(key))
        .map(<[u8]>::len)
        .sum();
    if told > FIELDS_MAX {
        return Err(format!(
            "its dependencies and vermagic have {told} bytes, the limit is {FIELDS_MAX}"
        ));
    }
    let mut depends = modinfo.depends();
    depends.sort();
    depends.dedup();
    Ok(ModuleFacts {
        vermagic: modinfo.vermagic().map(<[u8]>::to_vec),
        depends,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::testing::{archive, dir, file};
    use crate::initramfs::{Limits, read};

    fn entry(path: &str) -> Entry {
        let image = archive(&[dir("lib"), dir("lib/modules"), file(path, b"x")]);
        struct Last(Option<Entry>);
        impl Visitor for Last {
            fn entry(&mut self, entry: &Entry, _: &mut dyn BufRead) -> io::Result<()> {
                self.0 = Some(entry.clone());
                Ok(())
            }
        }
        let mut last = Last(None);
        read(image.as_slice(), &Limits::default(), &mut last).unwrap();
        last.0.unwrap()
    }

    #[test]
    fn modules_unpack_to_a_bounded_total() {
        let entry = entry("lib/modules/a.ko.zst");
        let packed = zstd::encode_all(&[0; 100_000][..], 1).unwrap();
        let mut bodies = Bodies::new(None);
        bodies.unpacker.left = 350_000;
        for _ in 0..3 {
            bodies.entry(&entry, &mut packed.as_slice()).unwrap();
        }
        let error = bodies.entry(&entry, &mut packed.as_slice()).unwrap_err();
        let expected = "its modules unpack to more than 2147483648 bytes";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_facts_of_a_module_have_a_limit() {
        let said = |length: usize| {
            let info = format!("depends={}\0vermagic=6.1 SMP\0", "a,".repeat(length / 2));
            facts(&crate::kernel::testing::module(
                true,
                false,
                info.as_bytes(),
            ))
        };
        assert_eq!(said(60_000).unwrap().depends.len(), 1);
        let expected = "its dependencies and vermagic have 70007 bytes, the limit is 65536";
        assert_eq!(said(70_000).unwrap_err(), expected);
    }
}
