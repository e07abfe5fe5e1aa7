// SPDX-License-Identifier: MIT OR Apache-2.0
//! A summary of an initramfs: segments, kernel, dracut, space, oddities.

use std::io::{self, Write};

use serde::Serialize;

use super::json::Name;
use super::name::Shown;
use super::space::{Sized, Space};
use super::text;
use crate::initramfs::{Compression, Inventory, NameProblem, Segment, SegmentKind};

/// Maximum number of oddities in the text output; JSON has all of them.
const ODDITIES: usize = 5;

/// A segment of an initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SegmentEntry {
    /// Offset of the segment in the file, in bytes.
    pub offset: u64,
    /// Size of the segment in the file, in bytes.
    pub bytes: u64,
    /// The compression.
    pub compression: Compression,
    /// Size of the segment after unpacking, in bytes.
    pub unpacked: u64,
    /// The number of entries, without trailers.
    pub entries: u64,
    /// The number of archives.
    pub archives: u32,
    /// The probable purpose.
    pub kind: SegmentKind,
}

/// The information that dracut wrote about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Dracut {
    /// The version of dracut.
    pub version: Option<String>,
    /// The dracut modules, in dracut's order.
    pub modules: Vec<String>,
    /// dracut's arguments, quoted as dracut recorded them.
    pub arguments: Option<String>,
}

/// The summary of an initramfs file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// Bytes of the file.
    pub bytes: u64,
    /// The segments in the order of the file.
    pub segments: Vec<SegmentEntry>,
    /// The kernels whose modules the initramfs has.
    pub kvers: Vec<String>,
    /// The information that dracut wrote about itself; `null` if it wrote none.
    pub dracut: Option<Dracut>,
    /// The number of unpacked names, including directories and links.
    pub names: usize,
    /// The sizes of the content.
    pub space: Space,
    /// File system images in the initramfs, whose content is not read.
    pub inner_images: Vec<Name>,
    /// Entries that the kernel ignores, and names that programs may interpret differently.
    pub oddities: Vec<Oddity>,
}

/// An entry that the kernel ignores, or whose name starts with `/` or has a `..` component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Oddity {
    /// The path.
    #[serde(flatten)]
    pub name: Name,
    /// The path with its original bytes.
    #[serde(skip)]
    raw: Vec<u8>,
    /// The problem.
    pub what: String,
}

impl From<&Segment> for SegmentEntry {
    fn from(segment: &Segment) -> Self {
        Self {
            offset: segment.offset,
            bytes: segment.length,
            compression: segment.compression,
            unpacked: segment.decoded,
            entries: segment.entries,
            archives: segment.archives,
            kind: segment.kind,
        }
    }
}

impl Dracut {
    /// Returns the information that dracut wrote into the initramfs; `None` if there is none.
    pub fn of(inventory: &Inventory) -> Option<Self> {
        let version = inventory.dracut_version();
        let modules = inventory.dracut_modules();
        let arguments = inventory.dracut_arguments();
        if version.is_none() && modules.is_none() && arguments.is_none() {
            return None;
        }
        Some(Self {
            version,
            modules: modules.unwrap_or_default(),
            arguments,
        })
    }
}

impl Summary {
    /// Returns the summary of an initramfs file of `bytes` bytes.
    pub fn new(bytes: u64, segments: &[Segment], inventory: &Inventory) -> Self {
        let inner = inventory.inner_images();
        let kvers = inventory.kernel_versions();
        Self {
            bytes,
            segments: segments.iter().map(SegmentEntry::from).collect(),
            kvers: kvers
                .into_iter()
                .map(|kver| String::from_utf8_lossy(kver).into_owned())
                .collect(),
            dracut: Dracut::of(inventory),
            names: inventory.nodes().count(),
            space: Space::of(inventory),
            inner_images: inner.iter().map(|image| Name::new(&image.path)).collect(),
            oddities: oddities(inventory),
        }
    }
}

