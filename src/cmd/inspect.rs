// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel inspect`: shows the content of an initramfs, or the differences between two.
//!
//! The argument is an initramfs file (with `--root`, a path in that tree) or a container image, whose initramfs is then
//! inspected. The initramfs is read and never extracted.

mod input;

use std::ffi::OsString;
use std::io::{self, BufRead, Seek, Write};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use self::input::{ImageInput, ReadPart};
use super::page::{self, Global, OutputFormat};
use super::reading::Reading;
use crate::boot::{Graph, RootSetup, Trace};
use crate::bytes::basename;
use crate::initramfs::{
    Bodies, Entry, EntryType, Inventory, Limits, ResolveError, Visitor, read_into,
};
use crate::inspect::{self, SegmentEntry, Shown, Summary};
use crate::report::documents::{Damaged, Difference, Failure, Inspected, InspectedLists, Why};
use crate::report::{Outcome, SchemaVersion, tool};
use crate::steps::verify::Disk;
use crate::sys::root::Root;

/// Shows the content of an initramfs: segments, kernel, dracut's modules and
/// arguments, and the largest files and directories. Changes and extracts nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Initramfs file (with --root, a path in that tree), or an image with its transport
    #[arg(value_name = "FILE|IMAGE")]
    pub image: OsString,
    /// List all files as `ls -l` does, with times in UTC
    #[arg(long, group = "what")]
    pub files: bool,
    /// List the kernel modules with size, name and path
    #[arg(long, group = "what")]
    pub modules: bool,
    /// List the origin of each file: the tree (--root), a dracut module, dracut itself, or unknown
    #[arg(long, group = "what")]
    pub origins: bool,
    /// List the files that a boot uses before the root is mounted, each with the file that uses it
    #[arg(long, group = "what")]
    pub graph: bool,
    /// Show the chain of files from PID 1 to the file PATH
    #[arg(long, group = "what", value_name = "PATH")]
    pub why: Option<OsString>,
    /// Print the content of the file PATH; links are followed inside the initramfs
    #[arg(long, group = "what", value_name = "PATH")]
    pub cat: Option<OsString>,
    /// Show the changes from this initramfs to OTHER, a file or an image
    #[arg(long, group = "what", value_name = "OTHER")]
    pub diff: Option<OsString>,
    /// How to read images.
    #[command(flatten)]
    pub reading: Reading,
}

/// Runs the command.
///
/// # Errors
/// When an initramfs cannot be opened or read to its end, does not contain the file of `--cat` or `--why`, or the
/// result cannot be printed. With `--format json`, a listing or the summary of a damaged initramfs is not an error: the
/// outcome is [`Outcome::Unknown`].
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    let image = ImageInput::open(&args.image, args, global)?;
    if let Some(path) = &args.cat {
        cat(&image, path.as_bytes())?;
        return Ok(Outcome::Passed);
    }
    if let Some(other) = &args.diff {
        diff(
            &image,
            &ImageInput::open(other, args, global)?,
            global.format,
        )?;
        return Ok(Outcome::Passed);
    }
    if let Some(path) = &args.why {
        why(&image, path.as_bytes(), global.format)?;
        return Ok(Outcome::Passed);
    }
    let root = match &image.root {
        _ if !args.origins => None,
        Some(root) => Some(root.clone()),
        None => Some(Root::open(&global.root)?),
    };
    let mut content = match (&root, args.graph) {
        (Some(root), _) => {
            let mut disk = Disk::beside(root, &image.file)?;
            image.read_with(&mut Bodies::new(Some(&mut disk)))
        }
        (None, true) => image.read_with(&mut Bodies::new(None)),
        (None, false) => image.read_names(false),
    };
    match content.failed.take() {
        None => {
            show(args, &image, &content, global.format)?;
            Ok(Outcome::Passed)
        }
        Some(error) => show_broken(args, &content, image.unreadable(error), global.format),
    }
}

fn show(args: &Args, image: &ImageInput, content: &ReadPart, format: OutputFormat) -> Result<()> {
    let summary = Summary::new(image.bytes, &content.segments, &content.inventory);
    if format == OutputFormat::Json {
        return print_json(&Inspected {
            schema: SchemaVersion,
            summary: &summary,
            lists: lists(args, content),
        });
    }
    page::print_with(|out| match list(args, content, out) {
        Some(done) => done,
        None => inspect::write_summary(&image.name, &summary, out),
    })
    .context("printing the result")
}

/// Prints the part of the initramfs that was read before `error`. With the text format, then returns the error; with
/// JSON, the printed document contains the error, and the outcome is unknown.
fn show_broken(
    args: &Args,
    content: &ReadPart,
    error: anyhow::Error,
    format: OutputFormat,
) -> Result<Outcome> {
    let segments: Vec<_> = content.segments.iter().map(SegmentEntry::from).collect();
    if format == OutputFormat::Human {
        let shown = page::print_with(|out| match list(args, content, out) {
            Some(done) => done,
            None => inspect::write_segments(&segments, out),
        });
        shown.context("printing the result")?;
        return Err(error);
    }
    print_json(&Damaged {
        failure: Failure::new(format!("{error:#}")),
        segments: &segments,
        lists: lists(args, content),
    })?;
    tracing::error!("{error:#}");
    Ok(Outcome::Unknown)
}

