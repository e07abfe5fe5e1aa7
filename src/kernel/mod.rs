// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel is, as values: its release string, its image, its modules, its packages.

pub mod modules;
pub mod vmlinuz;
