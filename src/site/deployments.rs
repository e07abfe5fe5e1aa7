// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the deployments of a system, as `ostree admin status` lists them: from the boot loader's entries and from
//! ostree's state in `/run`. Starts no program.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::node::deployment::{self, Deployment, Name, Place, Which};
use crate::node::entry::{self, Entry, Link};
use crate::node::staged::{self, Staged};
use crate::node::variant::{self, Dict};
use crate::plan::Refusal;
use crate::sys::root::Root;

/// The directory of boot loader entries, relative to the root.
const ENTRIES: &str = "boot/loader/entries";

/// Upper bound of the files in [`ENTRIES`] that are read; further ones are ignored.
const ENTRIES_MAX: usize = 256;

/// The file that exists on a system that runs from a deployment, relative to the root.
pub const BOOTED: &str = "run/ostree-booted";

/// The directory of the deployments of bootc's composefs backend, relative to the root.
const COMPOSEFS_STATE: &str = "sysroot/state/deploy";

/// Upper bound of the kernel's command line (bytes).
const CMDLINE_MAX: u64 = 64 << 10;

/// A system and its deployments.
pub struct System {
    /// The root of the system.
    pub root: Root,
    /// The deployments, in the order of `ostree admin status`.
    pub deployments: Vec<Deployment>,
    /// The merge deployment of the staged deployment: its `/etc` and kernel arguments are taken over.
    pub merge: Option<Name>,
}

impl System {
    /// Returns the running deployment.
    pub fn booted(&self) -> Option<&Deployment> {
        self.at(Place::Booted)
    }

    /// Returns the staged deployment.
    pub fn staged(&self) -> Option<&Deployment> {
        self.at(Place::Staged)
    }

    fn at(&self, place: Place) -> Option<&Deployment> {
        self.deployments.iter().find(|it| it.place == place)
    }

    /// Opens the directory of a deployment as a root.
    ///
    /// # Errors
    /// When the directory does not exist, or when a link leads out of the system's root.
    pub fn open(&self, name: &Name) -> Result<Root> {
        open(&self.root, &name.dir())
    }

    /// Returns the deployment that `which` selects.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, which: &Which) -> Result<&Deployment> {
        deployment::find(&self.deployments, which).map_err(|why| {
            let root = self.root.path().display();
            anyhow::anyhow!("looking for the deployment in {root}: {why}")
        })
    }

    /// Returns the kernel arguments of a deployment; `None` if they are not known. A staged deployment without
    /// arguments of its own inherits those of its merge deployment or, without a merge deployment, those of the booted
    /// deployment.
    pub fn kargs(&self, deployment: &Deployment) -> Option<Vec<String>> {
        let merge = self.merge.as_ref();
        let merge = merge.and_then(|name| self.deployments.iter().find(|it| it.name == *name));
        let inherited = merge.or(self.booted()).and_then(|it| it.kargs.clone());
        deployment.kargs.clone().or(inherited)
    }
}

/// Opens a directory of `root` as a root.
fn open(root: &Root, dir: &str) -> Result<Root> {
    let purpose = || format!("opening the deployment /{dir}");
    let inside = root.stat(dir)?.context("no such directory");
    let inside = inside.with_context(purpose)?;
    let opened = Root::open(&root.host_path(dir))?;
    let there = opened.stat("/")?.context("no such directory")?;
    if (inside.dev, inside.ino) != (there.dev, there.ino) {
        bail!(
            "opening the deployment /{dir}: a symbolic link in its path leads out of {}",
            root.path().display()
        );
    }
    Ok(opened)
}

