// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns sources into checked packages. Each package is copied into the private directory of this run and parsed while
//! it is copied, so that the checked bytes are the installed bytes. A URL is downloaded first.

mod inputs;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use self::inputs::{Bytes, Input};
use crate::package::signature::{Keyring, Policy};
use crate::package::{Package, PackageError};
use crate::plan::{Host, PackageOrigin, Refusal, Source};
use crate::pool;
use crate::site::workspace::Workspace;
use crate::sys::digest::Digesting;
use crate::sys::exec::Exec;
use crate::sys::fetch::{self, DownloadLimits, Fetcher};
use crate::sys::root::Root;
use crate::sys::stop::{self, Stopped};

/// The number of packages that are fetched or read in parallel.
const AT_ONCE: usize = 4;

/// Upper bound of a key file or a crypto policy (bytes); a distribution's keyring has a few hundred KiB.
const KEY_MAX: u64 = 4 * 1024 * 1024;

/// The paths of an image's crypto policy, relative to the root. rpm-sequoia uses the first file that exists.
const POLICIES: [&str; 3] = [
    "etc/crypto-policies/back-ends/rpm-sequoia.config",
    "usr/share/crypto-policies/back-ends/rpm-sequoia.config",
    "etc/crypto-policies/back-ends/sequoia.config",
];

/// The directory of trusted keys in an image, relative to the root.
const KEYS: &str = "etc/pki/rpm-gpg";

/// The user's description of the sources.
#[derive(Debug)]
pub struct SourceRequest<'a> {
    /// Files and URLs, each with or without `#sha256=HEX`, and directories; with `from`, package specs for dnf.
    pub sources: &'a [String],
    /// `--from`: a repository that the image configures.
    pub from: Option<&'a str>,
    /// `--sha256sums`.
    pub sums: Option<&'a Path>,
    /// `--gpg-key`.
    pub keys: &'a [PathBuf],
    /// `--cache-dir`.
    pub cache: &'a Path,
    /// `--max-size`, in bytes.
    pub max_size: u64,
}

/// Fetches, copies and reads all packages that the sources name.
///
/// # Errors
/// A [`Refusal`] for a source or key that cannot be used; other errors, for example when there is no space left, or
/// after a signal. In all cases, only the private directory and the cache have changed.
pub fn resolve(
    exec: &Exec,
    host: &Host,
    workspace: &Workspace,
    request: &SourceRequest,
) -> Result<Vec<Source>> {
    let root = exec.root();
    let keys = keyring(root, request.keys)?;
    let inputs = inputs::inputs(exec, host, request, workspace.downloads())?;
    let is_fetched = inputs.iter().any(|input| matches!(input.bytes, Bytes::Url));
    let fetcher = is_fetched
        .then(|| {
            let limits = DownloadLimits::new(request.max_size);
            Fetcher::new(request.cache, root, workspace.downloads(), limits)
        })
        .transpose()?;
    let resolver = SourceResolver {
        root,
        workspace,
        keys: &keys,
        fetcher,
    };
    let mut found: Vec<Source> = Vec::new();
    for mut source in resolver.all(&inputs)? {
        if !merge_known(&mut found, &source) {
            source.path = renamed(root, workspace, source.path, &source.package)?;
            found.push(source);
        }
    }
    Ok(found)
}

/// Merges `source` into the entry of `found` that has the same header, if there is one: the user can name a file and
/// its directory. Returns whether `source` was merged.
fn merge_known(found: &mut [Source], source: &Source) -> bool {
    let is_same = |other: &&mut Source| other.package.header_sha256 == source.package.header_sha256;
    let Some(other) = found.iter_mut().find(is_same) else {
        return false;
    };
    other.named |= source.named;
    other.pinned |= source.pinned;
    true
}

/// Reads only the headers of the sources, which suffice to determine whether the packages are installed. Copies nothing
/// and reads no payload, so the returned packages must not be installed. `None` unless every source is a local file or
/// directory without a required digest.
///
/// # Errors
/// As [`resolve`].
pub fn read_headers(root: &Root, request: &SourceRequest) -> Result<Option<Vec<Source>>> {
    if request.from.is_some() || request.sums.is_some() {
        return Ok(None);
    }
    let keys = keyring(root, request.keys)?;
    let mut found = Vec::new();
    for input in inputs::from_sources(request.sources)? {
        let (Bytes::File(path), None) = (&input.bytes, &input.pin) else {
            return Ok(None);
        };
        let package = match Package::read_header(open(path)?, &keys) {
            Err(PackageError::Source(_)) if !input.named => continue,
            package => package?,
        };
        let source = Source {
            path: String::new(),
            package,
            sha256: String::new(),
            origin: input.name,
            from: PackageOrigin::File,
            pinned: false,
            named: input.named,
        };
        if !merge_known(&mut found, &source) {
            found.push(source);
        }
    }
    Ok(Some(found))
}

