// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ground floor: the only places that touch the tree, start programs and use the network.

pub mod console;
pub mod digest;
pub mod exec;
pub mod fetch;
pub mod nice;
pub mod root;
pub mod sqlite;
pub mod stop;
