// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats a difference as text: the two initramfs files in columns, then lines with `+`, `-` and `~`.

use std::io::{self, Write};

use super::diff::{Changed, Changes, Diff, Item, Side};
use super::name::Shown;
use super::text;

/// Writes the difference. `names` are the names of the two initramfs files as the user gave them.
///
/// # Errors
/// Those of `out`.
pub fn write_diff(names: (&str, &str), diff: &Diff, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "--- {}\n+++ {}\n", names.0, names.1)?;
    write_sides(&diff.before, &diff.after, out)?;
    let modules = &diff.dracut_modules;
    if !modules.added.is_empty() || !modules.gone.is_empty() {
        writeln!(out, "\ndracut modules:")?;
        let line = |sign, name: &String, out: &mut dyn Write| {
            writeln!(out, "  {sign} {}", Shown(name.as_bytes()))
        };
        modules.gone.iter().try_for_each(|it| line('-', it, out))?;
        modules.added.iter().try_for_each(|it| line('+', it, out))?;
    }
    // Modules of different kernels usually differ in their bytes, so such differences are only counted.
    write_changes(
        "kernel modules",
        &diff.kernel_modules,
        diff.same_kernel(),
        out,
    )?;
    write_changes("units", &diff.units, true, out)?;
    write_changes("other files", &diff.files, true, out)?;
    if diff.is_empty() {
        writeln!(out, "\nBoth unpack to the same names and contents.")?;
    }
    Ok(())
}

fn write_sides(before: &Side, after: &Side, out: &mut dyn Write) -> io::Result<()> {
    let mut row = |label: &str, old: String, new: String, note: String| {
        let line = format!("{label:<16}{old:>16}{new:>16}  {note}");
        writeln!(out, "{}", line.trim_end())
    };
    for (label, old, new) in [
        ("file", before.bytes, after.bytes),
        ("unpacked", before.unpacked, after.unpacked),
        (
            "modules, size",
            before.kernel_modules_bytes,
            after.kernel_modules_bytes,
        ),
    ] {
        row(
            label,
            text::size(old),
            text::size(new),
            text::growth(old, new),
        )?;
    }
    for (label, old, new) in [
        (
            "kernel modules",
            before.kernel_modules,
            after.kernel_modules,
        ),
        ("units", before.units, after.units),
        ("other files", before.files, after.files),
        (
            "dracut modules",
            before.dracut_modules,
            after.dracut_modules,
        ),
    ] {
        let note = match new as i64 - old as i64 {
            0 => "=".to_owned(),
            more => format!("{more:+}"),
        };
        row(label, old.to_string(), new.to_string(), note)?;
    }
    write_texts(before, after, out)
}

/// Writes the differing properties that are texts, not numbers.
fn write_texts(before: &Side, after: &Side, out: &mut dyn Write) -> io::Result<()> {
    let compression = |side: &Side| {
        let names = side.compression.iter().map(|it| it.name());
        names.collect::<Vec<_>>().join(" + ")
    };
    let version = |side: &Side| side.dracut_version.clone().unwrap_or_default();
    let arguments = |side: &Side| side.dracut_arguments.clone().unwrap_or_default();
    for (label, old, new) in [
        ("segments", compression(before), compression(after)),
        ("kernel", before.kvers.join(", "), after.kvers.join(", ")),
        ("dracut", version(before), version(after)),
        ("dracut args", arguments(before), arguments(after)),
    ] {
        if old == new {
            continue;
        }
        let or_none = |text: &str| match text {
            "" => "none".to_owned(),
            text => Shown(text.as_bytes()).to_string(),
        };
        writeln!(out, "{label:<16}- {}", or_none(&old))?;
        writeln!(out, "{:<16}+ {}", "", or_none(&new))?;
    }
    Ok(())
}

/// Writes the lines about one group of names, or nothing if the group has no differences. If `bytes` is false, names
/// that differ only in their bytes are counted, not shown.
fn write_changes(
    title: &str,
    changes: &Changes,
    bytes: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Changes {
        added,
        gone,
        changed,
        same,
    } = changes;
    if added.is_empty() && gone.is_empty() && changed.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{title}: {} added, {} removed, {} changed, {same} unchanged:",
        added.len(),
        gone.len(),
        changed.len(),
    )?;
    let item = |sign, item: &Item, out: &mut dyn Write| {
        writeln!(
            out,
            "  {sign} {}  {}",
            Shown(&item.raw),
            text::size(item.bytes)
        )
    };
    gone.iter().try_for_each(|it| item('-', it, out))?;
    added.iter().try_for_each(|it| item('+', it, out))?;
    let shown = |it: &&Changed| bytes || !it.what.is_empty();
    for changed in changed.iter().filter(shown) {
        writeln!(out, "  ~ {}  {}", Shown(&changed.raw), what(changed))?;
    }
    match changed.iter().filter(|it| !shown(it)).count() {
        0 => Ok(()),
        count => writeln!(
            out,
            "  ~ {} in both, built for different kernels",
            text::count(count, "module")
        ),
    }
}

fn what(changed: &Changed) -> String {
    let mut what = changed.what.clone();
    let (old, new) = (changed.bytes_before, changed.bytes);
    if changed.content && old != new && !changed.what.iter().any(|it| it.starts_with("target ")) {
        what.insert(
            0,
            format!(
                "{} -> {} ({})",
                text::size(old),
                text::size(new),
                text::growth(old, new)
            ),
        );
    } else if changed.content && changed.what.is_empty() {
        what.push("other bytes, same size".to_owned());
    }
    what.join(", ")
}
