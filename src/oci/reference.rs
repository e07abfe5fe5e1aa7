// SPDX-License-Identifier: MIT OR Apache-2.0
//! References to images, as skopeo and podman write them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::digest::BlobDigest;

/// The transports that can be read, for messages.
pub const TRANSPORTS: &str =
    "docker://, oci:, oci-archive:, docker-archive:, dir:, containers-storage:";

/// A reference to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageReference {
    /// `docker://HOST/NAME[:TAG][@DIGEST]`.
    Docker(Docker),
    /// `oci:DIR[:TAG]`.
    Oci(PathBuf, Option<String>),
    /// `oci-archive:FILE[:TAG]`.
    OciArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:REFERENCE]`.
    DockerArchive(PathBuf, Option<String>),
    /// `dir:DIR`.
    Dir(PathBuf),
    /// `containers-storage:REFERENCE`.
    ContainersStorage(String),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// The registry: a host with an optional port.
    pub host: String,
    /// The repository, for example `library/fedora`.
    pub name: String,
    /// The tag, or the digest if the reference has one.
    pub version: ImageVersion,
}

/// The version of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageVersion {
    /// A tag.
    Tag(String),
    /// A digest of a manifest or of an index.
    BlobDigest(BlobDigest),
}

/// The reason why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has no transport, or an unknown one.
    #[error("it has no transport; expected one of {TRANSPORTS}")]
    NoTransport,
    /// It has a known transport that is not supported.
    #[error("the transport {0}: is not supported; expected one of {TRANSPORTS}")]
    OtherTransport(String),
    /// The part after the transport is invalid.
    #[error("{0}")]
    Wrong(String),
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (transport, rest) = text.split_once(':').ok_or(ReferenceError::NoTransport)?;
        let wrong = |why: &str| ReferenceError::Wrong(why.to_owned());
        let place = |form: &str| {
            if rest.is_empty() {
                return Err(wrong(&format!("it has no path; expected {form}")));
            }
            Ok(match rest.split_once(':') {
                Some((path, tag)) => (PathBuf::from(path), Some(tag.to_owned())),
                None => (PathBuf::from(rest), None),
            })
        };
        Ok(match transport {
            "docker" => match rest.strip_prefix("//") {
                Some(name) => Self::Docker(name.parse()?),
                None => return Err(wrong("expected docker:// before the name of the image")),
            },
            "oci" => {
                let (path, tag) = place("oci:DIR[:TAG]")?;
                Self::Oci(path, tag)
            }
            "oci-archive" => {
                let (path, tag) = place("oci-archive:FILE[:TAG]")?;
                Self::OciArchive(path, tag)
            }
            "docker-archive" => {
                let (path, tag) = place("docker-archive:FILE[:REFERENCE]")?;
                Self::DockerArchive(path, tag)
            }
            "dir" if rest.is_empty() => return Err(wrong("it has no path; expected dir:DIR")),
            "dir" => Self::Dir(rest.into()),
            "containers-storage" if rest.is_empty() => {
                return Err(wrong(
                    "it has no name; expected containers-storage:NAME[:TAG]",
                ));
            }
            "containers-storage" => Self::ContainersStorage(rest.to_owned()),
            "docker-daemon"
            | "ostree"
            | "ostree-image-signed"
            | "ostree-unverified-registry"
            | "ostree-unverified-image"
            | "ostree-remote-registry"
            | "sif"
            | "atomic"
            | "registry"
            | "http"
            | "https" => {
                return Err(ReferenceError::OtherTransport(transport.to_owned()));
            }
            _ => return Err(ReferenceError::NoTransport),
        })
    }
}

impl FromStr for Docker {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |why: String| Err(ReferenceError::Wrong(why));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => match digest.parse::<BlobDigest>() {
                Ok(digest) => (rest, Some(digest)),
                Err(error) => return wrong(error.to_string()),
            },
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match rest[slash..].find(':') {
            Some(at) => (&rest[..slash + at], Some(&rest[slash + at + 1..])),
            None => (rest, None),
        };
        let (host, name) = match path.split_once('/') {
            Some((host, name)) if host.contains(['.', ':']) || host == "localhost" => (host, name),
            _ => {
                return wrong(format!(
                    "{text} is a short name, which is not supported. Type the name with its registry, for example docker://docker.io/library/{path}"
                ));
            }
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if !host.bytes().all(is_host) {
            return wrong(format!(
                "{} is not the name of a registry",
                host.escape_debug()
            ));
        }
        let is_part = |part: &str| {
            let is_name = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            !part.is_empty() && part.bytes().all(is_name) && part.trim_matches('.') == part
        };
        if !name.split('/').all(is_part) || name.len() > 255 {
            return wrong(format!(
                "{} is not the name of a repository: lower-case letters, digits, and . _ - / between them",
                name.escape_debug()
            ));
        }
        let version = match (digest, tag) {
            (Some(digest), _) => ImageVersion::BlobDigest(digest),
            (None, tag) => {
                let tag = tag.unwrap_or("latest");
                let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                let starts = !tag.starts_with(['.', '-']) && !tag.is_empty();
                if tag.len() > 128 || !tag.bytes().all(is_tag) || !starts {
                    return wrong(format!("{} is not a tag", tag.escape_debug()));
                }
                ImageVersion::Tag(tag.to_owned())
            }
        };
        // On Docker Hub, images without a user name are in `library`.
        let name = match (host, name.contains('/')) {
            ("docker.io" | "index.docker.io", false) => format!("library/{name}"),
            _ => name.to_owned(),
        };
        Ok(Self {
            host: host.to_owned(),
            name,
            version,
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, tag) = match self {
            Self::Docker(image) => return write!(f, "docker://{image}"),
            Self::ContainersStorage(name) => return write!(f, "containers-storage:{name}"),
            Self::Dir(path) => ("dir", path, &None),
            Self::Oci(path, tag) => ("oci", path, tag),
            Self::OciArchive(path, tag) => ("oci-archive", path, tag),
            Self::DockerArchive(path, tag) => ("docker-archive", path, tag),
        };
        write!(f, "{transport}:{}", path.display())?;
        match tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.host, self.name, self.version)
    }
}

impl fmt::Display for ImageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::BlobDigest(digest) => write!(f, "@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_skopeo_accepts() {
        let digest = BlobDigest::of(b"");
        for (text, expected) in [
            (
                "docker://quay.io/a/b:c",
                "docker://quay.io/a/b:c".to_owned(),
            ),
            ("docker://quay.io/a/b", "docker://quay.io/a/b:latest".into()),
            ("docker://localhost/a", "docker://localhost/a:latest".into()),
            (
                "docker://localhost:5000/a:1",
                "docker://localhost:5000/a:1".into(),
            ),
            ("docker://[::1]:5000/a:1", "docker://[::1]:5000/a:1".into()),
            (
                "docker://docker.io/fedora",
                "docker://docker.io/library/fedora:latest".into(),
            ),
            (
                &format!("docker://q.io/a:t@{digest}"),
                format!("docker://q.io/a@{digest}"),
            ),
            ("oci:/x/y:z", "oci:/x/y:z".into()),
            ("oci:x", "oci:x".into()),
            (
                "oci-archive:a.tar:q.io/a:b",
                "oci-archive:a.tar:q.io/a:b".into(),
            ),
            ("docker-archive:a.tar", "docker-archive:a.tar".into()),
            ("dir:/a:b", "dir:/a:b".into()),
            (
                "containers-storage:localhost/a:b",
                "containers-storage:localhost/a:b".into(),
            ),
        ] {
            let reference: ImageReference = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(reference.to_string(), expected);
        }
    }

    #[test]
    fn invalid_references() {
        for (text, expected) in [
            ("/usr/lib", "no transport"),
            ("initramfs.img", "no transport"),
            ("a:b", "no transport"),
            ("docker:quay.io/a", "expected docker://"),
            ("docker://fedora", "docker://docker.io/library/fedora"),
            (
                "docker://library/fedora:40",
                "docker://docker.io/library/library/fedora",
            ),
            ("docker://q.io/", "not the name of a repository"),
            ("docker://q.io/A", "not the name of a repository"),
            ("docker://q.io/a/../b", "not the name of a repository"),
            ("docker://q.io/a?x", "not the name of a repository"),
            ("docker://q.io/a:", "is not a tag"),
            ("docker://q.io/a:x\n", "is not a tag"),
            ("docker://q.io/a@sha256:0", "is not a digest"),
            ("docker://q.io@evil/a", "is not a digest"),
            ("docker://q\n.io/a", "not the name of a registry"),
            ("docker-daemon:a", "docker-daemon: is not supported"),
            ("ostree-unverified-registry:q.io/a", "is not supported"),
            ("https://q.io/a", "https: is not supported"),
            ("oci:", "it has no path"),
            ("dir:", "it has no path"),
            ("containers-storage:", "it has no name"),
        ] {
            let error = text.parse::<ImageReference>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
