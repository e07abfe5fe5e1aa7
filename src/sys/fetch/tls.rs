// SPDX-License-Identifier: MIT OR Apache-2.0
//! TLS: the certificates of servers and of this client, and the errors of a handshake.

use std::io;

use anyhow::{Context, Result, bail};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The settings of TLS. By default, servers are verified with the certificate authorities of the system.
#[derive(Clone, Default)]
pub struct Tls {
    /// Whether every certificate is accepted.
    pub is_unverified: bool,
    /// Certificates of additional authorities that are trusted besides those of the system (PEM).
    pub roots: Vec<Vec<u8>>,
    /// The client's certificate and the key of this certificate (PEM).
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A failed TLS handshake. A retry does not help.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The client does not trust the server.
    #[error("the certificate of the server is not trusted: {0}")]
    Untrusted(String),
    /// The server does not trust the client.
    #[error("the server requires a client certificate that it trusts ({0})")]
    Client(String),
    /// Another failure, for example because the server uses plain HTTP.
    #[error("the TLS handshake failed: {0}")]
    Other(String),
}

impl TlsError {
    /// Returns the TLS error that an error of the network contains, if it contains one.
    pub(super) fn in_io(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::of(error))
    }

    pub(super) fn of(error: &rustls::Error) -> Self {
        use AlertDescription as Alert;
        match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                Self::Untrusted("it is issued by an unknown authority".to_owned())
            }
            rustls::Error::InvalidCertificate(why) => Self::Untrusted(why.to_string()),
            rustls::Error::AlertReceived(
                alert @ (Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::UnknownCA
                | Alert::AccessDenied),
            ) => Self::Client(format!("{alert:?}")),
            error => Self::Other(error.to_string()),
        }
    }
}

impl Tls {
    /// Returns the TLS configuration of the HTTP client.
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
            check_pair(certificate, key).context("the client's certificate and its key")?;
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

/// Checks that a key belongs to a certificate, since ureq panics if it does not.
fn check_pair(certificate: &[u8], key: &[u8]) -> Result<()> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(key).context("no private key in PEM format found")?;
    let provider = ring::default_provider();
    CertifiedKey::from_der(chain?, key, &provider)
        .context("checking that the key belongs to the certificate")?;
    Ok(())
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        bail!("no certificate in PEM format found");
    }
    Ok(found)
}
