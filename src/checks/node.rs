// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of a deployment on the machine that boots it next, with facts that are not known during a build.

mod drivers;
mod kargs;
mod secure_boot;
mod space;
#[cfg(test)]
mod tests;

pub(super) use drivers::root_drivers;
pub(super) use kargs::kargs;
pub(super) use secure_boot::secure_boot;
pub(super) use space::boot_space;
