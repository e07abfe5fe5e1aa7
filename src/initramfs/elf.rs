// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the parts of an ELF file that the dynamic linker reads: interpreter, soname, needed libraries and symbols,
//! and search paths.
//!
//! It does not search for files. Invariants: every offset, size and count is checked against the existing bytes; of a
//! streamed file only the first [`HEAD`] bytes and the dynamic section are held in memory.

mod notes;
mod symbols;

use std::io::{self, BufRead, Read};

use symbols::Dynamic;

pub use notes::Opened;
pub use symbols::{Required, Symbols, hash};

/// Number of bytes of the start of a file that are kept in memory. The strings of the dynamic section precede the code;
/// in the largest programs of real images they are within the first megabyte.
const HEAD: usize = 8 << 20;
/// Upper bound of a dynamic section (bytes); real ones have about 600.
const DYNAMIC_MAX: u64 = 64 << 10;
/// Upper bound of program headers; real files have about a dozen.
const HEADERS_MAX: u64 = 512;
/// Upper bound of a string, a path or a list of paths (bytes).
const STRING_MAX: usize = 16 << 10;
/// Upper bound of a file's needed libraries; the largest known number is some hundreds.
const NEEDED_MAX: usize = 4096;
/// Upper bound of all strings of a file, which can overlap in it (bytes); the largest known sum is some thousands.
const STRINGS_MAX: usize = 128 << 10;

/// Upper bound of a segment of notes (bytes); libsystemd-shared's has some thousands.
const NOTES_MAX: u64 = 64 << 10;
/// Upper bound of segments of notes; real files have two or three.
const SEGMENTS_MAX: usize = 8;

/// An ELF file cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Neither 32 nor 64 bits, or neither byte order.
    #[error("an ELF file of an unknown class or byte order")]
    Class,
    /// A header points outside the file, or the file is truncated.
    #[error("an ELF file without {what} at {offset:#x}")]
    Truncated {
        /// The missing part.
        what: &'static str,
        /// Its offset in bytes.
        offset: u64,
    },
    /// A part has values that no linker writes.
    #[error("an ELF file with damage in {0}")]
    Damaged(&'static str),
    /// A limit is exceeded.
    #[error("an ELF file with more than {limit} {what}")]
    TooMany {
        /// The limited items.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// The machine of a file: class (32 or 64 bits), byte order and number. The dynamic linker ignores libraries of another
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Machine {
    /// Whether it has 64 bits.
    pub wide: bool,
    /// Whether it is big-endian.
    pub big: bool,
    /// `e_machine`.
    pub number: u16,
}

/// The facts of an ELF file for the dynamic linker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Its machine.
    pub machine: Machine,
    /// The path of the dynamic linker; only programs have one.
    pub interpreter: Option<Vec<u8>>,
    /// The name by which other files require it.
    pub soname: Option<Vec<u8>>,
    /// The names of required libraries, in order.
    pub needed: Vec<Vec<u8>>,
    /// The search path of it and of its libraries, used without a [`runpath`](Self::runpath).
    pub rpath: Option<Vec<u8>>,
    /// The search path of it alone.
    pub runpath: Option<Vec<u8>>,
    /// The libraries that it opens at run time, according to its notes.
    pub opened: Vec<Opened>,
    /// The versions of symbols that its libraries must define.
    pub required: Vec<Required>,
    /// The versions of symbols that it defines.
    pub versions: Vec<Vec<u8>>,
    /// Its symbols, if they were requested and can be read.
    pub symbols: Option<Symbols>,
    /// The build-id; empty if there is none.
    pub build_id: Vec<u8>,
    /// Whether the kernel can execute it: its type is that of a program, and it has a segment to load
    /// (`load_elf_binary`).
    pub is_program: bool,
    /// Whether the dynamic linker accepts its header as that of a library (`open_verify` of `elf/dl-load.c`).
    pub is_library: bool,
    /// The end of the last loaded segment in the file. Before it, `strip` changes only the header's fields about
    /// sections.
    pub loaded_end: u64,
}

/// Reads the ELF file of `size` bytes from the stream `body`, with `buffer` as scratch space; its symbols only if
/// `with_symbols` is set. The outer error is that of `body`.
pub(super) fn read(
    body: &mut dyn BufRead,
    size: u64,
    buffer: &mut Vec<u8>,
    with_symbols: bool,
) -> io::Result<Result<Elf, ElfError>> {
    let parse = |bytes: &[u8], late: &[u8]| {
        let file = File::new(bytes, size)?;
        file.elf(late, with_symbols)
    };
    // Most files are in the stream's buffer completely, so they need not be copied.
    let ready = body.fill_buf()?;
    if ready.len() as u64 == size {
        return Ok(parse(ready, &[]));
    }
    buffer.clear();
    take(body, HEAD, buffer)?;
    let file = match File::new(buffer, size) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut late = Vec::new();
    if let Ok(headers) = file.headers()
        && let Some(dynamic) = headers.iter().find(|header| header.kind == DYNAMIC)
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
        // A truncated section could be mistaken for a complete one.
        if (late.len() as u64) < dynamic.size {
            late.clear();
        }
    }
    Ok(parse(buffer, &late))
}

