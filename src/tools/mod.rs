// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file per program: from options to a command line, from output to values. A tool imports no tool.

pub mod cliwrap;
pub mod depmod;
pub mod dnf;
pub mod dracut;
pub mod kernel_install;
pub mod ostree;
pub mod rpm;
pub mod rpm_ostree;
