// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: http and https, and nothing else.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// Nothing arrives for this long: the server has stalled.
const STALL: Duration = Duration::from_secs(30);

/// Whether this is a URL that can be fetched.
pub fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Starts a download and returns the body. Proxies are those of the environment, certificates those
/// of the system; a redirect to anything but http and https is an error.
///
/// # Errors
/// When the server cannot be reached or answers with another status than 200.
pub fn get(url: &str) -> Result<impl Read + use<>> {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(STALL))
        .timeout_recv_response(Some(STALL))
        .user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ))
        .tls_config(tls.build())
        .build()
        .into();
    let response = agent.get(url).call().context("asking the server")?;
    if response.status() != 200 {
        anyhow::bail!("the server answered with status {}", response.status());
    }
    Ok(Watched::new(response.into_body().into_reader()))
}

/// A reader whose bytes arrive within [`STALL`], or not at all.
struct Watched {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Watched {
    /// Reads on a thread of its own, which a stalled server holds and we do not wait for.
    fn new(mut body: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = mpsc::sync_channel(4);
        thread::spawn(move || {
            loop {
                let mut chunk = vec![0; 256 * 1024];
                let read = body.read(&mut chunk).map(|count| {
                    chunk.truncate(count);
                    chunk
                });
                let is_last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
                if sender.send(read).is_err() || is_last {
                    break;
                }
            }
        });
        Self {
            chunks,
            chunk: io::Cursor::default(),
        }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.position() == self.chunk.get_ref().len() as u64 {
            match self.chunks.recv_timeout(STALL) {
                Ok(chunk) => self.chunk = io::Cursor::new(chunk?),
                Err(RecvTimeoutError::Disconnected) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let what = format!("nothing has arrived for {} s", STALL.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            }
        }
        self.chunk.read(buffer)
    }
}
