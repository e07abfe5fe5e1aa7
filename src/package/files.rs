// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the file list of a package, and finds the kernel and the modules in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rpm::{IndexTag, PackageMetadata};

use super::PackageError;
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;

/// `RPMFILE_GHOST`: the package owns the name, but has no content for it.
const GHOST: u32 = 1 << 6;

/// The file list of a package.
pub struct Files(Vec<ListedFile>);

struct ListedFile {
    path: PathBuf,
    is_ghost: bool,
    is_link: bool,
}

impl Files {
    /// Reads the file list.
    ///
    /// # Errors
    /// When the header has only a part of its lists of names and directories, or they do not match.
    pub fn of(metadata: &PackageMetadata) -> Result<Self, rpm::Error> {
        let header = &metadata.header;
        let modes = header.get_entry_data_as_u16_array(IndexTag::RPMTAG_FILEMODES);
        let flags = header.get_entry_data_as_u32_array(IndexTag::RPMTAG_FILEFLAGS);
        let (modes, flags) = (modes.unwrap_or_default(), flags.unwrap_or_default());
        let paths = metadata.get_file_paths()?;
        let file = |(at, path): (usize, PathBuf)| ListedFile {
            is_ghost: flags.get(at).is_some_and(|flags| flags & GHOST != 0),
            is_link: modes
                .get(at)
                .is_some_and(|mode| mode & 0o170_000 == 0o120_000),
            path,
        };
        Ok(Self(paths.into_iter().enumerate().map(file).collect()))
    }

    /// Returns whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the kver in the path `lib/modules/KVER/vmlinuz` of a file; `None` if there is no such file. A symbolic
    /// link does not count, because ostree would copy the link instead of the kernel.
    ///
    /// # Errors
    /// When there are such files for several kvers, or when the directory's name is not a kver.
    pub fn vmlinuz(&self) -> Result<Option<Kver>, PackageError> {
        let mut found: Option<Kver> = None;
        for (path, file) in self.in_lib_modules() {
            let kver = path.strip_suffix("/vmlinuz");
            let Some(kver) = kver.filter(|it| !it.contains('/') && !file.is_link && !file.is_ghost)
            else {
                continue;
            };
            let kver = Kver::new(kver)?;
            match found {
                Some(other) if other != kver => return Err(PackageError::TwoKernels(other, kver)),
                _ => found = Some(kver),
            }
        }
        Ok(found)
    }

    /// Returns the path of the first symbolic link `lib/modules/KVER/vmlinuz`; `None` if there is none.
    pub fn vmlinuz_link(&self) -> Option<String> {
        let mut links = self.in_lib_modules().filter(|(_, file)| file.is_link);
        let is_kernel = |path: &str| {
            let kver = path.strip_suffix("/vmlinuz");
            kver.is_some_and(|kver| !kver.contains('/'))
        };
        links.find_map(|(path, file)| {
            is_kernel(path).then(|| file.path.to_str().map(str::to_owned))?
        })
    }

    /// Returns the path of the first kernel image in `/boot` (`vmlinuz-…` or `vmlinux-…`) that is not a `%ghost`;
    /// `None` if there is none.
    pub fn in_boot(&self) -> Option<String> {
        let real = self.0.iter().filter(|file| !file.is_ghost);
        let mut paths = real.filter_map(|file| file.path.to_str());
        let is_image = |path: &&str| {
            let name = path.strip_prefix("/boot/").unwrap_or_default();
            ["vmlinuz-", "vmlinux-"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        paths.find(is_image).map(str::to_owned)
    }

    /// Returns the kernel modules, each as the name of a directory in `lib/modules` and the module's name.
    pub fn modules(&self) -> BTreeSet<(String, ModuleName)> {
        let module = |(path, _): (&str, &ListedFile)| {
            let (dir, file) = path.split_once('/')?;
            Some((dir.to_owned(), ModuleName::of_path(file.as_bytes())?))
        };
        let real = self.in_lib_modules().filter(|(_, file)| !file.is_ghost);
        real.filter_map(module).collect()
    }

    /// Returns the directories of the files, relative to the root.
    pub fn dirs(&self) -> BTreeSet<PathBuf> {
        let dirs = self.0.iter().filter_map(|file| file.path.parent());
        dirs.map(|dir| dir.strip_prefix("/").unwrap_or(dir).to_owned())
            .collect()
    }

    /// Returns the files in `/lib/modules` and `/usr/lib/modules`, with the path of each relative to these directories.
    /// Paths that are not UTF-8 are left out.
    fn in_lib_modules(&self) -> impl Iterator<Item = (&str, &ListedFile)> {
        self.0.iter().filter_map(|file| {
            let path = file.path.to_str()?.trim_start_matches('/');
            let path = path.strip_prefix("usr/").unwrap_or(path);
            Some((path.strip_prefix("lib/modules/")?, file))
        })
    }
}
