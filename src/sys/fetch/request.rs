// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request and its redirects.
//!
//! A separate thread sends the request and waits for the network. After a signal, the caller stops waiting and abandons
//! this thread, since a call that waits for a name server or a silent server cannot be interrupted. The thread writes
//! no file, so it can be abandoned at any time.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Proxy};

use super::proxy;
use super::resolver::{HostError, SystemResolver};
use super::tls::{Tls, TlsError};
use crate::sys::stop::{self, Stopped, TICK};

/// Size of a chunk of a body (bytes).
const CHUNK: usize = 256 * 1024;

/// Number of chunks that are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// Upper bound of redirects.
const REDIRECTS_MAX: u32 = 10;

/// An error of a request.
pub enum FetchError {
    /// A retry can help, after at least this pause.
    Temporary(anyhow::Error, Duration),
    /// A retry does not help.
    Permanent(anyhow::Error),
}

impl FetchError {
    /// Classifies an error of ureq. Errors of the network, of HTTP, of a proxy's CONNECT and of name resolution are
    /// temporary. All others are permanent, also those of TLS.
    fn of(error: ureq::Error) -> Self {
        use ureq::Error;
        let tls = match &error {
            Error::Io(error) => TlsError::in_io(error),
            Error::Rustls(error) => Some(TlsError::of(error)),
            _ => None,
        };
        if let Some(tls) = tls {
            return Self::Permanent(tls.into());
        }
        match error {
            Error::Timeout(_) => Self::temporary(anyhow!("the server does not respond in time")),
            Error::ConnectProxyFailed(why) => Self::temporary(anyhow!(
                "the proxy refused CONNECT ({why}); many proxies allow it only for HTTPS: try the https URL"
            )),
            Error::Io(_) | Error::ConnectionFailed | Error::Protocol(_) | Error::BodyStalled => {
                Self::temporary(error.into())
            }
            // The name server may be unreachable for a moment. A wrong name is not distinguished from this, and is
            // retried, too, as by curl --retry.
            Error::Other(error) if error.is::<HostError>() => Self::temporary(anyhow!("{error}")),
            Error::Other(error) => Self::Permanent(anyhow!("{error}")),
            error => Self::Permanent(error.into()),
        }
    }

    /// Returns whether the server answered in a protocol other than HTTP.
    pub fn is_of_another_protocol(&self) -> bool {
        let (Self::Temporary(error, _) | Self::Permanent(error)) = self;
        matches!(error.downcast_ref(), Some(ureq::Error::Protocol(_)))
    }

    /// Returns a temporary error that does not require a pause.
    pub fn temporary(error: anyhow::Error) -> Self {
        Self::Temporary(error, Duration::ZERO)
    }
}

impl From<Stopped> for FetchError {
    fn from(stopped: Stopped) -> Self {
        Self::Permanent(stopped.into())
    }
}

/// A response whose body has not been read yet.
pub struct Reply {
    /// Status and headers.
    pub head: Response<()>,
    /// The number of requests, including those that were redirected.
    pub hops: u32,
    /// The body.
    pub body: Incoming,
}

/// A body that another thread reads.
pub struct Incoming(Receiver<io::Result<Vec<u8>>>);

impl Incoming {
    /// Returns the next chunk; `None` at the end.
    ///
    /// # Errors
    /// [`Stopped`] after a signal. An error of the network is returned in place of a chunk.
    pub fn chunk(&mut self) -> Result<Option<io::Result<Vec<u8>>>, Stopped> {
        wait(&self.0)
    }
}

