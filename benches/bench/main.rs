// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench`: measures ostree-kernel and other programs in one run on one machine, and writes benches/RESULTS.md.
//!
//! Before that, `bed bench-setup` creates the trees and initramfs files (`tests/container/lib/bench.sh`). The compared
//! programs run in turn. The results state whether each expected limit is reached.

mod build;
mod look;
mod measure;
mod table;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use measure::said;

/// The directories and programs of a benchmark run.
pub struct Bench {
    /// The directory with the products of the test bed.
    pub bed: PathBuf,
    /// The directory with the products of `bed bench-setup`.
    pub bench: PathBuf,
    /// The directory of the checkout.
    pub top: PathBuf,
    /// The program ostree-kernel, built with the profile `release`.
    pub tool: PathBuf,
    /// The program ostree-kernel, built with the profile `dist`.
    pub dist: PathBuf,
    /// The kernel release of the trees.
    pub kver: String,
}

impl Bench {
    fn find() -> Result<Self> {
        let top = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = top.join(env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()));
        let bed = env::var_os("BED_DIR").map_or_else(|| top.join("target/bed"), PathBuf::from);
        let kver = fs_err::read_to_string(bed.join("kernels/old.kver"));
        Ok(Self {
            kver: kver
                .context("nothing to look at; type: make bench")?
                .trim()
                .to_owned(),
            bench: bed.join("bench"),
            bed,
            tool: target.join("release/ostree-kernel"),
            dist: target.join("dist/ostree-kernel"),
            top,
        })
    }

    /// Returns the path of the tree `name`.
    pub fn tree(&self, name: &str) -> PathBuf {
        self.bench.join(name)
    }

    /// Returns the path of a tree's initramfs.
    pub fn image(&self, tree: &str) -> PathBuf {
        let dir = self.tree(tree).join("usr/lib/modules").join(&self.kver);
        dir.join("initramfs.img")
    }
}

fn main() -> Result<()> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match &arguments[..] {
        [verb, rest @ ..] if verb == "measure" => measure::measure(rest),
        _ => all(),
    }
}

fn all() -> Result<()> {
    let place = Bench::find()?;
    let before = load()?;
    let sections = [
        look::comparison(&place)?,
        look::growth(&place)?,
        look::start_and_size(&place)?,
        build::comparison(&place)?,
        build::one_dracut_run(&place)?,
    ];
    let results = place.top.join("benches/RESULTS.md");
    let text = format!("{}\n{}", head(&place.top, &before)?, sections.join("\n"));
    print!("{text}");
    fs_err::write(&results, text)?;
    Ok(())
}

/// Returns the header: time, commit, machine, and its load before and after the run.
fn head(top: &Path, before: &str) -> Result<String> {
    let top = top.display().to_string();
    let cpus = fs_err::read_to_string("/proc/cpuinfo")?;
    let mut models = cpus.lines().filter(|line| line.starts_with("model name"));
    let model = models
        .next()
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("an unknown processor");
    Ok(format!(
        "# Benchmarks\n\n\
         Written by `make bench` on {date}, of commit {commit}.\n\
         Machine: {model}, {cores} cores, Linux {kernel}.\n\
         Load average (1, 5, 15 minutes): {before} before, {after} after. On a busy machine, compare the minima rather \
         than the medians.\n\n\
         The programs run in turn, after one round to warm up. Wall times are in milliseconds. `cpu` is the median of the\n\
         user and system time of all processes, `peak` is the memory of the largest process. Ratios compare minima.\n",
        date = said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?,
        commit = said("git", &["-C", &top, "describe", "--always", "--dirty"])?,
        cores = std::thread::available_parallelism()?,
        kernel = said("uname", &["-r"])?,
        after = load()?,
    ))
}

fn load() -> Result<String> {
    let load = fs_err::read_to_string("/proc/loadavg")?;
    let fields: Vec<&str> = load.split(' ').take(3).collect();
    Ok(fields.join(" "))
}
