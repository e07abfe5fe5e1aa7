// SPDX-License-Identifier: MIT OR Apache-2.0
//! The units that systemd finds (`src/basic/unit-file.c`, v257): the search path, masks, aliases, templates,
//! and the directories of drop-ins and dependencies.
//!
//! `run/` is not searched: systemd mounts a tmpfs there before it loads units. Of the units that generators write, only
//! the mount of the root and the check of its file system are known.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use super::binfmt::program;
use super::names::{UNIT_DIRS, is_unit, of_drop_ins, template, type_of};
use super::unit::{Dependency, Load, Unit};
use super::unit_file;
use crate::bytes::basename;
use crate::initramfs::{EntryType, Inventory, Node, ResolveError};

/// The generator of the units for the root.
const GENERATOR: &[u8] = b"/usr/lib/systemd/system-generators/systemd-fstab-generator";

/// The units that the generator writes: the mount of the root, the mount with a check of the file system, and this
/// check. `/dev/root` stands for the device, which is not known. The generator writes only the first command of the
/// check. It runs the second one: its death by a signal, or exit status 127, is a failure, but not that it cannot be
/// executed (`systemd-fsck` of v257).
const MOUNT: &[u8] =
    b"[Unit]\nBefore=initrd-root-fs.target\n[Mount]\nWhat=/dev/root\nWhere=/sysroot\n";
const CHECKED_MOUNT: &[u8] = b"[Unit]\nBefore=initrd-root-fs.target\nRequires=systemd-fsck-root.service\nAfter=systemd-fsck-root.service\n[Mount]\nWhat=/dev/root\nWhere=/sysroot\n";
const FSCK: &[u8] = b"[Unit]\nDefaultDependencies=no\nConflicts=shutdown.target\nAfter=initrd-root-device.target local-fs-pre.target\nBefore=shutdown.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/lib/systemd/systemd-fsck /dev/root\nExecStart=-fsck -a /dev/root\n";

/// The maximum number of dependencies of all units. Real images have about 1,000.
const EDGES_MAX: usize = 1 << 16;

/// The maximum length of a chain of aliases.
const ALIASES_MAX: usize = 16;

/// The location of a unit.
#[derive(Debug, Clone)]
enum Location {
    /// A file; its path without links.
    File(Vec<u8>),
    /// A link to a unit with another name; this name.
    Alias(Vec<u8>),
    /// An empty file, a device, or a link to one or to `/dev/null`; the path of the mask.
    Mask(Vec<u8>),
    /// The text of a unit that a generator writes.
    Generated(&'static [u8]),
}

/// The units of an initramfs.
pub struct Units<'a> {
    inventory: &'a Inventory,
    /// The location with the highest precedence, by name.
    places: HashMap<Vec<u8>, Location>,
    /// For a name with several locations, the path of the first file after the location in `places`.
    hidden: HashMap<Vec<u8>, Vec<u8>>,
    /// The names of links, by the name of the unit that they lead to.
    aliases: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Directories that belong to a unit, by their names: `x.service.d`, `x.target.wants`.
    beside: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    edges_left: Cell<usize>,
}

impl<'a> Units<'a> {
    /// Lists the units of an initramfs.
    pub fn new(inventory: &'a Inventory) -> Self {
        let mut units = Self {
            inventory,
            places: HashMap::new(),
            hidden: HashMap::new(),
            aliases: HashMap::new(),
            beside: HashMap::new(),
            edges_left: Cell::new(EDGES_MAX),
        };
        let mut dirs = Vec::new();
        for dir in UNIT_DIRS {
            if let Ok((real, _)) = inventory.resolve(dir.as_bytes())
                && !dirs.contains(&real)
            {
                dirs.push(real);
            }
        }
        for dir in &dirs {
            for (name, node) in inventory.children(dir) {
                let path = [dir, b"/".as_slice(), name].concat();
                if is_unit(name) {
                    units.add(name, &path, node, &dirs);
                } else if is_beside(name) {
                    units.beside.entry(name.to_vec()).or_default().push(path);
                }
            }
        }
        units.generate();
        units
    }

