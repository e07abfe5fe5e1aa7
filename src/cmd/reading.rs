// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images as arguments: how to read them.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::ArgAction;

use crate::oci::{ImageReference, Platform, ReferenceError};
use crate::site::image::{self, ImageOptions, OpenImage, RegistryOptions};

/// Options for reading images.
#[derive(Debug, clap::Args)]
pub struct Reading {
    /// Platform to choose from an index [default: this machine's, else the only one]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Read the passwords of registries from this file [default: as podman does]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Accept any certificate of a registry, and http, with --tls-verify=false
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, hide_possible_values = true)]
    pub tls_verify: bool,
    /// Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
}

impl Reading {
    /// Opens an image.
    ///
    /// # Errors
    /// When the word is no reference, or the image cannot be read.
    pub fn open(&self, word: &OsStr) -> Result<OpenImage> {
        let opened = self.open_if_image(word)?;
        opened.ok_or_else(|| anyhow!("{}: {}", word.display(), ReferenceError::NoTransport))
    }

    /// Opens an image; `None` if the word has no transport.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_if_image(&self, word: &OsStr) -> Result<Option<OpenImage>> {
        match parse(word) {
            Ok(reference) => image::open(&reference, &self.options()).map(Some),
            Err(ReferenceError::NoTransport) => Ok(None),
            Err(error) => Err(anyhow!("{}: {error}", word.display())),
        }
    }

    /// Returns the options that are given, for messages about options without effect.
    pub fn given(&self) -> Option<&'static str> {
        let platform = self.platform.is_some().then_some("--platform");
        platform.or_else(|| self.given_for_registry())
    }

    /// Returns a given option that applies to registries only.
    pub fn given_for_registry(&self) -> Option<&'static str> {
        let given = [
            (self.authfile.is_some(), "--authfile"),
            (!self.tls_verify, "--tls-verify"),
            (self.cert_dir.is_some(), "--cert-dir"),
        ];
        let given = given.into_iter().find(|(is_given, _)| *is_given);
        given.map(|(_, option)| option)
    }

    fn options(&self) -> ImageOptions {
        ImageOptions {
            platform: self.platform.clone(),
            registry: RegistryOptions {
                authfile: self.authfile.clone(),
                tls_verify: self.tls_verify,
                cert_dir: self.cert_dir.clone(),
                ..RegistryOptions::default()
            },
        }
    }
}

/// Parses a word as a reference to an image.
///
/// # Errors
/// When it has no transport, or is wrong.
pub fn parse(word: &OsStr) -> Result<ImageReference, ReferenceError> {
    word.to_str().ok_or(ReferenceError::NoTransport)?.parse()
}
