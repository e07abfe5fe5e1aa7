// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exclusions that an image configures for dnf: `exclude=`, version locks, protected packages. A transaction of dnf
//! overrides them, with a warning, since the user chose the packages. rpm-ostree does not read these files.

pub mod moved;

/// A file of the image that excludes packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The file, relative to the root.
    pub file: String,
    /// The file's patterns for packages: names or NEVRAs, which can contain `*`, `?` and `[…]`.
    pub patterns: Vec<String>,
    /// The patterns of `includepkgs`. If there are any, other packages are excluded.
    pub only: Vec<String>,
}

impl Exclusion {
    /// Reads `exclude`, `excludes`, `excludepkgs` and `includepkgs` in all sections of a `dnf.conf`; `None` if they
    /// name no packages.
    pub fn of_conf(file: &str, text: &str) -> Option<Self> {
        const EXCLUDE: [&str; 3] = ["exclude", "excludes", "excludepkgs"];
        let mut found = Self {
            file: file.to_owned(),
            patterns: Vec::new(),
            only: Vec::new(),
        };
        let mut key = "";
        for line in text.lines() {
            let value = match line.split_once('=') {
                // Indented lines continue a value.
                _ if line.starts_with([' ', '\t']) && !key.is_empty() => line,
                Some((name, value)) => {
                    key = name.trim();
                    value
                }
                None => {
                    key = "";
                    continue;
                }
            };
            let words = value.split([' ', '\t', ',']).filter(|it| !it.is_empty());
            let words = words.map(str::to_owned);
            if EXCLUDE.contains(&key) {
                found.patterns.extend(words);
            } else if key == "includepkgs" {
                found.only.extend(words);
            }
        }
        let is_empty = found.patterns.is_empty() && found.only.is_empty();
        (!is_empty).then_some(found)
    }

    /// Reads a list of dnf 4's plugin versionlock or of protected packages: one pattern per line. A `!` at the start of
    /// a pattern, which excludes a version, is removed. `None` if there are no patterns.
    pub fn of_list(file: &str, text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = lines.map(|line| line.trim_start_matches('!').to_owned());
        Self::some(file, patterns.collect())
    }

    /// Reads the names of packages in dnf5's `versionlock.toml`; `None` if it contains no names.
    pub fn of_toml(file: &str, text: &str) -> Option<Self> {
        let name = |line: &str| {
            let (key, value) = line.split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            (key.trim() == "name").then(|| value.to_owned())
        };
        Self::some(file, text.lines().filter_map(name).collect())
    }

    fn some(file: &str, patterns: Vec<String>) -> Option<Self> {
        let file = file.to_owned();
        let only = Vec::new();
        (!patterns.is_empty()).then_some(Self {
            file,
            patterns,
            only,
        })
    }

    /// Returns whether the file excludes a package: a pattern matches its name, or is its name with a version, or none
    /// of `includepkgs` does.
    pub fn concerns(&self, name: &str) -> bool {
        let fits = |pattern: &String| {
            let versioned = pattern.strip_prefix(name);
            matches(pattern.as_bytes(), name.as_bytes())
                || versioned.is_some_and(|rest| rest.starts_with('-') && is_version(&rest[1..]))
        };
        let is_left_out = !self.only.is_empty() && !self.only.iter().any(fits);
        is_left_out || self.patterns.iter().any(fits)
    }
}

/// Returns whether the text can follow `NAME-` in a NEVRA: `0:6.9.4-200.fc40.*`, `6.9*`.
fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '*')
}

/// Returns whether a name matches a pattern with `*` and `?`. A pattern with `[` is not parsed and always matches.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    if pattern.contains(&b'[') {
        return true;
    }
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_kind() {
        let conf = "[main]\ngpgcheck=1\nexclude = kernel*, foo\n  bar-?\nbest=1\n#exclude=no\n";
        let found = Exclusion::of_conf("etc/dnf/dnf.conf", conf).unwrap();
        assert_eq!(found.patterns, ["kernel*", "foo", "bar-?"]);
        assert_eq!(Exclusion::of_conf("f", "[main]\nbest=True\n"), None);
        let only = "[main]\nincludepkgs=bash,kernel*\n";
        let only = Exclusion::of_conf("f", only).unwrap();
        assert!(only.concerns("dracut") && !only.concerns("kernel-core"));
        let list = "# Added\nkernel-core-0:6.1.7-100.fc40.*\n!kernel-modules-0:6.2-1.*\n";
        let found = Exclusion::of_list("f", list).unwrap();
        assert_eq!(found.patterns.len(), 2);
        assert!(found.concerns("kernel-core") && found.concerns("kernel-modules"));
        assert!(!found.concerns("kernel") && !found.concerns("kernel-modules-core"));
        let toml = "version = \"1.0\"\n\n[[packages]]\nname = \"kernel-core\"\n\
                    [[packages.conditions]]\nkey = \"evr\"\n";
        let found = Exclusion::of_toml("f", toml).unwrap();
        assert_eq!(found.patterns, ["kernel-core"]);
        assert_eq!(Exclusion::of_toml("f", "version = \"1.0\"\n"), None);
    }

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("kernel*", "kernel-core", true),
            ("kernel*", "kernel", true),
            ("*core", "kernel-core", true),
            ("k*l-*e", "kernel-core", true),
            ("kernel", "kernel-core", false),
            // The pattern concerns the package `kernel`, since `kernel-*` also matches its NEVRA.
            ("kernel-*", "kernel", true),
            ("kernel-?ore", "kernel-core", true),
            ("kernel-[cd]ore", "kernel-core", true),
            ("kernel-core-6.9*", "kernel-core", true),
            ("kernel-6.9*", "kernel-core", false),
            ("bash*", "kernel-core", false),
            ("*", "kernel", true),
            ("", "kernel", false),
        ] {
            let exclusion = Exclusion {
                file: String::new(),
                patterns: vec![pattern.into()],
                only: vec![],
            };
            assert_eq!(exclusion.concerns(name), expected, "{pattern} {name}");
        }
    }
}
