// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request and its redirects.
//!
//! The network is waited for by a thread that touches no file. Who no longer wants to wait, since we
//! are to stop, leaves it behind: name servers, connections and silent servers cannot be hurried.

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
use super::resolver::{ResolveError, SystemResolver};
use crate::sys::stop::{self, Stopped, TICK};

/// How many bytes of a body are handed over at once.
const CHUNK: usize = 256 * 1024;

/// How many chunks wait to be taken.
const CHUNKS_AHEAD: usize = 4;

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;

/// What went wrong, and whether another attempt may help.
pub enum Trouble {
    /// It may, after a pause of at least so long.
    Passing(anyhow::Error, Duration),
    /// It will not.
    Lasting(anyhow::Error),
}

impl Trouble {
    /// An error of ureq: what the network did may pass, what the user typed will not.
    fn of(error: ureq::Error) -> Self {
        use ureq::Error;
        match error {
            Error::Timeout(_) => Self::passing(anyhow!("the server does not answer in time")),
            Error::ConnectProxyFailed(why) => Self::passing(anyhow!(
                "the proxy gives no tunnel ({why}); many give one to https only: try the https URL"
            )),
            Error::Io(_) | Error::ConnectionFailed | Error::Protocol(_) | Error::BodyStalled => {
                Self::passing(error.into())
            }
            // A name server may be unreachable for a moment; as curl --retry, this does not tell that from a wrong name.
            Error::Other(error) if error.is::<ResolveError>() => Self::passing(anyhow!("{error}")),
            Error::Other(error) => Self::Lasting(anyhow!("{error}")),
            error => Self::Lasting(error.into()),
        }
    }

    /// Another attempt may help, at once.
    pub fn passing(error: anyhow::Error) -> Self {
        Self::Passing(error, Duration::ZERO)
    }
}

impl From<Stopped> for Trouble {
    fn from(stopped: Stopped) -> Self {
        Self::Lasting(stopped.into())
    }
}

/// An answer, whose body is still to come.
pub struct Answer {
    /// Status and headers.
    pub head: Response<()>,
    /// The rest.
    pub body: Incoming,
}

/// A body that is coming.
pub struct Incoming(Receiver<io::Result<Vec<u8>>>);

impl Incoming {
    /// What has come next; `None` at the end.
    ///
    /// # Errors
    /// [`Stopped`] when we are to stop. What the network did wrong is inside.
    pub fn next(&mut self) -> Result<Option<io::Result<Vec<u8>>>, Stopped> {
        wait(&self.0)
    }
}

/// What the thread has to say next; `None` when it has ended.
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

/// Hands a body over until nobody takes it any more.
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

/// Asks servers.
#[derive(Clone)]
pub struct Client(Agent);

impl Client {
    /// `stall`: how long a server may be silent.
    pub fn new(stall: Duration) -> Self {
        let stall = Some(stall);
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let config = Agent::config_builder()
            .timeout_resolve(stall)
            .timeout_connect(stall)
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .http_status_as_error(false)
            // Each hop is judged here, and has its own proxy.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .tls_config(tls.build())
            .build();
        Self(Agent::with_parts(
            config,
            DefaultConnector::new(),
            SystemResolver::default(),
        ))
    }

    /// The answer to a GET with these headers, of the place that redirects lead to.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Trouble> {
        let (to, answer) = mpsc::sync_channel(1);
        let (chunks, body) = mpsc::sync_channel(CHUNKS_AHEAD);
        let (client, url) = (self.clone(), url.to_owned());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<_> = headers.iter().map(owned).collect();
        thread::spawn(move || {
            let response = client.follow(&url, &headers);
            let (head, body) = match response.map(Response::into_parts) {
                Ok((head, body)) => (Ok(Response::from_parts(head, ())), Some(body)),
                Err(trouble) => (Err(trouble), None),
            };
            if to.send(head).is_ok()
                && let Some(body) = body
            {
                hand_over(body.into_reader(), &chunks);
            }
        });
        let panicked = || Trouble::Lasting(anyhow!("the thread that asks the server has panicked"));
        Ok(Answer {
            head: wait(&answer)?.ok_or_else(panicked)??,
            body: Incoming(body),
        })
    }

    fn follow(&self, url: &str, headers: &[(String, String)]) -> Result<Response<Body>, Trouble> {
        let mut at = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let response = self.hop(&at, headers)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let Some(location) = header(&response, "location") else {
                return Err(Trouble::Lasting(anyhow!("a redirect to nowhere")));
            };
            let next = join(&at, location);
            if !super::is_url(&next) {
                return Err(Trouble::Lasting(anyhow!(
                    "the server redirects to {next}; only http and https are followed"
                )));
            }
            tracing::debug!("{at} redirects to {next}");
            at = next;
        }
        Err(Trouble::Lasting(anyhow!(
            "more than {REDIRECTS_MAX} redirects, the last to {at}"
        )))
    }

    fn hop(&self, url: &str, headers: &[(String, String)]) -> Result<Response<Body>, Trouble> {
        let uri: Uri = url
            .parse()
            .map_err(|error| Trouble::Lasting(anyhow!("not a URL: {error}")))?;
        let variable = |name: &str| std::env::var(name).ok();
        let (scheme, host) = (uri.scheme_str(), uri.host());
        let proxy = proxy::choose(
            scheme.unwrap_or_default(),
            host.unwrap_or_default(),
            &variable,
        );
        let proxy = proxy.map(|proxy| through(&proxy)).transpose()?;
        let mut request = self.0.get(uri).config().proxy(proxy).build();
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.call().map_err(Trouble::of)
    }
}

fn through(proxy: &str) -> Result<Proxy, Trouble> {
    let is_http = proxy.starts_with("http://") || proxy.starts_with("https://");
    if let Ok(found) = Proxy::new(proxy)
        && is_http
    {
        return Ok(found);
    }
    Err(Trouble::Lasting(anyhow!(
        "the proxy {proxy} of the environment cannot be used; expected http://HOST:PORT"
    )))
}

/// A header of a response, where it is text.
pub fn header<'a, T>(response: &'a Response<T>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Where a `Location` leads from `base`.
fn join(base: &str, location: &str) -> String {
    let scheme = location.split_once(':').map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| !scheme.contains(['/', '?', '#'])) {
        return location.to_owned();
    }
    let base = base.split(['?', '#']).next().unwrap_or_default();
    let start = base.find("://").map_or(0, |at| at + 3);
    let host_end = base[start..].find('/').map_or(base.len(), |at| start + at);
    if location.starts_with("//") {
        format!("{}{location}", &base[..start - 2])
    } else if location.starts_with('/') {
        format!("{}{location}", &base[..host_end])
    } else {
        let dir = base[host_end..]
            .rfind('/')
            .map_or("/", |at| &base[host_end..=host_end + at]);
        format!("{}{dir}{location}", &base[..host_end])
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        for (location, expected) in [
            ("https://other/x", "https://other/x"),
            ("file:///etc/passwd", "file:///etc/passwd"),
            ("data:text/html,x", "data:text/html,x"),
            ("//other/x", "http://other/x"),
            ("/x?y=http://z", "http://host:1/x?y=http://z"),
            ("x", "http://host:1/a/x"),
            ("?x", "http://host:1/a/?x"),
        ] {
            assert_eq!(join("http://host:1/a/b?c=/d", location), expected);
        }
        assert_eq!(join("http://host", "x"), "http://host/x");
    }
}
