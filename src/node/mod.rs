// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts about a machine that boots ostree deployments: its deployments, its devices, its firmware's certificates, and
//! the gate's record.
//!
//! The code here is pure: [`crate::site`] reads the files, and [`crate::checks`] makes the findings.

pub mod certificates;
pub mod deployment;
pub mod entry;
pub mod machine;
pub mod mounts;
pub mod record;
pub mod staged;
pub mod variant;

pub use deployment::{Deployment, Place, Which};
pub use machine::{Boot, Device, Layer, Machine, SecureBoot, Storage};
