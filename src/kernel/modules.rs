// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the files that depmod and the kernel's build put next to the modules (`modules.dep`, `modules.builtin`,
//! `modules.order`, `modules.softdep`, `modules.alias`), the configuration of modprobe, and the modinfo of a module.
//! Also compresses and decompresses modules, and splits off their signatures.
//!
//! Names and paths are bytes. Nothing here opens a file. Hostile input causes no panic, and the time and memory for
//! parsing it are proportional to its length.

mod alias;
mod conf;
mod index;
mod modinfo;
mod packed;
mod parameter;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes::basename;

pub use alias::Aliases;
pub use conf::Conf;
pub use index::{IndexError, aliased};
pub use modinfo::{Modinfo, ModinfoError};
pub use packed::{
    MAX_UNPACKED, pack, signed_parts, signer, unpack, with_signature, without_signature,
};
pub use parameter::{Parameter, may_be_refused, refused};
pub use versions::{Crcs, Export, exported, imported};

/// Upper bound of the length of a line (bytes); a longer line is an error. The longest lines that depmod writes have a
/// few thousand bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// The suffixes of a module's file, with and without compression.
const SUFFIXES: [&[u8]; 4] = [b".ko", b".ko.xz", b".ko.zst", b".ko.gz"];

/// A module's name in the kernel's form: `_` instead of `-`, without directory and suffix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct ModuleName(Vec<u8>);

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> Self {
        Self::from_utf8_lossy(&name.0).into_owned()
    }
}

impl From<String> for ModuleName {
    fn from(name: String) -> Self {
        Self(name.into_bytes())
    }
}

/// The error that a line is malformed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}, line {line}: found \"{}\", expected {expected}", .found.escape_ascii())]
pub struct ParseError {
    /// The name of the file, such as `modules.dep`.
    pub file: &'static str,
    /// The number of the line, from 1.
    pub line: usize,
    /// The expected form of the line.
    pub expected: &'static str,
    /// The line, truncated to 80 bytes.
    pub found: Vec<u8>,
}

/// `modules.dep`: the dependencies of each module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModulesDep {
    needs: HashMap<Vec<u8>, Needs>,
    paths: HashMap<ModuleName, Vec<u8>>,
}

/// The paths of a module's direct and indirect dependencies, as in `modules.dep`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs(Vec<u8>);

impl Needs {
    /// Returns the paths, in the order of the line in `modules.dep`.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        words(&self.0)
    }
}

/// `modules.builtin` or `modules.order`: paths of modules in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleList {
    paths: Vec<Vec<u8>>,
    names: HashSet<ModuleName>,
}

/// The soft dependencies of a module. A soft dependency can be an alias instead of a module's name, and need not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Softdep {
    /// The modules to load before the module.
    pub pre: Vec<ModuleName>,
    /// The modules to load after the module.
    pub post: Vec<ModuleName>,
}

/// `modules.softdep`: the soft dependencies of each module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Softdeps(BTreeMap<ModuleName, Softdep>);

/// Replaces `-` by `_`, as the kernel does in the names of modules and parameters.
fn underscores(name: &[u8]) -> Vec<u8> {
    let plain = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
    name.iter().map(plain).collect()
}

impl ModuleName {
    /// Returns the name in the kernel's form; `None` if `name` is empty.
    pub fn new(name: &[u8]) -> Option<Self> {
        (!name.is_empty()).then(|| Self(underscores(name)))
    }

    /// Returns the name of the module in the file `path`; `None` if the file name is not that of a module.
    pub fn of_path(path: &[u8]) -> Option<Self> {
        let file = basename(path);
        SUFFIXES
            .iter()
            .find_map(|suffix| file.strip_suffix(*suffix))
            .and_then(Self::new)
    }

    /// Returns whether `path` is a module's path, by its file name. Gives the same result as `of_path(path).is_some()`,
    /// but allocates nothing.
    pub fn is_of_path(path: &[u8]) -> bool {
        SUFFIXES.iter().any(|suffix| {
            let stem = path.strip_suffix(*suffix);
            stem.is_some_and(|stem| !stem.is_empty() && !stem.ends_with(b"/"))
        })
    }

    /// Returns the bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl ModulesDep {
    /// Parses `PATH: PATH…` lines. Paths are relative to the directory of the file.
    ///
    /// Empty lines and comments are skipped. Fails on a line without a colon, on a path that is not a module's, on two
    /// lines for the same path, and on a line longer than [`MAX_LINE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut dep = Self::default();
        for line in lines("modules.dep", bytes) {
            let line = line?;
            dep.add(line.text)
                .map_err(|expected| line.error(expected))?;
        }
        Ok(dep)
    }

    /// Adds one line and returns the name of its module, or the expected form if the line is malformed.
    fn add(&mut self, line: &[u8]) -> Result<ModuleName, &'static str> {
        let (path, rest) = line
            .iter()
            .position(|&byte| byte == b':')
            .map(|colon| (&line[..colon], &line[colon + 1..]))
            .ok_or("MODULE: MODULE...")?;
        let name = ModuleName::of_path(path).ok_or("a module's path")?;
        let needs = Needs(rest.trim_ascii().to_vec());
        if !needs.iter().all(ModuleName::is_of_path) {
            return Err("modules' paths after the colon");
        }
        if self.needs.insert(path.to_vec(), needs).is_some() {
            return Err("one line for each module");
        }
        let place = self.paths.entry(name.clone());
        place.or_insert_with(|| path.to_vec());
        Ok(name)
    }

    /// Returns the dependencies of the module at `path`; `None` if `modules.dep` has no line for the module.
    pub fn needs(&self, path: &[u8]) -> Option<&Needs> {
        self.needs.get(path)
    }

    /// Returns the path of the module with this name, from the first line for such a module; `None` if there is none.
    pub fn path_of(&self, name: &ModuleName) -> Option<&[u8]> {
        self.paths.get(name).map(Vec::as_slice)
    }

    /// Returns every path with its dependencies, unordered.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Needs)> {
        self.needs
            .iter()
            .map(|(path, needs)| (path.as_slice(), needs))
    }

    /// Returns the number of lines, one for each module.
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Returns whether there are no modules.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }
}

