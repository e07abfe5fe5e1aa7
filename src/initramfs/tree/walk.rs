// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths resolved through the links inside the image.

use std::collections::BTreeMap;

use super::node::{BUILT_IN, Node};
use crate::initramfs::stream::entry::EntryType;

/// The error that a path cannot be resolved in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A component does not exist.
    #[error("`{}` is not in the image", missing.escape_ascii())]
    NotFound {
        /// The path that does not exist, without links.
        missing: Vec<u8>,
        /// Whether a link led to it.
        through_link: bool,
    },
    /// A component is not a directory.
    #[error("`{}` is not a directory", path.escape_ascii())]
    NotADirectory {
        /// The component's path, without links.
        path: Vec<u8>,
    },
    /// A limit is exceeded.
    #[error(
        "limit {name} = {value} exceeded at `{}` (entry {entry} of the file, in segment {segment})",
        path.escape_ascii()
    )]
    Limit {
        /// [`Limits::link_depth`](crate::initramfs::Limits::link_depth), or `path_steps` if few links have long
        /// targets.
        name: &'static str,
        /// The value of the limit.
        value: u32,
        /// The link at which the limit was exceeded, without links in its path.
        path: Vec<u8>,
        /// The number of the entry of this link in the whole file.
        entry: u64,
        /// The number of the entry's segment, from 0.
        segment: u32,
    },
}

/// Upper bound of names that are looked up for one path, so that a loop of links takes no longer than a path of maximum
/// length.
const STEPS: u32 = 2048;

/// Resolves `path` from the root in `nodes`. With `follow`, the last component is followed, too. The result is a key of
/// `nodes`, the root, or a built-in directory.
pub(in crate::initramfs) fn walk(
    nodes: &BTreeMap<Vec<u8>, Node>,
    path: &[u8],
    follow: bool,
    link_depth: u32,
) -> Result<Vec<u8>, ResolveError> {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        let parts = path.split(|&byte| byte == b'/');
        parts
            .filter(|part| !part.is_empty() && *part != b".")
            .map(<[u8]>::to_vec)
            .rev()
            .collect()
    };
    let mut todo = parts(path);
    let mut here: Vec<u8> = Vec::new();
    let mut links = 0;
    let mut steps = 0;
    let mut last: Option<(Vec<u8>, &Node)> = None;
    let limit = |name, value, (path, link): (Vec<u8>, &Node)| ResolveError::Limit {
        name,
        value,
        path,
        entry: link.entry,
        segment: link.segment,
    };
    while let Some(part) = todo.pop() {
        steps += 1;
        if steps > STEPS {
            return Err(match last {
                Some(link) => limit("path_steps", STEPS, link),
                // The path itself has too many names, without any link.
                None => ResolveError::NotFound {
                    missing: here,
                    through_link: false,
                },
            });
        }
        let length = here.len();
        if part == b".." {
            here.truncate(here.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
            continue;
        }
        if !here.is_empty() {
            here.push(b'/');
        }
        here.extend_from_slice(&part);
        match nodes.get(&here) {
            Some(node) if node.kind == EntryType::Symlink && (follow || !todo.is_empty()) => {
                links += 1;
                if links > link_depth {
                    return Err(limit("link_depth", link_depth, (here, node)));
                }
                last = Some((here.clone(), node));
                here.truncate(if node.target.starts_with(b"/") {
                    0
                } else {
                    length
                });
                todo.extend(parts(&node.target));
            }
            Some(node) if node.kind != EntryType::Directory && !todo.is_empty() => {
                return Err(ResolveError::NotADirectory { path: here });
            }
            Some(_) => {}
            None if BUILT_IN.contains(&here.as_slice()) => {}
            None => {
                return Err(ResolveError::NotFound {
                    missing: here,
                    through_link: links > 0,
                });
            }
        }
    }
    Ok(here)
}
