// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts about dracut's modules from their `module-setup.sh`: the drivers and files that they install, the modules that
//! they require, and the files that they change.
//!
//! The file is a shell script; only literal words are parsed, and conditions are ignored.

use std::collections::{BTreeMap, BTreeSet};

use crate::bytes::basename;
use crate::kernel::modules::ModuleName;

/// Options of `dracut_instmods` (dracut-install) after which the parser skips a word as the option's value.
const WITH_VALUE: [&str; 7] = ["-s", "-S", "-p", "-P", "-n", "-N", "-m"];

/// dracut's modules, by name.
#[derive(Debug, Clone, Default)]
pub struct Setups(BTreeMap<String, Setup>);

/// Facts from the `module-setup.sh` of a dracut module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Setup {
    drivers: BTreeSet<ModuleName>,
    /// Directories of drivers, relative to `kernel`, that the module installs completely.
    dirs: BTreeSet<String>,
    /// Directories, relative to `kernel`, from which the module installs only drivers with certain symbols or names.
    filtered_dirs: BTreeSet<String>,
    /// The modules that the function `depends` prints; empty if a condition decides what it prints.
    depends: BTreeSet<String>,
    /// All words in the function `depends`, a superset of the modules that it can print.
    mentions: BTreeSet<String>,
    /// Names of files that the module installs.
    files: BTreeSet<String>,
    /// Paths of files in the image's `etc` that the module writes or replaces.
    writes: BTreeSet<String>,
    /// Names of files in the image that the module may change.
    edits: BTreeSet<String>,
    /// Whether the script names ostree's prepare-root.conf.
    has_prepare_root: bool,
}

impl Setups {
    /// Adds the script of a module.
    pub fn add(&mut self, module: &str, script: &str) {
        self.0.insert(module.to_owned(), Setup::parse(script));
    }

    /// Returns whether one of `modules` installs the driver `name` at `path`, relative to the kernel's directory. With
    /// `filtered`, a directory from which a module installs only some drivers counts, too.
    pub(super) fn installs<'a>(
        &self,
        modules: impl IntoIterator<Item = &'a String>,
        name: &ModuleName,
        path: &[u8],
        filtered: bool,
    ) -> bool {
        let path = String::from_utf8_lossy(path);
        let below = path.strip_prefix("kernel/").unwrap_or_default();
        let is_in = |dir: &String| {
            let rest = below.strip_prefix(dir.as_str());
            rest.is_some_and(|rest| rest.starts_with(['/', '.']))
        };
        let mut setups = modules.into_iter().filter_map(|module| self.0.get(module));
        setups.any(|setup| {
            setup.drivers.contains(name)
                || setup.dirs.iter().any(is_in)
                || filtered && setup.filtered_dirs.iter().any(is_in)
        })
    }

    /// Returns the modules in `modules` that install a file with this name.
    pub(super) fn owners<'m>(&self, modules: &[&'m str], name: &str) -> Vec<&'m str> {
        let owns = |module: &&&str| {
            let setup = self.0.get(**module);
            setup.is_some_and(|setup| setup.files.contains(name))
        };
        modules.iter().filter(owns).copied().collect()
    }

    /// Returns whether another one of `modules` may require the module `name`.
    pub(super) fn is_required(&self, name: &str, modules: &[&str]) -> bool {
        let others = modules.iter().filter(|it| **it != name);
        let mut setups = others.filter_map(|it| self.0.get(*it));
        setups.any(|setup| setup.mentions.contains(name))
    }

    /// Returns whether the script of a module is known.
    pub(super) fn has(&self, module: &str) -> bool {
        self.0.contains_key(module)
    }

    /// Returns whether dracut's module `ostree` is on disk and does not install `prepare-root.conf`. ostree before 2023
    /// does not read that file.
    pub(super) fn is_without_prepare_root(&self) -> bool {
        let ostree = self.0.get("ostree");
        ostree.is_some_and(|setup| !setup.has_prepare_root)
    }

    /// Returns whether a module on disk writes the file `path` in the image, so that the file is not a copy of the
    /// tree's.
    pub(super) fn writes(&self, path: &str) -> bool {
        self.0.values().any(|setup| setup.writes.contains(path))
    }

    /// Returns whether a module on disk may change a file with the name of `path` after dracut has copied the file.
    pub(super) fn edits(&self, path: &[u8]) -> bool {
        let name = basename(path);
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        let mut setups = self.0.values();
        setups.any(|setup| setup.edits.contains(name))
    }

    /// Returns whether a module requires one of `omitted`, directly or indirectly.
    pub(super) fn depends_on(&self, module: &str, omitted: &BTreeSet<String>) -> bool {
        let mut seen = BTreeSet::from([module]);
        let mut todo = vec![module];
        while let Some(module) = todo.pop() {
            let depends = self.0.get(module).map(|setup| &setup.depends);
            for depend in depends.into_iter().flatten() {
                if omitted.contains(depend) {
                    return true;
                }
                if seen.insert(depend) {
                    todo.push(depend);
                }
            }
        }
        false
    }
}

