// SPDX-License-Identifier: MIT OR Apache-2.0
//! Retries of a request, and the detection of a server that has stalled.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::request::FetchError;
use crate::sys::stop;

/// Speed below which a download has stalled (bytes per second).
const SLOWEST: u64 = 1024;

/// Minimum number of bytes that an attempt must receive to make all retries available again.
pub const HEADWAY: u64 = 1024 * 1024;

/// Upper bound of the pause that a server requests with `Retry-After`.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The retries of one download.
#[derive(Debug)]
pub struct Retries {
    pauses: Vec<Duration>,
    used: usize,
}

impl Retries {
    /// Returns as many retries as there are pauses.
    pub fn new(pauses: &[Duration]) -> Self {
        Self {
            pauses: pauses.to_vec(),
            used: 0,
        }
    }

    /// Makes all retries available again, after an attempt has received [`HEADWAY`] bytes.
    pub fn reset(&mut self) {
        self.used = 0;
    }

    /// Waits before the next attempt, after one that failed with `error`. `name` is the name of the file in the log.
    ///
    /// # Errors
    /// When a retry does not help, or none is left; [`Stopped`](stop::Stopped) after a signal.
    pub fn wait(&mut self, error: FetchError, name: &str) -> Result<()> {
        let (error, retry_after) = match error {
            FetchError::Permanent(error) => return Err(error),
            FetchError::Temporary(error, retry_after) => (error, retry_after),
        };
        let Some(pause) = self.pauses.get(self.used) else {
            let count = self.pauses.len() + 1;
            return Err(error.context(format!("giving up after {count} attempts")));
        };
        self.used += 1;
        let pause = *pause.max(&retry_after.min(PAUSE_MAX));
        let seconds = pause.as_secs_f64();
        tracing::info!("{name}: {error:#}; retrying in {seconds:.1} s");
        Ok(stop::sleep(pause)?)
    }
}

/// The speed of a download.
#[derive(Debug)]
pub struct Pace {
    stall: Duration,
    since: Instant,
    arrived: u64,
}

impl Pace {
    /// Starts to measure. `stall` is the length of a measurement, which is the timeout of a slow server.
    pub fn new(stall: Duration) -> Self {
        Self {
            stall,
            since: Instant::now(),
            arrived: 0,
        }
    }

    /// Records received bytes.
    ///
    /// # Errors
    /// When less than 1 KiB a second arrived during a measurement.
    pub fn add(&mut self, count: u64) -> Result<(), FetchError> {
        self.arrived += count;
        if self.since.elapsed() >= self.stall {
            if self.arrived < SLOWEST * self.stall.as_secs().max(1) {
                return Err(self.stalled());
            }
            (self.since, self.arrived) = (Instant::now(), 0);
        }
        Ok(())
    }

    /// Classifies an error of a body after `size` bytes.
    pub fn broken(&self, error: std::io::Error, size: u64) -> FetchError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if matches!(inner, Some(ureq::Error::Timeout(_)))
            || error.kind() == std::io::ErrorKind::TimedOut
        {
            return self.stalled();
        }
        let what = format!("the connection broke after {size} bytes");
        FetchError::temporary(anyhow::Error::from(error).context(what))
    }

    fn stalled(&self) -> FetchError {
        let seconds = self.stall.as_secs_f64();
        FetchError::temporary(anyhow!("the download has stalled for {seconds} s"))
    }
}
