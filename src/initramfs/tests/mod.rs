// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the reader: good images, damaged ones, and the resulting tree.

mod bodies;
mod hostile;
mod reading;
mod seeds;
mod unpacking;
