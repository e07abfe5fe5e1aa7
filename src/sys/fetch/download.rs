// SPDX-License-Identifier: MIT OR Apache-2.0
//! One download with retries. Each attempt resumes the previous one if the server confirms that the file is unchanged.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};
use ureq::http::Response;

use super::cache::{Cache, Note};
use super::progress::{Bar, size};
use super::request::{Client, FetchError, Incoming, Request, header, range_start, refused};
use super::retry::{HEADWAY, Pace, Retries};
use super::{DownloadLimits, Fetched};

/// The parameters of a download.
pub struct Download<'a> {
    pub client: &'a Client,
    pub cache: &'a Cache,
    pub limits: &'a DownloadLimits,
    pub url: &'a str,
    /// The name in the log.
    pub name: &'a str,
}

/// The received part of a file.
struct Part {
    file: File,
    size: u64,
    sha256: Sha256,
    /// The ETag and the Last-Modified date that the server sent with the received bytes.
    etag: Option<String>,
    last_modified: Option<String>,
}

/// The result of a successful attempt.
enum Received {
    Whole,
    Unchanged,
}

impl Download<'_> {
    /// Downloads the file; `None` if the server replies that the `known` file is unchanged.
    pub fn run(&self, known: Option<&Note>) -> Result<Option<Fetched>> {
        let start = Instant::now();
        let (part_name, file) = self.cache.part(self.url)?;
        let mut part = Part {
            file,
            size: 0,
            sha256: Sha256::new(),
            etag: None,
            last_modified: None,
        };
        let received = self.attempts(&mut part, known);
        let fetched = match received {
            Ok(Received::Whole) => self.keep(&part_name, part),
            Ok(Received::Unchanged) => {
                self.cache.drop_part(&part_name)?;
                return Ok(None);
            }
            Err(error) => Err(error),
        };
        match fetched {
            Ok((fetched, bytes)) => {
                let seconds = start.elapsed().as_secs_f64();
                let size = size(bytes);
                tracing::info!("downloaded {}  {size}  {seconds:.1} s", self.name);
                Ok(Some(fetched))
            }
            Err(error) => {
                // The first error is returned, and an error of this removal is ignored.
                let _ = self.cache.drop_part(&part_name);
                Err(error)
            }
        }
    }

    fn keep(&self, part_name: &str, mut part: Part) -> Result<(Fetched, u64)> {
        let entry = Note {
            url: self.url.to_owned(),
            sha256: hex::encode(part.sha256.finalize()),
            etag: part.etag,
            last_modified: part.last_modified,
            superseded: Vec::new(),
        };
        let sha256 = entry.sha256.clone();
        self.cache.keep(part_name, entry)?;
        part.file.rewind().context("reading the downloaded file")?;
        let fetched = Fetched {
            file: part.file,
            sha256,
            from_cache: false,
        };
        Ok((fetched, part.size))
    }

    fn attempts(&self, part: &mut Part, known: Option<&Note>) -> Result<Received> {
        let bar = Bar::new(self.name);
        let mut retries = Retries::new(&self.limits.pauses);
        loop {
            let before = part.size;
            match self.attempt(part, known, &bar) {
                Ok(received) => return Ok(received),
                Err(error) => {
                    if part.size >= before + HEADWAY {
                        retries.reset();
                    }
                    retries.wait(error, self.name)?;
                }
            }
        }
    }

    fn attempt(
        &self,
        part: &mut Part,
        known: Option<&Note>,
        bar: &Bar,
    ) -> Result<Received, FetchError> {
        let range = format!("bytes={}-", part.size);
        let mut headers = Vec::new();
        let validator = part.validator().map(str::to_owned);
        if let Some(validator) = validator.as_deref().filter(|_| part.size > 0) {
            headers.extend([("range", range.as_str()), ("if-range", validator)]);
        } else if let Some(known) = known {
            headers.extend(known.etag.as_deref().map(|etag| ("if-none-match", etag)));
            let date = known.last_modified.as_deref();
            headers.extend(date.map(|date| ("if-modified-since", date)));
        }
        let headers = headers.into_iter();
        let answer = self.client.send(Request {
            url: self.url.to_owned(),
            headers: headers
                .map(|(name, value)| (name, value.to_owned()))
                .collect(),
            ..Request::default()
        })?;
        let head = &answer.head;
        match head.status().as_u16() {
            200 => part.start_over(head)?,
            206 if range_start(head) == Some(part.size) && part.size > 0 => {}
            304 if known.is_some() => return Ok(Received::Unchanged),
            206 | 416 => {
                part.start_over(head)?;
                return Err(FetchError::temporary(anyhow!(
                    "the server did not send the requested range of the file"
                )));
            }
            _ => return Err(refused(head)),
        }
        let whole = length(head).map(|length| part.size.saturating_add(length));
        self.allow(whole.unwrap_or(0))?;
        bar.begin(part.size, whole);
        self.receive(part, answer.body, bar)?;
        match whole {
            Some(whole) if part.size < whole => Err(FetchError::temporary(anyhow!(
                "the connection ended after {} of {whole} bytes",
                part.size
            ))),
            _ => Ok(Received::Whole),
        }
    }

    /// Reads a body to its end. Fails if the download stalls or exceeds the size limit.
    fn receive(&self, part: &mut Part, mut body: Incoming, bar: &Bar) -> Result<(), FetchError> {
        let mut pace = Pace::new(self.limits.stall);
        loop {
            let bytes = match body.chunk()? {
                None => return Ok(()),
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Err(pace.broken(error, part.size)),
            };
            let count = bytes.len() as u64;
            self.allow(part.size + count)?;
            part.add(&bytes).map_err(FetchError::Permanent)?;
            bar.advance(count);
            pace.add(count)?;
        }
    }

    fn allow(&self, bytes: u64) -> Result<(), FetchError> {
        if bytes <= self.limits.size {
            return Ok(());
        }
        Err(FetchError::Permanent(anyhow!(
            "it is larger than {}, the limit of --max-size",
            size(self.limits.size)
        )))
    }
}

impl Part {
    /// Returns the validator for a range request: the ETag unless it is weak, else the Last-Modified date.
    fn validator(&self) -> Option<&str> {
        let etag = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        etag.or(self.last_modified.as_deref())
    }

    /// Discards the received bytes, and takes the validators from `response`. The next bytes are the start of the file.
    fn start_over(&mut self, response: &Response<()>) -> Result<(), FetchError> {
        let emptied = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied
            .context("restarting a download")
            .map_err(FetchError::Permanent)?;
        let text = |name| header(response, name).map(str::to_owned);
        self.size = 0;
        self.sha256 = Sha256::new();
        self.etag = text("etag");
        self.last_modified = text("last-modified");
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .context("writing the downloaded file")?;
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

fn length(response: &Response<()>) -> Option<u64> {
    header(response, "content-length")?.parse().ok()
}
