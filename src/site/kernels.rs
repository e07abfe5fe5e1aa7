// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the kernels of a tree, their modules, unified kernel images (UKIs) and leftovers, for several steps.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::checks::{BootedBy, Shadow, is_out_of_tree};
use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{ModuleList, ModuleName};
use crate::package::rpmdb::Rpmdb;
use crate::plan::ModuleDir;
use crate::sys::root::{self, Root};

/// The directory of UKIs for bootc and systemd-boot, relative to the root.
const EFI_LINUX: &str = "boot/EFI/Linux";

/// The directory of UKIs in `/usr`, relative to the root.
const USR_EFI_LINUX: &str = "usr/lib/efi/Linux";

/// The directory of Type 1 entries of the Boot Loader Specification, relative to the root.
const ENTRIES: &str = "boot/loader/entries";

/// The directories of kernels in older layouts of ostree, relative to the root. ostree (`get_kernel_from_tree` in
/// `ostree-sysroot-deploy.c`) boots a kernel of these directories if `usr/lib/modules` has none. It also prefers such a
/// kernel if it has an initramfs, and the kernel in `usr/lib/modules` has none.
pub const LEGACY_DIRS: [&str; 2] = ["usr/lib/ostree-boot", "boot"];

/// Prefixes of the names of a kernel's files in [`LEGACY_DIRS`]. Boot loaders and their directories (`efi`, `grub2`,
/// `loader`) do not belong to a kernel.
const KERNEL_FILES: [&str; 8] = [
    "vmlinuz-",
    "initramfs-",
    "initrd-",
    // Debian's dracut uses this name if a scriptlet gives no name.
    "initrd.img-",
    ".vmlinuz-",
    "symvers-",
    "System.map-",
    "config-",
];

/// Returns the directories of `usr/lib/modules`, sorted by name.
///
/// # Errors
/// When the directories cannot be read.
pub fn module_dirs(root: &Root) -> Result<Vec<ModuleDir>, root::Error> {
    let mut dirs = Vec::new();
    for (name, kind) in root.list(MODULES)? {
        // ostree accepts only real directories, and a vmlinuz that is a regular file or a link to one.
        if kind == root::FileType::Dir {
            let name = name.to_string_lossy().into_owned();
            let has_vmlinuz = root.is_file(format!("{MODULES}/{name}/vmlinuz"))?;
            let kmods = if has_vmlinuz {
                Vec::new()
            } else {
                kmods(root, &name)?
            };
            dirs.push(ModuleDir {
                name,
                has_vmlinuz,
                kmods: kmods.into_iter().map(|(name, _)| name).collect(),
            });
        }
    }
    Ok(dirs)
}

/// Directories in `usr/lib/modules` that a removed kernel has left.
pub struct LeftoverDirs {
    /// Directories that no package owns.
    pub stale: Vec<String>,
    /// Directories that a package owns, or in which a package owns a file. They must not be removed.
    pub owned: Vec<String>,
}

/// Finds the directories in `usr/lib/modules` that a kernel other than `kver` left. They have no `vmlinuz`, and either
/// hold files of a kernel, or have the name of the replaced kernel (`before`). Other directories, such as `keys` with
/// an administrator's keys, belong to no kernel. Without `rpmdb`, all found directories count as stale.
///
/// # Errors
/// When the directories cannot be read.
pub fn leftover_dirs(
    root: &Root,
    kver: &Kver,
    before: Option<&Kver>,
    rpmdb: Option<&Rpmdb>,
) -> Result<LeftoverDirs, root::Error> {
    let (mut stale, mut owned) = (Vec::new(), Vec::new());
    for dir in module_dirs(root)? {
        let path = format!("{MODULES}/{}", dir.name);
        let was_kernel = || before.is_some_and(|it| it.as_str() == dir.name);
        if dir.name == kver.as_str()
            || dir.has_vmlinuz
            || !(was_kernel() || is_of_a_kernel(root, &path)?)
        {
            continue;
        }
        if rpmdb.is_some_and(|it| it.owns_in(&path)) {
            owned.push(dir.name)
        } else {
            stale.push(dir.name)
        }
    }
    Ok(LeftoverDirs { stale, owned })
}

