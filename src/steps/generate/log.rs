// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts from dracut's log.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::sys::exec::quoted;
use crate::sys::root::Root;
use crate::tools::dracut::{self, Meaning, Notes};

/// The number of lines with the same [`Meaning`] after which further ones are dropped.
const KEPT: usize = 20;

/// The log of one run of dracut.
#[derive(Default)]
pub(super) struct DracutLog {
    losses: Vec<String>,
    no_initramfs: bool,
    /// Lines about a compressor other than the requested one.
    pub(super) compression: Vec<String>,
    /// The dracut module that cannot be added.
    pub(super) refused: Option<String>,
    /// Warnings about configured drivers that neither the base's initramfs nor the kernel has.
    pub(super) absent: Vec<String>,
    /// The previous line, if dracut-install printed it: the cause of a loss that the next line reports.
    cause: Option<String>,
}

impl DracutLog {
    pub(super) fn read(&mut self, line: &str) {
        let cause = self.cause.take();
        match dracut::meaning(line) {
            Meaning::Loss if self.losses.len() < KEPT => {
                self.losses.extend(cause);
                self.losses.push(line.to_owned());
            }
            Meaning::OtherCompression if self.compression.len() < KEPT => {
                self.compression.push(line.to_owned());
            }
            Meaning::NoInitramfs => self.no_initramfs = true,
            Meaning::Nothing if line.starts_with("dracut-install: ") => {
                self.cause = Some(line.to_owned());
            }
            Meaning::Loss | Meaning::OtherCompression | Meaning::Nothing => {}
        }
        if let Some(module) = dracut::refused_module(line) {
            self.refused = Some(module.to_owned());
        }
    }

    /// Adds to each line about a missing driver the configuration files that request the driver. If `had` does not
    /// contain a requested driver (the base lacked it, too, or there is no base), the line becomes a warning instead of
    /// a loss: stock images also lack such drivers (nvidia_peermem, hv_utils). A line with `FAILED:` after it is then
    /// dropped.
    ///
    /// # Errors
    /// When dracut's configuration cannot be read.
    pub(super) fn explain(&mut self, root: &Root, had: &BTreeSet<ModuleName>) -> Result<()> {
        let lines = std::mem::take(&mut self.losses);
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            let Some(driver) = dracut::absent_module(&line).map(str::to_owned) else {
                self.losses.push(line);
                continue;
            };
            let asking = dracut::asking_for_driver(root, &driver)?;
            let asking: Vec<_> = asking.iter().map(|file| format!("/{file}")).collect();
            let asking = asking.join(", ");
            let name = ModuleName::of_path(format!("{driver}.ko").as_bytes());
            if asking.is_empty() || name.is_some_and(|name| had.contains(&name)) {
                self.losses.push(match asking.as_str() {
                    "" => line,
                    files => format!("{line} (requested by {files})"),
                });
                continue;
            }
            let failed = lines
                .next_if(|next| next.contains("FAILED:"))
                .unwrap_or_default();
            let after = dracut::failed_modules(&failed).into_iter();
            let after: Vec<_> = after.skip_while(|name| *name != driver).skip(1).collect();
            let after = match after.as_slice() {
                [] => String::new(),
                names => format!(
                    "; dracut stopped at it and did not add {} from the same list",
                    names.join(", ")
                ),
            };
            let warning = format!(
                "the driver {driver}, requested by {asking}, exists neither in the kernel nor in the base's initramfs{after}"
            );
            if !self.absent.contains(&warning) {
                self.absent.push(warning);
            }
        }
        Ok(())
    }

    /// Returns an error if the log shows that the initramfs is incomplete.
    pub(super) fn judge(&self, kver: &Kver) -> Result<()> {
        if self.no_initramfs {
            bail!(
                "the kernel is built without support for an initramfs (CONFIG_BLK_DEV_INITRD in /{}/config), so dracut built none. Use a kernel that supports it",
                kver.dir()
            );
        }
        if !self.losses.is_empty() {
            bail!(
                "dracut exited with status 0, but reported missing parts:{}\n{}",
                quoted(&self.losses),
                self.remedy()
            );
        }
        Ok(())
    }

    /// Returns the text for a failed run of dracut: the losses that it reported before it failed, and the remedy.
    pub(super) fn advice(&self) -> String {
        match self.losses.as_slice() {
            [] => "Correct the reported error, then run the same line again".to_owned(),
            losses => format!(
                "Before that it reported missing parts:{}\n{}",
                quoted(losses),
                self.remedy()
            ),
        }
    }

    fn remedy(&self) -> &'static str {
        let mut losses = self.losses.iter();
        if losses.any(|line| line.contains("No space left")) {
            "Free space on the file system of /usr/lib, where dracut writes, then run again"
        } else {
            "Install what is missing in an earlier RUN line, or omit the dracut module that requires it (omit_dracutmodules in /etc/dracut.conf.d)"
        }
    }
}

/// Returns the warnings about a build in which dracut reported no missing parts.
pub(super) fn warnings(notes: &Notes) -> Vec<String> {
    let refused = notes.refused.iter().map(|module| {
        format!("the base's initramfs has dracut's module {module}, which cannot be added now")
    });
    let compression = notes.compression.iter();
    let compression =
        compression.map(|line| format!("dracut did not use the requested compression: {line}"));
    let absent = notes.absent.iter().cloned();
    let depmod = notes.depmod.iter().map(|line| of_depmod(line));
    let warnings = refused.chain(compression).chain(absent);
    warnings.chain(depmod).collect()
}

/// Returns the warning for a line of depmod about a file that it cannot read.
pub(super) fn of_depmod(line: &str) -> String {
    format!("depmod could not read a file, so its lists may lack a module: {line}")
}
