// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a command; each is a verb and a file.
//!
//! Each step takes the result of the one before it, so the compiler enforces the order: dracut cannot run without a
//! located kernel in a clean tree, and an unverified initramfs cannot be committed.

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
