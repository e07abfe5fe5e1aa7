// SPDX-License-Identifier: MIT OR Apache-2.0
//! Container builds: `replace` and `rebuild` compared with a manual chain of commands.

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::look::{at_most, mebibytes};
use super::measure::{Cost, Samples, command, said};
use super::table::Table;

const ROUNDS: usize = 3;

const BASE: &str = "localhost/bed-trixie";

/// A build: its name, its base with the setup, its RUN line.
struct Build {
    name: &'static str,
    base: &'static str,
    setup: &'static str,
    line: String,
}

impl Build {
    fn new(name: &'static str, base: &'static str, line: &str) -> Self {
        let (setup, line) = ("", line.to_owned());
        Self {
            name,
            base,
            setup,
            line,
        }
    }
}

/// Backends and layouts: the name, a description, the base, and its setup.
const LAYOUTS: [[&str; 4]; 4] = [
    ["layout-1", "rpm-ostree, layout=ostree", BASE, "layout"],
    ["layout-2", "rpm-ostree, no layout", BASE, "no-layout"],
    [
        "layout-3",
        "dnf, layout=ostree",
        "localhost/bed-bookworm",
        "layout",
    ],
    [
        "layout-4",
        "dnf, no layout",
        "localhost/bed-bookworm",
        "no-layout",
    ],
];

const REPLACE: &str = "ostree-kernel replace /rpms";

const REPLACE_LARGE: &str = "ostree-kernel replace /rpms-large";

/// The results of a build's runs.
#[derive(Default)]
struct Runs {
    costs: Vec<Cost>,
    /// The number of times that dracut was started, for each run.
    dracut: Vec<usize>,
    /// The seconds that the program reports for its own work, for each run that reports them.
    itself: Vec<f64>,
}

/// Runs all builds in turn, and returns the table of their costs.
pub fn comparison(place: &Bench) -> Result<String> {
    let builds = builds(place)?;
    let mut runs: Vec<Runs> = builds.iter().map(|_| Runs::default()).collect();
    for _ in 0..ROUNDS {
        for (build, runs) in builds.iter().zip(&mut runs) {
            run(place, build, runs).with_context(|| format!("building {}", build.name))?;
        }
    }
    let row = |name: &str| {
        let row = builds.iter().position(|build| build.name == name);
        &runs[row.expect("the name of a build")]
    };
    let fastest = |name: &str| row(name).samples().min(wall);
    let by_hand = fastest("by-hand");
    let head = [
        "",
        "median",
        "min",
        "cpu",
        "peak",
        "runs",
        "/ by hand",
        "dracut runs",
        "itself",
    ];
    let mut table = Table::new(&head);
    for (build, runs) in builds.iter().zip(&runs) {
        let samples = runs.samples();
        table.line(&[
            build.name.to_owned(),
            format!("{:.1} s", samples.median(wall)),
            format!("{:.1} s", samples.min(wall)),
            format!("{:.1} s", samples.median(|cost| cost.cpu)),
            format!("{:.1} MiB", mebibytes(&samples)),
            samples.count().to_string(),
            format!("{:.2}", samples.min(wall) / by_hand),
            each(&runs.dracut),
            each(&runs.itself),
        ]);
    }
    Ok(format!(
        "## A container build\n\n\
         The time of the RUN line alone. All builds use the same base and packages: an ostree container with rpm-ostree (the\n\
         test bed's stand-in, which runs a real rpm transaction) and `layout=ostree`; dracut 106 compresses with `zstd -3`.\n\
         `second-replace` repeats `replace` with the same sources and has nothing to do. In `large` and `second-large` the\n\
         packages are larger by 200 MB. `itself` is the time in seconds that the program reports for its own work.\n\n\
         {}\n{}{}{}{}",
        table.text(),
        at_most("`replace` / by hand", fastest("replace") / by_hand, 0.65),
        at_most(
            "`replace`, itself, seconds",
            least(&row("replace").itself),
            0.3
        ),
        at_most("`second-replace`, seconds", fastest("second-replace"), 0.2),
        at_most("`second-large`, seconds", fastest("second-large"), 0.2),
    ))
}

