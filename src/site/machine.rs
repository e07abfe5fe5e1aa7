// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the facts about the machine: its mounts, the devices (from `/sys`) of the root file system and of `/boot`, the
//! space on `/boot`, and the state of Secure Boot. Starts no program and opens no device.

mod devices;
mod secure_boot;
mod space;

use anyhow::Result;

use super::deployments::System;
use crate::node::deployment::Deployment;
use crate::node::machine::{Machine, Storage};
use crate::node::mounts::{self, Mount};
use crate::sys::root::{self, Root};

/// Reads the facts for one deployment of a system. Returns `None` without `/sys`, and for a system that is not running,
/// since this machine's devices are not those of that system.
///
/// # Errors
/// When a file in `/sys` or `/boot` exists and cannot be read, or a deployment's directory cannot be opened.
pub fn read(system: &System, deployment: &Deployment) -> Result<Option<Machine>> {
    let root = &system.root;
    if system.booted().is_none() || !root.is_dir("sys/devices")? {
        return Ok(None);
    }
    let mountinfo = mountinfo(root)?;
    let sysroot = mounts::at(&mountinfo, "/sysroot").or_else(|| mounts::at(&mountinfo, "/"));
    let storage_of = |mount: &Mount| devices::storage(root, mount);
    let found = match &sysroot {
        Some(mount) => storage_of(mount)?,
        None => Err("/proc/1/mountinfo has no mount of / or /sysroot".to_owned()),
    };
    let boot = mounts::at(&mountinfo, "/boot");
    let is_other = |mount: &&Mount| Some(&mount.device) != sysroot.as_ref().map(|it| &it.device);
    let boot = boot.as_ref().filter(is_other);
    let boot = boot.map(storage_of).transpose()?;
    Ok(Some(Machine {
        root: found,
        boot: boot.and_then(Result::<Storage, _>::ok),
        space: space::read(system, deployment)?,
        secure_boot: secure_boot::read(system, deployment)?,
        kargs: system.kargs(deployment),
    }))
}

/// Reads the mounts of PID 1, which are those of the host. The mounts of this process may be those of a toolbox or of a
/// service's sandbox, so they are read only if those of PID 1 cannot be read. Empty if neither can be read.
fn mountinfo(root: &Root) -> Result<String, root::Error> {
    for path in ["proc/1/mountinfo", "proc/self/mountinfo"] {
        if let Ok(Some(bytes)) = root.read(path, mounts::SIZE_MAX)
            && !bytes.is_empty()
        {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(String::new())
}