fn oddities(inventory: &Inventory) -> Vec<Oddity> {
    let oddity = |path: &[u8], what: String| Oddity {
        name: Name::new(path),
        raw: path.to_vec(),
        what,
    };
    let dropped = inventory.dropped().iter().map(|dropped| {
        let what = format!("dropped by the kernel: {}", dropped.reason);
        oddity(&dropped.path, what)
    });
    let problems = inventory.name_problems().iter();
    let names = problems.filter_map(|(path, problem)| match problem {
        NameProblem::Absolute | NameProblem::Traversal => Some(oddity(path, problem.to_string())),
        // The kernel drops entries with these names, so they are in `dropped` already.
        NameProblem::Empty | NameProblem::TooLong => None,
    });
    dropped.chain(names).collect()
}

/// Writes the table of the segments, if there are any.
///
/// # Errors
/// Those of `out`.
pub fn write_segments(segments: &[SegmentEntry], out: &mut dyn Write) -> io::Result<()> {
    if segments.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "segment      offset     in file  compressor    unpacked  entries  kind"
    )?;
    for (number, segment) in segments.iter().enumerate() {
        writeln!(
            out,
            "{number:>7}{:>12}{:>12}  {:<10}{:>12}{:>9}  {}",
            segment.offset,
            segment.bytes,
            segment.compression.name(),
            segment.unpacked,
            segment.entries,
            match segment.kind {
                SegmentKind::Early => "early (microcode, ACPI tables)",
                SegmentKind::RandomTail => "tail with dev/random and dev/urandom",
                SegmentKind::Main => "main",
            }
        )?;
    }
    Ok(())
}

/// Writes the summary as text. `name` is the name of the initramfs file.
///
/// # Errors
/// Those of `out`.
pub fn write_summary(name: &str, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let space = &summary.space;
    writeln!(
        out,
        "{name}: {}, unpacks to {} in {}\n",
        text::size(summary.bytes),
        text::size(space.bytes),
        text::count(space.files, "file"),
    )?;
    write_segments(&summary.segments, out)?;
    writeln!(out)?;
    let kvers: Vec<_> = summary.kvers.iter().map(shown).collect();
    match kvers.as_slice() {
        [] => labelled("kernel", ["no kernel modules"], out)?,
        kvers => labelled("kernel", [kvers.join(", ").as_str()], out)?,
    }
    let modules = space.kinds.iter().find(|it| it.kind == "kernel modules");
    let (count, bytes) = modules.map_or((0, 0), |share| (share.files, share.bytes));
    let modules = format!("{}, {}", text::count(count, "module"), text::size(bytes));
    labelled("", [modules.as_str()], out)?;
    match &summary.dracut {
        None => labelled(
            "dracut",
            ["unknown; the initramfs has no files of dracut"],
            out,
        )?,
        Some(dracut) => write_dracut(dracut, out)?,
    }
    for image in &summary.inner_images {
        let text = format!("{} (its files are not read)", shown(&image.path));
        labelled("image inside", [text.as_str()], out)?;
    }
    write_space(space, out)?;
    write_oddities(&summary.oddities, out)
}

fn write_dracut(dracut: &Dracut, out: &mut dyn Write) -> io::Result<()> {
    let version = dracut.version.as_ref().map(shown);
    labelled(
        "dracut",
        [version.as_deref().unwrap_or("unknown version")],
        out,
    )?;
    let modules: Vec<_> = dracut.modules.iter().map(shown).collect();
    let lines = text::wrap(modules.iter().map(String::as_str));
    labelled("dracut modules", lines.iter().map(String::as_str), out)?;
    let arguments = dracut
        .arguments
        .as_ref()
        .map(|text| shown(text.replace('\n', " ")));
    let lines = text::wrap(arguments.iter().flat_map(|text| text.split(' ')));
    labelled("dracut args", lines.iter().map(String::as_str), out)
}

fn shown(text: impl AsRef<str>) -> String {
    Shown(text.as_ref().as_bytes()).to_string()
}

