// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: http and https, and nothing else. Downloads that survive what networks do, and a
//! cache of them.
//!
//! Nothing that is fetched is trusted: who takes a file out of the cache copies and checks it.

mod cache;
mod download;
mod progress;
mod proxy;
mod request;
mod resolver;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use self::cache::Cache;
pub use self::cache::tidy;
use self::download::Download;
use self::request::Client;
use super::root::Root;

/// What ends a download.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Nothing, or less than 1 KiB a second, for this long: the server has stalled.
    pub stall: Duration,
    /// How long to wait before each further attempt.
    pub pauses: Vec<Duration>,
    /// The largest file (bytes).
    pub size: u64,
}

impl Limits {
    /// Those of every run, and a size.
    pub fn new(size: u64) -> Self {
        Self {
            stall: Duration::from_secs(30),
            pauses: [500, 1000, 2000, 4000].map(Duration::from_millis).to_vec(),
            size,
        }
    }
}

/// Whether this is a URL that can be fetched.
pub fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Fetches files; threads share it.
pub struct Fetcher {
    client: Client,
    cache: Cache,
    limits: Limits,
}

/// A file that has been fetched.
pub struct Fetched {
    /// Its bytes.
    pub file: File,
    /// Their SHA-256 (hexadecimal), as they came.
    pub sha256: String,
    /// Whether no byte of it came over the network this time.
    pub from_cache: bool,
}

impl Fetcher {
    /// Keeps what it fetches in `dir`; where that cannot be written, in the directory `private` of
    /// `root`, which is the caller's to remove.
    ///
    /// # Errors
    /// When neither can be made.
    pub fn new(dir: &Path, root: &Root, private: &str, limits: Limits) -> Result<Self> {
        Ok(Self {
            client: Client::new(limits.stall),
            cache: Cache::open(dir, root, private).context("making a place for downloads")?,
            limits,
        })
    }

    /// Fetches a URL. With `pin`, a file of that SHA-256 in the cache is taken without asking
    /// anybody; a file that came from the URL before is taken when the server says that it is
    /// unchanged, unless `anew`.
    ///
    /// # Errors
    /// When the server does not give the file, in several attempts where that may help.
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
                let (entry, file) = known.context("the server says \"unchanged\" of nothing")?;
                tracing::info!("from the cache: {name} (unchanged on the server)");
                Ok(Fetched {
                    file,
                    sha256: entry.sha256,
                    from_cache: true,
                })
            }
        }
    }

    /// Removes a file that this run has put into the cache: its bytes are not what they should be.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, sha256: &str) -> Result<()> {
        self.cache.forget(sha256)
    }
}
