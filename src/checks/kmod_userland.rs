// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that an out-of-tree driver, its libraries and its firmware have the same version: NVIDIA's driver rejects
//! libraries of another version.
//!
//! Only product versions are compared. The number in most library names is an ABI version, which begins with the number
//! in the soname: `libzfs.so.5` is a link to `libzfs.so.5.0.0`. In contrast, `libnvidia-ml.so.1` is a link to
//! `libnvidia-ml.so.570.144`, whose number is the product version.

use std::collections::{BTreeMap, BTreeSet};

use super::kmods::Kmod;
use super::{Answer, Finding, Subject, listed, show};
use crate::kernel::modules::ModuleName;

const FIRMWARE: &str = "usr/lib/firmware";

/// Upper bound of the compared firmware directories; a module requests files in one or two.
const DIRS_MAX: usize = 32;

/// The names of the entries in directories of libraries and of firmware, by directory.
pub type Userland = BTreeMap<String, Vec<String>>;

/// A file with another version than the module.
struct Other {
    path: String,
    version: String,
}

pub(super) fn userland(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    let mut findings: BTreeMap<String, Finding> = BTreeMap::new();
    for kmod in &tree.kmods {
        let Some(version) = &kmod.version else {
            continue;
        };
        let module = format!("{}/{}", subject.kver.dir(), show(&kmod.path));
        for other in others(kmod, version, &tree.userland) {
            let found = format!(
                "version {}; {module} has version {version}{}",
                other.version,
                tree.of_package(&module)
            );
            let expected = format!("version {version}; the driver rejects others");
            let remedy = "install the module and its libraries in one version, for example with the module's RPM among the sources";
            let finding = Finding::new(other.path.clone(), found, expected, remedy);
            findings.entry(other.path).or_insert(finding);
        }
    }
    Ok(listed(findings.into_values().collect()))
}

/// Returns the firmware directories whose entries the check `kmod-userland` compares, at most [`DIRS_MAX`].
pub fn firmware_dirs(kmods: &[Kmod]) -> BTreeSet<String> {
    let versioned = kmods
        .iter()
        .filter_map(|it| Some((it, it.version.as_deref()?)));
    let dirs: BTreeSet<_> = versioned
        .flat_map(|(kmod, version)| firmware_parents(kmod, version))
        .collect();
    dirs.into_iter().take(DIRS_MAX).collect()
}

/// Returns the firmware directories in which the module requests files of a subdirectory that is named after the
/// module's version.
fn firmware_parents(kmod: &Kmod, version: &str) -> impl Iterator<Item = String> {
    let part = format!("/{version}/");
    let parents = kmod.firmware.iter();
    parents.filter_map(move |it| Some(format!("{FIRMWARE}/{}", it.split_once(&part)?.0)))
}

/// Returns, for each directory that has the module's libraries or firmware only in other versions, one of these files.
fn others(kmod: &Kmod, version: &str, userland: &Userland) -> Vec<Other> {
    let Some(module) = ModuleName::of_path(&kmod.path) else {
        return Vec::new();
    };
    let parents: BTreeSet<_> = firmware_parents(kmod, version).collect();
    let in_dir = |(dir, names): (&String, &Vec<String>)| {
        let is_parent = parents.contains(dir);
        let version_of = |name: &String| {
            if is_parent {
                is_version(name).then(|| name.clone())
            } else {
                library_version(&module, name, names).map(str::to_owned)
            }
        };
        let found: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name, version_of(name)?)))
            .collect();
        if found.iter().any(|(_, it)| it == version) {
            return None;
        }
        let (name, version) = found.into_iter().next()?;
        let path = format!("{dir}/{name}");
        Some(Other { path, version })
    };
    userland.iter().filter_map(in_dir).collect()
}

/// Returns the product's version from a library's file name, such as `570.144` from `libnvidia-ml.so.570.144`. `None`
/// if the library is not named after the module, or if the number is an ABI version. An ABI version has no dot, or
/// `names`, the names in the library's directory, contain its soname (`libzfs.so.5` for `libzfs.so.5.0.0`).
fn library_version<'n>(module: &ModuleName, name: &'n str, names: &[String]) -> Option<&'n str> {
    let (stem, version) = name.strip_prefix("lib")?.split_once(".so.")?;
    let stem = stem.replace('-', "_").into_bytes();
    let rest = stem.strip_prefix(module.as_bytes())?;
    if rest.first().is_some_and(u8::is_ascii_alphanumeric) || !is_version(version) {
        return None;
    }
    let base = &name[..name.len() - version.len()];
    let dots = version.match_indices('.').map(|(at, _)| at);
    let mut sonames = dots.map(|at| format!("{base}{}", &version[..at]));
    (!sonames.any(|soname| names.contains(&soname))).then_some(version)
}

