// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a job, each a verb and a file.
//!
//! Each takes what the one before it gives, so the order cannot be written wrongly: dracut cannot
//! run without a located kernel in a clean tree, and nothing can be committed that was not verified.

pub mod clean;
pub mod commit;
pub mod generate;
pub mod locate;
pub mod resolve;
pub mod survey;
pub mod transact;
pub mod unwrap;
pub mod verify;
