// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds missing libraries that programs open by `dlopen`. A program starts without them, but silently lacks a feature.
//!
//! Programs list these libraries in ELF notes (systemd since 256, kmod since 34). Most libraries are optional. A
//! library is required if its note has the priority `required`, or if the initramfs has the dracut module that installs
//! it.

use std::collections::BTreeSet;

use crate::bytes::{basename, contains};
use crate::checks::{Finding, Remedy, Severity};
use crate::initramfs::{Facts, Inventory, Opened};

/// A dracut module that installs libraries for `dlopen`.
struct Promise {
    module: &'static str,
    /// The feature's name in the ELF note `.note.dlopen`.
    feature: &'static str,
    /// The prefix of the library's name, for programs without notes.
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

/// Returns findings about missing libraries that are opened at run time.
pub(super) fn missing(inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
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
    // udev loads no driver without libkmod, so this finding is fatal.
    let kmod = opened
        .iter()
        .find(|it| it.feature == "kmod" && !is_there(it));
    if let Some(kmod) = kmod.filter(|_| !inventory.kernel_modules().is_empty()) {
        let expected = "present in the initramfs: udev loads modules with it".to_owned();
        findings.push(finding((kmod.soname.join(" or "), expected)));
    }
    findings
}

/// Returns the name of a file that can be a library; `None` for other files.
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
    use crate::checks::testing::{Bench, Dynamic};

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
}
