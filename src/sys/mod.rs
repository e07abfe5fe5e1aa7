// SPDX-License-Identifier: MIT OR Apache-2.0
//! Access to the operating system: the only modules that access the tree, start programs or use the network.

pub mod console;
pub mod digest;
pub mod exec;
pub mod fetch;
pub mod memory;
pub mod nice;
pub mod root;
pub mod sqlite;
pub mod stop;
