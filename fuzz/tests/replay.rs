// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs each target without a fuzzer, on every seed and its neighbours: truncated seeds, and seeds with one byte
//! changed. Also reads some small initramfs files with every value at every byte.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ostree_kernel_fuzz::{TARGETS, is_read, segment_image};

/// The time limit for a seed with all its neighbours, for all truncations of a small initramfs, or for all values of
/// one of its bytes. The slowest seed takes a few seconds.
const LONGEST: Duration = Duration::from_secs(600);

/// Maximum number of positions at which a seed is truncated or changed; they are at equal distances.
const BYTES: usize = 300;

/// Upper bound of the resident size in KiB, which includes the memory of C code.
const RESIDENT_MAX: u64 = 256 << 10;

/// Memory is counted for the whole process, so only one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn seeds_and_their_neighbours() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for (name, target) in TARGETS {
        let start = Instant::now();
        let (mut seeds, mut inputs) = (0, 0);
        for (path, bytes) in files(name) {
            seeds += 1;
            watched(&path, || {
                for (what, input) in neighbours(&bytes) {
                    inputs += 1;
                    if std::panic::catch_unwind(|| target(&input)).is_err() {
                        wrong.push(format!("{path}, {what}"));
                        break;
                    }
                }
            });
        }
        assert!(seeds > 0, "{name} has no seeds; run make seeds");
        println!(
            "{name}: {seeds} seeds, {inputs} inputs, {:.1?}",
            start.elapsed()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    bounded();
}

/// Changes every byte of some small initramfs files to every value, and truncates the files at every length. Each must
/// either be rejected with an error, or be read as the model reads it. The files are uncompressed (with and without
/// checksums), or a segment of each compression.
#[test]
fn every_change_of_a_small_image() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let raw = files("initramfs").into_iter();
    let raw = raw.filter(|(path, _)| path.ends_with("/small") || path.ends_with("/summed"));
    let packed = files("segment").into_iter();
    let packed = packed.filter_map(|(path, bytes)| Some((path, segment_image(&bytes)?)));
    for (path, image) in raw.chain(packed) {
        let start = Instant::now();
        assert!(is_read(&image), "{path}");
        let (mut readings, mut errors) = (0, 0);
        let mut look =
            |what: &dyn Fn() -> String, image: &[u8]| match std::panic::catch_unwind(|| {
                is_read(image)
            }) {
                Ok(true) => readings += 1,
                Ok(false) => errors += 1,
                Err(_) => panic!("{path}, {}", what()),
            };
        watched(&path, || {
            for length in 0..image.len() {
                look(&|| format!("cut at {length}"), &image[..length]);
            }
        });
        let mut changed = image.clone();
        for at in 0..image.len() {
            watched(&path, || {
                for value in (0..=u8::MAX).filter(|value| *value != image[at]) {
                    changed[at] = value;
                    look(&|| format!("byte {at} is {value:#04x}"), &changed);
                }
            });
            changed[at] = image[at];
        }
        println!(
            "{path}: {readings} readings, {errors} errors, {:.1?}",
            start.elapsed()
        );
    }
    bounded();
}

/// Runs `work`, and aborts the process if that takes longer than [`LONGEST`].
fn watched(name: &str, work: impl FnOnce()) {
    let (done, watch) = channel();
    let name = name.to_owned();
    let dog = std::thread::spawn(move || {
        if watch.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name}: not done after {LONGEST:?}");
            std::process::abort();
        }
    });
    work();
    done.send(()).expect("the watchdog waits");
    dog.join().expect("the watchdog ends");
}

/// Returns the seeds of a target, each with its path, sorted by path.
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

/// Returns the seed itself, then its neighbours: truncated, and with one byte changed (a bit flipped, all bits zero or
/// one).
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

/// Asserts that the peak resident size of this process (`VmHWM`) is within [`RESIDENT_MAX`].
fn bounded() {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let size = size.and_then(|size| size.trim().parse().ok());
    let resident: u64 = size.expect("a size in kB");
    println!("at most {} MiB resident", resident >> 10);
    assert!(resident <= RESIDENT_MAX, "{resident} KiB resident");
}
