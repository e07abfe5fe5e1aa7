// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the facts about the tree that the checks need.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::thread;

use anyhow::{Result, anyhow};

use super::around;
use super::{Options, files, signers, vmlinuz};
use crate::checks::{
    Database, ImageFile, KernelFiles, Lists, SymbolVersions, TreeFacts, VmlinuzState,
};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModuleName, ModulesDep, ParseError, Softdeps};
use crate::kernel::packing::Config;
use crate::site::hold;
use crate::site::kernels::{leftover_dirs, legacy, module_dirs, shadows};
use crate::sys::nice;
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, dracut, rpm_ostree};

/// Upper bound of a list of modules (bytes); Fedora's lists have less than 2 MiB.
const LIST_MAX: u64 = 64 * 1024 * 1024;

/// Reads the facts about the tree that do not depend on the content of the initramfs. Also returns the SHA-256 of
/// `vmlinuz`, if it is requested. The contents of the kernel's files are read on a separate thread, since reading them
/// takes as long as reading everything else.
pub(super) fn tree(
    root: &Root,
    kver: &Kver,
    initramfs: &str,
    rpmdb: Database,
    options: &Options,
) -> Result<(TreeFacts, Option<String>)> {
    thread::scope(|scope| {
        let packages = match &rpmdb {
            Database::Read(rpmdb) => Some(rpmdb.clone()),
            Database::Unread(_) | Database::Failed(_) => None,
        };
        let files = scope.spawn(move || {
            nice::lower_priority();
            files::look(root, kver, packages.as_deref())
        });
        let panicked =
            |_| anyhow!("the thread that compares files with their packages has panicked");
        let mut tree = listed(root, kver, initramfs, rpmdb, options)?;
        let (files, sha256) = files.join().map_err(panicked)?;
        if !matches!(files.vmlinuz, VmlinuzState::Packaged | VmlinuzState::Signed) {
            vmlinuz::add_digest(&mut tree.hmac, root, kver);
        }
        tree.kernel_files = files;
        Ok((tree, sha256.filter(|_| options.digests)))
    })
}

/// Reads the tree except the contents of the kernel's files.
fn listed(
    root: &Root,
    kver: &Kver,
    initramfs: &str,
    rpmdb: Database,
    options: &Options,
) -> Result<TreeFacts> {
    let compared = options.base.is_some();
    let kernels = module_dirs(root)?.into_iter();
    let kernels = kernels.filter(|dir| dir.has_vmlinuz);
    let packages = match &rpmdb {
        Database::Read(rpmdb) => Some(rpmdb.as_ref()),
        Database::Unread(_) | Database::Failed(_) => None,
    };
    let stale_dirs = leftover_dirs(root, kver, None, packages)?.stale;
    let initramfs = root.lstat(initramfs)?.map(|meta| ImageFile {
        path: initramfs.to_owned(),
        is_file: meta.kind == root::FileType::File,
        mode: meta.mode,
        size: meta.size,
    });
    let files = root.files(kver.dir())?;
    let shadows = shadows(root, Some((kver.as_str(), &files)))?;
    let modules = only_modules(files);
    let link = root.read_link(format!("{}/vmlinuz", kver.dir()))?;
    let conf = dracut::conf(root)?;
    let lists = lists(root, kver);
    let order = lists.order.as_ref().ok().and_then(Option::as_ref);
    let kmods = around::kmods(root, kver, &modules, order);
    let vmlinuz = vmlinuz::read(root, kver);
    let signers = signers::look(root, kver, &modules, &options.trusted);
    let config = around::config(root, kver);
    let packings = match &config {
        Ok(Some(text)) if Config(text).module_decoder().is_some() => {
            around::packings(root, kver, &modules)
        }
        _ => BTreeMap::new(),
    };
    Ok(TreeFacts {
        shadows,
        beside_initramfs: around::boot_files_size(root, kver)?,
        legacy: legacy(root)?,
        leftovers: leftovers(root)?,
        config,
        packings,
        omitted: conf.omitted.clone(),
        items: around::on_disk(root, &conf.items),
        conf,
        setups: dracut::setups(root)?,
        root_filesystems: around::root_filesystems(root)?,
        kernel_arguments: around::kernel_arguments(root)?,
        parameters: BTreeMap::new(),
        symbols: SymbolVersions::default(),
        altered: None,
        files: BTreeMap::new(),
        dracut_modules: dracut::modules(root)?,
        has_sources: ["usr/lib/systemd", "usr/lib/dracut"]
            .into_iter()
            .any(|dir| root.is_dir(dir).unwrap_or_default()),
        dracut_version: around::dracut_version(root),
        under_links: BTreeSet::new(),
        units: if compared {
            around::units(root)?
        } else {
            BTreeSet::new()
        },
        firmware_of: BTreeMap::new(),
        hmac: vmlinuz.hmac,
        signed: vmlinuz.signed,
        release: vmlinuz.release,
        rpmdb,
        lists,
        userland: around::userland(root, &kmods),
        kmods,
        modules,
        kernels: kernels.map(|dir| dir.name).collect(),
        stale_dirs,
        vmlinuz_link: link.map(|target| target.to_string_lossy().into_owned()),
        initramfs,
        os_release: around::os_release(root),
        lacking: options.lacking.clone(),
        kernel_files: KernelFiles::default(),
        signers,
    })
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

fn only_modules(files: Vec<PathBuf>) -> Vec<Vec<u8>> {
    let paths = files
        .into_iter()
        .map(|path| path.into_os_string().into_vec());
    paths.filter(|path| ModuleName::is_of_path(path)).collect()
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

/// Reads and parses a list of modules; `None` if the file does not exist.
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
