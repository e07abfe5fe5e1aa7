// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a command. Each is a module that is named with a verb.
//!
//! Steps take the results of earlier steps, so the compiler enforces the order: dracut cannot run without a located
//! kernel in a clean tree, and an unverified initramfs cannot be committed.

pub mod clean;
pub mod commit;
pub mod generate;
pub mod locate;
pub mod resolve;
pub mod sign;
pub mod survey;
pub mod transact;
pub mod unwrap;
pub mod verify;
