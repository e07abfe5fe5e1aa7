// SPDX-License-Identifier: MIT OR Apache-2.0
//! One unit, merged with its drop-ins, and the reasons for which systemd refuses it
//! (`src/core/load-fragment.c`, `service_verify` and similar functions; v257).

use std::collections::HashSet;

use super::command::{SETTINGS, UnitCommand, commands, started_by};
use super::condition::{Condition, Parsed};
use super::context::ServiceContext;
use super::names::{expand, is_unit, stem, type_of};
use super::unit_file::{Assignment, UnitFile, is_true};

/// A kind of reference from one unit to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dependency {
    /// The unit fails if the other one does: `Requires=`, `Requisite=`, `BindsTo=`, a link in `NAME.requires/`.
    Requires,
    /// The unit starts the other one: `Wants=`, `Upholds=`, `OnSuccess=`, `Sockets=`, a socket's `Service=`, a link in
    /// `NAME.wants/` or `NAME.upholds/`.
    Wants,
    /// The unit starts after the other one.
    After,
    /// The unit starts before the other one.
    Before,
    /// A command of the unit starts the other one.
    Starts,
    /// The unit cannot run together with the other one.
    Conflicts,
}

/// The result of loading a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// systemd accepts the unit.
    Loaded,
    /// No file is found for the unit's name, its template or its alias.
    NotFound,
    /// An empty file, a device or a link to `/dev/null` replaces the unit; the path.
    Masked(Vec<u8>),
    /// systemd refuses the unit; the reason.
    Bad(String),
    /// The text of the unit or of a drop-in was not kept, or the units together have too many dependencies.
    Unread,
}

/// A unit, merged from its unit file and its drop-ins.
#[derive(Debug)]
pub struct Unit {
    /// Its name, with aliases resolved.
    pub name: Vec<u8>,
    /// The path of the unit file, without links; of a masked unit, the file that the mask hides. Empty if there is no
    /// such file, or its text was not kept.
    pub path: Vec<u8>,
    /// The result of loading it.
    pub load: Load,
    /// The first line that systemd ignores: the line's file, its number and the reason.
    pub ignored: Option<(Vec<u8>, usize, &'static str)>,
    /// The units to which it refers, each once for each kind of reference.
    pub dependencies: Vec<(Dependency, Vec<u8>)>,
    pub(super) conditions: Vec<Condition>,
    pub(super) asserts: Vec<Condition>,
    /// The commands that systemd runs to start the unit.
    pub commands: Vec<UnitCommand>,
    /// The last file in which an empty `ExecStart=` removed the `ExecStart=` commands before it.
    pub reset: Option<Vec<u8>>,
    pub(super) context: ServiceContext,
    /// Its other names.
    pub(super) aliases: Vec<Vec<u8>>,
    /// Whether `systemctl isolate` accepts it.
    pub(super) allows_isolate: bool,
    /// Whether `systemctl start` refuses it.
    pub(super) refuses_start: bool,
    known: HashSet<(Dependency, Vec<u8>)>,
    default_dependencies: bool,
    is_oneshot: bool,
    has_type: bool,
    is_of_bus: bool,
    has_bus_name: bool,
    restarts: bool,
    remains: bool,
    has_stop: bool,
    has_success_action: bool,
    is_listening: bool,
    /// The value of a socket's `Service=`.
    service: Option<Vec<u8>>,
    has_what: bool,
}

impl Unit {
    pub(super) fn new(name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            path: Vec::new(),
            load: Load::Loaded,
            ignored: None,
            dependencies: Vec::new(),
            conditions: Vec::new(),
            asserts: Vec::new(),
            commands: Vec::new(),
            reset: None,
            context: ServiceContext::default(),
            aliases: Vec::new(),
            allows_isolate: false,
            refuses_start: false,
            known: HashSet::new(),
            default_dependencies: true,
            is_oneshot: false,
            has_type: false,
            is_of_bus: false,
            has_bus_name: false,
            restarts: false,
            remains: false,
            has_stop: false,
            has_success_action: false,
            is_listening: false,
            service: None,
            has_what: false,
        }
    }