impl Setup {
    fn parse(script: &str) -> Self {
        let mut setup = Self {
            has_prepare_root: script.contains("prepare-root.conf"),
            edits: edited(script),
            ..Self::default()
        };
        let script = script.replace("\\\n", " ");
        // The path of a written file can be in a variable: `> "${initdir}${I18N_CONF}"`.
        let unquoted = script.replace(['"', '{', '}'], "");
        let by_variable = unquoted.contains("initdir$");
        let mut depends: Option<Vec<&str>> = None;
        for line in script.lines().map(str::trim) {
            let is_assignment = by_variable && line.contains("=\"/etc/");
            if is_assignment || line.contains("initdir") || line.contains("moddir") {
                setup.writes.extend(paths_of_etc(line));
            }
            match &mut depends {
                _ if line.starts_with('#') => {}
                None if line.starts_with("depends()") => depends = Some(Vec::new()),
                Some(lines) if line == "}" => {
                    setup.depends.extend(literal_depends(lines));
                    depends = None;
                }
                Some(lines) => {
                    let words =
                        line.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
                    setup.mentions.extend(words.map(str::to_owned));
                    lines.push(line);
                }
                None => {
                    setup.files.extend(installed(line));
                    setup.read_line(line);
                }
            }
        }
        setup
    }

    fn read_line(&mut self, line: &str) {
        let mut words = words(line).into_iter();
        let Some(call) = words.find(|word| word == "instmods" || word == "dracut_instmods") else {
            return;
        };
        let mut filtered = false;
        while let Some(word) = words.next() {
            if call == "dracut_instmods" && WITH_VALUE.contains(&word.as_str()) {
                filtered |= !["-p", "-P"].contains(&word.as_str());
                words.next();
            } else if ["||", "&&", "|", ";", "then"].contains(&word.as_str()) || word.contains('>')
            {
                break;
            } else if word.contains(['$', '`', '(', '{']) || word.starts_with('-') {
            } else if let Some(dir) = word.strip_prefix('=') {
                let dir = dir.trim_end_matches(['/', ';']).to_owned();
                if filtered {
                    self.filtered_dirs.insert(dir)
                } else {
                    self.dirs.insert(dir)
                };
            } else {
                let name = word.trim_end_matches(';');
                self.drivers.extend(ModuleName::new(name.as_bytes()));
            }
        }
    }
}

/// Returns the names of files in the image that a script may change: the last component of each word with `$initdir`,
/// if this component has a dot. If the component has the variable of a `for` loop, the names are the values of the
/// loop.
fn edited(script: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut loops: Vec<(&str, Vec<&str>)> = Vec::new();
    let unquoted = script
        .replace("\\\n", " ")
        .replace(['"', '\'', '{', '}'], "");
    for line in unquoted.lines() {
        let words: Vec<&str> = line.split([' ', '\t', ';']).collect();
        if let Some(at) = words
            .windows(3)
            .position(|it| it[0] == "for" && it[2] == "in")
        {
            let values = words[at + 3..].iter().take_while(|word| !word.is_empty());
            loops.push((words[at + 1], values.copied().collect()));
        }
        for word in words.iter().filter(|word| word.contains("$initdir")) {
            let name = word.rsplit('/').next().unwrap_or(word);
            match name.split_once('$') {
                None if name.contains('.') => {
                    names.insert(name.to_owned());
                }
                None => {}
                Some((_, variable)) => {
                    let values = loops.iter().filter(|(name, _)| *name == variable);
                    let values = values.flat_map(|(_, values)| values);
                    names.extend(values.map(|&value| value.to_owned()));
                }
            }
        }
    }
    names
}

/// Returns the modules that the lines of a function `depends` print. If there are commands other than `return` and
/// `echo` with literal words, for example conditions, the output is unknown, and the result is empty.
fn literal_depends(lines: &[&str]) -> BTreeSet<String> {
    let mut depends = BTreeSet::new();
    for line in lines {
        match line.strip_prefix("echo ") {
            Some(printed) if !printed.contains('$') => depends.extend(words(printed)),
            _ if line.is_empty() || line.starts_with("return") => {}
            _ => return BTreeSet::new(),
        }
    }
    depends
}

/// Returns the names of the files that a shell line installs with `inst`, `dracut_install` or a function whose name
/// begins with `inst_`. Names with expansions or glob patterns are left out.
fn installed(line: &str) -> impl Iterator<Item = String> {
    let words = words(line);
    let call = words
        .iter()
        .position(|it| it == "inst" || it.starts_with("inst_") || it == "dracut_install");
    // -H marks files that are specific to the host that dracut runs on; these are not counted.
    let is_for_host = words.iter().any(|it| it == "-H");
    let call = call.filter(|_| !is_for_host);
    let words = words.into_iter().skip(call.map_or(usize::MAX, |at| at + 1));
    let words = words.take_while(|it| !["||", "&&", "|", ";", "then"].contains(&it.as_str()));
    words.filter_map(|word| {
        let name = word.trim_end_matches(';').rsplit('/').next()?.to_owned();
        let is_literal = !name.is_empty() && !name.contains(['$', '*', '?', '`', '(', '}', '>']);
        (is_literal && !name.starts_with('-')).then_some(name)
    })
}

