// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of a service that prevent the work of its commands: a user, group, file or directory that does not exist, a
//! lack of privileges, or a sandbox in which the work has no effect (`src/core/exec-invoke.c`,
//! `exec_needs_mount_namespace`, `src/core/namespace.c`, v257).

use super::condition::Conditions;
use super::names::expand;
use super::unit_file::is_true;
use crate::bytes::basename;
use crate::initramfs::{EntryType, Inventory, Node};

/// The kind of work that a service does and that its settings can prevent. Each kind also needs what the kinds before
/// it need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// The work is not known.
    Any,
    /// The work needs the privileges of root.
    Privileged,
    /// The work mounts file systems for all processes.
    Mounts,
}

/// The meaning of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A user's name or number.
    User,
    /// Names or numbers of groups.
    Groups,
    /// A file; a leading `-` makes it optional.
    File,
    /// A directory; a leading `-` makes it optional.
    Directory,
    /// Paths: those with a leading `-` are optional, and the text from a colon on is ignored.
    Paths,
    /// The identifier of a credential, or `ID:PATH`; the path is checked.
    Credential,
    /// The name of a PAM service.
    Pam,
    /// Names of capabilities. With a leading `~`, the service has all capabilities except these.
    Capabilities,
    /// Any other value. Names and paths in it are not checked.
    Other,
}

/// A setting. `is_list` is set if several assignments are collected. `isolates` is set if the setting can put the
/// service into a namespace of its own, in which its mounts have no effect on other processes. It does so with any
/// value except an empty one, a false one and those of [`OFF`].
struct ContextKey {
    name: &'static [u8],
    value: Meaning,
    is_list: bool,
    isolates: bool,
}

const fn key(name: &'static str, value: Meaning, is_list: bool, isolates: bool) -> ContextKey {
    let name = name.as_bytes();
    ContextKey {
        name,
        value,
        is_list,
        isolates,
    }
}

const KEYS: [ContextKey; 42] = [
    key("User", Meaning::User, false, false),
    key("Group", Meaning::Groups, false, false),
    key("SupplementaryGroups", Meaning::Groups, true, false),
    key("DynamicUser", Meaning::Other, false, true),
    key("EnvironmentFile", Meaning::File, true, false),
    key("WorkingDirectory", Meaning::Directory, false, false),
    key("RootDirectory", Meaning::Directory, false, true),
    key("RootImage", Meaning::File, false, true),
    key("NetworkNamespacePath", Meaning::File, false, true),
    key("IPCNamespacePath", Meaning::File, false, true),
    key("LoadCredential", Meaning::Credential, true, false),
    key("LoadCredentialEncrypted", Meaning::Credential, true, false),
    key("SetCredential", Meaning::Other, true, false),
    key("PAMName", Meaning::Pam, false, false),
    key("CapabilityBoundingSet", Meaning::Capabilities, true, false),
    key("BindPaths", Meaning::Paths, true, true),
    key("BindReadOnlyPaths", Meaning::Paths, true, true),
    key("ReadWritePaths", Meaning::Paths, true, true),
    key("ReadOnlyPaths", Meaning::Paths, true, true),
    key("InaccessiblePaths", Meaning::Paths, true, true),
    key("ExecPaths", Meaning::Paths, true, true),
    key("NoExecPaths", Meaning::Paths, true, true),
    key("TemporaryFileSystem", Meaning::Other, true, true),
    key("MountImages", Meaning::Other, true, true),
    key("ExtensionImages", Meaning::Other, true, true),
    key("ExtensionDirectories", Meaning::Other, true, true),
    key("MountFlags", Meaning::Other, false, true),
    key("PrivateDevices", Meaning::Other, false, true),
    key("PrivateIPC", Meaning::Other, false, true),
    key("PrivateMounts", Meaning::Other, false, true),
    key("PrivateNetwork", Meaning::Other, false, true),
    key("PrivatePIDs", Meaning::Other, false, true),
    key("PrivateTmp", Meaning::Other, false, true),
    key("PrivateUsers", Meaning::Other, false, true),
    key("ProcSubset", Meaning::Other, false, true),
    key("ProtectControlGroups", Meaning::Other, false, true),
    key("ProtectHome", Meaning::Other, false, true),
    key("ProtectKernelLogs", Meaning::Other, false, true),
    key("ProtectKernelModules", Meaning::Other, false, true),
    key("ProtectKernelTunables", Meaning::Other, false, true),
    key("ProtectProc", Meaning::Other, false, true),
    key("ProtectSystem", Meaning::Other, false, true),
];

