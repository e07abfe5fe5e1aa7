// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces the kernel of an ostree-based OS container image, and proves that the result boots.
//!
//! # The house
//!
//! A command is what the user types. A step is a verb. A tool is a program's name. The ground floor
//! holds things. Arrows go down only:
//!
//! ```text
//! main → cli → cmd → steps → tools → { plan, checks, initramfs } → { kernel, sys }
//! ```

pub mod initramfs;
pub mod kernel;
pub mod sys;
