// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options of `verify`, `replace` and `rebuild` that state additional requirements, or skip a check.

use clap::builder::PossibleValuesParser;

use super::sources::size;
use crate::checks::{Artefact, Budget, CHECKS, DRIVER_CHECK, RootDevice, SPACE_CHECK, Wanted};

/// Requirements in addition to those of every boot, and the checks to skip.
#[derive(Debug, Default, clap::Args)]
#[command(group = clap::ArgGroup::new("partition").args(["boot_size", "esp_size"]).multiple(true))]
pub struct Demands {
    /// Require drivers for a root on this device type; may be repeated
    #[arg(long, value_enum, value_name = "KIND")]
    pub root_device: Vec<RootDevice>,
    /// Require drivers for a root with this file system; may be repeated
    #[arg(long, value_name = "NAME", value_parser = words)]
    pub root_fs: Vec<String>,
    /// Require this driver, in the initramfs or built in; may be repeated
    #[arg(long, value_name = "NAME", value_parser = words)]
    pub require_driver: Vec<String>,
    /// Require the dracut modules and drivers for this use of the image, for example
    /// iso,pxe
    #[arg(long = "for", value_enum, value_name = "KIND", value_delimiter = ',')]
    pub artefacts: Vec<Artefact>,
    /// Size of /boot on the machines: fail unless the kernels of --boot-deployments
    /// fit (bytes, or with K, M, G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub boot_size: Option<u64>,
    /// Size of the EFI system partition, if it holds the kernels
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub esp_size: Option<u64>,
    /// Number of deployments whose kernels are on /boot (or the ESP) at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 2, requires = "partition", value_parser = clap::value_parser!(u64).range(1..=16))]
    pub boot_deployments: u64,
    /// Warn if the initramfs is larger than SIZE, the most that GRUB can load [240M without SIZE]
    #[arg(long, value_name = "SIZE", value_parser = size, num_args = 0..=1, require_equals = true, default_missing_value = "240M")]
    pub grub_memory: Option<u64>,
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
            artefacts: self.artefacts.clone(),
            budget: self.budget(),
        }
    }

    /// Returns whether no requirement is given; `--skip` does not count. With a requirement, `replace` cannot rely on
    /// the verdict of an earlier run.
    pub(super) fn is_empty(&self) -> bool {
        self.root_device.is_empty()
            && self.root_fs.is_empty()
            && self.require_driver.is_empty()
            && self.artefacts.is_empty()
            && self.budget().is_empty()
    }

    /// Returns the given options, each with the name of the check that it affects.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let all = [
            ("--root-device", !self.root_device.is_empty(), DRIVER_CHECK),
            ("--root-fs", !self.root_fs.is_empty(), DRIVER_CHECK),
            (
                "--require-driver",
                !self.require_driver.is_empty(),
                DRIVER_CHECK,
            ),
            ("--for", !self.artefacts.is_empty(), DRIVER_CHECK),
            ("--boot-size", self.boot_size.is_some(), SPACE_CHECK),
            ("--esp-size", self.esp_size.is_some(), SPACE_CHECK),
            ("--grub-memory", self.grub_memory.is_some(), SPACE_CHECK),
        ];
        let given = all.into_iter().filter(|(_, is_given, _)| *is_given);
        given.map(|(option, _, check)| (option, check))
    }

    fn budget(&self) -> Budget {
        Budget {
            boot: self.boot_size,
            esp: self.esp_size,
            deployments: self.boot_deployments,
            grub: self.grub_memory,
        }
    }
}

/// Parses a value that must not be blank: an unset variable in a Containerfile expands to an empty value.
pub(super) fn words(value: &str) -> Result<String, String> {
    if value.trim().is_empty() {
        return Err("expected a value that is not empty".to_owned());
    }
    Ok(value.to_owned())
}

/// Returns the parser of an option whose value is the name of a check.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.iter().map(|check| check.name))
}
