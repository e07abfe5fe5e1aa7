// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the free space on `/boot`, and the space that ostree frees there before it writes
//! (`auto_early_prune_old_deployments` in `ostree-sysroot-deploy.c`).

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::{Context, Result};

use super::super::deployments::System;
use crate::boot::KeyFile;
use crate::node::deployment::{Deployment, Name, Place, is_checksum};
use crate::node::machine::Boot;
use crate::node::staged;
use crate::sys::root::{FileType, Root};

/// Upper bound of the bytes of libostree that are searched for [`OPTION`].
const LIBRARY_MAX: u64 = 64 << 20;

/// Upper bound of a deployment's origin file, `DEPLOYMENT.origin` (bytes).
const ORIGIN_MAX: u64 = 1 << 20;

/// The option that turns early pruning off. A libostree that prunes by default (2023.8 and later) contains this string.
const OPTION: &[u8] = b"no-early-prune";

/// Reads the free space on `/boot`, and the space that finalising a staged deployment needs and frees there. `None` for
/// any other deployment, and without `/boot`.
pub(super) fn read(system: &System, deployment: &Deployment) -> Result<Option<Boot>> {
    let root = &system.root;
    if deployment.place != Place::Staged || !root.is_dir("boot")? {
        return Ok(None);
    }
    let place = root.host_path("boot");
    let stat = nix::sys::statvfs::statvfs(&place)
        .with_context(|| format!("reading the free space of {}", place.display()))?;
    let mut boot = Boot {
        // Includes the reserved blocks, which ostree can use because it runs as root.
        free: stat.blocks_free().saturating_mul(stat.fragment_size()),
        block: stat.block_size(),
        is_separate: !root.same_filesystem("boot", "ostree/repo").unwrap_or(false),
        prunes_early: prunes_early(system)?,
        ..Boot::default()
    };
    let others = system.deployments.iter().filter(|it| *it != deployment);
    let mut used = BTreeSet::new();
    let mut kept = BTreeSet::from([deployment.bootcsum.as_str()]);
    for it in others {
        used.insert(it.bootcsum.as_str());
        let is_dropped = it.name.osname == deployment.name.osname
            && it.place != Place::Booted
            && system.merge.as_ref() != Some(&it.name)
            && !is_pinned(root, &it.name)?;
        if !is_dropped {
            kept.insert(it.bootcsum.as_str());
        }
    }
    for (name, kind) in root.list("boot/ostree")? {
        let name = name.to_string_lossy();
        let sum = name.rsplit_once('-').map(|(_, sum)| sum);
        let Some(sum) = sum.filter(|sum| kind == FileType::Dir && is_checksum(sum)) else {
            continue;
        };
        if sum == deployment.bootcsum {
            boot.has_kernel = true;
        } else if !kept.contains(sum) {
            let files = root.walk(format!("boot/ostree/{name}"))?.into_iter();
            let files = files.filter(|it| it.meta.kind == FileType::File);
            let size = files.map(|it| boot.blocks(it.meta.size)).sum::<u64>();
            if used.contains(sum) {
                boot.dropped += size;
            } else {
                boot.unused += size;
            }
        }
    }
    for overlay in &deployment.overlays {
        let there = format!("boot/ostree/initramfs-overlays/{overlay}.img");
        if root.stat(there)?.is_none()
            && let Some(meta) = root.stat(format!("{}/{overlay}", staged::OVERLAYS))?
        {
            boot.overlays += boot.blocks(meta.size);
        }
    }
    Ok(Some(boot))
}

/// Returns whether the administrator pinned a deployment (`ostree admin pin`).
fn is_pinned(root: &Root, name: &Name) -> Result<bool> {
    let origin = root.read(format!("{}.origin", name.dir()), ORIGIN_MAX)?;
    let mut file = KeyFile::default();
    // ostree refuses an origin that is not a key file.
    let _ = file.add(&origin.unwrap_or_default());
    Ok(matches!(
        file.get("libostree-transient", "pinned"),
        Some("true" | "1")
    ))
}

/// Returns whether the running system's ostree frees space before it writes. `true` if no system is running, or if
/// libostree is not found.
fn prunes_early(system: &System) -> Result<bool> {
    let Some(booted) = system.booted() else {
        return Ok(true);
    };
    let root = system.open(&booted.name)?;
    let mut dirs = vec!["usr/lib64".to_owned(), "usr/lib".to_owned()];
    for (name, kind) in root.list("usr/lib")? {
        if kind == FileType::Dir && name.to_string_lossy().contains("-linux-") {
            dirs.push(format!("usr/lib/{}", name.to_string_lossy()));
        }
    }
    for dir in dirs {
        let path = format!("{dir}/libostree-1.so.1");
        if let Some(file) = root.open_file(&path)? {
            let mut bytes = Vec::new();
            let read = file.take(LIBRARY_MAX).read_to_end(&mut bytes);
            read.with_context(|| format!("reading /{path}"))?;
            return Ok(bytes.windows(OPTION.len()).any(|it| it == OPTION));
        }
    }
    Ok(true)
}
