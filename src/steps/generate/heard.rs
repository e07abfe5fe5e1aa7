// SPDX-License-Identifier: MIT OR Apache-2.0
//! What dracut's log says.

use anyhow::{Result, bail};

use super::Notes;
use crate::kernel::kver::Kver;
use crate::sys::exec::quoted;
use crate::tools::dracut::{self, Meaning};

/// How many lines of one meaning are kept.
const KEPT: usize = 20;

/// What was heard of one run.
#[derive(Default)]
pub(super) struct Heard {
    losses: Vec<String>,
    no_initramfs: bool,
    /// Lines that say that it is not compressed as it was asked for.
    pub(super) compression: Vec<String>,
    /// The module that cannot be added.
    pub(super) refused: Option<String>,
}

impl Heard {
    /// Takes in a line.
    pub(super) fn listen(&mut self, line: &str) {
        match dracut::meaning(line) {
            Meaning::Loss if self.losses.len() < KEPT => self.losses.push(line.to_owned()),
            Meaning::OtherCompression if self.compression.len() < KEPT => {
                self.compression.push(line.to_owned());
            }
            Meaning::NoInitramfs => self.no_initramfs = true,
            Meaning::Loss | Meaning::OtherCompression | Meaning::Nothing => {}
        }
        if let Some(module) = dracut::refused_module(line) {
            self.refused = Some(module.to_owned());
        }
    }

    /// Whether all that was meant to be in the initramfs is, as far as the log says.
    pub(super) fn judge(&self, kver: &Kver) -> Result<()> {
        if self.no_initramfs {
            bail!(
                "the kernel is built without support for an initramfs (CONFIG_BLK_DEV_INITRD in /{}/config), and dracut made none. Take a kernel that is built with it",
                kver.dir()
            );
        }
        if !self.losses.is_empty() {
            bail!(
                "dracut exited with status 0, and printed that something is lost:{}\n{}",
                quoted(&self.losses),
                self.remedy()
            );
        }
        Ok(())
    }

    /// What a dracut that failed had printed of losses before its last lines, and what to do.
    pub(super) fn advice(&self) -> String {
        match self.losses.as_slice() {
            [] => "Correct what it says, then run the same line again".to_owned(),
            losses => format!(
                "Before that it printed that something is lost:{}\n{}",
                quoted(losses),
                self.remedy()
            ),
        }
    }

    /// What to do about losses.
    fn remedy(&self) -> &'static str {
        let mut losses = self.losses.iter();
        match losses.any(|line| line.contains("No space left")) {
            true => "Make room on the file system of /usr/lib, where dracut works, then run again",
            false => {
                "Install what is missing in an earlier RUN line, or leave out the dracut module that wants it (omit_dracutmodules in /etc/dracut.conf.d)"
            }
        }
    }
}

/// What the user should know, although the initramfs is whole.
pub(super) fn warnings(notes: &Notes) -> Vec<String> {
    let refused = notes.refused.iter().map(|module| {
        format!("the base's initramfs has dracut's module {module}, which cannot be added now")
    });
    let compression = notes.compression.iter();
    let compression =
        compression.map(|line| format!("dracut did not compress as it was asked to: {line}"));
    refused.chain(compression).collect()
}
