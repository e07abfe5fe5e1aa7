// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands: one file for each, with its arguments and its steps in order.

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
