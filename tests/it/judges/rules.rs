// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the lines of udev rules that udev ignores as invalid with those that this program ignores.

use std::collections::BTreeSet;

use ostree_kernel::boot::Rules;

use super::{Judge, Random, read_image, rounds};
use crate::corpus::archive::Archive;
use crate::corpus::products::Base;

const DIR: &str = "usr/lib/udev/rules.d/";

/// Keys with and without an attribute, known and unknown ones.
const KEYS: [&str; 40] = [
    "ACTION",
    "DEVPATH",
    "KERNEL",
    "SYMLINK",
    "NAME",
    "ENV{A}",
    "ENV",
    "CONST{arch}",
    "CONST{x}",
    "TAG",
    "SUBSYSTEM",
    "DRIVER",
    "ATTR{x}",
    "ATTR",
    "SYSCTL{x}",
    "KERNELS",
    "SUBSYSTEMS",
    "DRIVERS",
    "ATTRS{x}",
    "ATTRS{/x",
    "TAGS",
    "TEST",
    "TEST{0644}",
    "TEST{x}",
    "PROGRAM",
    "IMPORT{db}",
    "IMPORT{cmdline}",
    "IMPORT{x}",
    "IMPORT{builtin}",
    "RESULT",
    "OPTIONS",
    "OWNER",
    "GROUP",
    "MODE",
    "SECLABEL{x}",
    "RUN",
    "RUN{builtin}",
    "RUN{program}",
    "GOTO",
    "LABEL",
];

const OPERATORS: [&str; 7] = ["==", "!=", "=", "+=", "-=", ":=", "~="];

const VALUES: [&str; 18] = [
    "",
    "x",
    "*",
    "0644",
    "888",
    "root",
    "blkid",
    "kmod load",
    "link_priority=-1",
    "link_priority=x",
    "watch",
    "nothing",
    "$env{A",
    "%",
    "%k",
    "$attr{x}",
    "[a",
    "a b/c",
];

/// Parts of udev's messages about lines that it does not ignore.
const HARMLESS: [&str; 12] = [
    "style:",
    "assuming '='",
    "Invalid value",
    "Invalid attribute \"",
    "has no effect",
    "no effect any more",
    "must be specified",
    "may break",
    "may not be available",
    "Contains multiple",
    "Reordering",
    "duplicate expressions",
];

/// The characters that can change the meaning of a line.
const CHARACTERS: &[u8] = b"\"{}=!+-:,\\ #$%[*|aeiA0\t";

