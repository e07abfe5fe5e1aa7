// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the notes of an ELF file: its build-id, and the libraries that it opens by `dlopen`. The libraries are in
//! notes of the type `FDO_DLOPEN_METADATA` (in systemd since 256, in kmod since 34), each of which is a JSON array.
//!
//! Notes with malformed content are skipped, and an incomplete note ends the parsing.

use serde::Deserialize;

/// The type and the owner of notes about `dlopen`.
const DLOPEN: u64 = 0x407c_0c0a;
const OWNER: &[u8] = b"FDO\0";

/// The type and the owner of the build-id (`NT_GNU_BUILD_ID` of elf.h).
const BUILD_ID: (u64, &[u8]) = (3, b"GNU\0");

/// Upper bound of a build-id (bytes); most have 20.
const BUILD_ID_MAX: usize = 64;

/// Upper bound of the number of notes that are read from a segment; libsystemd-shared has about 40.
const NOTES_MAX: usize = 256;

/// Upper bound of the text of a note about `dlopen` (bytes); real ones have about 150.
const NOTE_MAX: usize = 4096;

/// A library that a file opens at run time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Opened {
    /// The feature that uses it, for example `fido2`; empty if the note does not name one.
    #[serde(default)]
    pub feature: String,
    /// `required`, `recommended` or `suggested`; empty if the note does not state it.
    #[serde(default)]
    pub priority: String,
    /// Its alternative sonames, of which one is sufficient.
    #[serde(default)]
    pub soname: Vec<String>,
}

impl Opened {
    /// Returns the size of the facts (bytes).
    pub(super) fn size_of_facts(&self) -> usize {
        let names = self.soname.iter().map(String::len);
        self.feature.len() + self.priority.len() + names.sum::<usize>()
    }
}

/// Returns the libraries in a segment of notes. `number` decodes an integer in the file's byte order.
pub(super) fn opened(notes: &[u8], number: impl Fn(&[u8]) -> u64) -> Vec<Opened> {
    let mut found = Vec::new();
    for note in all(notes, number) {
        let text = note.text;
        if note.kind == DLOPEN && note.owner == OWNER && text.len() <= NOTE_MAX {
            let end = text.iter().position(|&byte| byte == 0);
            let text = &text[..end.unwrap_or(text.len())];
            found.extend(serde_json::from_slice::<Vec<Opened>>(text).unwrap_or_default());
        }
    }
    found
}

/// Returns the first build-id in a segment of notes; `None` if there is none, or if it exceeds [`BUILD_ID_MAX`].
pub(super) fn build_id(notes: &[u8], number: impl Fn(&[u8]) -> u64) -> Option<Vec<u8>> {
    let mut notes = all(notes, number);
    let note = notes.find(|note| (note.kind, note.owner) == BUILD_ID)?;
    (note.text.len() <= BUILD_ID_MAX).then(|| note.text.to_vec())
}

/// Returns the notes of a segment up to the first incomplete one, at most [`NOTES_MAX`].
fn all<'a>(mut notes: &'a [u8], number: impl Fn(&[u8]) -> u64) -> impl Iterator<Item = Note<'a>> {
    let next = move || {
        let found = note(notes, &number)?;
        notes = found.rest;
        Some(found)
    };
    std::iter::from_fn(next).take(NOTES_MAX)
}

/// A note, and the bytes after it.
struct Note<'a> {
    kind: u64,
    owner: &'a [u8],
    text: &'a [u8],
    rest: &'a [u8],
}

/// Parses the first note; `None` if it is incomplete.
fn note<'a>(notes: &'a [u8], number: &impl Fn(&[u8]) -> u64) -> Option<Note<'a>> {
    let word = |at: usize| usize::try_from(number(notes.get(at..at + 4)?)).ok();
    let (owner, text) = (word(0)?, word(4)?);
    let start = 12_usize.checked_add(owner.checked_next_multiple_of(4)?)?;
    let end = start.checked_add(text)?;
    let next = end.checked_next_multiple_of(4)?;
    Some(Note {
        kind: number(notes.get(8..12)?),
        owner: notes.get(12..12_usize.checked_add(owner)?)?,
        text: notes.get(start..end)?,
        rest: notes.get(next..).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn little(bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    fn one(kind: u32, owner: &[u8], text: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for number in [owner.len() as u32, text.len() as u32, kind] {
            note.extend(number.to_le_bytes());
        }
        for part in [owner, text] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn notes_of_systemd() {
        let text = br#"[{"feature":"fido2","description":"x","priority":"suggested","soname":["libfido2.so.1"]}]"#;
        let notes = [
            one(3, b"GNU\0", b"build-id"),
            one(DLOPEN as u32, OWNER, text),
            one(DLOPEN as u32, OWNER, b"[{\"soname\":"),
            one(DLOPEN as u32, OWNER, b"[{\"soname\":[\"a\",\"b\"]}]\0"),
        ]
        .concat();
        let found = opened(&notes, little);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].feature.as_str(), found[0].soname.as_slice()),
            ("fido2", &["libfido2.so.1".to_owned()][..])
        );
        assert_eq!(found[1].soname, ["a", "b"]);
        for end in 0..notes.len() {
            assert!(opened(&notes[..end], little).len() <= 2);
        }
        assert_eq!(opened(&[0xff; 64], little), []);
    }
}
