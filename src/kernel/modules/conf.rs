// SPDX-License-Identifier: MIT OR Apache-2.0
//! modprobe's configuration, `modprobe.d(5)`, as libkmod reads it (`libkmod/libkmod-config.c`).
//!
//! As in libkmod, the first `install` line and the first `softdep` line that match a module apply, and all `options`
//! lines of the module do. Lines that libkmod cannot parse are skipped.

use super::alias::matches;
use super::{ModuleName, Softdep};

/// The configuration, in the order of its lines.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    blacklist: Vec<PatternLine<()>>,
    install: Vec<PatternLine<Vec<u8>>>,
    aliases: Vec<PatternLine<Vec<u8>>>,
    /// The arguments of `remove` lines. libkmod accepts each argument as a module's name.
    removed: Vec<Vec<u8>>,
    softdeps: Vec<PatternLine<Softdep>>,
    options: Vec<PatternLine<Vec<u8>>>,
    files: Vec<String>,
}

/// A pattern for module names, the value of its line, and the index of its file.
#[derive(Clone, Debug)]
struct PatternLine<T> {
    pattern: Vec<u8>,
    value: T,
    file: usize,
}

impl<T> PatternLine<T> {
    fn fits(&self, name: &ModuleName) -> bool {
        matches(&self.pattern, name.as_bytes())
    }
}

impl Conf {
    /// Adds the lines of `text`, the content of the file `file`. The caller adds the files in the order in which
    /// libkmod reads them: sorted by file name, including depmod's `modules.softdep`.
    pub fn add(&mut self, file: &str, text: &[u8]) {
        self.files.push(file.to_owned());
        for line in unwrapped(text) {
            self.add_line(&line);
        }
    }

    /// Adds a line. Skips comments, malformed lines and lines with other keywords. The function returns an `Option`
    /// only so that its body can use the operator `?`.
    fn add_line(&mut self, line: &[u8]) -> Option<()> {
        if line.starts_with(b"#") {
            return None;
        }
        let (keyword, rest) = word(line)?;
        let (name, rest) = word(rest)?;
        let pattern = underscores(name)?;
        let file = self.files.len() - 1;
        match keyword {
            b"blacklist" => self.blacklist.push(PatternLine {
                pattern,
                value: (),
                file,
            }),
            b"install" if !rest.is_empty() => self.install.push(PatternLine {
                pattern,
                value: rest.to_vec(),
                file,
            }),
            b"softdep" if !rest.is_empty() => self.softdeps.push(PatternLine {
                pattern,
                value: Softdep::parse(rest),
                file,
            }),
            b"options" if !rest.is_empty() => self.options.push(PatternLine {
                pattern,
                value: rest.to_vec(),
                file,
            }),
            b"remove" if !rest.is_empty() => self.removed.push(pattern),
            b"alias" => self.aliases.push(PatternLine {
                pattern,
                value: underscores(word(rest)?.0)?,
                file,
            }),
            _ => {}
        }
        Some(())
    }

    /// Returns the first file that blacklists a module; `None` if no file does. The argument of a `blacklist` line is a
    /// name, not a pattern.
    pub fn blacklisted_by(&self, name: &ModuleName) -> Option<&str> {
        let mut lines = self.blacklist.iter();
        let line = lines.find(|line| line.pattern == name.as_bytes())?;
        Some(&self.files[line.file])
    }

    /// Returns the command that modprobe runs instead of loading a module, and the file that sets the command; `None`
    /// if no file sets one.
    pub fn install(&self, name: &ModuleName) -> Option<(&[u8], &str)> {
        let line = self.install.iter().find(|line| line.fits(name))?;
        Some((&line.value, &self.files[line.file]))
    }

    /// Returns the soft dependencies of a module; `None` if no line sets them.
    pub fn softdep(&self, name: &ModuleName) -> Option<&Softdep> {
        let line = self.softdeps.iter().find(|line| line.fits(name))?;
        Some(&line.value)
    }

    /// Returns the options of a module: the value and the file of each `options` line. The argument of an `options`
    /// line is a name, not a pattern. Options for an alias of the module are not included.
    pub fn options(&self, name: &ModuleName) -> impl Iterator<Item = (&[u8], &str)> {
        let lines = self.options.iter();
        lines
            .filter(|line| line.pattern == name.as_bytes())
            .map(|line| (line.value.as_slice(), self.files[line.file].as_str()))
    }

    /// Returns the file of the first `alias` line whose pattern matches `asked`, provided that no matching line has the
    /// target `name`. Returns `None` if no line matches, or if a matching line has the target `name`.
    pub fn redirected_by(&self, asked: &[u8], name: &ModuleName) -> Option<&str> {
        let mut lines = self.aliases.iter().filter(|it| matches(&it.pattern, asked));
        let first = lines.clone().next()?;
        let leads_there = lines.any(|line| line.value == name.as_bytes());
        (!leads_there).then_some(&self.files[first.file])
    }

