// SPDX-License-Identifier: MIT OR Apache-2.0
//! Byte strings: paths and texts whose encoding is unknown.

/// Returns the last component of a path.
pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Returns true if `part` occurs in `text`; an empty part does not.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