/// Returns whether a directory holds files of a kernel: modules at any depth, `modules.*`, `initramfs.img`, or the
/// directory `kernel`.
///
/// # Errors
/// When the directory cannot be read.
pub fn is_of_a_kernel(root: &Root, path: &str) -> Result<bool, root::Error> {
    let is_list = |path: &[u8]| path.starts_with(b"modules.") || path == b"initramfs.img";
    let files = root.files(path)?.into_iter();
    let mut files = files.map(|path| path.into_os_string().into_vec());
    Ok(root.is_dir(format!("{path}/kernel"))?
        || files.any(|path| is_list(&path) || ModuleName::is_of_path(&path)))
}

/// Upper bound of `modules.order` (bytes); Fedora's has 0.3 MiB.
const ORDER_MAX: u64 = 64 << 20;

/// Returns the modules in the directory `dir` of `usr/lib/modules`: each one's name, and its path relative to the root.
///
/// # Errors
/// When a directory cannot be read.
pub fn modules(root: &Root, dir: &str) -> Result<Vec<(ModuleName, String)>, root::Error> {
    let dir = format!("{MODULES}/{dir}");
    let module = |path: PathBuf| {
        let name = ModuleName::of_path(path.as_os_str().as_bytes())?;
        Some((name, format!("{dir}/{}", path.display())))
    };
    Ok(root.files(&dir)?.into_iter().filter_map(module).collect())
}

/// Returns the out-of-tree modules in the directory `dir` of `usr/lib/modules`, with their paths. [`is_out_of_tree`]
/// defines which modules are out-of-tree. If the directory has no `vmlinuz`, all its modules count as out-of-tree.
///
/// # Errors
/// When a directory or the list cannot be read.
pub fn kmods(root: &Root, dir: &str) -> Result<Vec<(ModuleName, String)>, root::Error> {
    let mut kmods = modules(root, dir)?;
    let has_vmlinuz = root.is_file(format!("{MODULES}/{dir}/vmlinuz"))?;
    if has_vmlinuz && !kmods.is_empty() {
        let order = root.read(format!("{MODULES}/{dir}/modules.order"), ORDER_MAX)?;
        let order = ModuleList::parse_order(&order.unwrap_or_default()).ok();
        let start = format!("{MODULES}/{dir}/");
        kmods.retain(|(_, path)| {
            let path = path.strip_prefix(&start).unwrap_or(path);
            is_out_of_tree(path.as_bytes(), order.as_ref())
        });
    }
    Ok(kmods)
}

/// Finds files that are booted instead of a `vmlinuz`. `of_kernel` is the name of a directory in `usr/lib/modules` and
/// the files in it, if they were listed already.
///
/// bootc and systemd-boot boot `*.efi` in `boot/EFI/Linux` or `usr/lib/efi/Linux`, and `KVER.efi` in the kernel's
/// directory. bootc's composefs backend uses composefs-rs (`bootloader.rs`), which prefers Type 1 entries. Next,
/// composefs-rs uses any `*.efi` below `boot/EFI/Linux` or a kernel's directory, at any depth. It uses `vmlinuz` last.
///
/// # Errors
/// When a directory cannot be read.
pub fn shadows(
    root: &Root,
    of_kernel: Option<(&str, &[PathBuf])>,
) -> Result<Vec<Shadow>, root::Error> {
    let mut found = Vec::new();
    for (name, kind) in root.list(ENTRIES)? {
        let name = name.to_string_lossy();
        if name.ends_with(".conf") && kind != root::FileType::Dir {
            found.push(Shadow {
                path: format!("{ENTRIES}/{name}"),
                boots: BootedBy::ComposefsRs,
            });
        }
    }
    efi(
        EFI_LINUX,
        &root.files(EFI_LINUX)?,
        |path| !path.contains('/'),
        &mut found,
    );
    for (name, _) in root.list(USR_EFI_LINUX)? {
        efi(USR_EFI_LINUX, &[name.into()], |_| true, &mut found);
    }
    for (name, kind) in root.list(MODULES)? {
        let name = name.to_string_lossy();
        if kind != root::FileType::Dir {
            continue;
        }
        let dir = format!("{MODULES}/{name}");
        let own = format!("{name}.efi");
        match of_kernel {
            Some((kernel, files)) if kernel == name => {
                efi(&dir, files, |path| path == own, &mut found);
            }
            _ => efi(&dir, &root.files(&dir)?, |path| path == own, &mut found),
        }
    }
    Ok(found)
}

