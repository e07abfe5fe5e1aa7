// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to one repository of a registry: scheme, credentials, retries.

mod token;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Result, anyhow};
use serde::Deserialize;

use super::credentials::CredentialSearch;
use super::{RegistryOptions, Traffic};
use crate::oci::{Challenge, Docker, ImageSource, OciError, Registries};
use crate::sys::fetch::{
    Client, DownloadLimits, FetchError, Pace, Reply, Request, Retries, TlsError, refused,
};
use crate::sys::stop;

use super::super::settings;

/// Upper bound of the body of an error response (bytes).
const ERROR_MAX: u64 = 64 << 10;

/// A session with one repository of a registry.
pub(super) struct Session {
    image: Docker,
    client: Client,
    credentials: CredentialSearch,
    /// The schemes that may be tried, in order of preference.
    schemes: &'static [&'static str],
    scheme: OnceLock<&'static str>,
    authorization: Mutex<Option<String>>,
    refuses_ranges: AtomicBool,
    traffic: Arc<Traffic>,
    limits: DownloadLimits,
}

impl Session {
    /// Reads the files with credentials and certificates. Sends no request and runs no credential helper.
    pub(super) fn new(
        source: ImageSource,
        options: &RegistryOptions,
        registries: &Registries,
        traffic: &Arc<Traffic>,
    ) -> Result<Self> {
        let image = source.image;
        let is_insecure = source.is_insecure || !options.tls_verify;
        let tls = settings::tls(&image.host, options.cert_dir.as_deref(), is_insecure)?;
        let schemes: &[_] = if is_insecure || is_loopback(&image.host) {
            &["https", "http"]
        } else {
            &["https"]
        };
        Ok(Self {
            client: Client::with_tls(options.limits.stall, &tls)?,
            credentials: CredentialSearch::new(
                &image,
                options.authfile.as_deref(),
                registries,
                options.helper_limit,
            )?,
            image,
            schemes,
            scheme: OnceLock::new(),
            authorization: Mutex::new(None),
            refuses_ranges: AtomicBool::new(false),
            traffic: Arc::clone(traffic),
            limits: options.limits.clone(),
        })
    }

    /// Returns the image: the registry, the repository and the version.
    pub(super) fn image(&self) -> &Docker {
        &self.image
    }

    /// Logs that another registry is used instead of this one.
    ///
    /// # Errors
    /// [`Stopped`](stop::Stopped) after a signal.
    pub(super) fn pass_over(&self, error: &anyhow::Error) -> Result<()> {
        stop::check()?;
        tracing::info!("{}: {error:#}; asking the next registry", self.image);
        Ok(())
    }

    /// Returns whether to request ranges: `true` until the registry refuses one.
    pub(super) fn has_ranges(&self) -> bool {
        !self.refuses_ranges.load(Ordering::Relaxed)
    }

    /// Records that the registry refuses ranges.
    pub(super) fn without_ranges(&self) {
        self.refuses_ranges.store(true, Ordering::Relaxed);
    }

    pub(super) fn limits(&self) -> &DownloadLimits {
        &self.limits
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Fetches a document of at most `limit` bytes, with retries. Also returns the digest in the response's header, if
    /// there is one.
    pub(super) fn document(
        &self,
        path: &str,
        accept: &str,
        limit: u64,
    ) -> Result<(Vec<u8>, Option<String>)> {
        let mut retries = Retries::new(&self.limits.pauses);
        loop {
            let read = || {
                let reply = self.get(path, &[("accept", accept.to_owned())])?;
                if reply.head.status() != 200 {
                    return Err(self.explain(reply, path));
                }
                let digest = reply.head.headers().get("docker-content-digest");
                let digest = digest.and_then(|it| it.to_str().ok()).map(str::to_owned);
                Ok((self.read(reply, limit, "manifest_bytes")?, digest))
            };
            match read() {
                Ok(found) => return Ok(found),
                Err(error) => retries.wait(error, path)?,
            }
        }
    }

    /// Reads a body of at most `limit` bytes; `name` is the name of the limit.
    pub(super) fn read(
        &self,
        mut reply: Reply,
        limit: u64,
        name: &'static str,
    ) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let mut pace = Pace::new(self.limits.stall);
        while let Some(chunk) = reply.body.chunk()? {
            let chunk = chunk.map_err(|error| pace.broken(error, bytes.len() as u64))?;
            self.traffic.add_bytes(chunk.len());
            bytes.extend(&chunk);
            if bytes.len() as u64 > limit {
                let limit = OciError::Limit { name, value: limit };
                return Err(FetchError::Permanent(limit.into()));
            }
            pace.add(chunk.len() as u64)?;
        }
        Ok(bytes)
    }

