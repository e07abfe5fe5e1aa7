// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the headers and sections of ELF files, in both classes (32 and 64 bits) and both byte orders. Constants and
//! offsets have the names of `elf.h`.
//!
//! Every offset, size and count is checked against the existing bytes.

/// The first bytes of every ELF file.
const ELFMAG: &[u8] = b"\x7fELF";
/// The offset of the class, and its values.
const EI_CLASS: usize = 4;
const ELFCLASS32: u8 = 1;
const ELFCLASS64: u8 = 2;
/// The offset of the byte order, and its values.
const EI_DATA: usize = 5;
const ELFDATA2LSB: u8 = 1;
const ELFDATA2MSB: u8 = 2;
/// The offset of the operating system, and the number of bytes from there to the end of `e_ident`.
const EI_OSABI: u64 = 7;
const EI_REST: u64 = 9;
/// The value at [`EI_OSABI`] for Linux; 0 stands for no particular system.
const ELFOSABI_LINUX: u8 = 3;
/// The only version of ELF.
const EV_CURRENT: u64 = 1;

/// Types of files.
const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;

/// Types of program headers.
pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_NOTE: u32 = 4;

/// The flags of an executable and of a writable segment.
const PF_X: u64 = 1;
const PF_W: u64 = 2;

/// The type of a section without data in the file.
const SHT_NOBITS: u32 = 8;
/// The value of `e_shstrndx` if the index is in the first section header.
const SHN_XINDEX: u64 = 0xffff;

/// Offsets in the file header that are the same in both classes.
const E_TYPE: u64 = 16;
const E_MACHINE: u64 = 18;
const E_VERSION: u64 = 20;

/// Maximum number of program headers; real files have about a dozen.
const HEADERS_MAX: u64 = 512;
/// Maximum length of a string, a path or a list of paths, with its NUL (bytes).
const STRING_MAX: usize = 16 << 10;

/// Offsets and sizes that depend on the class (bytes).
struct Layout {
    /// The size of an address or of an offset.
    word: u64,
    e_phoff: u64,
    e_shoff: u64,
    e_phentsize: u64,
    e_phnum: u64,
    e_shentsize: u64,
    e_shnum: u64,
    e_shstrndx: u64,
    /// The size of a program header.
    phdr: u64,
    p_offset: u64,
    p_vaddr: u64,
    p_filesz: u64,
    p_memsz: u64,
    p_flags: u64,
    /// The size of a section header.
    shdr: u64,
    sh_offset: u64,
    sh_size: u64,
    sh_link: u64,
}

const ELF32: Layout = Layout {
    word: 4,
    e_phoff: 28,
    e_shoff: 32,
    e_phentsize: 42,
    e_phnum: 44,
    e_shentsize: 46,
    e_shnum: 48,
    e_shstrndx: 50,
    phdr: 32,
    p_offset: 4,
    p_vaddr: 8,
    p_filesz: 16,
    p_memsz: 20,
    p_flags: 24,
    shdr: 40,
    sh_offset: 16,
    sh_size: 20,
    sh_link: 24,
};

const ELF64: Layout = Layout {
    word: 8,
    e_phoff: 32,
    e_shoff: 40,
    e_phentsize: 54,
    e_phnum: 56,
    e_shentsize: 58,
    e_shnum: 60,
    e_shstrndx: 62,
    phdr: 56,
    p_offset: 8,
    p_vaddr: 16,
    p_filesz: 32,
    p_memsz: 40,
    p_flags: 4,
    shdr: 64,
    sh_offset: 24,
    sh_size: 32,
    sh_link: 40,
};

/// The error that an ELF file cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not an ELF file, or one with an unknown class or byte order.
    #[error("not an ELF file, or one of an unknown class or byte order")]
    Class,
    /// A header points outside the file, or the file is truncated.
    #[error("an ELF file without {what} at {offset:#x}")]
    Truncated {
        /// The missing part.
        what: &'static str,
        /// The offset of the missing part in bytes.
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

/// The machine of a file: class (32 or 64 bits), byte order and number. glibc's dynamic linker skips a library of
/// another class or number (`open_verify` in elf/dl-load.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Machine {
    /// Whether the class is 64 bits.
    pub wide: bool,
    /// Whether the file is big-endian.
    pub big: bool,
    /// `e_machine`.
    pub number: u16,
}

