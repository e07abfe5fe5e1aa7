// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds missing libraries that programs open by `dlopen`. A program starts without them, but silently lacks a feature.
//!
//! Programs list these libraries in ELF notes (systemd since 256, kmod since 34). Most libraries are optional. A
//! library is required if its note has the priority `required`, if the initramfs has the dracut module that installs
//! it, or if the included kernel modules cannot be loaded without it.

use std::collections::{BTreeMap, BTreeSet};

use crate::bytes::{basename, contains};
use crate::checks::initramfs::compression::compressed;
use crate::checks::{Finding, Remedy, Severity, Subject};
use crate::initramfs::{Elf, Facts, Inventory, Opened};
use crate::kernel::packing::Packing;

/// A dracut module that installs libraries for `dlopen`.
struct Promise {
    module: &'static str,
    /// The feature's name in the ELF note `.note.dlopen`.
    feature: &'static str,
    /// The start of the library's name, or of its path from a directory on; used if no program has a note about it.
    library: &'static str,
}

const PROMISES: [Promise; 4] = [
    Promise {
        module: "fido2",
        feature: "fido2",
        library: "libfido2.so.",
    },
    Promise {
        module: "tpm2-tss",
        feature: "tpm",
        library: "libtss2-esys.so.",
    },
    Promise {
        module: "pkcs11",
        feature: "p11-kit",
        library: "libp11-kit.so.",
    },
    // plymouth loads plug-ins for graphics and for text from a directory `plymouth`.
    Promise {
        module: "plymouth",
        feature: "",
        library: "plymouth/",
    },
];

const REMEDY: Remedy = Remedy::ThenRebuild(
    "install the package that has it, or leave the module out with omit_dracutmodules in /etc/dracut.conf.d",
);

/// Returns findings about missing libraries that are opened at run time: fatal for those without which modules cannot
/// be loaded, otherwise warnings.
pub(super) fn missing(subject: &Subject, inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
    let opened: Vec<&Opened> = facts.elves().flat_map(|elf| &elf.opened).collect();
    let names: BTreeSet<&[u8]> = inventory
        .nodes()
        .filter_map(|(path, _)| name(path))
        .collect();
    let is_there = |opened: &Opened| {
        let mut sonames = opened.soname.iter();
        opened.soname.is_empty() || sonames.any(|soname| names.contains(soname.as_bytes()))
    };
    let modules = inventory.dracut_modules().unwrap_or_default();
    let mut missing = BTreeSet::new();
    for promise in &PROMISES {
        if !modules.iter().any(|module| module == promise.module) {
            continue;
        }
        let expected = format!(
            "present in the initramfs, because it contains dracut's module {}",
            promise.module
        );
        let noted: Vec<_> = opened
            .iter()
            .filter(|it| !promise.feature.is_empty() && it.feature == promise.feature)
            .collect();
        if noted.is_empty() && !has(inventory, promise.library) {
            missing.insert((format!("{}*", promise.library), expected.clone()));
        }
        let lost = noted.into_iter().filter(|it| !is_there(it));
        missing.extend(lost.map(|it| (it.soname.join(" or "), expected.clone())));
    }
    let required = opened.iter().filter(|it| it.priority == "required");
    for lost in required.filter(|it| !is_there(it)) {
        let expected = format!(
            "present in the initramfs: a program uses it for {}",
            lost.feature
        );
        missing.insert((lost.soname.join(" or "), expected));
    }
    let finding = |(library, expected): (String, String)| {
        let place = format!("{library} in the initramfs");
        let found = "no such library, although a program opens it at run time";
        Finding::new(place, found, expected, REMEDY)
    };
    let missing = missing.into_iter().map(finding);
    let mut findings: Vec<_> = missing.map(|it| it.only(Severity::Warning)).collect();
    // udev loads no driver without libkmod, so the finding is fatal if the initramfs has modules.
    let kmod = opened
        .iter()
        .find(|it| it.feature == "kmod" && !is_there(it));
    if let Some(kmod) = kmod.filter(|_| !inventory.kernel_modules().is_empty()) {
        let expected = "present in the initramfs: udev loads modules with it".to_owned();
        findings.push(finding((kmod.soname.join(" or "), expected)));
    }
    let decoders = packings(subject, inventory).into_iter();
    let decoders = decoders.filter_map(|(packing, feature)| {
        let decoder = of_kmod(facts).find(|it| it.feature == feature && !is_there(it))?;
        let expected = format!("present in the initramfs: kmod decodes {packing} modules with it");
        Some(finding((decoder.soname.join(" or "), expected)))
    });
    findings.extend(decoders);
    findings
}

