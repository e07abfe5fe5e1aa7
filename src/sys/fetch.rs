// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: http and https, and nothing else.

use std::io::Read;
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
    Ok(response.into_body().into_reader())
}
