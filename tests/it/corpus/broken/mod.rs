// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cases with broken images and trees.

mod damage;
mod drivers;
mod format;
mod kernel;
mod modules;
mod node;
mod programs;
mod projection;
mod signers;
mod space;
mod squash;
mod system;
mod units;

pub use drivers::never_installed;
pub use modules::nvidia;
pub use projection::good as good_copies;

use super::case::{Case, CaseKind};
use super::draft::Draft;
use super::products::Base;

fn broken(
    name: impl Into<String>,
    base: Base,
    comes_of: &'static str,
    expected: &[&'static str],
    change: impl Fn(&mut Draft) + Send + Sync + 'static,
) -> Case {
    Case::new(CaseKind::Broken, name, base, comes_of, expected, change)
}

pub fn cases() -> Vec<Case> {
    let rooms = [
        kernel::cases(),
        format::cases(),
        damage::cases(),
        space::cases(),
        modules::cases(),
        node::cases(),
        drivers::cases(),
        programs::cases(),
        projection::cases(),
        signers::cases(),
        squash::cases(),
        system::cases(),
        units::cases(),
    ];
    rooms.into_iter().flatten().collect()
}