/// Returns the libraries that libkmod opens, according to its notes (since version 34).
fn of_kmod(facts: &Facts) -> impl Iterator<Item = &Opened> {
    let is_kmod = |elf: &&Elf| {
        let soname = elf.soname.as_deref().unwrap_or_default();
        soname.starts_with(b"libkmod.so.")
    };
    facts.elves().filter(is_kmod).flat_map(|elf| &elf.opened)
}

/// Returns the compressions of the included modules that the kernel does not decode itself, each with the name of the
/// feature in libkmod's notes. Without its configuration, the kernel is assumed to decode none.
fn packings(subject: &Subject, inventory: &Inventory) -> BTreeMap<&'static str, &'static str> {
    let config = subject.config();
    let by_kernel = config.and_then(|config| config.module_decoder());
    let mut found = BTreeMap::new();
    for (_, packing) in compressed(inventory) {
        let feature = match packing {
            Packing::None => continue,
            Packing::Gzip { .. } => "zlib",
            Packing::Xz(_) => "xz",
            Packing::Zstd => "zstd",
        };
        if by_kernel != Some(packing.name()) {
            found.insert(packing.name(), feature);
        }
    }
    found
}

/// Returns the file name of `path` if it can be that of a library; `None` for other files.
fn name(path: &[u8]) -> Option<&[u8]> {
    let name = basename(path);
    contains(name, b".so").then_some(name)
}

/// Returns whether the path of a library contains `start` at the beginning of a component.
fn has(inventory: &Inventory, start: &str) -> bool {
    let start = [b"/", start.as_bytes()].concat();
    inventory
        .nodes()
        .any(|(path, _)| contains(path, &start) && name(path).is_some())
}

#[cfg(test)]
mod tests {
    use crate::checks::TreeFacts;
    use crate::checks::testing::{Bench, Dynamic, module_path};

    fn found(bench: &Bench) -> Vec<String> {
        let mut found = bench.findings("initramfs-init");
        found.retain(|it| it.contains("opens it at run time"));
        found
    }

    #[test]
    fn libraries_of_dracuts_modules() {
        let mut bench = Bench::good();
        assert_eq!(found(&bench), [""; 0]);
        let modules = b"bash\nfido2\ntpm2-tss\npkcs11\nplymouth\n";
        bench.put("usr/lib/dracut/modules.txt", modules);
        let all = found(&bench);
        assert_eq!(all.len(), 4, "{all:#?}");
        assert!(all.iter().all(|it| it.starts_with("warning ")), "{all:#?}");
        for library in [
            "usr/lib64/libfido2.so.1",
            "usr/lib/x86_64-linux-gnu/libtss2-esys.so.0",
            "usr/lib64/libp11-kit.so.0",
            "usr/lib64/plymouth/text.so",
        ] {
            bench.put(library, &Dynamic::library("x", &[]).elf());
        }
        assert_eq!(found(&bench), [""; 0]);
    }

    #[test]
    fn decoders_of_modules() {
        const XZ: &[u8] = b"\xfd7zXZ\0";
        let all = |change: fn(&mut TreeFacts), has_module: bool, has_library: bool| {
            let mut bench = Bench::good();
            bench.change = change;
            let kmod = Dynamic::library("libkmod.so.2", &[]).opens("xz", "liblzma.so.5");
            bench.put("usr/lib64/libkmod.so.2", &kmod.elf());
            if has_module {
                bench.put(&module_path("kernel/a.ko.xz"), XZ);
            }
            if has_library {
                let library = Dynamic::library("liblzma.so.5", &[]).elf();
                bench.put("usr/lib64/liblzma.so.5", &library);
            }
            found(&bench)
        };
        fn by_kernel(tree: &mut TreeFacts) {
            let config = "CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_XZ=y\n";
            tree.config = Ok(Some(config.to_owned()));
        }
        fn of_another(tree: &mut TreeFacts) {
            let config = "CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_ZSTD=y\n";
            tree.config = Ok(Some(config.to_owned()));
        }
        let changes: [fn(&mut TreeFacts); 2] = [|_| (), of_another];
        for change in changes {
            let found = all(change, true, false);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].starts_with("fatal liblzma.so.5"), "{found:#?}");
        }
        assert_eq!(all(by_kernel, true, false), [""; 0]);
        assert_eq!(all(|_| (), false, false), [""; 0]);
        assert_eq!(all(|_| (), true, true), [""; 0]);
    }
}
