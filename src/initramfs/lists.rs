// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod's lists of the modules inside, read while they stream by: afterwards all would wait for that.
//!
//! It must not judge. Its invariant: it holds one file at a time, of at most [`FILE_MAX`] bytes, and reads no more than
//! [`ALL_MAX`] bytes of all.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io::{self, BufRead};

use super::entry::Entry;
use crate::kernel::modules::{ModuleName, ModulesDep, aliased};

/// Bytes of the largest list; `modules.alias.bin` of a whole kernel has 1.5 MiB.
const FILE_MAX: u64 = 4 << 20;

/// Bytes of all lists together. Those of a whole kernel have about 3 MiB.
const ALL_MAX: u64 = 8 << 20;

/// A list, or why it is none.
pub type List<T> = Result<T, String>;

/// What depmod wrote about the modules inside, by [`Entry::index`].
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) deps: HashMap<u64, List<ModulesDep>>,
    pub(super) aliased: HashMap<u64, List<HashSet<ModuleName>>>,
    spent: u64,
}

impl Lists {
    /// Reads the file, if it is a list of depmod's, through `buffer`.
    pub(super) fn read(
        &mut self,
        entry: &Entry,
        body: &mut dyn BufRead,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        match entry.path.rsplit(|&byte| byte == b'/').next() {
            Some(b"modules.dep") => {
                let list = self.parsed(entry, body, buffer, ModulesDep::parse)?;
                self.deps.insert(entry.index, list);
            }
            Some(b"modules.dep.bin") => {
                let list = self.parsed(entry, body, buffer, ModulesDep::parse_index)?;
                self.deps.insert(entry.index, list);
            }
            Some(b"modules.alias.bin") => {
                let list = self.parsed(entry, body, buffer, aliased)?;
                self.aliased.insert(entry.index, list);
            }
            _ => {}
        }
        Ok(())
    }

    fn parsed<T, E: Display>(
        &mut self,
        entry: &Entry,
        body: &mut dyn BufRead,
        buffer: &mut Vec<u8>,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> io::Result<List<T>> {
        let size = u64::from(entry.size);
        if size > FILE_MAX || self.spent + size > ALL_MAX {
            return Ok(Err(format!(
                "it has {size} bytes; at most {FILE_MAX} are read, and {ALL_MAX} of all such lists"
            )));
        }
        self.spent += size;
        buffer.clear();
        body.read_to_end(buffer)?;
        Ok(parse(buffer).map_err(|error| error.to_string()))
    }
}