    /// Returns whether the unit has a condition or an assertion other than `PathExists=/etc/initrd-release`, which
    /// holds in each initramfs.
    pub fn is_conditional(&self) -> bool {
        let mut all = self.conditions.iter().chain(&self.asserts);
        all.any(|it| !it.text.ends_with("PathExists=/etc/initrd-release"))
    }

    /// Returns whether `name` is the unit's name or one of its aliases.
    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        self.name == name || self.aliases.iter().any(|it| it == name)
    }

    /// Returns whether systemd adds default dependencies to the unit.
    pub(super) fn has_defaults(&self) -> bool {
        self.default_dependencies
    }

    pub(super) fn add(&mut self, kind: Dependency, name: &[u8]) {
        if name != self.name && self.known.insert((kind, name.to_vec())) {
            self.dependencies.push((kind, name.to_vec()));
        }
    }

    /// Merges the settings of the file at `path`: the unit file or a drop-in.
    pub(super) fn apply(&mut self, file: &UnitFile, path: &[u8]) {
        if self.ignored.is_none() {
            self.ignored = file.ignored.map(|(line, why)| (path.to_vec(), line, why));
        }
        for it in &file.assignments {
            match it.section.as_slice() {
                b"Unit" => self.apply_unit(it, path),
                b"Service" if type_of(&self.name) == b".service" => self.apply_service(it, path),
                b"Socket" if type_of(&self.name) == b".socket" => {
                    self.is_listening |= it.key.starts_with(b"Listen") && !it.value.is_empty();
                    if it.key.as_ref() == b"Service" {
                        self.add_all(Dependency::Wants, &it.value);
                        self.service = expand(&it.value, &self.name);
                    }
                }
                b"Mount" => self.has_what |= it.key.as_ref() == b"What" && !it.value.is_empty(),
                _ => {}
            }
        }
    }

    fn apply_unit(&mut self, it: &Assignment, path: &[u8]) {
        let kind = match it.key.as_ref() {
            b"Requires" | b"RequiresOverridable" | b"Requisite" | b"BindsTo" => {
                Dependency::Requires
            }
            b"Wants" | b"Upholds" | b"OnSuccess" => Dependency::Wants,
            b"After" => Dependency::After,
            b"Before" => Dependency::Before,
            b"Conflicts" => Dependency::Conflicts,
            b"DefaultDependencies" => return set(&mut self.default_dependencies, &it.value),
            b"AllowIsolate" => return set(&mut self.allows_isolate, &it.value),
            b"RefuseManualStart" => return set(&mut self.refuses_start, &it.value),
            b"SuccessAction" => {
                self.has_success_action = !it.value.is_empty() && it.value.as_ref() != b"none";
                return;
            }
            key => {
                for (start, conditions) in [
                    (b"Condition".as_slice(), &mut self.conditions),
                    (b"Assert", &mut self.asserts),
                ] {
                    match Condition::parse(key, start, &it.value, &self.name, path) {
                        Some(Parsed::Reset) => conditions.clear(),
                        Some(Parsed::One(condition)) => conditions.push(condition),
                        None => {}
                    }
                }
                return;
            }
        };
        self.add_all(kind, &it.value);
    }

    /// Adds the units that a value names. Invalid names are left out; quotes are a part of a name, and make it invalid
    /// (`config_parse_unit_deps`).
    fn add_all(&mut self, kind: Dependency, names: &[u8]) {
        for word in names
            .split(u8::is_ascii_whitespace)
            .filter(|it| !it.is_empty())
        {
            if let Some(name) = expand(word, &self.name).filter(|name| is_unit(name)) {
                self.add(kind, &name);
            }
        }
    }

    fn apply_service(&mut self, it: &Assignment, path: &[u8]) {
        let key = it.key.as_ref();
        if let Some(key) = SETTINGS.into_iter().find(|known| known.as_bytes() == key) {
            if it.value.is_empty() {
                let before = self.commands.len();
                self.commands.retain(|command| command.key != key);
                if self.commands.len() < before && key == "ExecStart" {
                    self.reset = Some(path.to_vec());
                }
                return;
            }
            match commands(key, &it.value, &self.name, path) {
                Ok(commands) => self.commands.extend(commands),
                Err(why) if self.load == Load::Loaded => self.load = Load::Bad(why),
                Err(_) => {}
            }
            return;
        }
        self.context.apply(key, &it.value, path);
        match key {
            b"Type" => {
                self.has_type = !it.value.is_empty();
                self.is_oneshot = it.value.as_ref() == b"oneshot";
                self.is_of_bus = it.value.as_ref() == b"dbus";
            }
            b"BusName" => self.has_bus_name = !it.value.is_empty(),
            b"Restart" => self.restarts = matches!(it.value.as_ref(), b"always" | b"on-success"),
            b"RemainAfterExit" => set(&mut self.remains, &it.value),
            b"ExecStop" => self.has_stop = !it.value.is_empty(),
            b"Sockets" => {
                self.add_all(Dependency::Wants, &it.value);
                self.add_all(Dependency::After, &it.value);
            }
            _ => {}
        }
    }

    /// Adds the results that depend on all files of the unit: whether systemd refuses the unit, the units that its
    /// commands start, and the dependencies that systemd adds by itself.
    pub(super) fn finish(&mut self) {
        if self.load == Load::Loaded
            && let Some(why) = self.refusal()
        {
            self.load = Load::Bad(why);
        }
        let started: Vec<_> = self.commands.iter().flat_map(started_by).collect();
        for (_, name) in started {
            self.add(Dependency::Starts, &name);
        }
        if self.is_of_bus || (self.has_bus_name && !self.has_type) {
            self.add(Dependency::Requires, b"dbus.socket");
            self.add(Dependency::After, b"dbus.socket");
        }
        // A socket starts before its service (`socket_add_extras`).
        if self.load == Load::Loaded && type_of(&self.name) == b".socket" {
            let own = [stem(&self.name), b".service"].concat();
            let service = self.service.take().unwrap_or(own);
            self.add(Dependency::Before, &service);
        }
        let is_early = !self.default_dependencies || self.load == Load::NotFound;
        let implied: &[(Dependency, &[u8])] = match type_of(&self.name) {
            _ if is_early => &[],
            b".service" => &[
                (Dependency::Requires, b"sysinit.target"),
                (Dependency::After, b"sysinit.target"),
                (Dependency::After, b"basic.target"),
            ],
            b".socket" => &[
                (Dependency::Requires, b"sysinit.target"),
                (Dependency::After, b"sysinit.target"),
                (Dependency::Before, b"sockets.target"),
            ],
            _ => &[],
        };
        for (kind, name) in implied {
            self.add(*kind, name);
        }
        self.known = HashSet::new();
    }

    fn refusal(&self) -> Option<String> {
        let starts = self.commands.iter().filter(|it| it.key == "ExecStart");
        let starts = starts.count();
        let why = match type_of(&self.name) {
            b".service" if starts == 0 && !self.has_stop && !self.has_success_action => {
                "it has no ExecStart="
            }
            // A `Type=` other than oneshot requires ExecStart=. A service with neither `Type=` nor ExecStart= has the
            // type oneshot (`service_add_extras`).
            b".service" if starts == 0 && self.has_type && !self.is_oneshot => {
                "it has no ExecStart=, which only Type=oneshot may leave out"
            }
            b".service" if starts == 0 && !self.remains && !self.has_success_action => {
                "it has no ExecStart= and no RemainAfterExit=yes"
            }
            b".service" if starts > 1 && !self.is_oneshot => {
                "it has more than one ExecStart=, which only Type=oneshot may have"
            }
            b".service" if self.is_oneshot && self.restarts => {
                "it has Restart=always or on-success, which Type=oneshot must not have"
            }
            b".socket" if !self.is_listening => "it has no Listen setting",
            b".mount" if !self.has_what => "it has no What=",
            _ => return None,
        };
        Some(match &self.reset {
            Some(path) if starts == 0 => {
                format!("{why}: {} resets it", String::from_utf8_lossy(path))
            }
            _ => why.to_owned(),
        })
    }
}

/// Sets a boolean; systemd ignores a value that is not a boolean.
fn set(setting: &mut bool, value: &[u8]) {
    *setting = is_true(value).unwrap_or(*setting);
}