/// Writes the requested listing; `None` without `--files`, `--origins`, `--graph` and `--modules`.
fn list(args: &Args, content: &ReadPart, out: &mut dyn Write) -> Option<io::Result<()>> {
    if args.files {
        return Some(inspect::write_files(&content.inventory, out));
    }
    if args.origins {
        return Some(inspect::write_origins(
            &content.inventory,
            &content.facts,
            out,
        ));
    }
    if args.graph {
        return Some(inspect::write_graph(&graph_of(content), out));
    }
    args.modules
        .then(|| inspect::write_modules(&content.inventory, out))
}

/// Returns the lists for the JSON output: the requested one, and `None` for the others.
fn lists(args: &Args, content: &ReadPart) -> InspectedLists {
    let inventory = &content.inventory;
    let origins = || inspect::origins(inventory, &content.facts);
    InspectedLists {
        files: args.files.then(|| inspect::files(inventory)),
        modules: args.modules.then(|| inspect::modules(inventory)),
        origins: args.origins.then(origins),
        graph: args.graph.then(|| inspect::graph(&graph_of(content))),
    }
}

/// Returns the files that a boot from the initramfs uses.
fn graph_of(content: &ReadPart) -> Graph<'_> {
    let (inventory, facts) = (&content.inventory, &content.facts);
    let setup = RootSetup::of(inventory);
    let mut graph = Trace::new(inventory, facts, setup).graph;
    graph.add_kernel_files(inventory);
    graph
}

/// Prints the chain of files through which a boot uses the file at `path`. Links in `path` are followed, except in its
/// last component: if that is a link, the chain leads to the link, not to the link's target.
fn why(image: &ImageInput, path: &[u8], format: OutputFormat) -> Result<()> {
    let content = image.whole(image.read_with(&mut Bodies::new(None)))?;
    let (path, _) = content
        .inventory
        .resolve_link(path)
        .map_err(|error| explain(&content.inventory, path, error))
        .with_context(|| format!("looking for {} in {}", Shown(path), image.name))?;
    let graph = graph_of(&content);
    if format == OutputFormat::Json {
        let way = inspect::way(&graph, path);
        return print_json(&Why {
            schema: SchemaVersion,
            tool: tool(),
            why: way,
        });
    }
    page::print_with(|out| inspect::write_way(&graph, path, out)).context("printing the result")
}

fn print_json(document: &impl Serialize) -> Result<()> {
    page::print(&crate::text::ascii(&page::json(document)?)).context("printing the result")
}

fn diff(image: &ImageInput, other: &ImageInput, format: OutputFormat) -> Result<()> {
    let (before, after) = (image.read(true)?, other.read(true)?);
    let summary =
        |image: &ImageInput, it: &ReadPart| Summary::new(image.bytes, &it.segments, &it.inventory);
    let diff = inspect::diff(
        (&summary(image, &before), &before.inventory),
        (&summary(other, &after), &after.inventory),
    );
    if format == OutputFormat::Json {
        return print_json(&Difference {
            schema: SchemaVersion,
            diff: &diff,
        });
    }
    page::print_with(|out| inspect::write_diff((&image.name, &other.name), &diff, out))
        .context("printing the result")
}

/// Writes one file of the initramfs to standard output. The initramfs is read twice: a later entry can replace an
/// earlier one with the same path, so the entry that holds the data is known only at the end.
fn cat(image: &ImageInput, path: &[u8]) -> Result<()> {
    let content = image.read(false)?;
    let entry = find(&content.inventory, path)
        .with_context(|| format!("looking for {} in {}", Shown(path), image.name))?;
    let again = || format!("reading {} again", image.name);
    (&image.file).rewind().with_context(again)?;
    let mut copied = None;
    let printed = page::print_with(|out| {
        let mut copy = Copy {
            entry,
            out,
            done: None,
        };
        let ended = read_into(&image.file, &Limits::default(), &mut copy, &mut Vec::new());
        match (copy.done, ended) {
            (Some(done), _) => {
                copied = Some(Ok(()));
                done
            }
            (None, ended) => {
                copied = ended.err().map(Err);
                Ok(())
            }
        }
    });
    printed.context("printing the file")?;
    match copied {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(error).with_context(again),
        None => bail!("{}: the file is gone; was the image changed?", again()),
    }
}

/// Returns the number of the entry that holds the data of the file at `path`.
fn find(inventory: &Inventory, path: &[u8]) -> Result<u64> {
    let node = match inventory.resolve(path) {
        Ok((_, node)) => node,
        // The inventory has no node for the root directory.
        Err(ResolveError::NotFound { missing, .. }) if missing.is_empty() => {
            bail!("it is a directory")
        }
        Err(error) => return Err(explain(inventory, path, error)),
    };
    match inventory.content(node) {
        Some(content) => Ok(content.entry),
        None => bail!("{}", not_a_file(node.kind)),
    }
}