/// Waits for the next value that a thread sends; `None` if the thread has ended.
fn wait<T>(from: &Receiver<T>) -> Result<Option<T>, Stopped> {
    loop {
        stop::check()?;
        match from.recv_timeout(TICK) {
            Ok(next) => return Ok(Some(next)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Sends the chunks of a body, until the body ends, reading fails or the receiver is closed.
fn hand_over(mut body: impl Read, to: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let next = match body.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(error) => Err(error),
        };
        let is_last = next.is_err();
        if to.send(next).is_err() || is_last {
            return;
        }
    }
}

/// An HTTP request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The URL.
    pub url: String,
    /// The headers besides `Authorization`.
    pub headers: Vec<(&'static str, String)>,
    /// The header `Authorization`, which is not sent to another server after a redirect.
    pub authorization: Option<String>,
    /// The form to send in a POST request; `None` for a GET request.
    pub form: Option<String>,
}

/// An HTTP client.
#[derive(Clone)]
pub struct Client(Agent);

impl Client {
    /// Creates a client; `stall` is the timeout of a silent server.
    pub fn new(stall: Duration) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        Self::of(stall, tls.build())
    }

    /// Creates a client with these settings of TLS.
    ///
    /// # Errors
    /// When a certificate or key is damaged, or the client's key does not match its certificate.
    pub fn with_tls(stall: Duration, tls: &Tls) -> anyhow::Result<Self> {
        Ok(Self::of(stall, tls.config()?))
    }

    fn of(stall: Duration, tls: TlsConfig) -> Self {
        let stall = Some(stall);
        let config = Agent::config_builder()
            .timeout_resolve(stall)
            .timeout_connect(stall)
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .http_status_as_error(false)
            // Redirects are followed by `follow`, since each hop has its own proxy.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .tls_config(tls)
            .build();
        Self(Agent::with_parts(
            config,
            DefaultConnector::new(),
            SystemResolver::default(),
        ))
    }

    /// Sends a request, and follows redirects.
    ///
    /// # Errors
    /// When there is no response, a redirect cannot be followed, or the proxy cannot be used; after a signal.
    pub fn send(&self, request: Request) -> Result<Reply, FetchError> {
        let (to, answer) = mpsc::sync_channel(1);
        let (chunks, body) = mpsc::sync_channel(CHUNKS_AHEAD);
        let client = self.clone();
        thread::spawn(move || {
            let response = client.follow(&request);
            let (head, body) = match response {
                Ok((response, hops)) => {
                    let (head, body) = response.into_parts();
                    (Ok((Response::from_parts(head, ()), hops)), Some(body))
                }
                Err(error) => (Err(error), None),
            };
            if to.send(head).is_ok()
                && let Some(body) = body
            {
                hand_over(body.into_reader(), &chunks);
            }
        });
        let panicked =
            || FetchError::Permanent(anyhow!("the thread that sends the request has panicked"));
        let (head, hops) = wait(&answer)?.ok_or_else(panicked)??;
        Ok(Reply {
            head,
            hops,
            body: Incoming(body),
        })
    }

    /// Sends a request and follows redirects. Returns the response and the number of requests.
    fn follow(&self, request: &Request) -> Result<(Response<Body>, u32), FetchError> {
        let mut at = request.url.clone();
        let mut authorization = request.authorization.as_deref();
        for hops in 1..=REDIRECTS_MAX + 1 {
            let response = self.hop(&at, request, authorization)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((response, hops));
            }
            if request.form.is_some() {
                return Err(FetchError::Permanent(anyhow!(
                    "the server redirects a POST request"
                )));
            }
            let Some(location) = header(&response, "location") else {
                return Err(FetchError::Permanent(anyhow!(
                    "a redirect without a Location header"
                )));
            };
            let next = join(&at, location);
            if !super::is_url(&next) {
                return Err(FetchError::Permanent(anyhow!(
                    "the server redirects to {next}; only http and https are followed"
                )));
            }
            tracing::debug!("{at} redirects to {next}");
            if origin(&at) != origin(&next) {
                authorization = None;
            }
            at = next;
        }
        Err(FetchError::Permanent(anyhow!(
            "more than {REDIRECTS_MAX} redirects, the last to {at}"
        )))
    }

    fn hop(
        &self,
        url: &str,
        request: &Request,
        authorization: Option<&str>,
    ) -> Result<Response<Body>, FetchError> {
        let uri: Uri = url
            .parse()
            .map_err(|error| FetchError::Permanent(anyhow!("not a URL: {error}")))?;
        let variable = |name: &str| std::env::var(name).ok();
        let (scheme, host) = (uri.scheme_str(), uri.host());
        let proxy = proxy::choose(
            scheme.unwrap_or_default(),
            host.unwrap_or_default(),
            &variable,
        );
        let proxy = proxy.map(|proxy| through(&proxy)).transpose()?;
        let mut headers: Vec<_> = request.headers.clone();
        headers.extend(authorization.map(|it| ("authorization", it.to_owned())));
        let sent = match &request.form {
            None => {
                let mut builder = self.0.get(uri).config().proxy(proxy).build();
                for (name, value) in headers {
                    builder = builder.header(name, value);
                }
                builder.call()
            }
            Some(form) => {
                headers.push(("content-type", "application/x-www-form-urlencoded".into()));
                let mut builder = self.0.post(uri).config().proxy(proxy).build();
                for (name, value) in headers {
                    builder = builder.header(name, value);
                }
                builder.send(form)
            }
        };
        sent.map_err(FetchError::of)
    }
}