/// Fills `buffer` from `body`, up to `most` bytes. `Read::read_to_end` would zero the buffer first.
pub(super) fn take(body: &mut dyn BufRead, most: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
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
    /// Returns the size of the facts (bytes).
    pub(super) fn said(&self) -> usize {
        let texts = [&self.interpreter, &self.soname, &self.rpath, &self.runpath];
        let texts = texts.into_iter().flatten().chain(&self.needed);
        let opened = self.opened.iter().map(Opened::said).sum::<usize>();
        let required = self.required.iter();
        let required = required.map(|it| it.library.len() + it.version.len());
        let versions = self.versions.iter().map(Vec::len).chain(required);
        texts.map(Vec::len).chain(versions).sum::<usize>() + opened + self.build_id.len()
    }

    /// Parses a whole file.
    ///
    /// # Errors
    /// When the bytes are not an ELF file, or end before a part that a header references.
    pub fn parse(bytes: &[u8]) -> Result<Self, ElfError> {
        File::new(bytes, bytes.len() as u64)?.elf(&[], true)
    }
}

/// Types of files.
const EXECUTABLE: u64 = 2;
const SHARED: u64 = 3;

/// Types of program headers.
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERP: u32 = 3;
const NOTE: u32 = 4;

/// A program header.
struct Header {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

struct File<'a> {
    /// The start of the file, or all of it.
    bytes: &'a [u8],
    /// The size of the whole file.
    size: u64,
    machine: Machine,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8], size: u64) -> Result<Self, ElfError> {
        let (wide, big) = match bytes {
            [0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), ..] => {
                (*class == 2, *order == 2)
            }
            _ => return Err(ElfError::Class),
        };
        let number = 0;
        let machine = Machine { wide, big, number };
        let mut file = Self {
            bytes,
            size,
            machine,
        };
        file.machine.number = file.word("the machine", 18, 2)? as u16;
        Ok(file)
    }

    /// Parses the file. `late` is the dynamic section if it is after the held bytes.
    fn elf(&self, late: &[u8], with_symbols: bool) -> Result<Elf, ElfError> {
        let headers = self.headers()?;
        let elf = self.linking(late, &headers, with_symbols)?;
        // A truncated file may lack only the end of a segment.
        let is_cut =
            |it: &&Header| it.kind == LOAD && it.offset.saturating_add(it.size) > self.size;
        match headers.iter().find(is_cut) {
            None => Ok(elf),
            Some(&Header { offset, .. }) => {
                let what = "the end of the segment";
                Err(ElfError::Truncated { what, offset })
            }
        }
    }

    /// Parses the facts for the dynamic linker.
    fn linking(
        &self,
        late: &[u8],
        headers: &[Header],
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
            is_program: matches!(self.kind()?, EXECUTABLE | SHARED)
                && headers.iter().any(|header| header.kind == LOAD),
            is_library: self.is_library()?,
            loaded_end: headers
                .iter()
                .filter(|header| header.kind == LOAD)
                .map(|header| header.offset.saturating_add(header.size))
                .max()
                .unwrap_or_default(),
        };
        if let Some(interp) = headers.iter().find(|header| header.kind == INTERP) {
            elf.interpreter = Some(self.string("the interpreter", interp.offset)?);
        }
        let Some(dynamic) = headers.iter().find(|header| header.kind == DYNAMIC) else {
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

    fn kind(&self) -> Result<u64, ElfError> {
        self.word("the type", 16, 2)
    }

    /// Returns whether the header is that of a library for Linux: the operating system, the version of its ABI, unused
    /// bytes, the type, the version.
    fn is_library(&self) -> Result<bool, ElfError> {
        const LINUX: u8 = 3;
        let identity = self.slice("the header", 7, 9)?;
        let is_linux = matches!(identity, [0, 0, 0, 0, 0, 0, 0, 0, 0])
            || matches!(identity, [LINUX, _, 0, 0, 0, 0, 0, 0, 0]);
        Ok(is_linux && self.kind()? == SHARED && self.word("the version", 20, 4)? == 1)
    }

    /// Returns the held segments of notes.
    fn notes(&self, headers: &[Header]) -> impl Iterator<Item = &'a [u8]> {
        let notes = headers.iter().filter(|header| header.kind == NOTE);
        let notes = notes.filter(|header| header.size <= NOTES_MAX);
        let notes = notes.filter_map(|it| self.slice("the notes", it.offset, it.size).ok());
        notes.take(SEGMENTS_MAX)
    }

    fn dynamic(
        &self,
        section: &[u8],
        headers: &[Header],
        elf: &mut Elf,
        with_symbols: bool,
    ) -> Result<(), ElfError> {
        const STRINGS: u64 = 5;
        let width = if self.machine.wide { 8 } else { 4 };
        let pairs = section.chunks_exact(2 * width);
        let pairs = pairs.map(|pair| (self.number(&pair[..width]), self.number(&pair[width..])));
        let entries: Vec<_> = pairs.take_while(|&(tag, _)| tag != 0).collect();
        // The dynamic linker needs this entry of each file.
        let Some(&(_, address)) = entries.iter().find(|it| it.0 == STRINGS) else {
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
                1 if elf.needed.len() == NEEDED_MAX => {
                    let (what, limit) = ("needed libraries", NEEDED_MAX as u64);
                    return Err(ElfError::TooMany { what, limit });
                }
                1 => elf.needed.push(string(value)?),
                14 => elf.soname = Some(string(value)?),
                15 => elf.rpath = Some(string(value)?),
                29 => elf.runpath = Some(string(value)?),
                _ => {}
            }
        }
        let dynamic = Dynamic {
            entries: &entries,
            strings,
            headers,
        };
        elf.required = self.required(&dynamic)?;
        elf.versions = self.versions(&dynamic)?;
        if with_symbols {
            elf.symbols = self.symbols(&dynamic)?;
        }
        Ok(())
    }

    fn headers(&self) -> Result<Vec<Header>, ElfError> {
        let what = "the program headers";
        let (start, size, count) = if self.machine.wide {
            (self.word(what, 32, 8)?, 54, 56)
        } else {
            (self.word(what, 28, 4)?, 42, 44)
        };
        let (size, count) = (self.word(what, size, 2)?, self.word(what, count, 2)?);
        if count > HEADERS_MAX {
            let (what, limit) = ("program headers", HEADERS_MAX);
            return Err(ElfError::TooMany { what, limit });
        }
        let least = if self.machine.wide { 56 } else { 32 };
        if count > 0 && size != least {
            return Err(ElfError::Damaged("the size of a program header"));
        }
        let one = |n: u64| {
            let at = start.saturating_add(n * size);
            // One check for all fields, so that the additions below cannot overflow.
            self.slice(what, at, least)?;
            let (offset, address, file_size, long) = if self.machine.wide {
                (8, 16, 32, 8)
            } else {
                (4, 8, 16, 4)
            };
            Ok(Header {
                kind: self.word(what, at, 4)? as u32,
                offset: self.word(what, at + offset, long)?,
                address: self.word(what, at + address, long)?,
                size: self.word(what, at + file_size, long)?,
            })
        };
        (0..count).map(one).collect()
    }

    fn slice(&self, what: &'static str, offset: u64, size: u64) -> Result<&'a [u8], ElfError> {
        let slice = || {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(size).ok()?)?;
            self.bytes.get(start..end)
        };
        slice().ok_or(ElfError::Truncated { what, offset })
    }

    fn word(&self, what: &'static str, offset: u64, size: u64) -> Result<u64, ElfError> {
        Ok(self.number(self.slice(what, offset, size)?))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.machine.big {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        }
    }

    /// Returns the bytes from `offset` to the next NUL.
    fn string(&self, what: &'static str, offset: u64) -> Result<Vec<u8>, ElfError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let rest = &rest[..rest.len().min(STRING_MAX)];
        match rest.iter().position(|&byte| byte == 0) {
            Some(end) => Ok(rest[..end].to_vec()),
            None => Err(ElfError::Truncated { what, offset }),
        }
    }
}
