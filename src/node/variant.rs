// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the part of GVariant's serialization that ostree uses for its state in `/run`: dictionaries of type `a{sv}`.
//! The values that can be read are strings, lists of strings, booleans, pairs of numbers, and dictionaries of the same
//! type.
//!
//! A file in `/run` is small and written by root, but it is read as hostile input: every offset is checked, and a
//! malformed value is treated as absent. A malformed entry makes the whole dictionary absent. Padding is not checked.

/// Upper bound of a file with a dictionary (bytes). The file that ostree writes contains the kernel arguments and
/// little else.
pub const SIZE_MAX: u64 = 1 << 20;

/// Upper bound of elements in one dictionary or list.
const ELEMENTS_MAX: usize = 4096;

/// A serialized dictionary of type `a{sv}`.
#[derive(Debug, Clone, Copy)]
pub struct Dict<'a>(&'a [u8]);

/// A value with its type.
#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    kind: &'a [u8],
    data: &'a [u8],
}

impl<'a> Dict<'a> {
    /// Returns the dictionary in `bytes`; `None` if the bytes are not a dictionary. An empty slice is an empty
    /// dictionary.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let dict = Self(bytes);
        let elements = dict.elements()?;
        elements
            .iter()
            .all(|element| entry(element).is_some())
            .then_some(dict)
    }

    /// Returns the string of a key; `None` if the key does not exist or its value is not a string.
    pub fn string(&self, key: &str) -> Option<&'a str> {
        let value = self.get(key, b"s")?;
        text(value)
    }

    /// Returns the boolean of a key; `None` if the key does not exist or its value is not a boolean.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key, b"b")? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// Returns the list of strings of a key; `None` if the key does not exist or its value is not a list of strings.
    pub fn strings(&self, key: &str) -> Option<Vec<&'a str>> {
        let elements = elements(self.get(key, b"as")?, 1)?;
        elements.into_iter().map(text).collect()
    }

    /// Returns the dictionary of a key; `None` if the key does not exist or its value is not of the type `a{sv}`.
    pub fn dict(&self, key: &str) -> Option<Self> {
        Self::parse(self.get(key, b"a{sv}")?)
    }

    /// Returns the pair of numbers of a key; `None` if the key does not exist or its value is not a pair of numbers.
    /// The numbers are stored in the byte order of this machine.
    pub fn pair(&self, key: &str) -> Option<(u64, u64)> {
        let value = self.get(key, b"(tt)")?;
        let (first, second) = value.split_at_checked(8)?;
        let number = |bytes: &[u8]| Some(u64::from_ne_bytes(bytes.try_into().ok()?));
        Some((number(first)?, number(second)?))
    }

    /// Returns the data of the last entry with this key; `None` if there is none, or if its value has another type.
    fn get(&self, key: &str, kind: &[u8]) -> Option<&'a [u8]> {
        let elements = self.elements()?;
        let entries = elements.iter().filter_map(|element| entry(element));
        let mut found = entries.filter(|(name, _)| *name == key);
        let (_, value) = found.next_back()?;
        (value.kind == kind).then_some(value.data)
    }

    fn elements(&self) -> Option<Vec<&'a [u8]>> {
        elements(self.0, 8)
    }
}

/// Splits an array of elements of variable size. The offsets of the elements' ends follow the elements. Returns `None`
/// if an offset is invalid, or if there are more than [`ELEMENTS_MAX`] elements.
fn elements(array: &[u8], alignment: usize) -> Option<Vec<&[u8]>> {
    if array.is_empty() {
        return Some(Vec::new());
    }
    let width = offset_width(array.len());
    let table = offset(array, array.len().checked_sub(width)?, width)?;
    let ends = array.get(table..)?;
    if ends.is_empty() || ends.len() % width != 0 || ends.len() / width > ELEMENTS_MAX {
        return None;
    }
    let mut elements = Vec::new();
    let mut start = 0_usize;
    for at in (table..array.len()).step_by(width) {
        let end = offset(array, at, width)?;
        start = start.checked_next_multiple_of(alignment)?;
        if end > table {
            return None;
        }
        elements.push(array.get(start..end)?);
        start = end;
    }
    Some(elements)
}

/// Splits an entry of a dictionary into its key and its value: a string and a variant. The offset of the string's end
/// is at the end of the entry. Returns `None` if the entry is invalid.
fn entry(bytes: &[u8]) -> Option<(&str, Value<'_>)> {
    let width = offset_width(bytes.len());
    let table = bytes.len().checked_sub(width)?;
    let end = offset(bytes, table, width)?;
    let key = text(bytes.get(..end)?)?;
    let variant = bytes.get(end.checked_next_multiple_of(8)?..table)?;
    // In a variant, the type follows the data after a zero byte.
    let zero = variant.iter().rposition(|&byte| byte == 0)?;
    let value = Value {
        data: variant.get(..zero)?,
        kind: variant.get(zero + 1..)?,
    };
    Some((key, value))
}

/// Returns a string without the zero byte at its end; `None` if the string is invalid.
fn text(bytes: &[u8]) -> Option<&str> {
    let (zero, text) = bytes.split_last()?;
    let text = std::str::from_utf8(text).ok()?;
    (*zero == 0 && !text.contains('\0')).then_some(text)
}