    /// Adds the units that systemd-fstab-generator writes for a root on a disk (`fstab-generator.c`, `generator.c`,
    /// v257), if the initramfs has this generator. The file system is checked if there is a program `fsck`. Units in
    /// `etc/` and aliases take precedence over the added units.
    fn generate(&mut self) {
        let is_there = |name: &[u8]| {
            let found = program(self.inventory, name);
            found.is_some_and(|(_, node)| node.mode & 0o111 != 0)
        };
        if !is_there(GENERATOR) {
            return;
        }
        let (has_fsck, mount) = if is_there(b"fsck") {
            (true, CHECKED_MOUNT)
        } else {
            (false, MOUNT)
        };
        let mut units = vec![(b"sysroot.mount".as_slice(), mount)];
        units.extend(has_fsck.then_some((b"systemd-fsck-root.service".as_slice(), FSCK)));
        for (name, text) in units {
            let place = self.places.get(name);
            let is_of_etc = match place {
                Some(Location::File(path) | Location::Mask(path)) => path.starts_with(b"etc/"),
                Some(Location::Alias(_)) => true,
                Some(Location::Generated(_)) | None => false,
            };
            if !is_of_etc {
                self.places.insert(name.to_vec(), Location::Generated(text));
            }
        }
    }

    fn add(&mut self, name: &[u8], path: &[u8], node: &Node, dirs: &[&[u8]]) {
        let Some(place) = self.place(name, path, node, dirs) else {
            return;
        };
        if self.places.contains_key(name) {
            if let Location::File(path) = place {
                self.hidden.entry(name.to_vec()).or_insert(path);
            }
            return;
        }
        if let Location::Alias(other) = &place {
            let aliases = self.aliases.entry(other.clone()).or_default();
            aliases.push(name.to_vec());
        }
        self.places.insert(name.to_vec(), place);
    }

    fn place(&self, name: &[u8], path: &[u8], node: &Node, dirs: &[&[u8]]) -> Option<Location> {
        let (real, target) = match self.inventory.resolve(path) {
            Ok(leads) => leads,
            Err(ResolveError::NotFound { missing, .. }) if missing == b"dev/null" => {
                return Some(Location::Mask(path.to_vec()));
            }
            // systemd treats a dangling link as an alias of the unit that the link names.
            Err(_) => {
                let other = basename(&node.target);
                let is_alias = is_unit(other) && other != name && type_of(other) == type_of(name);
                return is_alias.then(|| Location::Alias(other.to_vec()));
            }
        };
        if self.is_null(target) {
            return Some(Location::Mask(path.to_vec()));
        }
        if target.kind != EntryType::File {
            return None;
        }
        let other = basename(real);
        let is_listed = real != other && dirs.contains(&&real[..real.len() - other.len() - 1]);
        Some(if is_listed && other != name && is_unit(other) {
            Location::Alias(other.to_vec())
        } else {
            Location::File(real.to_vec())
        })
    }

    /// Returns whether systemd treats a file as a mask: an empty file or a device.
    fn is_null(&self, node: &Node) -> bool {
        match node.kind {
            EntryType::CharDevice | EntryType::BlockDevice => true,
            EntryType::File => self.inventory.content(node).is_none_or(|it| it.size == 0),
            _ => false,
        }
    }

    /// Returns the name of the unit after its aliases are resolved, and its location; `None` if there is none, or more
    /// than [`ALIASES_MAX`] aliases lead to each other.
    fn id(&self, name: &[u8]) -> (Vec<u8>, Option<&Location>) {
        let mut id = name.to_vec();
        for _ in 0..ALIASES_MAX {
            let template = template(&id);
            let place = self.places.get(&id);
            let place = place.or_else(|| self.places.get(template.as_ref()?));
            match place {
                Some(Location::Alias(other)) => {
                    let instance = super::names::instance(&id);
                    let open = !instance.is_empty() && super::names::stem(other).ends_with(b"@");
                    id = if open {
                        let stem = super::names::stem(other);
                        [stem, instance, type_of(other)].concat()
                    } else {
                        other.clone()
                    };
                }
                place => return (id, place),
            }
        }
        (id, None)
    }