fn not_a_file(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Directory => "it is a directory",
        EntryType::CharDevice => "it is a character device",
        EntryType::BlockDevice => "it is a block device",
        EntryType::Fifo => "it is a named pipe",
        EntryType::Socket => "it is a socket",
        EntryType::File | EntryType::Symlink | EntryType::Unknown => "it is not a file",
    }
}

/// Describes why `path` cannot be resolved. Adds up to three files of the same name elsewhere in the initramfs, and the
/// first squashfs or erofs image in it, which may contain the file.
fn explain(inventory: &Inventory, path: &[u8], error: ResolveError) -> anyhow::Error {
    let name = path.rsplit(|&byte| byte == b'/').find(|it| !it.is_empty());
    let named = |found: &[u8]| Some(basename(found)) == name;
    let files = inventory
        .nodes()
        .filter(|(_, it)| it.kind == EntryType::File);
    let places: Vec<_> = files
        .filter(|(found, _)| named(found))
        .take(3)
        .map(|(found, _)| Shown(found).to_string())
        .collect();
    let mut text = match &error {
        ResolveError::NotFound {
            missing,
            through_link: true,
        } => format!("it leads to {}, which is not in the image", Shown(missing)),
        ResolveError::NotFound { missing, .. } => format!("{} is not in the image", Shown(missing)),
        ResolveError::NotADirectory { path } => format!("{} is not a directory", Shown(path)),
        ResolveError::Limit { .. } => error.to_string(),
    };
    if !places.is_empty() {
        text += &format!("; there is {}", places.join(", "));
    }
    if let Some(inner) = inventory.inner_images().first() {
        text += &format!("; it may be in {}, which is not read", Shown(&inner.path));
    }
    anyhow!(text)
}

/// A visitor that copies the data of the entry with the number `entry` to `out`, and then ends the reading with an
/// error. `done` is the result of copying; `None` if the entry was not found or its data could not be read.
struct Copy<'o> {
    entry: u64,
    out: &'o mut dyn Write,
    done: Option<io::Result<()>>,
}

impl Visitor for Copy<'_> {
    fn entry(&mut self, entry: &Entry, body: &mut dyn BufRead) -> io::Result<()> {
        if entry.index != self.entry {
            return Ok(());
        }
        loop {
            // Errors of the body are reported by `read_into`.
            let ready = body.fill_buf()?;
            let count = ready.len();
            let written = self.out.write_all(ready);
            if count == 0 || written.is_err() {
                self.done = Some(written);
                return Err(io::ErrorKind::Other.into());
            }
            body.consume(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::ReadError;
    use crate::initramfs::testing::{archive, dir, file, hard, link};

    fn image() -> Vec<u8> {
        archive(&[
            dir("usr"),
            dir("usr/bin"),
            link("bin", "usr/bin"),
            link("dangling", "usr/nothing"),
            file("usr/bin/sh", b"old"),
            file("usr/bin/sh", b"new"),
            hard("one", 7, b""),
            hard("two", 7, b"both"),
        ])
    }

    fn content(path: &str) -> Result<Vec<u8>> {
        let (bytes, limits) = (image(), Limits::default());
        let mut inventory = Inventory::new(&limits);
        read_into(bytes.as_slice(), &limits, &mut inventory, &mut Vec::new())?;
        let mut out = Vec::new();
        let mut copy = Copy {
            entry: find(&inventory, path.as_bytes())?,
            out: &mut out,
            done: None,
        };
        let ended = read_into(bytes.as_slice(), &limits, &mut copy, &mut Vec::new());
        assert!(matches!(copy.done, Some(Ok(()))), "{ended:?}");
        Ok(out)
    }

    #[test]
    fn a_file_is_found_through_links_and_the_last_copy_wins() {
        for (path, expected) in [
            ("/bin/sh", "new"),
            ("usr/bin/../bin//sh", "new"),
            ("one", "both"),
            ("two", "both"),
        ] {
            assert_eq!(content(path).unwrap(), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn errors_name_the_missing_path() {
        for (path, expected) in [
            (
                "bin/bash",
                "it leads to usr/bin/bash, which is not in the image",
            ),
            ("sh", "sh is not in the image; there is usr/bin/sh"),
            (
                "dangling",
                "it leads to usr/nothing, which is not in the image",
            ),
            ("one/x", "one is not a directory"),
            ("bin", "it is a directory"),
            ("/", "it is a directory"),
            ("e\x1b", "$'e\\x1b' is not in the image"),
        ] {
            assert_eq!(content(path).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn segments_before_the_damage_are_shown() {
        let mut bytes = image();
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(&image()[..200]);
        let limits = Limits::default();
        let mut segments = Vec::new();
        let mut inventory = Inventory::new(&limits);
        let read = read_into(bytes.as_slice(), &limits, &mut inventory, &mut segments);
        assert!(matches!(read, Err(ReadError::Truncated { .. })));
        assert_eq!(segments.len(), 1);
        assert_eq!(segments[0].length, whole);
    }
}
