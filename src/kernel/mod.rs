// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel as values: its release string, its image, its modules.

pub mod hmac;
pub mod kver;
pub mod modules;
pub mod packing;
#[cfg(test)]
pub(crate) mod testing;
pub mod vmlinuz;

/// The directory of kernels and their modules, relative to the root.
pub const MODULES: &str = "usr/lib/modules";
