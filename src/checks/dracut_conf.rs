// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses dracut's configuration, `dracut.conf(5)`: the names of the dracut modules and drivers that it adds and omits,
//! and the paths of the files that it adds.
//!
//! The files are shell scripts. Only assignments at the start of a line are parsed; words with expansions or glob
//! patterns are skipped.

use std::collections::BTreeSet;

use super::Omitted;
use crate::kernel::modules::ModuleName;

/// The settings of dracut's configuration that checks use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DracutConf {
    /// dracut modules and drivers to omit.
    pub omitted: Omitted,
    /// dracut modules to add.
    pub modules: BTreeSet<String>,
    /// Drivers to add, also those of `filesystems`.
    pub drivers: BTreeSet<ModuleName>,
    /// Files to add (`install_items`), as absolute paths.
    pub items: BTreeSet<String>,
}

/// An assignment to a shell variable, with the words of its value.
struct Assignment {
    name: String,
    words: Vec<String>,
    /// Whether the operator is `+=`.
    appends: bool,
    /// Whether the line is indented, for example below an `if`, and may have no effect.
    is_conditional: bool,
}

impl DracutConf {
    /// Adds the assignments of a file. The caller adds the files in the order in which dracut reads them. An indented
    /// assignment counts only if it omits something: an omission only prevents findings.
    pub fn add(&mut self, text: &str) {
        for it in assignments(text) {
            let omits = it.name.starts_with("omit_");
            if !omits && it.is_conditional {
                continue;
            }
            let words = it.words.iter().map(String::as_str);
            let literal = words.filter(|word| !word.contains(['$', '`', '*', '?', '[', '=']));
            match it.name.as_str() {
                "omit_dracutmodules" => {
                    restart(&mut self.omitted.dracut_modules, &it);
                    self.omitted.add_modules(literal);
                }
                "omit_drivers" => {
                    restart(&mut self.omitted.drivers, &it);
                    self.omitted.add_drivers(literal);
                }
                "add_dracutmodules" | "force_add_dracutmodules" => {
                    restart(&mut self.modules, &it);
                    self.modules.extend(literal.map(str::to_owned));
                }
                "add_drivers" | "force_drivers" | "filesystems" => {
                    restart(&mut self.drivers, &it);
                    let names = literal.map(|word| word.split(".ko").next().unwrap_or(word));
                    let names = names.filter_map(|name| ModuleName::new(name.as_bytes()));
                    self.drivers.extend(names);
                }
                "install_items" => {
                    restart(&mut self.items, &it);
                    let paths = literal.filter(|word| word.starts_with('/'));
                    self.items.extend(paths.map(str::to_owned));
                }
                _ => {}
            }
        }
    }
}

/// Clears the words if the assignment is `=`, not `+=`, and not conditional.
fn restart<T>(words: &mut BTreeSet<T>, assignment: &Assignment) {
    if !assignment.appends && !assignment.is_conditional {
        words.clear();
    }
}

fn assignments(text: &str) -> Vec<Assignment> {
    let mut all = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let is_conditional = name.starts_with([' ', '\t']);
        let (name, appends) = match name.trim().strip_suffix('+') {
            Some(name) => (name, true),
            None => (name.trim(), false),
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        all.push(Assignment {
            words: value_words(value, &mut lines),
            name: name.to_owned(),
            appends,
            is_conditional,
        });
    }
    all
}

/// Returns the words of a value: quoted text, which can span several lines, and unquoted text up to a comment. Further
/// lines of quoted text are taken from `lines`.
fn value_words<'a>(value: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut text = String::new();
    let mut quote = None;
    let mut line = value;
    loop {
        let mut is_start = true;
        for c in line.chars() {
            let starts_word =
                std::mem::replace(&mut is_start, quote.is_none() && c.is_whitespace());
            match (quote, c) {
                (Some(open), _) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                // A shell begins a comment only at the start of a word.
                (None, '#') if starts_word => break,
                (Some(_), '\\') => text.push(' '),
                _ => text.push(c),
            }
        }
        if quote.is_none() {
            break;
        }
        let Some(next) = lines.next() else {
            break;
        };
        text.push(' ');
        line = next;
    }
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> DracutConf {
        let mut conf = DracutConf::default();
        conf.add(text);
        conf
    }

    #[test]
    fn omitted_modules_and_drivers() {
        let conf = conf(
            "# omit_dracutmodules+=\" a \"\n omit_dracutmodules+=\" lvm  mdraid \" # why\nomit_drivers+=' floppy nvidia-drm.ko '\nadd_drivers+=\" x \"\n",
        );
        let modules: Vec<_> = conf
            .omitted
            .dracut_modules
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(modules, ["lvm", "mdraid"]);
        let drivers: Vec<_> = conf
            .omitted
            .drivers
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(drivers, ["floppy", "nvidia_drm"]);
    }

    #[test]
    fn added_modules_drivers_and_files() {
        let conf = conf(
            "add_dracutmodules+=\" old \"\nadd_dracutmodules=\" multipath\n  nvmf \"\nforce_add_dracutmodules+=\" $(x) \"\nif true; then\n    add_dracutmodules+=\" never \"\nfi\nadd_drivers+=\" mpt3sas.ko =drivers/x a-b \"\nfilesystems+=' xfs '\ninstall_items+=\" /etc/a /etc/*.b relative $dir/x \"\nhostonly=no\n",
        );
        let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&conf.modules), "multipath nvmf");
        let drivers: Vec<_> = conf.drivers.iter().map(ToString::to_string).collect();
        assert_eq!(drivers, ["a_b", "mpt3sas", "xfs"]);
        assert_eq!(words(&conf.items), "/etc/a");
    }

    #[test]
    fn an_unclosed_quote_extends_to_the_end_of_the_file() {
        assert_eq!(conf("install_items+=\" /a\n/b").items.len(), 2);
    }
}
