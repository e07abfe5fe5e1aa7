// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses RPM packages and headers of the rpmdb, and judges the signatures of packages.

pub mod capability;
mod files;
mod header;
mod nevra;
pub mod rpmdb;
pub mod signature;

pub use header::{HEADER_MAX, Package, PackageError, hex};
pub use nevra::Nevra;
