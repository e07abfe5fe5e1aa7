// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the memory that a reader allocates in Rust. Memory of the decoders in C is not counted here, but in the
//! resident size, which libFuzzer (`-rss_limit_mb`) and the replay limit.

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs `reader`, and panics if more than `most` bytes, including the result, are allocated at any time.
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
