// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the packages that the sources name, each with the place of its bytes and the digest that they must have.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use percent_encoding::percent_decode_str;
use walkdir::WalkDir;

use super::SourceRequest;
use crate::plan::pin::{self, Sums};
use crate::plan::{Backend, Host, Refusal};
use crate::sys::console;
use crate::sys::exec::{Exec, quote};
use crate::sys::fetch;
use crate::sys::stop::Stopped;
use crate::tools::{cliwrap, dnf};

/// One package that the sources name, before it is read.
pub struct Input {
    /// The URL or path without `#sha256=HEX`, or the file name of a package that dnf downloaded.
    pub name: String,
    /// Whether the user named this package alone, not its directory, all RPMs of its directory (see `as_directories`),
    /// or a repository.
    pub named: bool,
    /// The SHA-256 that the bytes must have, if the user gave one.
    pub pin: Option<String>,
    /// The place of its bytes.
    pub bytes: Bytes,
}

/// The place of a package's bytes.
pub enum Bytes {
    /// On the network.
    Url,
    /// In a file.
    File(PathBuf),
    /// In a file that dnf downloaded. Its path is relative to the root.
    Downloaded(String),
}

/// Returns every package that the request names. With `--from`, downloads the packages into `dir` with dnf first.
///
/// # Errors
/// A [`Refusal`] for a source that cannot be used, or after a failed download; other errors if a directory cannot be
/// listed.
pub fn inputs(exec: &Exec, host: &Host, request: &SourceRequest, dir: &str) -> Result<Vec<Input>> {
    let mut inputs = match request.from {
        Some(repo) => from_repository(exec, host, repo, request.sources, dir)?,
        None => from_sources(request.sources)?,
    };
    if let Some(file) = request.sums {
        pin_all(&mut inputs, file)?;
    }
    Ok(inputs)
}

/// Downloads the requested packages, and their requirements that the image lacks, into `dir` with dnf. Returns the
/// downloaded packages.
fn from_repository(
    exec: &Exec,
    host: &Host,
    repo: &str,
    specs: &[String],
    dir: &str,
) -> Result<Vec<Input>> {
    let mut dnf = host.backends.iter().copied();
    let dnf = dnf
        .find(|it| *it != Backend::RpmOstree)
        .ok_or_else(|| Refusal::NoDnf(repo.to_owned()))?;
    if let Some(spec) = specs.iter().find(|spec| spec.contains(pin::MARK)) {
        return Err(Refusal::BadFile {
            file: spec.clone(),
            why: "#sha256= is not supported for a package of --from; give --sha256sums FILE"
                .to_owned(),
        }
        .into());
    }
    exec.root().create_dir_all(dir, 0o700)?;
    let program = cliwrap::real(exec.root(), &dnf.to_string())?;
    let setup = dnf::DnfSetup {
        backend: dnf,
        versionlock: host.versionlock,
    };
    let download = dnf::download(&program, &setup, repo, specs, &format!("/{dir}"));
    exec.run(&download, &mut console::activity)
        .map_err(|error| {
            if error.is::<Stopped>() {
                return error;
            }
            let refusal = Refusal::Download {
                url: format!("{} from the repository {repo}", specs.join(", ")),
                why: format!("{error:#}"),
            };
            refusal.into()
        })?;
    let mut inputs = Vec::new();
    for (name, _) in exec.root().list(dir)? {
        let name = name.to_string_lossy().into_owned();
        if name.ends_with(".rpm") {
            inputs.push(Input {
                bytes: Bytes::Downloaded(format!("{dir}/{name}")),
                name,
                named: false,
                pin: None,
            });
        }
    }
    Ok(inputs)
}

/// Lists the packages that files, directories and URLs name. Downloads nothing.
pub fn from_sources(sources: &[String]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for source in sources {
        let (name, pin) = pin::split(source)?;
        if fetch::is_url(name) {
            inputs.push(Input {
                name: name.to_owned(),
                named: true,
                pin,
                bytes: Bytes::Url,
            });
            continue;
        }
        let path = local(name)?;
        let meta = fs_err::metadata(&path).map_err(|error| Refusal::BadFile {
            file: name.to_owned(),
            why: match error.kind() {
                io::ErrorKind::NotFound => absent(name, &path),
                _ => format!("{error}; {EXPECTED}"),
            },
        })?;
        if !meta.is_dir() {
            inputs.push(Input {
                name: name.to_owned(),
                named: true,
                pin,
                bytes: Bytes::File(path),
            });
        } else if pin.is_some() {
            return Err(Refusal::BadFile {
                file: name.to_owned(),
                why: format!("a directory has no digest; expected {} after a file name. For a directory use --sha256sums FILE", pin::MARK),
            }
            .into());
        } else {
            inputs.extend(inside(name, &path)?);
        }
    }
    as_directories(&mut inputs)?;
    Ok(inputs)
}

