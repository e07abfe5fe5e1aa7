// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the initramfs: those whose name begins with `initramfs-`.

pub(super) mod compression;
pub(super) mod drivers;
pub(super) mod image;
pub(super) mod init;
pub(super) mod intent;
pub(super) mod modules;
pub(super) mod projection;
pub(super) mod regression;
pub(super) mod sources;
pub(super) mod units;
