// SPDX-License-Identifier: MIT OR Apache-2.0
//! One module for each program that a step starts: it builds the command line from options, and parses the output into
//! values. A tool does not import another tool.

pub mod cliwrap;
pub mod depmod;
pub mod dnf;
pub mod dracut;
pub mod kernel_install;
pub mod ostree;
pub mod rpm;
pub mod rpm_ostree;