/// Values, besides the false ones, with which a sandbox setting isolates nothing.
const OFF: [&[u8]; 3] = [b"default", b"all", b"shared"];

/// The program that creates users and groups while the initramfs runs.
const SYSUSERS: &[u8] = b"usr/bin/systemd-sysusers";

/// An assignment that is in effect.
#[derive(Debug)]
struct Setting {
    key: &'static ContextKey,
    value: Vec<u8>,
    path: Vec<u8>,
}

impl std::fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.name))
    }
}

/// The assignments in one service that are in effect, for the settings in [`KEYS`].
#[derive(Debug, Default)]
pub(super) struct ServiceContext(Vec<Setting>);

/// A setting that prevents the work: the assignment `KEY=VALUE`, the path of its file, and the reason.
pub(super) type Obstacle = (String, Vec<u8>, String);

impl ServiceContext {
    /// Applies an assignment in the section `[Service]`: a list grows, and any other setting is replaced. An empty
    /// value removes the earlier values of the setting. A setting that is not in [`KEYS`] is ignored.
    pub(super) fn apply(&mut self, key: &[u8], value: &[u8], path: &[u8]) {
        let Some(key) = KEYS.iter().find(|it| it.name == key) else {
            return;
        };
        if !key.is_list || value.is_empty() {
            self.0.retain(|it| it.key.name != key.name);
        }
        if !value.is_empty() {
            self.0.push(Setting {
                key,
                value: value.to_vec(),
                path: path.to_vec(),
            });
        }
    }

    /// Returns the first setting that prevents the work of the unit `name`; `None` if none does.
    pub(super) fn obstacle(
        &self,
        name: &[u8],
        work: Work,
        inventory: &Inventory,
        conditions: &Conditions,
    ) -> Option<Obstacle> {
        let has = |start: &[u8]| self.0.iter().any(|it| it.key.name.starts_with(start));
        let (is_moved, has_fallback) = (has(b"Root"), has(b"SetCredential"));
        // With DynamicUser=, systemd allocates a user and a group that do not exist.
        let mut all = self.0.iter().filter(|it| it.key.name == b"DynamicUser");
        let is_dynamic = all.any(|it| is_true(&it.value) == Some(true));
        let is_allocated = |it: &Setting| is_dynamic && matches!(it.key.name, b"User" | b"Group");
        self.0.iter().find_map(|it| {
            // A value of SetCredential= can replace the missing file of a credential.
            let is_optional = has_fallback && it.key.value == Meaning::Credential;
            let absent = || {
                let absent = it.absent(name, is_moved, inventory, conditions);
                absent.filter(|_| !is_optional && !is_allocated(it))
            };
            let why = absent().or_else(|| it.prevents(work).map(str::to_owned))?;
            let line = [it.key.name, b"=", &it.value].concat();
            let line = String::from_utf8_lossy(&line).into_owned();
            Some((line, it.path.clone(), why))
        })
    }
}

