// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the tree around the kernel: the kernel's configuration and modules, os-release, the settings of bootc, and the
//! files that dracut copies.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;

use crate::boot::UNIT_DIRS;
use crate::checks::{
    self, Baseline, Initramfs, Kmod, ModuleParameters, OsRelease, Userland, is_foreign,
    plain_firmware,
};
use crate::initramfs::{EntryType, Inventory};
use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{MAX_UNPACKED, Modinfo, ModuleList, ModuleName, unpack};
use crate::kernel::packing::{self, Packing};
use crate::sys::root::{self, OpenDir, Root};
use crate::tools::dracut;

/// Upper bound of a text file (bytes); a kernel's configuration has 0.3 MiB.
const TEXT_MAX: u64 = 8 << 20;

/// Reads the kernel's configuration.
pub(super) fn config(root: &Root, kver: &Kver) -> Result<Option<String>, String> {
    let config = text(root, &format!("{}/config", kver.dir()));
    config.map_err(|error| error.to_string())
}

/// Reads the os-release file that ostree reads.
pub(super) fn os_release(root: &Root) -> OsRelease {
    const VENDOR: &str = "usr/lib/os-release";
    const ETC: &str = "etc/os-release";
    // ostree reads etc/os-release only if usr/lib/os-release does not exist or is a dangling link.
    let path = match root.stat(VENDOR) {
        Ok(None) => ETC,
        _ => VENDOR,
    };
    let text = match root.read(path, TEXT_MAX) {
        Ok(Some(bytes)) => {
            String::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())
        }
        Ok(None) => Err("no such file".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    OsRelease::new(path, text)
}

/// Returns the total size in bytes of `vmlinuz` and the device trees, which ostree copies to `/boot` besides the
/// initramfs (`ostree-sysroot-deploy.c`). A file `devicetree` takes precedence over the directory `dtb`.
pub(super) fn boot_files_size(root: &Root, kver: &Kver) -> Result<u64, root::Error> {
    let size = |name: &str| {
        let meta = root.stat(format!("{}/{name}", kver.dir()))?;
        let file = meta.filter(|meta| meta.kind == root::FileType::File);
        Ok::<_, root::Error>(file.map(|meta| meta.size))
    };
    let trees = match size("devicetree")? {
        Some(size) => size,
        None => {
            let below = root.walk(format!("{}/dtb", kver.dir()))?.into_iter();
            let files = below.filter(|it| it.meta.kind == root::FileType::File);
            files.map(|it| it.meta.size).sum()
        }
    };
    Ok(size("vmlinuz")?.unwrap_or(0).saturating_add(trees))
}

/// Upper bound of a configuration file that is compared (bytes).
const COPY_MAX: u64 = 64 << 10;

/// Reads the tree's files that dracut copies; see [`checks::TreeFacts::files`].
pub(super) fn copied(
    root: &Root,
    inventory: &Inventory,
) -> Result<BTreeMap<String, Vec<u8>>, root::Error> {
    let mut paths = checks::copies(inventory);
    for dir in checks::COPIED_DIRS {
        let names = root.list(dir)?.into_iter();
        let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
        let confs = names.filter(|name| name.ends_with(".conf"));
        paths.extend(confs.map(|name| format!("{dir}{name}")));
    }
    let mut files = BTreeMap::new();
    for path in paths {
        // In an image that is not deployed, `etc` can be in `usr`.
        for place in [path.clone(), format!("usr/{path}")] {
            let meta = root.stat(&place).ok().flatten();
            let is_small =
                meta.is_some_and(|it| it.kind == root::FileType::File && it.size <= COPY_MAX);
            // A file that this user cannot read is left out.
            if is_small && let Ok(Some(bytes)) = root.read(&place, COPY_MAX) {
                files.insert(path, bytes);
                break;
            }
        }
    }
    Ok(files)
}

/// Returns the tree's version of dracut, as dracut writes it into an image.
pub(super) fn dracut_version(root: &Root) -> Option<String> {
    let text = text(root, "usr/lib/dracut/dracut-version.sh").ok()??;
    let mut lines = text.lines();
    let version = lines.find_map(|line| line.strip_prefix("DRACUT_VERSION="))?;
    Some(version.trim_matches(['"', '\'']).to_owned())
}

/// Returns the paths that are dangling links in the initramfs and regular files in the tree.
pub(super) fn under_links(root: &Root, inventory: &Inventory) -> BTreeSet<Vec<u8>> {
    let links = inventory
        .nodes()
        .filter(|(path, node)| node.kind == EntryType::Symlink && inventory.resolve(path).is_err());
    let is_file = |path: &[u8]| {
        let meta = root.lstat(OsStr::from_bytes(path)).ok().flatten();
        meta.is_some_and(|meta| meta.kind == root::FileType::File)
    };
    let links = links.map(|(path, _)| path).filter(|path| is_file(path));
    links.map(<[u8]>::to_vec).collect()
}

/// Returns the paths in `items` (absolute) that exist in the tree.
pub(super) fn on_disk(root: &Root, items: &BTreeSet<String>) -> BTreeSet<String> {
    let is_there = |path: &&String| root.stat(path.as_str()).is_ok_and(|it| it.is_some());
    items.iter().filter(is_there).cloned().collect()
}

/// Returns the types of the root file system that the tree names in fstab, in kernel arguments and in bootc's
/// installation settings.
pub(super) fn root_filesystems(root: &Root) -> Result<BTreeSet<String>, root::Error> {
    let mut names = BTreeSet::new();
    for fstab in ["etc/fstab", "usr/etc/fstab"] {
        let text = text(root, fstab).unwrap_or_default().unwrap_or_default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split_whitespace().skip(1);
            if let (Some("/" | "/sysroot"), Some(kind)) = (fields.next(), fields.next()) {
                names.extend(kind.split(',').map(str::to_owned));
            }
        }
    }
    for (_, text) in bootc_files(root)? {
        let arguments = quoted_words(&text);
        let types = arguments.filter_map(|it| it.strip_prefix("rootfstype="));
        names.extend(types.map(str::to_owned));
        names.extend(text.lines().filter_map(bootc_type));
    }
    Ok(names)
}

