// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the files that a boot uses, and the chain of files that leads to one of them.

use std::io::{self, Write};

use serde::Serialize;

use super::json::Name;
use super::name::Shown;
use crate::boot::{Graph, GraphFile};

/// A file that a boot may execute, load or read before the root is mounted.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GraphEntry {
    /// The file's path, without a leading `/`.
    #[serde(flatten)]
    pub name: Name,
    /// The file that uses this one; absent for a file that the kernel uses by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Name>,
    /// The way in which `from` or the kernel uses the file.
    pub why: String,
    /// Whether it is known that the root cannot be reached without the file.
    pub needed: bool,
}

/// Returns all files that a boot may use. A file comes after the file that uses it.
pub fn graph(graph: &Graph) -> Vec<GraphEntry> {
    graph.steps().iter().map(|it| entry(graph, it)).collect()
}

/// Returns the chain of files from PID 1 to the file at `path`, which must not contain links; only that file if the
/// kernel uses it by itself, and nothing if a boot does not use it.
pub fn way(graph: &Graph, path: &[u8]) -> Vec<GraphEntry> {
    let way = graph.way_to(path).into_iter();
    way.map(|it| entry(graph, it)).collect()
}

fn entry(graph: &Graph, step: &GraphFile) -> GraphEntry {
    let from = from(graph, step);
    GraphEntry {
        name: Name::new(step.path),
        from: from.map(Name::new),
        why: step.why.to_string(),
        needed: step.is_needed,
    }
}

fn from<'a>(graph: &Graph<'a>, step: &GraphFile) -> Option<&'a [u8]> {
    step.from
        .and_then(|at| graph.steps().get(at))
        .map(|it| it.path)
}

/// Writes a line for every file that a boot may use, sorted by path: whether the file is needed, its path, and the
/// reason.
///
/// # Errors
/// Those of `out`.
pub fn write_graph(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let mut steps: Vec<_> = graph.steps().iter().collect();
    steps.sort_by_key(|it| it.path);
    for step in steps {
        let needed = if step.is_needed { "needed" } else { "used" };
        write!(out, "{needed:<6}  {}  (", Shown(or_root(step.path)))?;
        write_reason(graph, step, out)?;
        writeln!(out, ")")?;
    }
    Ok(())
}

/// Writes the chain of [`way`], each file with the reason, and whether the file at `path` is needed. If no boot uses the
/// file, writes only this fact.
///
/// # Errors
/// Those of `out`.
pub fn write_way(graph: &Graph, path: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let way = graph.way_to(path);
    for step in &way {
        write!(out, "{}\n    ", Shown(step.path))?;
        write_reason(graph, step, out)?;
        writeln!(out)?;
    }
    match way.last() {
        Some(last) if last.is_needed => writeln!(out, "The root cannot be mounted without it."),
        Some(_) => writeln!(
            out,
            "A boot may use it; it is not known whether every boot does."
        ),
        None => writeln!(
            out,
            "{} is not used by anything that a boot starts.",
            Shown(path)
        ),
    }
}

fn write_reason(graph: &Graph, step: &GraphFile, out: &mut dyn Write) -> io::Result<()> {
    match from(graph, step) {
        None => write!(out, "{}", step.why),
        Some(from) => write!(out, "{} {}", Shown(or_root(from)), step.why),
    }
}

/// Returns `/` for the empty path, which is the root directory of the initramfs.
fn or_root(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}
