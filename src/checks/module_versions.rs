// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the modules that a root may need were built with the kernel: the CRC of each symbol that they import is
//! that of the kernel, or, if the tree has no list of the kernel's CRCs, that of most other modules. A module of another
//! build can have the same release and vermagic; the kernel refuses it.

use std::collections::{BTreeMap, BTreeSet};

use super::kmods::is_foreign;
use super::wanted::{ANY_DEVICE, ANY_FILESYSTEM, RootDevice};
use super::{Answer, Database, Finding, Remedy, Subject, TreeFacts, VmlinuzState, listed, show};
use crate::initramfs::Inventory;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Crcs, Export, ModuleList, ModuleName};
use crate::kernel::packing::Config;
use crate::package::rpmdb::FileDigest;

const OTHER: Remedy = Remedy::ThenRebuild(
    "install vmlinuz and all modules from one build of the kernel (rpm -V shows changed files)",
);

/// The versions of symbols in the tree.
#[derive(Debug, Default)]
pub struct SymbolVersions {
    /// The modules that were read, each with the CRCs of the symbols that it imports. Paths are relative to the kernel's
    /// directory.
    pub modules: Vec<(Vec<u8>, Crcs)>,
    /// The kernel's list; `None` if the tree has none that can be read.
    pub kernel: Option<Exports>,
    /// Whether nothing was read because [`is_one_build`] returned true.
    pub is_one_build: bool,
    /// Whether the modules exceed a limit, so that they were not all read.
    pub is_too_large: bool,
}

/// The list of exported symbols of the kernel's build.
#[derive(Debug)]
pub struct Exports {
    /// The path of the list, relative to the root.
    pub path: String,
    /// The symbols that a module in [`SymbolVersions::modules`] imports.
    pub symbols: BTreeMap<Vec<u8>, Export>,
}

/// Returns the tree's modules that a root may need and that the initramfs contains: drivers of disks, file systems,
/// drivers that the user requires, and the dependencies of all these. Paths are relative to the kernel's directory.
pub fn modules_for_root(
    kver: &Kver,
    tree: &TreeFacts,
    inventory: &Inventory,
    required: &[String],
) -> Vec<Vec<u8>> {
    let Ok(Some(dep)) = &tree.lists.dep else {
        return Vec::new();
    };
    let dir = format!("lib/modules/{kver}/");
    let inside = inventory.kernel_modules().into_iter();
    let inside = inside.filter_map(|path| {
        let below = path.strip_prefix(b"usr/").unwrap_or(path);
        ModuleName::of_path(below.strip_prefix(dir.as_bytes())?)
    });
    let inside: BTreeSet<_> = inside.collect();
    let needs = RootDevice::all().flat_map(RootDevice::needs);
    let drivers = [&ANY_DEVICE, &ANY_FILESYSTEM].into_iter().chain(needs);
    let drivers = drivers.flat_map(|need| need.drivers).copied();
    let all = drivers.chain(required.iter().map(String::as_str));
    let mut paths = BTreeSet::new();
    for name in all.filter_map(|name| ModuleName::new(name.as_bytes())) {
        if let Some(path) = dep.path_of(&name).filter(|_| inside.contains(&name)) {
            paths.insert(path);
            paths.extend(dep.needs(path).into_iter().flat_map(|needs| needs.iter()));
        }
    }
    let on_disk: BTreeSet<_> = tree.modules.iter().map(Vec::as_slice).collect();
    let paths = paths.intersection(&on_disk);
    paths.map(|path| path.to_vec()).collect()
}

/// Returns whether the rpmdb proves that `vmlinuz` and these modules are from one build of the kernel: they equal their
/// packages' files, and the packages were built together. The versions of their symbols then need not be compared.
pub fn is_one_build(kver: &Kver, tree: &TreeFacts, modules: &[Vec<u8>]) -> bool {
    let files = &tree.kernel_files;
    let is_packaged = matches!(files.vmlinuz, VmlinuzState::Packaged | VmlinuzState::Signed);
    let Database::Read(rpmdb) = &tree.rpmdb else {
        return false;
    };
    let dir = kver.dir();
    let vmlinuz = format!("{dir}/vmlinuz");
    let Some((core, _)) = rpmdb.owners_of(&vmlinuz).find(|(it, _)| it.build.is_some()) else {
        return false;
    };
    let is_of_build = |path: &Vec<u8>| {
        let is_changed = files.modules.iter().any(|it| it.path == *path);
        let path = format!("{dir}/{}", show(path));
        let mut owners = rpmdb.owners_of(&path);
        let is_owned = owners.any(|(it, file)| {
            let digest = file.digest.as_ref();
            let is_compared = digest.is_some_and(|it| it.algorithm == FileDigest::SHA256);
            it.build == core.build && is_compared && !file.is_ghost
        });
        is_owned && !is_changed
    };
    is_packaged && files.unread.is_none() && modules.iter().all(is_of_build)
}

