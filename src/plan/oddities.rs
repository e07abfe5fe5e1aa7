// SPDX-License-Identifier: MIT OR Apache-2.0
//! Leftovers of other build scripts, and settings of the base, that a job must refuse or mention.

use super::Refusal;

/// What the survey found of these: paths relative to the root, each with what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Directories for temporary files that are no directories.
    pub no_directories: Vec<(String, String)>,
    /// A file in dracut's place that is not dracut.
    pub dracut: Option<(String, String)>,
    /// Plug-ins of kernel-install for the initramfs that were switched off.
    pub plugins: Vec<(String, String)>,
    /// The treefile, if it composes the base without an initramfs.
    pub no_initramfs: Option<String>,
}

impl Oddities {
    /// Refuses those that a job would fail on, later and with a worse message.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub fn admit(&self) -> Result<(), Refusal> {
        if let Some((path, what)) = self.no_directories.first() {
            return Err(Refusal::NoDirectory(path.clone(), what.clone()));
        }
        match &self.dracut {
            Some((path, what)) => Err(Refusal::NotDracut(path.clone(), what.clone())),
            None => Ok(()),
        }
    }

    /// Sentences on the others.
    pub fn warnings(&self) -> Vec<String> {
        let plugin = |(path, what): &(String, String)| {
            format!(
                "/{path} is {what}: kernel-install would build no initramfs on the installed system. Restore or remove it at the end of the build script that put it there"
            )
        };
        let treefile = self.no_initramfs.iter().map(|path| {
            format!(
                "/{path} composes this base without an initramfs (no-initramfs). One is built now, and the system will boot with it"
            )
        });
        self.plugins.iter().map(plugin).chain(treefile).collect()
    }
}
