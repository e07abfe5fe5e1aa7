// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of podman and skopeo on this machine: mirrors, certificates, storage, and the paths of credential
//! files.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::oci::Registries;
use crate::sys::fetch::Tls;

/// Upper bound of a file (bytes). A file with the mirrors of a cluster has some thousand bytes. The memory of the TOML
/// parser can be some hundred times the size of a damaged file.
const FILE_MAX: u64 = 256 << 10;

/// Upper bound of the entries of a directory that are read; further ones are ignored.
const FILES_MAX: usize = 1000;

/// Returns the credential files of podman and docker for this user, in the order of podman (containers-auth.json(5)).
pub(super) fn credential_files() -> Vec<PathBuf> {
    let runtime = path_of("XDG_RUNTIME_DIR").map(|it| it.join("containers/auth.json"));
    let uid = nix::unistd::geteuid();
    let runtime = runtime.unwrap_or_else(|| format!("/run/containers/{uid}/auth.json").into());
    let docker = path_of("DOCKER_CONFIG").or_else(|| Some(path_of("HOME")?.join(".docker")));
    let config = config_dir().map(|it| it.join("containers/auth.json"));
    let docker = docker.map(|it| it.join("config.json"));
    [Some(runtime), config, docker]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns the path in an environment variable; `None` if it is unset or empty.
pub(super) fn path_of(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// Returns the directory of the user's configuration; `None` without `XDG_CONFIG_HOME` and `HOME`.
fn config_dir() -> Option<PathBuf> {
    path_of("XDG_CONFIG_HOME").or_else(|| Some(path_of("HOME")?.join(".config")))
}

/// Returns the directory of podman's storage for this user (containers-storage.conf(5)).
pub(super) fn storage() -> Result<PathBuf> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        storage: Storage,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Storage {
        graphroot: String,
        rootless_storage_path: String,
    }
    let is_root =
        nix::unistd::geteuid().is_root() && env::var_os("_CONTAINERS_USERNS_CONFIGURED").is_none();
    // Like `init` and `defaultStoreOptionsIsolated` in containers/storage, types/options.go: the file that the variable
    // names replaces all others, and an ordinary user's own file can set `graphroot`, which is ignored in the system's.
    let files: Vec<(PathBuf, bool)> = match path_of("CONTAINERS_STORAGE_CONF") {
        Some(named) => vec![(named, true)],
        None => {
            let user = config_dir().map(|it| it.join("containers/storage.conf"));
            let user = user.filter(|_| !is_root).map(|file| (file, true));
            let system = ["/etc", "/usr/share"].map(|it| format!("{it}/containers/storage.conf"));
            let system = system.map(|file| (file.into(), is_root));
            user.into_iter().chain(system).collect()
        }
    };
    let home = env::var("HOME").unwrap_or_default();
    for (file, has_graphroot) in files {
        let Some(bytes) = read(&file)? else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let parsed: File = toml::from_str(&text)
            .map_err(|error| anyhow!("{}: {}", file.display(), error.message()))?;
        let Storage {
            graphroot,
            rootless_storage_path,
        } = parsed.storage;
        let graphroot = Some(graphroot).filter(|_| has_graphroot);
        let rootless = Some(rootless_storage_path).filter(|_| !is_root);
        let dirs = [graphroot, rootless].into_iter().flatten();
        let mut dirs = dirs.map(|dir| dir.replace("$HOME", &home));
        if let Some(dir) = dirs.find(|dir| !dir.is_empty() && !dir.contains('$')) {
            return Ok(dir.into());
        }
    }
    if is_root {
        return Ok("/var/lib/containers/storage".into());
    }
    let data = path_of("XDG_DATA_HOME").or_else(|| Some(path_of("HOME")?.join(".local/share")));
    let data = data.context("the variable HOME is not set")?;
    Ok(data.join("containers/storage"))
}

/// Reads registries.conf and its drop-ins. The file in `CONTAINERS_REGISTRIES_CONF` or, without it, a user's
/// registries.conf replaces the system's. The drop-ins of user and system are read in any case.
pub(super) fn registries() -> Result<Registries> {
    let user = config_dir().map(|it| it.join("containers/registries.conf"));
    let system = PathBuf::from("/etc/containers/registries.conf");
    let named = path_of("CONTAINERS_REGISTRIES_CONF");
    let main = named.or_else(|| user.clone().filter(|it| is_file(it)));
    let main = main.unwrap_or(system.clone());
    let mut files = vec![main];
    for file in [Some(system), user].into_iter().flatten() {
        let mut dir = file.into_os_string();
        dir.push(".d");
        files.extend(list(Path::new(&dir), ".conf")?);
    }
    let mut registries = Registries::default();
    for file in files {
        let Some(bytes) = read(&file)? else { continue };
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
        let added = text.and_then(|text| registries.add(&text));
        added.map_err(|error| anyhow!("{}: {error}", file.display()))?;
    }
    Ok(registries)
}

/// Returns the TLS settings for a registry, from `--cert-dir` or else from the first existing directory among those
/// that podman reads.
pub(super) fn tls(host: &str, cert_dir: Option<&Path>, is_unverified: bool) -> Result<Tls> {
    let mut tls = Tls {
        is_unverified,
        ..Tls::default()
    };
    let user = config_dir().map(|it| it.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    let mut dirs = user.into_iter().chain(system).map(|it| it.join(host));
    let dir = match cert_dir {
        Some(dir) if !is_dir(dir) => {
            bail!("--cert-dir {}: there is no such directory", dir.display())
        }
        Some(dir) => Some(dir.to_owned()),
        None => dirs.find(|dir| is_dir(dir)),
    };
    let Some(dir) = dir else {
        return Ok(tls);
    };
    for file in list(&dir, ".crt")? {
        tls.roots.extend(read(&file)?);
    }
    for file in list(&dir, ".cert")? {
        let key = file.with_extension("key");
        let pem = read(&key)?.with_context(|| {
            format!(
                "{} has no key: {} does not exist",
                file.display(),
                key.display()
            )
        })?;
        tls.identity = read(&file)?.map(|certificate| (certificate, pem));
    }
    Ok(tls)
}

fn is_dir(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|it| it.is_dir())
}

fn is_file(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|it| it.is_file())
}

/// Returns the entries of a directory whose names end with `suffix`, sorted by name; none if the directory does not
/// exist.
fn list(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    if !is_dir(dir) {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(dir)?.take(FILES_MAX) {
        let path = entry?.path();
        let is_wanted = path.to_str().is_some_and(|it| it.ends_with(suffix));
        files.extend(is_wanted.then_some(path));
    }
    files.sort();
    Ok(files)
}

/// Reads a file; `None` if the file does not exist, or is in a directory that this user cannot enter.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs_err::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        // For example, an ordinary user cannot enter root's runtime directory.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(None),
        _ => {}
    }
    let mut bytes = Vec::new();
    let file = super::layout::open(path)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        bail!("{} has more than {FILE_MAX} bytes", path.display());
    }
    Ok(Some(bytes))
}
