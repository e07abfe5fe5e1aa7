// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces the kernel of an ostree-based OS container image in one `RUN` line, and refuses to let an image out that
//! will not boot.
//!
//! # The house
//!
//! A command is what the user types. A step is a verb. A tool is a program's name. The ground floor holds things.
//! Arrows go down only; a step imports no other step's work but its result, a tool imports no tool:
//!
//! ```text
//! main, cli      the command line, the log, the exit status
//! cmd/           replace rebuild verify status inspect: arguments, and the page that tells the story
//! steps/         survey resolve unwrap transact locate clean generate verify commit
//! site/          what a run keeps in the tree, and what several steps know of it: workspace journal hold done kernels owner
//! tools/         rpm_ostree dnf dracut depmod ostree rpm cliwrap kernel_install
//! report/        pure: what a run found and did, as JSON, text and annotations
//! checks/ plan/  pure: values in, findings or a plan or a refusal out
//! inspect/       pure: an inventory in, what people and programs want to read of it out
//! boot/          pure: an inventory in, what a boot does with it out
//! initramfs/     pure: bytes in, an inventory out
//! package/       pure: RPM headers, NEVRA, capabilities, signatures
//! kernel/        pure: kver, vmlinuz, modules, the HMAC of vmlinuz
//! sys/           exec (the only spawner), root (the only door to the tree), sqlite (the rpmdb), fetch (the only network),
//!                console (standard error), digest
//! text           pure: what a terminal can show
//! ```
//!
//! # Invariants
//!
//! - `checks`, `plan`, `boot`, `inspect`, `initramfs`, `package` and `kernel` name no process, environment, file system or log.
//! - Only [`sys::exec`] starts programs: argument vectors, never a shell, standard input null.
//! - Only [`sys::root`] touches the tree, and links never lead out of it.
//! - Nothing from outside is believed before it is checked: no size, no name, no exit status.
//! - dracut runs once; nothing is committed that was not verified; after the verification nothing else changes.
//!
//! `.clippy.toml` lints what a linter can see of this, `tests/it/walls.rs` the rest.

pub mod boot;
pub mod checks;
pub mod cli;
pub mod cmd;
pub mod initramfs;
pub mod inspect;
pub mod kernel;
pub mod package;
pub mod plan;
pub mod report;
pub mod site;
pub mod steps;
pub mod sys;
pub mod text;
pub mod tools;
