// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the parts of an ELF file that the kernel and the dynamic linker read: interpreter, soname, needed libraries,
//! search paths, symbols and their versions, and relocations. Also parses the notes, and finds lost blocks in the code.
//!
//! The parser does not search for files. Invariants: every offset, size and count is checked against the existing
//! bytes; of a streamed file only the first [`HEAD`] bytes (the held bytes) and the dynamic section are in memory.

mod code;
mod notes;
mod relocations;
mod symbols;

use std::io::{self, BufRead, Read};

use symbols::Dynamic;

pub use crate::elf::{ElfError, Machine};
use crate::elf::{File, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE, ProgramHeader};

pub use notes::Opened;
pub use symbols::{Required, Symbols, hash};

/// Upper bound of the bytes that are kept in memory from the start of a file. The strings of the dynamic section
/// precede the code; in the largest programs of real images they are within the first megabyte.
const HEAD: usize = 8 << 20;
/// Upper bound of a dynamic section (bytes); real ones have about 600.
const DYNAMIC_MAX: u64 = 64 << 10;
/// Upper bound of a file's needed libraries; the largest known number is a few hundred.
const NEEDED_MAX: usize = 4096;
/// Upper bound of the names of libraries and the search paths of a file together (bytes); the largest known sum is a
/// few thousand. Strings can overlap in the file, so the file's size does not bound the sum.
const STRINGS_MAX: usize = 128 << 10;

/// Upper bound of a segment of notes (bytes); a larger one is skipped. The notes of libsystemd-shared have a few
/// thousand.
const NOTES_MAX: u64 = 64 << 10;
/// Upper bound of the number of segments of notes that are read; real files have two or three.
const SEGMENTS_MAX: usize = 8;

/// The facts about an ELF file: what the kernel and the dynamic linker need to start it, the libraries that it opens at
/// run time, and its build-id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Its machine.
    pub machine: Machine,
    /// The path of the dynamic linker. Static programs and most libraries have none.
    pub interpreter: Option<Vec<u8>>,
    /// The name by which other files require it.
    pub soname: Option<Vec<u8>>,
    /// The names of required libraries, in order.
    pub needed: Vec<Vec<u8>>,
    /// The search path for the libraries of this file and for their own libraries; not used if there is a
    /// [`runpath`](Self::runpath).
    pub rpath: Option<Vec<u8>>,
    /// The search path for the libraries of this file only.
    pub runpath: Option<Vec<u8>>,
    /// The libraries that it opens at run time, according to its notes.
    pub opened: Vec<Opened>,
    /// The versions of symbols that its libraries must define.
    pub required: Vec<Required>,
    /// The versions of symbols that it defines.
    pub versions: Vec<Vec<u8>>,
    /// Its symbols, if they were requested, can be read and are within the limits.
    pub symbols: Option<Symbols>,
    /// The build-id; empty if none was found.
    pub build_id: Vec<u8>,
    /// Whether the kernel can execute the file: its type is `ET_EXEC` or `ET_DYN`, and it has a segment to load
    /// (`load_elf_binary`). This is also true for libraries.
    pub is_program: bool,
    /// Whether the dynamic linker accepts its header as the header of a library (`open_verify` of `elf/dl-load.c`).
    pub is_library: bool,
    /// The offset in the file at which the last loaded segment ends; 0 without such a segment. Before this offset,
    /// `strip` changes only the header's fields about sections.
    pub loaded_end: u64,
}

