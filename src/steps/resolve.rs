// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sources to checked packages: fetched or copied into the private directory of this run, and only
//! then looked at. The bytes that are checked are the bytes that are installed.

use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow};
use walkdir::WalkDir;

use super::workspace::Workspace;
use crate::kernel::package::{Keyring, Package, PackageError, hex};
use crate::plan::{Refusal, Source};
use crate::sys::fetch;
use crate::sys::root::Root;

/// The largest RPM that is taken (bytes): 4 GiB, rpm's own limit for a package without large files.
const RPM_MAX: u64 = 4 << 30;

/// A key file is a few KiB.
const KEY_MAX: u64 = 1024 * 1024;

/// Where an image keeps the keys that it trusts, relative to the root.
const KEYS: &str = "etc/pki/rpm-gpg";

/// Where one package comes from.
struct Origin {
    /// As the user would name it.
    name: String,
    /// Named by the user, rather than found in a directory.
    named: bool,
    bytes: Bytes,
}

/// How its bytes are had.
enum Bytes {
    Url,
    File(PathBuf),
}

/// Fetches, copies and reads all packages that the sources name.
///
/// # Errors
/// A [`Refusal`] for what is wrong with a source; the tree is untouched but for the private
/// directory.
pub fn resolve(root: &Root, workspace: &Workspace, sources: &[String]) -> Result<Vec<Source>> {
    let keys = &keyring(root)?;
    let origins = &origins(sources)?;
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let work = |worker: usize| {
        let share = origins.iter().enumerate().skip(worker).step_by(workers);
        let done = share.map(|(index, origin)| (index, take(root, workspace, keys, index, origin)));
        done.collect::<Vec<_>>()
    };
    let mut taken = thread::scope(|scope| {
        let running: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        let joined = running.into_iter().map(ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    })
    .map_err(|_| anyhow!("a thread that reads packages has panicked"))?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    taken.sort_by_key(|(index, _)| *index);
    let mut found: Vec<Source> = Vec::new();
    for (_, taken) in taken {
        let Some(mut source) = taken? else { continue };
        // A package that is named and found in a directory, too, is one package.
        let is_same =
            |other: &&mut Source| other.package.header_sha256 == source.package.header_sha256;
        if let Some(other) = found.iter_mut().find(is_same) {
            other.named |= source.named;
        } else {
            source.path = renamed(root, workspace, source.path, &source.package)?;
            found.push(source);
        }
    }
    Ok(found)
}

/// Fetches or copies one package and reads the copy; `None` for one that is left out.
fn take(
    root: &Root,
    workspace: &Workspace,
    keys: &Keyring,
    index: usize,
    origin: &Origin,
) -> Result<Option<Source>> {
    let path = format!("{}/{index:03}.rpm", workspace.packages());
    let mut bytes = open(origin)?;
    let (_, sha256) = root
        .copy_in(&mut bytes, &path, 0o600, RPM_MAX)
        .map_err(|error| unusable(origin, &error.into()))?;
    let copy = root.open_file(&path)?.context("reading our own copy")?;
    match Package::parse(copy, keys) {
        Ok(package) => Ok(Some(Source {
            path,
            package,
            sha256: hex(&sha256),
            fetched: matches!(origin.bytes, Bytes::Url),
            origin: origin.name.clone(),
            named: origin.named,
        })),
        Err(PackageError::Source(nevra)) if !origin.named => {
            tracing::info!("leaving out {nevra}, a source package");
            Ok(None)
        }
        Err(error) => Err(unusable(origin, &error.into())),
    }
}

fn origins(sources: &[String]) -> Result<Vec<Origin>> {
    let mut origins = Vec::new();
    for source in sources {
        let named = |bytes| Origin {
            name: source.clone(),
            named: true,
            bytes,
        };
        if fetch::is_url(source) {
            origins.push(named(Bytes::Url));
            continue;
        }
        let path = Path::new(source.strip_prefix("file://").unwrap_or(source));
        let meta = fs_err::metadata(path).map_err(|error| Refusal::BadFile {
            file: source.clone(),
            why: format!("{error}; expected an RPM file, a directory of RPMs or an http(s) URL"),
        })?;
        if !meta.is_dir() {
            origins.push(named(Bytes::File(path.to_owned())));
            continue;
        }
        let before = origins.len();
        let listing = WalkDir::new(path)
            .min_depth(1)
            .max_depth(1)
            .sort_by_file_name();
        for entry in listing {
            let entry = entry.with_context(|| format!("listing {source}"))?;
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "rpm")
            {
                origins.push(Origin {
                    name: entry.path().display().to_string(),
                    named: false,
                    bytes: Bytes::File(entry.into_path()),
                });
            }
        }
        if origins.len() == before {
            return Err(Refusal::NoRpms(source.clone()).into());
        }
    }
    Ok(origins)
}

fn open(origin: &Origin) -> Result<Box<dyn Read>> {
    match &origin.bytes {
        Bytes::Url => {
            tracing::info!("downloading {}", origin.name);
            let body = fetch::get(&origin.name).map_err(|error| unusable(origin, &error))?;
            Ok(Box::new(body))
        }
        Bytes::File(path) => {
            let meta = fs_err::metadata(path).map_err(|error| unusable(origin, &error.into()))?;
            if !meta.is_file() {
                let error = anyhow::anyhow!("not a regular file; expected an RPM file");
                return Err(unusable(origin, &error));
            }
            let file = fs_err::File::open(path).map_err(|error| unusable(origin, &error.into()))?;
            Ok(Box::new(file))
        }
    }
}

fn unusable(origin: &Origin, error: &anyhow::Error) -> anyhow::Error {
    let why = format!("{error:#}");
    match origin.bytes {
        Bytes::Url => Refusal::Download {
            url: origin.name.clone(),
            why: format!("{why}. Check the address and the network, then run again"),
        },
        Bytes::File(_) => Refusal::BadFile {
            file: origin.name.clone(),
            why,
        },
    }
    .into()
}

/// Gives the copy the package's own name, so that the log of the transaction can be read; only
/// where every character of it is harmless, since the name comes from the header.
fn renamed(root: &Root, workspace: &Workspace, path: String, package: &Package) -> Result<String> {
    let nevra = &package.nevra;
    let name = format!(
        "{}-{}-{}.{}.rpm",
        nevra.name, nevra.version, nevra.release, nevra.arch
    );
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._+-~^".contains(c);
    let new = format!("{}/{name}", workspace.packages());
    let is_safe = name.len() <= 200
        && !name.starts_with(['-', '.'])
        && name.chars().all(harmless)
        && root.lstat(&new)?.is_none();
    if !is_safe {
        return Ok(path);
    }
    root.rename(path, &new)?;
    Ok(new)
}

/// The keys of the image.
fn keyring(root: &Root) -> Result<Keyring> {
    let mut keys = Keyring::default();
    for (name, _) in root.list(KEYS)? {
        let path = Path::new(KEYS).join(name);
        if !root.is_file(&path)? {
            continue;
        }
        let armored = root.read(&path, KEY_MAX)?.unwrap_or_default();
        if let Err(error) = keys.add(&armored) {
            tracing::debug!("/{}: {error}", path.display());
        }
    }
    Ok(keys)
}
