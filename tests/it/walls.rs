// SPDX-License-Identifier: MIT OR Apache-2.0
//! The invariants of `src/lib.rs`, read off the source.

use std::path::Path;

use walkdir::WalkDir;

/// Arrows that go up, and why.
const UP: [(&str, &str); 1] = [
    // A command prints by cli, and takes the options of every command from it.
    ("cmd", "cli"),
];

/// Lines in a file, tests not counted.
const LINES_MAX: usize = 450;

/// Rooms without any effect.
const PURE: [&str; 6] = ["checks", "plan", "boot", "initramfs", "package", "kernel"];

/// A file of `src`.
struct Source {
    /// Below `src`.
    path: String,
    text: String,
    /// Its lines, without those of tests and without comments; with their numbers.
    code: Vec<(usize, String)>,
}

impl Source {
    /// The folder or file of `src` that it belongs to.
    fn room(&self) -> &str {
        let room = self.path.split('/').next().unwrap();
        room.trim_end_matches(".rs")
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

/// Every file of `src`; those of tests have no code.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = WalkDir::new(&src)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap);
    let sources: Vec<_> = files
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "rs"))
        .map(|entry| {
            let path = entry
                .path()
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let text = fs_err::read_to_string(entry.path()).unwrap();
            let is_test = path
                .split('/')
                .any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs"));
            let code = if is_test { Vec::new() } else { code(&text) };
            Source { path, text, code }
        })
        .collect();
    assert!(sources.len() > 40, "only {} files found", sources.len());
    sources
}

fn code(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // The tests of a file are its end.
        if line.starts_with("mod tests {") {
            break;
        }
        if !line.trim_start().starts_with("//") {
            let code = line.split(" // ").next().unwrap_or(line);
            lines.push((number + 1, code.to_owned()));
        }
    }
    lines
}

#[track_caller]
fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// The rooms from the top down, as the map in `lib.rs` has them; on one line from the left.
fn rooms() -> Vec<String> {
    let sources = sources();
    let lib = sources.iter().find(|it| it.path == "lib.rs").unwrap();
    let map = lib
        .text
        .split("//! ```text\n")
        .nth(1)
        .and_then(|rest| rest.split("//! ```").next());
    let rooms: Vec<String> = map
        .expect("lib.rs has a map")
        .lines()
        .flat_map(|line| {
            let rooms = line.trim_start_matches("//! ").split("  ").next().unwrap();
            rooms
                .split([',', ' '])
                .filter(|it| !it.is_empty())
                .map(|it| it.trim_end_matches('/').to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(rooms.contains(&"sys".to_owned()), "{rooms:?}");
    rooms
}

#[test]
fn arrows_go_down() {
    let rooms = rooms();
    let floor = |room: &str| rooms.iter().position(|it| it == room);
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for source in sources() {
        let from = source.room();
        if from == "lib" {
            continue;
        }
        let Some(here) = floor(from) else {
            wrong.push(source.at(1, "is not on the map of lib.rs"));
            continue;
        };
        for (number, line) in &source.code {
            for part in line
                .split("crate::")
                .skip(1)
                .chain(line.split("ostree_kernel::").skip(1))
            {
                let to: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if let Some(exception) = UP.iter().find(|it| **it == (from, &to)) {
                    used.push(*exception);
                } else if to != from && floor(&to).is_none_or(|there| there <= here) {
                    wrong.push(source.at(*number, &format!("{from} -> {to}: {}", line.trim())));
                }
            }
        }
    }
    none(&wrong, "arrows that do not go down");
    assert!(
        UP.iter().all(|it| used.contains(it)),
        "exceptions that are none: {UP:?}"
    );
}

#[test]
fn pure_rooms_are_pure() {
    let effects = [
        "std::process",
        "std::env",
        "std::fs",
        "std::net",
        "fs_err",
        "tracing",
        "nix::",
        "walkdir",
        "println!",
        "eprintln!",
        "crate::sys",
        "crate::tools",
        "crate::steps",
    ];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|it| PURE.contains(&it.room())) {
        for (number, line) in &source.code {
            if effects.iter().any(|effect| line.contains(effect)) {
                wrong.push(source.at(*number, line.trim()));
            }
        }
    }
    none(&wrong, "an effect in a pure room");
}

#[test]
fn one_place_starts_programs() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|it| !it.path.starts_with("sys/exec"))
    {
        for (number, line) in &source.code {
            let names = line.contains("process::Command")
                || (line.contains("process::{") && line.contains("Command"));
            if names || line.contains("execve(") {
                wrong.push(source.at(*number, line.trim()));
            }
        }
    }
    none(&wrong, "only sys/exec.rs starts programs");
}

#[test]
fn a_tool_imports_no_tool() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|it| it.room() == "tools") {
        for (number, line) in &source.code {
            if line.contains("crate::tools") || line.contains("super::") {
                wrong.push(source.at(*number, line.trim()));
            }
        }
    }
    none(&wrong, "a tool that imports a tool");
}

#[test]
fn no_glob_of_our_own() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in &source.code {
            let ours = ["use crate", "use super", "use self"]
                .iter()
                .any(|it| line.trim_start().starts_with(it));
            if ours && line.contains("::*") {
                wrong.push(source.at(*number, line.trim()));
            }
        }
    }
    none(&wrong, "a glob import of our own modules");
}

#[test]
fn nothing_unwraps() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in &source.code {
            let panics = [
                ".unwrap()",
                ".expect(",
                "panic!(",
                "unreachable!(",
                "todo!(",
                "unimplemented!(",
            ];
            if panics.iter().any(|it| line.contains(it)) {
                wrong.push(source.at(*number, line.trim()));
            }
        }
    }
    none(&wrong, "a panic on a path that input may reach");
}

#[test]
fn every_file_says_what_it_is() {
    let mut wrong = Vec::new();
    let mut long = Vec::new();
    for source in sources() {
        let mut lines = source.text.lines();
        if lines.next() != Some("// SPDX-License-Identifier: MIT OR Apache-2.0") {
            wrong.push(source.at(1, "no SPDX line"));
        }
        if !lines.next().is_some_and(|line| line.starts_with("//! ")) {
            wrong.push(source.at(2, "no //! line"));
        }
        let name = source.path.rsplit('/').next().unwrap();
        if ["util.rs", "utils.rs", "helpers.rs", "common.rs", "misc.rs"].contains(&name) {
            wrong.push(source.at(1, "a drawer for everything"));
        }
        let count = source.code.last().map_or(0, |(number, _)| *number);
        if count > LINES_MAX {
            long.push(source.path);
        }
    }
    none(&wrong, "how a file begins");
    none(&long, &format!("files of more than {LINES_MAX} lines"));
}

#[test]
fn the_fuzz_crate_knows_every_dependency() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs_err::read_to_string(here.join(name)).unwrap();
    let (manifest, lock) = (read("Cargo.toml"), read("fuzz/Cargo.lock"));
    let part = |text: &str, from: &str, to: &str| -> String {
        let rest = text.split(from).nth(1).expect(from);
        rest.split(to).next().unwrap().to_owned()
    };
    let locked = part(&lock, "name = \"ostree-kernel\"\n", "\n]");
    let mut wrong = Vec::new();
    for line in part(&manifest, "[dependencies]\n", "\n\n").lines() {
        let name = line.split(' ').next().unwrap();
        if !locked.contains(&format!(" \"{name}\"")) && !locked.contains(&format!(" \"{name} ")) {
            wrong.push(name.to_owned());
        }
    }
    let remedy = "run cargo update --workspace --manifest-path fuzz/Cargo.toml";
    none(&wrong, remedy);
}
