// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the invariants of `src/lib.rs` in the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use walkdir::WalkDir;

/// The maximum number of lines in a file, without tests.
const LINES_MAX: usize = 450;

/// Rooms without side effects. A room is a directory or a file directly in `src`.
const PURE: [&str; 15] = [
    "report",
    "checks",
    "plan",
    "boot",
    "inspect",
    "initramfs",
    "package",
    "kernel",
    "oci",
    "node",
    "signing",
    "text",
    "elf",
    "pool",
    "bytes",
];

/// A file of `src`.
struct Source {
    /// The path below `src`.
    path: String,
    text: String,
    /// Its numbered lines, without tests and comments.
    code: Vec<(usize, String)>,
}

impl Source {
    fn room(&self) -> &str {
        let room = self.path.split('/').next().unwrap();
        room.trim_end_matches(".rs")
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

/// Returns every file of `src`; in a file that has only tests, `code` is empty.
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
        // The tests of a file are at its end.
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

/// Returns the rooms in the order of the map in `lib.rs`: from the top down, and in a line from left to right.
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

/// The path of a module of `src`, as a list of names.
type Module = Vec<String>;

/// Returns the imports and names in a file: the paths of `use` items with expanded groups, and paths in the code that
/// begin with `crate`, `super` or `self`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let is_item = rest[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace());
        let after = &rest[at + 4..];
        let end = after.find(';').unwrap_or(after.len());
        if is_item {
            expand(&[], &after[..end], &mut paths);
        }
        rest = &after[end..];
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            if !code[..at].ends_with(word) {
                let path: String = code[at..].chars().take_while(|c| word(*c)).collect();
                expand(&[], path.trim_end_matches(':'), &mut paths);
            }
        }
    }
    paths
}

/// Adds the paths of the use tree `tree`, which is below `prefix`, to `paths`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let names = |text: &str| -> Vec<String> {
        let text = text.split(" as ").next().unwrap();
        let names = text.split("::").map(|it| it.trim().to_owned());
        names.filter(|it| !it.is_empty()).collect()
    };
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        paths.push([prefix, &names(tree)].concat());
        return;
    };
    let prefix = [prefix, &names(head)].concat();
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    expand(&prefix, &group[start..at], paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Returns the modules of `src`, each with the modules that it imports. Modules of tests are left out.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let sources = sources();
    let module = |path: &str| -> Module {
        let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').map(str::to_owned).collect()
    };
    let sources = sources.iter().filter(|it| !it.code.is_empty());
    let sources = sources.filter(|it| it.path != "lib.rs" && it.path != "main.rs");
    let files: BTreeMap<Module, String> = sources
        .map(|it| {
            let code: Vec<_> = it.code.iter().map(|(_, line)| line.as_str()).collect();
            (module(&it.path), code.join("\n"))
        })
        .collect();
    let target = |mut path: Module| {
        while !path.is_empty() && !files.contains_key(&path) {
            path.pop();
        }
        path
    };
    let mut imports = BTreeMap::new();
    for (from, code) in &files {
        let found = imports.entry(from.clone()).or_insert_with(BTreeSet::new);
        for path in paths(code) {
            let supers = path.iter().take_while(|it| *it == "super").count();
            let path = match path.first().map(String::as_str) {
                Some("crate" | "ostree_kernel") => path[1..].to_vec(),
                Some("self") => [&from[..], &path[1..]].concat(),
                Some("super") if supers <= from.len() => {
                    [&from[..from.len() - supers], &path[supers..]].concat()
                }
                _ => [&from[..], &path].concat(),
            };
            let to = target(path);
            if !to.is_empty() && to != *from {
                found.insert(to);
            }
        }
    }
    imports
}

#[test]
fn grouped_imports_are_seen() {
    let mut found = Vec::new();
    expand(&[], "crate::{a::{self, B}, c as d}", &mut found);
    let found: Vec<_> = found.iter().map(|it| it.join("::")).collect();
    assert_eq!(found, ["crate::a::self", "crate::a::B", "crate::c"]);
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let rooms = rooms();
    let floor = |room: &str| rooms.iter().position(|it| it == room);
    let mut wrong = Vec::new();
    for (from, to) in imports() {
        let Some(here) = floor(&from[0]) else {
            wrong.push(format!("{} is not on the map of lib.rs", from[0]));
            continue;
        };
        for to in to {
            if to[0] != from[0] && floor(&to[0]).is_none_or(|there| there <= here) {
                wrong.push(format!("{} -> {}", from.join("::"), to.join("::")));
            }
        }
    }
    none(
        &wrong,
        "imports of modules that are not later in the map of lib.rs",
    );
}

