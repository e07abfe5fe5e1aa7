// SPDX-License-Identifier: MIT OR Apache-2.0
//! Describes the differences between two builds that should be identical.

use std::fs::File;
use std::io::Seek;

use anyhow::{Context, Result};

use crate::initramfs::{Inventory, Keep, Limits, Segment, read_into};
use crate::inspect::{self, Shown, Summary};
use crate::sys::digest::Digesting;
use crate::sys::root::Root;

/// One of the two initramfs files, after it was read.
struct Build {
    summary: Summary,
    inventory: Inventory,
}

/// Returns the differences between two initramfs files as `inspect --diff` prints them; `None` if the bytes are the
/// same. `names` are the names of the two files in the text.
///
/// # Errors
/// When one of the files cannot be read.
pub fn difference(
    root: &Root,
    first: &str,
    second: &str,
    names: (&str, &str),
) -> Result<Option<String>> {
    let open = |path: &str| -> Result<File> {
        root.open_file(path)?
            .with_context(|| format!("/{path} is gone"))
    };
    let (one, two) = (open(first)?, open(second)?);
    let digest = |file: &File| -> Result<_> {
        Ok(Digesting::new(file.try_clone().context("reading it")?).finish()?)
    };
    if digest(&one)? == digest(&two)? {
        return Ok(None);
    }
    let (one, two) = (look(one)?, look(two)?);
    let diff = inspect::diff(
        (&one.summary, &one.inventory),
        (&two.summary, &two.inventory),
    );
    let mut text = Vec::new();
    inspect::write_diff(names, &diff, &mut text).context("writing the differences")?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if diff.is_empty() {
        text += &describe_bytes(&one.inventory, &two.inventory);
    }
    Ok(Some(text))
}

fn look(mut file: File) -> Result<Build> {
    file.rewind().context("reading it again")?;
    let bytes = file.metadata().context("reading it again")?.len();
    let limits = Limits::default();
    let keep = Keep {
        digests: true,
        ..Keep::default()
    };
    let mut inventory = Inventory::keeping(&limits, keep);
    let mut segments: Vec<Segment> = Vec::new();
    read_into(&file, &limits, &mut inventory, &mut segments)?;
    Ok(Build {
        summary: Summary::new(bytes, &segments, &inventory),
        inventory,
    })
}

/// Describes the difference between two builds whose files have the same names and contents: dates, order or compressed
/// bytes.
fn describe_bytes(one: &Inventory, two: &Inventory) -> String {
    let pairs = || one.nodes().zip(two.nodes());
    let dated: Vec<_> = pairs()
        .filter(|((_, a), (_, b))| a.mtime != b.mtime)
        .collect();
    if let Some(((path, a), (_, b))) = dated.first() {
        return format!(
            "The dates of {} names differ, the first of {}: {} and {}, in seconds since 1970.\n",
            dated.len(),
            Shown(path),
            a.mtime,
            b.mtime
        );
    }
    match pairs().find(|((_, a), (_, b))| a.entry != b.entry) {
        Some(((path, a), (_, b))) => format!(
            "The order differs: {} is entry {} and entry {}.\n",
            Shown(path),
            a.entry,
            b.entry
        ),
        None => "The archive's headers or the compressed data differ.\n".to_owned(),
    }
}
