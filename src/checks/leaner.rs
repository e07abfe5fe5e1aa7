// SPDX-License-Identifier: MIT OR Apache-2.0
//! The remedy for an initramfs that is too large. It names the largest parts with their sizes, and settings that leave
//! parts out with the number of bytes that each setting saves.
//!
//! Here, the size of a file is the number of compressed bytes from which the file was decoded. A file belongs to a
//! dracut module that can be left out if only this module installs it, or if it is a library that only files of this
//! module need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::lost::is_disk;
use super::wanted::{ANY_DEVICE, ANY_FILESYSTEM};
use super::{Initramfs, Setups, Subject, baseline, show};
use crate::boot::Graph;
use crate::bytes::{basename, contains};
use crate::initramfs::{Content, EntryType, Facts, Inventory};
use crate::kernel::modules::ModuleName;

/// Maximum number of largest parts that a remedy names, and of names in each setting that it proposes.
const NAMED: usize = 3;

pub(super) fn mib(size: u64) -> String {
    format!("{:.1} MiB", size as f64 / f64::from(1 << 20))
}

/// A part of the initramfs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A dracut module that can be left out.
    Module(String),
    /// A driver with the firmware in a directory of the same name; `true` if the driver can be left out.
    Driver(String, bool),
    /// Other files, by their directory.
    Files(String),
}

/// Returns a remedy that names the largest parts of an initramfs of `size` bytes, and the settings that leave parts out
/// or compress them better. For an initramfs that was not read, the remedy names only `omit_drivers`.
pub(super) fn leaner(subject: &Subject, size: u64) -> String {
    const AGAIN: &str = "build the initramfs again";
    let Initramfs::Read {
        inventory, facts, ..
    } = subject.image
    else {
        return format!("omit drivers with omit_drivers in /etc/dracut.conf.d, then {AGAIN}");
    };
    let parts = parts(subject, inventory, facts);
    let largest = parts.iter().take(NAMED).map(|(part, bytes)| {
        let name = match part {
            Part::Module(name) => format!("dracut module {name}"),
            Part::Driver(name, _) => format!("driver {name} with its firmware"),
            Part::Files(dir) => format!("{dir}/"),
        };
        format!("{name} {} of {}", mib(*bytes), mib(size))
    });
    let largest: Vec<_> = largest.collect();
    let mut text = format!("the largest parts are {}", largest.join(", "));
    let modules = |part: &Part| match part {
        Part::Module(name) => Some(name.clone()),
        _ => None,
    };
    // dracut ignores omit_drivers for a driver that its configuration adds (ublue-os/bluefin#4768).
    let is_added = |name: &str| {
        let conf = subject.tree.map(|tree| &tree.conf.drivers);
        let name = ModuleName::new(name.as_bytes());
        conf.zip(name)
            .is_some_and(|(conf, name)| conf.contains(&name))
    };
    let driver_if = |part: &Part, added: bool| match part {
        Part::Driver(name, true) if is_added(name) == added => Some(name.clone()),
        _ => None,
    };
    let lines = [
        line("omit_dracutmodules", &parts, size, modules),
        line("omit_drivers", &parts, size, |part| driver_if(part, false)),
    ];
    let lines: Vec<_> = lines.into_iter().flatten().collect();
    if !lines.is_empty() {
        text += &format!(
            ". If the machines do not need them, in a file of /etc/dracut.conf.d {}",
            lines.join(", and ")
        );
    }
    let (added, saved) = largest_of(&parts, size, |part| driver_if(part, true));
    if !added.is_empty() {
        text += &format!(
            ". Without {} in add_drivers and force_drivers of dracut's configuration it is about {saved} smaller",
            added.join(", ")
        );
    }
    if let Some(saved) = facts.zstd.and_then(|zstd| size.checked_sub(zstd))
        && saved > size / 100
        && has_zstd(subject)
    {
        text += &format!(
            ". --compress 'zstd -19 -T0' saves about {} (estimated from a sample)",
            mib(saved)
        );
    }
    format!("{text}. Then {AGAIN}")
}

/// Returns the assignment to `key` in dracut's configuration that leaves out the largest of these parts, with the size
/// that it saves; `None` if it can leave out no part that is large enough. `name` returns the name of a part that `key`
/// can leave out.
fn line(
    key: &str,
    parts: &[(Part, u64)],
    size: u64,
    name: impl Fn(&Part) -> Option<String>,
) -> Option<String> {
    let (names, saved) = largest_of(parts, size, name);
    (!names.is_empty()).then(|| format!("{key}+=\" {} \" saves about {saved}", names.join(" ")))
}