/// Writes the lines, with the label in front of the first one. Writes nothing if there are no lines.
fn labelled<'a>(
    label: &str,
    lines: impl IntoIterator<Item = &'a str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut label = label;
    for line in lines {
        writeln!(out, "{label:<14}  {line}")?;
        label = "";
    }
    Ok(())
}

fn write_space(space: &Space, out: &mut dyn Write) -> io::Result<()> {
    if space.kinds.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nSpace, unpacked:")?;
    for share in &space.kinds {
        writeln!(
            out,
            "{:>12}{:>6}  {:<24}{:>12}",
            text::size(share.bytes),
            text::percent(share.bytes, space.bytes),
            share.kind,
            text::count(share.files, "file"),
        )?;
    }
    let named = |title: &str, all: &[Sized], end: &str, out: &mut dyn Write| {
        if all.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{title}:")?;
        all.iter().try_for_each(|sized| {
            let size = text::size(sized.bytes);
            let percent = text::percent(sized.bytes, space.bytes);
            writeln!(out, "{size:>12}{percent:>6}  {}{end}", Shown(&sized.raw))
        })
    };
    named("The largest directories", &space.directories, "/", out)?;
    named("The largest files", &space.largest, "", out)
}

fn write_oddities(oddities: &[Oddity], out: &mut dyn Write) -> io::Result<()> {
    if oddities.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nOddities:")?;
    for oddity in oddities.iter().take(ODDITIES) {
        writeln!(out, "  {}: {}", Shown(&oddity.raw), oddity.what)?;
    }
    match oddities.len().saturating_sub(ODDITIES) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; --format json lists all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::Compression;
    use crate::initramfs::testing::{archive, dir, file, item, pack};
    use crate::inspect::testing::read_image;

    fn image() -> Vec<u8> {
        let main = archive(&[
            dir("usr"),
            dir("usr/lib"),
            dir("usr/lib/dracut"),
            dir("usr/lib/modules"),
            dir("usr/lib/modules/6.1"),
            file("usr/lib/dracut/dracut-059-4", b""),
            file("usr/lib/dracut/modules.txt", b"bash\nsystemd\n"),
            file(
                "usr/lib/dracut/build-parameter.txt",
                b"--force --add 'ostree'\n",
            ),
            file("usr/lib/modules/6.1/a.ko", &[7; 2048]),
            file("lost/\x1b", b""),
        ]);
        let random = archive(&[dir("dev"), item("dev/random", 0o020_644, b"")]);
        let mut bytes = pack(Compression::Zstd, &main);
        bytes.resize(bytes.len().next_multiple_of(4) + 4, 0);
        bytes.extend_from_slice(&pack(Compression::Gzip, &random));
        bytes
    }

    #[test]
    fn the_text_of_the_summary() {
        let bytes = image();
        let (inventory, segments) = read_image(&bytes);
        let summary = Summary::new(bytes.len() as u64, &segments, &inventory);
        let mut out = Vec::new();
        write_summary("x.img", &summary, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for expected in [
            "unpacks to 2.0 KiB in 4 files\n",
            "      0           0",
            "  main\n",
            "  tail with dev/random and dev/urandom\n",
            "kernel          6.1\n                1 module, 2.0 KiB\n",
            "dracut          059-4\ndracut modules  bash systemd\n",
            "dracut args     --force --add 'ostree'\n",
            "kernel modules                1 file\n",
            "usr/lib/modules/6.1/\n",
            "$'lost/\\x1b': dropped by the kernel: its directory does not exist\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn json_has_the_same() {
        let bytes = image();
        let (inventory, segments) = read_image(&bytes);
        let summary = Summary::new(bytes.len() as u64, &segments, &inventory);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["segments"][1]["kind"], "random-tail");
        assert_eq!(json["segments"][0]["compression"], "zstd");
        assert_eq!(json["kvers"], serde_json::json!(["6.1"]));
        assert_eq!(json["dracut"]["modules"][1], "systemd");
        assert_eq!(json["space"]["kinds"][0]["bytes"], 2048);
        assert_eq!(json["oddities"][0]["path"], "lost/\x1b");
    }
}
