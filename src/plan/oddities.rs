// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces of other build scripts, and settings of the base, to refuse or to warn about.

use super::Refusal;

/// The oddities that the survey found. A pair is a path, relative to the root, and a description of the file there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Paths where a directory for temporary files is expected, and something else was found.
    pub no_directories: Vec<(String, String)>,
    /// A file under dracut's name that is not dracut.
    pub dracut: Option<(String, String)>,
    /// kernel-install's plug-ins that build an initramfs, but were replaced with ones that do nothing.
    pub plugins: Vec<(String, String)>,
    /// The path of rpm-ostree's treefile, if it has `no-initramfs`: the base is composed without an initramfs.
    pub no_initramfs: Option<String>,
}

impl Oddities {
    /// Refuses oddities with which a step would fail later, and with a less clear message.
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