/// Reads the deployments of the system in `root`.
///
/// # Errors
/// A [`Refusal`] when the system has no deployments or uses bootc's composefs backend. Another error when a file of its
/// state cannot be read, or when a deployment is staged and the running one is not found.
pub fn read(root: &Root) -> Result<System> {
    let path = || root.path().display().to_string();
    if let Some(bytes) = root.read(staged::COMPOSEFS, variant::SIZE_MAX)? {
        let staged = staged::describe_composefs(&bytes);
        let evidence = format!("/{}: {staged}", staged::COMPOSEFS);
        return Err(Refusal::ComposefsBackend(path(), evidence).into());
    }
    if !root.is_dir("ostree/deploy")? {
        if root.is_dir(COMPOSEFS_STATE)? {
            return Err(Refusal::ComposefsBackend(path(), format!("/{COMPOSEFS_STATE}")).into());
        }
        return Err(Refusal::NoDeployments(path()).into());
    }
    let mut found = Vec::new();
    for (name, _) in root.list(ENTRIES)?.into_iter().take(ENTRIES_MAX) {
        let name = name.to_string_lossy();
        if !name.starts_with("ostree-") || !name.ends_with(".conf") {
            continue;
        }
        if let Some(entry) = read_entry(root, &format!("{ENTRIES}/{name}"))? {
            found.push(entry);
        }
    }
    // The entry with the highest version is the first in the boot loader's menu.
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut deployments: Vec<_> = found.into_iter().map(|(_, it)| it).collect();
    let booted = booted(root, &deployments)?;
    deployment::set_places(&mut deployments, booted);
    let mut merge = None;
    let runs = root.stat(BOOTED)?.is_some();
    if runs && let Some(staged) = read_staged(root)? {
        if booted.is_none() {
            bail!(
                "looking for the running deployment: /{BOOTED} exists, but no entry in /{ENTRIES} leads to the root directory. ostree finalises nothing in this state; `ostree admin status` shows its error"
            );
        }
        merge = staged.merge;
        deployments.insert(0, staged.target);
    }
    Ok(System {
        root: root.clone(),
        deployments,
        merge,
    })
}

/// Reads an entry: its version, and the deployment that it leads to. `None` if ostree did not write the entry. Fails if
/// it leads to no deployment.
fn read_entry(root: &Root, path: &str) -> Result<Option<(u32, Deployment)>> {
    let bytes = root.read(path, entry::SIZE_MAX)?.unwrap_or_default();
    let Some(entry) = Entry::parse(&String::from_utf8_lossy(&bytes)) else {
        return Ok(None);
    };
    let purpose = || format!("reading the boot loader's entry /{path}");
    let name = follow(root, &entry.link)?.with_context(purpose)?;
    let deployment = Deployment {
        name,
        bootcsum: entry.link.bootcsum,
        place: Place::Other,
        kargs: Some(entry.kargs),
        overlays: entry.overlays,
        is_locked: false,
    };
    Ok(Some((entry.version, deployment)))
}

/// Returns the name of the deployment that a link leads to; `None` if it leads to no deployment.
fn follow(root: &Root, link: &Link) -> Result<Option<Name>> {
    let target = root.read_link(&link.path)?;
    let name = target.as_deref().and_then(Path::file_name);
    let name = name.and_then(|it| it.to_str());
    Ok(name.and_then(|name| Name::parse(&link.osname, name)))
}

/// Returns the index of the running deployment; `None` if none of `deployments` is running.
fn booted(root: &Root, deployments: &[Deployment]) -> Result<Option<usize>> {
    let Some(bytes) = root.read(BOOTED, variant::SIZE_MAX)? else {
        return Ok(None);
    };
    // With composefs, ostree-prepare-root records the device and the inode of the deployment's directory in
    // `/run/ostree-booted`. Without composefs, the root is that directory.
    let noted = Dict::parse(&bytes).and_then(|it| it.pair("backing-root-device-inode"));
    let expected = match noted {
        Some(noted) => Some(noted),
        None => root.stat("/")?.map(|meta| (meta.dev, meta.ino)),
    };
    for (index, deployment) in deployments.iter().enumerate() {
        let found = root.stat(deployment.name.dir())?;
        let found = found.map(|meta| (meta.dev, meta.ino));
        if found.is_some() && found == expected {
            return Ok(Some(index));
        }
    }
    let cmdline = root.read("proc/cmdline", CMDLINE_MAX)?.unwrap_or_default();
    let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
    let kargs: Vec<_> = cmdline.split_whitespace().collect();
    let Some(link) = Link::of(&kargs) else {
        return Ok(None);
    };
    let name = follow(root, &link)?;
    Ok(deployments
        .iter()
        .position(|it| Some(&it.name) == name.as_ref()))
}

/// Reads ostree's file about the staged deployment; `None` if there is no file, or if it names no deployment.
///
/// # Errors
/// When the file exists and cannot be parsed.
fn read_staged(root: &Root) -> Result<Option<Staged>> {
    let Some(bytes) = root.read(staged::PATH, variant::SIZE_MAX)? else {
        return Ok(None);
    };
    let staged = staged::parse(&bytes);
    staged.map_err(|why| anyhow::anyhow!("reading /{}: {why}", staged::PATH))
}
