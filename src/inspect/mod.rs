// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people and programs want to read of an image: a summary, a listing, a difference.
//!
//! It must not read files or print. Its invariant: a name from an image is written through
//! [`Shown`] or [`json::Name`] only, so that none of it reaches a terminal as a control character.
//!
//! The map: `summary.rs` (segments, kernel, dracut, what takes the space, told by `space.rs`),
//! `listing.rs` (names as `ls -l` writes them, kernel modules), `origins.rs` (where files come
//! from), `graph.rs` (the files that a boot comes to), `diff.rs` (two images; written by
//! `changes.rs`), `json.rs` (names in JSON), `name.rs` and `text.rs` (names, sizes, dates and
//! columns for people).

mod changes;
mod diff;
mod graph;
pub mod json;
mod listing;
mod name;
mod origins;
mod space;
mod summary;
#[cfg(test)]
mod testing;
mod text;

pub use changes::write_diff;
pub use diff::{Changed, Changes, Diff, Item, Names, Side, diff};
pub use graph::{GraphEntry, graph, way, write_graph, write_way};
pub use listing::{FileEntry, ModuleEntry, files, modules, write_files, write_modules};
pub use name::Shown;
pub use origins::{OriginEntry, Provenance, origins, write_origins};
pub use space::{Share, Sized, Space};
pub use summary::{Dracut, Oddity, SegmentEntry, Summary, write_segments, write_summary};
