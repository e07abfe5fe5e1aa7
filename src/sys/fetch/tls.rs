// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates of servers and of this client.

use anyhow::{Context, Result, bail};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The settings of TLS. By default servers are verified as the system does.
#[derive(Clone, Default)]
pub struct Tls {
    /// Whether every certificate is accepted.
    pub is_unverified: bool,
    /// Authorities besides those of the system (PEM).
    pub roots: Vec<Vec<u8>>,
    /// The client's certificate and its key (PEM).
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Returns the configuration of the HTTP client.
    pub(super) fn config(&self) -> Result<TlsConfig> {
        let mut roots = RootCerts::PlatformVerifier;
        if !self.roots.is_empty() {
            let system = rustls_native_certs::load_native_certs().certs;
            let mut all: Vec<_> = system
                .iter()
                .map(|it| Certificate::from_der(it).to_owned())
                .collect();
            for pem in &self.roots {
                all.extend(certificates(pem).context("reading certificates of authorities")?);
            }
            roots = RootCerts::new_with_certs(&all);
        }
        let identity = self.identity.as_ref().map(|(certificate, key)| {
            let chain = certificates(certificate).context("reading the client's certificate")?;
            let key = PrivateKey::from_pem(key).context("reading the client's key")?;
            anyhow::Ok(ClientCert::new_with_certs(&chain, key))
        });
        Ok(TlsConfig::builder()
            .disable_verification(self.is_unverified)
            .root_certs(roots)
            .client_cert(identity.transpose()?)
            .build())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        bail!("there is no certificate in PEM");
    }
    Ok(found)
}
