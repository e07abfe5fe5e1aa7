// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces the kernel of an ostree-based OS container image in one `RUN` line, and fails the build if the image would
//! not boot.
//!
//! # Structure
//!
//! A command is a subcommand of the program, a step is a phase of a command, and a tool is the module for a program
//! that a step starts. `sys` accesses the operating system. A module imports only modules that come later in this list:
//! in a lower line, or farther right in its own line. A step imports only the result types of other steps, and a tool
//! imports no other tool.
//!
//! ```text
//! main, cli      the command line, the log, the exit status
//! cmd/           replace rebuild verify status inspect gate: arguments, order of the steps, printed result
//! steps/         survey resolve unwrap transact locate clean sign generate verify commit
//! site/          files that a run keeps in the tree (workspace journal hold gate), facts for several steps (done
//!                hmac_file kernels owner vmlinuz), the machine (deployments machine), container images (image)
//! tools/         rpm_ostree dnf dracut depmod ostree rpm cliwrap kernel_install
//! report/        pure: what a run found and did, as JSON, text and annotations
//! checks/ plan/  pure: from facts to findings (checks), and from facts to a plan or a refusal (plan)
//! inspect/       pure: from an inventory to listings and differences
//! boot/          pure: from an inventory to the units and files that a boot uses
//! initramfs/     pure: from bytes to an inventory
//! oci/           pure: references, manifests, layers, the file tree that the layers of an image form
//! package/       pure: RPM headers, NEVRA, capabilities, signatures
//! node/          pure: deployments, devices and the record of the gate
//! kernel/        pure: kver, modules, compression, vmlinuz and its HMAC
//! signing/       pure: certificates, keys, signatures of kernels and modules
//! sys/           exec (starts programs), root (reads and writes the tree), sqlite (the rpmdb), fetch (the network),
//!                console (standard error), stop (signals), digest, memory, nice
//! text           pure: escapes text for terminals and JSON, and colours it
//! pool           pure: runs a function for many items on a few threads
//! elf            pure: headers and sections of ELF files
//! bytes          pure: byte strings of unknown encoding
//! ```
//!
//! # Invariants
//!
//! - The parts marked "pure" use no process, environment, file system or log.
//! - Only [`sys::exec`] starts programs: from argument vectors and never through a shell. Their standard input is
//!   `/dev/null`, except that of credential helpers.
//! - Only [`sys::root`] accesses the tree's files, and it resolves links inside the tree.
//! - Input is checked before it is used: sizes, names, exit statuses.
//! - dracut builds one initramfs. It is started again only if it cannot add a dracut module of the base, or for
//!   `--prove`.
//! - Only a verified initramfs is committed. After the verification only the commit step changes the tree: it installs
//!   the initramfs, writes the report and cleans caches.
//!
//! `.clippy.toml` and `tests/it/walls.rs` check the imports, and which modules start programs or access files.

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