pub fn versions(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let tree = subject.tree()?;
    subject.inventory()?;
    let symbols = &tree.symbols;
    if symbols.is_one_build {
        return Ok(Vec::new());
    }
    if !compares_versions(tree) || symbols.modules.iter().all(|(_, crcs)| crcs.is_empty()) {
        let why = "the kernel was built without versions of symbols".to_owned();
        return Err(Answer::NotApplicable(why));
    }
    if symbols.is_too_large {
        let why = "the modules that a root may need are too large".to_owned();
        return Err(Answer::CouldNotRun(why));
    }
    let known = Known::of(tree);
    // The check `kernel-files` reports a module of another kernel that replaced the package's.
    let is_reported = |path: &[u8]| {
        let mut others = tree.kernel_files.modules.iter();
        others.any(|it| {
            let of_other = it.state.as_ref().ok().and_then(|it| it.kver.as_deref());
            it.path == path && of_other.is_some_and(|it| it != subject.kver.as_str().as_bytes())
        })
    };
    let modules = symbols.modules.iter();
    let modules = modules.filter(|(path, _)| !is_reported(path));
    let findings = modules.filter_map(|(path, crcs)| {
        let is_own = !is_foreign(path, known.order);
        let wrong = |(symbol, crc): (&Vec<u8>, &u32)| known.why_wrong(symbol, *crc, is_own);
        let mut wrong = crcs.iter().filter_map(wrong);
        let (found, expected) = wrong.next()?;
        let found = match wrong.count() {
            0 => found,
            more => format!("{found}, and {more} more that differ"),
        };
        let path = format!("{}/{}", subject.kver.dir(), show(path));
        Some(Finding::new(path, found, expected, OTHER))
    });
    Ok(listed(findings.collect()))
}

/// Returns whether the kernel compares CRCs, as far as its configuration is known.
pub fn compares_versions(tree: &TreeFacts) -> bool {
    let config = tree.config.as_ref().ok().and_then(Option::as_ref);
    config.is_none_or(|text| Config(text).is_on("CONFIG_MODVERSIONS"))
}

/// The symbol that every module imports from the kernel itself.
const LAYOUT: &[u8] = b"module_layout";

/// The known CRCs.
struct Known<'a> {
    /// The tree's `modules.order`, which lists the kernel's own modules.
    order: Option<&'a ModuleList>,
    exports: Option<&'a Exports>,
    /// For each symbol the CRC in most of the kernel's own modules, and the number of these modules.
    common: BTreeMap<&'a [u8], (u32, usize)>,
}

impl<'a> Known<'a> {
    fn of(tree: &'a TreeFacts) -> Self {
        let order = tree.lists.order.as_ref().ok().and_then(Option::as_ref);
        Self {
            order,
            exports: tree.symbols.kernel.as_ref(),
            common: common(&tree.symbols, order),
        }
    }

    /// Returns the texts of a finding if the symbol has another CRC. A symbol whose CRC is not known is ignored. An
    /// out-of-tree module (`is_own` is false) can import a symbol of another out-of-tree module that replaces one of the
    /// kernel's, as the drivers of a network card do, so only symbols that the kernel itself exports are compared.
    fn why_wrong(&self, symbol: &[u8], crc: u32, is_own: bool) -> Option<(String, String)> {
        let exports = self.exports;
        let export = exports.and_then(|it| Some((it.symbols.get(symbol)?, &it.path)));
        let is_of_kernel = symbol == LAYOUT || export.is_some_and(|(it, _)| it.is_of_kernel);
        if !is_own && !is_of_kernel {
            return None;
        }
        let (expected, place) = match export {
            Some((export, path)) => (export.crc, format!("in {path}")),
            None => {
                let (expected, count) = self.common.get(symbol)?;
                (*expected, format!("in {count} other modules"))
            }
        };
        (crc != expected).then(|| {
            let found = format!("the CRC {crc:#010x} for the symbol {}", show(symbol));
            let expected = format!("{expected:#010x}, as {place}: the kernel compares them");
            (found, expected)
        })
    }
}

