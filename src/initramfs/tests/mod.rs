// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader under test, from the outside: good images, broken ones, and the tree they give.

mod bodies;
mod hostile;
mod reading;
mod seeds;
mod unpacking;
