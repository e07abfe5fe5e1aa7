// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces of other build scripts, and settings of the base, to refuse or to warn about.

use super::Refusal;

/// The oddities that the survey found: paths relative to the root, each with a description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Paths of directories for temporary files that are not directories, each with the type that was found.
    pub no_directories: Vec<(String, String)>,
    /// A file under dracut's name that is not dracut.
    pub dracut: Option<(String, String)>,
    /// kernel-install's plug-ins for the initramfs that were disabled.
    pub plugins: Vec<(String, String)>,
    /// The treefile, if it builds the base without an initramfs.
    pub no_initramfs: Option<String>,
}

impl Oddities {
    /// Refuses oddities on which a step would fail later, with a worse message.
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

    /// Returns warnings about the oddities that are not refused.
    pub fn warnings(&self) -> Vec<String> {
        let plugin = |(path, what): &(String, String)| {
            format!(
                "/{path} is {what}: kernel-install would build no initramfs on the installed system. Restore or remove it at the end of the build script that put it there"
            )
        };
        let treefile = self.no_initramfs.iter().map(|path| {
            format!(
                "/{path} has no-initramfs, so the base has no initramfs. This run builds one, and the system will boot with it"
            )
        });
        self.plugins.iter().map(plugin).chain(treefile).collect()
    }
}
