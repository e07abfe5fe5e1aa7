// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel inspect`: what is in an initramfs, or what differs between two.
//!
//! The image is a file of the user's, not of a tree, unless `--root` names one. It is read and
//! never extracted.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::cli::{self, Format, Global};
use crate::initramfs::{
    Entry, Inventory, Keep, Kind, Limits, ReadError, ResolveError, Segment, Visitor, read_into,
};
use crate::inspect::{self, SegmentEntry, Shown, Summary};
use crate::report::{Outcome, SCHEMA, tool};
use crate::steps::verify::open_image;
use crate::sys::root::Root;

/// Shows what is in an initramfs: segments, kernel, dracut's modules and
/// arguments, and what takes the space. Changes and extracts nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The initramfs to look at; with --root, a path in that tree
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// List all files as `ls -l` does; times are in UTC
    #[arg(long, group = "what")]
    pub files: bool,
    /// List the kernel modules: size, name, path
    #[arg(long, group = "what")]
    pub modules: bool,
    /// Write the content of the file PATH, links followed inside the image
    #[arg(long, group = "what", value_name = "PATH")]
    pub cat: Option<OsString>,
    /// Show what is added, gone and changed on the way from IMAGE to OTHER
    #[arg(long, group = "what", value_name = "OTHER")]
    pub diff: Option<PathBuf>,
}

/// The page that tells the story.
///
/// # Errors
/// When an image cannot be read to its end, or has no such file.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    let image = Image::open(&args.image, global)?;
    if let Some(path) = &args.cat {
        cat(&image, path.as_bytes())?;
        return Ok(Outcome::Passed);
    }
    if let Some(other) = &args.diff {
        diff(&image, &Image::open(other, global)?, global.format)?;
        return Ok(Outcome::Passed);
    }
    let mut looked = image.look(false);
    match looked.failed.take() {
        None => {
            show(args, &image, &looked, global.format)?;
            Ok(Outcome::Passed)
        }
        Some(error) => show_broken(args, &looked, image.unreadable(error), global.format),
    }
}

/// An opened image.
struct Image {
    name: String,
    file: File,
    bytes: u64,
}

/// What was read of an image; all of it, if nothing failed.
struct Looked {
    segments: Vec<Segment>,
    inventory: Inventory,
    failed: Option<ReadError>,
}

impl Image {
    fn open(path: &Path, global: &Global) -> Result<Self> {
        let file = if global.root == Path::new("/") {
            open_image(path)?
        } else {
            let root = Root::open(&global.root)?;
            let missing = || {
                anyhow!(
                    "there is no {} in {}",
                    path.display(),
                    root.path().display()
                )
            };
            root.open_file(path)?.ok_or_else(missing)?
        };
        let name = Shown(path.as_os_str().as_bytes()).to_string();
        let bytes = file
            .metadata()
            .with_context(|| format!("looking at {name}"))?;
        Ok(Self {
            bytes: bytes.len(),
            name,
            file,
        })
    }

    /// Reads as far as it goes.
    fn look(&self, digests: bool) -> Looked {
        let limits = Limits::default();
        let keep = Keep {
            digests,
            ..Keep::default()
        };
        let mut inventory = Inventory::keeping(&limits, keep);
        let mut segments = Vec::new();
        let read = read_into(&self.file, &limits, &mut inventory, &mut segments);
        Looked {
            segments,
            inventory,
            failed: read.err(),
        }
    }

    /// Reads to the end.
    fn read(&self, digests: bool) -> Result<Looked> {
        let mut looked = self.look(digests);
        match looked.failed.take() {
            None => Ok(looked),
            Some(error) => Err(self.unreadable(error)),
        }
    }

    fn unreadable(&self, error: ReadError) -> anyhow::Error {
        anyhow::Error::from(error).context(format!("reading {}", self.name))
    }
}

fn show(args: &Args, image: &Image, looked: &Looked, format: Format) -> Result<()> {
    let summary = Summary::new(image.bytes, &looked.segments, &looked.inventory);
    if format == Format::Json {
        let mut json = serde_json::to_value(&summary).context("writing the result")?;
        json["schema"] = json!(SCHEMA);
        list_json(args, looked, &mut json)?;
        return print_json(&json);
    }
    cli::print_with(|out| match list(args, looked, out) {
        Some(done) => done,
        None => inspect::write_summary(&image.name, &summary, out),
    })
    .context("printing the result")
}

