// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options that say what the initramfs must be able to do: the same in `verify`, `replace` and `rebuild`.

use clap::builder::PossibleValuesParser;

use crate::checks::{CHECKS, RootDevice, Wanted};

/// What is asked of the initramfs beside what every one needs.
#[derive(Debug, Default, clap::Args)]
pub struct Demands {
    /// Require drivers for a root on this device type; may be repeated
    #[arg(long, value_enum, value_name = "KIND")]
    pub root_device: Vec<RootDevice>,
    /// Require drivers for a root with this file system; may be repeated
    #[arg(long, value_name = "NAME")]
    pub root_fs: Vec<String>,
    /// Require this driver, inside or built in; may be repeated
    #[arg(long, value_name = "NAME")]
    pub require_driver: Vec<String>,
    /// Skip this check (recorded in the report); may be repeated
    #[arg(long, value_name = "CHECK", value_parser = names(), hide_possible_values = true)]
    pub skip: Vec<String>,
}

impl Demands {
    /// As the checks take them.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            devices: self.root_device.clone(),
            filesystems: self.root_fs.clone(),
            drivers: self.require_driver.clone(),
        }
    }

    /// Whether nothing is asked for that an earlier run may not have looked for.
    pub(super) fn is_nothing(&self) -> bool {
        self.root_device.is_empty() && self.root_fs.is_empty() && self.require_driver.is_empty()
    }
}

/// The names of the checks.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.iter().map(|check| check.name))
}
