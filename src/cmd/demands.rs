// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options that say what the initramfs must be able to do: the same in `verify`, `replace` and `rebuild`.

use clap::builder::PossibleValuesParser;

use crate::checks::{CHECKS, RootDevice, Wanted};

/// Requirements on the initramfs beyond those of every boot.
#[derive(Debug, Default, clap::Args)]
pub struct Demands {
    /// Require drivers for a root on this device type; may be repeated
    #[arg(long, value_enum, value_name = "KIND")]
    pub root_device: Vec<RootDevice>,
    /// Require drivers for a root with this file system; may be repeated
    #[arg(long, value_name = "NAME")]
    pub root_fs: Vec<String>,
    /// Require this driver, in the initramfs or built in; may be repeated
    #[arg(long, value_name = "NAME")]
    pub require_driver: Vec<String>,
    /// Skip this check (recorded in the report); may be repeated
    #[arg(long, value_name = "CHECK", value_parser = names(), hide_possible_values = true)]
    pub skip: Vec<String>,
}

impl Demands {
    /// Returns the requirements for the checks.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            devices: self.root_device.clone(),
            filesystems: self.root_fs.clone(),
            drivers: self.require_driver.clone(),
        }
    }

    /// Returns whether there is no requirement. An earlier run may not have checked for one.
    pub(super) fn is_empty(&self) -> bool {
        self.root_device.is_empty() && self.root_fs.is_empty() && self.require_driver.is_empty()
    }
}

/// Returns the names of the checks.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.iter().map(|check| check.name))
}