/// Returns the words in the quoted strings of bootc's configuration files, each with the path of its file. Among them
/// are the kernel arguments that bootc takes from the tree (bootc `kargs.rs`).
pub(super) fn kernel_arguments(root: &Root) -> Result<Vec<(String, String)>, root::Error> {
    let mut arguments = Vec::new();
    for (path, text) in bootc_files(root)? {
        let words = quoted_words(&text).map(str::to_owned);
        arguments.extend(words.map(|word| (path.clone(), word)));
    }
    Ok(arguments)
}

/// Returns the path and the text of each configuration file of bootc with kernel arguments or installation settings.
fn bootc_files(root: &Root) -> Result<Vec<(String, String)>, root::Error> {
    let mut files = Vec::new();
    for dir in [
        "usr/lib/bootc/kargs.d",
        "usr/lib/bootc/install",
        "etc/bootc/install",
    ] {
        for (name, _) in root.list(dir)? {
            let path = format!("{dir}/{}", name.to_string_lossy());
            if path.ends_with(".toml")
                && let Ok(Some(text)) = text(root, &path)
            {
                files.push((path, text));
            }
        }
    }
    Ok(files)
}

/// Returns the words in the quoted strings of a TOML file; lines that are comments are skipped.
fn quoted_words(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|it| !it.trim_start().starts_with('#'));
    let quoted = lines.flat_map(|line| line.split(['"', '\'']).skip(1).step_by(2));
    quoted.flat_map(str::split_whitespace)
}

/// Returns the file system in a line `type = "xfs"` or `root-fs-type = "xfs"` of bootc's configuration; `None` for
/// other lines.
fn bootc_type(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let is_type = ["type", "root-fs-type"].contains(&key.trim());
    is_type.then(|| value.trim().trim_matches('"').to_owned())
}

