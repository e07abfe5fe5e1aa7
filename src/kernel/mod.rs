// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers for a kernel's release string, its image, its HMAC file and its modules, and for the compression of files.

pub mod hmac;
pub mod kver;
pub mod modules;
pub mod packing;
#[cfg(test)]
pub(crate) mod testing;
pub mod vmlinuz;

/// The directory with one subdirectory for each kernel and its modules, relative to the root.
pub const MODULES: &str = "usr/lib/modules";