/// The data that the threads of [`SourceResolver::all`] share.
struct SourceResolver<'a> {
    root: &'a Root,
    workspace: &'a Workspace,
    keys: &'a Keyring,
    /// `None` if all packages are local.
    fetcher: Option<Fetcher>,
}

impl SourceResolver<'_> {
    /// Resolves all inputs in parallel, and returns the packages in the order of the inputs. An error ends the work as
    /// in [`pool::try_map`].
    fn all(&self, inputs: &[Input]) -> Result<Vec<Source>> {
        let taken = pool::try_map(inputs.iter().enumerate(), AT_ONCE, |(index, input)| {
            self.take(index, input)
        });
        Ok(taken?.into_iter().flatten().collect())
    }

    /// Copies one package, which is downloaded first if its source is a URL, and parses it while it is copied. `None`
    /// for a source package that was found in a directory or repository.
    fn take(&self, index: usize, input: &Input) -> Result<Option<Source>> {
        stop::check()?;
        match (&input.bytes, &self.fetcher) {
            (Bytes::File(path), _) => {
                let file = open(path).map_err(|error| unusable(input, error))?;
                self.read(index, input, file)
            }
            (Bytes::Downloaded(path), _) => {
                let file = self.root.open_file(path)?;
                self.read(
                    index,
                    input,
                    file.context("reading a package that dnf downloaded")?,
                )
            }
            (Bytes::Url, Some(fetcher)) => self.fetch(index, input, fetcher),
            (Bytes::Url, None) => bail!("no fetcher for {}", input.name),
        }
    }

    /// Fetches one package from the cache or the network, and reads it with [`read`](Self::read). A damaged file in the
    /// cache is downloaded again. A downloaded file that cannot be used is removed from the cache.
    fn fetch(&self, index: usize, input: &Input, fetcher: &Fetcher) -> Result<Option<Source>> {
        let mut anew = false;
        loop {
            let fetched = fetcher
                .fetch(&input.name, input.pin.as_deref(), anew)
                .map_err(|error| unusable(input, error))?;
            let read = self.read(index, input, fetched.file);
            let is_whole = |source: &Source| source.sha256 == fetched.sha256;
            if let Ok(Some(source)) = &read
                && is_whole(source)
            {
                return read;
            }
            if !fetched.from_cache {
                fetcher.forget(&fetched.sha256)?;
                return read;
            }
            tracing::debug!(
                "{}: the cached file cannot be used, downloading it again",
                input.name
            );
            anew = true;
        }
    }

    /// Copies one package into the private directory and parses it while it is copied. `None` for a source package
    /// (SRPM) that the user did not name.
    fn read(&self, index: usize, input: &Input, file: File) -> Result<Option<Source>> {
        let path = format!("{}/{index:03}.rpm", self.workspace.packages());
        self.root.remove_file(&path)?;
        let mut copying = Copying {
            input: Digesting::new(file),
            output: self.root.create_file(&path, 0o600)?,
        };
        let package = match Package::parse(&mut copying, self.keys) {
            Ok(package) => package,
            Err(PackageError::Source(nevra)) if !input.named => {
                tracing::info!("not installing {nevra}, a source package");
                return Ok(None);
            }
            Err(error) => return Err(unusable(input, error.into())),
        };
        let (sha256, _) = copying.input.finish()?;
        if let Some(expected) = input.pin.as_ref().filter(|pin| **pin != sha256) {
            return Err(Refusal::Pin {
                file: input.name.clone(),
                found: sha256,
                expected: expected.clone(),
            }
            .into());
        }
        Ok(Some(Source {
            path,
            package,
            sha256,
            from: match input.bytes {
                Bytes::Url => PackageOrigin::Url,
                Bytes::File(_) => PackageOrigin::File,
                Bytes::Downloaded(_) => PackageOrigin::Repository,
            },
            pinned: input.pin.is_some(),
            origin: input.name.clone(),
            named: input.named,
        }))
    }
}

/// Removes superseded files from the cache directory if a source is a URL. Must be called only after the last possible
/// refusal.
pub fn tidy(request: &SourceRequest, sources: &[Source]) {
    let is_used = sources
        .iter()
        .any(|source| source.from == PackageOrigin::Url);
    if is_used && let Err(error) = fetch::tidy(request.cache) {
        tracing::debug!("tidying the cache: {error:#}");
    }
}

