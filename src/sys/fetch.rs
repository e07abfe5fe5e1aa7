// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: HTTP and HTTPS downloads with retries, resumption and a cache.
//!
//! Downloaded files are not trusted: the caller copies and verifies them.

mod cache;
mod download;
mod progress;
mod proxy;
mod request;
mod resolver;
mod retry;
mod tls;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use self::cache::Cache;
pub use self::cache::tidy;
use self::download::Download;
pub use self::request::{Client, FetchError, Incoming, Reply, Request, range_start, refused};
pub use self::retry::{HEADWAY, Pace, Retries};
pub use self::tls::{Tls, TlsError};
use super::root::Root;

/// Limits of a download.
#[derive(Debug, Clone)]
pub struct DownloadLimits {
    /// The timeout of a stalled server: no data, or less than 1 KiB a second, for this long.
    pub stall: Duration,
    /// The pause before each retry; there are as many retries as pauses.
    pub pauses: Vec<Duration>,
    /// Upper bound of a file (bytes).
    pub size: u64,
}

impl DownloadLimits {
    /// Returns the default limits, with `size` as the upper bound of a file.
    pub fn new(size: u64) -> Self {
        Self {
            stall: Duration::from_secs(30),
            pauses: [500, 1000, 2000, 4000].map(Duration::from_millis).to_vec(),
            size,
        }
    }
}

/// Returns whether `source` is an HTTP or HTTPS URL, not the path of a file.
pub fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// A fetcher of files, which threads can share.
pub struct Fetcher {
    client: Client,
    cache: Cache,
    limits: DownloadLimits,
}

/// A fetched file.
pub struct Fetched {
    /// Its bytes.
    pub file: File,
    /// The SHA-256 of the bytes (hexadecimal).
    pub sha256: String,
    /// Whether it was taken from the cache without a download.
    pub from_cache: bool,
}

impl Fetcher {
    /// Creates a fetcher that caches files in `dir`. If `dir` is not writable, files are stored in the directory
    /// `private` of `root`. The caller removes `private`.
    ///
    /// # Errors
    /// When neither directory can be used.
    pub fn new(dir: &Path, root: &Root, private: &str, limits: DownloadLimits) -> Result<Self> {
        Ok(Self {
            client: Client::new(limits.stall),
            cache: Cache::open(dir, root, private).context("creating the cache directory")?,
            limits,
        })
    }

    /// Fetches a URL. Unless `anew` is set, a cached file is used if its SHA-256 is `pin` (without a request), or if
    /// the server replies with HTTP 304.
    ///
    /// # Errors
    /// When the download fails, after several attempts if a retry can help.
    pub fn fetch(&self, url: &str, pin: Option<&str>, anew: bool) -> Result<Fetched> {
        let name = url.rsplit('/').next().unwrap_or(url);
        if let Some(pin) = pin.filter(|_| !anew)
            && let Some(file) = self.cache.object(pin)?
        {
            tracing::info!("from the cache: {name} (by its sha256)");
            return Ok(Fetched {
                file,
                sha256: pin.to_owned(),
                from_cache: true,
            });
        }
        let is_wanted = |sha256: &str| !anew && pin.is_none_or(|pin| pin == sha256);
        let known = self.cache.known(url)?;
        let known = known.filter(|(entry, _)| is_wanted(&entry.sha256));
        let download = Download {
            client: &self.client,
            cache: &self.cache,
            limits: &self.limits,
            url,
            name,
        };
        match download.run(known.as_ref().map(|(entry, _)| entry))? {
            Some(fetched) => Ok(fetched),
            None => {
                let (entry, file) = known.context("unexpected HTTP 304 without a cached file")?;
                tracing::info!("from the cache: {name} (unchanged on the server)");
                Ok(Fetched {
                    file,
                    sha256: entry.sha256,
                    from_cache: true,
                })
            }
        }
    }

    /// Removes the file with this digest from the cache, because its bytes cannot be used.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget(&self, sha256: &str) -> Result<()> {
        self.cache.forget(sha256)
    }
}
