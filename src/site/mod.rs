// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run keeps in the tree, and what several steps know of it.

pub mod done;
pub mod hmac_file;
pub mod hold;
pub mod journal;
pub mod kernels;
pub mod owner;
pub mod workspace;