    /// Sends a request about the repository, with a token or a password if the registry requires one. Returns the
    /// response whatever its status is, except 401.
    pub(super) fn get(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Reply, FetchError> {
        let reply = self.ask(path, headers)?;
        if reply.head.status() != 401 {
            return Ok(reply);
        }
        let values = reply.head.headers().get_all("www-authenticate");
        let challenge = Challenge::of(values.iter().filter_map(|it| it.to_str().ok()));
        let Some(challenge) = challenge else {
            return Err(FetchError::Permanent(self.denied(
                "the registry asks for credentials, but neither for a token nor for a password",
                401,
            )));
        };
        let scheme = self.scheme.get().copied().unwrap_or("https");
        let credentials = self.credentials.get().map_err(FetchError::Permanent)?;
        let authorization = token::authorize(self, &challenge, credentials.as_ref(), scheme)?;
        *self.authorization() = Some(authorization);
        let reply = self.ask(path, headers)?;
        if reply.head.status() == 401 {
            let why = "the registry refuses the token or the password that it requested";
            return Err(FetchError::Permanent(self.denied(why, 401)));
        }
        Ok(reply)
    }

    /// Sends a request to the registry or to a token server, and counts it and its redirects.
    pub(super) fn send(&self, request: Request) -> Result<Reply, FetchError> {
        let reply = self.client.send(request)?;
        self.traffic.add_requests(reply.hops);
        Ok(reply)
    }

    fn authorization(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        let locked = self.authorization.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, path: &str, headers: &[(&'static str, String)]) -> Result<Reply, FetchError> {
        let host = match self.image.host.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            host => host,
        };
        let request = |scheme: &str| Request {
            url: format!("{scheme}://{host}/v2/{}/{path}", self.image.name),
            headers: headers.to_vec(),
            authorization: self.authorization().clone(),
            form: None,
        };
        if let Some(scheme) = self.scheme.get() {
            return self.send(request(scheme));
        }
        let mut failed: Option<FetchError> = None;
        for scheme in self.schemes {
            match self.send(request(scheme)) {
                // A server that expects TLS answers an http request with status 400. The error of the https request is
                // reported instead.
                Ok(reply) if failed.is_some() && reply.head.status() == 400 => break,
                Ok(reply) => {
                    let _ = self.scheme.set(scheme);
                    return Ok(reply);
                }
                Err(FetchError::Permanent(error)) if is_about_certificates(&error) => {
                    return Err(FetchError::Permanent(self.advise(error)));
                }
                Err(error) => {
                    stop::check()?;
                    tracing::debug!("{host} does not answer over {scheme}");
                    // If the server does not speak http either, the error of the https request is reported.
                    if failed.is_none() || !error.is_of_another_protocol() {
                        failed = Some(error);
                    }
                }
            }
        }
        Err(match failed {
            Some(FetchError::Permanent(error)) if error.is::<TlsError>() => FetchError::Permanent(
                anyhow!("{host}: {error}. If the registry speaks http, add --tls-verify=false"),
            ),
            Some(error) => error,
            None => FetchError::Permanent(anyhow!("no scheme (http, https) is allowed")),
        })
    }

    /// Adds the registry and the remedy to an error about certificates.
    fn advise(&self, error: anyhow::Error) -> anyhow::Error {
        let host = &self.image.host;
        let dir = format!("/etc/containers/certs.d/{host}");
        let remedy = match error.downcast_ref() {
            Some(TlsError::Client(_)) => format!(
                "Put the client's certificate and its key into {dir}/client.cert and {dir}/client.key, or add --cert-dir DIR"
            ),
            _ => format!(
                "Check the name {host}. If its authority is your own, put the certificate of the authority into {dir}/ca.crt, or add --cert-dir DIR; --tls-verify=false accepts any certificate"
            ),
        };
        anyhow!("{host}: {error}. {remedy}")
    }

    /// Returns the error for a response without the requested content.
    pub(super) fn explain(&self, reply: Reply, path: &str) -> FetchError {
        let Docker { host, name, .. } = &self.image;
        let status = reply.head.status().as_u16();
        let error = refused(&reply.head);
        let message = self.message(reply);
        let with = |text: String| match &message {
            Some(message) => anyhow!("{text}: {message}"),
            None => anyhow!("{text}"),
        };
        match (status, error) {
            (403, _) => FetchError::Permanent(self.denied(
                &format!("the registry refuses access{}", suffix(&message)),
                403,
            )),
            (404, _) => {
                let what = path.replace('/', " ");
                FetchError::Permanent(with(format!(
                    "the registry {host} has no {what} in the repository {name} (status 404)"
                )))
            }
            (_, FetchError::Temporary(error, pause)) => {
                FetchError::Temporary(with(error.to_string()), pause)
            }
            (_, FetchError::Permanent(error)) => FetchError::Permanent(with(error.to_string())),
        }
    }

    /// Returns the error for a denied access, with the remedy.
    pub(super) fn denied(&self, why: &str, status: u16) -> anyhow::Error {
        let Docker { host, name, .. } = &self.image;
        let remedy = self.credentials.remedy();
        anyhow!("access to {host}/{name} is denied (status {status}): {why}. {remedy}")
    }

    /// Returns the first message in the body of an error response, which has the format of the distribution API.
    fn message(&self, reply: Reply) -> Option<String> {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Message>,
        }
        #[derive(Deserialize)]
        struct Message {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let bytes = self.read(reply, ERROR_MAX, "error_bytes").ok()?;
        let errors: Errors = serde_json::from_slice(&bytes).ok()?;
        let first = errors.errors.into_iter().next()?;
        let text = format!("{} {}", first.code, first.message);
        let text: String = text.trim().chars().take(300).collect();
        Some(text.escape_debug().to_string()).filter(|text| !text.is_empty())
    }
}

fn suffix(message: &Option<String>) -> String {
    let message = message.as_ref();
    message.map_or_else(String::new, |message| format!(": {message}"))
}

/// Returns whether the server has answered over TLS, and its certificate or that of this client was refused.
fn is_about_certificates(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(TlsError::Untrusted(_) | TlsError::Client(_))
    )
}

/// Returns whether a registry is on this machine, where http is common.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn http_is_tried_on_this_machine_only() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.evil.org",
            "127.0.0.1.evil.org",
            "10.0.0.1",
            "[::2]:1",
            "quay.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