/// Shows what was read before the damage. The listings are of that much, too.
fn show_broken(
    args: &Args,
    looked: &Looked,
    error: anyhow::Error,
    format: Format,
) -> Result<Outcome> {
    let segments: Vec<_> = looked.segments.iter().map(SegmentEntry::from).collect();
    if format == Format::Human {
        let shown = cli::print_with(|out| match list(args, looked, out) {
            Some(done) => done,
            None => inspect::write_segments(&segments, out),
        });
        shown.context("printing the result")?;
        return Err(error);
    }
    let mut json = json!({
        "schema": SCHEMA, "tool": tool(), "outcome": "failed", "error": format!("{error:#}"),
        "segments": segments,
    });
    list_json(args, looked, &mut json)?;
    print_json(&json)?;
    tracing::error!("{error:#}");
    Ok(Outcome::Unknown)
}

/// Writes the listing that was asked for, if one was.
fn list(args: &Args, looked: &Looked, out: &mut dyn Write) -> Option<io::Result<()>> {
    if args.files {
        return Some(inspect::write_files(&looked.inventory, out));
    }
    args.modules
        .then(|| inspect::write_modules(&looked.inventory, out))
}

fn list_json(args: &Args, looked: &Looked, json: &mut Value) -> Result<()> {
    if args.files {
        let files = inspect::files(&looked.inventory);
        json["files"] = serde_json::to_value(files).context("writing the result")?;
    }
    if args.modules {
        let modules = inspect::modules(&looked.inventory);
        json["modules"] = serde_json::to_value(modules).context("writing the result")?;
    }
    Ok(())
}

fn print_json(json: &Value) -> Result<()> {
    cli::print(&inspect::json::ascii(&format!("{json:#}\n"))).context("printing the result")
}

fn diff(image: &Image, other: &Image, format: Format) -> Result<()> {
    let (before, after) = (image.read(true)?, other.read(true)?);
    let summary =
        |image: &Image, it: &Looked| Summary::new(image.bytes, &it.segments, &it.inventory);
    let diff = inspect::diff(
        (&summary(image, &before), &before.inventory),
        (&summary(other, &after), &after.inventory),
    );
    if format == Format::Json {
        let mut json = serde_json::to_value(&diff).context("writing the result")?;
        json["schema"] = json!(SCHEMA);
        return print_json(&json);
    }
    cli::print_with(|out| inspect::write_diff((&image.name, &other.name), &diff, out))
        .context("printing the result")
}

/// Writes one file of the image to standard output. The image is read twice: which entry carries
/// the data in the end is known only when all of it has been seen.
fn cat(image: &Image, path: &[u8]) -> Result<()> {
    let looked = image.read(false)?;
    let entry = find(&looked.inventory, path)
        .with_context(|| format!("looking for {} in {}", Shown(path), image.name))?;
    let again = || format!("reading {} again", image.name);
    (&image.file).rewind().with_context(again)?;
    let mut copied = None;
    let printed = cli::print_with(|out| {
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

/// The number of the entry with the data of the file that `path` leads to.
fn find(inventory: &Inventory, path: &[u8]) -> Result<u64> {
    let node = match inventory.resolve(path) {
        Ok((_, node)) => node,
        // The root and what every kernel has built in is there without an entry.
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

fn not_a_file(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "it is a directory",
        Kind::CharDevice => "it is a character device",
        Kind::BlockDevice => "it is a block device",
        Kind::Fifo => "it is a named pipe",
        Kind::Socket => "it is a socket",
        Kind::File | Kind::Symlink | Kind::Unknown => "it is not a file",
    }
}

/// Says what is missing, and where a file of that name is.
fn explain(inventory: &Inventory, path: &[u8], error: ResolveError) -> anyhow::Error {
    let name = path.rsplit(|&byte| byte == b'/').find(|it| !it.is_empty());
    let named = |found: &[u8]| found.rsplit(|&byte| byte == b'/').next() == name;
    let files = inventory.nodes().filter(|(_, it)| it.kind == Kind::File);
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
        text += &format!(
            "; it may be in {}, which is not looked into",
            Shown(&inner.path)
        );
    }
    anyhow!(text)
}

/// Copies the data of one entry, and ends the reading.
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
            // An error of the body is the reader's to tell.
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
    fn what_is_missing_is_named() {
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
    fn of_a_damaged_image_the_segments_before_the_damage_are_known() {
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
