// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the reader, of the resulting tree and of the facts about files; seeds for the fuzzer.

mod bodies;
mod hostile;
mod reading;
mod seeds;
mod unpacking;