/// Reads the ELF file of `size` bytes from the stream `body`, with `buffer` as scratch space. Reads the symbols only if
/// `with_symbols` is set. The outer error is an error of `body`.
pub(in crate::initramfs) fn read(
    body: &mut dyn BufRead,
    size: u64,
    buffer: &mut Vec<u8>,
    with_symbols: bool,
) -> io::Result<Result<Elf, ElfError>> {
    let parse = |bytes: &[u8], late: &[u8]| File::new(bytes)?.elf(size, late, with_symbols);
    // Most files are in the stream's buffer completely, so they need not be copied.
    let ready = body.fill_buf()?;
    if ready.len() as u64 == size {
        return Ok(parse(ready, &[]));
    }
    buffer.clear();
    take(body, HEAD, buffer)?;
    let file = match File::new(buffer) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut late = Vec::new();
    if let Ok(headers) = file.program_headers()
        && let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC)
        && dynamic.offset.saturating_add(dynamic.size) > buffer.len() as u64
        && dynamic.size <= DYNAMIC_MAX
    {
        let behind = dynamic.offset.saturating_sub(buffer.len() as u64);
        io::copy(&mut (&mut *body).take(behind), &mut io::sink())?;
        let begun = usize::try_from(dynamic.offset)
            .ok()
            .and_then(|start| buffer.get(start..));
        late.extend_from_slice(begun.unwrap_or_default());
        let left = dynamic.size - late.len() as u64;
        (&mut *body).take(left).read_to_end(&mut late)?;
        // A truncated section could be mistaken for a complete one, so it is not used.
        if (late.len() as u64) < dynamic.size {
            late.clear();
        }
    }
    Ok(parse(buffer, &late))
}

/// Fills `buffer` from `body`, up to `most` bytes. `Read::read_to_end` would zero the buffer first.
pub(in crate::initramfs) fn take(
    body: &mut dyn BufRead,
    most: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    while buffer.len() < most {
        let ready = body.fill_buf()?;
        let count = ready.len().min(most - buffer.len());
        if count == 0 {
            break;
        }
        buffer.extend_from_slice(&ready[..count]);
        body.consume(count);
    }
    Ok(())
}

impl Elf {
    /// Returns the size of the facts (bytes), without the symbols.
    pub(in crate::initramfs) fn size_of_facts(&self) -> usize {
        let texts = [&self.interpreter, &self.soname, &self.rpath, &self.runpath];
        let texts = texts.into_iter().flatten().chain(&self.needed);
        let opened = self.opened.iter().map(Opened::size_of_facts).sum::<usize>();
        let required = self.required.iter();
        let required = required.map(|it| it.library.len() + it.version.len());
        let versions = self.versions.iter().map(Vec::len).chain(required);
        texts.map(Vec::len).chain(versions).sum::<usize>() + opened + self.build_id.len()
    }

    /// Parses a whole file.
    ///
    /// # Errors
    /// When the bytes are not an ELF file or end before a part that a header references, or when a part is damaged or
    /// exceeds a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, ElfError> {
        File::new(bytes)?.elf(bytes.len() as u64, &[], true)
    }
}

/// Tags of the dynamic section.
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

impl<'a> File<'a> {
    /// Parses the file of `size` bytes. `late` is the dynamic section if it does not end within the held bytes.
    /// Otherwise `late` is empty, and also if the section is truncated or too large.
    fn elf(&self, size: u64, late: &[u8], with_symbols: bool) -> Result<Elf, ElfError> {
        let headers = self.program_headers()?;
        let elf = self.linking(late, &headers, with_symbols)?;
        self.code(&headers)?;
        // A truncated file may lack only the end of a segment, which `linking` does not read.
        let is_cut =
            |it: &&ProgramHeader| it.kind == PT_LOAD && it.offset.saturating_add(it.size) > size;
        match headers.iter().find(is_cut) {
            None => Ok(elf),
            Some(&ProgramHeader { offset, .. }) => {
                let what = "the end of the segment";
                Err(ElfError::Truncated { what, offset })
            }
        }
    }

