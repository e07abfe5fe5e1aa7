// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the bytes of a blob, or of a range of a blob. After a broken connection, reading resumes at the next byte.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::session::Session;
use crate::oci::{Foreign, OciError};
use crate::sys::fetch::{FetchError, HEADWAY, Incoming, Pace, Retries, range_start};
use crate::sys::stop;

/// The error for a registry that does not support range requests: the status of its response.
#[derive(Debug, thiserror::Error)]
#[error("answers a request for a part of a layer with status {0}")]
struct NoRanges(u16);

/// The reader of a blob. The caller checks the digest of the blob.
pub(super) struct BlobReader {
    session: Arc<Session>,
    /// The sessions to use if the registry of `session` fails or lacks the blob.
    others: VecDeque<Arc<Session>>,
    digest: String,
    /// The size of the whole blob (bytes).
    size: u64,
    /// The offset of the next byte.
    at: u64,
    /// The offset after the last byte.
    end: u64,
    /// Whether the caller requested a range.
    is_range: bool,
    body: Option<Incoming>,
    /// The number of bytes to skip, because the server sends the blob from its start again.
    skip: u64,
    chunk: Vec<u8>,
    taken: usize,
    pace: Pace,
    retries: Retries,
    /// The offset of the next byte at the last failure; before a failure, the offset of the first byte.
    failed_at: u64,
}

impl BlobReader {
    /// Returns a reader of a whole blob. Sends no request yet.
    pub(super) fn whole(
        (session, others): (Arc<Session>, VecDeque<Arc<Session>>),
        digest: &str,
        size: u64,
    ) -> Self {
        let limits = session.limits().clone();
        Self {
            session,
            others,
            digest: digest.to_owned(),
            size,
            at: 0,
            end: size,
            body: None,
            is_range: false,
            skip: 0,
            chunk: Vec::new(),
            taken: 0,
            pace: Pace::new(limits.stall),
            retries: Retries::new(&limits.pauses),
            failed_at: 0,
        }
    }

    /// Returns a reader of a range; `None` if the registry does not support range requests.
    pub(super) fn range(
        sessions: (Arc<Session>, VecDeque<Arc<Session>>),
        digest: &str,
        size: u64,
        range: Range<u64>,
    ) -> Result<Option<Self>> {
        let mut reader = Self {
            at: range.start,
            end: range.end,
            is_range: true,
            failed_at: range.start,
            ..Self::whole(sessions, digest, size)
        };
        if !reader.session.has_ranges() {
            return Ok(None);
        }
        loop {
            match reader.connect() {
                Ok(()) => return Ok(Some(reader)),
                Err(FetchError::Permanent(error)) if error.is::<NoRanges>() => {
                    reader.session.without_ranges();
                    let host = &reader.session.image().host;
                    tracing::info!("{host} {error}, so layers are read whole");
                    return Ok(None);
                }
                Err(error) => reader.retry(error)?,
            }
        }
    }

    /// Waits before the next attempt. If another attempt at this registry cannot help, or none is left, continues with
    /// the next registry, and fails without one.
    fn retry(&mut self, error: FetchError) -> Result<()> {
        let Err(error) = self.retries.wait(error, &self.digest) else {
            return Ok(());
        };
        let Some(next) = self.others.pop_front() else {
            return Err(error);
        };
        self.session.pass_over(&error)?;
        self.session = next;
        self.retries.reset();
        Ok(())
    }

    /// Sends a request for the bytes from `at`.
    fn connect(&mut self) -> Result<(), FetchError> {
        let path = format!("blobs/{}", self.digest);
        let is_range = self.is_range || self.at > 0;
        let mut headers = Vec::new();
        if is_range {
            let last = self.end.saturating_sub(1);
            headers.push(("range", format!("bytes={}-{last}", self.at)));
        }
        let reply = self.session.get(&path, &headers)?;
        self.skip = 0;
        match reply.head.status().as_u16() {
            status @ (200 | 416 | 501) if self.is_range => {
                return Err(FetchError::Permanent(NoRanges(status).into()));
            }
            200 => {
                let length = reply.head.headers().get("content-length");
                let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
                if let Some(found) = length.filter(|length| *length != self.size) {
                    let expected = self.size;
                    let error = OciError::Size { found, expected };
                    return Err(FetchError::Permanent(error.into()));
                }
                self.skip = self.at;
            }
            206 if is_range && range_start(&reply.head) == Some(self.at) => {}
            206 => {
                return Err(FetchError::temporary(anyhow!(
                    "the registry sent another range of the blob than requested"
                )));
            }
            _ => return Err(self.session.explain(reply, &path)),
        }
        self.pace = Pace::new(self.session.limits().stall);
        self.body = Some(reply.body);
        Ok(())
    }

    /// Receives the next chunk; `false` at the end.
    fn receive(&mut self) -> Result<bool, FetchError> {
        if self.body.is_none() {
            self.connect()?;
        }
        let Some(body) = &mut self.body else {
            return Ok(false);
        };
        let mut chunk = match body.chunk()? {
            None if self.at < self.end => {
                return Err(FetchError::temporary(anyhow!(
                    "the connection ended at byte {} of the blob, expected {}",
                    self.at,
                    self.end
                )));
            }
            None => return Ok(false),
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => return Err(self.pace.broken(error, self.at)),
        };
        let received = chunk.len();
        self.session.traffic().add_bytes(received);
        self.pace.add(received as u64)?;
        let skipped = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(received);
        self.skip -= skipped as u64;
        chunk.drain(..skipped);
        if self.is_range {
            let left = self.end.saturating_sub(self.at);
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        self.at += chunk.len() as u64;
        (self.chunk, self.taken) = (chunk, 0);
        Ok(true)
    }
}

impl Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = &self.chunk[self.taken..];
            if !ready.is_empty() || out.is_empty() {
                let count = ready.len().min(out.len());
                out[..count].copy_from_slice(&ready[..count]);
                self.taken += count;
                return Ok(count);
            }
            match self.receive() {
                Ok(true) if self.is_range && self.chunk.is_empty() => return Ok(0),
                Ok(true) => {}
                Ok(false) => return Ok(0),
                // All bytes were received; only the end of the response is missing.
                Err(_) if self.at >= self.end && self.end > 0 && stop::check().is_ok() => {
                    return Ok(0);
                }
                Err(error) => {
                    self.body = None;
                    if self.at >= self.failed_at + HEADWAY {
                        self.retries.reset();
                    }
                    self.failed_at = self.at;
                    self.retry(error)
                        .map_err(|error| match error.downcast::<OciError>() {
                            Ok(error) => io::Error::from(error),
                            Err(error) => io::Error::other(Foreign(format!("{error:#}"))),
                        })?;
                }
            }
        }
    }
}
