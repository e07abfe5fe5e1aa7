// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `ostree-kernel` program.
fn main() {}