/// Returns at most [`NAMED`] names of the largest parts, and the size of these parts together, as text. A part is
/// skipped if `name` returns no name for it, or if it has at most a hundredth of `size`. `parts` is sorted by size.
fn largest_of(
    parts: &[(Part, u64)],
    size: u64,
    name: impl Fn(&Part) -> Option<String>,
) -> (Vec<String>, String) {
    let named = parts.iter().filter(|(_, bytes)| *bytes > size / 100);
    let named = named.filter_map(|(part, bytes)| Some((name(part)?, *bytes)));
    let (names, bytes): (Vec<_>, Vec<_>) = named.take(NAMED).unzip();
    (names, mib(bytes.iter().sum()))
}

/// Returns whether the kernel can unpack zstd; `true` if its configuration is not known.
fn has_zstd(subject: &Subject) -> bool {
    let config = subject.config();
    config.is_none_or(|config| config.is_on("CONFIG_RD_ZSTD"))
}

/// Returns the parts of an initramfs with their bytes in the file, the largest first.
fn parts(subject: &Subject, inventory: &Inventory, facts: &Facts) -> Vec<(Part, u64)> {
    let drivers: BTreeMap<_, _> = inventory
        .kernel_modules()
        .into_iter()
        .filter_map(|path| Some((ModuleName::of_path(path)?.to_string(), path)))
        .collect();
    let modules = inventory.dracut_modules().unwrap_or_default();
    let none = Setups::default();
    let setups = subject.tree.map_or(&none, |tree| &tree.setups);
    let graph = subject.trace().ok().map(|trace| &trace.graph);
    let optional = Optional::new(setups, &modules, inventory, graph);
    let owners = optional.owners(inventory, facts);
    let mut parts: BTreeMap<Part, u64> = BTreeMap::new();
    for (path, content) in files(inventory) {
        let text = show(path);
        let driver = driver_of(&text).and_then(|it| drivers.get_key_value(&it));
        let owner = match driver {
            Some((_, path)) => optional.only(&optional.installers(path)),
            None => owners.get(&content.entry).copied(),
        };
        let part = match (owner, driver) {
            (Some(module), _) => Part::Module(module.to_owned()),
            (None, Some((name, path))) => Part::Driver(name.clone(), may_go(path)),
            (None, None) => {
                let (dir, _) = text.rsplit_once('/').unwrap_or_default();
                Part::Files(dir.to_owned())
            }
        };
        *parts.entry(part).or_default() += inventory.packed(content);
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    parts
}

/// Returns the regular files. A file with several names (hard links) is returned once.
fn files(inventory: &Inventory) -> impl Iterator<Item = (&[u8], &Content)> {
    let mut seen = BTreeSet::new();
    let files = inventory.nodes().filter_map(|(path, node)| {
        let content = inventory.content(node)?;
        (node.kind == EntryType::File).then_some((path, content))
    });
    files.filter(move |(_, content)| seen.insert(content.entry))
}

/// Returns the name of the driver at `path`, or, for firmware, the name of its directory in `lib/firmware`, which can
/// be a driver's name. `None` for other files.
fn driver_of(path: &str) -> Option<String> {
    if let Some(name) = ModuleName::of_path(path.as_bytes()) {
        return Some(name.to_string());
    }
    let (_, below) = path.split_once("lib/firmware/")?;
    below.split_once('/').map(|(name, _)| name.to_owned())
}

/// Returns whether the driver at `path` is neither for a disk nor for a file system.
fn may_go(path: &[u8]) -> bool {
    let relative = baseline::relative(path).unwrap_or(path);
    !is_disk(relative) && !relative.starts_with(b"kernel/fs/")
}

/// The dracut modules of an initramfs whose `module-setup.sh` is known (`all`), and those of them that can be left out
/// (`names`). A module can be left out if no other module requires it, it installs no included driver of a common disk
/// or file system, and it is not the only module that installs a file which the boot to the root needs.
struct Optional<'a> {
    setups: &'a Setups,
    all: Vec<&'a str>,
    names: BTreeSet<&'a str>,
}

