// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the libraries, versions and symbols that the image's dynamic linker and this program find.

use std::collections::BTreeMap;

use ostree_kernel::boot::Loader;

use super::{Judge, KILLED, Random, put, read_image, rounds};
use crate::corpus::archive::Archive;
use crate::corpus::products::Base;

/// Programs that a boot runs.
const PROGRAMS: [&str; 12] = [
    "usr/lib/systemd/systemd",
    "usr/lib/systemd/systemd-executor",
    "usr/lib/systemd/systemd-journald",
    "usr/lib/systemd/systemd-fsck",
    "usr/lib/ostree/ostree-prepare-root",
    "usr/bin/udevadm",
    "usr/bin/systemctl",
    "usr/bin/systemd-tmpfiles",
    "usr/bin/mount",
    "usr/bin/kmod",
    "usr/bin/sed",
    "usr/sbin/e2fsck",
];

#[test]
fn the_dynamic_linker_finds_the_same() {
    for (base, other) in [
        (Base::TrixieSlim, Base::BookwormOmit),
        (Base::BookwormOmit, Base::TrixieSlim),
    ] {
        let (Some(judge), Some(other)) = (Judge::of(base), Judge::of(other)) else {
            return;
        };
        compare(&judge, &other.image, base.name());
    }
}

fn compare(judge: &Judge, other: &Archive, name: &str) {
    let mut random = Random::of("libraries");
    let mut small = judge.image.clone();
    small.remove_all(|path| path.starts_with("usr/lib/modules/"));
    let is_elf = |image: &Archive, path: &str| {
        image.mode(path) & 0o170_000 == 0o100_000 && image.get(path).starts_with(b"\x7fELF")
    };
    let libraries: Vec<String> = small
        .paths()
        .filter(|path| path.contains(".so") && is_elf(&small, path))
        .map(str::to_owned)
        .collect();
    let linker = linker(judge);
    fs_err::copy(judge.root.join("trace"), judge.unpacked().join("trace")).unwrap();
    let mut wrong = Vec::new();
    let (mut judged, mut bad) = (0, 0);
    for _ in 0..rounds(5) {
        let library = random.pick(&libraries).clone();
        let real = small.get(&library).to_vec();
        let mode = small.mode(&library);
        let soname = |path: &str| {
            path.rsplit('/')
                .next()
                .unwrap()
                .split(".so")
                .next()
                .unwrap()
                .to_owned()
        };
        let namesake = other
            .paths()
            .filter(|path| path.contains(".so") && is_elf(other, path))
            .find(|path| soname(path) == soname(&library));
        let (what, data) = match random.below(4) {
            0 => ("removed".to_owned(), None),
            1 => (
                "cut".to_owned(),
                Some(real[..random.below(real.len())].to_vec()),
            ),
            2 => {
                // The tables that the linker reads are at the start of the file, before the code.
                let start = random.below(real.len() / 4) & !0xfff;
                let end = real.len().min(start + 0x1000);
                let mut data = real.clone();
                data[start..end].fill(0);
                (format!("with zeros at {start:#x}"), Some(data))
            }
            _ => match namesake {
                Some(path) => (
                    "of the other suite".to_owned(),
                    Some(other.get(path).to_vec()),
                ),
                None => continue,
            },
        };
        let mut image = small.clone();
        let file = judge.unpacked().join(&library);
        match &data {
            Some(data) => {
                image.replace(&library, data.clone());
                put(&file, mode, data);
            }
            None => {
                image.remove(&library);
                fs_err::remove_file(&file).unwrap();
            }
        }
        let ours = link_by_this_program(&image);
        for (program, found) in &ours {
            judged += 1;
            let lazy = link_by_linker(judge, &linker, program, None);
            let bound = link_by_linker(judge, &linker, program, Some(("LD_BIND_NOW", "1")));
            bad += usize::from(lazy.is_some());
            let differ = match (found, &lazy, &bound) {
                (None, Some(said), _) => Some(format!("only the linker: {said}")),
                // A page of zeros is damage, even if the linker does not need the page.
                (Some(_), None, None) if what.contains("zeros") => None,
                (Some(said), None, None) => Some(format!("only this program: {said}")),
                _ => None,
            };
            wrong.extend(differ.map(|it| format!("{library} {what}, {program}: {it}")));
        }
        put(&file, mode, &real);
    }
    println!("{name}: {judged} programs judged, {bad} do not start");
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
}

fn linker(judge: &Judge) -> String {
    let interpreters = [
        "lib64/ld-linux-x86-64.so.2",
        "usr/lib64/ld-linux-x86-64.so.2",
    ];
    let is_there = |path: &&str| judge.unpacked().join(path).exists();
    let found = interpreters.into_iter().find(is_there);
    format!("/{}", found.expect("the linker of x86-64"))
}

/// Returns the error that the dynamic linker reports about a program; `None` if it reports none.
fn link_by_linker(
    judge: &Judge,
    linker: &str,
    program: &str,
    variable: Option<(&str, &str)>,
) -> Option<String> {
    let output = judge.run(
        &judge.unpacked(),
        variable,
        &["/trace", linker, &format!("/{program}")],
    );
    let bad = [
        "not found",
        "undefined symbol",
        "error while loading",
        "cannot open",
        "Inconsistency detected by ld.so",
        "unexpected reloc type",
        KILLED,
    ];
    let line = output
        .lines()
        .find(|line| bad.iter().any(|it| line.contains(it)));
    line.map(|line| line.trim().to_owned())
}

fn link_by_this_program(image: &Archive) -> BTreeMap<String, Option<String>> {
    let (inventory, facts) = read_image(image);
    let mut found = BTreeMap::new();
    for program in PROGRAMS {
        let Ok((path, node)) = inventory.resolve(program.as_bytes()) else {
            continue;
        };
        let Some(Ok(elf)) = facts.elf(&inventory, node) else {
            continue;
        };
        let entry = inventory.content(node).unwrap().entry;
        let loader = Loader::new(&inventory, &facts, elf.machine);
        let loaded = loader.load(path, entry, elf);
        let missing = loaded.missing.first().map(|it| format!("{it:?}"));
        let unbound = || loader.unbound(&loaded, true).map(|it| format!("{it:?}"));
        found.insert(program.to_owned(), missing.or_else(unbound));
    }
    found
}
