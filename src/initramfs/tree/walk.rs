// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves paths through the links inside the image.

use std::collections::BTreeMap;

use super::node::{BUILT_IN, Node};
use crate::initramfs::stream::entry::EntryType;

/// The error that a path cannot be resolved in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A component does not exist, or the path has too many components.
    #[error("`{}` is not in the image", missing.escape_ascii())]
    NotFound {
        /// The path without links that does not exist, or at which the components became too many.
        missing: Vec<u8>,
        /// Whether a link was followed on the way to the missing path.
        through_link: bool,
    },
    /// A component before the last one is not a directory.
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
        /// `link_depth` for [`Limits::link_depth`](crate::initramfs::Limits::link_depth), or `path_steps` if the path
        /// with the targets of its links has too many components.
        name: &'static str,
        /// The value of the limit.
        value: u32,
        /// The path of the last link that was found; it leads through no other link.
        path: Vec<u8>,
        /// The number of the link's entry in the whole file, from 0.
        entry: u64,
        /// The number of the segment with the link's entry, from 0.
        segment: u32,
    },
}

/// Upper bound of the components that are looked up for one path, including those of link targets. A path of maximum
/// length has no more.
const STEPS: u32 = 2048;

/// Resolves `path` from the root in `nodes`. A link in the last component is followed only with `follow`. The result is
/// a key of `nodes`, the root (empty), or a built-in directory.
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
                // The path itself has too many components; no link was followed.
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
