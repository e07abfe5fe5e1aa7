// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree around the kernel, as far as checks look at it.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;

use super::super::clean::legacy;
use super::super::hold;
use super::super::survey::{module_dirs, ukis};
use super::around;
use super::vmlinuz::Vmlinuz;
use crate::checks::{Baseline, Image, ImageFile, Lists, Owner, Tree};
use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModuleName, ModulesDep, ParseError, Softdeps};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, rpm, rpm_ostree};

/// The largest list beside the modules that is read (bytes); Fedora's are below 2 MiB.
const LIST_MAX: u64 = 64 * 1024 * 1024;

/// Reads the tree.
pub(super) fn tree(
    exec: &Exec,
    kver: &Kver,
    initramfs: &str,
    vmlinuz: Vmlinuz,
    image: &Image,
    base: Option<&Baseline>,
) -> Result<Tree> {
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
    let modules = modules_on_disk(root, &kver.dir())?;
    Ok(Tree {
        owner: owner(exec, kver).unwrap_or_else(|error| Owner::Failed(format!("{error:#}"))),
        ukis: ukis(root)?,
        legacy: legacy(root)?,
        leftovers: leftovers(root)?,
        lists: lists(root, kver),
        config: around::config(root, kver),
        kmods: around::kmods(root, kver, &modules),
        omitted: around::omitted(root)?,
        dracut_modules: base
            .map_or_else(|| Ok(Default::default()), |_| around::dracut_modules(root))?,
        units: base.map_or_else(|| Ok(Default::default()), |_| around::units(root))?,
        firmware_of: base.map_or_else(Default::default, |base| {
            around::firmware_of(root, image, base)
        }),
        hmac: vmlinuz.hmac,
        signed: vmlinuz.signed,
        release: vmlinuz.release,
        modules,
        kernels,
        stale_dirs,
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
    let database = rpm::Database::open(exec, &program);
    let installed = database.kernel_packages()?;
    let provided = |nevra| {
        let packages = installed.iter().filter(|package| package.nevra == nevra);
        let caps = packages.flat_map(|package| &package.provides);
        let kvers = caps.filter(|cap| cap.name == "kernel-uname-r");
        let kvers = kvers.map(|cap| cap.version.clone()).collect();
        (nevra, kvers)
    };
    let owners = database.owners(&format!("{}/vmlinuz", kver.dir()))?;
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
pub(super) fn modules_on_disk(root: &Root, dir: &str) -> Result<Vec<Vec<u8>>> {
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