/// Returns scheme, host and port (or the default port) of a URL; `None` without a scheme or a host.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(port);
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

fn through(proxy: &str) -> Result<Proxy, FetchError> {
    let is_http = proxy.starts_with("http://") || proxy.starts_with("https://");
    if let Ok(found) = Proxy::new(proxy)
        && is_http
    {
        return Ok(found);
    }
    Err(FetchError::Permanent(anyhow!(
        "the proxy {proxy} of the environment cannot be used; expected http://HOST:PORT"
    )))
}

/// Returns a header of a response; `None` if it is missing or is not ASCII text.
pub fn header<'a, T>(response: &'a Response<T>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Returns the offset of the first byte of the range in a response; `None` without a valid `Content-Range`.
pub fn range_start<T>(response: &Response<T>) -> Option<u64> {
    let range = header(response, "content-range").unwrap_or_default();
    let start = range
        .strip_prefix("bytes ")
        .and_then(|range| range.split('-').next());
    start.and_then(|start| start.parse().ok())
}

/// Returns the error for a response with an unexpected status: temporary if a retry can help, else permanent.
pub fn refused<T>(response: &Response<T>) -> FetchError {
    let status = response.status().as_u16();
    let error = anyhow!("the server answered with status {status}");
    if !matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504) {
        return FetchError::Permanent(error);
    }
    let seconds = header(response, "retry-after").and_then(|text| text.parse().ok());
    FetchError::Temporary(error, Duration::from_secs(seconds.unwrap_or(0)))
}

/// Resolves the value of a `Location` header against the URL `base`.
fn join(base: &str, location: &str) -> String {
    let scheme = location.split_once(':').map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| !scheme.contains(['/', '?', '#'])) {
        return location.to_owned();
    }
    let whole = base.split('#').next().unwrap_or_default();
    let base = whole.split('?').next().unwrap_or_default();
    let start = base.find("://").map_or(0, |at| at + 3);
    let host_end = base[start..].find('/').map_or(base.len(), |at| start + at);
    if location.starts_with("//") {
        format!("{}{location}", &base[..start - 2])
    } else if location.starts_with('/') {
        format!("{}{location}", &base[..host_end])
    } else if location.is_empty() || location.starts_with('#') {
        format!("{whole}{location}")
    } else if location.starts_with('?') {
        format!("{base}{location}")
    } else {
        let dir = base[host_end..]
            .rfind('/')
            .map_or("/", |at| &base[host_end..=host_end + at]);
        format!("{}{dir}{location}", &base[..host_end])
    }
}

#[cfg(test)]
mod tests {
    use super::{join, origin};

    #[test]
    fn a_server_is_scheme_host_and_port() {
        let is_same = |one, other| origin(one) == origin(other);
        assert!(is_same("https://a/x", "https://A:443/y"));
        assert!(is_same("http://a:80", "http://a/"));
        for other in [
            "http://a/x",
            "https://b/x",
            "https://a:444/x",
            "https://a.b/x",
        ] {
            assert!(!is_same("https://a/x", other), "{other}");
        }
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        for (location, expected) in [
            ("https://other/x", "https://other/x"),
            ("file:///etc/passwd", "file:///etc/passwd"),
            ("data:text/html,x", "data:text/html,x"),
            ("//other/x", "http://other/x"),
            ("/x?y=http://z", "http://host:1/x?y=http://z"),
            ("x", "http://host:1/a/x"),
            ("?x", "http://host:1/a/b?x"),
            ("#x", "http://host:1/a/b?c=/d#x"),
        ] {
            assert_eq!(join("http://host:1/a/b?c=/d", location), expected);
        }
        assert_eq!(join("http://host", "x"), "http://host/x");
    }
}
