// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces the kernel of an ostree-based OS container image in one `RUN` line, and fails the build if the image would
//! not boot.
//!
//! # Structure
//!
//! A command is what the user types, a step is a phase of a command, and a tool is the module for a program that a step
//! starts. `sys` accesses the operating system. Imports go downwards only. A step may import only the result types of
//! other steps. A tool imports no other tool.
//!
//! ```text
//! main, cli      the command line, the log, the exit status
//! cmd/           replace rebuild verify status inspect gate: arguments, order of the steps, printed result
//! steps/         survey resolve unwrap transact locate clean sign generate verify commit
//! site/          files that a run keeps in the tree (workspace journal hold gate), facts for several steps (done
//!                kernels owner vmlinuz), the machine (deployments machine), images (image)
//! tools/         rpm_ostree dnf dracut depmod ostree rpm cliwrap kernel_install
//! report/        pure: what a run found and did, as JSON, text and annotations
//! checks/ plan/  pure: from facts to findings, to a plan or to a refusal
//! inspect/       pure: from an inventory to listings and differences
//! boot/          pure: from an inventory to the units and files that a boot uses
//! initramfs/     pure: from bytes to an inventory
//! oci/           pure: references, manifests, layers, the tree that layers make together
//! package/       pure: RPM headers, NEVRA, capabilities, signatures
//! node/          pure: deployments, devices and the record of the gate
//! kernel/        pure: kver, vmlinuz, modules, the HMAC of vmlinuz
//! signing/       pure: certificates, keys, signatures of kernels and modules
//! sys/           exec (starts programs), root (reads and writes the tree), sqlite (the rpmdb), fetch (the network),
//!                console (standard error), digest
//! text           pure: what a terminal can show
//! pool           pure: runs a function for many items on a few threads
//! elf            pure: headers and sections of ELF files
//! bytes          pure: byte strings of unknown encoding
//! ```
//!
//! # Invariants
//!
//! - The parts marked "pure" use no process, environment, file system or log.
//! - Only [`sys::exec`] starts programs: argument vectors, never a shell, standard input null.
//! - Only [`sys::root`] touches the tree, and it never follows a link out of it.
//! - Input is checked before it is used: sizes, names, exit statuses.
//! - dracut runs once. Only a verified initramfs is committed. After the verification only the commit step changes the
//!   tree: it installs the initramfs, writes the report and cleans caches.
//!
//! `.clippy.toml` enforces a part of this, `tests/it/walls.rs` the rest.

pub mod boot;
pub mod bytes;
pub mod checks;
pub mod cli;
pub mod cmd;
pub mod elf;
pub mod initramfs;
pub mod inspect;
pub mod kernel;
pub mod node;
pub mod oci;
pub mod package;
pub mod plan;
pub mod pool;
pub mod report;
pub mod signing;
pub mod site;
pub mod steps;
pub mod sys;
pub mod text;
pub mod tools;