/// If the arguments name every RPM of a directory with at least two RPMs, all without a digest, marks these packages as
/// not named: the shell has probably expanded `DIR/*.rpm`, so the user has not chosen single packages.
fn as_directories(inputs: &mut [Input]) -> Result<()> {
    let mut named: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for input in inputs.iter().filter(|it| it.named && it.pin.is_none()) {
        if let Bytes::File(path) = &input.bytes
            && let Some(dir) = path.parent()
        {
            let files = named.entry(dir.to_owned()).or_default();
            files.insert(path.clone());
        }
    }
    for (dir, files) in named.into_iter().filter(|(_, files)| files.len() > 1) {
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &dir
        };
        let all = inside(&dir.display().to_string(), dir)?;
        let is_named = |input: &Input| match &input.bytes {
            Bytes::File(path) => {
                files.contains(path.strip_prefix("./").unwrap_or(path)) || files.contains(path)
            }
            _ => false,
        };
        if all.iter().all(is_named) {
            for input in inputs.iter_mut() {
                if let Bytes::File(path) = &input.bytes {
                    input.named &= !files.contains(path);
                }
            }
        }
    }
    Ok(())
}

/// The accepted kinds of source, for a message.
const EXPECTED: &str = "expected an RPM file, a directory of RPMs, or an http(s) or file URL";

/// Explains why a path does not exist, according to its form: the name of a package, a pattern that the shell did not
/// expand, or a path in a directory that was not mounted.
fn absent(name: &str, path: &Path) -> String {
    let is_rpm = path.extension().is_some_and(|extension| extension == "rpm");
    if !is_rpm && !name.contains('/') {
        return format!(
            "no such file or directory; {EXPECTED}. If it is the name of a package, name the repository that has it: ostree-kernel replace --from REPO {}",
            quote(name.as_ref())
        );
    }
    let dir = if is_rpm { path.parent() } else { Some(path) };
    let dir = dir
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if dir.is_dir() {
        return if name.contains(['*', '?', '[']) {
            format!(
                "no file matches this pattern, so the shell did not expand it; {EXPECTED}. Name the directory: ostree-kernel replace {}",
                quote(dir.as_os_str())
            )
        } else {
            format!("no such file or directory; {EXPECTED}")
        };
    }
    let target = shown(dir);
    let source = dir
        .file_name()
        .map_or_else(|| "rpms".into(), OsStr::to_string_lossy);
    format!(
        "no such file or directory: nothing is mounted at or copied to {target}; {EXPECTED}. A directory of the build context is mounted for one RUN line like this:\n\n  RUN --mount=type=bind,source={source},target={target} \\\n      ostree-kernel replace {target}\n"
    )
}

/// Returns the local path that a source names: a path, or a percent-encoded `file:` URL. URLs of other schemes are
/// refused.
fn local(name: &str) -> Result<PathBuf, Refusal> {
    let Some(rest) = name.strip_prefix("file://") else {
        return match name.split_once("://") {
            Some((scheme, _)) if is_scheme(scheme) => Err(Refusal::BadFile {
                file: name.to_owned(),
                why: format!(
                    "{scheme}:// is not supported; expected http://, https:// or file:///. Download the file first, or give its address with one of these"
                ),
            }),
            _ => Ok(name.into()),
        };
    };
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if path.starts_with('/') {
        let bytes: Vec<u8> = percent_decode_str(path).collect();
        return Ok(OsStr::from_bytes(&bytes).into());
    }
    Err(Refusal::BadFile {
        file: name.to_owned(),
        why: "not a file of this machine; expected file:/// and an absolute path".to_owned(),
    })
}

fn is_scheme(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_allowed)
}

/// Returns the RPMs in a directory, sorted by name. A directory without RPMs is refused.
fn inside(source: &str, path: &Path) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    let listing = WalkDir::new(path)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    for entry in listing {
        let entry = entry.with_context(|| format!("listing {source}"))?;
        let extension = entry.path().extension();
        if extension.is_some_and(|extension| extension == "rpm") {
            inputs.push(Input {
                name: shown(entry.path()),
                named: false,
                pin: None,
                bytes: Bytes::File(entry.into_path()),
            });
        }
    }
    if inputs.is_empty() {
        return Err(Refusal::NoRpms(source.to_owned()).into());
    }
    Ok(inputs)
}

/// Returns a path for a message, printable and on one line.
fn shown(path: &Path) -> String {
    let name = path.display().to_string();
    if name.chars().any(char::is_control) {
        quote(path.as_os_str())
    } else {
        name
    }
}

/// Sets the required digest of each input to its digest in `file`, which is an output of `sha256sum`. Refuses an input
/// that `file` does not list, or for which the user gave another digest.
fn pin_all(inputs: &mut [Input], file: &Path) -> Result<()> {
    let shown = file.display().to_string();
    let text = fs_err::read_to_string(file).map_err(|error| Refusal::BadFile {
        file: shown.clone(),
        why: format!("{error}; expected a file that sha256sum wrote"),
    })?;
    let sums = Sums::parse(&shown, &text)?;
    for input in inputs {
        let name = file_name(input);
        let digest = sums.of(&input.name, &name)?;
        if let Some(pin) = input.pin.as_ref().filter(|pin| *pin != digest) {
            return Err(Refusal::Pin {
                file: format!("{shown}: {name}"),
                found: digest.to_owned(),
                expected: pin.clone(),
            }
            .into());
        }
        input.pin = Some(digest.to_owned());
    }
    Ok(())
}

/// Returns the file name of an input, as `sha256sum` writes it.
fn file_name(input: &Input) -> String {
    match &input.bytes {
        Bytes::File(path) => path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        Bytes::Downloaded(_) => input.name.clone(),
        Bytes::Url => {
            let path = input.name.split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            percent_decode_str(name).decode_utf8_lossy().into_owned()
        }
    }
}
