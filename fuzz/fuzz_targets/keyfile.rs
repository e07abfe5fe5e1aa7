// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree_kernel_fuzz::keyfile` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ostree_kernel_fuzz::keyfile(data));