#[test]
fn udev_ignores_the_same_lines() {
    let Some(judge) = Judge::of(Base::TrixieSlim) else {
        return;
    };
    let mut random = Random::of("rules");
    let sources: Vec<(String, Vec<String>)> = judge
        .image
        .paths()
        .filter(|path| path.starts_with(DIR) && path.ends_with(".rules"))
        .map(|path| (path[DIR.len()..].to_owned(), lines(judge.image.get(path))))
        .collect();
    assert!(sources.len() > 10);
    let mut wrong = Vec::new();
    let mut mutations = 0;
    for _ in 0..rounds(4) {
        let mut files = Vec::new();
        for (name, lines) in &sources {
            let mut text = Vec::new();
            for line in lines {
                let changed = if random.below(3) == 0 {
                    mutations += 1;
                    change(&mut random, line)
                } else {
                    line.clone()
                };
                text.push(changed);
            }
            files.push((name.clone(), text));
        }
        let udev = read_by_udev(&judge, &files);
        let ours = read_by_this_program(&files);
        let differ = udev.symmetric_difference(&ours);
        wrong.extend(differ.map(|(name, number)| {
            let text = files.iter().find(|it| it.0 == *name);
            let line = text.map_or("", |(_, lines)| &lines[number - 1]);
            let by = if ours.contains(&(name.clone(), *number)) {
                "only we reject"
            } else {
                "only udev rejects"
            };
            format!("{by} {name}:{number} {line}")
        }));
    }
    println!("rules: {mutations} mutated lines");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the lines that are not comments, with continued lines joined.
fn lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text).replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn change(random: &mut Random, line: &str) -> String {
    let mut bytes = line.as_bytes().to_vec();
    let at = random.below(bytes.len());
    let token = |random: &mut Random| {
        let (key, operator) = (random.pick(&KEYS), random.pick(&OPERATORS));
        format!("{key}{operator}\"{}\"", random.pick(&VALUES))
    };
    let mut tokens: Vec<String> = line.split(", ").map(str::to_owned).collect();
    match random.below(9) {
        0 => {
            bytes.remove(at);
        }
        1 => bytes[at] = *random.pick(CHARACTERS),
        2 => bytes.insert(at, *random.pick(CHARACTERS)),
        3 => bytes.truncate(at),
        4 => {
            let at = random.below(tokens.len());
            tokens.remove(at);
            bytes = tokens.join(", ").into_bytes();
        }
        5 => {
            let at = random.below(tokens.len());
            tokens.insert(at, token(random));
            bytes = tokens.join(", ").into_bytes();
        }
        6 => {
            let at = random.below(tokens.len());
            tokens[at] = token(random);
            bytes = tokens.join(", ").into_bytes();
        }
        7 => {
            let (from, to) = (random.pick(&OPERATORS), random.pick(&OPERATORS));
            bytes = line.replacen(from, to, 1).into_bytes();
        }
        _ => bytes = [token(random), token(random)].join(" ").into_bytes(),
    }
    bytes.retain(|byte| *byte != b'\n');
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // With a backslash at its end, the line would be continued by the next one.
    text.trim_end_matches('\\').to_owned()
}

type Lines = BTreeSet<(String, usize)>;

/// Returns the lines that udev ignores.
fn read_by_udev(judge: &Judge, files: &[(String, Vec<String>)]) -> Lines {
    let dir = judge.dir.path().join("rules");
    fs_err::create_dir_all(&dir).unwrap();
    let mut arguments = vec![
        "udevadm".to_owned(),
        "verify".to_owned(),
        "--no-style".to_owned(),
        "--resolve-names=never".to_owned(),
    ];
    for (name, lines) in files {
        fs_err::write(dir.join(name), lines.join("\n") + "\n").unwrap();
        arguments.push(judge.inside(&format!("rules/{name}")));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = judge.run(&judge.root, None, &arguments);
    assert!(output.contains("rules files have been checked"), "{output}");
    let mut rejected = BTreeSet::new();
    for line in output.lines() {
        let Some((_, at)) = line.split_once(&judge.inside("rules/")) else {
            continue;
        };
        let Some((name, rest)) = at.split_once(':') else {
            continue;
        };
        let Some((number, why)) = rest.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse() else {
            continue;
        };
        let is_harmless = HARMLESS.iter().any(|it| why.contains(it));
        if !is_harmless {
            rejected.insert((name.to_owned(), number));
        }
    }
    rejected
}

/// Returns the lines that this program's reader ignores.
fn read_by_this_program(files: &[(String, Vec<String>)]) -> Lines {
    let mut archive = Archive::empty();
    for dir in ["usr", "usr/lib", "usr/lib/udev", "usr/lib/udev/rules.d"] {
        archive.put(dir, 0o040_755, "");
    }
    for (name, lines) in files {
        archive.put(&format!("{DIR}{name}"), 0o100_644, lines.join("\n") + "\n");
    }
    let (inventory, _) = read_image(&archive);
    let rules = Rules::new(&inventory);
    assert!(!rules.is_partial);
    let rejected = rules.rejected.iter().map(|it| {
        let path = String::from_utf8_lossy(&it.path).into_owned();
        (path[DIR.len()..].to_owned(), it.line)
    });
    rejected.collect()
}
