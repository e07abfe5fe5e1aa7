// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user names as sources, one by one: each package with its place and its pin.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use percent_encoding::percent_decode_str;
use walkdir::WalkDir;

use super::Request;
use crate::plan::pin::{self, Sums};
use crate::plan::{Backend, Host, Refusal};
use crate::sys::console;
use crate::sys::exec::{Exec, quote};
use crate::sys::fetch;
use crate::sys::stop::Stopped;
use crate::tools::{cliwrap, dnf};

/// Where one package comes from.
pub struct Input {
    /// As the user would name it, without the pin.
    pub name: String,
    /// Named by the user, rather than found in a directory.
    pub named: bool,
    /// The SHA-256 that its bytes must have.
    pub pin: Option<String>,
    /// How its bytes are had.
    pub bytes: Bytes,
}

/// How bytes are had.
pub enum Bytes {
    /// From the network.
    Url,
    /// From a file.
    File(PathBuf),
    /// From a file inside the root, which dnf has downloaded.
    Downloaded(String),
}

/// Every package that the request names, in its order.
///
/// # Errors
/// A [`Refusal`] for what cannot be a source.
pub fn inputs(exec: &Exec, host: &Host, request: &Request, dir: &str) -> Result<Vec<Input>> {
    let mut inputs = match request.from {
        Some(repo) => from_repository(exec, host, repo, request.sources, dir)?,
        None => from_sources(request.sources)?,
    };
    if let Some(file) = request.sums {
        pin_all(&mut inputs, file)?;
    }
    Ok(inputs)
}

/// What dnf downloads into `dir`: the packages asked for and what they require.
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
            why: "a package of --from has no digest of its own; give --sha256sums FILE".to_owned(),
        }
        .into());
    }
    exec.root().create_dir_all(dir, 0o700)?;
    let program = cliwrap::real(exec.root(), &dnf.to_string())?;
    let download = dnf::download(&program, repo, specs, &format!("/{dir}"));
    exec.run(&download, &mut console::doing).map_err(|error| {
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

/// Files and URLs.
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
            why: format!("{error}; expected an RPM file, a directory of RPMs or an http(s) URL"),
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
                why: format!("a directory has no digest; expected {} behind a file. For a directory there is --sha256sums FILE", pin::MARK),
            }
            .into());
        } else {
            inputs.extend(inside(name, &path)?);
        }
    }
    Ok(inputs)
}

/// A path, or a `file:` URL, which is percent-encoded.
fn local(name: &str) -> Result<PathBuf, Refusal> {
    let Some(rest) = name.strip_prefix("file://") else {
        return Ok(name.into());
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

/// The RPMs in a directory, by name.
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

/// A name that somebody else has given, as a message may have it: on one line, and printable.
fn shown(path: &Path) -> String {
    let name = path.display().to_string();
    match name.chars().any(char::is_control) {
        true => quote(path.as_os_str()),
        false => name,
    }
}

/// Gives every input the digest that the file of `sha256sum` has for it.
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

/// The name of the file, as `sha256sum` would have seen it.
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