impl Setting {
    /// Returns the reason why systemd cannot apply the setting; `None` if systemd can, or if this is unknown.
    /// `is_moved` is set if the service has a root directory of its own: `WorkingDirectory=` and lists of paths are
    /// then not checked.
    fn absent(
        &self,
        unit: &[u8],
        is_moved: bool,
        inventory: &Inventory,
        conditions: &Conditions,
    ) -> Option<String> {
        let words = || {
            let words = self.value.split(u8::is_ascii_whitespace);
            words.filter(|it| !it.is_empty())
        };
        let is_lost = |path: &[u8], fits: fn(&Node) -> bool| {
            let optional = path.strip_prefix(b"+").unwrap_or(path).starts_with(b"-");
            let path = path.strip_prefix(b"+").unwrap_or(path);
            let path = expand(path, unit).filter(|path| {
                let is_plain = !path.iter().any(|byte| b"*?[\"'\\".contains(byte));
                !optional && path.starts_with(b"/") && is_plain
            })?;
            let found = inventory.resolve(&path).ok();
            let is_there = found.is_some_and(|(_, node)| fits(node));
            (!is_there && !conditions.may_appear(&path))
                .then(|| format!("{}, which does not exist", String::from_utf8_lossy(&path)))
        };
        let is_file: fn(&Node) -> bool = |node| node.kind != EntryType::Directory;
        let is_directory: fn(&Node) -> bool = |node| node.kind == EntryType::Directory;
        match self.key.value {
            Meaning::User => absent_name(&self.value, b"etc/passwd", inventory),
            Meaning::Groups => words().find_map(|it| absent_name(it, b"etc/group", inventory)),
            Meaning::File => is_lost(&self.value, is_file),
            Meaning::Directory if self.key.name.starts_with(b"Root") || !is_moved => {
                is_lost(&self.value, is_directory)
            }
            Meaning::Paths if !is_moved => words().find_map(|word| {
                let path = word.split(|&byte| byte == b':').next()?;
                is_lost(path, |_| true)
            }),
            Meaning::Credential => {
                let at = self.value.iter().position(|&byte| byte == b':')?;
                is_lost(&self.value[at + 1..], |_| true)
            }
            Meaning::Pam => {
                let has = |dir: &[u8], name: &[u8]| {
                    inventory.resolve(&[dir, b"/pam.d/", name].concat()).is_ok()
                };
                let dirs: [&[u8]; 2] = [b"etc", b"usr/lib"];
                let mut all = dirs
                    .iter()
                    .map(|dir| has(dir, &self.value) || has(dir, b"other"));
                (!all.any(|it| it)).then(|| "a PAM service without a file in pam.d".to_owned())
            }
            _ => None,
        }
    }

    /// Returns the reason why the setting makes the work impossible, or without effect outside of the service; `None`
    /// if the setting does neither.
    fn prevents(&self, work: Work) -> Option<&'static str> {
        let value = self.value.as_slice();
        match self.key.value {
            Meaning::User
                if work >= Work::Privileged && ![b"root".as_slice(), b"0"].contains(&value) =>
            {
                Some("which is not root")
            }
            Meaning::Capabilities if work == Work::Mounts => {
                let (denied, names) = match value.strip_prefix(b"~") {
                    Some(names) => (true, names),
                    None => (false, value),
                };
                let mut names = names.split(u8::is_ascii_whitespace);
                let has = names.any(|it| it.eq_ignore_ascii_case(b"cap_sys_admin"));
                (has == denied).then_some("which removes the right to mount")
            }
            _ if work == Work::Mounts && self.key.isolates => {
                let is_off = is_true(value) == Some(false) || OFF.contains(&value);
                (!is_off).then_some("so that its mounts exist only in a namespace of its own")
            }
            _ => None,
        }
    }
}

/// Returns the text of a fault if the user or group `name` is not in `file` (`etc/passwd` or `etc/group`). `None` for
/// numbers, for names with a specifier, and for root and nobody, which systemd does not look up. `None` also if
/// systemd-sysusers can create the name, or if the text of `file` was not kept.
fn absent_name(name: &[u8], file: &[u8], inventory: &Inventory) -> Option<String> {
    const KNOWN: [&[u8]; 3] = [b"root", b"nobody", b"nogroup"];
    let is_number = name.iter().all(u8::is_ascii_digit);
    let is_plain = !name.contains(&b'%');
    if is_number || !is_plain || KNOWN.contains(&name) || inventory.resolve(SYSUSERS).is_ok() {
        return None;
    }
    let node = inventory.resolve(file).ok().map(|(_, node)| node);
    let content = node.and_then(|node| inventory.content(node));
    let text = match content {
        Some(content) if content.size > 0 => content.data.as_deref()?,
        _ => b"",
    };
    let mut lines = text.split(|&byte| byte == b'\n');
    let is_known = lines.any(|line| line.split(|&byte| byte == b':').next() == Some(name));
    let file = String::from_utf8_lossy(basename(file)).into_owned();
    (!is_known).then(|| format!("which etc/{file} does not have"))
}

#[cfg(test)]
mod tests;