/// The fields of a program header that this program uses.
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    /// The size in the file.
    pub(crate) size: u64,
    /// The size in memory.
    pub(crate) memory: u64,
    /// Whether its memory is writable.
    pub(crate) is_writable: bool,
    /// Whether it is mapped executable.
    pub(crate) is_executable: bool,
}

/// The fields of a section header that this module uses.
struct SectionHeader {
    name: u64,
    kind: u32,
    offset: u64,
    size: u64,
    link: u64,
}

/// The bytes of an ELF file, with its machine.
pub(crate) struct File<'a> {
    /// The start of the file, or all of it.
    bytes: &'a [u8],
    pub(crate) machine: Machine,
}

impl<'a> File<'a> {
    /// Reads the identification and the machine.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, ElfError> {
        let class = bytes.get(EI_CLASS).copied();
        let order = bytes.get(EI_DATA).copied();
        let (wide, big) = match (class, order) {
            _ if !bytes.starts_with(ELFMAG) => return Err(ElfError::Class),
            (
                Some(class @ (ELFCLASS32 | ELFCLASS64)),
                Some(order @ (ELFDATA2LSB | ELFDATA2MSB)),
            ) => (class == ELFCLASS64, order == ELFDATA2MSB),
            _ => return Err(ElfError::Class),
        };
        let number = 0;
        let machine = Machine { wide, big, number };
        let mut file = Self { bytes, machine };
        // A file that ends before this field is reported as truncated when its headers are read.
        let number = file.number_at("the machine", E_MACHINE, 2);
        file.machine.number = number.unwrap_or_default() as u16;
        Ok(file)
    }

    fn layout(&self) -> &'static Layout {
        if self.machine.wide { &ELF64 } else { &ELF32 }
    }

    /// Returns the size of an address in bytes.
    pub(crate) fn word(&self) -> u64 {
        self.layout().word
    }

    /// Returns whether the kernel can execute a file of this type (`ET_EXEC` or `ET_DYN`).
    pub(crate) fn is_executable(&self) -> Result<bool, ElfError> {
        Ok(matches!(self.kind()?, ET_EXEC | ET_DYN))
    }

    /// Returns whether the header is that of a library for Linux. Checks the operating system, the version of its ABI
    /// (0 unless the system is `ELFOSABI_LINUX`), the unused bytes, the type of the file, and the version of ELF.
    pub(crate) fn is_library(&self) -> Result<bool, ElfError> {
        let identity = self.slice("the header", EI_OSABI, EI_REST)?;
        let is_linux = matches!(identity, [0, 0, 0, 0, 0, 0, 0, 0, 0])
            || matches!(identity, [ELFOSABI_LINUX, _, 0, 0, 0, 0, 0, 0, 0]);
        let version = self.number_at("the version", E_VERSION, 4)?;
        Ok(is_linux && self.kind()? == ET_DYN && version == EV_CURRENT)
    }

    fn kind(&self) -> Result<u64, ElfError> {
        self.number_at("the type", E_TYPE, 2)
    }

    /// Returns the program headers.
    pub(crate) fn program_headers(&self) -> Result<Vec<ProgramHeader>, ElfError> {
        let what = "the program headers";
        let layout = self.layout();
        let start = self.number_at(what, layout.e_phoff, layout.word)?;
        let size = self.number_at(what, layout.e_phentsize, 2)?;
        let count = self.number_at(what, layout.e_phnum, 2)?;
        if count > HEADERS_MAX {
            let (what, limit) = ("program headers", HEADERS_MAX);
            return Err(ElfError::TooMany { what, limit });
        }
        if count > 0 && size != layout.phdr {
            return Err(ElfError::Damaged("the size of a program header"));
        }
        let one = |n: u64| {
            let at = start.saturating_add(n * size);
            // One check for all fields, so that the additions below cannot overflow.
            self.slice(what, at, layout.phdr)?;
            let flags = self.number_at(what, at + layout.p_flags, 4)?;
            Ok(ProgramHeader {
                kind: self.number_at(what, at, 4)? as u32,
                offset: self.number_at(what, at + layout.p_offset, layout.word)?,
                address: self.number_at(what, at + layout.p_vaddr, layout.word)?,
                size: self.number_at(what, at + layout.p_filesz, layout.word)?,
                memory: self.number_at(what, at + layout.p_memsz, layout.word)?,
                is_writable: flags & PF_W != 0,
                is_executable: flags & PF_X != 0,
            })
        };
        (0..count).map(one).collect()
    }

    /// Returns the bytes of the first section called `name` that has data in the file; `None` if there is none. All
    /// bytes of the file must have been passed to [`File::new`].
    pub(crate) fn section(&self, name: &[u8]) -> Result<Option<&'a [u8]>, ElfError> {
        let what = "an ELF header";
        let layout = self.layout();
        let start = self.number_at(what, layout.e_shoff, layout.word)?;
        let entry = self.number_at(what, layout.e_shentsize, 2)?;
        let mut count = self.number_at(what, layout.e_shnum, 2)?;
        let mut names = self.number_at(what, layout.e_shstrndx, 2)?;
        if start == 0 {
            return Ok(None);
        }
        // Numbers that do not fit into the file header are in the first section header.
        if count == 0 {
            count = self.section_header(start)?.size;
        }
        if names == SHN_XINDEX {
            names = self.section_header(start)?.link;
        }
        let header = |n: u64| {
            let at = n.checked_mul(entry).and_then(|at| at.checked_add(start));
            self.section_header(at.unwrap_or(u64::MAX))
        };
        let names = self.contents(&header(names)?)?;
        // If the header size is 0, all headers are read at the same offset, and the end of the file does not stop the
        // loop. So the count is limited to the number of headers that fit into the file.
        let count = count.min(self.bytes.len() as u64 / entry.max(1));
        for n in 1..count {
            let header = header(n)?;
            let found = usize::try_from(header.name)
                .ok()
                .and_then(|at| names.get(at..));
            let found = found.and_then(|rest| rest.split(|&byte| byte == 0).next());
            if found == Some(name) && header.kind != SHT_NOBITS {
                return self.contents(&header).map(Some);
            }
        }
        Ok(None)
    }

    fn section_header(&self, at: u64) -> Result<SectionHeader, ElfError> {
        let what = "a section header";
        let layout = self.layout();
        // One check for all fields, so that the additions below cannot overflow.
        self.slice(what, at, layout.shdr)?;
        Ok(SectionHeader {
            name: self.number_at(what, at, 4)?,
            kind: self.number_at(what, at + 4, 4)? as u32,
            offset: self.number_at(what, at + layout.sh_offset, layout.word)?,
            size: self.number_at(what, at + layout.sh_size, layout.word)?,
            link: self.number_at(what, at + layout.sh_link, 4)?,
        })
    }

    fn contents(&self, header: &SectionHeader) -> Result<&'a [u8], ElfError> {
        self.slice("a section", header.offset, header.size)
    }

    /// Returns the `size` bytes at `offset`. An error calls them `what`.
    pub(crate) fn slice(
        &self,
        what: &'static str,
        offset: u64,
        size: u64,
    ) -> Result<&'a [u8], ElfError> {
        let slice = || {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(size).ok()?)?;
            self.bytes.get(start..end)
        };
        slice().ok_or(ElfError::Truncated { what, offset })
    }

    /// Returns the number of bytes that were passed to [`new`](Self::new).
    pub(crate) fn held(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Returns the unsigned integer that is stored in `size` bytes at `offset`. An error calls the bytes `what`.
    pub(crate) fn number_at(
        &self,
        what: &'static str,
        offset: u64,
        size: u64,
    ) -> Result<u64, ElfError> {
        Ok(self.number(self.slice(what, offset, size)?))
    }

    /// Decodes an unsigned integer from `bytes`, in the file's byte order.
    pub(crate) fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.machine.big {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        }
    }

    /// Returns the bytes from `offset` up to the next NUL, without it. The NUL must be within [`STRING_MAX`] bytes.
    pub(crate) fn string(&self, what: &'static str, offset: u64) -> Result<Vec<u8>, ElfError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let rest = &rest[..rest.len().min(STRING_MAX)];
        match rest.iter().position(|&byte| byte == 0) {
            Some(end) => Ok(rest[..end].to_vec()),
            None => Err(ElfError::Truncated { what, offset }),
        }
    }
}
