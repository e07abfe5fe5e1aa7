// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod's indexes, `modules.dep.bin` and `modules.alias.bin`. libkmod, which udev and modprobe use, reads the indexes
//! instead of the text files. An initramfs without the indexes loads no module, even if its `modules.dep` is right.
//!
//! An index is a trie whose nodes are referenced by offset (kmod, `libkmod/libkmod-index.c`). The parser reads at most
//! as many bytes as the index has, so a hostile index takes time in proportion to its length.

use std::collections::HashSet;

use super::{ModuleName, ModulesDep};

const MAGIC: u32 = 0xB007_F457;

/// The major version: the upper 16 bits of the number after the magic number.
const VERSION: u32 = 2;

/// The flags in a reference to a node; the lower 28 bits are the node's offset.
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
const OFFSET: u32 = 0x0FFF_FFFF;

/// The error that an index is malformed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}, byte {offset}: {what}")]
pub struct IndexError {
    /// The name of the file, such as `modules.dep.bin`.
    pub file: &'static str,
    /// The offset of the error in the file (bytes).
    pub offset: usize,
    /// A description of the error, or the expected form of the value at `offset`.
    pub what: &'static str,
}

impl ModulesDep {
    /// Parses `modules.dep.bin`. Each key is a module's name, and its value is the module's line of `modules.dep`.
    ///
    /// # Errors
    /// When the bytes are not an index, when a value is not a line of `modules.dep`, when the line is about another
    /// module than the key, or when two lines are about the same path.
    pub fn parse_index(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut dep = Self::default();
        Index::of("modules.dep.bin", bytes).each(|key, line| {
            let name = dep.add(line)?;
            if name.as_bytes() == key {
                Ok(())
            } else {
                Err("a line under the name of its module")
            }
        })?;
        Ok(dep)
    }
}

/// Returns the modules that have an alias in `modules.alias.bin`.
///
/// # Errors
/// When the bytes are not an index, or a value is empty.
pub fn aliased(bytes: &[u8]) -> Result<HashSet<ModuleName>, IndexError> {
    // Some modules have thousands of aliases, so equal names are dropped before they are converted.
    let mut names = HashSet::new();
    Index::of("modules.alias.bin", bytes).each(|_, module| match module {
        b"" => Err("the name of a module"),
        name => {
            names.insert(name);
            Ok(())
        }
    })?;
    Ok(names.into_iter().filter_map(ModuleName::new).collect())
}

/// A parser of an index, with its position in the bytes.
struct Index<'a> {
    file: &'static str,
    bytes: &'a [u8],
    at: usize,
    /// The number of bytes that may still be read: the length of the index, less the bytes that were read.
    left: usize,
}

/// A node to read. Its key starts with the first `parent_key` bytes of the current key, which are the parent's key, and
/// then `branch`.
struct Next {
    reference: u32,
    parent_key: usize,
    branch: Option<u8>,
}

impl<'a> Index<'a> {
    fn of(file: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            file,
            bytes,
            at: 0,
            left: bytes.len(),
        }
    }

    /// Passes every key and value to `entry`, which returns the expected form if a value is malformed.
    fn each(
        mut self,
        mut entry: impl FnMut(&[u8], &'a [u8]) -> Result<(), &'static str>,
    ) -> Result<(), IndexError> {
        if self.number()? != MAGIC || self.number()? >> 16 != VERSION {
            return self.wrong(0, "not an index of kmod, version 2");
        }
        let mut key = Vec::new();
        let mut nodes = vec![Next {
            reference: self.number()?,
            parent_key: 0,
            branch: None,
        }];
        while let Some(node) = nodes.pop() {
            self.at = (node.reference & OFFSET) as usize;
            key.truncate(node.parent_key);
            key.extend(node.branch);
            if node.reference & HAS_PREFIX != 0 {
                key.extend(self.text()?);
            }
            if node.reference & HAS_CHILDREN != 0 {
                let (first, last) = (self.byte()?, self.byte()?);
                for branch in first..=last {
                    let reference = self.number()?;
                    // The reference is 0 if no key continues with this byte.
                    if reference != 0 {
                        nodes.push(Next {
                            reference,
                            parent_key: key.len(),
                            branch: Some(branch),
                        });
                    }
                }
            }
            if node.reference & HAS_VALUES != 0 {
                for _ in 0..self.number()? {
                    let _priority = self.number()?;
                    let offset = self.at;
                    let value = self.text()?;
                    entry(&key, value).or_else(|expected| self.wrong(offset, expected))?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return self.wrong(self.at, "it is truncated here");
        };
        let Some(left) = self.left.checked_sub(count) else {
            return self.wrong(self.at, "a part of it is referenced twice");
        };
        self.left = left;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, IndexError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, IndexError> {
        let bytes = self.take(4)?.try_into().unwrap_or_default();
        Ok(u32::from_be_bytes(bytes))
    }

    /// Reads up to a NUL, and returns the bytes before the NUL.
    fn text(&mut self) -> Result<&'a [u8], IndexError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == 0);
        let text = self.take(length.map_or(rest.len() + 1, |length| length + 1))?;
        Ok(&text[..text.len() - 1])
    }

    fn wrong<T>(&self, offset: usize, what: &'static str) -> Result<T, IndexError> {
        Err(IndexError {
            file: self.file,
            offset,
            what,
        })
    }
}
