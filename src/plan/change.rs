// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages that a transaction changes, before and after it, and the table that shows them.

use serde::{Deserialize, Serialize};

use crate::package::Nevra;

/// A package of the base and its replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// The package before the transaction; `None` if `after` replaces no package.
    pub before: Option<Nevra>,
    /// The package after the transaction; `None` if no package replaces `before`.
    pub after: Option<Nevra>,
}

/// Formats a table: a heading, one line per change, and one line per package in `stays`. A line has the name, the
/// version and release before, and those after, with the new name if it differs. Empty if both lists are empty.
pub fn table(changes: &[Change], stays: &[Nevra]) -> String {
    if changes.is_empty() && stays.is_empty() {
        return String::new();
    }
    let evr = |it: &Nevra| match it.epoch {
        0 => format!("{}-{}", it.version, it.release),
        epoch => format!("{epoch}:{}-{}", it.version, it.release),
    };
    let row = |change: &Change| {
        let name = change.before.as_ref().or(change.after.as_ref());
        let name = name.map(|it| it.name.clone()).unwrap_or_default();
        let before = change.before.as_ref().map_or("-".to_owned(), evr);
        let after = match &change.after {
            None => "-".to_owned(),
            Some(it) if it.name == name => evr(it),
            Some(it) => format!("{} {}", it.name, evr(it)),
        };
        [name, before, after]
    };
    let head = ["package", "before", "after"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head)
        .chain(changes.iter().map(row))
        .chain(
            stays
                .iter()
                .map(|it| [it.name.clone(), evr(it), "stays".to_owned()]),
        )
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let line = |[name, before, after]: &[String; 3]| {
        format!("  {name:<first$}  {before:<second$}  {after}\n")
    };
    rows.iter().map(line).collect()
}
