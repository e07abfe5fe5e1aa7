// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the boot graph: units first, then names in texts, then directories whose files programs use.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::binfmt::program;
use super::super::goals::Booted;
use super::super::loader::{Loader, Loading};
use super::super::startable;
use super::super::udev::Rules;
use super::{BY_SYSTEMD, EXECUTOR, FSCK, Graph, GraphFile, Why};
use crate::bytes::{basename, contains};
use crate::initramfs::{EntryType, Facts, Inventory, Machine, Node};

/// Parts of the paths of systemd's, udev's and ostree's directories. Programs of systemd, udev and ostree execute or
/// read some of the files there, by names in the code of these programs.
const OWN: [&[u8]; 3] = [b"lib/systemd/", b"lib/udev/", b"lib/ostree/"];

/// File names of programs that the kernel or the programs in [`OWN`] execute, in any directory.
const NAMES: [&[u8]; 3] = [b"init", b"mount", b"modprobe"];

/// Builds the graph. `booted` contains the units; `None` if `/init` neither is nor executes systemd.
pub(super) fn walk<'a>(
    inventory: &'a Inventory,
    facts: &'a Facts,
    booted: Option<&Booted>,
    rules: &Rules,
) -> Graph<'a> {
    let mut walk = Walk {
        inventory,
        facts,
        graph: Graph::default(),
        todo: VecDeque::new(),
        late: VecDeque::new(),
        loaders: HashMap::new(),
        spelled: HashSet::new(),
        names: HashMap::new(),
    };
    walk.index();
    walk.start(booted, rules);
    walk.graph
}

/// A graph under construction.
struct Walk<'a> {
    inventory: &'a Inventory,
    facts: &'a Facts,
    graph: Graph<'a>,
    /// Steps of needed files whose edges are not followed yet. `late` has the steps of other files.
    todo: VecDeque<usize>,
    late: VecDeque<usize>,
    loaders: HashMap<Machine, Loader<'a>>,
    /// Paths of libraries that have been added with the links on them.
    spelled: HashSet<Vec<u8>>,
    /// Paths that no text has named yet, by file name.
    names: HashMap<&'a [u8], Vec<&'a [u8]>>,
}

impl<'a> Walk<'a> {
    fn index(&mut self) {
        for (path, node) in self.inventory.nodes() {
            if node.kind != EntryType::Directory {
                self.names.entry(basename(path)).or_default().push(path);
            }
        }
    }

    fn start(&mut self, booted: Option<&Booted>, rules: &Rules) {
        let init = self.visit(b"init", None, Why::First, true);
        if let Some(booted) = booted {
            self.units(init, booted);
        }
        self.follow();
        self.by_names(init, rules);
        self.follow();
        self.by_directories(init);
        self.follow();
    }

    /// Adds the links on `path` and the file that `path` leads to. Returns the step of the file. If there is no file,
    /// returns the step of the last dangling link; `None` if there is no such link. An existing step is kept.
    fn visit(
        &mut self,
        path: &[u8],
        from: Option<usize>,
        why: Why,
        is_needed: bool,
    ) -> Option<usize> {
        let file = self.inventory.resolve(path).ok().map(|(file, _)| file);
        let (mut from, mut why) = (from, why);
        if file != Some(path) {
            for link in links(self.inventory, path) {
                let step = self.add(link, from, why, is_needed);
                // A link to a directory leads to many files, so it is not on the way to this one.
                let target = self.inventory.resolve(link).ok().map(|(path, _)| path);
                if target == file {
                    (from, why) = (Some(step), Why::Link);
                }
            }
        }
        // A dangling link is a step, too.
        match file {
            Some(file) => Some(self.add(file, from, why, is_needed)),
            None => from.filter(|_| why == Why::Link),
        }
    }

    fn add(&mut self, path: &'a [u8], from: Option<usize>, why: Why, is_needed: bool) -> usize {
        if let Some(&at) = self.graph.by_path.get(path) {
            return at;
        }
        let at = self.graph.steps.len();
        self.graph.steps.push(GraphFile {
            path,
            from,
            why,
            is_needed,
        });
        self.graph.by_path.insert(path, at);
        let todo = if is_needed {
            &mut self.todo
        } else {
            &mut self.late
        };
        todo.push_back(at);
        at
    }

    /// Follows the edges of files until no new file is found. Edges of needed files come first.
    fn follow(&mut self) {
        while let Some(at) = self.todo.pop_front().or_else(|| self.late.pop_front()) {
            self.expand(at);
        }
    }

    /// Follows the edges of needed files only. A file keeps its first step, so the files that a needed file uses must
    /// be added before a file that is not needed adds them.
    fn follow_needed(&mut self) {
        while let Some(at) = self.todo.pop_front() {
            self.expand(at);
        }
    }

