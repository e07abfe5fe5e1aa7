// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds libraries in an initramfs as glibc's dynamic linker does.
//!
//! The search follows `elf/dl-load.c`, breadth first. A name or soname that is loaded already counts as found. Other
//! names are searched in this order:
//! - if the requiring object has no RUNPATH, the RPATH of this object, of the object that required it, and so on; an
//!   object with a RUNPATH is skipped;
//! - the RUNPATH of the requiring object;
//! - `ld.so.cache`;
//! - the default directories.
//!
//! In each directory, the subdirectories of `glibc-hwcaps` are searched, too.
//!
//! The checks decide the severity of missing libraries.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use super::ld_cache::cache;
use crate::initramfs::{Elf, Facts, Inventory, Machine, Symbols, symbol_hash};

/// Upper bound of the number of objects that a program loads; systemd loads about 30.
const OBJECTS_MAX: usize = 2048;

/// Stands for the number of the dynamic linker until all objects are known.
const LINKER: usize = usize::MAX;

/// The maximum number of defined symbols that one loader reads for comparison, for all programs together. A generic
/// image has about 2 million.
const SYMBOLS_MAX: usize = 64 << 20;

/// A library that is not found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The required name.
    pub library: Vec<u8>,
    /// The path of the requiring object.
    pub asked_by: Vec<u8>,
}

/// A fault of symbols that makes the dynamic linker end a program before it starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unbound {
    /// A library does not define a symbol version that another object requires.
    Version {
        /// The library's path.
        library: Vec<u8>,
        /// The missing version.
        version: Vec<u8>,
    },
    /// No object defines a symbol.
    Symbol {
        /// The path of the object that requires the symbol.
        object: Vec<u8>,
        /// The symbol's name.
        symbol: Vec<u8>,
    },
}

/// The result of loading a program.
#[derive(Debug, Default)]
pub struct Loaded<'a> {
    /// The missing libraries.
    pub missing: Vec<Missing>,
    /// The program and its libraries, each after the object that first requires it, and at the end the dynamic linker.
    pub objects: Vec<Loading<'a>>,
    /// The numbers of the objects, by the names with which they were required and by their sonames.
    names: HashMap<&'a [u8], usize>,
}

/// An object that the dynamic linker maps.
#[derive(Debug, Clone)]
pub struct Loading<'a> {
    /// Its file.
    pub object: Object<'a>,
    /// The path with which the dynamic linker found it. Links can be on it.
    pub spelled: Vec<u8>,
    /// The number of the first object that requires this one; `None` for the program.
    pub parent: Option<usize>,
}

/// A found ELF file.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Its path, without links.
    pub path: &'a [u8],
    /// The number of the archive entry with the file's data.
    pub entry: u64,
    /// The facts in the file's headers and sections.
    pub elf: &'a Elf,
}

/// An object while its libraries are searched.
struct Link<'a> {
    object: Object<'a>,
    /// See [`Loading::spelled`]. Its directory is `$ORIGIN`.
    spelled: Vec<u8>,
    /// See [`Loading::parent`].
    parent: Option<usize>,
}

/// A search for libraries as the dynamic linker of one machine does it.
pub struct Loader<'a> {
    inventory: &'a Inventory,
    facts: &'a Facts,
    machine: Machine,
    cache: Option<HashMap<Vec<u8>, Vec<Vec<u8>>>>,
    default_dirs: Vec<Vec<u8>>,
    known: RefCell<HashMap<Vec<u8>, Option<Object<'a>>>>,
    /// The number of symbols that may still be compared.
    symbols_left: Cell<usize>,
}

/// The directory of libraries and Debian's triplet, by the machine number of ELF (`e_machine`).
const MACHINES: [(u16, &str, &str); 6] = [
    (3, "lib", "i386-linux-gnu"),
    (21, "lib64", "powerpc64le-linux-gnu"),
    (22, "lib64", "s390x-linux-gnu"),
    (62, "lib64", "x86_64-linux-gnu"),
    (183, "lib64", "aarch64-linux-gnu"),
    (243, "lib64/lp64d", "riscv64-linux-gnu"),
];

impl Loaded<'_> {
    fn without_version(&self, object: &Object) -> Option<Unbound> {
        let mut required = object.elf.required.iter().filter(|it| !it.is_weak);
        required.find_map(|required| {
            let by_name = self.names.get(required.library.as_slice());
            let library = self.objects.get(*by_name?)?.object;
            let versions = &library.elf.versions;
            // ld.so only warns about a library without versions.
            let is_missing = !versions.is_empty() && !versions.contains(&required.version);
            is_missing.then(|| Unbound::Version {
                library: library.path.to_vec(),
                version: required.version.clone(),
            })
        })
    }
}

