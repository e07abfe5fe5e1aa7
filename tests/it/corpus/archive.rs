// SPDX-License-Identifier: MIT OR Apache-2.0
//! A newc archive as a list of entries that can be changed. It implements only what regular programs write, and
//! shares no code with the reader that it tests.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

const HEADER: usize = 110;
pub const DIR: u32 = 0o040_755;
pub const FILE: u32 = 0o100_644;
pub const PROGRAM: u32 = 0o100_755;
pub const LINK: u32 = 0o120_777;

/// The entries of a newc archive that has been read, or is being made.
#[derive(Clone)]
pub struct Archive {
    bytes: Arc<Vec<u8>>,
    entries: Vec<Member>,
}

#[derive(Clone)]
struct Member {
    /// The fields of the header after the magic, in their order: from the inode to the size of the name and the
    /// checksum.
    fields: [u32; 13],
    name: Vec<u8>,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Kept(Range<usize>),
    New(Vec<u8>),
}

const INO: usize = 0;
const MODE: usize = 1;
const NLINK: usize = 4;
const SIZE: usize = 6;
const NAME_SIZE: usize = 11;

impl Archive {
    /// Reads all archives in `bytes` as one archive. The newest dracut writes two archives.
    pub fn read(bytes: Arc<Vec<u8>>) -> Self {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            let header = &bytes[at..at + HEADER];
            assert!(header.starts_with(b"07070"), "no newc header at byte {at}");
            let mut fields = [0; 13];
            for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
                *field = u32::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
            }
            let name_end = at + HEADER + fields[NAME_SIZE] as usize;
            let name = bytes[at + HEADER..name_end - 1].to_vec();
            let data = name_end.next_multiple_of(4);
            let end = data + fields[SIZE] as usize;
            if name == b"TRAILER!!!" {
                match bytes[end..].iter().position(|&byte| byte != 0) {
                    Some(padding) => at = end + padding,
                    None => return Self { bytes, entries },
                }
                continue;
            }
            // dracut's cpio pads names with NULs to align data.
            let used = name
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(name.len());
            entries.push(Member {
                fields,
                name: name[..used].to_vec(),
                data: Data::Kept(data..end),
            });
            at = end.next_multiple_of(4);
        }
    }

    /// Returns an archive without entries.
    pub fn empty() -> Self {
        Self {
            bytes: Arc::default(),
            entries: Vec::new(),
        }
    }

    /// Returns the bytes of the archive, including its trailer.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.without_trailer();
        let mut fields = [0; 13];
        fields[NLINK] = 1;
        write(&mut out, b"070701", fields, b"TRAILER!!!", b"");
        out
    }

    /// Returns the bytes of the archive without a trailer, as if its writer had not finished.
    pub fn without_trailer(&self) -> Vec<u8> {
        self.with_magic(b"070701")
    }

    fn with_magic(&self, magic: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + (1 << 20));
        for entry in &self.entries {
            write(&mut out, magic, entry.fields, &entry.name, self.data(entry));
        }
        out
    }

    /// Returns the bytes that `cpio -H crc` writes: the header of each file has the sum of the file's bytes.
    pub fn with_sums(&self) -> Vec<u8> {
        let mut summed = self.clone();
        for entry in &mut summed.entries {
            let data = self.data(entry);
            let sum = data
                .iter()
                .fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
            entry.fields[12] = sum;
        }
        let mut out = summed.with_magic(b"070702");
        write(&mut out, b"070702", [0; 13], b"TRAILER!!!", b"");
        out
    }

    fn data<'a>(&'a self, entry: &'a Member) -> &'a [u8] {
        match &entry.data {
            Data::Kept(range) => &self.bytes[range.clone()],
            Data::New(bytes) => bytes,
        }
    }

    fn position(&self, path: &str) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.name == path.as_bytes())
    }

    #[track_caller]
    fn find(&self, path: &str) -> usize {
        self.position(path)
            .unwrap_or_else(|| panic!("{path} is not in the archive"))
    }

    /// Returns the names of the entries, except names that are not UTF-8.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let names = self.entries.iter().map(|entry| entry.name.as_slice());
        names.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// Returns the first path that contains `part`.
    #[track_caller]
    pub fn path_with(&self, part: &str) -> String {
        let path = self.paths().find(|path| path.contains(part));
        path.unwrap_or_else(|| panic!("no {part} inside"))
            .to_owned()
    }

    /// Returns the data of an entry.
    #[track_caller]
    pub fn get(&self, path: &str) -> &[u8] {
        self.data(&self.entries[self.find(path)])
    }

    /// Returns the mode of an entry.
    #[track_caller]
    pub fn mode(&self, path: &str) -> u32 {
        self.entries[self.find(path)].fields[MODE]
    }

    /// Returns all entries that have UTF-8 names: the name, the mode and the data. Each name of a hard-linked file is
    /// returned with the file's data, although the archive stores the data only once.
    pub fn entries(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        self.entries.iter().filter_map(|entry| {
            let ino = entry.fields[INO];
            let is_same = |it: &&Member| it.fields[INO] == ino && it.fields[SIZE] > 0;
            let data = match self.entries.iter().find(is_same) {
                Some(it) if entry.fields[NLINK] > 1 => self.data(it),
                _ => self.data(entry),
            };
            Some((
                std::str::from_utf8(&entry.name).ok()?,
                entry.fields[MODE],
                data,
            ))
        })
    }

    /// Removes an entry.
    #[track_caller]
    pub fn remove(&mut self, path: &str) {
        let at = self.find(path);
        self.entries.remove(at);
    }

    /// Removes all entries whose names `fits` accepts; panics if there is none.
    #[track_caller]
    pub fn remove_all(&mut self, fits: impl Fn(&str) -> bool) {
        let before = self.entries.len();
        self.entries
            .retain(|entry| !fits(&String::from_utf8_lossy(&entry.name)));
        assert!(self.entries.len() < before, "nothing to remove");
    }

    /// Replaces the data of an entry.
    #[track_caller]
    pub fn replace(&mut self, path: &str, data: impl Into<Vec<u8>>) {
        let at = self.find(path);
        let data = data.into();
        self.entries[at].fields[SIZE] = data.len() as u32;
        self.entries[at].data = Data::New(data);
    }

    /// Replaces the mode of an entry.
    #[track_caller]
    pub fn set_mode(&mut self, path: &str, mode: u32) {
        let at = self.find(path);
        self.entries[at].fields[MODE] = mode;
    }

    /// Renames the entry `from` and all entries below it.
    pub fn rename_all(&mut self, from: &str, to: &str) {
        for entry in &mut self.entries {
            let name = String::from_utf8_lossy(&entry.name);
            if name == from || name.starts_with(&format!("{from}/")) {
                entry.name = name.replacen(from, to, 1).into_bytes();
            }
        }
    }

    /// Adds an entry at the end, after its missing parent directories. Replaces an entry with the same name.
    pub fn put(&mut self, path: &str, mode: u32, data: impl Into<Vec<u8>>) {
        if let Some(at) = self.position(path) {
            self.entries.remove(at);
        }
        for (at, _) in path.match_indices('/') {
            if at > 0 && self.position(&path[..at]).is_none() {
                self.append(&path[..at], DIR, Vec::new());
            }
        }
        self.append(path, mode, data);
    }

    /// Adds an entry at the end, even if another one has the same name.
    pub fn append(&mut self, path: &str, mode: u32, data: impl Into<Vec<u8>>) {
        let data = data.into();
        let mut fields = [0; 13];
        fields[INO] = 0x7000_0000 + self.entries.len() as u32;
        (fields[MODE], fields[NLINK], fields[SIZE]) = (mode, 1, data.len() as u32);
        self.entries.push(Member {
            fields,
            name: path.into(),
            data: Data::New(data),
        });
    }

    /// Adds a symbolic link as [`put`](Self::put) adds an entry.
    pub fn put_link(&mut self, path: &str, target: &str) {
        self.put(path, LINK, target);
    }
}

fn write(out: &mut Vec<u8>, magic: &[u8], mut fields: [u32; 13], name: &[u8], data: &[u8]) {
    fields[NAME_SIZE] = name.len() as u32 + 1;
    out.extend_from_slice(magic);
    for field in fields {
        write!(out, "{field:08x}").unwrap();
    }
    out.extend_from_slice(name);
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}