fn text(root: &Root, path: &str) -> Result<Option<String>, root::Error> {
    let bytes = root.read(path, TEXT_MAX)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Returns the compression formats of the modules, each with the path of one module and the number of modules. Paths
/// are relative to the kernel's directory. Uncompressed modules are left out. So are unreadable modules, which other
/// checks report.
pub(super) fn packings(
    root: &Root,
    kver: &Kver,
    modules: &[Vec<u8>],
) -> BTreeMap<Packing, (Vec<u8>, usize)> {
    let mut packings = BTreeMap::new();
    let mut dir: Option<(&[u8], Option<OpenDir>)> = None;
    for path in modules {
        let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let (parent, name) = path.split_at(slash);
        if dir.as_ref().is_none_or(|(last, _)| *last != parent) {
            let place = Path::new(MODULES).join(kver.as_str());
            let place = root.open_directory(place.join(OsStr::from_bytes(parent)));
            dir = Some((parent, place.ok().flatten()));
        }
        let place = dir.as_ref().and_then(|(_, place)| place.as_ref());
        let name = OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name));
        let head = place.map(|place| place.head(name, packing::HEAD));
        let Some(Ok(Some(head))) = head else {
            continue;
        };
        let packing = Packing::of(&head);
        if packing != Packing::None {
            let group = packings.entry(packing);
            group.or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
    }
    packings
}

/// Returns the out-of-tree modules among `modules`, whose paths are relative to the kernel's directory.
pub(super) fn kmods(
    root: &Root,
    kver: &Kver,
    modules: &[Vec<u8>],
    order: Option<&ModuleList>,
) -> Vec<Kmod> {
    let read = |path: &[u8]| {
        let modinfo = modinfo(root, &[kver.as_str().as_bytes(), path].join(&b'/'));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let found = modinfo.as_ref().ok();
        Kmod {
            path: path.to_vec(),
            version: found.and_then(|it| it.get("version")).map(text),
            firmware: found.map_or_else(Vec::new, |it| it.all("firmware").map(text).collect()),
            vermagic: modinfo.and_then(|it| {
                let vermagic = it.vermagic().map(<[u8]>::to_vec);
                vermagic.ok_or_else(|| "no vermagic".to_owned())
            }),
        }
    };
    let kmods: Vec<_> = modules
        .iter()
        .filter(|path| is_foreign(path, order))
        .collect();
    let dir = Path::new(MODULES).join(kver.as_str());
    let paths = kmods.iter().map(|path| dir.join(OsStr::from_bytes(path)));
    // The error is ignored: a file that cannot be loaded is reported when it is read.
    let _ = root.load(&paths.collect::<Vec<_>>());
    kmods.into_iter().map(|path| read(path)).collect()
}

/// Returns the names of the files in the directories of libraries and in the directories of the firmware that `kmods`
/// request. Empty if no module has a version. A directory that cannot be read counts as empty.
pub(super) fn userland(root: &Root, kmods: &[Kmod]) -> Userland {
    const LIBRARIES: &str = "usr/lib";
    if kmods.iter().all(|kmod| kmod.version.is_none()) {
        return Userland::new();
    }
    let names = |dir: &str| -> Vec<String> {
        let names = root.list(dir).unwrap_or_default().into_iter();
        let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
        names.collect()
    };
    let libraries = names(LIBRARIES);
    // Debian has a directory for each architecture.
    let triplets = libraries.iter().filter(|name| name.ends_with("-linux-gnu"));
    let triplets = triplets.map(|name| format!("{LIBRARIES}/{name}"));
    let mut userland: Userland = triplets
        .chain(["usr/lib64".to_owned()])
        .chain(checks::firmware_dirs(kmods))
        .map(|dir| {
            let names = names(&dir);
            (dir, names)
        })
        .collect();
    userland.insert(LIBRARIES.to_owned(), libraries);
    userland
}

