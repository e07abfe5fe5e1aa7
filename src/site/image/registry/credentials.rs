// SPDX-License-Identifier: MIT OR Apache-2.0
//! Searches files and credential helpers for the credentials of an image.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::super::settings;
use crate::oci::{
    CredentialFile, CredentialHelper, CredentialSource, Credentials, Docker, Registries,
};
use crate::sys::exec;

/// The places where the credentials for an image can be. Credential helpers are run only if a registry requires
/// credentials.
pub(super) struct CredentialSearch {
    host: String,
    places: Vec<Place>,
    /// The files that were read, or do not exist.
    searched: Vec<PathBuf>,
    /// The timeout of a credential helper.
    limit: Duration,
    found: Mutex<Option<FoundCredentials>>,
}

/// Credentials or a credential helper, and the file that contains them.
struct Place {
    source: CredentialSource,
    file: PathBuf,
}

/// The result of a search.
#[derive(Clone, Default)]
struct FoundCredentials {
    credentials: Option<Credentials>,
    /// The origin of the credentials, for messages.
    origin: String,
}

impl CredentialSearch {
    /// Reads the files, in the order of podman (containers-auth.json(5)). Runs no credential helper.
    pub(super) fn new(
        image: &Docker,
        authfile: Option<&Path>,
        registries: &Registries,
        limit: Duration,
    ) -> Result<Self> {
        let mut search = Self {
            host: image.host.clone(),
            places: Vec::new(),
            searched: Vec::new(),
            limit,
            found: Mutex::default(),
        };
        let order = registries.credential_helpers();
        for helper in order.map_err(|error| anyhow!("registries.conf: {error}"))? {
            match helper {
                None => search.read_files(image, authfile)?,
                Some(helper) => search.places.push(Place {
                    source: CredentialSource::Helper(helper),
                    file: "registries.conf".into(),
                }),
            }
        }
        Ok(search)
    }

    fn read_files(&mut self, image: &Docker, authfile: Option<&Path>) -> Result<()> {
        let named = authfile.map(Path::to_owned);
        let named = named.or_else(|| settings::path_of("REGISTRY_AUTH_FILE"));
        let files = match &named {
            Some(file) => vec![file.clone()],
            None => settings::credential_files(),
        };
        for file in files {
            let bytes = settings::read(&file)?;
            if bytes.is_none() && named.is_some() {
                bail!(
                    "the credentials file {} does not exist. Correct --authfile or REGISTRY_AUTH_FILE, or type podman login",
                    file.display()
                );
            }
            let parsed = bytes.map(|bytes| CredentialFile::parse(&bytes)).transpose();
            let found = parsed.and_then(|it| it.map_or(Ok(Vec::new()), |it| it.find(image)));
            let found = found.map_err(|error| anyhow!("{}: {error}", file.display()))?;
            self.searched.push(file.clone());
            self.places.extend(found.into_iter().map(|source| Place {
                source,
                file: file.clone(),
            }));
        }
        Ok(())
    }

    /// Returns the credentials; `None` if there are none. The first call may run credential helpers.
    ///
    /// # Errors
    /// When a credential helper fails.
    pub(super) fn get(&self) -> Result<Option<Credentials>> {
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match known.take() {
            Some(found) => found,
            None => self.find()?,
        };
        Ok(known.insert(found).credentials.clone())
    }

    fn find(&self) -> Result<FoundCredentials> {
        for Place { source, file } in &self.places {
            match source {
                CredentialSource::File(credentials) => {
                    return Ok(FoundCredentials {
                        credentials: Some(credentials.clone()),
                        origin: file.display().to_string(),
                    });
                }
                CredentialSource::Helper(helper) => {
                    if let Some(credentials) = self.ask(helper, file)? {
                        let origin = format!("{} ({})", helper.program(), file.display());
                        return Ok(FoundCredentials {
                            credentials: Some(credentials),
                            origin,
                        });
                    }
                }
            }
        }
        Ok(FoundCredentials::default())
    }

    /// Runs a credential helper; `None` if it stores no credentials for the registry.
    fn ask(&self, helper: &CredentialHelper, file: &Path) -> Result<Option<Credentials>> {
        let program = helper.program();
        let fail = |why: String, key: &str| {
            let (host, file) = (&self.host, file.display());
            anyhow!(
                "{program} get: {why}. According to {file}, this program stores the credentials for {host}. To test it, type `echo {key} | {program} get`. To use a file instead, type `podman login {host} --authfile FILE`, and add --authfile FILE"
            )
        };
        for key in CredentialHelper::keys(&self.host) {
            let output = match exec::ask_helper(&program, key, self.limit) {
                Ok(output) => output,
                Err(error) if error.is::<crate::sys::stop::Stopped>() => return Err(error),
                Err(error) => return Err(fail(format!("{error:#}"), key)),
            };
            let Some(failed) = output.failed else {
                let parsed = CredentialHelper::parse(&output.stdout);
                return parsed.map(Some).map_err(|why| fail(why, key));
            };
            if CredentialHelper::is_not_found(&output.stdout) {
                continue;
            }
            // A helper prints the reason of its failure to standard output.
            let reason = String::from_utf8_lossy(&output.stdout);
            let reason = match reason.trim() {
                "" => output.error.as_str(),
                reason => reason,
            };
            let reason: String = reason.chars().take(300).collect();
            let reason = reason.escape_debug();
            return Err(fail(format!("it {failed}: {reason}"), key));
        }
        Ok(None)
    }

    /// Returns the remedy for a denied access.
    pub(super) fn remedy(&self) -> String {
        let host = &self.host;
        let login = format!("podman login {host}");
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match known.clone().unwrap_or_default() {
            FoundCredentials {
                credentials: Some(_),
                origin,
            } => format!("The credentials are from {origin}. Type `{login}` to renew them"),
            _ => {
                let helpers = self.places.iter().filter_map(|it| match &it.source {
                    CredentialSource::Helper(helper) => Some(helper.program()),
                    CredentialSource::File(_) => None,
                });
                let files = self.searched.iter().map(|it| it.display().to_string());
                let searched: Vec<_> = files.chain(helpers).collect();
                let searched = searched.join(", ");
                format!(
                    "There are no credentials for {host} in {searched}. Check the name, or type `{login}`, or add --authfile FILE"
                )
            }
        }
    }
}