/// Returns whether a text consists of two or more numbers that are separated by dots.
fn is_version(text: &str) -> bool {
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('.') && text.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::Bench;

    const CHECK: &str = "kmod-userland";

    fn kmod(path: &str, version: &str) -> Kmod {
        Kmod {
            path: path.as_bytes().to_vec(),
            vermagic: Ok(b"6 SMP".to_vec()),
            version: Some(version.to_owned()),
            firmware: vec!["nvidia/570.144/gsp_ga10x.bin".to_owned()],
        }
    }

    fn found(kmods: Vec<Kmod>, files: &[&str]) -> Vec<String> {
        let mut userland = Userland::new();
        for file in files {
            let (dir, name) = file.rsplit_once('/').unwrap();
            let names = userland.entry(dir.to_owned()).or_default();
            names.push(name.to_owned());
        }
        Bench::good().findings_with(CHECK, |tree| {
            tree.kmods = kmods;
            tree.userland = userland;
        })
    }

    fn nvidia() -> Vec<Kmod> {
        vec![
            kmod("extra/nvidia.ko.xz", "570.144"),
            kmod("extra/nvidia-uvm.ko.xz", "570.144"),
        ]
    }

    #[test]
    fn bazzite_2668_a_driver_of_another_version_than_its_libraries() {
        let text = found(
            nvidia(),
            &[
                "usr/lib/libnvidia-ml.so.1",
                "usr/lib/libnvidia-ml.so.570.153.02",
                "usr/lib64/libnvidia-glcore.so.570.153.02",
                "usr/lib64/libnvidia-ml.so.1",
                "usr/lib64/libnvidia-ml.so.570.153.02",
                "usr/lib/firmware/nvidia/570.153.02",
                "usr/lib/firmware/nvidia/ga102",
            ],
        );
        assert_eq!(text.len(), 3, "{text:?}");
        for (finding, path) in text.iter().zip([
            "usr/lib/firmware/nvidia/570.153.02",
            "usr/lib/libnvidia-ml.so.570.153.02",
            "usr/lib64/libnvidia-glcore.so.570.153.02",
        ]) {
            let start = format!("warning {path}: version 570.153.02; ");
            assert!(finding.starts_with(&start), "{finding}");
            assert!(finding.contains("extra/nvidia.ko.xz has version 570.144"));
        }
    }

    #[test]
    fn libraries_of_the_drivers_version_and_of_other_products() {
        let good = [
            // This library of nvidia-settings may be older than the driver, since another library has the driver's
            // version.
            "usr/lib64/libnvidia-gtk3.so.570.133.07",
            "usr/lib64/libnvidia-ml.so.1",
            "usr/lib64/libnvidia-ml.so.570.144",
            "usr/lib/firmware/nvidia/570.144",
            "usr/lib/firmware/nvidia/570.153.02",
        ];
        assert_eq!(found(nvidia(), &good), [""; 0]);
        // These numbers are ABI versions, or belong to another product (`libnvidiax`); `ga102` is no version.
        let abi = [
            "usr/lib64/libnvidia-container.so.1",
            "usr/lib64/libnvidia-container.so.1.17.3",
            "usr/lib64/libnvidia-api.so.1",
            "usr/lib64/libnvidiax.so.1.2",
            "usr/lib/firmware/nvidia/ga102",
        ];
        assert_eq!(found(nvidia(), &abi), [""; 0]);
        let zfs = vec![kmod("extra/zfs.ko", "2.2.6-1")];
        let libraries = [
            "usr/lib64/libzfs.so.5",
            "usr/lib64/libzfs.so.5.0.0",
            "usr/lib64/libzfs_core.so.3",
            "usr/lib64/libzfs_core.so.3.0.0",
        ];
        assert_eq!(found(zfs, &libraries), [""; 0]);
    }
}