    /// Returns whether `name` matches an `alias` line, or is the argument of an `install` or `remove` line. Such a name
    /// need not be that of a module.
    pub fn knows(&self, name: &ModuleName) -> bool {
        let mut installs = self.install.iter();
        let mut aliases = self.aliases.iter();
        installs.any(|line| line.pattern == name.as_bytes())
            || self.removed.iter().any(|it| it == name.as_bytes())
            || aliases.any(|line| line.fits(name))
    }
}

/// Splits text into lines. A line that ends in a backslash continues on the next line. Any other backslash is dropped,
/// and the byte after it is kept as it is.
fn unwrapped(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let escaped = byte == b'\\';
        let byte = if escaped { bytes.next() } else { Some(byte) };
        match (byte, lines.last_mut()) {
            (Some(b'\n'), _) if !escaped => lines.push(Vec::new()),
            (Some(b'\n') | None, _) | (_, None) => {}
            (Some(byte), Some(line)) => line.push(byte),
        }
    }
    lines
}

/// Returns the first word, and the text after the byte that ends it; `None` if there is no word.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let text = &text[start..];
    let end = text.iter().position(is_space);
    let end = end.unwrap_or(text.len());
    Some((&text[..end], text.get(end + 1..).unwrap_or_default()))
}

/// Replaces `-` by `_` outside of brackets; `None` if a bracket has no counterpart.
fn underscores(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = name.to_vec();
    let mut at = 0;
    while at < plain.len() {
        match plain[at] {
            b'-' => plain[at] = b'_',
            b']' => return None,
            b'[' => at += plain[at..].iter().position(|&byte| byte == b']')?,
            _ => {}
        }
        at += 1;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_line_of_a_name_applies() {
        let mut conf = Conf::default();
        conf.add(
            "a.conf",
            b"install x-y /bin/false\ninstall x_y /bin/true\n# install z /bin/false\n",
        );
        conf.add(
            "b.conf",
            b"install z\ninstall usb* /bin/false\nblacklist q*\nblacklist q-r\n",
        );
        conf.add(
            "c.conf",
            b"\tinstall \\\n z /bin/true\ninstall [bad /bin/false\ninstall b] /bin/false\n",
        );
        let install = |text: &str| conf.install(&name(text));
        assert_eq!(install("x_y"), Some((&b"/bin/false"[..], "a.conf")));
        assert_eq!(install("usb_storage"), Some((&b"/bin/false"[..], "b.conf")));
        assert_eq!(install("z"), Some((&b"/bin/true"[..], "c.conf")));
        for absent in ["bad", "b]", "other"] {
            assert_eq!(install(absent), None, "{absent}");
        }
        assert_eq!(conf.blacklisted_by(&name("q_r")), Some("b.conf"));
        assert_eq!(conf.blacklisted_by(&name("q")), None);
        assert!(conf.knows(&name("z")) && !conf.knows(&name("usb_storage")));
    }

    #[test]
    fn all_options_lines_of_a_name_apply() {
        let mut conf = Conf::default();
        conf.add(
            "a.conf",
            b"options x-y a=1 b\noptions x*  c=1\noptions x_y\n",
        );
        conf.add("b.conf", b"options x_y  d=2\n");
        let options: Vec<_> = conf.options(&name("x_y")).collect();
        assert_eq!(options, [(&b"a=1 b"[..], "a.conf"), (b" d=2", "b.conf")]);
        assert_eq!(conf.options(&name("xz")).count(), 0);
    }

    #[test]
    fn softdeps_and_names() {
        let mut conf = Conf::default();
        conf.add(
            "modules.softdep",
            b"softdep btrfs pre: crypto-crc32c\nsoftdep btrfs post: b\nsoftdep none\n",
        );
        conf.add(
            "x.conf",
            b"alias fs-* off\nalias lonely\nremove r /bin/true\n",
        );
        let softdep = conf.softdep(&name("btrfs")).unwrap();
        assert_eq!(softdep.pre, [name("crypto_crc32c")]);
        assert!(softdep.post.is_empty() && conf.softdep(&name("none")).is_none());
        assert!(conf.knows(&name("fs-erofs")) && conf.knows(&name("r")));
        assert!(!conf.knows(&name("lonely")));
        assert_eq!(
            conf.redirected_by(b"fs_erofs", &name("erofs")),
            Some("x.conf")
        );
        assert_eq!(conf.redirected_by(b"fs_erofs", &name("off")), None);
        assert_eq!(conf.redirected_by(b"erofs", &name("erofs")), None);
    }
}