/// Reads the modinfo of the module at `path`, relative to `usr/lib/modules`.
fn modinfo(root: &Root, path: &[u8]) -> Result<Modinfo, String> {
    let place = Path::new(MODULES).join(OsStr::from_bytes(path));
    let bytes = root
        .read(place, MAX_UNPACKED)
        .map_err(|error| error.to_string())?
        .ok_or("a dangling link")?;
    let mut module = Vec::new();
    unpack(path, bytes.as_slice(), &mut module).map_err(|error| error.to_string())?;
    Modinfo::of_module(&module).map_err(|error| error.to_string())
}

/// Reads the parameters of modules from the module files of the tree. `modules` are the paths of the modules in the
/// initramfs. A module that the tree lacks, or that cannot be read, is left out.
pub(super) fn parameters(root: &Root, modules: &[Vec<u8>]) -> ModuleParameters {
    let read = |path: &Vec<u8>| {
        let modinfo = modinfo(root, below_modules(path)).ok()?;
        Some((ModuleName::of_path(path)?, modinfo.parameters()))
    };
    modules.iter().filter_map(read).collect()
}

/// Converts a module's path in the initramfs to a path relative to `usr/lib/modules`.
fn below_modules(path: &[u8]) -> &[u8] {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    below.strip_prefix(b"lib/modules/").unwrap_or(below)
}

/// Returns the names of the files in systemd's unit directories and in the directories of dracut's modules, among them
/// all units.
pub(super) fn units(root: &Root) -> Result<BTreeSet<String>, root::Error> {
    let mut dirs = UNIT_DIRS.map(str::to_owned).to_vec();
    for (name, kind) in root.list(dracut::MODULES_D)? {
        if kind == root::FileType::Dir {
            dirs.push(format!("{}/{}", dracut::MODULES_D, name.to_string_lossy()));
        }
    }
    let mut units = BTreeSet::new();
    for dir in dirs {
        let names = root.list(dir)?.into_iter();
        units.extend(names.map(|(name, _)| name.to_string_lossy().into_owned()));
    }
    Ok(units)
}

/// Returns the firmware files that the base's initramfs has and this initramfs lacks, each with a driver in this
/// initramfs that requests the file. Modules are unpacked only if firmware is missing.
pub(super) fn firmware_of(
    root: &Root,
    image: &Initramfs,
    base: &Baseline,
) -> BTreeMap<Vec<u8>, ModuleName> {
    let Initramfs::Read { inventory, .. } = image else {
        return BTreeMap::new();
    };
    let lost = base.lost_firmware(inventory);
    if lost.is_empty() {
        return BTreeMap::new();
    }
    wanted_firmware(root, inventory)
        .filter(|(file, _)| lost.contains(file))
        .collect()
}

fn wanted_firmware(
    root: &Root,
    inventory: &Inventory,
) -> impl Iterator<Item = (Vec<u8>, ModuleName)> {
    inventory.kernel_modules().into_iter().flat_map(|path| {
        let modinfo = modinfo(root, below_modules(path)).unwrap_or_default();
        let files = modinfo.all("firmware").map(plain_firmware);
        let files: Vec<_> = files.map(<[u8]>::to_vec).collect();
        let name = ModuleName::of_path(path);
        files
            .into_iter()
            .filter_map(move |file| Some((file, name.clone()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_the_other_files_on_boot() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let kver = Kver::new("6.9.4").unwrap();
        let put = |name: &str, size: usize| {
            let path = format!("{}/{name}", kver.dir());
            let parent = path.rsplit_once('/').unwrap().0;
            root.create_dir_all(parent, 0o755).unwrap();
            root.write(&path, &vec![0; size], 0o644).unwrap();
        };
        let sum = || boot_files_size(&root, &kver).unwrap();
        assert_eq!(sum(), 0);
        put("vmlinuz", 100);
        assert_eq!(sum(), 100);
        put("dtb/rockchip/a.dtb", 7);
        put("dtb/b.dtb", 5);
        put("dtb.old/c.dtb", 1000);
        assert_eq!(sum(), 112);
        // The file `devicetree` counts instead of the directory `dtb`.
        put("devicetree", 20);
        assert_eq!(sum(), 120);
    }
}
