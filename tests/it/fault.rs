// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults during `replace`. Each program that it starts fails, is killed, hangs or fills the disk. `replace` itself is
//! killed when each of the programs starts and ends, and at evenly spaced times.
//!
//! `cargo test --test it fault -- --nocapture` prints the table.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bed::Bed;
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;
use crate::tree::Snapshot;

/// The number of parallel runs.
const AT_ONCE: usize = 4;

/// The number of evenly spaced times of a run at which `replace` is killed, on each base.
const MOMENTS: u32 = 40;

/// The size of the small disk in bytes. The root of a run needs about 3 MiB.
const SMALL_DISK: u64 = 12 << 20;

/// The name of a base, and the function that creates it.
type Base = (&'static str, fn() -> Bed);

const BASES: [Base; 4] = [
    ("layout=ostree", Bed::new),
    ("2024.8, cliwrapped", || {
        let bed = Bed::rpm_ostree("2024.8");
        bed.cliwrap();
        bed
    }),
    ("2025.6, no layout", || {
        let bed = Bed::new();
        bed.remove("usr/lib/kernel/install.conf");
        bed
    }),
    ("dnf", || Bed::dnf("dnf")),
];

/// The result of a run without a fault, and the programs that it starts.
struct Good {
    tree: Snapshot,
    programs: Vec<String>,
    took: Duration,
}

fn good((_, base): Base) -> Good {
    let bed = base();
    bed.write("stub/fault", "0 none");
    let start = Instant::now();
    let ran = bed.run(&["replace", &bed.source()]);
    let took = start.elapsed();
    ran.ends_with(0);
    Good {
        tree: ran.after,
        programs: ran.ran,
        took,
    }
}

/// Asserts what must hold after every run: no truncated initramfs is in place, and a run that fails prints an error.
fn is_honest(ran: &Ran) {
    for build in [OLD, NEW] {
        let found = ran
            .after
            .file(&format!("usr/lib/modules/{}/initramfs.img", build.kver));
        let whole = build.initramfs(crate::image::Fault::None);
        // The script that replaces dracut during the transaction creates an empty file, and rpm-ostree renames this
        // file to initramfs.img. This file can still be there after the run was killed.
        let killed = ran.status.is_none();
        let is_whole = found.is_none_or(|it| it.starts_with(&whole) || killed && it.is_empty());
        ran.require(is_whole, "half an initramfs is in place");
    }
    if !matches!(ran.status, None | Some(0)) {
        ran.complains(&["error: "]);
    }
}

/// Asserts that the next run leaves the same tree as a run without a fault, or is refused with the advice to build the
/// layer again. Returns a word for the outcome.
fn goes_on(bed: &Bed, good: &Good) -> &'static str {
    let _ = fs_err::remove_file(bed.path("stub/fault"));
    let ran = bed.run(&["replace", &bed.source()]);
    is_honest(&ran);
    if ran.status == Some(3) {
        ran.complains(&["uild the layer again"]);
        return "refused";
    }
    ran.ends_with(0);
    let differs = good.tree.differs(&ran.after);
    ran.require(differs.is_empty(), &format!("another tree: {differs:#?}"));
    "same tree"
}

/// Calls `work` for each job, on several threads.
fn all<T: Send>(jobs: Vec<T>, work: impl Fn(T) + Sync) {
    let jobs = Mutex::new(jobs.into_iter());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = jobs.lock().ok().and_then(|mut jobs| jobs.next());
                    let Some(job) = next else { break };
                    work(job);
                }
            });
        }
    });
}

/// The faults of a program, as tests/stub/lib.sh calls them.
const FAULTS: [&str; 4] = ["fails", "killed", "hangs", "fills"];