/// A reader that copies all bytes that pass through it to a file.
struct Copying<R> {
    input: Digesting<R>,
    output: File,
}

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.output.write_all(&buffer[..count])?;
        Ok(count)
    }
}

fn open(path: &Path) -> Result<File> {
    // Opening a FIFO blocks.
    if !fs_err::metadata(path)?.is_file() {
        bail!("not a regular file; expected an RPM file");
    }
    Ok(fs_err::File::open(path)?.into_file())
}

fn unusable(input: &Input, error: anyhow::Error) -> anyhow::Error {
    if error.is::<Stopped>() {
        return error;
    }
    let is_full = |cause: &(dyn Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::StorageFull)
    };
    if error.chain().any(is_full) {
        return error.context(format!(
            "storing {}: no space left in /run of the tree or in the cache directory. Free space there, then run again",
            input.name
        ));
    }
    let why = format!("{error:#}");
    match input.bytes {
        Bytes::Url => Refusal::Download {
            url: input.name.clone(),
            why: format!("{why}. Check the address and the network, then run again"),
        },
        Bytes::File(_) | Bytes::Downloaded(_) => Refusal::BadFile {
            file: input.name.clone(),
            why,
        },
    }
    .into()
}

/// Renames the copy to the package's own name, for a readable log of the transaction, and returns the new path. If the
/// name is too long or taken, the copy keeps its numeric name (`000.rpm`).
fn renamed(root: &Root, workspace: &Workspace, path: String, package: &Package) -> Result<String> {
    let nevra = &package.nevra;
    let name = format!(
        "{}-{}-{}.{}.rpm",
        nevra.name, nevra.version, nevra.release, nevra.arch
    );
    let new = format!("{}/{name}", workspace.packages());
    if name.len() > 200 || root.lstat(&new)?.is_some() {
        return Ok(path);
    }
    root.rename(path, &new)?;
    Ok(new)
}

/// Reads the image's keys, the user's keys (the files in `given`) and the image's crypto policy. A file of the image
/// without a usable key is skipped; a file of the user without a usable key is refused.
fn keyring(root: &Root, given: &[PathBuf]) -> Result<Keyring> {
    let mut keys = Keyring::new(policy(root)?);
    for (name, _) in root.list(KEYS)? {
        let path = Path::new(KEYS).join(name);
        if !root.is_file(&path)? {
            continue;
        }
        let file = root.read(&path, KEY_MAX)?.unwrap_or_default();
        match keys.add(&file) {
            Ok(skipped) => log_skipped(&format!("/{}", path.display()), &skipped),
            Err(error) => tracing::debug!("/{}: {error}", path.display()),
        }
    }
    for path in given {
        let refuse = |why: String| Refusal::BadFile {
            file: path.display().to_string(),
            why: format!("{why}; expected public keys as `gpg --armor --export` writes them"),
        };
        let mut file = Vec::new();
        // Opening a FIFO blocks.
        if fs_err::metadata(path).is_ok_and(|it| !it.is_file()) {
            return Err(refuse("not a regular file".to_owned()).into());
        }
        fs_err::File::open(path)
            .map_err(|error| refuse(error.to_string()))?
            .take(KEY_MAX + 1)
            .read_to_end(&mut file)
            .map_err(|error| refuse(error.to_string()))?;
        if file.len() as u64 > KEY_MAX {
            return Err(refuse(format!("it is larger than {KEY_MAX} bytes")).into());
        }
        let skipped = keys.add(&file).map_err(|error| refuse(error.to_string()))?;
        log_skipped(&path.display().to_string(), &skipped);
    }
    Ok(keys)
}

fn log_skipped(file: &str, skipped: &[String]) {
    for why in skipped {
        tracing::debug!("{file}: skipped a key: {why}");
    }
}

/// Reads the image's crypto policy from the file that the image's rpm uses; without such a file, returns the standard
/// policy.
fn policy(root: &Root) -> Result<Policy> {
    let now = SystemTime::now();
    for path in POLICIES {
        if !root.is_file(path)? {
            continue;
        }
        let config = root.read(path, KEY_MAX)?.unwrap_or_default();
        let policy = Policy::configured(now, &config).map_err(|error| Refusal::BadFile {
            file: format!("/{path} of the image"),
            why: format!("{error}. rpm cannot use it either; correct it, or remove it"),
        })?;
        tracing::debug!("signatures are judged by /{path}");
        return Ok(policy);
    }
    Ok(Policy::standard(now))
}