fn builds(place: &Bench) -> Result<[Build; 6]> {
    let kver = fs_err::read_to_string(place.bed.join("kernels/new.kver"))?;
    let kver = kver.trim();
    let by_hand = format!(
        "mkdir -p /var/tmp && rpm-ostree override replace /rpms/*.rpm && \
         dracut --no-hostonly --kver {kver} --reproducible -v --add ostree -f /usr/lib/modules/{kver}/initramfs.img && \
         rpm-ostree cleanup -m && ostree container commit"
    );
    Ok([
        Build::new("by-hand", BASE, &by_hand),
        Build::new("replace", BASE, REPLACE),
        Build::new("second-replace", "localhost/bench-replace", REPLACE),
        Build::new("rebuild", BASE, "ostree-kernel rebuild"),
        Build::new("large", BASE, REPLACE_LARGE),
        Build::new("second-large", "localhost/bench-large", REPLACE_LARGE),
    ])
}

/// Counts the dracut runs of `replace` for each backend and layout. Then compares the initramfs files of the builds
/// `replace` and `by-hand`, which [`comparison`] has made.
pub fn one_dracut_run(place: &Bench) -> Result<String> {
    let mut table = Table::new(&["backend and layout", "dracut runs", "`replace`"]);
    for [name, what, base, setup] in LAYOUTS {
        let build = Build {
            setup,
            ..Build::new(name, base, REPLACE)
        };
        let mut runs = Runs::default();
        run(place, &build, &mut runs).with_context(|| format!("building {name}"))?;
        let seconds = format!("{:.1} s", runs.samples().min(wall));
        table.line(&[what.to_owned(), each(&runs.dracut), seconds]);
    }
    let image = |build: &str| {
        let image = place.bench.join("out").join(build).join("initramfs.img");
        image.to_string_lossy().into_owned()
    };
    let tool = place.tool.to_string_lossy();
    let (ours, theirs) = (image("replace"), image("by-hand"));
    let differences = said(&tool, &["inspect", &theirs, "--diff", &ours])?;
    Ok(format!(
        "## One run of dracut, the same content\n\n{}\n\
         `inspect --diff` compares the initramfs that was made by hand with that of `replace` above, which also has\n\
         rpm-ostree's small segment:\n\n```text\n{differences}\n```\n",
        table.text(),
    ))
}

fn run(place: &Bench, build: &Build, runs: &mut Runs) -> Result<()> {
    let status = command(place.top.join("tests/container/bed"))
        .args([
            "bench-build",
            build.name,
            build.base,
            build.setup,
            &build.line,
        ])
        .arg(std::env::current_exe()?)
        .status()?;
    ensure!(status.success(), "the build ended with {status}");
    let out = place.bench.join("out").join(build.name);
    let cost = Cost::read(&out.join("cost"))?;
    ensure!(cost.status == 0, "the RUN line ended with {}", cost.status);
    let calls = fs_err::read_to_string(out.join("order.log")).unwrap_or_default();
    let log = fs_err::read_to_string(out.join("log"))?;
    let itself = log
        .lines()
        .find_map(|line| line.strip_suffix("s ostree-kernel itself"));
    let itself: Option<f64> = itself.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    runs.costs.push(cost);
    runs.dracut.push(
        calls
            .lines()
            .filter(|line| line.starts_with("dracut "))
            .count(),
    );
    runs.itself.extend(itself);
    Ok(())
}

impl Runs {
    fn samples(&self) -> Samples {
        Samples::new(self.costs.clone())
    }
}

fn wall(cost: &Cost) -> f64 {
    cost.wall
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Returns the values, separated by commas.
fn each(values: &[impl ToString]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}