/// Adds the `*.efi` among `files`, which are relative to `dir`. `is_uki` returns whether every backend boots a file;
/// only composefs-rs boots the other files.
fn efi(dir: &str, files: &[PathBuf], is_uki: impl Fn(&str) -> bool, found: &mut Vec<Shadow>) {
    let names = files.iter().map(|path| path.to_string_lossy());
    let efi = names.filter(|name| name.ends_with(".efi"));
    found.extend(efi.map(|name| Shadow {
        boots: if is_uki(&name) {
            BootedBy::All
        } else {
            BootedBy::ComposefsRs
        },
        path: format!("{dir}/{name}"),
    }));
}

/// Returns the kernel files in [`LEGACY_DIRS`], relative to the root.
///
/// # Errors
/// When a directory cannot be read.
pub fn legacy(root: &Root) -> Result<Vec<String>, root::Error> {
    let mut found = Vec::new();
    for dir in LEGACY_DIRS {
        for (name, kind) in root.list(dir)? {
            let name = name.to_string_lossy();
            let is_kernel = KERNEL_FILES.iter().any(|start| name.starts_with(start));
            if is_kernel && kind != root::FileType::Dir {
                found.push(format!("{dir}/{name}"));
            }
        }
    }
    Ok(found)
}

/// Groups of paths. The root of every operating system has at least one path of each group.
const OF_A_ROOT: [&[&str]; 3] = [
    &["usr/lib/modules"],
    &["usr/lib/os-release", "etc/os-release"],
    &["usr/bin"],
];

/// For each group of `OF_A_ROOT` of which no path exists, returns the first path. Empty if the directory can be the
/// root of an operating system.
///
/// # Errors
/// When the directory cannot be read.
pub fn lacks(root: &Root) -> Result<Vec<&'static str>, root::Error> {
    let mut missing = Vec::new();
    for paths in OF_A_ROOT {
        let mut is_there = false;
        for path in paths {
            is_there |= root.stat(path)?.is_some();
        }
        if !is_there {
            missing.extend(paths.first());
        }
    }
    Ok(missing)
}

/// The message for a tree without a kernel.
pub const NO_KERNEL: &str = "no directory in usr/lib/modules holds a vmlinuz";

/// Explains why a directory is not the root of an operating system, and names the first directory in it that may be
/// one. `None` if the directory itself can be a root.
///
/// # Errors
/// When the directory cannot be read.
pub fn not_a_root(root: &Root) -> Result<Option<String>, root::Error> {
    let missing = lacks(root)?;
    if missing.is_empty() {
        return Ok(None);
    }
    let mut text = format!(
        "not the root of an operating system: it has no {}",
        missing.join(", no ")
    );
    for (name, kind) in root.list("")? {
        let name = name.to_string_lossy();
        // An ordinary user may be unable to enter some of the directories, so errors are ignored.
        let modules = root.stat(format!("{name}/{MODULES}"));
        if kind == root::FileType::Dir && modules.is_ok_and(|it| it.is_some()) {
            let inside = root.path().join(&*name);
            text += &format!(". A root may be in it: type --root {}", inside.display());
            break;
        }
    }
    Ok(Some(text))
}
