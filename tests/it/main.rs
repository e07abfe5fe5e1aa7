// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the real program on a root in a temporary directory. The programs below that root are stubs.
//!
//! The tests assert the exit status, the order in which programs ran, the tree afterwards and the printed text.
//! `bed::Bed::run` asserts the conditions that hold after every run. The program starts the stubs after chroot(2), so
//! the tests need root or a user namespace: see `privilege`.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod cleans;
#[cfg(test)]
mod completions;
#[cfg(test)]
mod console;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod demands;
#[cfg(test)]
mod deployments;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod fails;
mod fault;
#[cfg(test)]
mod fetches;
#[cfg(test)]
mod first;
#[cfg(test)]
mod flavours;
#[cfg(test)]
mod image;
#[cfg(test)]
mod images;
#[cfg(test)]
mod index;
#[cfg(test)]
mod isolated;
#[cfg(test)]
mod judges;
#[cfg(test)]
mod kernels;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod looks;
#[cfg(test)]
mod man;
#[cfg(test)]
mod modprobe;
#[cfg(test)]
mod names;
#[cfg(test)]
mod packaging;
#[cfg(test)]
mod privilege;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod proves;
#[cfg(test)]
mod ran;
#[cfg(test)]
mod refuses;
#[cfg(test)]
mod replaces;
#[cfg(test)]
mod rpmdb;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod server;
#[cfg(test)]
mod signatures;

#[cfg(test)]
mod signing;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod sysroot;
#[cfg(test)]
mod together;
#[cfg(test)]
mod toolbox;
#[cfg(test)]
mod traceless;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod walls;