/// Returns the paths below `/etc` in a shell line, without the leading slash.
fn paths_of_etc(line: &str) -> impl Iterator<Item = String> {
    let line = line.replace(['"', '\''], "");
    let starts: Vec<_> = line.match_indices("/etc/").map(|(at, _)| at + 1).collect();
    starts.into_iter().map(move |at| {
        let is_end = |c: char| c.is_whitespace() || ";)|&><:$".contains(c);
        line[at..]
            .split(is_end)
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

/// Splits a shell line at white space and removes quotes. A quoted word with spaces becomes several words.
fn words(line: &str) -> Vec<String> {
    let unquoted = |word: &str| word.replace(['"', '\''], "");
    line.split_whitespace().map(unquoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"#!/bin/bash
# instmods commented
depends() {
    echo bash systemd
    return 0
}
installkernel() {
    hostonly=$(optional_hostonly) instmods \
        "=drivers/gpu/drm/panel" \
        '=drivers/pwm' hyperv_fb ${_more:+"$_more"} dm-cache
    if hostonly='' instmods -c -s "$_mod" one; then
        :
    fi
    dracut_instmods -o -P ".*/wireless/.*" -s "a|b" "=drivers/net"
    dracut_instmods -o -P ".*/(bcache/).*" "=drivers/md" || return 1
    awk -F: 'x' | instmods
    instmods $(x) >/dev/null two
}
"#;

    #[test]
    fn drivers_that_a_script_installs() {
        let setup = Setup::parse(SCRIPT);
        let drivers: Vec<_> = setup.drivers.iter().map(ToString::to_string).collect();
        assert_eq!(drivers, ["dm_cache", "hyperv_fb", "one"]);
        let dirs = |dirs: &BTreeSet<String>| dirs.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(
            dirs(&setup.dirs),
            "drivers/gpu/drm/panel drivers/md drivers/pwm"
        );
        assert_eq!(dirs(&setup.filtered_dirs), "drivers/net");
        assert_eq!(dirs(&setup.depends), "bash systemd");
        let mut setups = Setups::default();
        setups.add("x", SCRIPT);
        let modules = ["x".to_owned(), "unknown".to_owned()];
        let installs = |name: &str, path: &str, filtered| {
            let name = ModuleName::new(name.as_bytes()).unwrap();
            setups.installs(&modules, &name, path.as_bytes(), filtered)
        };
        assert!(installs("dm_mod", "kernel/drivers/md/dm-mod.ko.xz", false));
        assert!(!installs("x", "kernel/drivers/mdx/x.ko", true));
        assert!(installs(
            "hyperv_fb",
            "kernel/drivers/video/fbdev/hyperv_fb.ko",
            false
        ));
        for filtered in [true, false] {
            let path = "kernel/drivers/net/ethernet/e1000.ko";
            assert_eq!(installs("e1000", path, filtered), filtered);
        }
    }

    #[test]
    fn files_that_a_script_writes() {
        let mut setups = Setups::default();
        let script = "I18N_CONF=\"/etc/vconsole.conf\"\ninstall() {\n    x > \"${initdir}${I18N_CONF}\"\n    y >> \"$initdir/etc/cmdline.d/20-x.conf\"\n    inst_simple \"$moddir/m.conf\" /etc/m.conf\n    inst_simple /etc/copied\n}\n";
        setups.add("x", script);
        for (path, expected) in [
            ("etc/vconsole.conf", true),
            ("etc/cmdline.d/20-x.conf", true),
            ("etc/m.conf", true),
            ("etc/copied", false),
        ] {
            assert_eq!(setups.writes(path), expected, "{path}");
        }
    }

    #[test]
    fn modules_that_a_module_requires() {
        let mut setups = Setups::default();
        let depends = |on: &str| format!("depends() {{\n    echo {on}\n    return 0\n}}\n");
        setups.add("plymouth", &depends("drm"));
        setups.add("splash", &depends("plymouth"));
        setups.add("round", &depends("round"));
        let any = "depends() {\n    for it in drm other; do\n        echo $it\n    done\n}\n";
        setups.add("any", any);
        let omitted = BTreeSet::from(["drm".to_owned()]);
        for (module, expected) in [
            ("plymouth", true),
            ("splash", true),
            ("round", false),
            ("any", false),
            ("unknown", false),
        ] {
            assert_eq!(setups.depends_on(module, &omitted), expected, "{module}");
        }
    }
}
