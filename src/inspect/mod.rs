// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output about an initramfs for people and programs: a summary, listings, the origins of files, the files that a boot
//! uses, and the difference from another initramfs.
//!
//! This module neither reads files nor prints. Invariant: a name from an initramfs is written only through [`Shown`] or
//! [`json::Name`], so that none of its control characters reaches a terminal.
//!
//! `summary.rs` (segments, kernel, dracut), `space.rs` (which files are large), `listing.rs` (names as in `ls -l`,
//! kernel modules), `origins.rs` (origins of files), `graph.rs` (the files that a boot uses), `diff.rs` (compares two
//! initramfs files), `changes.rs` (formats the difference), `json.rs` (names in JSON), `name.rs` and `text.rs` (names,
//! sizes, dates and columns for people).

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
