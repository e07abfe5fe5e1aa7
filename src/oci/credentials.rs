// SPDX-License-Identifier: MIT OR Apache-2.0
//! The credential files of podman and docker (containers-auth.json(5)).

use std::collections::BTreeMap;
use std::str::FromStr;

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
    /// An OAuth 2 refresh token for the token server: `identitytoken` in a file of credentials.
    IdentityToken(String),
}

/// A place where the credentials for a registry can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// Credentials that the file contains.
    File(Credentials),
    /// A program that can have the credentials.
    Helper(CredentialHelper),
}

/// The NAME of a program `docker-credential-NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialHelper(String);

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
        })
    }
}

impl CredentialFile {
    /// Parses a file.
    ///
    /// # Errors
    /// When the bytes are not a credential file in JSON. The message contains no secrets.
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

    /// Returns the places to look for the credentials for an image, in order. First comes the program that
    /// `credHelpers` names for the registry, if any. Then comes the most specific entry with credentials (of the
    /// repository, a namespace or the registry) or, if there is none, the program in `credsStore`.
    ///
    /// # Errors
    /// When the `auth` of an entry is not base64 of USER:PASSWORD, or the name of a program is invalid.
    pub fn find(&self, image: &Docker) -> Result<Vec<CredentialSource>, String> {
        let mut found = Vec::new();
        let mut helpers = self.cred_helpers.iter();
        if let Some((_, name)) = helpers.find(|(host, _)| is_host(host, &image.host)) {
            found.push(CredentialSource::Helper(name.parse()?));
        }
        for key in keys(image) {
            // `https://quay.io` and `quay.io` are entries for the same registry, and one of them can be empty.
            for (name, entry) in self.auths.iter().filter(|(name, _)| plain(name) == key) {
                if let Some(credentials) = entry.credentials(name)? {
                    found.push(CredentialSource::File(credentials));
                    return Ok(found);
                }
            }
        }
        if let Some(name) = self.creds_store.as_ref().filter(|name| !name.is_empty()) {
            found.push(CredentialSource::Helper(name.parse()?));
        }
        Ok(found)
    }
}

/// Returns whether a key of `credHelpers` names the registry `host`.
fn is_host(key: &str, host: &str) -> bool {
    plain(key) == host || (host == "docker.io" && plain(key) == "index.docker.io")
}

/// Returns the keys that an entry for an image can have, the most specific first.
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

/// Returns a key in its plain form. Old keys of docker are URLs (`https://index.docker.io/v1/`), of which only the host
/// remains.
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
            Self::IdentityToken(_) => None,
        }
    }
}

impl FromStr for CredentialHelper {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_plain) {
            let name = name.escape_debug();
            return Err(format!(
                "the name of the credential helper \"{name}\" is invalid"
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

impl CredentialHelper {
    /// Returns the name of the program.
    pub fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }

    /// Returns the registry names under which the program can have the credentials: docker and podman use different
    /// names for docker.io.
    pub fn keys(host: &str) -> Vec<&str> {
        match host {
            "docker.io" => vec![host, "https://index.docker.io/v1/"],
            host => vec![host],
        }
    }

    /// Returns whether the `output` of a failed program says that the program has no credentials for the registry.
    pub fn is_not_found(output: &[u8]) -> bool {
        let text = output.trim_ascii();
        text.starts_with(b"credentials not found")
    }

    /// Parses the response of the program.
    ///
    /// # Errors
    /// When the response contains no credentials. The message contains no secrets.
    pub fn parse(output: &[u8]) -> Result<Credentials, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Response {
            username: String,
            secret: String,
        }
        let parsed: Response = serde_json::from_slice(output)
            .map_err(|_| "the response is not JSON with Username and Secret".to_owned())?;
        let Response { username, secret } = parsed;
        if username.is_empty() || secret.is_empty() {
            return Err("the response has an empty Username or Secret".to_owned());
        }
        Ok(match username.as_str() {
            // The user name that the protocol reserves for identity tokens.
            "<token>" => Credentials::IdentityToken(secret),
            _ => Credentials::Password {
                user: username,
                password: secret,
            },
        })
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
                "credHelpers":{{"h.io":"pass","https://index.docker.io/v1/":"hub"}},"other":1}}"#,
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
            (&file, "q.io/a/b", "repo"),
            (&file, "q.io/a/b/c:t", "repo"),
            (&file, "q.io/a/c", "space"),
            (&file, "q.io/ab", "host"),
            (&file, "q.io:443/a", ""),
            (&file, "docker.io/fedora", "docker-credential-hub, hub"),
            (&file, "old:5000/x", "old"),
            (&file, "empty.io/x", ""),
            (&file, "t.io/x", "token tok"),
            (&file, "h.io/x", "docker-credential-pass"),
            (&store, "q.io/a", "docker-credential-desktop"),
        ] {
            let found = file.find(&image.parse().unwrap()).unwrap();
            let found = found.into_iter().map(|it| match it {
                CredentialSource::File(Credentials::Password { user, password }) => {
                    assert_eq!(password, "p:w");
                    user
                }
                CredentialSource::File(Credentials::IdentityToken(token)) => {
                    format!("token {token}")
                }
                CredentialSource::Helper(helper) => helper.program(),
            });
            let found = found.collect::<Vec<_>>().join(", ");
            assert_eq!(found, expected, "{image}");
        }
    }

    #[test]
    fn responses_of_helpers() {
        let password = |user: &str, password: &str| {
            Ok(Credentials::Password {
                user: user.to_owned(),
                password: password.to_owned(),
            })
        };
        let none = |text: &str| Err(text.to_owned());
        for (output, expected) in [
            (
                r#"{"ServerURL":"q.io","Username":"u","Secret":"s"}"#,
                password("u", "s"),
            ),
            (
                r#"{"Username":"<token>","Secret":"s"}"#,
                Ok(Credentials::IdentityToken("s".into())),
            ),
            (
                r#"{"Username":"","Secret":"s"}"#,
                none("the response has an empty Username or Secret"),
            ),
            (
                r#"{"Username":"u","Secret":7}"#,
                none("the response is not JSON with Username and Secret"),
            ),
            (
                "secret",
                none("the response is not JSON with Username and Secret"),
            ),
        ] {
            assert_eq!(CredentialHelper::parse(output.as_bytes()), expected);
        }
        assert!(CredentialHelper::is_not_found(
            b"credentials not found in native keychain\n"
        ));
        assert!(!CredentialHelper::is_not_found(b"error: locked"));
        for name in ["", "../x", "a/b", "a b", "a\n"] {
            let error = name.parse::<CredentialHelper>().unwrap_err();
            assert!(error.ends_with("is invalid"), "{error}");
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
