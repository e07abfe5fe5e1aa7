// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree around the kernel, as far as checks look at it.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::super::clean::legacy;
use super::super::hold;
use super::super::survey::{module_dirs, ukis};
use crate::checks::{ImageFile, Lists, Owner, Tree};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModuleName, ModulesDep, ParseError, Softdeps};
use crate::kernel::package::hex;
use crate::kernel::{MODULES, vmlinuz};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, rpm, rpm_ostree};

/// The largest vmlinuz that is read (bytes).
const VMLINUZ_MAX: u64 = 512 * 1024 * 1024;

/// The largest list beside the modules that is read (bytes); Fedora's are below 2 MiB.
const LIST_MAX: u64 = 64 * 1024 * 1024;

/// What a kernel image says that it is, or why it cannot be told.
type Told = Result<vmlinuz::Release, String>;

/// What `vmlinuz` says, and its SHA-256.
pub(super) fn vmlinuz(root: &Root, kver: &Kver) -> (Told, Option<String>) {
    match root.read(format!("{}/vmlinuz", kver.dir()), VMLINUZ_MAX) {
        Ok(Some(bytes)) => {
            let release = vmlinuz::release(&bytes).map_err(|error| error.to_string());
            (release, Some(hex(&Sha256::digest(&bytes))))
        }
        Ok(None) => (Err("no such file".to_owned()), None),
        Err(error) => (Err(error.to_string()), None),
    }
}

/// Reads the tree.
pub(super) fn tree(exec: &Exec, kver: &Kver, initramfs: &str, release: Told) -> Result<Tree> {
    let root = exec.root();
    let mut kernels = Vec::new();
    let mut stale_dirs = Vec::new();
    for dir in module_dirs(root)? {
        if dir.has_vmlinuz {
            kernels.push(dir.name);
        } else if modules_on_disk(root, &format!("{MODULES}/{}", dir.name))?.is_empty() {
            stale_dirs.push(dir.name);
        }
    }
    let initramfs = root.lstat(initramfs)?.map(|meta| ImageFile {
        path: initramfs.to_owned(),
        is_file: meta.kind == root::Kind::File,
        mode: meta.mode,
        size: meta.size,
    });
    Ok(Tree {
        owner: owner(exec, kver).unwrap_or_else(|error| Owner::Failed(format!("{error:#}"))),
        ukis: ukis(root)?,
        legacy: legacy(root)?,
        leftovers: leftovers(root)?,
        modules: modules_on_disk(root, &kver.dir())?,
        lists: lists(root, kver),
        kernels,
        stale_dirs,
        release,
        initramfs,
    })
}

fn owner(exec: &Exec, kver: &Kver) -> Result<Owner> {
    let program = cliwrap::real(exec.root(), "rpm")?;
    if !program.starts_with('/') && exec.find(&program).is_none() {
        return Ok(Owner::NoRpmdb("there is no rpm in the tree".into()));
    }
    if let Err(why) = exec.probe() {
        return Ok(Owner::NoRpmdb(format!(
            "the tree's rpm cannot be asked: {why:#}"
        )));
    }
    let installed = rpm::kernel_packages(exec, &program)?;
    let provided = |nevra| {
        let packages = installed.iter().filter(|package| package.nevra == nevra);
        let caps = packages.flat_map(|package| &package.provides);
        let kvers = caps.filter(|cap| cap.name == "kernel-uname-r");
        let kvers = kvers.map(|cap| cap.version.clone()).collect();
        (nevra, kvers)
    };
    let owners = rpm::owners(exec, &program, &format!("{}/vmlinuz", kver.dir()))?;
    Ok(Owner::Packages(owners.into_iter().map(provided).collect()))
}

fn leftovers(root: &Root) -> Result<Vec<String>> {
    let cliwrap = cliwrap::survey(root)?;
    let wrappers = cliwrap.wrapped.into_iter().map(|(wrapper, _)| wrapper);
    let saved = rpm_ostree::leftovers(root)?
        .into_iter()
        .map(|(saved, _)| saved);
    Ok(wrappers
        .chain(cliwrap.created)
        .chain(cliwrap.lost)
        .chain(saved)
        .chain(hold::leftovers(root)?)
        .collect())
}

/// The modules below a directory, relative to it.
fn modules_on_disk(root: &Root, dir: &str) -> Result<Vec<Vec<u8>>> {
    Ok(root
        .walk(dir)?
        .into_iter()
        .filter(|walked| walked.meta.kind != root::Kind::Dir)
        .map(|walked| walked.path.as_os_str().as_bytes().to_vec())
        .filter(|path| ModuleName::of_path(path).is_some())
        .collect())
}

fn lists(root: &Root, kver: &Kver) -> Lists {
    Lists {
        dep: list(root, kver, "modules.dep", ModulesDep::parse),
        builtin: list(root, kver, "modules.builtin", ModuleList::parse_builtin),
        order: list(root, kver, "modules.order", ModuleList::parse_order),
        softdep: list(root, kver, "modules.softdep", Softdeps::parse),
        alias: list(root, kver, "modules.alias", Aliases::parse),
        builtin_alias: list(root, kver, "modules.builtin.modinfo", |bytes| {
            Ok(Aliases::parse_builtin(bytes))
        }),
    }
}

/// A list beside the modules.
fn list<T>(
    root: &Root,
    kver: &Kver,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<T, ParseError>,
) -> Result<Option<T>, String> {
    let read = root.read(format!("{}/{name}", kver.dir()), LIST_MAX);
    let bytes = read.map_err(|error| error.to_string())?;
    let list = bytes.as_deref().map(parse).transpose();
    list.map_err(|error| error.to_string())
}
