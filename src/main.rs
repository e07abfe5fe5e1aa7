// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `ostree-kernel` program.

fn main() -> std::process::ExitCode {
    ostree_kernel::cli::main(std::env::args_os().collect())
}