impl<'a> Optional<'a> {
    fn new(
        setups: &'a Setups,
        modules: &'a [String],
        inventory: &Inventory,
        graph: Option<&Graph>,
    ) -> Self {
        let known: BTreeSet<_> = modules.iter().map(String::as_str).collect();
        let known = known.into_iter().filter(|name| setups.has(name));
        let all: Vec<_> = known.collect();
        let mut names: BTreeSet<_> = all.iter().copied().collect();
        names.retain(|name| !setups.is_required(name, &all));
        let mut optional = Self { setups, all, names };
        let common = ANY_DEVICE.drivers.iter().chain(ANY_FILESYSTEM.drivers);
        let common: BTreeSet<_> = common.map(|it| it.as_bytes()).collect();
        for path in inventory.kernel_modules() {
            let name = ModuleName::of_path(path);
            if name.is_some_and(|name| common.contains(name.as_bytes())) {
                let installers = optional.installers(path);
                optional.names.retain(|name| !installers.contains(name));
            }
        }
        let needed = files(inventory).filter(|(path, _)| graph.is_none_or(|it| it.needs(path)));
        for (path, _) in needed {
            if let [owner] = optional.named(path)[..] {
                optional.names.remove(owner);
            }
        }
        optional
    }

    /// Returns the dracut modules that may install the driver at `path`.
    fn installers(&self, path: &[u8]) -> Vec<&'a str> {
        let Some(name) = ModuleName::of_path(path) else {
            return Vec::new();
        };
        let relative = baseline::relative(path).unwrap_or(path);
        let installs = |module: &&&str| {
            let module = [(**module).to_owned()];
            self.setups.installs(&module, &name, relative, true)
        };
        self.all.iter().filter(installs).copied().collect()
    }

    /// Returns the dracut modules that install a file with the file name of `path`.
    fn named(&self, path: &[u8]) -> Vec<&'a str> {
        self.setups.owners(&self.all, &show(basename(path)))
    }

    /// Returns the owner, if there is only one and it can be left out.
    fn only(&self, owners: &[&'a str]) -> Option<&'a str> {
        match owners {
            [owner] if self.names.contains(owner) => Some(owner),
            _ => None,
        }
    }

    /// Maps each file that only one dracut module installs to that module, if the module can be left out. A library
    /// that only files of one module need is mapped to that module, too. The keys are the numbers of the files'
    /// entries.
    fn owners(&self, inventory: &Inventory, facts: &Facts) -> HashMap<u64, &'a str> {
        /// Upper bound of rounds. A round gives the owner of each file to the libraries that the file needs, so a chain
        /// of libraries takes one round for each library. Real chains have a few libraries.
        const ROUNDS: usize = 16;
        let by_name: HashMap<_, _> = inventory
            .nodes()
            .filter(|(path, _)| contains(path, b".so"))
            .filter_map(|(path, _)| {
                let (_, node) = inventory.resolve(path).ok()?;
                Some((basename(path), inventory.content(node)?.entry))
            })
            .collect();
        let mut owners: HashMap<u64, Option<&'a str>> = HashMap::new();
        let mut needs: Vec<(u64, Vec<u64>)> = Vec::new();
        for (path, node) in inventory.nodes() {
            let Some(content) = inventory.content(node) else {
                continue;
            };
            let named = self.named(path);
            if !named.is_empty() {
                owners.insert(content.entry, self.only(&named));
            }
            if let Some(Ok(elf)) = facts.elf(inventory, node) {
                let libraries = elf
                    .needed
                    .iter()
                    .filter_map(|it| by_name.get(it.as_slice()));
                needs.push((content.entry, libraries.copied().collect()));
            }
        }
        // A file that no `module-setup.sh` names and that no other file needs has no owner.
        let needed: BTreeSet<u64> = needs.iter().flat_map(|(_, it)| it).copied().collect();
        for (_, content) in files(inventory) {
            if !needed.contains(&content.entry) {
                owners.entry(content.entry).or_insert(None);
            }
        }
        // A library that files of different owners need gets no owner.
        for _ in 0..ROUNDS {
            let before = owners.clone();
            for (user, libraries) in &needs {
                let Some(&owner) = before.get(user) else {
                    continue;
                };
                for library in libraries {
                    let known = owners.entry(*library).or_insert(owner);
                    if *known != owner {
                        *known = None;
                    }
                }
            }
            if owners == before {
                break;
            }
        }
        owners
            .into_iter()
            .filter_map(|(entry, owner)| Some((entry, owner?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::Budget;
    use crate::checks::testing::{Bench, Dynamic, module_path};

    const SPLASH: &str = "depends() {\n    echo drm\n}\ninstall() {\n    inst_multiple -o \\\n        splashd /usr/bin/mount\n}\n";
    const DRM: &str = "installkernel() {\n    instmods \"=drivers/gpu/drm\"\n}\n";
    const BASE: &str = "install() {\n    inst_multiple mount true\n    inst_multiple udevadm\n}\n";

    fn bench(modules: &str) -> Bench {
        let mut bench = Bench::good();
        bench.wanted.budget = Budget {
            grub: Some(1),
            ..Budget::default()
        };
        bench.put("usr/lib/dracut/modules.txt", modules.as_bytes());
        bench.put(&module_path("kernel/drivers/gpu/drm/amdgpu.ko"), &[1; 1000]);
        bench.put(&module_path("kernel/drivers/net/mlx5.ko"), &[1; 400_000]);
        bench.put("usr/lib/firmware/amdgpu/a.bin", &[2; 2_000_000]);
        bench.put("usr/lib/firmware/other/a.bin", &[3; 1_000_000]);
        bench.put("usr/lib/big", &[4; 500_000]);
        let program = Dynamic::program(&["libsplash.so.1", "libc.so.6"]).elf();
        bench.put("usr/bin/splashd", &[program, vec![0; 100_000]].concat());
        let library = Dynamic::library("libsplash.so.1", &["libc.so.6"]).elf();
        let library = [library, vec![0; 600_000]].concat();
        bench.put("usr/lib64/libsplash.so.1.5", &library);
        bench.link("usr/lib64/libsplash.so.1", "libsplash.so.1.5");
        bench.change = |tree| {
            for (name, script) in [("splash", SPLASH), ("drm", DRM), ("base", BASE)] {
                tree.setups.add(name, script);
            }
        };
        bench
    }

    #[track_caller]
    fn has(remedy: &str, parts: &[&str]) {
        for part in parts {
            assert!(remedy.contains(part), "{part}: {remedy}");
        }
    }

    #[test]
    fn drivers_and_modules_that_nothing_requires() {
        let remedy = bench("base\nsplash\ndrm\n").remedy("boot-space");
        // `splash` requires `drm`, so the remedy omits drivers instead of `drm`. `base` also installs the file `mount`,
        // so the boot does not need `splash` for it.
        has(
            &remedy,
            &[
                "the largest parts are driver amdgpu with its firmware 1.9 MiB of 1.0 MiB, usr/lib/firmware/other/ 1.0 MiB",
                "dracut module splash 0.7 MiB",
                "omit_dracutmodules+=\" splash \" saves about 0.7 MiB",
                "omit_drivers+=\" amdgpu mlx5 \" saves about 2.3 MiB",
            ],
        );
        assert!(!remedy.contains("zstd"), "{remedy}");
    }

    #[test]
    fn ocpbugs_83404_the_module_that_installs_the_drivers() {
        let remedy = bench("base\ndrm\n").remedy("boot-space");
        has(
            &remedy,
            &[
                "the largest parts are dracut module drm 1.9 MiB",
                "omit_dracutmodules+=\" drm \" saves about 1.9 MiB, and omit_drivers+=\" mlx5 \" saves about 0.4 MiB",
            ],
        );
    }

    #[test]
    fn bluefin_4764_a_driver_that_the_configuration_adds() {
        let mut bench = bench("base\n");
        bench.change = |tree| tree.conf.add("force_drivers+=\" amdgpu \"\n");
        let remedy = bench.remedy("boot-space");
        has(
            &remedy,
            &[
                "omit_drivers+=\" mlx5 \" saves about 0.4 MiB",
                "Without amdgpu in add_drivers and force_drivers of dracut's configuration it is about 1.9 MiB smaller",
            ],
        );
    }

    #[test]
    fn modules_that_the_boot_needs_stay() {
        // The boot needs mount and true, which only `base` installs, so `base` is not omitted.
        let mut bench = bench("base\n");
        bench.put(
            "usr/bin/true",
            &[Dynamic::program(&["libc.so.6"]).elf(), vec![0; 900_000]].concat(),
        );
        let remedy = bench.remedy("boot-space");
        has(&remedy, &["usr/bin/"]);
        assert!(!remedy.contains("omit_dracutmodules"), "{remedy}");
    }
}