/// Returns the number of bytes of each offset in a container of this size.
fn offset_width(size: usize) -> usize {
    match size {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

/// Reads an offset, which is little-endian on every machine; `None` if it is outside of `bytes`.
fn offset(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    let mut number = [0; 8];
    number.get_mut(..width)?.copy_from_slice(bytes);
    usize::try_from(u64::from_le_bytes(number)).ok()
}

#[cfg(test)]
pub(crate) mod testing {
    //! Writes dictionaries of the type `a{sv}` for tests.

    fn offset(bytes: &mut Vec<u8>, ends: &[usize]) {
        let body = bytes.len();
        let width = [1_usize, 2, 4]
            .into_iter()
            .find(|width| super::offset_width(body + ends.len() * width) == *width);
        for end in ends {
            bytes.extend(&end.to_le_bytes()[..width.unwrap_or(4)]);
        }
    }

    /// Returns an array of these elements, which have variable sizes and start at multiples of `alignment`.
    pub fn array(elements: &[Vec<u8>], alignment: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for element in elements {
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
            bytes.extend(element);
            ends.push(bytes.len());
        }
        offset(&mut bytes, &ends);
        bytes
    }

    /// Returns an entry of a dictionary: the key, and a variant of the type `kind` with serialized data.
    pub fn entry(key: &str, kind: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = [key.as_bytes(), b"\0"].concat();
        let end = bytes.len();
        bytes.resize(end.next_multiple_of(8), 0);
        bytes.extend([data, b"\0", kind.as_bytes()].concat());
        offset(&mut bytes, &[end]);
        bytes
    }

    /// Returns an entry with a string.
    pub fn string(key: &str, value: &str) -> Vec<u8> {
        entry(key, "s", &[value.as_bytes(), b"\0"].concat())
    }

    /// Returns an entry with a list of strings.
    pub fn strings(key: &str, values: &[&str]) -> Vec<u8> {
        let values = values.iter().map(|it| [it.as_bytes(), b"\0"].concat());
        entry(key, "as", &array(&values.collect::<Vec<_>>(), 1))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{array, entry, string, strings};
    use super::*;

    fn sample() -> Vec<u8> {
        let target = array(&[string("name", "abc.0"), string("osname", "os")], 8);
        let long = "x".repeat(300);
        array(
            &[
                entry("target", "a{sv}", &target),
                strings("kargs", &["root=UUID=1", "", &long]),
                entry("locked", "b", &[1]),
                entry("pair", "(tt)", &[7_u64, 9].map(u64::to_ne_bytes).concat()),
                entry("none", "as", b""),
            ],
            8,
        )
    }

    #[test]
    fn values_of_the_types_that_ostree_writes() {
        let bytes = sample();
        let dict = Dict::parse(&bytes).unwrap();
        let target = dict.dict("target").unwrap();
        assert_eq!(target.string("name"), Some("abc.0"));
        assert_eq!(target.string("osname"), Some("os"));
        assert_eq!(dict.strings("kargs").unwrap().len(), 3);
        assert_eq!(dict.strings("kargs").unwrap()[..2], ["root=UUID=1", ""]);
        assert_eq!(dict.strings("none").unwrap(), [""; 0]);
        assert_eq!(dict.boolean("locked"), Some(true));
        assert_eq!(dict.pair("pair"), Some((7, 9)));
        // The value has another type, or the key does not exist.
        assert_eq!(dict.string("kargs"), None);
        assert_eq!(dict.boolean("nothing"), None);
        assert!(Dict::parse(b"").unwrap().string("x").is_none());
    }

    /// Bytes that GLib 2.74 wrote for `{'a': <'b'>, 'l': <['x', 'yz']>, 'locked': <true>, 'p': <(uint64 7, uint64 9)>,
    /// 'target': <{'name': <'c.0'>}>}`. The numbers in `p` are little-endian.
    #[test]
    fn bytes_of_glib() {
        let bytes = b"a\0\0\0\0\0\0\0b\0\0s\x02\0\0\0l\0\0\0\0\0\0\0x\0yz\0\x02\x05\0as\x02\0\0\0\0\0locked\0\0\x01\0b\x07\0\0\0\0p\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\t\0\0\0\0\0\0\0\0(tt)\x02\0\0target\0\0name\0\0\0\0c.0\0\0s\x05\x0f\0a{sv}\x07\r#4Vw";
        let dict = Dict::parse(bytes).unwrap();
        assert_eq!(dict.string("a"), Some("b"));
        assert_eq!(dict.strings("l").unwrap(), ["x", "yz"]);
        assert_eq!(dict.boolean("locked"), Some(true));
        assert_eq!(dict.dict("target").unwrap().string("name"), Some("c.0"));
        if cfg!(target_endian = "little") {
            assert_eq!(dict.pair("p"), Some((7, 9)));
        }
    }

    #[test]
    fn every_truncation_and_change_is_read_without_a_panic() {
        let bytes = sample();
        for end in 0..bytes.len() {
            let _ = Dict::parse(&bytes[..end]).map(|it| it.strings("kargs"));
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                if let Some(dict) = Dict::parse(&bytes) {
                    let _ = (dict.strings("kargs"), dict.dict("target"));
                }
            }
        }
    }
}