    fn expand(&mut self, at: usize) {
        let GraphFile {
            path,
            why,
            is_needed,
            ..
        } = self.graph.steps[at];
        let Some(node) = self.inventory.node(path) else {
            return;
        };
        self.interpreters(at, node, is_needed);
        // The libraries of a library are found with the program that loads it.
        if !matches!(why, Why::Library | Why::Linker) {
            self.libraries(at, path, node, is_needed);
        }
    }

    fn interpreters(&mut self, at: usize, node: &Node, is_needed: bool) {
        let content = self.inventory.content(node);
        let line = content.and_then(|content| content.interpreter());
        let words = line.unwrap_or_default().split(u8::is_ascii_whitespace);
        // The second word is the program that `env` executes, or another argument.
        for word in words.take(2).filter(|word| !word.is_empty()) {
            if let Some((path, _)) = program(self.inventory, word) {
                let spelled = if word.contains(&b'/') { word } else { path };
                self.visit(spelled, Some(at), Why::Interpreter, is_needed);
            }
        }
    }

    fn libraries(&mut self, at: usize, path: &'a [u8], node: &Node, is_needed: bool) {
        let (Some(Ok(elf)), Some(content)) = (
            self.facts.elf(self.inventory, node),
            self.inventory.content(node),
        ) else {
            return;
        };
        let (inventory, facts) = (self.inventory, self.facts);
        let loader = self
            .loaders
            .entry(elf.machine)
            .or_insert_with(|| Loader::new(inventory, facts, elf.machine));
        let loaded = loader.load(path, content.entry, elf);
        let linker = elf.interpreter.as_deref();
        if let Some(linker) = linker {
            self.visit(linker, Some(at), Why::Linker, is_needed);
        }
        let mut steps: Vec<Option<usize>> = Vec::new();
        for it in &loaded.objects {
            let from = it.parent.and_then(|parent| steps.get(parent).copied()?);
            steps.push(match from {
                None => Some(at),
                from => Some(self.library(it, from, is_needed)),
            });
        }
        // For the loader a damaged library is missing, but the dynamic linker may map it. Files with its name are
        // added.
        for missed in &loaded.missing {
            let from = self.graph.by_path.get(missed.asked_by.as_slice()).copied();
            let files = self.names.remove(basename(&missed.library));
            for file in files.unwrap_or_default() {
                self.visit(file, from.or(Some(at)), Why::Library, is_needed);
            }
        }
        let opened: Vec<_> = loaded.objects.iter().zip(&steps).collect();
        for (it, step) in opened {
            for opened in &it.object.elf.opened {
                for soname in &opened.soname {
                    for file in self.names.remove(soname.as_bytes()).unwrap_or_default() {
                        self.visit(file, *step, Why::Opens, false);
                    }
                }
            }
        }
    }

    /// Adds a library, and the links on the path with which the dynamic linker finds it.
    fn library(&mut self, it: &Loading<'a>, from: Option<usize>, is_needed: bool) -> usize {
        let is_new = it.spelled != it.object.path && self.spelled.insert(it.spelled.clone());
        let links = is_new.then(|| self.visit(&it.spelled, from, Why::Library, is_needed));
        let file = links.flatten();
        file.unwrap_or_else(|| self.add(it.object.path, from, Why::Library, is_needed))
    }

    fn helpers_of_fsck(&mut self, fsck: Option<usize>) {
        for name in FSCK {
            if let Some((path, _)) = program(self.inventory, name) {
                self.visit(path, fsck, Why::Executes, false);
            }
        }
    }

    fn units(&mut self, init: Option<usize>, booted: &Booted) {
        for path in BY_SYSTEMD.into_iter().chain([EXECUTOR]) {
            self.visit(path, init, Why::Executes, true);
        }
        self.visit(b"etc/initrd-release", init, Why::Reads, true);
        // The files of needed units are added first, so that they are marked as needed.
        let jobs = booted.boot.jobs.iter().enumerate();
        let (needed, others): (Vec<_>, Vec<_>) =
            jobs.partition(|(at, _)| booted.needed.contains(at));
        let mut steps: HashMap<usize, Option<usize>> = HashMap::new();
        for (is_needed, jobs) in [(true, needed), (false, others)] {
            for (number, job) in jobs {
                let (from, why) = match job.from {
                    None => (init, Why::Reads),
                    Some((from, kind)) => {
                        let step = steps.get(&from).copied().flatten();
                        (step.or(init), Why::Unit(kind))
                    }
                };
                let unit = &job.unit;
                // Generated units, and units that were not found, such as devices and slices, have no file.
                let step = match unit.path.as_slice() {
                    b"" => from,
                    path => self.visit(path, from, why, is_needed).or(from),
                };
                steps.insert(number, step);
                for command in &unit.commands {
                    let path = command.path.as_slice();
                    if path != unit.path && !path.is_empty() {
                        self.visit(path, step, Why::DropIn, is_needed);
                    }
                    let name = command.program.as_deref().unwrap_or_default();
                    if let Some((path, _)) = program(self.inventory, name) {
                        let is_needed = is_needed && !command.may_fail;
                        let spelled = if name.contains(&b'/') { name } else { path };
                        let step = self.visit(spelled, step, Why::Command(command.key), is_needed);
                        if name == b"fsck" {
                            self.helpers_of_fsck(step);
                        }
                    }
                }
            }
            self.follow_needed();
        }
    }

