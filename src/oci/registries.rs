// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mirrors and locations of registries, and the order of credential helpers (containers-registries.conf(5)).

use serde::Deserialize;

use super::credentials::CredentialHelper;
use super::reference::{Docker, ImageVersion};

/// The entries and the credential helpers of all parsed files.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    entries: Vec<Entry>,
    credential_helpers: Vec<String>,
}

/// The value in `credential-helpers` that stands for the credential files.
const AUTH_FILES: &str = "containers-auth.json";

/// A place to fetch an image from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// The reference of the image at this place.
    pub image: Docker,
    /// Whether http and unverified certificates are allowed.
    pub is_insecure: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    registry: Vec<Entry>,
    credential_helpers: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Entry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

impl Registries {
    /// Adds a file. Its entries replace earlier entries with the same prefix. If it has a list of credential helpers
    /// that is not empty, the list replaces the earlier list.
    ///
    /// # Errors
    /// When the text is not TOML, or a key has the wrong type.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        for entry in file.registry {
            self.entries.retain(|old| old.prefix() != entry.prefix());
            self.entries.push(entry);
        }
        if !file.credential_helpers.is_empty() {
            self.credential_helpers = file.credential_helpers;
        }
        Ok(())
    }

    /// Returns the places that are searched for credentials, in order. Each place is a credential helper, or the
    /// credential files (`None`). Without a list of credential helpers, the only place is the credential files.
    ///
    /// # Errors
    /// When the name of a credential helper is invalid.
    pub fn credential_helpers(&self) -> Result<Vec<Option<CredentialHelper>>, String> {
        let helper = |name: &String| match name.as_str() {
            AUTH_FILES => Ok(None),
            name => name.parse().map(Some),
        };
        if self.credential_helpers.is_empty() {
            return Ok(vec![None]);
        }
        self.credential_helpers.iter().map(helper).collect()
    }

    /// Returns the places of an image, in the order in which they are tried: the mirrors for its kind of version (tag
    /// or digest), then the location. They are those of the entry with the longest matching prefix. Without such an
    /// entry, the only place is the image itself.
    ///
    /// # Errors
    /// When the registry is blocked, or a location in a file is invalid.
    pub fn sources(&self, image: &Docker) -> Result<Vec<ImageSource>, String> {
        let name = format!("{}/{}", image.host, image.name);
        let matching = self.entries.iter().filter_map(|entry| {
            let length = entry.matched(&name)?;
            Some((length, entry))
        });
        let Some((length, entry)) = matching.max_by_key(|(length, _)| *length) else {
            return Ok(vec![ImageSource {
                image: image.clone(),
                is_insecure: false,
            }]);
        };
        if entry.blocked {
            return Err(format!(
                "the registry {} is blocked in registries.conf",
                entry.prefix()
            ));
        }
        let rest = &name[length..];
        let at = |location: &str, is_insecure| {
            // An entry whose prefix starts with a wildcard need not have a location.
            let place = match location {
                "" => name.clone(),
                location => format!("{}{rest}", location.trim_end_matches('/')),
            };
            let found: Docker = format!("{place}{}", image.version)
                .parse()
                .map_err(|error| format!("the location {location} of registries.conf: {error}"))?;
            Ok::<_, String>(ImageSource {
                image: found,
                is_insecure,
            })
        };
        let by_digest = matches!(image.version, ImageVersion::BlobDigest(_));
        let mut sources = Vec::new();
        for mirror in &entry.mirror {
            let is_used = match mirror.pull_from_mirror.as_str() {
                "digest-only" => by_digest,
                "tag-only" => !by_digest,
                _ => by_digest || !entry.mirror_by_digest_only,
            };
            if is_used {
                sources.push(at(&mirror.location, mirror.insecure)?);
            }
        }
        sources.push(at(&entry.location, entry.insecure)?);
        Ok(sources)
    }
}

impl Entry {
    fn prefix(&self) -> &str {
        match self.prefix.as_str() {
            "" => &self.location,
            prefix => prefix,
        }
    }

    /// Returns the length of the part of `name` that the prefix matches; `None` if it does not match.
    fn matched(&self, name: &str) -> Option<usize> {
        let prefix = self.prefix();
        if let Some(domain) = prefix.strip_prefix('*') {
            let host = name.split('/').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            let is_below = domain.starts_with('.') && host.ends_with(domain);
            return is_below.then_some(host.len());
        }
        let rest = name.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_before_the_location() {
        let digest = super::super::digest::BlobDigest::of(b"");
        let mut registries = Registries::default();
        let text = r#"
            unqualified-search-registries = ["docker.io"]
            [[registry]]
            prefix = "quay.io/okd"
            location = "quay.io/other"
            [[registry.mirror]]
            location = "mirror.local:5000/okd/"
            insecure = true
            [[registry.mirror]]
            location = "digests.local/okd"
            pull-from-mirror = "digest-only"
            [[registry]]
            location = "quay.io"
            mirror-by-digest-only = true
            [[registry.mirror]]
            location = "second.local"
            [[registry]]
            prefix = "*.blocked.org"
            blocked = true
            [[registry]]
            location = "wrong.io"
            [[registry.mirror]]
            location = "SHORT"
        "#;
        registries.add(text).unwrap();
        let by_digest = format!("quay.io/okd/a@{digest}");
        let with = |place: &str| format!("{place}@{digest}");
        for (image, expected) in [
            (
                "quay.io/okd/a:t",
                vec![
                    "mirror.local:5000/okd/a:t insecure".to_owned(),
                    "quay.io/other/a:t".into(),
                ],
            ),
            (
                by_digest.as_str(),
                vec![
                    with("mirror.local:5000/okd/a") + " insecure",
                    with("digests.local/okd/a"),
                    with("quay.io/other/a"),
                ],
            ),
            ("quay.io/okdx/a:t", vec!["quay.io/okdx/a:t".into()]),
            ("other.io/a:t", vec!["other.io/a:t".into()]),
        ] {
            let sources = registries.sources(&image.parse().unwrap()).unwrap();
            let sources = sources.iter().map(|it| {
                let insecure = if it.is_insecure { " insecure" } else { "" };
                format!("{}{insecure}", it.image)
            });
            assert_eq!(sources.collect::<Vec<_>>(), expected, "{image}");
        }
        for (image, expected) in [
            ("a.blocked.org/x", "*.blocked.org is blocked"),
            ("wrong.io/x", "the location SHORT of registries.conf"),
        ] {
            let error = registries.sources(&image.parse().unwrap()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        // A later file replaces an entry.
        registries
            .add("[[registry]]\nlocation = \"quay.io/x\"\nprefix = \"quay.io/okd\"")
            .unwrap();
        let sources = registries
            .sources(&"quay.io/okd/a".parse().unwrap())
            .unwrap();
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].image.to_string(), "quay.io/x/a:latest");
        registries.add("[[registry").unwrap_err();
    }

    #[test]
    fn credential_helpers_are_in_order() {
        let mut registries = Registries::default();
        assert_eq!(registries.credential_helpers(), Ok(vec![None]));
        let text = r#"credential-helpers = ["pass", "containers-auth.json"]"#;
        registries.add(text).unwrap();
        registries.add("").unwrap();
        let expected = vec![Some("pass".parse().unwrap()), None];
        assert_eq!(registries.credential_helpers(), Ok(expected));
        registries.add(r#"credential-helpers = ["/x"]"#).unwrap();
        registries.credential_helpers().unwrap_err();
    }
}
