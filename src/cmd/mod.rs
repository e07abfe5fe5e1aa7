// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands (one file each, with its arguments and the order of its steps), and the options and functions that they
//! share.

mod build;
pub mod demands;
pub mod deployed;
pub mod gate;
pub mod inspect;
pub mod job;
pub mod page;
pub mod reading;
pub mod rebuild;
pub mod replace;
pub mod result;
pub mod signing;
pub mod sources;
pub mod status;
pub mod verify;
