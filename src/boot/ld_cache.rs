// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses `ld.so.cache` (`struct cache_file_new` of glibc's `dl-cache.h`), with which glibc's dynamic linker finds
//! libraries. The linker does not read `ld.so.conf`, from which ldconfig creates the cache.
//!
//! Numbers in the cache are checked against its size.

use std::collections::HashMap;

/// Returns the paths of each library name, in the order of the cache; `None` if the cache cannot be parsed. `big` is
/// set for a big-endian machine.
pub(super) fn cache(bytes: &[u8], big: bool) -> Option<HashMap<Vec<u8>, Vec<Vec<u8>>>> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    // A cache in the old format can precede this one.
    let start = bytes.windows(MAGIC.len()).position(|it| it == MAGIC)?;
    let bytes = &bytes[start..];
    let number = |at: usize| {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        } as usize)
    };
    let string = |at: usize| {
        let rest = bytes.get(at..)?;
        Some(rest[..rest.iter().position(|&byte| byte == 0)?].to_vec())
    };
    let count = number(MAGIC.len())?;
    if count > bytes.len() / ENTRY {
        return None;
    }
    let mut names = HashMap::<_, Vec<_>>::new();
    for entry in 0..count {
        let at = HEADER + entry * ENTRY;
        let (name, path) = (string(number(at + 4)?)?, string(number(at + 8)?)?);
        names.entry(name).or_default().push(path);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_cache_is_read_without_a_panic() {
        let strings = b"libp.so.1\0/opt/lib/libp.so.1\0";
        let mut whole = b"glibc-ld.so.cache1.1".to_vec();
        whole.extend_from_slice(&1_u32.to_le_bytes());
        whole.resize(48, 0);
        for number in [0x303, 72, 82, 0, 0, 0_u32] {
            whole.extend_from_slice(&number.to_le_bytes());
        }
        whole.extend_from_slice(strings);
        let known = cache(&whole, false).unwrap();
        assert_eq!(known[b"libp.so.1".as_slice()], [b"/opt/lib/libp.so.1"]);
        for end in 0..whole.len() {
            cache(&whole[..end], false);
        }
    }
}