    /// Loads the unit `name` with its drop-ins and directories of dependencies.
    pub(super) fn load(&self, name: &[u8]) -> Unit {
        let (id, place) = self.id(name);
        let mut unit = Unit::new(&id);
        match place {
            Some(Location::File(path)) => self.read(&mut unit, path, true),
            Some(Location::Mask(path)) => {
                unit.load = Load::Masked(path.clone());
                // The settings come from the file that the mask hides, so that the units that the mask prevents are
                // known.
                if let Some(hidden) = self.hidden.get(&id) {
                    self.read(&mut unit, hidden, true);
                }
            }
            Some(Location::Generated(text)) => {
                if let Ok(file) = unit_file::parse(text) {
                    unit.apply(&file, b"");
                }
            }
            Some(Location::Alias(_)) | None => unit.load = Load::NotFound,
        }
        let names = self.names(&id);
        unit.aliases = names.iter().skip(1).cloned().collect();
        for (_, path) in self.beside(&names, b".d") {
            if path.ends_with(b".conf") {
                self.read(&mut unit, &path, false);
            }
        }
        for (end, kind) in [
            (b".wants".as_slice(), Dependency::Wants),
            (b".requires", Dependency::Requires),
            (b".upholds", Dependency::Wants),
        ] {
            for (entry, path) in self.beside(&names, end) {
                let is_link = self.inventory.resolve_link(&path);
                let is_link = is_link.is_ok_and(|(_, node)| node.kind == EntryType::Symlink);
                if is_link && is_unit(&entry) && !self.is_mask(&path) {
                    unit.add(kind, &entry);
                }
            }
        }
        unit.finish();
        let edges = unit.dependencies.len();
        match self.edges_left.get().checked_sub(edges) {
            Some(left) => self.edges_left.set(left),
            None => {
                unit.dependencies.clear();
                unit.load = Load::Unread;
            }
        }
        unit
    }

    /// Returns the unit's name and its aliases.
    fn names(&self, id: &[u8]) -> Vec<Vec<u8>> {
        let mut names = vec![id.to_vec()];
        names.extend(self.aliases.get(id).into_iter().flatten().cloned());
        names
    }

    /// Returns the files in the directories `NAME` + `end`, by file name. `NAME` is each name that [`of_drop_ins`]
    /// returns for `names`. If several files have the same name, the first one is used.
    fn beside(&self, names: &[Vec<u8>], end: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut found = BTreeMap::new();
        for name in names.iter().flat_map(|name| of_drop_ins(name)) {
            let dirs = self.beside.get(&[&name, end].concat());
            for dir in dirs.into_iter().flatten() {
                for (child, _) in self.inventory.children(dir) {
                    let path = [dir, b"/".as_slice(), child].concat();
                    found.entry(child.to_vec()).or_insert(path);
                }
            }
        }
        found
    }

    /// Returns whether the file at `path` is a mask: an empty file, a device, or a link to one or to `/dev/null`.
    /// systemd then ignores files with the same name in later directories.
    fn is_mask(&self, path: &[u8]) -> bool {
        match self.inventory.resolve(path) {
            Ok((_, node)) => self.is_null(node),
            Err(ResolveError::NotFound { missing, .. }) => missing == b"dev/null",
            Err(_) => false,
        }
    }

    /// Adds the settings of a file to the unit. systemd refuses a unit whose unit file (`is_fragment`) is invalid, and
    /// ignores an invalid drop-in. If the text was not kept, [`Load::Loaded`] becomes [`Load::Unread`].
    fn read(&self, unit: &mut Unit, path: &[u8], is_fragment: bool) {
        let node = self.inventory.resolve(path).ok();
        let content = node.and_then(|(_, node)| self.inventory.content(node));
        let Some(content) = content else {
            return;
        };
        let Some(data) = content.data.as_deref() else {
            if content.size > 0 && unit.load == Load::Loaded {
                unit.load = Load::Unread;
            }
            return;
        };
        if is_fragment {
            unit.path = path.to_vec();
        }
        match unit_file::parse(data) {
            Ok(file) => unit.apply(&file, path),
            Err(bad) if is_fragment && unit.load == Load::Loaded => {
                unit.load = Load::Bad(bad.to_string());
            }
            Err(_) => {}
        }
    }
}

/// Returns whether a directory has the suffix of a unit's drop-ins or dependencies.
fn is_beside(name: &[u8]) -> bool {
    let mut ends = [b".d".as_slice(), b".wants", b".requires", b".upholds"].into_iter();
    ends.any(|end| name.ends_with(end))
}