#[test]
fn fault_matrix() {
    let goods: Vec<_> = BASES.iter().map(|base| good(*base)).collect();
    let mut jobs = Vec::new();
    for (base, good) in BASES.iter().zip(&goods) {
        for number in 1..=good.programs.len() {
            for how in FAULTS {
                jobs.push((base, good, number, how));
            }
        }
    }
    let count = jobs.len();
    let ends = Mutex::new(BTreeMap::new());
    all(jobs, |((name, base), good, number, how)| {
        let bed = base();
        bed.write("stub/fault", format!("{number} {how}"));
        let disk = (how == "fills").then(|| bed.on_a_small_disk(SMALL_DISK));
        let ran = bed.run(&["replace", &bed.source(), "--timeout=2"]);
        ran.require(ran.status.is_some(), "it does not end");
        is_honest(&ran);
        let _ = fs_err::remove_file(bed.path("fill"));
        let then = goes_on(&bed, good);
        drop(disk);
        let end = (ran.status.unwrap_or(-1), then);
        ends.lock().unwrap().insert((*name, number, how), end);
    });
    let ends = ends.into_inner().unwrap();
    println!("the exit status of the run, and what the next one comes to:");
    let [fails, killed, hangs, fills] = FAULTS;
    println!(
        "{:<20} {:<36} {fails:<13} {killed:<13} {hangs:<13} {fills}",
        "base", "program"
    );
    for ((name, _), good) in BASES.iter().zip(&goods) {
        for (index, program) in good.programs.iter().enumerate() {
            let program: String = program.chars().take(32).collect();
            let cell = |how| {
                let (status, then) = ends[&(*name, index + 1, how)];
                format!("{status}, {then}")
            };
            let [fails, killed, hangs, fills] = FAULTS.map(cell);
            let number = index + 1;
            println!(
                "{name:<20} {number:>2} {program:<33} {fails:<13} {killed:<13} {hangs:<13} {fills}"
            );
        }
    }
    println!("{count} faults");
}

#[test]
fn a_stopped_run_undoes_its_hold() {
    let (name, base) = BASES[1];
    let good = good((name, base));
    let number = |start: &str| {
        let mut programs = good.programs.iter();
        programs.position(|line| line.starts_with(start)).unwrap() + 1
    };
    for (number, signal, says) in [
        (
            number("rpm-ostree override"),
            Signal::SIGTERM,
            "transact is unfinished: packages may be half replaced",
        ),
        (
            number("dracut"),
            Signal::SIGINT,
            "generate is unfinished: the kernel's new initramfs is not in place",
        ),
    ] {
        let bed = base();
        bed.write("stub/fault", format!("{number} hangs"));
        let start = Instant::now();
        // The program hangs at this time, which is three times the duration of a run without a fault.
        let ran = bed.run_and_kill(&["replace", &bed.source()], signal, good.took * 3);
        ran.ends_with(1)
            .complains(&[says, &format!("stopped by {signal}")]);
        ran.require(
            start.elapsed() < Duration::from_secs(60),
            "it waited for the program",
        );
        assert_eq!(goes_on(&bed, &good), "same tree");
    }
}

#[test]
fn fault_kills() {
    let goods: Vec<_> = BASES.iter().map(|base| good(*base)).collect();
    let mut jobs = Vec::new();
    for (base, good) in BASES.iter().zip(&goods) {
        for number in 1..=good.programs.len() {
            jobs.push((base, good, Some((number, "parent")), Duration::ZERO));
            jobs.push((base, good, Some((number, "parent-after")), Duration::ZERO));
        }
        for moment in 0..MOMENTS {
            jobs.push((base, good, None, good.took * moment / MOMENTS));
        }
    }
    let count = jobs.len();
    let ends = Mutex::new(BTreeMap::<_, usize>::new());
    all(jobs, |((name, base), good, fault, after)| {
        let bed = base();
        match fault {
            Some((number, how)) => {
                bed.write("stub/fault", format!("{number} {how}"));
                is_honest(&bed.run(&["replace", &bed.source()]));
            }
            None => {
                bed.write("stub/fault", "0 none");
                is_honest(&bed.run_and_kill(&["replace", &bed.source()], Signal::SIGKILL, after));
            }
        }
        let then = goes_on(&bed, good);
        println!("{name:<20} killed {fault:?} {after:?}: {then}");
        *ends.lock().unwrap().entry(then).or_default() += 1;
    });
    println!("{count} kills: {:?}", ends.into_inner().unwrap());
    assert!(count >= 200);
}
