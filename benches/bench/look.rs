// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the cost of reading an initramfs: `verify` and `inspect` compared with other programs.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result};

use super::Bench;
use super::measure::{Contender, Cost, Samples, alternate, said};
use super::table::Table;

/// The number of measured rounds of the comparison. The other measurements use a part or a multiple of this number.
const ROUNDS: usize = 60;
/// Slow programs run once in this number of rounds.
const SLOW: usize = 12;

const SIZES: [&str; 5] = ["size-10", "tree", "size-50", "size-100", "size-300"];
const MODULES: [&str; 5] = [
    "modules-500",
    "tree",
    "modules-1500",
    "modules-3000",
    "modules-4500",
];

/// Returns a command line of words that may have different types.
fn line(words: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

fn verify(place: &Bench, tree: &str) -> Vec<OsString> {
    line(&[&place.tool, &"verify", &"-q", &"--root", &place.tree(tree)])
}

fn zstd(image: &Path) -> Vec<OsString> {
    line(&[&"zstd", &"-tq", &image])
}

fn wall(cost: &Cost) -> f64 {
    cost.wall * 1e3
}

fn cpu(cost: &Cost) -> f64 {
    cost.cpu * 1e3
}

/// Returns the peak memory in MiB.
pub fn mebibytes(samples: &Samples) -> f64 {
    samples.peak() as f64 / 1024.0
}

/// Returns the columns that every table has: median and minimum of the wall time and median of the processor time (in
/// milliseconds), peak memory, number of runs.
fn figures(samples: &Samples) -> Vec<String> {
    vec![
        format!("{:.1}", samples.median(wall)),
        format!("{:.1}", samples.min(wall)),
        format!("{:.1}", samples.median(cpu)),
        format!("{:.1} MiB", mebibytes(samples)),
        samples.count().to_string(),
    ]
}

/// Formats a value with its upper bound, and whether the value is within it.
pub fn at_most(what: &str, figure: f64, limit: f64) -> String {
    let verdict = verdict(figure <= limit);
    format!("- {what}: {figure:.2} (at most {limit}: {verdict})\n")
}

/// Formats a value with its lower bound, and whether the value reaches it.
fn at_least(what: &str, figure: f64, limit: f64) -> String {
    let verdict = verdict(figure >= limit);
    format!("- {what}: {figure:.1} (at least {limit}: {verdict})\n")
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "NOT reached" }
}

/// Returns all programs that read an initramfs, each with a description of its output.
fn lookers(place: &Bench) -> Vec<(Contender, &'static str)> {
    let (ours, kver) = (&place.tool, &place.kver);
    let (tree, image) = (place.tree("tree"), place.image("tree"));
    let tools = place.bench.join("tools");
    let script = place.top.join("benches/unpack-modinfo-ldd");
    let lister = tools.join("bin/3cpio");
    let path = format!(
        "PATH={}:/usr/bin:/usr/sbin",
        tools.join("usr/bin").display()
    );
    let dracut = format!("dracutbasedir={}/usr/lib/dracut", tools.display());
    let quick = |name, words: &[&dyn AsRef<OsStr>]| Contender::new(name, line(words));
    let slow = |name, words: &[&dyn AsRef<OsStr>]| Contender {
        every: SLOW,
        ..quick(name, words)
    };
    vec![
        (
            Contender::new("zstd -tq", zstd(&image)),
            "whether it can be decompressed",
        ),
        (
            quick("3cpio -t", &[&lister, &"-t", &image]),
            "names (cpu and peak lack its zstd process, for which it does not wait)",
        ),
        (
            Contender::new("verify --root", verify(place, "tree")),
            "whether it would boot, by all checks",
        ),
        (
            quick(
                "verify --root, dist",
                &[&place.dist, &"verify", &"-q", &"--root", &tree],
            ),
            "the same, with the released build (profile `dist`)",
        ),
        (
            slow(
                "verify --initramfs",
                &[
                    ours,
                    &"verify",
                    &"-q",
                    &"--initramfs",
                    &image,
                    &"--kver",
                    kver,
                ],
            ),
            "the result of the checks that need no tree; it unpacks every module to read its vermagic",
        ),
        (
            quick("inspect", &[ours, &"inspect", &image]),
            "segments, sizes, dracut's modules",
        ),
        (
            quick("inspect --files", &[ours, &"inspect", &"--files", &image]),
            "names, modes, owners, sizes",
        ),
        (
            quick("lsinitramfs", &[&"env", &path, &"lsinitramfs", &image]),
            "names",
        ),
        (
            slow("lsinitrd", &[&"env", &path, &dracut, &"lsinitrd", &image]),
            "names, modes, owners, sizes, dracut's modules",
        ),
        (
            slow("unpack, modinfo, ldd", &[&script, &image, kver]),
            "vermagic; libraries that the host lacks",
        ),
    ]
}

