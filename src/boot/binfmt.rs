// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of the kernel's `execve`: mode, `#!`, ELF (`fs/exec.c`, `fs/binfmt_script.c`,
//! `fs/binfmt_elf.c`, v6.12).

use super::show;
use crate::initramfs::{EntryType, Facts, Inventory, Node};

/// The number of bytes at the start of a file in which the kernel looks for a `#!` line (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;

/// The maximum number of nested interpreters. With more, the kernel fails with `ELOOP` (`exec_binprm`).
const SCRIPTS_MAX: usize = 5;

/// The directories in which a name without a slash is searched: those of systemd's `PATH`, then the others of the
/// `PATH` of dracut's scripts.
const PATH: [&[u8]; 6] = [
    b"usr/local/sbin",
    b"usr/local/bin",
    b"usr/sbin",
    b"usr/bin",
    b"sbin",
    b"bin",
];

/// The reason why the kernel does not start a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRun {
    /// No regular file has this path, or this name in a directory of [`PATH`].
    #[error("no such program")]
    Missing,
    /// The path leads to something other than a regular file.
    #[error("not a regular file")]
    NotAFile,
    /// The file has these permissions, without an execute bit.
    #[error("mode {0:04o}, which is not executable")]
    Mode(u32),
    /// The file is empty.
    #[error("an empty file")]
    Empty,
    /// The file is neither an ELF program nor a script whose `#!` line names an interpreter.
    #[error("neither an ELF program nor a script with `#!`")]
    Format,
    /// The dynamic linker of a program has no execute bit.
    #[error(
        "a program whose dynamic linker, {}, has mode {mode:04o}",
        show_name(linker)
    )]
    Linker {
        /// The path of the dynamic linker.
        linker: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
    /// The kernel cannot start the interpreter of a script, or an interpreter of that interpreter.
    #[error("a script for {}, {why}", show_name(interpreter))]
    Interpreter {
        /// The interpreter that cannot be started, as in the `#!` line.
        interpreter: Vec<u8>,
        /// The reason, as a relative clause for the message.
        why: String,
    },
    /// The name of the interpreter does not end within the first [`LINE`] bytes of the file.
    #[error("a script whose interpreter's name does not end within {LINE} bytes")]
    Long,
    /// The interpreters are scripts themselves, nested more than [`SCRIPTS_MAX`] deep.
    #[error("a script with more than {SCRIPTS_MAX} nested interpreters")]
    Nested,
}

impl CannotRun {
    /// Returns whether the fault is in the interpreter or in the dynamic linker, not in the program itself.
    pub fn is_of_another_file(&self) -> bool {
        matches!(self, Self::Interpreter { .. } | Self::Linker { .. })
    }
}

/// Returns the name of an interpreter or of a dynamic linker with escapes, so that a carriage return is visible.
fn show_name(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

/// Returns the path (without links) and the node of the file that the command name `name` runs; `None` if there is no
/// regular file. A name with a slash is a path. Any other name is searched in [`PATH`]: the result is the first
/// executable file, else the first file.
pub fn program<'a>(inventory: &'a Inventory, name: &[u8]) -> Option<(&'a [u8], &'a Node)> {
    let file = |path: &[u8]| {
        let (path, node) = inventory.resolve(path).ok()?;
        (node.kind == EntryType::File).then_some((path, node))
    };
    if name.contains(&b'/') {
        return file(name);
    }
    let found = PATH
        .iter()
        .filter_map(|dir| file(&[*dir, b"/", name].concat()));
    let mut first = None;
    for (path, node) in found {
        if node.mode & 0o111 != 0 {
            return Some((path, node));
        }
        first = first.or(Some((path, node)));
    }
    first
}

/// Checks that the kernel can start the program with this path, or with this name in `PATH`.
///
/// # Errors
/// The reason why the kernel cannot start it.
pub fn run(inventory: &Inventory, facts: &Facts, name: &[u8]) -> Result<(), CannotRun> {
    let mut name = name.to_vec();
    for depth in 0..=SCRIPTS_MAX {
        let outer = name.clone();
        let found = if depth > 0 && !name.contains(&b'/') {
            // The kernel opens an interpreter, and does not search it in PATH. The working directory is the root.
            inventory.resolve(&name).ok()
        } else {
            program(inventory, &name)
        };
        let next = match found.map(|(_, node)| step(inventory, facts, node)) {
            None => Err(CannotRun::Missing),
            Some(next) => next,
        };
        match next {
            Ok(None) => return Ok(()),
            Ok(Some(interpreter)) => name = interpreter,
            Err(why) if depth == 0 => return Err(why),
            Err(why @ CannotRun::Interpreter { .. }) => return Err(why),
            Err(why) => {
                let why = match why {
                    CannotRun::Missing => "which the initramfs does not have".to_owned(),
                    why => format!("which is {why}"),
                };
                return Err(CannotRun::Interpreter {
                    interpreter: outer,
                    why,
                });
            }
        }
    }
    Err(CannotRun::Nested)
}

/// Returns the interpreter that the kernel starts instead of `node`; `None` if the kernel starts the file itself.
fn step(inventory: &Inventory, facts: &Facts, node: &Node) -> Result<Option<Vec<u8>>, CannotRun> {
    if node.kind != EntryType::File {
        return Err(CannotRun::NotAFile);
    }
    if node.mode & 0o111 == 0 {
        return Err(CannotRun::Mode(node.mode & 0o7777));
    }
    let content = inventory.content(node).ok_or(CannotRun::Empty)?;
    if content.size == 0 {
        return Err(CannotRun::Empty);
    }
    if let Some(line) = content.head.strip_prefix(b"#!") {
        return interpreter(line, content.size as usize).map(|it| Some(it.to_vec()));
    }
    let elf = facts.elf(inventory, node);
    let is_program = !matches!(elf, Some(Ok(elf)) if !elf.is_program);
    if !content.is_elf() || !is_program {
        return Err(CannotRun::Format);
    }
    // The kernel opens the dynamic linker as a program, so the linker must be executable, too. A linker that does not
    // exist is reported by the check of the libraries.
    if let Some(Ok(elf)) = elf
        && let Some(linker) = &elf.interpreter
        && let Ok((_, node)) = inventory.resolve(linker)
        && node.kind == EntryType::File
        && node.mode & 0o111 == 0
    {
        let (linker, mode) = (linker.clone(), node.mode & 0o7777);
        return Err(CannotRun::Linker { linker, mode });
    }
    Ok(None)
}

/// Returns the interpreter in `line`, the text after `#!`, of a file of `size` bytes, by the rules of `load_script`. A
/// carriage return is a part of the name.
fn interpreter(line: &[u8], size: usize) -> Result<&[u8], CannotRun> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = &line[..line.len().min(LINE - 2)];
    let end = line.iter().position(|&byte| byte == b'\n');
    let is_whole = end.is_some() || size < LINE;
    let line = &line[..end.unwrap_or(line.len())];
    let line = &line[line.iter().take_while(|it| is_blank(it)).count()..];
    let length = line.iter().position(|byte| is_blank(byte) || *byte == 0);
    match length {
        None if !is_whole => Err(CannotRun::Long),
        Some(0) => Err(CannotRun::Format),
        _ if line.is_empty() => Err(CannotRun::Format),
        length => Ok(&line[..length.unwrap_or(line.len())]),
    }
}

/// Returns the text with which a finding reports that the program at `path` cannot start because of `why`.
pub fn said(path: &[u8], why: &CannotRun) -> String {
    match why {
        CannotRun::Missing => "no such program".to_owned(),
        why => format!("{}: {why}", show(path)),
    }
}