/// Returns, for each symbol, the CRC that more than half of the kernel's own modules with this symbol have, if there is
/// one and at least two modules have it.
fn common<'a>(
    symbols: &'a SymbolVersions,
    order: Option<&ModuleList>,
) -> BTreeMap<&'a [u8], (u32, usize)> {
    let mut counts = BTreeMap::<&[u8], BTreeMap<u32, usize>>::new();
    let own = symbols.modules.iter();
    let own = own.filter(|(path, _)| !is_foreign(path, order));
    for (symbol, crc) in own.flat_map(|(_, crcs)| crcs) {
        *counts.entry(symbol).or_default().entry(*crc).or_default() += 1;
    }
    let most = counts.into_iter().filter_map(|(symbol, crcs)| {
        let all: usize = crcs.values().sum();
        let (crc, count) = crcs.into_iter().max_by_key(|(_, count)| *count)?;
        (count > 1 && 2 * count > all).then_some((symbol, (crc, count)))
    });
    most.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, K, core, module_path, owner, rpmdb};
    use super::super::{ModuleState, OtherModule};
    use super::*;

    const ON: &str = "CONFIG_MODVERSIONS=y\n";

    fn module(path: &str, crcs: &[(&str, u32)]) -> (Vec<u8>, Crcs) {
        let crcs = crcs
            .iter()
            .map(|(name, crc)| (name.as_bytes().to_vec(), *crc));
        (path.as_bytes().to_vec(), crcs.collect())
    }

    fn found(kernel: &[(&str, u32)], modules: &[(Vec<u8>, Crcs)]) -> Vec<String> {
        Bench::good().findings_with("module-versions", |tree| {
            let symbols = kernel.iter().map(|(name, crc)| {
                let (crc, is_of_kernel) = (*crc, !name.starts_with("of_module"));
                (name.as_bytes().to_vec(), Export { crc, is_of_kernel })
            });
            let symbols = symbols.collect();
            tree.config = Ok(Some(ON.to_owned()));
            tree.lists.order = Ok(None);
            tree.symbols.modules = modules.to_vec();
            let path = "symvers".to_owned();
            tree.symbols.kernel = (!kernel.is_empty()).then_some(Exports { path, symbols });
        })
    }

    #[test]
    fn the_kernel_decides() {
        let modules = [
            module("a.ko", &[("module_layout", 1), ("only_a", 2)]),
            module("b.ko", &[("module_layout", 1)]),
            module("c.ko", &[("module_layout", 3)]),
        ];
        assert_eq!(found(&[("module_layout", 1)], &modules[..2]), [""; 0]);
        let expected = [format!(
            "fatal usr/lib/modules/{K}/c.ko: the CRC 0x00000003 for the symbol module_layout; 0x00000001, as in symvers: the kernel compares them"
        )];
        assert_eq!(found(&[("module_layout", 1)], &modules), expected);
        let wrong = found(&[("module_layout", 7), ("only_a", 7)], &modules);
        assert_eq!(wrong.len(), 3);
        assert!(
            wrong[0].contains("module_layout, and 1 more that differ;"),
            "{wrong:?}"
        );
    }

    #[test]
    fn without_a_list_most_modules_decide() {
        let of = |crcs: &[u32]| {
            let modules = crcs.iter().map(|crc| module("a.ko", &[("printk", *crc)]));
            found(&[("other", 1)], &modules.collect::<Vec<_>>())
        };
        assert_eq!(of(&[1, 1, 2]).len(), 1);
        assert!(of(&[1, 1, 2])[0].contains("0x00000001, as in 2 other modules"));
        for undecided in [vec![1], vec![1, 2], vec![1, 1, 2, 2], vec![1, 1, 1]] {
            assert_eq!(of(&undecided), [""; 0], "{undecided:?}");
        }
    }

    /// The drivers of a network card replace nvme-core and nvme, whose CRCs are not those of the kernel's own.
    #[test]
    fn modules_that_replace_others_of_the_kernel() {
        let kernel = [("module_layout", 1), ("of_module_nvme", 2)];
        let extra = |layout| {
            module(
                "extra/nvme.ko",
                &[("module_layout", layout), ("of_module_nvme", 3)],
            )
        };
        assert_eq!(found(&kernel, &[extra(1)]), [""; 0]);
        assert_eq!(found(&kernel, &[extra(7)]).len(), 1);
        let own = || module("a.ko", &[("module_layout", 1), ("of_module_nvme", 3)]);
        assert_eq!(found(&kernel, &[own()]).len(), 1);
        // Without a list, only the kernel's own modules count.
        let own = || module("a.ko", &[("module_layout", 1), ("nvme", 2)]);
        let other = || module("extra/nvme.ko", &[("module_layout", 1), ("nvme", 3)]);
        assert_eq!(
            found(&[], &[own(), own(), other(), other(), other()]),
            [""; 0]
        );
    }

    #[test]
    fn a_module_that_another_check_reports() {
        let mut bench = Bench::good();
        bench.change = |tree| {
            tree.config = Ok(Some(ON.to_owned()));
            tree.symbols.modules = [1, 1, 2]
                .map(|crc| module("a.ko", &[("printk", crc)]))
                .to_vec();
            tree.kernel_files.modules = vec![OtherModule {
                path: b"a.ko".to_vec(),
                state: Ok(ModuleState {
                    is_signed: false,
                    signer: None,
                    kver: Some(b"5.14".to_vec()),
                }),
            }];
        };
        assert_eq!(bench.findings("module-versions"), [""; 0]);
    }

    #[test]
    fn packages_of_one_build_are_not_read() {
        let kver = Kver::new(K).unwrap();
        let module = b"kernel/fs/xfs/xfs.ko".to_vec();
        let modules = [module.clone()];
        Bench::good().findings_with("module-versions", |tree| {
            let mut package = |build: &str, of_modules: &str, has_digest: bool| {
                let digest = has_digest.then(|| FileDigest {
                    algorithm: FileDigest::SHA256,
                    hex: "00".repeat(32),
                });
                let (mut core, mut other) = (core(), owner("kernel-modules", "none", &[]));
                core.build = Some(build.to_owned());
                other.build = Some(of_modules.to_owned());
                let mut file = core.files.values().next().unwrap().clone();
                file.digest = digest;
                other
                    .files
                    .insert(module_path("kernel/fs/xfs/xfs.ko"), file);
                tree.rpmdb = rpmdb(vec![core, other]);
                tree.kernel_files.vmlinuz = VmlinuzState::Packaged;
                is_one_build(&kver, tree, &modules)
            };
            assert!(package("host 1", "host 1", true));
            assert!(!package("host 1", "host 2", true));
            assert!(!package("host 1", "host 1", false));
            assert!(package("host 1", "host 1", true));
            let state = Err(String::new());
            let path = module.clone();
            tree.kernel_files.modules = vec![OtherModule { path, state }];
            assert!(!is_one_build(&kver, tree, &modules));
            tree.kernel_files.modules = Vec::new();
            tree.kernel_files.vmlinuz = VmlinuzState::Unread(String::new());
            assert!(!is_one_build(&kver, tree, &modules));
            tree.symbols.is_one_build = true;
        });
    }

    #[test]
    fn kernels_without_versions() {
        let mut bench = Bench::good();
        let answer = bench.answer("module-versions");
        assert!(matches!(answer, Answer::NotApplicable(_)), "{answer:?}");
        bench.change = |tree| {
            tree.config = Ok(Some("# CONFIG_MODVERSIONS is not set\n".to_owned()));
            tree.symbols.modules = [1, 1, 2]
                .map(|crc| module("a.ko", &[("printk", crc)]))
                .to_vec();
        };
        let answer = bench.answer("module-versions");
        assert!(matches!(answer, Answer::NotApplicable(_)), "{answer:?}");
        bench.change = |tree| {
            tree.config = Ok(Some(ON.to_owned()));
            tree.symbols.modules = vec![module("a.ko", &[("printk", 1)])];
            tree.symbols.is_too_large = true;
        };
        let answer = bench.answer("module-versions");
        assert!(matches!(answer, Answer::CouldNotRun(_)), "{answer:?}");
    }
}
