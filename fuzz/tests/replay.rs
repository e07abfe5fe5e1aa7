// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every seed and its neighbours through its target: cut at every length, each bit of each byte
//! flipped, each byte all zeros and all ones. No fuzzer is needed for that.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ostree_kernel_fuzz::TARGETS;

/// A seed and all its neighbours; the slowest takes a few seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// How many bytes of a seed get neighbours; of longer ones every so many-th.
const BYTES: usize = 300;

/// The process at its largest, in KiB: what C code holds is in it.
const RESIDENT_MAX: u64 = 256 << 10;

#[test]
fn seeds_and_their_neighbours() {
    let mut wrong = Vec::new();
    for (name, target) in TARGETS {
        let start = Instant::now();
        let (mut seeds, mut inputs) = (0, 0);
        for (path, bytes) in files(name) {
            let (done, watch) = channel();
            let watchdog = path.clone();
            let dog = std::thread::spawn(move || {
                if watch.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("{watchdog}: not done after {LONGEST:?}");
                    std::process::abort();
                }
            });
            seeds += 1;
            for (what, input) in neighbours(&bytes) {
                inputs += 1;
                if std::panic::catch_unwind(|| target(&input)).is_err() {
                    wrong.push(format!("{path}, {what}"));
                    break;
                }
            }
            done.send(()).expect("the watchdog waits");
            dog.join().expect("the watchdog ends");
        }
        assert!(seeds > 0, "{name} has no seeds; run make seeds");
        println!(
            "{name}: {seeds} seeds, {inputs} inputs, {:.1?}",
            start.elapsed()
        );
    }
    let resident = resident_max();
    println!("at most {} MiB resident", resident >> 10);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(resident <= RESIDENT_MAX, "{resident} KiB resident");
}

/// The seeds of a target, by name.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("a folder of seeds")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).expect("a seed"),
            )
        })
        .collect();
    files.sort();
    files
}

/// The seed itself first.
fn neighbours(seed: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let places = || (0..seed.len()).step_by(seed.len().div_ceil(BYTES).max(1));
    let cut = places().map(|length| (format!("cut at {length}"), seed[..length].to_vec()));
    let changes = (0..8).map(|bit| (1 << bit, 0)).chain([(0, 0xff), (0, 0)]);
    let changed = places().flat_map(move |at| {
        changes.clone().map(move |(flip, value)| {
            let mut changed = seed.to_vec();
            changed[at] = if flip == 0 { value } else { changed[at] ^ flip };
            (format!("byte {at} is {:#04x}", changed[at]), changed)
        })
    });
    std::iter::once(("whole".to_owned(), seed.to_vec()))
        .chain(cut)
        .chain(changed)
}

/// `VmHWM` of this process in KiB.
fn resident_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    size.and_then(|size| size.trim().parse().ok())
        .expect("a size in kB")
}
