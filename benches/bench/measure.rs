// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cost of running a program: wall time, processor time, peak memory.
//!
//! Each program runs as the only child of a small process (`measure FILE PROGRAM ARG…`), because getrusage(2) adds the
//! processor times of all children of a process. The time of a program includes that of the children for which it has
//! waited. The peak memory is that of the largest process.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The cost of one run.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of processor time, in user and system mode.
    pub cpu: f64,
    /// The peak resident memory of the largest process, in KiB.
    pub peak: u64,
    /// Exit status.
    pub status: i32,
}

impl Cost {
    /// Reads the file that [`measure`] has written.
    pub fn read(file: &Path) -> Result<Self> {
        let line = fs_err::read_to_string(file)?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [wall, cpu, peak, status] = fields[..] else {
            bail!("{}: expected four numbers, found {line:?}", file.display());
        };
        Ok(Self {
            wall: wall.parse()?,
            cpu: cpu.parse()?,
            peak: peak.parse()?,
            status: status.parse()?,
        })
    }
}

/// Runs a program and writes its cost to a file. This is the main function of the small process.
pub fn measure(arguments: &[OsString]) -> Result<()> {
    let [file, program, arguments @ ..] = arguments else {
        bail!("expected: measure FILE PROGRAM ARG…");
    };
    let start = Instant::now();
    let status = command(program).args(arguments).status();
    let status = status.with_context(|| format!("starting {}", program.display()))?;
    let wall = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    let status = status.code().context("killed by a signal")?;
    let peak = usage.max_rss();
    fs_err::write(file, format!("{wall} {cpu} {peak} {status}\n"))?;
    Ok(())
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// Runs a command line once, discards its output, and returns its cost.
pub fn once(command_line: &[OsString]) -> Result<Cost> {
    let file = tempfile::NamedTempFile::new()?;
    let ours = std::env::current_exe()?;
    let status = command(ours)
        .arg("measure")
        .arg(file.path())
        .args(command_line)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "measuring {command_line:?}: {status}");
    Cost::read(file.path())
}

/// Returns the output of a program, without the last newline.
pub fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = command(program).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Creates a command. Every program of the benchmarks is started with it.
#[expect(
    clippy::disallowed_methods,
    reason = "starting programs is what is measured"
)]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// A program in the comparison.
pub struct Contender {
    /// Its name in the table.
    pub name: String,
    /// The command line.
    pub command: Vec<OsString>,
    /// The program runs once in this number of rounds. The number is larger for slow programs.
    pub every: usize,
    /// The expected exit status.
    pub status: i32,
}

impl Contender {
    /// Creates a contender that runs in every round and must exit with 0.
    pub fn new(name: &str, command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            name: name.to_owned(),
            command: command.into_iter().map(Into::into).collect(),
            every: 1,
            status: 0,
        }
    }
}

/// All runs of one program.
pub struct Samples(Vec<Cost>);

impl Samples {
    /// Creates the samples from these runs.
    pub fn new(costs: Vec<Cost>) -> Self {
        Self(costs)
    }

    /// Returns the number of runs.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the median of `of` over all runs; for an even number of runs, the larger of the two middle values.
    pub fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    /// Returns the minimum of `of` over all runs.
    pub fn min(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        self.0.iter().map(of).fold(f64::INFINITY, f64::min)
    }

    /// Returns the peak memory, in KiB.
    pub fn peak(&self) -> u64 {
        self.0
            .iter()
            .map(|cost| cost.peak)
            .max()
            .unwrap_or_default()
    }
}

/// Runs the programs in turn, so that other load affects all of them. The first round is a warm-up, and is not in the
/// samples.
pub fn alternate(contenders: &[Contender], rounds: usize) -> Result<Vec<Samples>> {
    let mut samples: Vec<_> = contenders.iter().map(|_| Samples(Vec::new())).collect();
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            if round % contender.every != 0 {
                continue;
            }
            let cost = once(&contender.command)?;
            let (status, expected) = (cost.status, contender.status);
            ensure!(
                status == expected,
                "{} ended with {status}, expected {expected}: {:?}",
                contender.name,
                contender.command
            );
            if round > 0 {
                samples.0.push(cost);
            }
        }
    }
    Ok(samples)
}
