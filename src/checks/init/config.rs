// SPDX-License-Identifier: MIT OR Apache-2.0
//! What tells glibc's dynamic linker where libraries are: `ld.so.cache`, and `ld.so.conf`, from
//! which ldconfig makes it.
//!
//! Bytes in, values out; no number in the cache is believed.

use std::collections::HashMap;

use crate::initramfs::Inventory;

/// How many configuration files may include each other.
const INCLUDES_MAX: usize = 64;

/// Name to paths, in the order of the cache; `None` when it is no cache that can be read.
pub(super) fn cache(bytes: &[u8], big: bool) -> Option<HashMap<Vec<u8>, Vec<Vec<u8>>>> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    // The old format may stand before it.
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

/// The directories of `etc/ld.so.conf` and what it includes.
pub(super) fn conf_dirs(inventory: &Inventory) -> Vec<Vec<u8>> {
    let mut dirs = Vec::new();
    let mut todo = vec![b"etc/ld.so.conf".to_vec()];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        seen += 1;
        if seen > INCLUDES_MAX {
            break;
        }
        let data = inventory.data(&path).unwrap_or_default();
        for line in data.split(|&byte| byte == b'\n') {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            let line = line.trim_ascii();
            match line.strip_prefix(b"include") {
                Some(rest) if rest.first().is_some_and(u8::is_ascii_whitespace) => {
                    todo.extend(included(inventory, rest.trim_ascii()));
                }
                _ if line.is_empty() || line.starts_with(b"hwcap") => {}
                _ => dirs.push(line.to_vec()),
            }
        }
    }
    dirs
}

/// The files of an include line, which may have one `*` in its last part.
fn included(inventory: &Inventory, pattern: &[u8]) -> Vec<Vec<u8>> {
    let absolute = pattern.starts_with(b"/");
    let pattern = if absolute {
        pattern.to_vec()
    } else {
        [b"etc/", pattern].concat()
    };
    let slash = pattern.iter().rposition(|&byte| byte == b'/');
    let (dir, name) = pattern.split_at(slash.map_or(0, |slash| slash + 1));
    let Some(star) = name.iter().position(|&byte| byte == b'*') else {
        return vec![pattern];
    };
    let (start, end) = (&name[..star], &name[star + 1..]);
    let fits = |child: &[u8]| {
        child.len() >= start.len() + end.len() && child.starts_with(start) && child.ends_with(end)
    };
    let children = inventory.children(dir).into_iter();
    let children = children.filter(|(child, _)| fits(child));
    children.map(|(child, _)| [dir, child].concat()).collect()
}
