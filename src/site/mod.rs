// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that a run keeps in the tree (workspace, journal, hold, gate), facts about the tree that several steps need
//! (done, hmac_file, kernels, owner, vmlinuz), the machine (deployments, machine), and container images (image).

pub mod deployments;
pub mod done;
pub mod gate;
pub mod hmac_file;
pub mod hold;
pub mod image;
pub mod journal;
pub mod kernels;
pub mod machine;
pub mod owner;
pub mod vmlinuz;
pub mod workspace;
