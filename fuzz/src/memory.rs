// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much memory a reader holds: what Rust code allocates is counted. What the decoders in C
//! allocate is in the resident size, which libFuzzer (`-rss_limit_mb`) and the replay bound.

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs `reader` and panics if it held more than `most` bytes at a time, its answer included.
pub fn within<T>(most: usize, reader: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let answer = reader();
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(
        held <= most,
        "{held} bytes held at a time, at most {most} expected"
    );
    answer
}