/// Imports form no cycles. A module and its submodules count as one.
#[test]
fn modules_do_not_import_each_other_in_a_cycle() {
    let imports = imports();
    let is_family = |a: &Module, b: &Module| a.starts_with(b) || b.starts_with(a);
    let mut open: BTreeMap<&Module, BTreeSet<&Module>> = imports
        .iter()
        .map(|(from, to)| (from, to.iter().filter(|to| !is_family(from, to)).collect()))
        .collect();
    // A module that imports no listed module is in no cycle, and is removed from the list.
    loop {
        let left: BTreeSet<_> = open.keys().copied().collect();
        open.retain(|_, to| to.iter().any(|to| left.contains(to)));
        if open.len() == left.len() {
            break;
        }
    }
    let left: BTreeSet<_> = open.keys().copied().collect();
    let mut wrong = Vec::new();
    for (from, to) in &open {
        let to = to.iter().filter(|to| left.contains(*to));
        let to: Vec<_> = to.map(|it| it.join("::")).collect();
        wrong.push(format!("{} -> {}", from.join("::"), to.join(", ")));
    }
    none(
        &wrong,
        "imports in a cycle, and the modules that lead to it",
    );
}

/// Paths whose use can have a side effect.
const EFFECTS: [&str; 14] = [
    "std::process",
    "std::env",
    "std::fs",
    "std::net",
    "fs_err",
    "tracing",
    "nix",
    "walkdir",
    "ureq",
    "crate::sys",
    "crate::tools",
    "crate::site",
    "crate::steps",
    "crate::cmd",
];

#[test]
fn pure_rooms_do_no_input_or_output() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|it| PURE.contains(&it.room())) {
        let lines: Vec<_> = source.code.iter().map(|(_, line)| line.as_str()).collect();
        for path in paths(&lines.join("\n")) {
            let path = path.join("::");
            let is_in =
                |effect: &&str| path == **effect || path.starts_with(&format!("{effect}::"));
            if EFFECTS.iter().any(is_in) {
                wrong.push(source.at(1, &path));
            }
        }
        for (number, line) in &source.code {
            let named = [
                "std::process::",
                "std::env::",
                "std::fs::",
                "fs_err::",
                "tracing::",
                "println!",
            ];
            if named.iter().any(|it| line.contains(it)) {
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

/// clippy cannot forbid these methods, because the tests use them.
#[test]
fn only_the_root_is_asked_by_path() {
    let methods = [
        ".exists()",
        ".try_exists()",
        ".canonicalize()",
        ".symlink_metadata()",
        ".read_link()",
        ".read_dir()",
    ];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|it| it.path != "sys/root.rs") {
        for (number, line) in &source.code {
            if methods.iter().any(|it| line.contains(it)) {
                wrong.push(source.at(*number, line.trim()));
            }
        }
    }
    none(&wrong, "the tree: sys::root; our own files: fs_err");
}

#[test]
fn tools_do_not_import_each_other() {
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
fn a_step_imports_the_result_of_another_and_not_its_work() {
    let mut wrong = Vec::new();
    for (from, _) in imports().iter().filter(|(from, _)| from[0] == "steps") {
        let source = sources();
        let file = source.iter().find(|it| {
            let path = it.path.trim_end_matches(".rs").trim_end_matches("/mod");
            path == from.join("/")
        });
        let lines: Vec<_> = file
            .unwrap()
            .code
            .iter()
            .map(|(_, line)| line.as_str())
            .collect();
        for path in paths(&lines.join("\n")) {
            let path = match path.first().map(String::as_str) {
                Some("super") if from.len() == 2 => [&["steps".to_owned()], &path[1..]].concat(),
                Some("crate") => path[1..].to_vec(),
                _ => continue,
            };
            let is_other = path.len() > 2 && path[0] == "steps" && path[1] != from[1];
            let is_work = path
                .last()
                .is_some_and(|it| it.starts_with(char::is_lowercase));
            if is_other && is_work {
                wrong.push(format!("{} -> {}", from.join("::"), path.join("::")));
            }
        }
    }
    none(&wrong, "a step that imports the work of another");
}

/// The first word of a check's name is that of its file or directory in `src/checks`.
#[test]
fn a_check_is_in_the_file_of_its_name() {
    let sources = sources();
    let registry = sources.iter().find(|it| it.path == "checks/registry.rs");
    let lines = registry.unwrap().code.iter().map(|(_, line)| line.as_str());
    let code = lines.collect::<Vec<_>>().join("\n");
    let imports = paths(&code);
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut name = "";
    for line in code.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("name: ") {
            // A name that is a constant is not compared.
            name = text
                .strip_prefix('"')
                .map_or("", |it| it.trim_end_matches(['"', ',']));
        }
        let Some(module) = line.strip_prefix("look: ") else {
            continue;
        };
        let module = module.split("::").next().unwrap();
        let first = name.split('-').next().unwrap();
        let named = imports
            .iter()
            .filter(|it| it.last().is_some_and(|it| it == module));
        let mut files = named.filter_map(|it| it.get(1)).map(String::as_str);
        // A module may be imported under another name.
        if !files.any(|file| file.starts_with(first)) && !module.starts_with(first) {
            wrong.push(format!("{name}: {module}"));
        }
        count += 1;
    }
    assert!(count > 30, "only {count} checks found");
    none(&wrong, "a check in a file of another name");
}

#[test]
fn no_glob_imports_of_this_crate() {
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
fn no_unwrap_expect_or_panic() {
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