/// Compares all programs on one initramfs.
pub fn comparison(place: &Bench) -> Result<String> {
    let (contenders, results): (Vec<_>, Vec<_>) = lookers(place).into_iter().unzip();
    let samples = alternate(&contenders, ROUNDS)?;
    let fastest = |name: &str| {
        let at = contenders.iter().position(|it| it.name == name);
        at.map_or(f64::NAN, |at| samples[at].min(wall))
    };
    let head = [
        "", "median", "min", "cpu", "peak", "runs", "/ zstd", "result",
    ];
    let mut table = Table::new(&head);
    for ((contender, samples), result) in contenders.iter().zip(&samples).zip(results) {
        let mut cells = vec![contender.name.clone()];
        cells.extend(figures(samples));
        cells.push(format!("{:.2}", samples.min(wall) / fastest("zstd -tq")));
        cells.push(result.to_owned());
        table.line(&cells);
    }
    let (floor, ours, peer) = (
        fastest("zstd -tq"),
        fastest("verify --root"),
        fastest("lsinitrd"),
    );
    Ok(format!(
        "## Comparison with other programs\n\n{}\n{}\n{}{}{}{}",
        about(place, "tree")?,
        table.text(),
        at_most("`verify --root` / `zstd -tq`", ours / floor, 1.3),
        at_most(
            "`verify --root` / `3cpio -t`",
            ours / fastest("3cpio -t"),
            1.0
        ),
        at_least("`lsinitrd` / `verify --root`", peer / ours, 15.0),
        at_least(
            "`lsinitrd` / `inspect --files`",
            peer / fastest("inspect --files"),
            15.0
        ),
    ))
}

/// Describes the initramfs of a tree, according to `inspect`.
fn about(place: &Bench, tree: &str) -> Result<String> {
    let (tool, image) = (place.tool.to_string_lossy(), place.image(tree));
    let summary = said(&tool, &["inspect", &image.to_string_lossy()])?;
    let size = summary
        .lines()
        .next()
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or_default();
    let modules = summary
        .lines()
        .map(str::trim)
        .find(|line| line.contains(" modules, "))
        .unwrap_or_default();
    Ok(format!(
        "The initramfs: {size}; {modules}.\nIt has dracut's default compression; its tree is like that of a container build.\n"
    ))
}

/// Measures the cost for larger initramfs files and for more modules.
pub fn growth(place: &Bench) -> Result<String> {
    let mut text = String::from(
        "## Larger initramfs images and more modules\n\n\
         `tree` is the initramfs above. The others are derived from it: the large ones repeat its programs and libraries, or its\n\
         modules, under other names (with lines in modules.dep), at distances that exceed zstd's window. `size-10` lacks most\n\
         files, so the same checks reject it. `modules-N` are larger files, too.\n\n",
    );
    let mut trees = SIZES.to_vec();
    trees.extend(MODULES.iter().filter(|tree| **tree != "tree"));
    let mut peak = String::new();
    let mut table = Table::new(&[
        "",
        "file",
        "verify --root",
        "min",
        "cpu",
        "peak",
        "runs",
        "zstd -tq min",
        "/ zstd",
    ]);
    for tree in trees {
        let image = place.image(tree);
        let contenders = [
            Contender {
                status: if tree == "size-10" { 4 } else { 0 },
                ..Contender::new(tree, verify(place, tree))
            },
            Contender::new("zstd -tq", zstd(&image)),
        ];
        let samples = alternate(&contenders, ROUNDS / 4)?;
        if tree == "size-100" {
            let (what, found) = (
                "peak of `size-100` without zstd's window, MiB",
                mebibytes(&samples[0]),
            );
            peak = at_most(what, found - window(&image)?, 32.0);
        }
        let size = fs_err::metadata(&image)?.len();
        let mut cells = vec![tree.to_owned(), format!("{:.1} MB", size as f64 / 1e6)];
        cells.extend(figures(&samples[0]));
        cells.push(format!("{:.1}", samples[1].min(wall)));
        cells.push(format!(
            "{:.2}",
            samples[0].min(wall) / samples[1].min(wall)
        ));
        table.line(&cells);
    }
    text.push_str(&format!("{}\n{peak}", table.text()));
    Ok(text)
}

/// Returns the size in MiB of zstd's window for the file `image`. Every decoder allocates a window of this size.
fn window(image: &Path) -> Result<f64> {
    let about = said("zstd", &["-lv", &image.to_string_lossy()])?;
    let bytes = about
        .lines()
        .find_map(|line| line.strip_prefix("Window Size:")?.split(['(', ' ']).nth(4))
        .context("zstd -lv prints no window size")?;
    Ok(bytes.parse::<f64>()? / f64::from(1 << 20))
}

/// Measures the cost of `--version`, and the size of the program.
pub fn start_and_size(place: &Bench) -> Result<String> {
    let contenders = [
        Contender::new("true", ["true"]),
        Contender::new(
            "ostree-kernel --version",
            line(&[&place.tool, &"--version"]),
        ),
        Contender::new(
            "ostree-kernel --version, dist",
            line(&[&place.dist, &"--version"]),
        ),
    ];
    let samples = alternate(&contenders, 2 * ROUNDS)?;
    let mut table = Table::new(&["", "median", "min", "cpu", "peak", "runs"]);
    for (contender, samples) in contenders.iter().zip(&samples) {
        let mut cells = vec![contender.name.clone()];
        cells.extend(figures(samples));
        table.line(&cells);
    }
    let size = |file: &Path| anyhow::Ok(fs_err::metadata(file)?.len() as f64 / f64::from(1 << 20));
    Ok(format!(
        "## Start-up and size\n\n{}\n{}- size of the program: {:.1} MiB; of the released build (profile `dist`): {:.1} MiB\n",
        table.text(),
        at_most("`--version`, milliseconds", samples[1].min(wall), 3.0),
        size(&place.tool)?,
        size(&place.dist)?,
    ))
}