    /// Parses the facts that the dynamic linker uses. `late` is as in [`elf`](Self::elf).
    fn linking(
        &self,
        late: &[u8],
        headers: &[ProgramHeader],
        with_symbols: bool,
    ) -> Result<Elf, ElfError> {
        let opened = |segment| notes::opened(segment, |bytes| self.number(bytes));
        let build_id = |segment| notes::build_id(segment, |bytes| self.number(bytes));
        let mut elf = Elf {
            machine: self.machine,
            interpreter: None,
            soname: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            opened: self.notes(headers).flat_map(opened).collect(),
            required: Vec::new(),
            versions: Vec::new(),
            symbols: None,
            build_id: self.notes(headers).find_map(build_id).unwrap_or_default(),
            is_program: self.is_executable()?
                && headers.iter().any(|header| header.kind == PT_LOAD),
            is_library: self.is_library()?,
            loaded_end: headers
                .iter()
                .filter(|header| header.kind == PT_LOAD)
                .map(|header| header.offset.saturating_add(header.size))
                .max()
                .unwrap_or_default(),
        };
        if let Some(interp) = headers.iter().find(|header| header.kind == PT_INTERP) {
            elf.interpreter = Some(self.string("the interpreter", interp.offset)?);
        }
        let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC) else {
            return Ok(elf);
        };
        if dynamic.size > DYNAMIC_MAX {
            let what = "bytes of dynamic section";
            let limit = DYNAMIC_MAX;
            return Err(ElfError::TooMany { what, limit });
        }
        let section = match late {
            [] => self.slice("the dynamic section", dynamic.offset, dynamic.size)?,
            late => late,
        };
        self.dynamic(section, headers, &mut elf, with_symbols)?;
        Ok(elf)
    }

    /// Returns the segments of notes that are in the held bytes and within the limits.
    fn notes(&self, headers: &[ProgramHeader]) -> impl Iterator<Item = &'a [u8]> {
        let notes = headers.iter().filter(|header| header.kind == PT_NOTE);
        let notes = notes.filter(|header| header.size <= NOTES_MAX);
        let notes = notes.filter_map(|it| self.slice("the notes", it.offset, it.size).ok());
        notes.take(SEGMENTS_MAX)
    }

    fn dynamic(
        &self,
        section: &[u8],
        headers: &[ProgramHeader],
        elf: &mut Elf,
        with_symbols: bool,
    ) -> Result<(), ElfError> {
        let width = self.word() as usize;
        let pairs = section.chunks_exact(2 * width);
        let pairs = pairs.map(|pair| (self.number(&pair[..width]), self.number(&pair[width..])));
        let entries: Vec<_> = pairs.take_while(|&(tag, _)| tag != DT_NULL).collect();
        // The dynamic linker needs `DT_STRTAB` in every dynamic section.
        let Some(&(_, address)) = entries.iter().find(|it| it.0 == DT_STRTAB) else {
            return Err(ElfError::Damaged("the dynamic section"));
        };
        let strings = symbols::offset(headers, address);
        let what = "the strings of the dynamic section";
        let strings = strings.ok_or(ElfError::Truncated {
            what,
            offset: address,
        })?;
        let mut left = STRINGS_MAX;
        let mut string = |at: u64| {
            let string = self.string(what, strings.saturating_add(at))?;
            let (what, limit) = ("bytes of names", STRINGS_MAX as u64);
            left = left
                .checked_sub(string.len())
                .ok_or(ElfError::TooMany { what, limit })?;
            Ok(string)
        };
        for &(tag, value) in &entries {
            match tag {
                DT_NEEDED if elf.needed.len() == NEEDED_MAX => {
                    let (what, limit) = ("needed libraries", NEEDED_MAX as u64);
                    return Err(ElfError::TooMany { what, limit });
                }
                DT_NEEDED => elf.needed.push(string(value)?),
                DT_SONAME => elf.soname = Some(string(value)?),
                DT_RPATH => elf.rpath = Some(string(value)?),
                DT_RUNPATH => elf.runpath = Some(string(value)?),
                _ => {}
            }
        }
        let dynamic = Dynamic {
            entries: &entries,
            strings,
            headers,
        };
        self.check_relocations(&dynamic)?;
        elf.required = self.required(&dynamic)?;
        elf.versions = self.versions(&dynamic)?;
        if with_symbols {
            elf.symbols = self.symbols(&dynamic)?;
        }
        Ok(())
    }
}