impl ModuleList {
    /// Parses `modules.builtin`, one path per line. Fails on a path that is not a module's, and on a line longer than
    /// [`MAX_LINE`].
    pub fn parse_builtin(bytes: &[u8]) -> Result<Self, ParseError> {
        Self::parse("modules.builtin", bytes)
    }

    /// Parses `modules.order`. Fails as [`parse_builtin`](Self::parse_builtin) does.
    pub fn parse_order(bytes: &[u8]) -> Result<Self, ParseError> {
        Self::parse("modules.order", bytes)
    }

    fn parse(file: &'static str, bytes: &[u8]) -> Result<Self, ParseError> {
        let mut list = Self::default();
        for line in lines(file, bytes) {
            let line = line?;
            let name =
                ModuleName::of_path(line.text).ok_or_else(|| line.error("a module's path"))?;
            list.paths.push(line.text.to_vec());
            list.names.insert(name);
        }
        Ok(list)
    }

    /// Returns whether the list contains a module with this name.
    pub fn contains(&self, name: &ModuleName) -> bool {
        self.names.contains(name)
    }

    /// Returns the paths in the order of the file.
    pub fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }
}

impl Softdep {
    /// Parses `pre: NAME… post: NAME…`, the end of a line in `modules.softdep`, or the value of a modinfo field
    /// `softdep`. Ignores words before the first keyword, as kmod does.
    pub fn parse(value: &[u8]) -> Self {
        let mut softdep = Self::default();
        let mut into = None;
        for word in words(value) {
            match word {
                b"pre:" => into = Some(false),
                b"post:" => into = Some(true),
                name => match into {
                    Some(false) => softdep.pre.extend(ModuleName::new(name)),
                    Some(true) => softdep.post.extend(ModuleName::new(name)),
                    None => {}
                },
            }
        }
        softdep
    }

    fn append(&mut self, other: Self) {
        self.pre.extend(other.pre);
        self.post.extend(other.post);
    }
}

impl Softdeps {
    /// Parses `softdep NAME pre: NAME… post: NAME…` lines. Several lines of a module are combined. Comments and empty
    /// lines are skipped. Fails on any other line, and on a line longer than [`MAX_LINE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut all = BTreeMap::<_, Softdep>::new();
        for line in lines("modules.softdep", bytes) {
            let line = line?;
            let wrong = || line.error("softdep MODULE pre: MODULE... post: MODULE...");
            let rest = keyword(b"softdep", line.text).ok_or_else(wrong)?;
            let name = words(rest).next().ok_or_else(wrong)?;
            let softdep = Softdep::parse(&rest[name.len()..]);
            let name = ModuleName::new(name).ok_or_else(wrong)?;
            all.entry(name).or_default().append(softdep);
        }
        Ok(Self(all))
    }

    /// Returns the soft dependencies of the module `name`; `None` if it has no line.
    pub fn get(&self, name: &ModuleName) -> Option<&Softdep> {
        self.0.get(name)
    }

    /// Returns every module that has a line, with its soft dependencies, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ModuleName, &Softdep)> {
        self.0.iter()
    }
}

/// A line that is neither empty nor a comment.
struct Line<'a> {
    file: &'static str,
    number: usize,
    text: &'a [u8],
}

impl Line<'_> {
    fn error(&self, expected: &'static str) -> ParseError {
        ParseError {
            file: self.file,
            line: self.number,
            expected,
            found: self.text[..self.text.len().min(80)].to_vec(),
        }
    }
}

fn lines<'a>(
    file: &'static str,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<Line<'a>, ParseError>> {
    bytes
        .split(|&byte| byte == b'\n')
        .zip(1..)
        .map(move |(text, number)| Line {
            file,
            number,
            text: text.trim_ascii(),
        })
        .filter(|line| !line.text.is_empty() && !line.text.starts_with(b"#"))
        .map(|line| match line.text.len() {
            0..=MAX_LINE => Ok(line),
            _ => Err(line.error("a line of at most 65536 bytes")),
        })
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// Returns the text after the keyword and whitespace; `None` if `text` does not begin with the keyword and whitespace.
fn keyword<'a>(keyword: &[u8], text: &'a [u8]) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(keyword)?;
    rest.first()?
        .is_ascii_whitespace()
        .then(|| rest.trim_ascii_start())
}