impl<'a> Loader<'a> {
    /// Prepares the search for programs of `machine`, and reads `ld.so.cache`.
    pub fn new(inventory: &'a Inventory, facts: &'a Facts, machine: Machine) -> Self {
        let of_machine = MACHINES.iter().find(|it| it.0 == machine.number);
        let (lib, triplet) = of_machine.map_or(("lib64", "none"), |it| (it.1, it.2));
        let mut default_dirs: Vec<Vec<u8>> = Vec::new();
        let cache = inventory
            .data(b"etc/ld.so.cache")
            .and_then(|bytes| cache(bytes, machine.big));
        for dir in [lib.to_owned(), format!("lib/{triplet}"), "lib".to_owned()] {
            default_dirs.push(dir.clone().into());
            default_dirs.push(format!("usr/{dir}").into());
        }
        Self {
            inventory,
            facts,
            machine,
            cache,
            default_dirs,
            known: RefCell::default(),
            symbols_left: Cell::new(SYMBOLS_MAX),
        }
    }

    /// Finds the objects that the dynamic linker loads for the program or library `elf` at `path`, and the missing
    /// ones. `entry` is the number of the archive entry with the data of `elf`.
    pub fn load(&self, path: &'a [u8], entry: u64, elf: &'a Elf) -> Loaded<'a> {
        let mut missing = Vec::new();
        let mut links = vec![Link {
            object: Object { path, entry, elf },
            spelled: path.to_vec(),
            parent: None,
        }];
        let own = elf.soname.as_deref().map(|name| (name, 0));
        let mut names: HashMap<&[u8], usize> = own.into_iter().collect();
        let linker = elf.interpreter.as_ref().and_then(|path| self.at(path));
        let own = linker.and_then(|linker| linker.elf.soname.as_deref());
        names.extend(own.map(|name| (name, LINKER)));
        let mut at = 0;
        while let Some(link) = links.get(at) {
            let asking = link.object;
            for name in &asking.elf.needed {
                if names.contains_key(name.as_slice()) {
                    continue;
                }
                match self.find(name, at, &links) {
                    Some((object, spelled)) => {
                        let known = links.iter().position(|it| it.object.entry == object.entry);
                        let number = known.unwrap_or(links.len());
                        names.insert(name, number);
                        let soname = object.elf.soname.as_deref();
                        names.entry(soname.unwrap_or(name)).or_insert(number);
                        if known.is_none() && links.len() < OBJECTS_MAX {
                            links.push(Link {
                                object,
                                spelled,
                                parent: Some(at),
                            });
                        }
                    }
                    None => missing.push(Missing {
                        library: name.clone(),
                        asked_by: asking.path.to_vec(),
                    }),
                }
            }
            at += 1;
        }
        let objects = links.into_iter().map(|link| Loading {
            object: link.object,
            spelled: link.spelled,
            parent: link.parent,
        });
        let linker = linker.map(|object| Loading {
            object,
            spelled: object.path.to_vec(),
            parent: Some(0),
        });
        let objects: Vec<_> = objects.chain(linker).collect();
        // The dynamic linker is the last object.
        for number in names.values_mut().filter(|it| **it == LINKER) {
            *number = objects.len() - 1;
        }
        Loaded {
            missing,
            objects,
            names,
        }
    }

    /// Returns the first symbol or symbol version that `ld.so` cannot find before it starts the program, and the path
    /// of the object that requires it. `ld.so` checks versions first (`_dl_check_map_versions`), then the symbols of
    /// objects that are bound at once (`_dl_relocate_object`).
    ///
    /// Returns `None` if all are found, if the symbols cannot be compared, or if a library is missing, which is
    /// reported separately. Without `with_symbols`, only versions are checked.
    pub fn unbound(&self, loaded: &Loaded<'a>, with_symbols: bool) -> Option<(Unbound, &'a [u8])> {
        if !loaded.missing.is_empty() {
            return None;
        }
        let mut objects = loaded.objects.iter().map(|it| it.object);
        let version = objects.find_map(|it| Some((loaded.without_version(&it)?, it.path)));
        match version {
            None if with_symbols => self.undefined(loaded),
            version => version,
        }
    }

    /// Returns the first undefined symbol of the objects with immediate binding. `None` if there is none, if the
    /// symbols of an object are not known, or if the limit of comparisons is exceeded.
    fn undefined(&self, loaded: &Loaded<'a>) -> Option<(Unbound, &'a [u8])> {
        let symbols = loaded
            .objects
            .iter()
            .map(|it| it.object.elf.symbols.as_ref());
        let symbols = symbols.collect::<Option<Vec<&Symbols>>>()?;
        let count = symbols.iter().map(|it| it.defined.len()).sum();
        let left = self.symbols_left.get().checked_sub(count)?;
        self.symbols_left.set(left);
        let defined = symbols.iter().flat_map(|it| it.defined.iter().copied());
        let defined: HashSet<u64> = defined.collect();
        let mut all = loaded.objects.iter().zip(symbols);
        all.find_map(|(it, symbols)| {
            let mut undefined = symbols.undefined().filter(|_| symbols.binds_now);
            let symbol = undefined.find(|name| !defined.contains(&symbol_hash(name)))?;
            let fault = Unbound::Symbol {
                object: it.object.path.to_vec(),
                symbol: symbol.to_vec(),
            };
            Some((fault, it.object.path))
        })
    }

    /// Finds the library `name` that the object number `asking` of `links` requires; `None` if it is missing. Also
    /// returns the path with which it is found.
    fn find(&self, name: &[u8], asking: usize, links: &[Link]) -> Option<(Object<'a>, Vec<u8>)> {
        let link = &links[asking];
        let origin = parent(&link.spelled);
        if name.contains(&b'/') {
            let mut paths = self.expand(name, origin).into_iter();
            return paths.find_map(|path| Some((self.at(&path)?, path)));
        }
        let elf = link.object.elf;
        let mut dirs = Vec::new();
        let mut from = elf.runpath.is_none().then_some(asking);
        while let Some(link) = from.map(|at| &links[at]) {
            let elf = link.object.elf;
            if elf.runpath.is_none() {
                dirs.extend(self.dirs(elf.rpath.as_deref(), parent(&link.spelled)));
            }
            from = link.parent;
        }
        dirs.extend(self.dirs(elf.runpath.as_deref(), origin));
        if let Some(found) = dirs.iter().find_map(|dir| self.within(dir, name)) {
            return Some(found);
        }
        let cached = self.cache.as_ref().and_then(|cache| cache.get(name));
        let mut cached = cached.into_iter().flatten();
        let cached = cached.find_map(|path| Some((self.at(path)?, path.clone())));
        cached.or_else(|| {
            self.default_dirs
                .iter()
                .find_map(|dir| self.within(dir, name))
        })
    }

    /// Searches the directory `dir` for the library `name`, then the subdirectories of `dir/glibc-hwcaps`. `None` if
    /// the library is in none of them.
    fn within(&self, dir: &[u8], name: &[u8]) -> Option<(Object<'a>, Vec<u8>)> {
        let join = |dir: &[u8], name: &[u8]| [dir, b"/", name].concat();
        let path = join(dir, name);
        if let Some(object) = self.at(&path) {
            return Some((object, path));
        }
        let better = join(dir, b"glibc-hwcaps");
        let children = self.inventory.children(&better);
        children.into_iter().find_map(|(child, _)| {
            let path = join(&join(&better, child), name);
            Some((self.at(&path)?, path))
        })
    }

    /// Returns the library that `path` leads to; `None` if there is none, if it is damaged, or if it is for another
    /// machine.
    fn at(&self, path: &[u8]) -> Option<Object<'a>> {
        if let Some(known) = self.known.borrow().get(path) {
            return *known;
        }
        let look = || {
            let (path, node) = self.inventory.resolve(path).ok()?;
            let entry = self.inventory.content(node)?.entry;
            let elf = self.facts.elf(self.inventory, node)?.as_ref().ok()?;
            (elf.machine == self.machine).then_some(Object { path, entry, elf })
        };
        let found = look().filter(|it| it.elf.is_library);
        self.known.borrow_mut().insert(path.to_vec(), found);
        found
    }

    /// Returns the directories of an RPATH or RUNPATH, with expanded tokens (see `expand`). Empty elements are left
    /// out.
    fn dirs(&self, list: Option<&[u8]>, origin: &[u8]) -> Vec<Vec<u8>> {
        let list = list.unwrap_or_default();
        let dirs = list.split(|&byte| byte == b':');
        let dirs = dirs.filter(|dir| !dir.is_empty());
        dirs.flat_map(|dir| self.expand(dir, origin)).collect()
    }

    /// Expands `$ORIGIN`, `$LIB` and `$PLATFORM` in a path. Returns one path for each value that `$LIB` has in a
    /// distribution, or only `path` if it has no `$`.
    fn expand(&self, path: &[u8], origin: &[u8]) -> Vec<Vec<u8>> {
        if !path.contains(&b'$') {
            return vec![path.to_vec()];
        }
        let of_machine = MACHINES.iter().find(|it| it.0 == self.machine.number);
        let (lib, triplet) = of_machine.map_or(("lib64", "none"), |it| (it.1, it.2));
        let libs = [lib.to_owned(), format!("lib/{triplet}"), "lib".to_owned()];
        let platform = triplet.split('-').next().unwrap_or_default();
        let one = |lib: &String| {
            let mut path = path.to_vec();
            for (token, value) in [
                ("ORIGIN", origin),
                ("LIB", lib.as_bytes()),
                ("PLATFORM", platform.as_bytes()),
            ] {
                path = replace(&path, format!("${{{token}}}").as_bytes(), value);
                path = replace(&path, format!("${token}").as_bytes(), value);
            }
            path
        };
        libs.iter().map(one).collect()
    }
}

/// Returns the directory of a path; empty if the path has no slash.
fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    &path[..slash.unwrap_or(0)]
}

fn replace(text: &[u8], token: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(token.len()).position(|it| it == token) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(value);
        rest = &rest[at + token.len()..];
    }
    out.extend_from_slice(rest);
    out
}
