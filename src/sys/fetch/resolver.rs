// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves host names with getaddrinfo(3), as every program of the system does.
//!
//! The static build of this program is linked with musl, whose resolver reads /etc/hosts and /etc/resolv.conf. A static
//! program that is linked with glibc would load the modules that nsswitch.conf names, and crash.

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The text that precedes the reason in the standard library's error.
const STD_PREFIX: &str = "failed to lookup address information: ";

/// The reason for which a host name has no address.
#[derive(Debug, thiserror::Error)]
#[error("could not resolve host {host}: {reason}")]
pub struct HostError {
    host: String,
    reason: String,
}

/// The system's resolver. `ureq` bounds its time: it calls getaddrinfo(3) on a thread of its own, and abandons that
/// thread after `timeout_resolve`.
#[derive(Debug, Default)]
pub struct SystemResolver(DefaultResolver);

impl Resolver for SystemResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        self.0.resolve(uri, config, timeout).map_err(|error| {
            let reason = match error {
                Error::Io(error) => error.to_string().replace(STD_PREFIX, ""),
                Error::Timeout(_) => "timeout".to_owned(),
                Error::HostNotFound => "it has no address".to_owned(),
                error => return error,
            };
            let host = uri.host().unwrap_or_default().to_owned();
            Error::Other(Box::new(HostError { host, reason }))
        })
    }
}