    /// Adds udev's rules, dracut's scripts and the units that may start, and the files that their texts name.
    fn by_names(&mut self, init: Option<usize>, rules: &Rules) {
        let udevd = self.step_of(b"systemd-udevd").or(init);
        let mut starters: Vec<&'a [u8]> = Vec::new();
        let mut words = Vec::new();
        for (path, values) in rules.values() {
            let step = self.visit(path, udevd, Why::Reads, false);
            self.words_of(values.iter().copied(), step);
            words.extend(values);
        }
        let mut texts = Vec::new();
        for (path, node) in self.inventory.nodes() {
            let content = self.inventory.content(node);
            let Some(data) = content.and_then(|content| content.data.as_deref()) else {
                continue;
            };
            let is_named =
                contains(path, b"dracut/hooks/") || contains(path, b"/dracut-") || path == b"init";
            if is_named {
                texts.push((path, data));
            }
            if is_named || contains(path, b"systemd/system-generators/") {
                starters.push(data);
            }
        }
        let hooks = texts.iter().filter(|(path, _)| self.graph.has(path));
        let hooks = hooks
            .filter(|(_, data)| contains(data, b"source_hook") || contains(data, b"source_all"))
            .find_map(|(path, _)| self.graph.by_path.get(path).copied())
            .or(init);
        for (path, data) in texts {
            let step = self.visit(path, hooks, Why::Directory, false);
            self.words_of([data].into_iter(), step);
        }
        let names = starters.into_iter().chain(words);
        for unit in startable::units(self.inventory, names) {
            for (path, text) in startable::texts(self.inventory, &unit) {
                let step = self.visit(path, init, Why::Starts, false);
                let lines = text.split(|&byte| byte == b'\n');
                let lines = lines.filter(|line| line.starts_with(b"Exec"));
                self.words_of(lines, step);
            }
        }
    }

    /// Adds the files whose names are words in the texts.
    fn words_of<'t>(&mut self, texts: impl Iterator<Item = &'t [u8]>, from: Option<usize>) {
        let is_part =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+@-".contains(byte) || *byte >= 0x80;
        for text in texts {
            for word in text.split(|byte| !is_part(byte)) {
                // Many words name the same files, so each name is looked up once.
                for file in self.names.remove(word).unwrap_or_default() {
                    self.visit(file, from, Why::Names, false);
                }
            }
        }
    }

    fn by_directories(&mut self, init: Option<usize>) {
        let udevd = self.step_of(b"systemd-udevd").or(init);
        let prepare = self.step_of(b"ostree-prepare-root").or(init);
        let [systemd, udev, ostree] = OWN;
        for (path, node) in self.inventory.nodes() {
            let from = match node.kind {
                EntryType::Directory => continue,
                _ if contains(path, systemd) || path.starts_with(b"etc/systemd/") => init,
                _ if contains(path, udev) || path.starts_with(b"etc/udev/") => udevd,
                _ if contains(path, b"modprobe.d/") => udevd,
                _ if contains(path, ostree) || path.starts_with(b"etc/ostree/") => prepare,
                _ if contains(path, b"dracut/hooks/") || path.ends_with(b"-lib.sh") => init,
                _ if NAMES.contains(&basename(path)) => init,
                _ => continue,
            };
            self.visit(path, from, Why::Directory, false);
        }
        for path in [
            b"etc/ld.so.cache".as_slice(),
            b"etc/passwd",
            b"etc/group",
            b"etc/fstab",
        ] {
            self.visit(path, init, Why::Reads, false);
        }
    }

    fn step_of(&self, name: &[u8]) -> Option<usize> {
        let mut steps = self.graph.steps.iter();
        steps.position(|step| basename(step.path) == name)
    }
}

/// Returns the paths of the links on a path, then those of the links on their targets; at most `MAX` of them.
fn links<'a>(inventory: &'a Inventory, path: &[u8]) -> Vec<&'a [u8]> {
    const MAX: usize = 40;
    let mut links: Vec<&[u8]> = Vec::new();
    let mut todo = vec![path.to_vec()];
    while let Some(path) = todo.pop() {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = ends.map(|(at, _)| at).take(MAX).chain([path.len()]);
        for end in ends {
            let Ok((link, node)) = inventory.resolve_link(&path[..end]) else {
                continue;
            };
            if node.kind == EntryType::Symlink && links.len() < MAX && !links.contains(&link) {
                links.push(link);
                let dir = &link[..link.len() - basename(link).len()];
                todo.push(if node.target.starts_with(b"/") {
                    node.target.clone()
                } else {
                    [dir, &node.target].concat()
                });
            }
        }
    }
    links
}
