// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree_kernel_fuzz::boot` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ostree_kernel_fuzz::boot(data));
