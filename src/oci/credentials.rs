// SPDX-License-Identifier: MIT OR Apache-2.0
//! The credential files of podman and docker (containers-auth.json(5)).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::reference::Docker;

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token for the token server, from a login without a password.
    IdentityToken(String),
    /// The NAME of the program `docker-credential-NAME` that stores the credentials.
    Helper(String),
}

/// A parsed credential file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

impl std::fmt::Debug for Credentials {
    /// Writes the variant without its secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::IdentityToken(_) => "IdentityToken",
            Self::Helper(_) => "Helper",
        })
    }
}

impl CredentialFile {
    /// Parses a file.
    ///
    /// # Errors
    /// When it is not a credential file in JSON. The message contains no secrets.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        // The message of serde_json would quote a value.
        serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "it is not a credential file: line {}, column {}",
                error.line(),
                error.column()
            )
        })
    }

    /// Returns the credentials for an image: those of its repository, of a namespace, or of the registry.
    ///
    /// # Errors
    /// When an entry is not base64 of USER:PASSWORD.
    pub fn find(&self, image: &Docker) -> Result<Option<Credentials>, String> {
        if let Some(name) = self.cred_helpers.get(&image.host) {
            return Ok(Some(Credentials::Helper(name.clone())));
        }
        for key in keys(image) {
            let found = self.auths.iter().find(|(name, _)| plain(name) == key);
            if let Some((name, entry)) = found
                && let Some(found) = entry.credentials(name)?
            {
                return Ok(Some(found));
            }
        }
        Ok(self.creds_store.clone().map(Credentials::Helper))
    }
}

/// Returns the keys for an image, the most specific first.
fn keys(image: &Docker) -> Vec<String> {
    let mut keys = Vec::new();
    let mut name = image.name.as_str();
    loop {
        keys.push(format!("{}/{name}", image.host));
        match name.rsplit_once('/') {
            Some((parent, _)) => name = parent,
            None => break,
        }
    }
    keys.push(image.host.clone());
    if image.host == "docker.io" {
        keys.push("index.docker.io".to_owned());
    }
    keys
}

/// Returns a key without the scheme and path of docker's old keys: `https://index.docker.io/v1/`.
fn plain(key: &str) -> &str {
    let name = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    match name {
        Some(name) => name.split('/').next().unwrap_or(name),
        None => key,
    }
}

impl Entry {
    fn credentials(&self, name: &str) -> Result<Option<Credentials>, String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Some(Credentials::IdentityToken(token)));
        }
        if let Some(auth) = given(&self.auth) {
            let decoded = STANDARD.decode(auth.trim()).ok();
            let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let Some((user, password)) = text.as_deref().and_then(|it| it.split_once(':')) else {
                return Err(format!(
                    "the entry {} is not base64 of USER:PASSWORD",
                    name.escape_debug()
                ));
            };
            // docker pads passwords with NUL bytes.
            return Ok(Some(Credentials::Password {
                user: user.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        let user = given(&self.username);
        Ok(user.map(|user| Credentials::Password {
            user,
            password: given(&self.password).unwrap_or_default(),
        }))
    }
}

impl Credentials {
    /// Returns the value of the `Authorization` header; `None` for credentials that only a token server accepts.
    pub fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{user}:{password}"))
            )),
            Self::IdentityToken(_) | Self::Helper(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_entry_counts() {
        let entry =
            |user: &str| format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(format!("{user}:p:w")));
        let text = format!(
            r#"{{"auths":{{"q.io":{},"q.io/a":{},"q.io/a/b":{},"https://index.docker.io/v1/":{},"http://old:5000/v2":{},
                "empty.io":{{}},"t.io":{{"auth":"","identitytoken":"tok"}}}},
                "credHelpers":{{"h.io":"pass"}},"other":1}}"#,
            entry("host"),
            entry("space"),
            entry("repo"),
            entry("hub"),
            entry("old")
        );
        let file = CredentialFile::parse(text.as_bytes()).unwrap();
        let store = r#"{"auths":{"q.io":{}},"credsStore":"desktop"}"#;
        let store = CredentialFile::parse(store.as_bytes()).unwrap();
        for (file, image, expected) in [
            (&file, "q.io/a/b", Some("repo")),
            (&file, "q.io/a/b/c:t", Some("repo")),
            (&file, "q.io/a/c", Some("space")),
            (&file, "q.io/ab", Some("host")),
            (&file, "q.io:443/a", None),
            (&file, "docker.io/fedora", Some("hub")),
            (&file, "old:5000/x", Some("old")),
            (&file, "empty.io/x", None),
            (&file, "t.io/x", Some("token tok")),
            (&file, "h.io/x", Some("helper pass")),
            (&store, "q.io/a", Some("helper desktop")),
        ] {
            let found = file.find(&image.parse().unwrap()).unwrap();
            let found = found.map(|it| match it {
                Credentials::Password { user, password } => {
                    assert_eq!(password, "p:w");
                    user
                }
                Credentials::IdentityToken(token) => format!("token {token}"),
                Credentials::Helper(name) => format!("helper {name}"),
            });
            assert_eq!(found.as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn damaged_files_reveal_no_secret() {
        for text in [
            r#"{"auths":{"q.io":{"auth":"c2VjcmV0"}}}"#,
            r#"{"auths":{"q.io":{"auth":"sec ret"}}}"#,
        ] {
            let file = CredentialFile::parse(text.as_bytes()).unwrap();
            let error = file.find(&"q.io/a".parse().unwrap()).unwrap_err();
            assert_eq!(error, "the entry q.io is not base64 of USER:PASSWORD");
        }
        let error = CredentialFile::parse(br#"{"auths":"secret"}"#).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        CredentialFile::parse(b"<html>").unwrap_err();
    }
}
